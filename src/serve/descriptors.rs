//! How many connections and files this process may have open.

use std::{io, os::unix::net::UnixDatagram};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Descriptors that a command needs beyond those that it is started with: for the runtime, signals,
/// a port and a few connections.
const NEEDED: usize = 14;

/// Checks that there are enough descriptors to start: the runtime panics where it gets none. The
/// error says what to do.
pub(crate) fn check() -> Result<(), String> {
    let most = raise_limit();
    let mut kept = Vec::new();
    for had in 0..NEEDED {
        match UnixDatagram::unbound() {
            Err(error) if are_used_up(&error) => {
                return Err(format!(
                    "this process may have {most} files and connections open, and {had} of them \
                     are left; it needs {NEEDED}: see `ulimit -n`"
                ));
            }
            Ok(socket) => kept.push(socket),
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// Whether the process, or the whole system, has no descriptor left.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
}

/// Asks for as many descriptors as the system allows: many hosts give a process 1,024 until it
/// does. Where that fails, the process goes on with what it has. Returns how many that is.
pub(crate) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most).unwrap_or(usize::MAX)
}
