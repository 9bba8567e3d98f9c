//! Local files: which ones a `put` means.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{error::Error, human::shown};
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
    /// What was found and cannot be put.
    pub skipped: Vec<Skipped>,
}

/// Something that was found and cannot be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why it cannot be put.
    pub why: String,
    /// Whether it has no bytes that could be put: a pipe, a socket, a device, a link to nothing, a
    /// circle of links.
    pub is_special: bool,
}

/// Finds the files that `paths` mean. A file is named by its base name, the files of a folder by
/// their paths below it. Links are followed. Blocks on the file system.
///
/// What cannot be put is skipped, whatever it is, and the rest is found. Only a name that two
/// different files would have is an error.
pub fn collect(paths: &[PathBuf]) -> Result<Collected, Error> {
    let mut found = Collected::default();
    for path in paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => found.folder(path),
            Ok(metadata) => {
                let name = path.file_name().and_then(|name| name.to_str());
                found.file(path.clone(), name, &metadata);
            }
            // Of a path that was given, a link to nothing is as wrong as nothing.
            Err(cause) => found.skip(path, &cause),
        }
    }
    found.sort_out_twins()?;
    Ok(found)
}

/// One file, which gets this name whatever its own is. Blocks on the file system.
pub(super) fn collect_as(path: &Path, name: Name) -> Collected {
    let mut found = Collected::default();
    match fs::metadata(path) {
        Ok(metadata) => found.file(path.to_owned(), Some(name.as_str()), &metadata),
        Err(cause) => found.skip(path, &cause),
    }
    found
}

/// Finds the files of a folder, like [`collect`]. A folder that cannot be read is an error. Blocks on
/// the file system.
pub fn collect_folder(folder: &Path) -> Result<Collected, Error> {
    fs::read_dir(folder).map_err(|cause| unreadable(folder, &cause))?;
    let mut found = Collected::default();
    found.folder(folder);
    Ok(found)
}

impl Collected {
    fn folder(&mut self, path: &Path) {
        match fs::canonicalize(path) {
            Ok(real) => self.walk(path, "", &mut vec![real]),
            Err(cause) => self.skip(path, &cause),
        }
    }

    /// Finds the files of one folder. `above` has the real paths of the folder and of all that it
    /// was reached through; finding one of them again is a circle.
    fn walk(&mut self, folder: &Path, prefix: &str, above: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(cause) => return self.skip(folder, &cause),
        };
        let mut paths: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.map(|base| format!("{prefix}{base}"));
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(cause) if leads_nowhere(&path, &cause) => {
                    self.skip_special(&path, "it is a link that leads nowhere");
                    continue;
                }
                Err(cause) => {
                    self.skip(&path, &cause);
                    continue;
                }
            };
            if !metadata.is_dir() {
                self.file(path, name.as_deref(), &metadata);
                continue;
            }
            let Some(name) = name else {
                self.skip(&path, &NOT_UTF8);
                continue;
            };
            match fs::canonicalize(&path) {
                Ok(real) if above.contains(&real) => {
                    self.skip_special(&path, "it links to a folder above it");
                }
                Ok(real) => {
                    above.push(real);
                    self.walk(&path, &format!("{name}/"), above);
                    above.pop();
                }
                Err(cause) => self.skip(&path, &cause),
            }
        }
    }

    /// `name` is `None` where it is not UTF-8.
    fn file(&mut self, path: PathBuf, name: Option<&str>, metadata: &Metadata) {
        if !metadata.is_file() {
            return self.skip_special(&path, "it is no regular file");
        }
        match name.map(Name::new) {
            Some(Ok(name)) => self.sources.push(Source { name, origin: Origin::Path(path) }),
            Some(Err(bad)) => self.skip(&path, &bad),
            None => self.skip(&path, &NOT_UTF8),
        }
    }

    fn skip(&mut self, path: &Path, cause: &dyn fmt::Display) {
        let why = cause.to_string();
        self.skipped.push(Skipped { path: path.to_owned(), why, is_special: false });
    }

    fn skip_special(&mut self, path: &Path, why: &str) {
        let why = why.to_owned();
        self.skipped.push(Skipped { path: path.to_owned(), why, is_special: true });
    }

    /// A file that was given twice is put once. Two files of one name are an error.
    fn sort_out_twins(&mut self) -> Result<(), Error> {
        let mut seen: BTreeMap<Name, PathBuf> = BTreeMap::new();
        let mut is_again = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let Origin::Path(path) = &source.origin else { continue };
            let twin = seen.get(&source.name);
            match twin {
                Some(twin) if fs::canonicalize(twin).ok() != fs::canonicalize(path).ok() => {
                    let twin = in_one_line(twin);
                    let why = format!(
                        "it would get the same name as {twin}; put one of them with --name"
                    );
                    return Err(unreadable(path, &why));
                }
                _ => is_again.push(twin.is_some()),
            }
            seen.insert(source.name.clone(), path.clone());
        }
        let mut is_again = is_again.into_iter();
        self.sources.retain(|_| is_again.next() != Some(true));
        Ok(())
    }
}

