//! A folder to write into, and nothing outside of it: no link in it is followed, whoever puts it there
//! and whenever.
//!
//! A path is walked folder by folder, each opened by the one before it, without following a link. Files
//! are written aside and renamed within the folder that was opened.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, Stat, fchmod, mkdirat, openat, renameat, statat, unlinkat,
    },
    io::Errno,
};

use super::save::temporary_name;

/// How often a folder is opened that others remove at the same time.
const OPENS_MAX: usize = 4;
/// A temporary file that has not been written to for this long belongs to no program that still runs.
const LEFTOVER_AFTER: Duration = Duration::from_secs(600);
/// Files of which it is remembered that another name of the ring leads to them.
const TWINS_MAX: usize = 10_000;

/// A folder to write into. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: Arc<OwnedFd>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The files that are being written: the folder that each is in, and its name there.
    aside: Vec<(Arc<OwnedFd>, String)>,
    has_ended: bool,
    /// Device and number of files that stand where a name of another spelling was to be written.
    twins: BTreeSet<(u64, u64)>,
}

impl Shared {
    /// Whether a file was being written; it is not any more.
    fn forget(&mut self, aside: &str) -> bool {
        let at = self.aside.iter().position(|(_, name)| name == aside);
        at.map(|at| self.aside.swap_remove(at)).is_some()
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct BegunFile {
    /// To write to.
    pub file: File,
    folder: Arc<OwnedFd>,
    /// Its name until it is whole.
    aside: String,
    last: String,
    /// The permissions of the file that it replaces.
    mode: Option<Mode>,
}

/// What is known to be in the place of a file that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The listing of the folder had nothing there.
    New,
    /// The listing had a file there, or a link to one.
    Taken,
}

/// Why a file was not written or removed. Nothing has changed.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// Something is in the way that may be removed on request, or may go away by itself.
    InTheWay(String),
    /// Something is in the way that stays.
    Conflict(String),
    /// The system refused.
    System(io::Error),
}

impl From<Errno> for Obstacle {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Folder {
    /// Opens a folder, by way of links if the path has some.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = File::options().read(true).open(path)?;
        if !root.metadata()?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        Ok(Self { root: Arc::new(root.into()), shared: Arc::default() })
    }

    /// Writes a file so that it is there whole or not at all, and makes the folders above it. One that
    /// is replaced keeps its permissions. `replaces_links`: a link in its place may be replaced; what
    /// it leads to is not touched. Blocks on the file system.
    pub fn write(
        &self,
        name: &str,
        place: Place,
        replaces_links: bool,
        content: &[u8],
        modified: SystemTime,
    ) -> Result<(), Obstacle> {
        let mut begun = self.begin(name, place, replaces_links)?;
        match begun.file.write_all(content) {
            Ok(()) => self.finish(begun, modified),
            Err(error) => Err(self.give_up(&begun, error.into())),
        }
    }

    /// Begins a file that is written in parts, as [`write`](Self::write) does.
    pub fn begin(
        &self,
        name: &str,
        place: Place,
        replaces_links: bool,
    ) -> Result<BegunFile, Obstacle> {
        for _ in 1..OPENS_MAX {
            match self.try_begin(name, place, replaces_links) {
                // A folder that has become empty is removed at the same time.
                Err(Obstacle::System(error)) if error.kind() == io::ErrorKind::NotFound => {}
                result => return result,
            }
        }
        self.try_begin(name, place, replaces_links)
    }

    /// The file is whole: it takes its place, with this time of modification.
    pub fn finish(&self, begun: BegunFile, modified: SystemTime) -> Result<(), Obstacle> {
        let BegunFile { file, folder, aside, last, mode } = begun;
        let set = mode.map_or(Ok(()), |mode| fchmod(&file, mode).map_err(io::Error::from));
        // Not every file system has it, and the bytes matter more.
        let _ = file.set_modified(modified);
        let mut shared = self.shared();
        if !shared.forget(&aside) {
            return Err(io::Error::from(io::ErrorKind::Interrupted).into());
        }
        let renamed =
            set.and_then(|()| renameat(&*folder, &aside, &*folder, last).map_err(io::Error::from));
        if renamed.is_err() {
            // Best effort: the first error is the one to report.
            let _ = unlinkat(&*folder, &aside, AtFlags::empty());
        }
        Ok(renamed?)
    }

    /// Removes what was begun and has failed. Returns the error.
    pub fn give_up<E>(&self, begun: &BegunFile, error: E) -> E {
        if self.shared().forget(&begun.aside) {
            let _ = unlinkat(&*begun.folder, &begun.aside, AtFlags::empty());
        }
        error
    }

