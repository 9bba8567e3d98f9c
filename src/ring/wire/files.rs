//! A list of versions, one line each: in answers to LIST and LOG, and between nodes.

use std::collections::BTreeSet;

use blake3::Hash;

use super::{
    line::{Line, push_line},
    name::Name,
    refusal::{Reject, Status},
};
use crate::ring::{digits::Hex, version::Version};

/// A version of a name, as a list has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileRow {
    /// The name.
    pub name: Name,
    /// Which write of it this is.
    pub version: Version,
    /// The length of the file; `None` if the name was deleted.
    pub bytes: Option<usize>,
    /// BLAKE3 of the content, where that was asked for and the node has the content.
    pub hash: Option<Hash>,
}

/// Appends a line for each version.
pub(super) fn push_files(out: &mut Vec<u8>, files: &[FileRow]) {
    for FileRow { name, version, bytes, hash } in files {
        let name = name.wire();
        match (bytes, hash) {
            (None, _) => push_line(out, format_args!("{name} deleted=1 version={version}")),
            (Some(bytes), None) => {
                push_line(out, format_args!("{name} len={bytes} version={version}"));
            }
            (Some(bytes), Some(hash)) => {
                let hash = Hex(*hash);
                push_line(out, format_args!("{name} len={bytes} version={version} blake3={hash}"));
            }
        }
    }
}

/// Reads a line of such a list. A hash that is odd counts as not known.
pub(super) fn file(line: Line<'_>) -> Result<FileRow, Reject> {
    let bytes = match line.key("deleted") {
        Some("1") => None,
        _ => Some(line.number("len")? as usize),
    };
    let hash = line.key("blake3").and_then(|hash| Hash::from_hex(hash).ok());
    Ok(FileRow { name: line.name(0)?, version: line.parsed("version")?, bytes, hash })
}

/// Reads a whole list. Where a version of a name occurs twice the first counts.
pub(super) fn files(body: &[u8]) -> Result<Vec<FileRow>, Reject> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for line in lines(body)? {
        let file = file(line)?;
        if seen.insert((file.name.clone(), file.version)) {
            files.push(file);
        }
    }
    Ok(files)
}

/// The lines of a list that a node sent.
pub(super) fn lines(body: &[u8]) -> Result<impl Iterator<Item = Line<'_>>, Reject> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Reject::stay(Status::BadRequest, "the list is not UTF-8"))?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(Line::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_a_list_is_read() {
        let version = "0000000000001234@127.0.1.1:4043";
        let line = format!("a%20b.txt len=7 version={version}");
        let read = file(Line::new(&line)).unwrap();
        assert_eq!((read.name.as_str(), read.bytes, read.hash), ("a b.txt", Some(7), None));
        assert_eq!(read.version.to_string(), version);
        let deleted = file(Line::new(&format!("a deleted=1 version={version}"))).unwrap();
        assert_eq!((deleted.bytes, deleted.version), (None, read.version));
        let hash = blake3::hash(b"content");
        let hashed = format!("{line} blake3={hash}");
        assert_eq!(file(Line::new(&hashed)).unwrap().hash, Some(hash));
        assert_eq!(file(Line::new(&format!("{line} blake3=1f"))).unwrap().hash, None);
        for bad in ["", "../x len=1 version=x", "x len=1", "x version=0000000000001234@1.2.3.4:5"] {
            assert!(file(Line::new(bad)).is_err(), "{bad}");
        }
    }
}
