//! The files of a folder in the order of their names in the ring. Of each folder on the way to the next
//! file, the entries are in memory; nothing else is.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, DirEntry, Metadata},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    vec,
};

use rustix::io::Errno;

use super::{human::shown, save::is_temporary};
use crate::ring::name::Name;

/// Folders in one another that are followed at most, each with its entries in memory. A name in the
/// ring cannot have more.
const LEVELS_MAX: usize = 512;
const NOT_UTF8: &str = "its name is not UTF-8; rename it";

/// What a folder has in it, file by file. Links are followed. Blocks on the file system.
pub(super) struct Tree {
    levels: Vec<Level>,
}

/// A folder that is being read.
struct Level {
    /// What is left of it.
    entries: vec::IntoIter<Entry>,
    /// Where it is: finding it below itself is a circle.
    real: PathBuf,
}

struct Entry {
    path: PathBuf,
    /// Its name in the ring, which may not be UTF-8; of a folder, with a / at its end.
    name: OsString,
    kind: Kind,
}

enum Kind {
    File(u64),
    Folder,
    /// A temporary file of this program.
    Leftover,
    /// With the cause, and whether it has no bytes that could be put.
    Unusable(String, bool),
}

/// One thing that a folder has in it.
#[derive(Debug)]
pub(super) enum Found {
    /// A file that can be put.
    File(LocalFile),
    /// What cannot be put.
    Skipped(Skipped),
    /// A temporary file that an interrupted run has left, by its name below the folder.
    Leftover(String),
}

/// A file of a folder.
#[derive(Clone, Debug)]
pub(super) struct LocalFile {
    /// Its name in the ring.
    pub name: Name,
    /// Where it is.
    pub path: PathBuf,
    /// Its size, when it was found.
    pub bytes: u64,
}

/// Something that was found and cannot be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// The name that it would have in the ring, it or what is below it. `None`: it could have none.
    pub name: Option<String>,
    /// Why it cannot be put.
    pub why: String,
    /// Whether it has no bytes that could be put: a pipe, a socket, a device, a link to nothing, a
    /// circle of links.
    pub is_special: bool,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped {}: {}", in_one_line(&self.path), self.why)
    }
}

impl Tree {
    /// The files of a folder; `prefix` is put in front of their paths below it.
    pub fn of(folder: &Path, prefix: &str) -> io::Result<Self> {
        let real = fs::canonicalize(folder)?;
        let entries = entries(folder, prefix.as_bytes())?;
        Ok(Self { levels: vec![Level { entries, real }] })
    }

    /// Goes into a folder, or says why not.
    fn enter(&mut self, path: PathBuf, name: OsString) -> Option<Skipped> {
        let skip = |path: PathBuf, why: String, is_special| {
            let name = name.to_str().map(|name| name.trim_end_matches('/').to_owned());
            Some(Skipped { path, name, why, is_special })
        };
        if name.to_str().is_none() {
            return skip(path, NOT_UTF8.into(), false);
        }
        if self.levels.len() == LEVELS_MAX {
            return skip(path, "it is too deep".into(), false);
        }
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(cause) => return skip(path, cause.to_string(), false),
        };
        if self.levels.iter().any(|level| level.real == real) {
            return skip(path, "it links to a folder above it".into(), true);
        }
        match entries(&path, name.as_bytes()) {
            Ok(entries) => self.levels.push(Level { entries, real }),
            Err(cause) => return skip(path, cause.to_string(), false),
        }
        None
    }
}

