//! A folder belongs to one process at a time.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::error::{OpenError, failed};

/// The longest text that is read from a lock's file.
const LOCK_BYTES_MAX: u64 = 32;

/// A folder that no other process can take, as long as this is there. The system gives it up when the
/// process ends, however that happens.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes a folder that exists.
    pub fn take(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = (&mut file).take(LOCK_BYTES_MAX).read_to_string(&mut text);
                return Err(OpenError::InUse {
                    folder: folder.into(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(error) => return Err(failed(&path)(error.into())),
        }
        let number = format!("{}\n", std::process::id());
        // For the error that the next process shows; it is not needed for the lock.
        let _ = file.set_len(0).and_then(|()| file.write_all(number.as_bytes()));
        Ok(Self { _file: file })
    }
}

/// Makes a folder and those that it is in, so that they outlive a loss of power. Blocks.
pub fn make_folders(folder: &Path) -> Result<(), OpenError> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let absolute = std::path::absolute(folder).map_err(failed(folder))?;
    for ancestor in absolute.ancestors() {
        match fs::metadata(ancestor) {
            Ok(metadata) if metadata.is_dir() => break,
            Ok(_) => return Err(OpenError::NotAFolder { folder: ancestor.into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(ancestor.into()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(failed(ancestor)(error)),
        }
    }
    for path in missing.iter().rev() {
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(path)(error));
            }
            _ => {}
        }
        let parent = path.parent().expect("it was missing, so it is not the root");
        File::open(parent).and_then(|it| it.sync_all()).map_err(failed(parent))?;
    }
    Ok(())
}