    /// Whether [`write`](Self::write) would find something in its way. Changes nothing.
    pub fn check(&self, name: &str, place: Place, replaces_links: bool) -> Result<(), Obstacle> {
        let (folders, last) = split(name);
        match self.enter(&folders, false) {
            Ok(path) => self.existing(parent(&path), last, place, replaces_links).map(drop),
            Err(Obstacle::System(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(obstacle) => Err(obstacle),
        }
    }

    /// Removes a file, or a link, and the folders above it that are empty then. Blocks on the file
    /// system.
    pub fn remove(&self, name: &str) -> Result<(), Obstacle> {
        let (folders, last) = split(name);
        let path = self.enter(&folders, false)?;
        let stat = statat(parent(&path), last, AtFlags::SYMLINK_NOFOLLOW)?;
        if !matches!(type_of(&stat), FileType::RegularFile | FileType::Symlink) {
            return Err(Obstacle::Conflict("it is no file any more".into()));
        }
        if self.shared().twins.contains(&number(&stat)) {
            let why = "a name of the ring that differs in case or in its accents leads to it";
            return Err(Obstacle::Conflict(why.into()));
        }
        unlinkat(parent(&path), last, AtFlags::empty())?;
        for (above, folder) in path.iter().zip(&folders).rev() {
            // One that is not empty stays.
            if unlinkat(above, *folder, AtFlags::REMOVEDIR).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Removes a temporary file that a run before this has left. Blocks on the file system.
    pub fn remove_leftover(&self, name: &str) {
        let (folders, last) = split(name);
        let Ok(path) = self.enter(&folders, false) else { return };
        let Ok(stat) = statat(parent(&path), last, AtFlags::SYMLINK_NOFOLLOW) else { return };
        let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let is_old = written.elapsed().is_ok_and(|age| age > LEFTOVER_AFTER);
        if is_old && type_of(&stat) == FileType::RegularFile {
            // Best effort: it is in nobody's way.
            let _ = unlinkat(parent(&path), last, AtFlags::empty());
        }
    }

    /// Removes what is not whole yet, and writes no more.
    pub fn end(&self) {
        let mut shared = self.shared();
        shared.has_ended = true;
        for (folder, name) in std::mem::take(&mut shared.aside) {
            let _ = unlinkat(&*folder, name, AtFlags::empty());
        }
    }

    fn try_begin(
        &self,
        name: &str,
        place: Place,
        replaces_links: bool,
    ) -> Result<BegunFile, Obstacle> {
        let (folders, last) = split(name);
        let mut path = self.enter(&folders, true)?;
        let folder = path.pop().expect("the root is in it");
        let mode = self.existing(&folder, last, place, replaces_links)?;
        let (aside, file) = self.create_aside(&folder)?;
        Ok(BegunFile { file, folder, aside, last: last.to_owned(), mode })
    }

    /// Opens folder after folder; the last is the innermost. `makes`: those that are missing are made.
    fn enter(&self, folders: &[&str], makes: bool) -> Result<Vec<Arc<OwnedFd>>, Obstacle> {
        let mut path = vec![self.root.clone()];
        for folder in folders {
            let above = parent(&path);
            let open = || {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(above, *folder, flags, Mode::empty())
            };
            let opened = match open() {
                Err(Errno::NOENT) if makes => {
                    match mkdirat(above, *folder, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => open(),
                        Err(error) => Err(error),
                    }
                }
                opened => opened,
            };
            match opened {
                Ok(opened) => path.push(Arc::new(opened)),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(match statat(above, *folder, AtFlags::SYMLINK_NOFOLLOW) {
                        // It was deleted just now, and a folder may be there already: it is tried again.
                        Ok(stat) if type_of(&stat) == FileType::Directory => Errno::NOENT.into(),
                        Ok(stat) => no_folder(folder, type_of(&stat)),
                        Err(gone) => gone.into(),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(path)
    }

    /// The permissions of the file that is to be replaced, if there is one.
    fn existing(
        &self,
        folder: &OwnedFd,
        last: &str,
        place: Place,
        replaces_links: bool,
    ) -> Result<Option<Mode>, Obstacle> {
        let stat = match statat(folder, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match (type_of(&stat), place) {
            (FileType::RegularFile, Place::Taken) => Ok(Some(Mode::from_raw_mode(stat.st_mode))),
            (FileType::RegularFile, Place::New) => {
                let mut shared = self.shared();
                if shared.twins.len() < TWINS_MAX {
                    shared.twins.insert(number(&stat));
                }
                Err(Obstacle::Conflict(
                    "the folder has a file there whose name differs in case or in its accents, or \
                     that has just come"
                        .into(),
                ))
            }
            (FileType::Symlink, _) if replaces_links => Ok(None),
            (FileType::Symlink, _) => {
                Err(Obstacle::Conflict("there is a link in its place, and links stay".into()))
            }
            (FileType::Directory, _) => {
                Err(Obstacle::InTheWay("there is a folder in its place".into()))
            }
            _ => Err(Obstacle::Conflict("what is in its place is no regular file".into())),
        }
    }

    fn create_aside(&self, folder: &Arc<OwnedFd>) -> io::Result<(String, File)> {
        loop {
            let name = temporary_name();
            let mut shared = self.shared();
            if shared.has_ended {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&**folder, &name, flags, Mode::from_raw_mode(0o666)) {
                Ok(file) => {
                    shared.aside.push((folder.clone(), name.clone()));
                    return Ok((name, file.into()));
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folders of a name, and its last part.
fn split(name: &str) -> (Vec<&str>, &str) {
    let mut parts: Vec<&str> = name.split('/').collect();
    let last = parts.pop().unwrap_or_default();
    (parts, last)
}

fn parent(path: &[Arc<OwnedFd>]) -> &OwnedFd {
    path.last().expect("the root is in it")
}

fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
fn number(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

fn no_folder(folder: &str, is: FileType) -> Obstacle {
    match is {
        FileType::RegularFile => Obstacle::InTheWay(format!("{folder} is a file and no folder")),
        FileType::Symlink => {
            Obstacle::Conflict(format!("{folder} is a link, and nothing is written through links"))
        }
        _ => Obstacle::Conflict(format!("{folder} is no folder")),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        time::UNIX_EPOCH,
    };

    use super::*;

    fn write(folder: &Folder, name: &str, place: Place) -> Result<(), Obstacle> {
        folder.write(name, place, false, name.as_bytes(), UNIX_EPOCH + Duration::from_secs(10))
    }

    #[test]
    fn files_are_written_with_their_folders_and_removed_with_them() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        let folder = Folder::open(home.path()).unwrap();
        write(&folder, "a/b/c", Place::New).unwrap();
        write(&folder, "a/d", Place::New).unwrap();
        assert_eq!(fs::read(at("a/b/c")).unwrap(), b"a/b/c");
        let modified = fs::metadata(at("a/d")).unwrap().modified().unwrap();
        assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(10));
        fs::set_permissions(at("a/d"), fs::Permissions::from_mode(0o750)).unwrap();
        write(&folder, "a/d", Place::Taken).unwrap();
        assert_eq!(fs::metadata(at("a/d")).unwrap().permissions().mode() & 0o777, 0o750);
        assert_eq!(fs::read_dir(at("a")).unwrap().count(), 2, "nothing temporary is left");
        folder.remove("a/b/c").unwrap();
        assert!(!at("a/b").exists() && at("a/d").exists());
        folder.remove("a/d").unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        folder.end();
        assert!(write(&folder, "x", Place::New).is_err());
    }

    #[test]
    fn nothing_is_written_or_removed_through_a_link() {
        let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |path: &str| home.path().join(path);
        fs::write(outside.path().join("file"), "safe").unwrap();
        symlink(outside.path(), at("folder")).unwrap();
        symlink(outside.path().join("file"), at("link")).unwrap();
        let folder = Folder::open(home.path()).unwrap();
        for name in ["folder/file", "folder/new", "folder/deep/new", "link"] {
            for place in [Place::New, Place::Taken] {
                let written = write(&folder, name, place);
                assert!(matches!(written, Err(Obstacle::Conflict(_))), "{name}: {written:?}");
                assert!(folder.check(name, place, false).is_err());
            }
        }
        assert!(folder.remove("folder/file").is_err());
        // The link itself may go, not what it leads to.
        folder.write("link", Place::Taken, true, b"new", UNIX_EPOCH).unwrap();
        assert!(!at("link").is_symlink());
        folder.remove("folder").unwrap();
        assert_eq!(fs::read(outside.path().join("file")).unwrap(), b"safe");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_in_the_way_stays_there() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("file"), "file").unwrap();
        let folder = Folder::open(home.path()).unwrap();
        for name in ["folder", "file/below"] {
            let written = write(&folder, name, Place::New);
            assert!(matches!(written, Err(Obstacle::InTheWay(_))), "{name}: {written:?}");
        }
        // As where a file system takes FILE and file for the same.
        assert!(matches!(write(&folder, "file", Place::New), Err(Obstacle::Conflict(_))));
        assert!(matches!(folder.remove("file"), Err(Obstacle::Conflict(_))));
        assert_eq!(fs::read(at("file")).unwrap(), b"file");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
    }

    #[test]
    fn only_old_temporary_files_are_removed() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path()).unwrap();
        let name = temporary_name();
        let file = File::create(home.path().join(&name)).unwrap();
        folder.remove_leftover(&name);
        assert!(home.path().join(&name).exists());
        file.set_modified(SystemTime::now() - 2 * LEFTOVER_AFTER).unwrap();
        folder.remove_leftover(&name);
        assert!(!home.path().join(&name).exists());
    }
}
