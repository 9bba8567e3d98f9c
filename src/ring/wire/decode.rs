//! The bytes of a connection, taken apart: incremental, bounded, without a panic for any input.
//!
//! [`Parts`] is given what has been read, in pieces of any size. A message without a file comes out
//! [whole](Part::Whole). One that brings a file comes out as [`Part::Head`], as many [`Part::Chunk`]s
//! as there were pieces, and [`Part::End`] once the file is known to have the hash that it should
//! have. So a file of any size can be received in bounded memory. [`Decoder`] joins these parts.
//!
//! What does not decode yields a [`Reject`]: the refusal to send, and whether the connection can go
//! on. The content of a refused message is skipped, so that the next message is found where it
//! begins.
//!
//! [`Decoder`]: super::codec::Decoder

use super::{
    line::{Line, decimal},
    message::Message,
    peer::Envelope,
    refusal::{Reject, Status},
    verbs::{self, Brings, Read, Verb},
};
use crate::ring::{
    limits::{FILE_BYTES_CEILING, LINE_BYTES_MAX},
    size,
    version::Stamp,
};

/// Largest list that a node takes from another: of members, of digests, of names.
pub const LIST_BYTES_MAX: usize = 1 << 20;
/// Room that is reserved for the content of a file when its first bytes arrive.
const BYTES_AT_FIRST: usize = 64 << 10;

/// What a connection brings next.
#[derive(Clone, PartialEq, Debug)]
pub enum Part<'a> {
    /// A message that brings no file.
    Whole(Message),
    /// A message that brings a file, which follows.
    Head {
        /// The message.
        message: Message,
        /// Bytes of the file.
        file_bytes: usize,
    },
    /// The next bytes of the file.
    Chunk(&'a [u8]),
    /// The file is whole. If the message gave a hash, it is this one.
    End {
        /// BLAKE3 of all chunks; none if [`Parts::leave_unhashed`] was called.
        hash: Option<blake3::Hash>,
    },
}

/// Takes apart what one connection brings.
#[derive(Debug)]
pub struct Parts {
    file_bytes_max: usize,
    /// Whether the other end has shown itself to be a node.
    is_peer: bool,
    next: Next,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Next {
    Line,
    /// A list, of which a part is here. Its line is read once it is whole.
    List {
        verb: &'static Verb,
        line: String,
        got: Vec<u8>,
        want: usize,
    },
    File(File),
    /// The content of a message that was refused.
    Skip {
        bytes: u64,
    },
    /// Nothing: it is unknown where the next message begins.
    Lost,
}

impl Parts {
    /// Takes files of up to `file_bytes_max` bytes from a client.
    pub fn new(file_bytes_max: usize) -> Self {
        Self { file_bytes_max, is_peer: false, next: Next::Line }
    }

    /// From now on the other end is a node: files may have up to [`FILE_BYTES_CEILING`] bytes.
    pub fn trust_peer(&mut self) {
        self.is_peer = true;
    }

    /// Whether the next byte begins a message; false inside a file or a list.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.next, Next::Line)
    }

    /// Whether `input`, which comes next, begins with a client's upload.
    pub fn next_is_upload(&self, input: &[u8]) -> bool {
        self.is_between_messages() && verbs::is_upload(input.trim_ascii_start())
    }

    /// The file whose head has just come is not hashed: the receiver of its chunks does that.
    pub fn leave_unhashed(&mut self) {
        if let Next::File(file) = &mut self.next {
            file.hash = Hash::Left;
        }
    }

    /// Skips what is still to come of a file that is not wanted: no part of it comes any more.
    pub fn skip_file(&mut self) {
        if let Next::File(file) = &self.next {
            self.next = match file.left as u64 {
                0 => Next::Line,
                bytes => Next::Skip { bytes },
            };
        }
    }

    /// How many bytes of content are still to come before the message is whole.
    pub fn bytes_wanted(&self) -> usize {
        match &self.next {
            Next::List { got, want, .. } => want - got.len(),
            Next::File(file) => file.left,
            _ => 0,
        }
    }

