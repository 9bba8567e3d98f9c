//! The signals that tell a process to end: SIGINT, SIGTERM and SIGHUP.

use std::thread;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt;

/// Each signal that tells this process to end, one after the other. As long as it lives, none of
/// them ends the process by itself.
pub(super) struct EndSignals(Signals);

impl EndSignals {
    /// Begins to listen. SIGHUP stays ignored where the process was started so, as by `nohup`.
    pub fn listen() -> Result<Self, String> {
        let all = [Signal::Int, Signal::Term, Signal::Hup];
        let heard = all.into_iter().filter(|&it| it != Signal::Hup || !is_hangup_ignored());
        let signals = Signals::new(heard);
        signals.map(Self).map_err(|error| format!("cannot listen for signals: {error}"))
    }

    /// Waits for the next one, and says its name.
    pub async fn next(&mut self) -> &'static str {
        match self.0.next().await.and_then(Result::ok) {
            Some(Signal::Int) => "SIGINT",
            Some(Signal::Term) => "SIGTERM",
            Some(Signal::Hup) => "SIGHUP",
            _ => "a signal",
        }
    }

    /// Calls `act` at the next one, on a thread of its own: also when all others are busy or stuck.
    pub fn at_next(mut self, act: impl FnOnce(&str) + Send + 'static) {
        let wait = move || act(smol::block_on(self.next()));
        // Without a thread, nothing happens at the next one.
        let _ = thread::Builder::new().name("signals".into()).spawn(wait);
    }
}

/// Whether this process was started with SIGHUP ignored, where the system tells.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is 1, the lowest bit.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
