//! Whole messages from bytes, and bytes from messages.
//!
//! A [`Decoder`] holds the file of a message in memory until it is whole. [`Parts`] yields the file
//! in pieces instead.

use bytes::Bytes;

use super::{decode::append, message::Message};
pub use super::{
    decode::{LIST_BYTES_MAX, Part, Parts},
    encode::Encode,
    refusal::Reject,
};
use crate::ring::item::Content;

/// Turns the bytes of one connection into messages.
#[derive(Debug)]
pub struct Decoder {
    parts: Parts,
    /// The message whose file is arriving.
    unfinished: Option<Unfinished>,
}

/// What has come on a connection.
#[derive(Clone, PartialEq, Debug)]
pub enum Decoded<'a> {
    /// A message, with its file if it brings one.
    Whole(Message),
    /// A message whose file follows in pieces, and how long that is. It is not hashed.
    Begins(Message, usize),
    /// The next piece.
    Piece(&'a [u8]),
    /// That was the last.
    Ends,
}

/// A message, and what is here of its file.
#[derive(Debug)]
struct Unfinished {
    message: Message,
    got: Vec<u8>,
    want: usize,
}

impl Decoder {
    /// A decoder that takes files of up to `file_bytes_max` bytes from a client.
    pub fn new(file_bytes_max: usize) -> Self {
        Self { parts: Parts::new(file_bytes_max), unfinished: None }
    }

    /// From now on the other end is a node, which may send larger files.
    pub fn trust_peer(&mut self) {
        self.parts.trust_peer();
    }

    /// Skips what is still to come of a file in pieces that is not wanted.
    pub fn skip_file(&mut self) {
        self.parts.skip_file();
    }

    /// Whether the next byte begins a message; false inside a file or a list.
    pub fn is_between_messages(&self) -> bool {
        self.parts.is_between_messages()
    }

    /// Whether `input`, which comes next, begins with a client's upload.
    pub fn next_is_upload(&self, input: &[u8]) -> bool {
        self.parts.next_is_upload(input)
    }

    /// How many bytes of the file are still to come before the message is whole.
    pub fn bytes_wanted(&self) -> usize {
        self.parts.bytes_wanted()
    }

    /// How many bytes of that file are here.
    pub fn bytes_got(&self) -> usize {
        self.unfinished.as_ref().map_or(self.parts.list_bytes(), |it| it.got.len())
    }

    /// Takes from the front of `input` and says how many bytes it took. `None`: more bytes are
    /// needed; those not taken are to be given again, with more behind them.
    pub fn decode(&mut self, input: &[u8]) -> (usize, Option<Result<Message, Reject>>) {
        let (taken, decoded) = self.decode_some(input, |_, _| false);
        let message = decoded.map(|decoded| match decoded {
            Ok(Decoded::Whole(message)) => Ok(message),
            Ok(_) => unreachable!("no file is asked for in pieces"),
            Err(reject) => Err(reject),
        });
        (taken, message)
    }

    /// The same, but the file of a message for which `in_pieces` is true, by its length, comes in
    /// pieces.
    pub fn decode_some<'a>(
        &mut self,
        input: &'a [u8],
        in_pieces: impl Fn(&Message, usize) -> bool,
    ) -> (usize, Option<Result<Decoded<'a>, Reject>>) {
        let mut taken = 0;
        loop {
            let (more, part) = self.parts.next(&input[taken..]);
            taken += more;
            match part {
                None => return (taken, None),
                Some(Ok(Part::Whole(message))) => {
                    return (taken, Some(Ok(Decoded::Whole(message))));
                }
                Some(Ok(Part::Head { message, file_bytes })) if in_pieces(&message, file_bytes) => {
                    self.parts.leave_unhashed();
                    return (taken, Some(Ok(Decoded::Begins(message, file_bytes))));
                }
                Some(Ok(Part::Head { message, file_bytes })) => {
                    self.unfinished =
                        Some(Unfinished { message, got: Vec::new(), want: file_bytes });
                }
                Some(Ok(Part::Chunk(chunk))) => {
                    let Some(it) = &mut self.unfinished else {
                        return (taken, Some(Ok(Decoded::Piece(chunk))));
                    };
                    append(&mut it.got, chunk, it.want);
                }
                Some(Ok(Part::End { hash })) => {
                    let ended = self.unfinished.take().map(|it| it.whole(hash));
                    return (taken, Some(Ok(ended.map_or(Decoded::Ends, Decoded::Whole))));
                }
                Some(Err(reject)) => {
                    self.unfinished = None;
                    return (taken, Some(Err(reject)));
                }
            }
        }
    }
}

impl Unfinished {
    fn whole(mut self, hash: Option<blake3::Hash>) -> Message {
        self.message.complete(Content::hashed(Bytes::from(self.got), hash));
        self.message
    }
}
