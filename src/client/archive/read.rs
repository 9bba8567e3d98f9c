//! Reading an archive: any of the forms of tar. What is in memory is bounded whatever the archive says.

use std::io::{self, Read};

use tar_core::{
    EntryType, PaxExtensions,
    parse::{Limits, ParseError, ParseEvent, ParsedEntry, Parser},
};

use super::BLOCK_BYTES;
use crate::client::pieces::WHOLE_BYTES_MAX;

/// Bytes of all headers of one entry, long names and pax headers included.
const HEADER_BYTES_MAX: usize = 256 << 10;
/// Bytes that one read takes at most.
const READ_BYTES: usize = 64 << 10;
/// What may follow the end mark, so that a program that writes it to a pipe comes to its end.
const REST_BYTES_MAX: u64 = 1 << 20;

/// Reads an archive, entry by entry. After an error nothing more can be read.
pub(in crate::client) struct ArchiveReader<R> {
    from: R,
    parser: Parser,
    buffer: Vec<u8>,
    /// Bytes that were taken out of the buffer.
    taken: u64,
    /// What is still to be read of the content of a large file, and of what it is filled up with.
    left: u64,
    padding: usize,
    has_ended: bool,
}

/// Something in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) struct Entry {
    /// Its path, as it stands there.
    pub path: Vec<u8>,
    pub kind: EntryKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum EntryKind {
    /// A file, with all its bytes.
    File(Vec<u8>),
    /// A large file. Its bytes, so many of them, are there to be read.
    Large(u64),
    Folder,
    /// What has no bytes of its own, or not in a form that is read here; what it is.
    Other(&'static str),
}

/// Why an archive cannot be read on. What was read before is whole.
#[derive(Debug, thiserror::Error)]
pub(in crate::client) enum ArchiveError {
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
    #[error("it is empty, and no archive")]
    Empty,
    #[error("it is no tar archive")]
    NoArchive,
    #[error("it is compressed by {0}, which can unpack it on the way")]
    Compressed(&'static str),
    #[error("it is cut: it ends after {0} bytes without its end mark")]
    Cut(u64),
    #[error("it is damaged at byte {at}: {why}")]
    Damaged { at: u64, why: String },
}

impl<R: Read> ArchiveReader<R> {
    pub fn new(from: R) -> Self {
        let limits = Limits { max_metadata_size: HEADER_BYTES_MAX as u32, ..Limits::default() };
        let mut parser = Parser::new(limits);
        // It is named like any other name that cannot be.
        parser.set_allow_empty_path(true);
        // A time or an owner that makes no sense keeps no file from being read. A size does: see
        // `size_is_sound`.
        parser.set_ignore_pax_errors(true);
        Self { from, parser, buffer: Vec::new(), taken: 0, left: 0, padding: 0, has_ended: false }
    }

    /// How many bytes of the archive have been read, as entries and contents.
    pub fn position(&self) -> u64 {
        self.taken
    }

    /// Fills this with the next bytes of a large file.
    pub fn content(&mut self, part: &mut [u8]) -> Result<(), ArchiveError> {
        let mut filled = 0;
        while filled < part.len() {
            let room = &mut part[filled..];
            let read = match self.buffer.len().min(room.len()) {
                0 => match self.from.read(room) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                    Ok(0) => return Err(self.cut(0)),
                    read => read?,
                },
                there => {
                    room[..there].copy_from_slice(&self.buffer[..there]);
                    self.buffer.drain(..there);
                    there
                }
            };
            filled += read;
            self.taken += read as u64;
            self.left = self.left.saturating_sub(read as u64);
        }
        Ok(())
    }

    /// The next entry, or `None` after the end mark. What was not read of a large file is passed over.
    pub fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.skip_bytes(self.left)?;
        self.fill(self.padding)?;
        self.take(self.padding);
        (self.left, self.padding) = (0, 0);
        let mut wanted = BLOCK_BYTES;
        while !self.has_ended {
            self.fill(wanted)?;
            let found = match self.parser.parse(&self.buffer) {
                Ok(ParseEvent::NeedData { min_bytes }) => {
                    // An entry has several headers at most, each of bounded size.
                    if min_bytes > 4 * HEADER_BYTES_MAX {
                        return Err(self.damaged("its headers are too long".into()));
                    }
                    wanted = min_bytes.max(self.buffer.len() + 1);
                    continue;
                }
                Ok(ParseEvent::GlobalExtensions { consumed, .. }) => (consumed, None),
                Ok(ParseEvent::End { consumed }) => {
                    self.has_ended = true;
                    (consumed, None)
                }
                Ok(ParseEvent::SparseEntry { consumed, entry, .. }) => {
                    (consumed, Some((entry.path.into_owned(), entry.size, Err("a sparse file"))))
                }
                Ok(ParseEvent::Entry { consumed, entry }) => {
                    if !size_is_sound(&entry) {
                        return Err(self.damaged("a size in a pax header is no number".into()));
                    }
                    let kind = kind(&entry);
                    (consumed, Some((entry.path.into_owned(), entry.size, kind)))
                }
                Err(error) => return Err(self.unreadable(&error)),
            };
            let (consumed, entry) = found;
            self.take(consumed);
            wanted = BLOCK_BYTES;
            if let Some((path, bytes, kind)) = entry {
                let kind = match kind {
                    Ok(Wanted::Folder) => {
                        self.skip(bytes)?;
                        EntryKind::Folder
                    }
                    Ok(Wanted::File) if bytes <= WHOLE_BYTES_MAX as u64 => {
                        EntryKind::File(self.whole(bytes as usize)?)
                    }
                    Ok(Wanted::File) => {
                        (self.left, self.padding) = (bytes, padding(bytes));
                        EntryKind::Large(bytes)
                    }
                    Err(what) => {
                        self.skip(bytes)?;
                        EntryKind::Other(what)
                    }
                };
                return Ok(Some(Entry { path, kind }));
            }
        }
        // Best effort: what was wanted has been read.
        let _ = io::copy(&mut (&mut self.from).take(REST_BYTES_MAX), &mut io::sink());
        Ok(None)
    }

    /// Has so many bytes in the buffer, or says that the archive is cut.
    fn fill(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        while self.buffer.len() < bytes {
            let filled = self.buffer.len();
            self.buffer.resize(filled + READ_BYTES, 0);
            let read = self.from.read(&mut self.buffer[filled..]);
            let read = match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                Ok(0) => Err(self.cut(filled)),
                Ok(read) => Ok(read),
                Err(error) => Err(error.into()),
            };
            self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(())
    }

    fn cut(&self, filled: usize) -> ArchiveError {
        match self.taken + filled as u64 {
            0 => ArchiveError::Empty,
            ended => match compressed(&self.buffer[..filled]).filter(|_| self.taken == 0) {
                Some(program) => ArchiveError::Compressed(program),
                None if ended < BLOCK_BYTES as u64 => ArchiveError::NoArchive,
                None => ArchiveError::Cut(ended),
            },
        }
    }

    fn take(&mut self, bytes: usize) {
        self.buffer.drain(..bytes);
        self.taken += bytes as u64;
    }

    fn whole(&mut self, bytes: usize) -> Result<Vec<u8>, ArchiveError> {
        // It grows as bytes come: the size is only what the archive says.
        let mut content = Vec::new();
        while content.len() < bytes {
            self.fill(1)?;
            let part = self.buffer.len().min(bytes - content.len());
            content.extend_from_slice(&self.buffer[..part]);
            self.take(part);
        }
        self.skip_padding(bytes as u64)?;
        Ok(content)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.skip_bytes(bytes)?;
        self.skip_padding(bytes)
    }

    fn skip_bytes(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let mut left = bytes;
        while left > 0 {
            self.fill(1)?;
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            self.take(part);
            left -= part as u64;
        }
        Ok(())
    }

    fn skip_padding(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let padding = padding(bytes);
        self.fill(padding)?;
        self.take(padding);
        Ok(())
    }

    fn unreadable(&self, error: &ParseError) -> ArchiveError {
        if self.taken > 0 {
            return self.damaged(error.to_string());
        }
        compressed(&self.buffer).map_or(ArchiveError::NoArchive, ArchiveError::Compressed)
    }

    fn damaged(&self, why: String) -> ArchiveError {
        ArchiveError::Damaged { at: self.taken, why }
    }
}

