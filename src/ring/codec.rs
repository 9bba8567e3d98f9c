//! Messages and the bytes of the wire: incremental, bounded, without a panic for any input.
//!
//! A [`Decoder`] is given what has been read, in pieces of any size, and yields one message at a
//! time. What does not decode yields a [`Reject`]: the refusal to send, and whether the
//! connection can go on. The content of a refused message is skipped, so that the next message
//! is found where it begins. The grammar is in PROTOCOL.md.

use std::{fmt::Write as _, io::Write as _};

use bytes::Bytes;

use super::{
    limits::{FILE_BYTES_CEILING, LINE_BYTES_MAX, PEER_BODY_BYTES_MAX, PROTOCOL},
    line::{Line, decimal},
    message::{Answer, Content, Envelope, Item, Message, Refusal, Row, Status},
    name::{Name, encode},
    parse,
    view::State as MemberState,
};

/// Room that is made for a content that has been announced, before a byte of it is there.
const BODY_BYTES_AT_FIRST: usize = 64 << 10;

/// What was received is no message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// What to tell the sender.
    pub refusal: Refusal,
    /// Whether the connection must end, because nobody knows where the next message begins.
    pub close: bool,
}

impl Reject {
    pub(super) fn stay(status: Status, reason: impl Into<String>) -> Self {
        Self { refusal: Refusal::new(status, reason), close: false }
    }

    fn close(reason: impl Into<String>) -> Self {
        Self { refusal: Refusal::new(Status::BadRequest, reason), close: true }
    }
}

/// Turns the bytes of one connection into messages.
#[derive(Debug)]
pub struct Decoder {
    file_bytes_max: usize,
    /// Whether the other end has shown itself to be a node.
    is_peer: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Line,
    Body { line: String, got: Vec<u8>, want: usize, hasher: Option<Box<blake3::Hasher>> },
    Skip { bytes: u64 },
    Closed,
}

impl Decoder {
    /// A decoder that takes files of up to `file_bytes_max` bytes from a client.
    pub fn new(file_bytes_max: usize) -> Self {
        Self { file_bytes_max, is_peer: false, state: State::Line }
    }

    /// From now on the other end is a node: files may have up to [`FILE_BYTES_CEILING`] bytes.
    pub fn trust_peer(&mut self) {
        self.is_peer = true;
    }

