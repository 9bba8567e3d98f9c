//! The deadlines of one request, on one timer.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_io::Timer;
use smol::future;

use super::{
    error::{Cause, ClientError},
    peer::Peer,
    socket::Link,
};

/// How long a request may take. A deadline of zero has always passed; one that is too long for
/// the clock never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For a new connection: resolving the name and trying its addresses, all together. An address
    /// that is silent does not hold up the others. Default: 5 s.
    pub connect: Duration,
    /// The longest silence: the time in which no byte is received or sent. The time in which the
    /// caller does not read, or the body of its request is not ready, does not count. Default: 10
    /// s.
    pub read: Duration,
    /// From the call to the last byte of the answer's body, with everything in between: waiting
    /// for a free connection, connecting, the caller's own pauses. Default: 30 s.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            total: Duration::from_secs(30),
        }
    }
}

/// Watches one request from its beginning to the last byte of its answer.
pub(super) struct Watch {
    deadlines: Deadlines,
    began: Instant,
    /// `None`: it is too far ahead for the clock.
    end: Option<Instant>,
    /// When the present wait began, if there is one.
    waiting_since: Option<Instant>,
    /// Whether we wait for the request's body, now and at the last look.
    source_waits: Arc<AtomicBool>,
    source_waited: bool,
    /// Fires at the next deadline, or earlier; so it is seldom set.
    timer: Option<Timer>,
}

impl Watch {
    pub(super) fn new(deadlines: Deadlines, source_waits: Arc<AtomicBool>) -> Self {
        let began = Instant::now();
        Self {
            deadlines,
            began,
            end: began.checked_add(deadlines.total),
            waiting_since: None,
            source_waits,
            source_waited: false,
            timer: None,
        }
    }

    /// When the request began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// When connecting must have come to an end.
    pub(super) fn connect_end(&self) -> Option<Instant> {
        earlier(Instant::now().checked_add(self.deadlines.connect), self.end)
    }

    /// When the whole request must have come to an end.
    pub(super) fn end(&self) -> Option<Instant> {
        self.end
    }

    /// The wait is over.
    pub(super) fn rest(&mut self) {
        self.waiting_since = None;
    }

    /// Fails if the time of the whole request is over.
    pub(super) fn check(&self, peer: &Peer) -> Result<(), ClientError> {
        match self.end {
            Some(end) if end <= Instant::now() => Err(self.total_passed(peer)),
            _ => Ok(()),
        }
    }

    /// Ready when a deadline has passed. To be called when there is nothing to do but wait.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        peer: &Peer,
        link: &Link,
    ) -> Poll<ClientError> {
        let source_waits = self.source_waits.load(Relaxed);
        if source_waits || std::mem::replace(&mut self.source_waited, source_waits) {
            self.rest();
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(Pin::new(timer).poll(cx));
            }
            let now = Instant::now();
            if let Err(error) = self.check(peer) {
                return Poll::Ready(error);
            }
            let silence_end = since.max(link.moved()).checked_add(self.deadlines.read);
            if silence_end.is_some_and(|end| end <= now) {
                let within = self.deadlines.read;
                let what = format_args!(
                    "{peer} was silent for {within:.1?}. Try again, or allow a longer silence"
                );
                return Poll::Ready(ClientError::new(Cause::TimedOut, what));
            }
            match earlier(silence_end, self.end) {
                Some(next) => self.timer = Some(Timer::at(next)),
                None => return Poll::Pending,
            }
        }
    }

    pub(super) fn total_passed(&self, peer: &Peer) -> ClientError {
        let within = self.deadlines.total;
        let what = format_args!(
            "{peer} gave no whole answer in {within:.1?}. Try again, or allow more time"
        );
        ClientError::new(Cause::TimedOut, what)
    }

    pub(super) fn connect_passed(&self, peer: &Peer) -> ClientError {
        let within = self.deadlines.connect;
        let what = format_args!("no connection to {peer} in {within:.1?}. Check its address");
        ClientError::new(Cause::TimedOut, what)
    }
}

/// Lets `work` run until `end` at most. The timer costs nothing where `work` is ready at once.
pub(super) async fn until<T>(end: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        match end {
            Some(end) => Timer::at(end).await,
            None => future::pending().await,
        };
        None
    };
    future::or(async { Some(work.await) }, late).await
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