    /// How many bytes of an incomplete list are here.
    pub fn list_bytes(&self) -> usize {
        match &self.next {
            Next::List { got, .. } => got.len(),
            _ => 0,
        }
    }

    /// Takes from the front of `input` and says how many bytes it took. `None`: more bytes are
    /// needed; those not taken are to be given again, with more behind them. Until then there may
    /// be more to say, even if nothing of the input is left.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Result<Part<'a>, Reject>>) {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            match &mut self.next {
                Next::Lost => return (input.len(), None),
                Next::Skip { bytes } => {
                    let skipped = rest.len().min(usize::try_from(*bytes).unwrap_or(usize::MAX));
                    *bytes -= skipped as u64;
                    taken += skipped;
                    if *bytes > 0 {
                        return (taken, None);
                    }
                    self.next = Next::Line;
                }
                Next::File(file) if file.left == 0 => {
                    let end = file.end();
                    self.next = Next::Line;
                    return (taken, Some(end));
                }
                Next::File(_) if rest.is_empty() => return (taken, None),
                Next::File(file) => {
                    let chunk = &rest[..rest.len().min(file.left)];
                    file.take(chunk);
                    return (taken + chunk.len(), Some(Ok(Part::Chunk(chunk))));
                }
                Next::List { verb, line, got, want } => {
                    let more = &rest[..rest.len().min(*want - got.len())];
                    append(got, more, *want);
                    taken += more.len();
                    if got.len() < *want {
                        return (taken, None);
                    }
                    let message = read(verb, Line::new(line), got);
                    self.next = Next::Line;
                    return (taken, Some(message.map(Part::Whole)));
                }
                Next::Line => {
                    let window = &rest[..rest.len().min(LINE_BYTES_MAX)];
                    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
                        if window.len() < LINE_BYTES_MAX {
                            return (taken, None);
                        }
                        let reason = format!("a line has at most {LINE_BYTES_MAX} bytes");
                        return (input.len(), Some(Err(self.lose(reason))));
                    };
                    let line = &rest[..end];
                    taken += end + 1;
                    if line.is_empty() || line == b"\r" {
                        continue;
                    }
                    match self.line(line, &input[taken..]) {
                        Ok((_, None)) => {}
                        Ok((more, Some(part))) => return (taken + more, Some(Ok(part))),
                        Err(reject) if reject.close => return (input.len(), Some(Err(reject))),
                        Err(reject) => return (taken, Some(Err(reject))),
                    }
                }
            }
        }
    }

    /// One whole line, and what was read after it. Says how much of that belongs to it.
    fn line(&mut self, line: &[u8], rest: &[u8]) -> Result<(usize, Option<Part<'static>>), Reject> {
        let Ok(text) = std::str::from_utf8(line) else {
            return Err(self.lose("the line is not UTF-8"));
        };
        let line = Line::new(text);
        let want = match line.key("len").map(decimal) {
            None => 0,
            Some(Some(len)) => len,
            Some(None) => return Err(self.lose("len= must be a decimal number of bytes")),
        };
        self.message(line, text, want, rest).inspect_err(|_| {
            self.next = if want > 0 { Next::Skip { bytes: want } } else { Next::Line };
        })
    }

    fn message(
        &mut self,
        line: Line<'_>,
        text: &str,
        want: u64,
        rest: &[u8],
    ) -> Result<(usize, Option<Part<'static>>), Reject> {
        let verb = verbs::find(line)?;
        let want = match self.bytes_max(verb.brings) {
            limit if want <= limit as u64 => want as usize,
            // Where name and size are both bad, the client is told of the name.
            limit if verb.brings == Brings::Upload => {
                read(verb, line, &[])?;
                return Err(too_large(size::beyond(want, limit)));
            }
            limit => {
                let (word, most) = (verb.word, size::in_words(limit as u64));
                return Err(too_large(format!("{word} takes at most {most} of content")));
            }
        };
        if matches!(verb.brings, Brings::List | Brings::Members) {
            if let Some(list) = rest.get(..want) {
                return Ok((want, Some(Part::Whole(read(verb, line, list)?))));
            }
            self.next = Next::List { verb, line: text.to_owned(), got: Vec::new(), want };
            return Ok((0, None));
        }
        let message = read(verb, line, &[])?;
        if !message.brings_file() {
            return Ok((0, Some(Part::Whole(message))));
        }
        self.next = Next::File(File::new(want, message.file_hash()));
        Ok((0, Some(Part::Head { message, file_bytes: want })))
    }

    /// The most that may follow a line.
    fn bytes_max(&self, brings: Brings) -> usize {
        match brings {
            Brings::Upload => self.file_bytes_max,
            Brings::File if self.is_peer => FILE_BYTES_CEILING,
            Brings::List if self.is_peer => LIST_BYTES_MAX,
            Brings::Members => LIST_BYTES_MAX,
            Brings::Nothing | Brings::File | Brings::List => 0,
        }
    }

    fn lose(&mut self, reason: impl Into<String>) -> Reject {
        self.next = Next::Lost;
        Reject::close(reason)
    }
}

