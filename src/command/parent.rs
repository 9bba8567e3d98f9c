//! A process that ends when the one that started it does.

use std::process;

use crate::cli::UsageError;

/// The arguments of [`smolring`](super::applet()) for a child of this process that ends with it.
pub(super) fn arguments() -> [String; 2] {
    [FLAG.into(), process::id().to_string()]
}

/// The first of these arguments.
pub(super) const FLAG: &str = "--end-with-parent";

/// The error that says how to use it.
pub(super) fn usage() -> UsageError {
    UsageError(format!("{FLAG} needs a process id and a command: {FLAG} <pid> <command>"))
}

/// Has the kernel send SIGTERM to this process when its parent ends, however that ends. False: the
/// parent has ended already.
#[cfg(target_os = "linux")]
pub(super) fn end_with(parent: i32) -> bool {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    getppid().map(Pid::as_raw_nonzero).is_some_and(|pid| pid.get() == parent)
}

/// Other systems have nothing like it.
#[cfg(not(target_os = "linux"))]
pub(super) fn end_with(_: i32) -> bool {
    true
}
