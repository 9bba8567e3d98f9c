//! Local files: which ones a `put` means.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

pub use super::tree::Skipped;
use super::{
    content::{self, Content},
    error::{Error, unreadable},
    tree::{Found, LocalFile, Tree, given_file, in_one_line},
};
use crate::ring::name::Name;

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
    /// They come from stdin; read only when they are put.
    Stdin,
}

/// What was found under some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The files, sorted within each folder.
    pub sources: Vec<Source>,
    /// What was found and cannot be put.
    pub skipped: Vec<Skipped>,
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
                found.file(given_file(path.clone(), name, &metadata));
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
        Ok(metadata) => {
            found.file(given_file(path.to_owned(), Some(name.as_str()), &metadata));
        }
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
        match Tree::of(path, "") {
            Ok(tree) => tree.for_each(|found| match found {
                Found::File(file) => self.file(Ok(file)),
                Found::Skipped(skipped) => self.skipped.push(skipped),
                Found::Leftover(_) => {}
            }),
            Err(cause) => self.skip(path, &cause),
        }
    }

    fn file(&mut self, file: Result<LocalFile, Skipped>) {
        match file {
            Ok(LocalFile { name, path, .. }) => {
                self.sources.push(Source { name, origin: Origin::Path(path) });
            }
            Err(skipped) => self.skipped.push(skipped),
        }
    }

    fn skip(&mut self, path: &Path, cause: &dyn fmt::Display) {
        let (path, why) = (path.to_owned(), cause.to_string());
        self.skipped.push(Skipped { path, name: None, why, is_special: false });
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

impl Source {
    /// Reads all bytes, however many there are; blocks on the file system.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        match &self.origin {
            Origin::Bytes(bytes) => Ok(bytes.clone()),
            Origin::Path(path) => fs::read(path).map_err(|cause| unreadable(path, &cause)),
            Origin::Stdin => {
                let mut bytes = Vec::new();
                let read = io::stdin().lock().read_to_end(&mut bytes);
                read.map_err(|cause| unreadable(Path::new("stdin"), &cause))?;
                Ok(bytes)
            }
        }
    }

    /// Opens the file, and reads it if it is small. Blocks on the file system.
    pub(super) fn open(&self) -> Result<Content<'static>, Error> {
        match &self.origin {
            Origin::Bytes(bytes) => Ok(Content::Whole(bytes.clone().into())),
            Origin::Path(path) => content::open(path),
            Origin::Stdin => content::open_stdin(),
        }
    }

    /// Its size, if that is known. Blocks on the file system.
    pub(super) fn bytes(&self) -> Option<u64> {
        match &self.origin {
            Origin::Bytes(bytes) => Some(bytes.len() as u64),
            Origin::Path(path) => fs::metadata(path).ok().map(|it| it.len()),
            Origin::Stdin => None,
        }
    }
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
        let index = found.sources[1].open().unwrap();
        assert!(matches!(index, Content::Whole(bytes) if *bytes == *b"hi"));
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
