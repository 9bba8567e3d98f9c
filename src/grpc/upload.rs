//! The messages of a call on their way in, and how many bytes of them are held.
//!
//! A stream of messages may go on for ever, so what has ever come says nothing about what is held. A
//! message begins with five bytes that say how long it is, and is decoded as soon as it is whole; the
//! decoder asks for more when it has no whole message left. Then all but the beginning of the next
//! message has gone.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use crate::http::{Upload, pieces::BoxError};

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// The body of a call.
pub struct Messages {
    upload: Upload,
    ends: MessageEnds,
}

impl Messages {
    pub(super) fn new(upload: Upload) -> Self {
        Self { upload, ends: MessageEnds::default() }
    }
}

impl Body for Messages {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { upload, ends } = &mut *self;
        upload.release(ends.take_whole_bytes());
        let frame = ready!(Pin::new(upload).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            ends.read(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.upload.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.upload.size_hint()
    }
}

/// Where messages end, in bytes that are cut anywhere.
#[derive(Debug, Default)]
struct MessageEnds {
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// Of the present message, still to come.
    left: usize,
    /// Of the present message, with its prefix, that have come.
    begun_bytes: usize,
    /// Of messages that are whole.
    whole_bytes: usize,
}

impl MessageEnds {
    fn read(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let taken = if self.left > 0 {
                let taken = self.left.min(data.len());
                self.left -= taken;
                taken
            } else {
                let taken = (PREFIX_BYTES - self.prefix_bytes).min(data.len());
                let end = self.prefix_bytes + taken;
                self.prefix[self.prefix_bytes..end].copy_from_slice(&data[..taken]);
                self.prefix_bytes = end;
                if end == PREFIX_BYTES {
                    let [_, length @ ..] = self.prefix;
                    self.left = u32::from_be_bytes(length) as usize;
                }
                taken
            };
            data = &data[taken..];
            self.begun_bytes += taken;
            if self.left == 0 && self.prefix_bytes == PREFIX_BYTES {
                self.whole_bytes += std::mem::take(&mut self.begun_bytes);
                self.prefix_bytes = 0;
            }
        }
    }

    /// The bytes of messages that have become whole since the last time.
    fn take_whole_bytes(&mut self) -> usize {
        std::mem::take(&mut self.whole_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_the_beginning_of_one_message() {
        let lengths = [0u32, 1, 300, 0, 0, 7];
        let message =
            |length: &u32| [&[0][..], &length.to_be_bytes(), &vec![9; *length as usize]].concat();
        let stream: Vec<u8> = lengths.iter().flat_map(message).collect();
        for cut in [1, 2, 5, 6, 100, stream.len()] {
            let (mut ends, mut held, mut most) = (MessageEnds::default(), 0, 0);
            for piece in stream.chunks(cut) {
                held -= ends.take_whole_bytes();
                ends.read(piece);
                held += piece.len();
                most = most.max(held);
            }
            assert!(most <= 305 + cut, "{most} with pieces of {cut}");
            assert_eq!(held, ends.take_whole_bytes());
        }
    }
}
