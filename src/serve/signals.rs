//! The signals that tell a process to end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
    time::{Duration, Instant},
};

use async_signal::{Signal, Signals};
use smol::{
    future,
    stream::{Stream, StreamExt},
};

/// How soon after the first signal a second one may be a copy of it: many a parent passes Ctrl-C on
/// to children that have it from the terminal already.
const COPY_WITHIN: Duration = Duration::from_secs(1);

/// The names of the signals that tell this process to end, as an endless stream. As long as it
/// lives, none of them ends the process by itself.
pub(crate) struct EndSignals(Signals);

impl EndSignals {
    /// Begins to listen for SIGINT, SIGTERM and SIGHUP. SIGHUP stays ignored if the process was
    /// started that way, as by `nohup`.
    pub(crate) fn listen() -> Result<Self, String> {
        Signals::new(heard())
            .map(Self)
            .map_err(|error| format!("cannot listen for signals: {error}"))
    }

    /// The same for a service. SIGXFSZ does nothing from now on: where a file may not grow, the write
    /// fails and the process goes on.
    pub(crate) fn of_a_service() -> io::Result<Self> {
        Ok(Self(Signals::new(heard().chain([Signal::Xfsz]))?))
    }

    /// Waits for the next one, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        StreamExt::next(self).await.unwrap_or("a signal")
    }

    /// Calls `act` when the process is to end at once, as [`insisted`] says; on a thread of its own:
    /// also when all others are busy or stuck.
    pub(crate) fn when_insisted(mut self, act: impl FnOnce(&str) + Send + 'static) {
        let first = Instant::now();
        let wait = move || act(smol::block_on(insisted(&mut self, first)));
        // Without a thread, nothing happens then.
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

/// Waits until a process that has been told to end, at `first`, is to end at once. A second signal
/// says so, but not within a second of the first: that one may be a copy. A third one always does.
/// Returns its name.
pub(crate) async fn insisted(
    signals: &mut (impl Stream<Item = &'static str> + Unpin),
    first: Instant,
) -> &'static str {
    let mut has_copy = false;
    while let Some(signal) = StreamExt::next(signals).await {
        if has_copy || first.elapsed() >= COPY_WITHIN {
            return signal;
        }
        has_copy = true;
    }
    future::pending().await
}

/// The signals that tell this process to end.
fn heard() -> impl Iterator<Item = Signal> {
    let all = [Signal::Int, Signal::Term, Signal::Hup];
    all.into_iter().filter(|&it| it != Signal::Hup || !is_hangup_ignored())
}

/// Whether this process was started with SIGHUP ignored, where the system tells.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is 1, the lowest bit.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
