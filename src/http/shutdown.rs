//! The end of a server, in order: what stops it, and what systemd is told of it.
//!
//! The first signal stops accepting and lets everything in flight finish; the second ends at
//! once, and so does the drain timeout.

use std::{future::Future, io, time::Duration};

use async_io::Timer;
use async_signal::{Signal, Signals};
use smol::{
    channel::{Receiver, Sender, bounded},
    future,
    stream::{Stream, StreamExt},
};

use super::log::Log;

/// What the workers watch. Clones watch the same.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    draining: Receiver<()>,
    ended: Receiver<()>,
}

/// What turns the workers' lights out: each stage begins when its sender is dropped.
#[derive(Debug)]
pub(super) struct Switch {
    draining: Sender<()>,
    ended: Sender<()>,
}

impl Shutdown {
    pub(super) fn new() -> (Switch, Self) {
        let (drain, draining) = bounded(1);
        let (end, ended) = bounded(1);
        (Switch { draining: drain, ended: end }, Self { draining, ended })
    }

    /// Ends when nothing more may be accepted.
    pub(crate) async fn draining(&self) {
        let _ = self.draining.recv().await;
    }

    /// Ends when what is still in flight must be cut off.
    pub(crate) async fn ended(&self) {
        let _ = self.ended.recv().await;
    }
}

/// Waits for the reasons to stop, and stops. The stream's items are their names.
pub(super) async fn watch(
    mut reasons: impl Stream<Item = &'static str> + Unpin,
    switch: Switch,
    drain_timeout: Duration,
    log: Log,
) {
    let Some(reason) = reasons.next().await else { return future::pending().await };
    log.say(format_args!("Received {reason}, shutting down gracefully..."));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    drop(switch.draining);
    let again = async {
        if reasons.next().await.is_none() {
            future::pending::<()>().await;
        }
    };
    let late = async {
        Timer::after(drain_timeout).await;
    };
    future::or(again, late).await;
    drop(switch.ended);
}

/// SIGTERM and SIGINT, from now on, by their names. SIGXFSZ does nothing from now on: a file that
/// may not grow is an error of the write to it, and not the end of the process.
pub(super) fn signals() -> io::Result<impl Stream<Item = &'static str> + Unpin> {
    let signals = Signals::new([Signal::Term, Signal::Int, Signal::Xfsz])?;
    Ok(signals.filter_map(|signal| match signal {
        Ok(Signal::Xfsz) => None,
        Ok(Signal::Int) => Some("SIGINT"),
        _ => Some("SIGTERM"),
    }))
}

/// Lets `work` run for `limit` at most. The timer costs nothing where `work` is ready at once.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(limit).await;
        None
    };
    future::or(async { Some(work.await) }, late).await
}