/// What a content of so many bytes is filled up with.
fn padding(bytes: u64) -> usize {
    (BLOCK_BYTES - (bytes % BLOCK_BYTES as u64) as usize) % BLOCK_BYTES
}

enum Wanted {
    File,
    Folder,
}

fn kind(entry: &ParsedEntry<'_>) -> Result<Wanted, &'static str> {
    Err(match entry.entry_type {
        EntryType::Directory => return Ok(Wanted::Folder),
        EntryType::Regular | EntryType::Continuous => {
            // So the oldest archives have folders.
            let is_folder = entry.path.ends_with(b"/");
            return Ok(if is_folder { Wanted::Folder } else { Wanted::File });
        }
        EntryType::Link => "a hard link",
        EntryType::Symlink => "a link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        _ => "no regular file",
    })
}

/// Whether the size of an entry is that of its pax header, if that has one. Two readers that take
/// another size find other files in one archive.
fn size_is_sound(entry: &ParsedEntry<'_>) -> bool {
    let records = entry.pax.map(PaxExtensions::new).into_iter().flatten();
    let mut sizes = records.flatten().filter(|it| it.key_bytes() == b"size");
    sizes.all(|it| it.value().is_ok_and(|size| size.parse() == Ok(entry.size)))
}

/// The program that unpacks what begins so.
fn compressed(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 4] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ", "xz"),
        (b"BZh", "bzip2"),
    ];
    kinds.into_iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, program)| program)
}