fn too_large(reason: String) -> Reject {
    Reject::stay(Status::ContentTooLarge, reason)
}

/// Reads a message from its line, and from its list if it has one.
fn read(verb: &Verb, line: Line<'_>, list: &[u8]) -> Result<Message, Reject> {
    match verb.read {
        Read::Request(read) => read(line).map(Message::Request),
        Read::Peer(read) => {
            let stamp = line.optional("stamp")?.unwrap_or(Stamp(0));
            Ok(Message::Peer(Envelope { stamp, message: read(line, list)? }))
        }
    }
}

/// Appends to a content of `want` bytes. Room for it grows as it arrives, and is exactly as large
/// as the content in the end.
pub(super) fn append(got: &mut Vec<u8>, more: &[u8], want: usize) {
    if got.capacity() < got.len() + more.len() {
        let left = want - got.len();
        got.reserve_exact(got.len().max(BYTES_AT_FIRST).clamp(more.len(), left));
    }
    got.extend_from_slice(more);
}

/// A file that is arriving.
#[derive(Debug)]
struct File {
    bytes: usize,
    left: usize,
    hash: Hash,
    /// The hash that it must have, if one was given.
    expected: Option<blake3::Hash>,
}

/// The hash of what has arrived so far. What comes in several pieces is hashed as it comes: all at
/// once at its end would take long.
#[derive(Debug)]
enum Hash {
    None,
    /// Somebody else hashes it.
    Left,
    Begun(Box<blake3::Hasher>),
    Whole(blake3::Hash),
}

impl File {
    fn new(bytes: usize, expected: Option<blake3::Hash>) -> Self {
        Self { bytes, left: bytes, hash: Hash::None, expected }
    }

    fn take(&mut self, chunk: &[u8]) {
        self.left -= chunk.len();
        if let Hash::Left = self.hash {
            return;
        }
        if chunk.len() == self.bytes {
            self.hash = Hash::Whole(blake3::hash(chunk));
            return;
        }
        if let Hash::None = self.hash {
            self.hash = Hash::Begun(Box::default());
        }
        if let Hash::Begun(hasher) = &mut self.hash {
            hasher.update(chunk);
        }
    }

    fn end(&self) -> Result<Part<'static>, Reject> {
        let hash = match &self.hash {
            Hash::Left => return Ok(Part::End { hash: None }),
            Hash::None => blake3::hash(&[]),
            Hash::Begun(hasher) => hasher.finalize(),
            Hash::Whole(hash) => *hash,
        };
        if self.expected.is_some_and(|expected| expected != hash) {
            let reason = "the content does not match its blake3=";
            return Err(Reject::stay(Status::BadRequest, reason));
        }
        Ok(Part::End { hash: Some(hash) })
    }
}
