//! Local files: which ones a `put` means, and how a `get` writes one.

use std::{
    fmt,
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process,
};

use super::error::Error;
use crate::{
    cli::ByteSize,
    ring::{limits::FILE_BYTES_CEILING, name::Name},
};

/// A file to put, and the name that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in the ring.
    pub name: Name,
    /// Where its bytes are.
    pub origin: Origin,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On disk; read only when it is put.
    Path(PathBuf),
    /// In memory.
    Bytes(Vec<u8>),
}

/// What was found under some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The files, sorted within each folder.
    pub sources: Vec<Source>,
    /// Why each thing that was found cannot be put: a device, a broken link, a cycle of links.
    pub skipped: Vec<String>,
}

/// Finds the files that `paths` mean. A file is named by its base name, the files of a folder by
/// their paths below it. Links are followed. Blocks on the file system.
///
/// A path that does not exist, a folder that cannot be read, a name that the ring does not take
/// and a name that two files would have are errors.
pub fn collect(paths: &[PathBuf]) -> Result<Collected, Error> {
    let mut search = Search { found: Collected::default(), is_strict: true };
    for path in paths {
        let metadata = fs::metadata(path).map_err(|cause| unreadable(path, &cause))?;
        if metadata.is_dir() {
            search.folder(path)?;
        } else {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            search.file(path.clone(), name, &metadata)?;
        }
    }
    let found = search.found;
    let mut sorted: Vec<&Source> = found.sources.iter().collect();
    sorted.sort_by_key(|source| &source.name);
    if let Some(twins) = sorted.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let (one, two) = (twins[0].shown(), twins[1].shown());
        let cause = format!("it would get the same name as {two}; put one of them with --name");
        return Err(Error::File { path: one, cause });
    }
    Ok(found)
}

/// Finds the files of a folder, like [`collect`]. What cannot be put is skipped, whatever it is;
/// only a folder that itself cannot be read is an error. Blocks on the file system.
pub fn collect_readable(folder: &Path) -> Result<Collected, Error> {
    fs::read_dir(folder).map_err(|cause| unreadable(folder, &cause))?;
    let mut search = Search { found: Collected::default(), is_strict: false };
    search.folder(folder)?;
    Ok(search.found)
}

/// A search for files under way.
struct Search {
    found: Collected,
    /// Whether a folder that cannot be read, or a name that the ring does not take, ends it.
    is_strict: bool,
}

impl Search {
    fn folder(&mut self, path: &Path) -> Result<(), Error> {
        match fs::canonicalize(path) {
            Ok(real) => self.walk(path, "", &mut vec![real]),
            Err(cause) => self.fails(path, &cause),
        }
    }

    /// Finds the files of one folder. `above` has the real paths of the folder and of all that it
    /// was reached through; finding one of them again is a cycle.
    fn walk(&mut self, folder: &Path, prefix: &str, above: &mut Vec<PathBuf>) -> Result<(), Error> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(cause) => return self.fails(folder, &cause),
        };
        let mut paths: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let Some(base) = path.file_name().and_then(|name| name.to_str()) else {
                self.fails(&path, &"its name is not UTF-8; rename it")?;
                continue;
            };
            let name = format!("{prefix}{base}");
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(cause) => {
                    self.skip(&path, &cause);
                    continue;
                }
            };
            if !metadata.is_dir() {
                self.file(path, &name, &metadata)?;
                continue;
            }
            match fs::canonicalize(&path) {
                Ok(real) if above.contains(&real) => {
                    self.skip(&path, &"it links to a folder above it");
                }
                Ok(real) => {
                    above.push(real);
                    self.walk(&path, &format!("{name}/"), above)?;
                    above.pop();
                }
                Err(cause) => self.fails(&path, &cause)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, name: &str, metadata: &Metadata) -> Result<(), Error> {
        if !metadata.is_file() {
            self.skip(&path, &"it is no regular file");
            return Ok(());
        }
        match Name::new(name) {
            Ok(name) => self.found.sources.push(Source { name, origin: Origin::Path(path) }),
            Err(bad) => self.fails(&path, &bad)?,
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, cause: &dyn fmt::Display) {
        self.found.skipped.push(format!("skipped {}: {cause}", in_one_line(path)));
    }

    /// Something cannot be put that the user surely wanted to put.
    fn fails(&mut self, path: &Path, cause: &dyn fmt::Display) -> Result<(), Error> {
        if self.is_strict {
            return Err(unreadable(path, cause));
        }
        self.skip(path, cause);
        Ok(())
    }
}

