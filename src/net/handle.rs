//! A node as it is asked on its own thread, without a connection: requests in, answers out.

use std::{
    fmt, future, io,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use smol::LocalExecutor;

pub(crate) use super::driver::gauges::Gauges;
use super::{
    answers::Ready,
    driver::Driver,
    face::Face,
    feed::{News, Passed, Position},
    flight::{Held, WaitingPlace},
    incoming::Incoming,
    streamed::{Feeding, Streamed},
};
use crate::{
    ring::{
        index::IndexEntry,
        message::{Answer, Condition, Refusal, Request},
        name::Name,
        version::Version,
    },
    store::disk::ReadError,
};

/// A node. Clones are of the same.
#[derive(Clone)]
pub(crate) struct NodeHandle(Rc<Driver>);

/// Makes what speaks another protocol at a node's port, when the node runs.
pub(crate) struct MakeFace(Box<dyn FnOnce(NodeHandle) -> Rc<dyn Face>>);

impl MakeFace {
    pub(crate) fn new(make: impl FnOnce(NodeHandle) -> Rc<dyn Face> + 'static) -> Self {
        Self(Box::new(make))
    }

    pub(super) fn make(self, node: NodeHandle) -> Rc<dyn Face> {
        (self.0)(node)
    }
}

impl fmt::Debug for MakeFace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeFace")
    }
}

/// What the node answers.
pub(crate) enum Reply {
    /// All of it is here.
    Whole(Answer),
    /// A file that is read piece by piece.
    Streamed(StreamedFile),
}

/// A large file on the node's disk.
pub(crate) struct StreamedFile {
    /// Which write of the name it is.
    pub(crate) version: Version,
    /// BLAKE3 of all of it.
    pub(crate) hash: blake3::Hash,
    /// Its length.
    pub(crate) bytes: u64,
    driver: Rc<Driver>,
    streamed: Streamed,
}

/// Some bytes of such a file, read as they are taken.
pub(crate) struct Pieces {
    driver: Rc<Driver>,
    streamed: Streamed,
    feeding: Feeding,
    /// The piece that was taken last, in the account of what is in flight.
    held: Option<Held>,
}

impl NodeHandle {
    pub(super) fn new(driver: Rc<Driver>) -> Self {
        Self(driver)
    }

    /// What runs the tasks of the node.
    pub(crate) fn executor(&self) -> Weak<LocalExecutor<'static>> {
        Rc::downgrade(&self.0.executor)
    }

    /// What a GET of this name would be answered with at once, without asking another node.
    pub(crate) fn at_hand(&self, name: &Name, version: Option<Version>) -> Option<IndexEntry> {
        self.0.see(|node| node.at_hand(name, version))
    }

    /// Whether this node knows all names of the ring, and this one is none of them.
    pub(crate) fn is_absent(&self, name: &Name) -> bool {
        self.0.see(|node| node.is_absent(name))
    }

    /// Whether a file of so many bytes may be put now. Nothing was changed.
    pub(crate) fn may_put(
        &self,
        name: &Name,
        bytes: usize,
        only_if: Option<Condition>,
    ) -> Result<(), Refusal> {
        self.0.may_put(name, bytes, only_if)
    }

    /// Asks the node. Where the request goes round the ring, it waits until there is room for that.
    pub(crate) async fn ask(&self, request: Request) -> Reply {
        if let Request::Get { name, version } = &request
            && self.at_hand(name, *version).is_none()
        {
            self.room().await;
        }
        if matches!(request, Request::Delete { .. }) {
            self.room().await;
        }
        let asked = self.0.ask(request);
        match future::poll_fn(|cx| asked.poll(cx)).await {
            Ready::Whole(answer) => Reply::Whole(answer),
            Ready::Streamed(streamed) => self.streamed(streamed),
        }
    }

    /// Begins to put a file that comes in pieces; `bytes` is its length, if that is known.
    pub(crate) fn put(
        &self,
        name: Name,
        bytes: Option<usize>,
        only_if: Option<Condition>,
    ) -> Result<Incoming, Refusal> {
        Incoming::begin(&self.0, name, bytes, only_if)
    }

    /// Waits until there is room for another operation.
    pub(crate) async fn room(&self) {
        future::poll_fn(|cx| {
            if self.0.has_room() {
                return Poll::Ready(());
            }
            self.0.flight.park(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Counts a content that waits for a client, as long as what is returned lives.
    pub(crate) fn hold(&self, content: &Bytes) -> impl Sized + use<> {
        self.0.flight.hold(content, WaitingPlace::Client)
    }

    /// What the node has counted, and how much of what it has just now.
    pub(crate) fn gauges(&self) -> Gauges {
        self.0.gauges()
    }

    /// Watches what happens at the node, from here on.
    pub(crate) fn watch(&self) -> Watch {
        Watch { position: self.0.feed.begin(), driver: self.0.clone() }
    }

    /// How many do.
    pub(crate) fn watchers(&self) -> usize {
        self.0.feed.watchers()
    }

    fn streamed(&self, streamed: Streamed) -> Reply {
        let Some((version, hash)) = streamed.of() else {
            let reason = "this content has not come yet; try again";
            let refusal = Refusal::new(crate::ring::message::Status::Unavailable, reason);
            return Reply::Whole(Answer::Refused(refusal));
        };
        let (driver, bytes) = (self.0.clone(), streamed.end());
        Reply::Streamed(StreamedFile { version, hash, bytes, driver, streamed })
    }
}

/// What happens at a node, as one that watches it sees it.
pub(crate) struct Watch {
    driver: Rc<Driver>,
    position: Position,
}

impl Watch {
    /// Begins behind this event.
    pub(crate) fn after(&mut self, news: u64) {
        self.position.news = news;
    }

    /// What has happened since it was asked last. If that is nothing, the task is woken when there is
    /// something.
    pub(crate) fn next(&mut self, cx: &Context<'_>) -> (Vec<News>, Vec<Passed>) {
        self.driver.feed.since(&mut self.position, cx)
    }

    /// Whether the node is about to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.driver.is_closing()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.driver.feed.end();
    }
}

impl StreamedFile {
    /// The bytes from `from` on, up to and without `to`.
    pub(crate) fn part(&self, from: u64, to: u64) -> Pieces {
        let (driver, streamed) = (self.driver.clone(), self.streamed.part(from, to));
        Pieces { driver, streamed, feeding: Feeding::default(), held: None }
    }
}

impl Pieces {
    /// The next piece; `None` at the end. After an error there is none.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.held = None;
        if self.streamed.is_done() {
            return Poll::Ready(None);
        }
        let next = |cx: &Context<'_>| self.driver.piece(cx, &self.streamed);
        Poll::Ready(Some(match ready!(self.feeding.poll(cx, next)) {
            Ok(piece) if piece.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(piece) => {
                self.streamed.advance(piece.len());
                self.held = Some(self.driver.flight.hold(&piece, WaitingPlace::Client));
                Ok(piece)
            }
            Err(why) => {
                if matches!(why, ReadError::Damaged) {
                    self.driver.is_damaged(&self.streamed);
                }
                Err(io::Error::other(why))
            }
        }))
    }
}