#[cfg(test)]
mod tests {
    use super::{super::ArchiveWriter, *};

    fn archive() -> Vec<u8> {
        let mut writer = ArchiveWriter::new(Vec::new());
        let long = "deep/".repeat(50) + "name";
        for (name, content) in
            [("a", &b"alice"[..]), ("\u{e4}/empty", b""), (&long, &[7; 1300]), ("z", &[8; 512])]
        {
            writer.file(name, content, 1_000_000_000).unwrap();
        }
        writer.finish().unwrap()
    }

    /// All entries, and how it ended.
    fn read(bytes: &[u8]) -> (Vec<Entry>, Option<ArchiveError>) {
        let mut reader = ArchiveReader::new(bytes);
        let mut entries = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => return (entries, None),
                Err(error) => return (entries, Some(error)),
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let (entries, error) = read(&archive());
        assert!(error.is_none(), "{error:?}");
        let paths: Vec<_> = entries.iter().map(|it| String::from_utf8_lossy(&it.path)).collect();
        assert_eq!(paths[..2], ["a", "\u{e4}/empty"]);
        assert_eq!((paths[2].len(), paths[3].as_ref()), (254, "z"));
        assert_eq!(entries[0].kind, EntryKind::File(b"alice".to_vec()));
        assert_eq!(entries[3].kind, EntryKind::File(vec![8; 512]));
    }

    #[test]
    fn a_cut_archive_has_whole_files_and_then_an_error() {
        let whole = archive();
        let (all, _) = read(&whole);
        // The end mark is the last that is needed.
        let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1 + 2 * BLOCK_BYTES;
        for cut in 0..end {
            let (entries, error) = read(&whole[..cut]);
            assert_eq!(entries, all[..entries.len()], "cut at {cut}");
            let expected = match cut {
                0 => "it is empty, and no archive".to_owned(),
                1..BLOCK_BYTES => "it is no tar archive".to_owned(),
                _ => format!("it is cut: it ends after {cut} bytes without its end mark"),
            };
            assert_eq!(error.unwrap().to_string(), expected);
        }
        assert!(read(&whole[..end]).1.is_none());
    }

