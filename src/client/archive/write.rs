//! Writing an archive: ustar, with pax headers for what does not fit into it.

use std::io::{self, Write};

use tar_core::builder::{EntryBuilder, NAME_MAX_LEN};

use super::BLOCK_BYTES;

/// An archive is filled up to a multiple of this, as tapes once needed it and tar still does.
const RECORD_BYTES: usize = 20 * BLOCK_BYTES;
/// Anyone may read a file that is unpacked; nobody may execute it, since the ring keeps bytes only.
const MODE: u32 = 0o644;

/// Writes an archive.
#[derive(Debug)]
pub(in crate::client) struct ArchiveWriter<W> {
    to: W,
    written: u64,
}

impl<W: Write> ArchiveWriter<W> {
    pub fn new(to: W) -> Self {
        Self { to, written: 0 }
    }

    /// Appends a file. `modified_s` is in seconds since 1970.
    pub fn file(&mut self, name: &str, content: &[u8], modified_s: u64) -> io::Result<()> {
        self.begin(name, content.len() as u64, modified_s)?;
        self.part(content)?;
        self.end()
    }

    /// Begins a file whose content of so many bytes follows in parts.
    pub fn begin(&mut self, name: &str, bytes: u64, modified_s: u64) -> io::Result<()> {
        let header = header(name, bytes, modified_s)?;
        self.write(&header)
    }

    /// The next part of the content.
    pub fn part(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes)
    }

    /// All parts are there.
    pub fn end(&mut self) -> io::Result<()> {
        self.fill(BLOCK_BYTES)
    }

    /// Appends the end mark, and gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.write(&[0; 2 * BLOCK_BYTES])?;
        self.fill(RECORD_BYTES)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    fn fill(&mut self, unit: usize) -> io::Result<()> {
        let over = (self.written % unit as u64) as usize;
        self.write(&[0; RECORD_BYTES][..(unit - over) % unit])
    }
}

fn header(name: &str, bytes: u64, modified_s: u64) -> io::Result<Vec<u8>> {
    let mut entry = EntryBuilder::new_ustar();
    let fields = entry.path(name).mode(MODE).and_then(|it| it.uid(0)).and_then(|it| it.gid(0));
    let fields = fields.and_then(|it| it.size(bytes)).and_then(|it| it.mtime(modified_s));
    fields.map_err(|error| io::Error::other(error.to_string()))?;
    // Of a header alone it is not known in which encoding it is.
    if !name.is_ascii() && name.len() <= NAME_MAX_LEN {
        entry.add_pax("path", name);
    }
    Ok(entry.finish_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_beyond_8_gib_and_a_long_name_are_in_pax_headers() {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(header("a", 1 << 33, 0).unwrap().len(), 3 * BLOCK_BYTES);
        assert!(text(&header("a", 1 << 33, 0).unwrap()).contains("19 size=8589934592\n"));
        assert_eq!(header("a", (1 << 33) - 1, 0).unwrap().len(), BLOCK_BYTES);
        assert!(text(&header("a", 0, 1 << 36).unwrap()).contains("mtime=68719476736\n"));
        let long = "x/".repeat(99) + "y";
        assert!(text(&header(&long, 0, 0).unwrap()).contains(&format!("path={long}\n")));
        assert!(text(&header("\u{e4}", 0, 0).unwrap()).contains("11 path=\u{e4}\n"));
    }

    #[test]
    fn an_archive_is_filled_up() {
        let mut writer = ArchiveWriter::new(Vec::new());
        writer.file("a", b"alice", 0).unwrap();
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes.len(), RECORD_BYTES);
        assert!(bytes[2 * BLOCK_BYTES..].iter().all(|byte| *byte == 0));
    }
}