    /// Whether the next byte begins a message; false in the middle of a content.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Line)
    }

    /// How many bytes of content are still to come before the message is whole.
    pub fn bytes_wanted(&self) -> usize {
        match &self.state {
            State::Body { got, want, .. } => want - got.len(),
            _ => 0,
        }
    }

    /// How many bytes of such a content are here.
    pub fn bytes_got(&self) -> usize {
        match &self.state {
            State::Body { got, .. } => got.len(),
            _ => 0,
        }
    }

    /// Takes from the front of `input` and says how many bytes it took. `None`: more bytes are
    /// needed; those not taken are to be given again, with more behind them.
    pub fn decode(&mut self, input: &[u8]) -> (usize, Option<Result<Message, Reject>>) {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            match &mut self.state {
                State::Closed => return (input.len(), None),
                State::Skip { bytes } => {
                    let skipped = rest.len().min(usize::try_from(*bytes).unwrap_or(usize::MAX));
                    *bytes -= skipped as u64;
                    taken += skipped;
                    if *bytes > 0 {
                        return (taken, None);
                    }
                    self.state = State::Line;
                }
                State::Body { line, got, want, hasher } => {
                    let left = *want - got.len();
                    let more = rest.len().min(left);
                    if got.capacity() < got.len() + more {
                        // Grows with what arrives, and ends exactly as large as the content.
                        got.reserve_exact(got.len().clamp(more, left));
                    }
                    got.extend_from_slice(&rest[..more]);
                    if let Some(hasher) = hasher {
                        hasher.update(&rest[..more]);
                    }
                    taken += more;
                    if got.len() < *want {
                        return (taken, None);
                    }
                    let hash = hasher.as_ref().map(|hasher| hasher.finalize());
                    let body = Bytes::from(std::mem::take(got));
                    let message = parse::message(Line::new(line), body, hash);
                    self.state = State::Line;
                    return (taken, Some(message));
                }
                State::Line => {
                    let window = &rest[..rest.len().min(LINE_BYTES_MAX)];
                    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
                        if window.len() < LINE_BYTES_MAX {
                            return (taken, None);
                        }
                        self.state = State::Closed;
                        let reason = format!("a line has at most {LINE_BYTES_MAX} bytes");
                        return (input.len(), Some(Err(Reject::close(reason))));
                    };
                    let line = &rest[..end];
                    taken += end + 1;
                    if line.is_empty() || line == b"\r" {
                        continue;
                    }
                    let (more, message) = self.line(line, &input[taken..]);
                    if message.is_some() {
                        return (taken + more, message);
                    }
                }
            }
        }
    }

    /// One whole line, and what was read after it. Says how much of that belongs to the line.
    fn line(&mut self, line: &[u8], rest: &[u8]) -> (usize, Option<Result<Message, Reject>>) {
        let Ok(text) = std::str::from_utf8(line) else {
            self.state = State::Closed;
            return (rest.len(), Some(Err(Reject::close("the line is not UTF-8"))));
        };
        let line = Line::new(text);
        let want = match line.key("len").map(decimal) {
            None => 0,
            Some(Some(len)) => len,
            Some(None) => {
                self.state = State::Closed;
                let reason = "len= must be a decimal number of bytes";
                return (rest.len(), Some(Err(Reject::close(reason))));
            }
        };
        if let Err(reject) = self.check_head(line, want) {
            self.state = if want > 0 { State::Skip { bytes: want } } else { State::Line };
            return (0, Some(Err(reject)));
        }
        let want = usize::try_from(want).expect("check_head bounds it by a usize");
        if let Some(body) = rest.get(..want) {
            return (want, Some(parse::message(line, Bytes::copy_from_slice(body), None)));
        }
        let got = Vec::with_capacity(want.min(BODY_BYTES_AT_FIRST));
        // A large content is hashed while it arrives: all at once at its end would take long.
        // What will be hashed when it is whole is better hashed while it arrives.
        let is_hashed = line.word(0) == Some("PUT") || line.key("blake3").is_some();
        let hasher = is_hashed.then(Box::default);
        self.state = State::Body { line: text.to_owned(), got, want, hasher };
        (0, None)
    }

    /// What can be refused before a byte of content is read.
    fn check_head(&self, line: Line<'_>, want: u64) -> Result<(), Reject> {
        let verb = line.word(0).unwrap_or_default();
        let limit = match (verb, line.word(1).unwrap_or_default()) {
            ("PUT", _) => self.file_bytes_max,
            ("FORWARD", _) | ("SYNC", "ITEM") if self.is_peer => FILE_BYTES_CEILING,
            ("SYNC", _) if self.is_peer => PEER_BODY_BYTES_MAX,
            ("MEET" | "CHECK" | "CHECKED", _) => PEER_BODY_BYTES_MAX,
            (
                "GET" | "LIST" | "RING" | "PING" | "INFO" | "QUIT" | "FORGET" | "REFUSE"
                | "FORWARD" | "SYNC",
                _,
            ) => 0,
            _ => return Err(parse::unknown_verb(verb)),
        };
        if verb == "PUT" {
            parse::name(line)?;
        }
        if want > limit as u64 {
            let reason = match verb {
                "PUT" => format!("a file has at most {limit} bytes here"),
                _ => format!("{verb} takes at most {limit} bytes of content"),
            };
            return Err(Reject::stay(Status::ContentTooLarge, reason));
        }
        Ok(())
    }
}

/// What has a form on the wire.
pub trait Encode {
    /// Appends the line to `out`. A content of files is not copied: it is returned, and goes out
    /// right after the line.
    fn encode(&self, out: &mut Vec<u8>) -> Option<&Content>;
}

