//! A body in chunks: for senders that begin before they know its length.
//!
//! ```text
//! 5\r\n          the length of a chunk, in hexadecimal; behind a `;` there may be an extension
//! hello\r\n      so many bytes, and a line's end
//! 0\r\n          no more chunks
//! \r\n           trailers, which are headers that came too late, and then an empty line
//! ```
//!
//! Lines end in CR LF here and in nothing else: a reader that accepted less would see other chunks
//! than the next reader, and so other requests.

use super::{
    head,
    limits::{EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX},
};

/// The bytes are not valid chunks. Nothing after them can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A part of a body, as a slice of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// How many bytes of the input were read.
    pub taken: usize,
    /// Those among them that belong to the body. There may be none.
    pub data: &'a [u8],
    /// The body is complete.
    pub is_last: bool,
}

/// Reads chunks, and keeps how far it has come.
#[derive(Debug, Default)]
pub struct Chunks {
    state: ChunkState,
    /// Of the chunk: read so far in [`ChunkState::Size`], still to come in [`ChunkState::Data`].
    size: u64,
    extension_bytes: usize,
    trailer: Vec<u8>,
    trailer_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    /// The first digit of a size.
    #[default]
    Start,
    Size,
    /// Blanks after a size.
    Blank,
    Extension,
    /// LF after a size's CR.
    SizeEnd,
    Data,
    /// CR after a chunk, and its LF.
    DataCr,
    DataLf,
    Trailer,
    End,
}

impl Chunks {
    /// Reads on, up to the end of a piece or of the input.
    pub fn read<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, Malformed> {
        let mut taken = 0;
        while self.state != ChunkState::End {
            let rest = &input[taken..];
            let Some(&byte) = rest.first() else {
                return Ok(Piece { taken, data: &[], is_last: false });
            };
            if self.state == ChunkState::Data {
                let bytes = usize::try_from(self.size).unwrap_or(usize::MAX).min(rest.len());
                self.size -= bytes as u64;
                if self.size == 0 {
                    self.state = ChunkState::DataCr;
                }
                return Ok(Piece { taken: taken + bytes, data: &rest[..bytes], is_last: false });
            }
            self.state = self.step(byte)?;
            taken += 1;
        }
        Ok(Piece { taken, data: &[], is_last: true })
    }

    fn step(&mut self, byte: u8) -> Result<ChunkState, Malformed> {
        let digit = char::from(byte).to_digit(16);
        match (self.state, byte) {
            (ChunkState::Start | ChunkState::Size, _) if let Some(digit) = digit => {
                let size = self.size.checked_mul(16).ok_or(Malformed)?;
                self.size = size | u64::from(digit);
                Ok(ChunkState::Size)
            }
            (ChunkState::Size | ChunkState::Blank, b' ' | b'\t') => Ok(ChunkState::Blank),
            (ChunkState::Size | ChunkState::Blank, b';') => Ok(ChunkState::Extension),
            (ChunkState::Size | ChunkState::Blank | ChunkState::Extension, b'\r') => {
                Ok(ChunkState::SizeEnd)
            }
            (ChunkState::Extension, b'\n') => Err(Malformed),
            (ChunkState::Extension, _) if self.extension_bytes < EXTENSION_BYTES_MAX => {
                self.extension_bytes += 1;
                Ok(ChunkState::Extension)
            }
            (ChunkState::SizeEnd, b'\n') if self.size == 0 => Ok(ChunkState::Trailer),
            (ChunkState::SizeEnd, b'\n') => Ok(ChunkState::Data),
            (ChunkState::DataCr, b'\r') => Ok(ChunkState::DataLf),
            (ChunkState::DataLf, b'\n') => Ok(ChunkState::Start),
            (ChunkState::Trailer, _) => self.trailer(byte),
            _ => Err(Malformed),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<ChunkState, Malformed> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(Malformed);
        }
        self.trailer.push(byte);
        if byte != b'\n' {
            return Ok(ChunkState::Trailer);
        }
        let line = self.trailer.strip_suffix(b"\r\n").ok_or(Malformed)?;
        if line.is_empty() {
            return Ok(ChunkState::End);
        }
        head::field(line).ok_or(Malformed)?;
        self.trailer.clear();
        Ok(ChunkState::Trailer)
    }
}
