//! A file that is put on the node's own thread, in pieces, and not over a connection of the line protocol.
//!
//! A large one goes to the disk as it comes; of others all is in memory, in the same account and within the
//! same bounds as what comes over the line protocol.

use std::{
    future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{
    answers::Ready,
    clock::{self, Alarm},
    driver::Driver,
    flight::Half,
    limits::{INCOMING_BYTES_FIRST, TURN_LOOK},
    upload::Upload,
};
use crate::ring::{
    item::Content,
    message::{Answer, Condition, Refusal, Request, Status},
    name::Name,
    size,
};

/// A file that is coming. If it is dropped before it was put, what has come of it is forgotten.
pub(crate) struct Incoming {
    driver: Rc<Driver>,
    kind: Kind,
}

enum Kind {
    /// To the disk.
    Apart(Upload),
    /// Into memory.
    Whole(Whole),
}

struct Whole {
    name: Name,
    /// If it is known.
    bytes: Option<usize>,
    only_if: Option<Condition>,
    content: Vec<u8>,
    half: Half,
    /// Wakes the task to ask whether that may go on.
    retry: Option<Alarm>,
}

impl Incoming {
    /// Begins one, unless the node would refuse the file.
    pub(super) fn begin(
        driver: &Rc<Driver>,
        name: Name,
        bytes: Option<usize>,
        only_if: Option<Condition>,
    ) -> Result<Self, Refusal> {
        let kind = match bytes {
            Some(bytes) if driver.takes_in_pieces(bytes) => {
                Kind::Apart(Upload::begin(driver, name, bytes, only_if)?)
            }
            _ => {
                driver.may_put(&name, bytes.unwrap_or_default(), only_if)?;
                let half = Half::new(driver.flight.clone(), Some(driver.number()));
                Kind::Whole(Whole { name, bytes, only_if, content: Vec::new(), half, retry: None })
            }
        };
        Ok(Self { driver: driver.clone(), kind })
    }

    /// Waits until more of it may come.
    pub(crate) async fn room(&mut self) -> Result<(), Refusal> {
        future::poll_fn(|cx| match &mut self.kind {
            Kind::Apart(upload) => upload.poll_room(cx).map_err(|fault| upload.refusal(fault)),
            Kind::Whole(whole) => whole.poll_room(cx).map(Ok),
        })
        .await
    }

    /// Takes the next piece of it.
    pub(crate) fn push(&mut self, piece: Bytes) -> Result<(), Refusal> {
        match &mut self.kind {
            Kind::Apart(upload) => upload.push_bytes(piece),
            Kind::Whole(whole) => {
                let bytes = whole.content.len() + piece.len();
                if whole.bytes.is_some() || !self.driver.comes_apart(bytes) {
                    return whole.push(&piece, self.driver.bytes_max.whole);
                }
                // It turns out to be large.
                let (name, come) = (whole.name.clone(), std::mem::take(&mut whole.content));
                let mut upload = Upload::of_unknown_length(&self.driver, name, whole.only_if);
                upload.push_bytes(come.into())?;
                upload.push_bytes(piece)?;
                self.kind = Kind::Apart(upload);
                Ok(())
            }
        }
    }

    /// Puts it: all of it has come.
    pub(crate) async fn put(self) -> Answer {
        let asked = match self.kind {
            Kind::Apart(mut upload) => {
                upload.end();
                match future::poll_fn(|cx| upload.poll_put(cx)).await {
                    Ok(put) => self.driver.ask_put(put),
                    Err(fault) => return Answer::Refused(upload.refusal(fault)),
                }
            }
            Kind::Whole(Whole { name, only_if, mut content, half, .. }) => {
                // It may stay in memory for long.
                content.shrink_to_fit();
                let content = Content::from(content);
                let asked = self.driver.ask(Request::Put { name, content, only_if });
                drop(half);
                asked
            }
        };
        match future::poll_fn(|cx| asked.poll(cx)).await {
            Ready::Whole(answer) => answer,
            Ready::Streamed(_) => Answer::Refused(Refusal::new(
                Status::Unavailable,
                "the node answered something else",
            )),
        }
    }
}

impl Whole {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.retry = None;
        if self.half.may_grow(clock::now(), cx.waker()) {
            return Poll::Ready(());
        }
        let mut retry = Alarm::after(TURN_LOOK);
        match Pin::new(&mut retry).poll(cx) {
            // It is asked again at once.
            Poll::Ready(()) => cx.waker().wake_by_ref(),
            Poll::Pending => self.retry = Some(retry),
        }
        Poll::Pending
    }

    fn push(&mut self, piece: &[u8], most: usize) -> Result<(), Refusal> {
        let bytes = self.content.len() + piece.len();
        if bytes > self.bytes.unwrap_or(most) {
            let reason = size::beyond(bytes as u64, most);
            return Err(Refusal::new(Status::ContentTooLarge, reason));
        }
        if bytes > self.content.capacity() {
            // A length that was only announced takes no memory.
            let more = (2 * self.content.capacity()).max(INCOMING_BYTES_FIRST).max(bytes);
            let capacity = more.min(self.bytes.unwrap_or(usize::MAX));
            self.content.reserve_exact(capacity - self.content.len());
        }
        self.content.extend_from_slice(piece);
        self.half.set(bytes);
        Ok(())
    }
}