impl Encode for Answer {
    fn encode(&self, out: &mut Vec<u8>) -> Option<&Content> {
        match self {
            Answer::Stored { version, copies } => {
                line(out, format_args!("200 OK version={version} copies={copies}"));
            }
            Answer::Found(Item { version, hash, content }) => {
                let len = content.len();
                line(out, format_args!("200 OK len={len} version={version} blake3={hash}"));
                return Some(content);
            }
            Answer::Listing { files, more } => {
                let mut body = String::new();
                for (name, bytes, version) in files {
                    let name = name.wire();
                    let _ = writeln!(body, "{name} len={bytes} version={version}");
                }
                let (len, count) = (body.len(), files.len());
                let more = u8::from(*more);
                line(out, format_args!("200 OK len={len} count={count} more={more}"));
                out.extend_from_slice(body.as_bytes());
            }
            Answer::Ring { members: rows, me } => {
                let body = ring_table(rows, *me);
                let members = rows.iter().filter(|row| row.member.is_alive()).count();
                let len = body.len();
                line(out, format_args!("200 OK len={len} members={members}"));
                out.extend_from_slice(body.as_bytes());
            }
            Answer::Pong { me } => line(out, format_args!("200 OK node={me}")),
            Answer::Info(info) => info_line(out, info),
            Answer::Forgotten { address } => {
                line(out, format_args!("200 OK : {address} is not sought any more"));
            }
            Answer::Bye => line(out, format_args!("200 OK : bye")),
            Answer::Refused(refusal) => refusal_line(out, refusal),
        }
        None
    }
}

impl Encode for Envelope {
    fn encode(&self, out: &mut Vec<u8>) -> Option<&Content> {
        parse::encode_peer(self, out)
    }
}

/// Appends a line and its LF.
pub(super) fn line(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every write");
    out.push(b'\n');
}

fn refusal_line(out: &mut Vec<u8>, refusal: &Refusal) {
    let (code, words) = refusal.status.words();
    // A reason may quote what a client sent, which must not forge a line.
    let reason = refusal.reason.replace(|c: char| c.is_control(), "?");
    line(out, format_args!("{code} {words} : {reason}"));
}

fn info_line(out: &mut Vec<u8>, info: &super::message::Info) {
    line(
        out,
        format_args!(
            "200 OK node={} ring={} protocol={PROTOCOL} version={} state={} started={} clock={:+} \
             ready={} full={} members={} files={} bytes={} digest={} \
             max-line-bytes={LINE_BYTES_MAX} max-name-bytes={} max-file-bytes={} \
             max-store-bytes={} min-copies={} request-timeout-ms={}",
            info.me,
            info.ring,
            env!("CARGO_PKG_VERSION"),
            info.state,
            info.started_ms,
            info.clock_off_ms,
            u8::from(info.ready),
            u8::from(info.full),
            info.members,
            info.files,
            info.bytes,
            info.digest,
            super::limits::NAME_BYTES_MAX,
            info.max_file_bytes,
            info.max_store_bytes,
            info.min_copies,
            info.request_timeout.as_millis(),
        ),
    );
}

fn ring_table(rows: &[Row], me: std::net::SocketAddr) -> String {
    let mut body = String::new();
    for (i, Row { address, member, report, clock_off_ms }) in rows.iter().enumerate() {
        let incarnation = member.incarnation;
        let _ = match member.state {
            MemberState::Gone { since_ms, cause } => {
                let cause = cause.words().0;
                let head = format_args!("{address} gone incarnation={incarnation}");
                write!(body, "{head} since={since_ms} cause={cause}")
            }
            MemberState::Left { since_ms } => {
                write!(body, "{address} left incarnation={incarnation} since={since_ms}")
            }
            MemberState::Alive => {
                let (label, own) = (i + 1, u8::from(*address == me));
                let head = format_args!("{address} alive label=WS{label}");
                write!(body, "{head} incarnation={incarnation} self={own}")
            }
        };
        if let Some(report) = report {
            let (ready, full) = (u8::from(report.ready), u8::from(report.full));
            let (files, bytes) = (report.files, report.bytes);
            let _ = write!(body, " ready={ready} full={full} files={files} bytes={bytes}");
        }
        if let Some(off_ms) = clock_off_ms {
            let _ = write!(body, " clock={off_ms:+}");
        }
        body.push('\n');
    }
    body
}

/// A name as it stands on the wire, or nothing: for keys that may be absent.
pub(super) fn optional_name(key: &str, name: Option<&Name>) -> String {
    name.map_or(String::new(), |name| format!(" {key}={}", encode(name.as_str())))
}