    #[test]
    fn a_large_file_is_read_in_parts_or_passed_over() {
        let large: Vec<u8> =
            (0..WHOLE_BYTES_MAX as u32 + 300).map(|i| (i.wrapping_mul(i) >> 8) as u8).collect();
        let mut writer = ArchiveWriter::new(Vec::new());
        writer.file("large", &large, 0).unwrap();
        writer.file("small", b"small", 0).unwrap();
        let bytes = writer.finish().unwrap();
        for read in [0, 1, 70_000, large.len()] {
            let mut reader = ArchiveReader::new(&bytes[..]);
            let entry = reader.next().unwrap().unwrap();
            assert_eq!(entry.kind, EntryKind::Large(large.len() as u64));
            assert_eq!(reader.position(), BLOCK_BYTES as u64);
            let mut content = vec![0; read];
            content.chunks_mut(999).for_each(|part| reader.content(part).unwrap());
            assert!(content == large[..read], "{read}");
            let small = reader.next().unwrap().unwrap();
            assert_eq!(small.kind, EntryKind::File(b"small".to_vec()), "{read}");
            assert!(reader.next().unwrap().is_none());
        }
        let mut reader = ArchiveReader::new(&bytes[..1000]);
        reader.next().unwrap();
        let cut = reader.content(&mut vec![0; large.len()]);
        assert!(matches!(cut, Err(ArchiveError::Cut(1000))), "{cut:?}");
    }

    #[test]
    fn a_damaged_header_is_found_and_so_is_what_is_no_archive() {
        let mut bytes = archive();
        bytes[1024] ^= 1;
        let (entries, error) = read(&bytes);
        assert_eq!(entries.len(), 1);
        assert!(matches!(error, Some(ArchiveError::Damaged { at: 1024, .. })), "{error:?}");
        assert!(matches!(read(&[b'x'; 2000]).1, Some(ArchiveError::NoArchive)));
        let zipped = [b"\x1f\x8b".as_slice(), &[1; 2000]].concat();
        assert!(read(&zipped).1.unwrap().to_string().contains("compressed by gzip"));
        assert!(read(&zipped[..20]).1.unwrap().to_string().contains("compressed by gzip"));
    }

    #[test]
    fn what_an_archive_claims_costs_no_memory() {
        // A long name of 8 GiB, and a pax header of a size that is no number.
        let header = |kind: u8, name: &str, bytes: u64| {
            let mut header = [0; BLOCK_BYTES];
            header[..name.len()].copy_from_slice(name.as_bytes());
            for (at, text) in [(100, "0000644"), (108, "0000000"), (116, "0000000")] {
                header[at..at + 7].copy_from_slice(text.as_bytes());
            }
            header[124..135].copy_from_slice(format!("{bytes:011o}").as_bytes());
            header[136..147].copy_from_slice(b"00000000000");
            header[156] = kind;
            header[257..265].copy_from_slice(b"ustar\x0000");
            header[148..156].copy_from_slice(b"        ");
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            header.to_vec()
        };
        let endless = header(b'L', "././@LongLink", (1 << 33) - 1);
        assert!(read(&[archive()[..1024].to_vec(), endless].concat()).1.is_some());
        let mut pax = b"12 size=x99\n".to_vec();
        pax.resize(BLOCK_BYTES, 0);
        let odd = [header(b'x', "p", 12), pax, header(b'0', "file", 0)].concat();
        let (entries, error) = read(&odd);
        assert!(entries.is_empty() && error.is_some(), "{entries:?}");
        // A file of 8 GiB that is not there.
        let large = header(b'0', "file", (1 << 33) - 1);
        let (entries, error) = read(&large);
        assert!(matches!(&entries[..], [Entry { kind: EntryKind::Large(8589934591), .. }]));
        assert!(matches!(error, Some(ArchiveError::Cut(_))));
        let mut reader =
            ArchiveReader::new(io::empty().chain(&large[..]).chain(io::repeat(1).take(9)));
        assert!(matches!(reader.next(), Ok(Some(_))));
        assert!(matches!(reader.next(), Err(ArchiveError::Cut(521))));
    }
}
