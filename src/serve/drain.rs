//! The shutdown of a server, in stages, and how systemd is told of it.
//!
//! ```text
//! serving --signal--> draining, still accepting --grace--> draining, no longer --all answered--> ended
//!                                 \-------------- insisted, or the drain timeout: cut off -----> ended
//! ```
//!
//! While it is still accepting, the server says that it is not ready: a load balancer that asks takes it
//! out before the port is closed. Without `--grace` that takes no time.

use std::time::Instant;

use async_io::Timer;
use smol::{
    channel::{Receiver, Sender, bounded},
    future,
    stream::{Stream, StreamExt},
};

use super::{lines::Lines, options::Options, signals::insisted, systemd::notify};

/// How far the shutdown of the server is, for the tasks that watch it. Clones watch the same one.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    told: Receiver<()>,
    draining: Receiver<()>,
    ended: Receiver<()>,
}

/// Begins the stages of a shutdown: each when its sender is dropped.
#[derive(Debug)]
pub(crate) struct Switch {
    told: Sender<()>,
    draining: Sender<()>,
    ended: Sender<()>,
}

impl Shutdown {
    pub(crate) fn new() -> (Switch, Self) {
        let (tell, told) = bounded(1);
        let (drain, draining) = bounded(1);
        let (end, ended) = bounded(1);
        (Switch { told: tell, draining: drain, ended: end }, Self { told, draining, ended })
    }

    /// Whether the server has been told to end. It may still accept for a while.
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_closed()
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
    options: &Options,
    lines: Lines,
) {
    let Some(reason) = reasons.next().await else { return future::pending().await };
    let first = Instant::now();
    let Switch { told, draining, ended } = switch;
    drop(told);
    lines.say_at_once(format_args!("Received {reason}, shutting down gracefully..."));
    let _ = notify("STOPPING=1");
    let again = async { Some(insisted(&mut reasons, first).await) };
    let late = async {
        if !options.grace.is_zero() {
            Timer::after(options.grace).await;
        }
        drop(draining);
        Timer::after(options.drain_timeout).await;
        None
    };
    if let Some(reason) = future::or(again, late).await {
        lines.say_at_once(format_args!("Received {reason} as well, ending at once"));
    }
    drop(ended);
}
