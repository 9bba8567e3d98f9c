//! How many connections and files this process may have open.

use std::{io, os::unix::net::UnixDatagram};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Descriptors that a command needs beyond those that it is started with: for the runtime, signals,
/// a port and a few connections.
const NEEDED: usize = 14;
/// Descriptors of a server without any connection: its standard streams, ports, signals and runtime.
const OF_A_SERVER: usize = 12;

/// Asks for as many descriptors as the system allows: many hosts give a process 1,024 until it
/// does. Where that fails, the process goes on with what it has. Returns how many that is.
pub(crate) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Checks that there are enough descriptors to start: the runtime panics where it gets none. The
/// error says what to do.
pub(crate) fn check() -> Result<(), String> {
    let most = raise_limit();
    match free(NEEDED) {
        NEEDED.. => Ok(()),
        free => Err(format!(
            "this process may have {most} files and connections open, and {free} of them are left; \
             it needs {NEEDED}: see `ulimit -n`"
        )),
    }
}

/// How many clients a server may serve at a time so that `kept` descriptors are left for all else;
/// where there are few, half of those that it does not need itself.
pub(crate) fn for_clients(kept: usize) -> usize {
    let most = raise_limit();
    let of_few = most.saturating_sub(OF_A_SERVER) / 2;
    most.saturating_sub(kept).max(of_few).max(1)
}

/// How many descriptors are left, counted up to `most`. It takes that many and gives them back.
pub(crate) fn free(most: usize) -> usize {
    let mut sockets = Vec::new();
    while sockets.len() < most {
        match UnixDatagram::unbound() {
            Ok(socket) => sockets.push(socket),
            Err(error) if are_used_up(&error) => break,
            // Where there can be no such sockets, it is not known.
            Err(_) => return most,
        }
    }
    sockets.len()
}

/// Whether the process, or the whole system, has no descriptor left.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
}
