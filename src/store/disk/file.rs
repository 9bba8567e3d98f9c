//! The file layer: all that the store asks of a file system, as two small traits.
//!
//! [`RealDisk`] is the file system of the machine. Tests have a disk in memory that loses and tears
//! what was not synced, and that fails when told to.
//!
//! What a file system promises, and no more is relied on: what was written to a file is there after
//! a power loss once [`DiskFile::sync`] has returned without an error; that a file was created,
//! renamed or removed, once [`Disk::sync_folder`] of its folder has. After a sync that has failed,
//! what it was to sync may be gone although a later sync succeeds (Rebello et al., "Can Applications
//! Recover from fsync Failures?", 2020): so it is written again, to another place.

use std::{
    ffi::OsString,
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use crate::ring::StoreFault;

/// A file system. All methods block.
pub trait Disk: Send + Sync + Debug {
    /// What is in a folder, in no order.
    fn list(&self, folder: &Path) -> io::Result<Vec<FolderEntry>>;
    /// Makes a folder; its parent is there. There is no error if the folder is there already.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes an empty file for reading and writing. One that is there is emptied.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name. A file that has this name already is replaced in the same moment.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Who has it open can go on reading it.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// How many bytes there is room for where this folder is.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
    /// Returns when all that happened to the entries of the folder outlives a loss of power.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync + Debug {
    /// Its length in bytes.
    fn bytes(&self) -> io::Result<u64>;
    /// Reads until the buffer is full or the file ends. Returns how much was read. Blocks.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Reads the whole buffer if that is possible without waiting for the disk. `false`: it is not;
    /// then what is in the buffer means nothing.
    fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool>;
    /// Writes all these bytes. After an error some of them may be written. Blocks.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when content and length of the file outlive a loss of power. Blocks.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file off at this length. Blocks.
    fn cut(&self, bytes: u64) -> io::Result<()>;
}

/// What is in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderEntry {
    /// Its name in the folder.
    pub name: OsString,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its length in bytes, if it is a file.
    pub bytes: u64,
}

impl FolderEntry {
    /// The name, if it is UTF-8, as all names are that the store gives.
    pub fn text(&self) -> Option<&str> {
        self.name.to_str()
    }
}

/// What an error of the file system means for the one whose write it concerns.
pub fn fault(error: &io::Error) -> StoreFault {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => StoreFault::Full,
        _ => StoreFault::Broken,
    }
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn list(&self, folder: &Path) -> io::Result<Vec<FolderEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // What is removed meanwhile is not there.
            let Ok(metadata) = entry.metadata() else { continue };
            let (is_folder, bytes) = (metadata.is_dir(), metadata.len());
            entries.push(FolderEntry { name: entry.file_name(), is_folder, bytes });
        }
        Ok(entries)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.0.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    #[cfg(target_os = "linux")]
    fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let bytes = buffer.len();
        let buffers = &mut [io::IoSliceMut::new(buffer)];
        match preadv2(&self.0, buffers, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(read == bytes),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn read_now(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<bool> {
        Ok(false)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}
