//! The signals that tell a process to end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
};

use async_signal::{Signal, Signals};
use smol::stream::{Stream, StreamExt};

/// The names of the signals that tell this process to end, as an endless stream. As long as it
/// lives, none of them ends the process by itself.
pub(crate) struct EndSignals(Signals);

impl EndSignals {
    /// Begins to listen for SIGINT, SIGTERM and SIGHUP. SIGHUP stays ignored if the process was
    /// started that way, as by `nohup`.
    pub(crate) fn listen() -> Result<Self, String> {
        let all = [Signal::Int, Signal::Term, Signal::Hup];
        let heard = all.into_iter().filter(|&it| it != Signal::Hup || !is_hangup_ignored());
        let signals = Signals::new(heard);
        signals.map(Self).map_err(|error| format!("cannot listen for signals: {error}"))
    }

    /// Begins to listen for SIGINT and SIGTERM. SIGXFSZ does nothing from now on: where a file may
    /// not grow, the write fails and the process goes on.
    pub(crate) fn of_a_service() -> io::Result<Self> {
        Ok(Self(Signals::new([Signal::Term, Signal::Int, Signal::Xfsz])?))
    }

    /// Waits for the next one, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        StreamExt::next(self).await.unwrap_or("a signal")
    }

    /// Calls `act` at the next one, on a thread of its own: also when all others are busy or stuck.
    pub(crate) fn at_next(mut self, act: impl FnOnce(&str) + Send + 'static) {
        let wait = move || act(smol::block_on(self.next()));
        // Without a thread, nothing happens at the next one.
        let _ = thread::Builder::new().name("signals".into()).spawn(wait);
    }
}

impl Stream for EndSignals {
    type Item = &'static str;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<&'static str>> {
        loop {
            return Poll::Ready(Some(match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Signal::Xfsz)) => continue,
                Some(Ok(Signal::Int)) => "SIGINT",
                Some(Ok(Signal::Term)) => "SIGTERM",
                Some(Ok(Signal::Hup)) => "SIGHUP",
                _ => "a signal",
            }));
        }
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