const NOT_UTF8: &str = "its name is not UTF-8; rename it";

/// Whether a path that cannot be followed is a link to nothing, or to itself.
fn leads_nowhere(path: &Path, cause: &io::Error) -> bool {
    let is_link = fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink());
    let loops = cause.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    is_link && (cause.kind() == io::ErrorKind::NotFound || loops)
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped {}: {}", in_one_line(&self.path), self.why)
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

fn unreadable(path: &Path, cause: &dyn fmt::Display) -> Error {
    Error::File { path: in_one_line(path), cause: cause.to_string() }
}

/// A path to show.
pub(super) fn in_one_line(path: &Path) -> String {
    shown(&path.display().to_string())
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
        assert!(found.skipped.iter().all(|it| it.is_special), "{:?}", found.skipped);
        assert_eq!(found.sources[1].read().unwrap(), b"hi");
    }

    #[test]
    fn a_name_that_is_taken_twice_is_an_error_and_a_file_that_is_given_twice_is_put_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("a")).unwrap();
        fs::write(at("a/x"), "1").unwrap();
        fs::write(at("x"), "2").unwrap();
        let error = collect(&[at("a"), at("x")]).unwrap_err().to_string();
        assert!(error.contains("same name") && error.contains("--name"), "{error}");
        let found = collect(&[at("x"), at("a/../x"), at("nothing")]).unwrap();
        assert_eq!((names(&found), found.skipped.len()), (vec!["x"], 1));
        let named = collect_as(&at("x"), Name::new("y").unwrap());
        assert_eq!(names(&named), ["y"]);
    }

    #[test]
    fn what_cannot_be_put_is_named_and_the_rest_is_found() {
        use std::os::unix::{ffi::OsStrExt, fs::symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(path));
        let deep = (0..9).map(|_| "x".repeat(120)).collect::<Vec<_>>().join("/");
        for directory in [&b"control\x07"[..], b"not \xff UTF-8", deep.as_bytes()] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        let odd = [&b"line\nfeed"[..], b"\xff", b"control\x07/a", b"not \xff UTF-8"];
        for name in odd {
            let _ = fs::write(at(name), "x");
        }
        let too_long = format!("{deep}/a");
        fs::write(at(too_long.as_bytes()), "x").unwrap();
        symlink("nowhere", at(b"broken")).unwrap();
        symlink("itself", at(b"itself")).unwrap();
        fs::write(at(b"good"), "x").unwrap();

        let found = collect(&[folder.path().to_owned()]).unwrap();
        assert_eq!(names(&found), ["good"]);
        let is_special = |path: &[u8]| {
            let skipped = found.skipped.iter().find(|it| it.path == at(path));
            skipped.unwrap_or_else(|| panic!("{path:?} is not named: {found:?}")).is_special
        };
        assert!(odd.into_iter().chain([too_long.as_bytes()]).all(|path| !is_special(path)));
        assert!(is_special(b"broken") && is_special(b"itself"));
        assert_eq!(found.skipped.len(), odd.len() + 3, "{found:?}");
        assert!(found.skipped.iter().all(|it| it.to_string().lines().count() == 1), "{found:?}");
        assert!(collect_folder(&folder.path().join("nothing")).is_err());
    }
}
