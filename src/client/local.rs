//! Reading local files as they are at one time, and many of them without blocking the thread.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
    vec,
};

use blake3::{Hash, Hasher};

use super::{
    error::{Error, unreadable},
    tree::{Found, Tree, in_one_line},
};

/// How often a file is read that changes meanwhile.
pub(super) const READS_MAX: usize = 3;
/// Bytes of a file that are in memory while it is hashed.
const HASHED_BYTES: usize = 64 << 10;
/// Things that are found in one turn.
const FOUND_MAX: usize = 256;

/// The hash of a file, if it has this size. Blocks on the file system.
pub(super) fn hash(path: &Path, bytes: u64) -> Result<Option<Hash>, Error> {
    unchanged(path, |file, metadata| match metadata.len() == bytes {
        true => hash_all(file).map(Some),
        false => Ok(None),
    })
}

/// The hash of a file, whatever its size. Blocks on the file system.
pub(super) fn hash_of_any_size(path: &Path) -> Result<Hash, Error> {
    unchanged(path, |file, _| hash_all(file))
}

fn hash_all(file: &mut File) -> io::Result<Hash> {
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; HASHED_BYTES]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(read) => drop(hasher.update(&buffer[..read])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads until the file is the same after it as before.
pub(super) fn unchanged<T>(
    path: &Path,
    read: impl Fn(&mut File, &Metadata) -> io::Result<T>,
) -> Result<T, Error> {
    let attempt = || {
        let mut file = File::open(path)?;
        let before = file.metadata()?;
        if !before.is_file() {
            return Err(no_file());
        }
        let content = read(&mut file, &before)?;
        // The path may lead to another file by now.
        let is_same = |after: Metadata| trace(&after) == trace(&before);
        Ok((is_same(file.metadata()?) && is_same(fs::metadata(path)?)).then_some(content))
    };
    for _ in 0..READS_MAX {
        match attempt() {
            Ok(Some(content)) => return Ok(content),
            Ok(None) => {}
            Err(cause) => return Err(unreadable(path, &cause)),
        }
    }
    Err(Error::Changed { path: in_one_line(path) })
}

pub(super) fn no_file() -> io::Error {
    io::Error::other("it is no regular file any more")
}

/// What is different after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    number: u64,
    bytes: u64,
    modified: Option<SystemTime>,
    changed: (i64, i64),
}

pub(super) fn trace(metadata: &Metadata) -> Trace {
    use std::os::unix::fs::MetadataExt;
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    let (number, bytes) = (metadata.ino(), metadata.len());
    Trace { number, bytes, modified: metadata.modified().ok(), changed }
}

/// What a folder has in it, found on another thread.
pub(super) struct Local {
    /// `None`: it is at its end.
    tree: Option<Tree>,
    found: vec::IntoIter<Found>,
}

impl Local {
    /// A folder that cannot be read is an error.
    pub async fn open(folder: PathBuf, prefix: String) -> Result<Self, Error> {
        smol::unblock(move || {
            let tree = Tree::of(&folder, &prefix).map_err(|cause| unreadable(&folder, &cause))?;
            Ok(Self { tree: Some(tree), found: Vec::new().into_iter() })
        })
        .await
    }

    /// A folder that is not there.
    pub fn empty() -> Self {
        Self { tree: None, found: Vec::new().into_iter() }
    }

    /// The next thing that is found.
    pub async fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.found.next() {
                return Some(found);
            }
            let mut tree = self.tree.take()?;
            let (tree, found) = smol::unblock(move || {
                let found: Vec<_> = tree.by_ref().take(FOUND_MAX).collect();
                (tree, found)
            })
            .await;
            self.tree = Some(tree).filter(|_| !found.is_empty());
            self.found = found.into_iter();
        }
    }
}

/// Whether there is any file in a folder that could be put. Blocks on the file system.
pub(super) fn has_files(folder: &Path) -> Result<bool, Error> {
    let mut tree = Tree::of(folder, "").map_err(|cause| unreadable(folder, &cause))?;
    Ok(tree.any(|found| matches!(found, Found::File(_))))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again_and_then_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "one").unwrap();
        assert_eq!(hash(&path, 3).unwrap(), Some(blake3::hash(b"one")));
        assert_eq!(hash(&path, 4).unwrap(), None);

        let reads = std::cell::Cell::new(0);
        let grown_until = |last: usize| {
            reads.set(0);
            unchanged(&path, |file, _| {
                reads.set(reads.get() + 1);
                let mut content = Vec::new();
                file.read_to_end(&mut content)?;
                if reads.get() < last {
                    File::options().append(true).open(&path)?.write_all(b"x")?;
                }
                Ok(content)
            })
        };
        assert_eq!(grown_until(2).unwrap(), b"onex");
        let given_up = grown_until(9).unwrap_err().to_string();
        assert!(given_up.contains("changes while it is read"), "{given_up}");
        assert_eq!(reads.get(), READS_MAX);
    }
}
