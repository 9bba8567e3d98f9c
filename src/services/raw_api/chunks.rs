//! A body in chunks: for who begins to send before knowing how much it will be.
//!
//! ```text
//! 5\r\n          the length of a chunk, in hexadecimal; behind a `;` there may be an extension
//! hello\r\n      so many bytes, and a line's end
//! 0\r\n          no more chunks
//! \r\n           trailers, which are headers that came too late, and then an empty line
//! ```
//!
//! Lines end in CR LF here and in nothing else: a reader that took less would see other chunks than
//! the next one, and so other requests.

use super::{
    head,
    limits::{EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX},
};

/// The bytes are no chunks. Nothing after them can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes of the body.
    Data(&'a [u8]),
    /// The body is complete.
    End,
}

/// Where in its chunks a reader is.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    /// Of the chunk: read so far in [`State::Size`], still to come in [`State::Data`].
    size: u64,
    extension_bytes: usize,
    trailer: Vec<u8>,
    trailer_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    #[default]
    Start,
    Size,
    /// Blanks behind a size.
    Blank,
    Extension,
    /// LF behind a size's CR.
    SizeEnd,
    Data,
    /// CR behind a chunk, and its LF.
    DataCr,
    DataLf,
    Trailer,
    End,
}

impl Chunks {
    /// Reads on, up to the end of a piece or of the input. Returns how many bytes it took; it wants
    /// more input when there is no piece.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Option<Piece<'a>>), Malformed> {
        let mut taken = 0;
        while self.state != State::End {
            let rest = &input[taken..];
            let Some(&byte) = rest.first() else { return Ok((taken, None)) };
            if self.state == State::Data {
                let bytes = usize::try_from(self.size).unwrap_or(usize::MAX).min(rest.len());
                self.size -= bytes as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                return Ok((taken + bytes, Some(Piece::Data(&rest[..bytes]))));
            }
            self.state = self.step(byte)?;
            taken += 1;
        }
        Ok((taken, Some(Piece::End)))
    }

    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        let digit = char::from(byte).to_digit(16);
        match (self.state, byte) {
            (State::Start | State::Size, _) if let Some(digit) = digit => {
                let size = self.size.checked_mul(16).ok_or(Malformed)?;
                self.size = size | u64::from(digit);
                Ok(State::Size)
            }
            (State::Size | State::Blank, b' ' | b'\t') => Ok(State::Blank),
            (State::Size | State::Blank, b';') => Ok(State::Extension),
            (State::Size | State::Blank | State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Extension, b'\n') => Err(Malformed),
            (State::Extension, _) if self.extension_bytes < EXTENSION_BYTES_MAX => {
                self.extension_bytes += 1;
                Ok(State::Extension)
            }
            (State::SizeEnd, b'\n') if self.size == 0 => Ok(State::Trailer),
            (State::SizeEnd, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Start),
            (State::Trailer, _) => self.trailer(byte),
            _ => Err(Malformed),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Malformed> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(Malformed);
        }
        self.trailer.push(byte);
        if byte != b'\n' {
            return Ok(State::Trailer);
        }
        let line = self.trailer.strip_suffix(b"\r\n").ok_or(Malformed)?;
        if line.is_empty() {
            return Ok(State::End);
        }
        head::field(line).ok_or(Malformed)?;
        self.trailer.clear();
        Ok(State::Trailer)
    }
}