impl Source {
    /// Reads the bytes; blocks on the file system.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        match &self.origin {
            Origin::Bytes(bytes) => Ok(bytes.clone()),
            Origin::Path(path) => File::open(path)
                .and_then(|mut file| read_bounded(&mut file))
                .map_err(|cause| unreadable(path, &cause)),
        }
    }

    fn shown(&self) -> String {
        match &self.origin {
            Origin::Path(path) => path.display().to_string(),
            Origin::Bytes(_) => self.name.to_string(),
        }
    }
}

/// Reads to the end, but not more than a node could ever take.
pub(super) fn read_bounded(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(FILE_BYTES_CEILING as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_CEILING {
        let most = ByteSize(FILE_BYTES_CEILING as u64);
        let message = format!("it is larger than {most}, which no node takes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Writes a file so that it is there whole or not at all: aside first, then renamed. Anything but a
/// regular file, like `/dev/null`, is written to directly. Blocks on the file system.
pub(super) fn save(path: &Path, content: &[u8]) -> io::Result<()> {
    // A link stays a link: the file that it points to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let existing = fs::metadata(&path).ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
        return File::options().write(true).open(&path)?.write_all(content);
    }
    let base = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let aside = path.with_file_name(format!(".{base:.100}.{}.part", process::id()));
    let write = || {
        let mut file = File::create_new(&aside)?;
        file.write_all(content)?;
        if let Some(existing) = existing {
            file.set_permissions(existing.permissions())?;
        }
        fs::rename(&aside, &path)
    };
    let written = write();
    if written.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_file(&aside);
    }
    written
}

fn unreadable(path: &Path, cause: &dyn fmt::Display) -> Error {
    Error::File { path: in_one_line(path), cause: cause.to_string() }
}

/// A path to show: a control character would forge a line.
fn in_one_line(path: &Path) -> String {
    path.display().to_string().replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &Collected) -> Vec<&str> {
        found.sources.iter().map(|source| source.name.as_str()).collect()
    }

    #[cfg(unix)]
    #[test]
    fn folders_keep_relative_paths_and_links_are_followed_but_not_in_circles() {
        use std::os::unix::{fs::symlink, net::UnixListener};
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("site/img/deep")).unwrap();
        fs::write(at("site/index.html"), "hi").unwrap();
        fs::write(at("site/img/a b.png"), "png").unwrap();
        fs::write(at("outside"), "out").unwrap();
        symlink(at("outside"), at("site/link")).unwrap();
        symlink(at("site/img"), at("site/pictures")).unwrap();
        symlink(at("site"), at("site/img/deep/circle")).unwrap();
        symlink(at("nowhere"), at("site/broken")).unwrap();
        let _socket = UnixListener::bind(at("site/socket")).unwrap();

        let found = collect(&[at("site"), at("outside")]).unwrap();
        let expected = ["img/a b.png", "index.html", "link", "pictures/a b.png", "outside"];
        assert_eq!(names(&found), expected);
        assert_eq!(found.skipped.len(), 4, "{:?}", found.skipped);
        assert_eq!(found.sources[1].read().unwrap(), b"hi");
    }

    #[test]
    fn nothing_is_put_when_a_path_is_missing_or_a_name_is_taken_twice() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("a")).unwrap();
        fs::write(at("a/x"), "1").unwrap();
        fs::write(at("x"), "2").unwrap();
        assert!(collect(&[at("nothing")]).is_err());
        let error = collect(&[at("a"), at("x")]).unwrap_err().to_string();
        assert!(error.contains("same name") && error.contains("--name"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_put_is_an_error_or_skipped() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let bad = [&b"line\nfeed"[..], b"not \xff UTF-8"];
        for name in bad {
            fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
        }
        fs::write(folder.path().join("good"), "x").unwrap();
        assert!(collect(&[folder.path().to_owned()]).is_err());
        let found = collect_readable(folder.path()).unwrap();
        assert_eq!((names(&found), found.skipped.len()), (vec!["good"], 2), "{found:?}");
        assert!(collect_readable(&folder.path().join("nothing")).is_err());
    }

    #[test]
    fn a_file_is_saved_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        save(&path, b"one").unwrap();
        save(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(save(folder.path(), b"x").is_err());
        assert!(save(&folder.path().join("no/such/folder"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let null = Path::new("/dev/null");
        if null.exists() {
            save(null, b"x").unwrap();
            assert!(!fs::metadata(null).unwrap().is_file());
        }
    }
}
