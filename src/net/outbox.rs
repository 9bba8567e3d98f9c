//! What is still to be written on a connection: lines and small contents are copied into a buffer,
//! large contents are written from where they are in memory.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, Write},
    rc::Rc,
};

use bytes::Bytes;

use super::{
    flight::{Flight, Held, WaitingPlace},
    limits::{COPIED_CONTENT_BYTES_MAX, OUTBOX_KEPT_BYTES_MAX},
};
use crate::ring::codec::Encode;

/// The most slices that one system call writes.
const SLICES_MAX: usize = 32;

/// Bytes on their way out, in order.
pub(super) struct Outbox {
    flight: Rc<Flight>,
    segments: VecDeque<Segment>,
    /// What comes after the segments. A `BytesMut` would take a tenth longer for short messages.
    tail: Vec<u8>,
    /// How much of the first segment, or of the tail if there is none, is written. Written bytes stay in
    /// the buffer until all of it is written, so the rest is never moved to its front.
    written: usize,
    bytes: usize,
}

/// Bytes that are contiguous in memory.
enum Segment {
    /// Lines, and small contents.
    Copied(Vec<u8>),
    Content(Held),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Content(held) => held.bytes(),
        }
    }
}

impl Outbox {
    pub(super) fn new(flight: Rc<Flight>) -> Self {
        Self { flight, segments: VecDeque::new(), tail: Vec::new(), written: 0, bytes: 0 }
    }

    /// How many bytes are still to be written.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a message. `place` says where its content waits, if it is a large one.
    pub(super) fn push(&mut self, message: &impl Encode, place: WaitingPlace) {
        if self.tail.len() >= OUTBOX_KEPT_BYTES_MAX {
            self.seal();
        }
        let before = self.tail.len();
        let content = message.encode(&mut self.tail);
        let large = content.filter(|content| content.len() > COPIED_CONTENT_BYTES_MAX);
        if large.is_none() {
            self.tail.extend_from_slice(content.map(|it| &it[..]).unwrap_or_default());
        }
        self.note_copied(self.tail.len() - before);
        if let Some(content) = large {
            self.seal();
            self.bytes += content.len();
            let held = self.flight.hold(content.bytes(), place);
            self.segments.push_back(Segment::Content(held));
        }
    }

    /// Appends a piece of a content. Nothing is copied.
    pub(super) fn push_piece(&mut self, piece: &Bytes) {
        self.seal();
        self.bytes += piece.len();
        self.segments.push_back(Segment::Content(self.flight.hold(piece, WaitingPlace::Client)));
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.note_copied(bytes.len());
    }

    fn note_copied(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.flight.add_copied(bytes);
    }

    /// Writes in one system call, as much as the other end takes.
    pub(super) fn write_to(&mut self, mut stream: impl Write) -> io::Result<usize> {
        let written = if self.segments.is_empty() {
            stream.write(&self.tail[self.written..])?
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let all = self.segments.iter().map(Segment::bytes).chain([&self.tail[..]]);
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(all) {
                let from = if count == 0 { self.written } else { 0 };
                *slice = IoSlice::new(&bytes[from..]);
                count += 1;
            }
            stream.write_vectored(&slices[..count])?
        };
        if written == 0 && self.bytes > 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        Ok(written)
    }

    fn advance(&mut self, written: usize) {
        self.bytes -= written;
        self.written += written;
        while let Some(first) = self.segments.front()
            && self.written >= first.bytes().len()
        {
            self.written -= first.bytes().len();
            if let Some(Segment::Copied(bytes)) = self.segments.pop_front() {
                self.flight.sub_copied(bytes.len());
            }
        }
        if self.bytes == 0 {
            self.written = 0;
            self.flight.sub_copied(self.tail.len());
            self.tail.clear();
            self.tail.shrink_to(OUTBOX_KEPT_BYTES_MAX);
        }
    }

    /// Makes the tail a segment, without a copy, so that something can come after it.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.segments.push_back(Segment::Copied(std::mem::take(&mut self.tail)));
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let copied = self.segments.iter().map(|segment| match segment {
            Segment::Copied(bytes) => bytes.len(),
            Segment::Content(_) => 0,
        });
        self.flight.sub_copied(copied.sum::<usize>() + self.tail.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::message::{Answer, Item};

    /// Takes a few bytes per call.
    struct Slow(Vec<u8>, usize);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn found(content: Vec<u8>) -> Answer {
        let version = "0000000000000001@127.0.0.1:1".parse().unwrap();
        Answer::Found(Item::file(version, content.into()))
    }

    #[test]
    fn however_much_waits_no_buffer_is_long_so_no_move_of_one_is() {
        let (mut outbox, mut slow) = (Outbox::new(Flight::new(1 << 20)), Slow(Vec::new(), 1000));
        let (mut expected, mut longest) = (Vec::new(), 0);
        for size in 0..4000 {
            let answer = found(vec![size as u8; size]);
            let content = answer.encode(&mut expected).expect("an item has content").clone();
            expected.extend_from_slice(&content);
            outbox.push(&answer, WaitingPlace::Client);
            longest = longest.max(outbox.tail.capacity());
        }
        assert!(outbox.bytes() > 8_000_000 && longest <= 4 * OUTBOX_KEPT_BYTES_MAX, "{longest}");
        while outbox.bytes() > 0 {
            outbox.write_to(&mut slow).unwrap();
        }
        assert!(slow.0 == expected);
    }

    #[test]
    fn bytes_leave_in_order_however_few_go_at_a_time() {
        for step in [1, 7, 1000, 1 << 20] {
            let (mut outbox, mut slow, mut expected) =
                (Outbox::new(Flight::new(1 << 20)), Slow(Vec::new(), step), Vec::new());
            for size in [0, 5, COPIED_CONTENT_BYTES_MAX + 1, 3, 40_000, 70_000, 1] {
                let answer = found(vec![size as u8; size]);
                let content = answer.encode(&mut expected).expect("an item has content").clone();
                expected.extend_from_slice(&content);
                outbox.push(&answer, WaitingPlace::Client);
                outbox.write_to(&mut slow).unwrap();
            }
            outbox.push_bytes(b"end");
            expected.extend_from_slice(b"end");
            while outbox.bytes() > 0 {
                outbox.write_to(&mut slow).unwrap();
            }
            assert!(slow.0 == expected, "step {step}");
        }
    }
}