impl Iterator for Tree {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let Some(Entry { path, name, kind }) = self.levels.last_mut()?.entries.next() else {
                self.levels.pop();
                continue;
            };
            match kind {
                Kind::Folder => match self.enter(path, name) {
                    None => {}
                    Some(skipped) => return Some(Found::Skipped(skipped)),
                },
                Kind::Leftover => {
                    if let Ok(name) = name.into_string() {
                        return Some(Found::Leftover(name));
                    }
                }
                Kind::File(bytes) => {
                    return Some(match file(path, name.to_str(), bytes) {
                        Ok(file) => Found::File(file),
                        Err(skipped) => Found::Skipped(skipped),
                    });
                }
                Kind::Unusable(why, is_special) => {
                    let name = name.into_string().ok();
                    return Some(Found::Skipped(Skipped { path, name, why, is_special }));
                }
            }
        }
    }
}

/// The entries of a folder, in the order of their names in the ring. That of a folder goes by the / that
/// follows it: `a.txt` comes before `a/b`.
fn entries(folder: &Path, prefix: &[u8]) -> io::Result<vec::IntoIter<Entry>> {
    let read = |entry: io::Result<DirEntry>| {
        let path = entry?.path();
        let base = path.file_name().unwrap_or_default().as_bytes();
        let kind = kind(&path, base);
        let slash = if matches!(kind, Kind::Folder) { &b"/"[..] } else { b"" };
        let name = OsString::from_vec([prefix, base, slash].concat());
        Ok(Entry { path, name, kind })
    };
    let mut entries = fs::read_dir(folder)?.map(read).collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(entries.into_iter())
}

fn kind(path: &Path, base: &[u8]) -> Kind {
    if is_temporary(base) {
        return Kind::Leftover;
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Kind::Folder,
        Ok(metadata) => kind_of(&metadata),
        Err(cause) if leads_nowhere(path, &cause) => {
            Kind::Unusable("it is a link that leads nowhere".into(), true)
        }
        Err(cause) => Kind::Unusable(cause.to_string(), false),
    }
}

fn kind_of(metadata: &Metadata) -> Kind {
    match metadata.is_file() {
        true => Kind::File(metadata.len()),
        false => Kind::Unusable("it is no regular file".into(), true),
    }
}

/// A file that is not in a folder that is read: one that was given. `name` is `None` where it is not
/// UTF-8.
pub(super) fn given_file(
    path: PathBuf,
    name: Option<&str>,
    metadata: &Metadata,
) -> Result<LocalFile, Skipped> {
    match kind_of(metadata) {
        Kind::Unusable(why, is_special) => {
            Err(Skipped { path, name: name.map(str::to_owned), why, is_special })
        }
        _ => file(path, name, metadata.len()),
    }
}

fn file(path: PathBuf, name: Option<&str>, bytes: u64) -> Result<LocalFile, Skipped> {
    match name.map(Name::new) {
        Some(Ok(name)) => Ok(LocalFile { name, path, bytes }),
        Some(Err(bad)) => {
            let name = name.map(str::to_owned);
            Err(Skipped { path, name, why: bad.to_string(), is_special: false })
        }
        None => Err(Skipped { path, name: None, why: NOT_UTF8.into(), is_special: false }),
    }
}

/// Whether a path that cannot be followed is a link to nothing, or to itself.
fn leads_nowhere(path: &Path, cause: &io::Error) -> bool {
    let is_link = fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink());
    let loops = cause.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    is_link && (cause.kind() == io::ErrorKind::NotFound || loops)
}

/// A path to show.
pub(super) fn in_one_line(path: &Path) -> String {
    shown(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_names_in_the_ring() {
        let folder = tempfile::tempdir().unwrap();
        let mut wanted = ["a b", "a-b", "a.txt", "a/b", "a/c/d", "a/c.d", "a0", "b", "\u{e4}/z"];
        for name in wanted {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        wanted.sort_unstable();
        let tree = Tree::of(folder.path(), "p/").unwrap();
        let names: Vec<String> = tree
            .map(|found| match found {
                Found::File(file) => {
                    assert_eq!(file.bytes as usize + 2, file.name.as_str().len());
                    file.name.to_string()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, wanted.map(|name| format!("p/{name}")));
        assert!(Tree::of(&folder.path().join("nothing"), "").is_err());
    }
}
