//! How a `get` writes files: each whole or not at all.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rustix::io::Errno;

use crate::random;

/// Links that lead to one another before one leads to a file: as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Writes files, each aside first, and then renames it. What it has aside can be removed from another
/// thread at any time, so that an interrupted `get` leaves nothing. Clones are the same saver.
#[derive(Clone, Debug, Default)]
pub(super) struct Saver(Arc<Mutex<Aside>>);

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Begun {
    /// To write to.
    pub file: File,
    /// Where it is until it is whole. `None`: it is written to directly.
    aside: Option<PathBuf>,
    path: PathBuf,
}

/// The files that are being written.
#[derive(Debug, Default)]
struct Aside {
    paths: BTreeSet<PathBuf>,
    has_ended: bool,
}

impl Begun {
    /// Whether what is written to it can be taken back.
    pub fn is_aside(&self) -> bool {
        self.aside.is_some()
    }
}

impl Saver {
    /// Writes a file so that it is there whole or not at all, with this time of modification where
    /// the file system has one. A file that is replaced keeps its permissions. A link stays a link:
    /// what it leads to is written. Anything but a regular file, like `/dev/null`, is written to
    /// directly. Blocks on the file system.
    pub fn save(&self, path: &Path, content: &[u8], modified: SystemTime) -> io::Result<()> {
        let mut begun = self.begin(path)?;
        let mut written = begun.file.write_all(content);
        if written.is_err() {
            written = written.map_err(|error| self.give_up(&begun, error));
        }
        written.and_then(|()| self.finish(begun, Some(modified)))
    }

    /// Begins a file that is written in parts.
    pub fn begin(&self, path: &Path) -> io::Result<Begun> {
        let existing = match fs::metadata(path) {
            Ok(existing) if !existing.is_file() => {
                let file = File::options().write(true).open(path)?;
                return Ok(Begun { file, aside: None, path: path.to_owned() });
            }
            Ok(existing) => Some(existing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let path = end_of_links(path)?;
        let (aside, file) = self.create_aside(path.parent().unwrap_or(Path::new("")))?;
        let begun = Begun { file, aside: Some(aside), path };
        if let Some(existing) = existing {
            let set = begun.file.set_permissions(existing.permissions());
            set.map_err(|error| self.give_up(&begun, error))?;
        }
        Ok(begun)
    }

    /// The file is whole: it takes its place, with this time of modification if one is given.
    pub fn finish(&self, begun: Begun, modified: Option<SystemTime>) -> io::Result<()> {
        let Some(aside) = &begun.aside else { return Ok(()) };
        if let Some(modified) = modified {
            // Not every file system has it, and the bytes matter more.
            let _ = begun.file.set_modified(modified);
        }
        let mut all = self.all();
        if !all.paths.remove(aside) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let renamed = fs::rename(aside, &begun.path);
        if renamed.is_err() {
            // Best effort: the first error is the one to report.
            let _ = fs::remove_file(aside);
        }
        renamed
    }

    /// Removes what was begun and has failed. Returns the error.
    pub fn give_up<E>(&self, begun: &Begun, error: E) -> E {
        if let Some(aside) = &begun.aside
            && self.all().paths.remove(aside)
        {
            let _ = fs::remove_file(aside);
        }
        error
    }

    /// Removes what is not whole yet, and writes no more.
    pub fn end(&self) {
        let mut all = self.all();
        all.has_ended = true;
        for path in std::mem::take(&mut all.paths) {
            let _ = fs::remove_file(path);
        }
    }

    /// An empty file beside the one that it will become.
    fn create_aside(&self, folder: &Path) -> io::Result<(PathBuf, File)> {
        loop {
            let path = folder.join(temporary_name());
            let mut all = self.all();
            if all.has_ended {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match File::create_new(&path) {
                Ok(file) => {
                    all.paths.insert(path.clone());
                    return Ok((path, file));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, Aside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const BEGIN: &str = ".ring-client-";
const END: &str = ".part";
/// Hexadecimal digits between the two.
const DIGITS: usize = 16;

/// A name for a file that is being written. It is random, since a process id is not unique where
/// containers share a folder, and short, since the name of the other may be as long as the file
/// system allows.
pub(super) fn temporary_name() -> String {
    format!("{BEGIN}{:0DIGITS$x}{END}", random::bits())
}

/// Whether a file has such a name.
pub(super) fn is_temporary(base: &[u8]) -> bool {
    let middle = base.strip_prefix(BEGIN.as_bytes()).and_then(|it| it.strip_suffix(END.as_bytes()));
    middle.is_some_and(|it| it.len() == DIGITS && it.iter().all(u8::is_ascii_hexdigit))
}

/// Takes back what was written to a file.
pub(super) fn empty(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}

/// What a link leads to, whether that exists or not.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(to) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    Err(Errno::LOOP.into())
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::{PermissionsExt, symlink},
        time::{Duration, UNIX_EPOCH},
    };

    use super::*;

    fn save(path: &Path, content: &[u8]) -> io::Result<()> {
        Saver::default().save(path, content, UNIX_EPOCH + Duration::from_secs(1_000_000_000))
    }

    #[test]
    fn a_file_is_saved_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        save(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o751)).unwrap();
        save(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o751);
        let modified = metadata.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(modified.as_secs(), 1_000_000_000);
        assert!(save(folder.path(), b"x").is_err());
        assert!(save(&folder.path().join("no/such/folder"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_of_any_length_that_the_file_system_takes_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        for (name, is_taken) in
            [("\u{1f600}".repeat(63), true), ("x".repeat(255), true), ("x".repeat(256), false)]
        {
            let saved = save(&folder.path().join(&name), b"x");
            assert_eq!(saved.is_ok(), is_taken, "{name}: {saved:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_stays_a_link_whether_it_leads_to_a_file_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deep")).unwrap();
        symlink("deep/two", at("one")).unwrap();
        symlink("three", at("deep/two")).unwrap();
        for content in [b"new", b"old"] {
            save(&at("one"), content).unwrap();
            assert_eq!(fs::read(at("deep/three")).unwrap(), content);
            assert!(at("one").is_symlink() && at("deep/two").is_symlink());
        }
        symlink("circle", at("circle")).unwrap();
        assert!(save(&at("circle"), b"x").is_err());
        assert!(at("circle").is_symlink());
    }

    #[test]
    fn what_is_aside_when_it_ends_is_removed_and_nothing_is_written_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let saver = Saver::default();
        let (path, _file) = saver.create_aside(folder.path()).unwrap();
        assert!(path.exists());
        saver.end();
        assert!(saver.save(&folder.path().join("x"), b"x", UNIX_EPOCH).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
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
