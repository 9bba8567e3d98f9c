//! The shutdown of a server, in stages, and how systemd is told of it.
//!
//! The first signal stops accepting and lets everything in flight finish; the second ends at
//! once, and so does the drain timeout.

use std::time::Duration;

use async_io::Timer;
use smol::{
    channel::{Receiver, Sender, bounded},
    future,
    stream::{Stream, StreamExt},
};

use super::lines::Lines;

/// How far the shutdown of the server is, for the tasks that watch it. Clones watch the same one.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    draining: Receiver<()>,
    ended: Receiver<()>,
}

/// Begins the stages of a shutdown: each when its sender is dropped.
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
    lines: Lines,
) {
    let Some(reason) = reasons.next().await else { return future::pending().await };
    lines.say_at_once(format_args!("Received {reason}, shutting down gracefully..."));
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
