//! A list of files, one line per file: in answers to LIST, and between nodes.

use std::collections::BTreeSet;

use blake3::Hash;

use super::{
    line::{Line, push_line},
    name::Name,
    refusal::{Reject, Status},
};
use crate::ring::version::Version;

/// A file of a list: its name, its bytes, and which write of the name it is.
pub(super) type FileRow = (Name, usize, Version);

/// A file of an answer to LIST: also the hash of its content, where that was asked for and the node
/// has the content.
pub(super) type ListRow = (Name, usize, Version, Option<Hash>);

/// Appends a line for each file.
pub(super) fn push_files(out: &mut Vec<u8>, files: &[FileRow]) {
    for (name, bytes, version) in files {
        push_line(out, format_args!("{} len={bytes} version={version}", name.wire()));
    }
}

/// Appends a line for each file of an answer to LIST.
pub(super) fn push_listed(out: &mut Vec<u8>, files: &[ListRow]) {
    for (name, bytes, version, hash) in files {
        let name = name.wire();
        match hash {
            None => push_line(out, format_args!("{name} len={bytes} version={version}")),
            Some(hash) => {
                push_line(out, format_args!("{name} len={bytes} version={version} blake3={hash}"));
            }
        }
    }
}

/// Reads a line of an answer to LIST. A hash that is odd counts as not known.
pub(super) fn listed(line: Line<'_>) -> Result<ListRow, Reject> {
    let hash = line.key("blake3").and_then(|hash| Hash::from_hex(hash).ok());
    let (name, bytes, version) = file(line)?;
    Ok((name, bytes, version, hash))
}

/// Reads a line of such a list.
pub(super) fn file(line: Line<'_>) -> Result<FileRow, Reject> {
    Ok((line.name(0)?, line.number("len")? as usize, line.parsed("version")?))
}

/// Reads a whole list. Where a name occurs twice the first counts.
pub(super) fn files(body: &[u8]) -> Result<Vec<FileRow>, Reject> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for line in lines(body)? {
        let file = file(line)?;
        if seen.insert(file.0.clone()) {
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
    fn a_file_of_a_list_is_read() {
        let version = "0000000000001234@127.0.1.1:4043";
        let line = format!("a%20b.txt len=7 version={version}");
        let (name, bytes, read) = file(Line::new(&line)).unwrap();
        assert_eq!((name.as_str(), bytes), ("a b.txt", 7));
        assert_eq!(read.to_string(), version);
        let hash = blake3::hash(b"content");
        let hashed = format!("{line} blake3={hash}");
        assert_eq!(listed(Line::new(&hashed)).unwrap().3, Some(hash));
        for unknown in [line.clone(), format!("{line} blake3=1f")] {
            assert_eq!(listed(Line::new(&unknown)).unwrap().3, None);
        }
        for bad in ["", "../x len=1 version=x", "x len=1", "x version=0000000000001234@1.2.3.4:5"] {
            assert!(file(Line::new(bad)).is_err(), "{bad}");
        }
    }
}
