//! What can go wrong.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why a folder could not be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open, or this one has already.
    #[error("{} is in use by {}: end that, or give another folder", .folder.display(), Self::process(*.pid))]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The number of the process, if it is known.
        pid: Option<u32>,
    },
    /// A later version of this program has written it.
    #[error(
        "{} was written by a later version (format {format}): start that one, or give another \
         folder",
        .folder.display()
    )]
    NewerFormat {
        /// The folder.
        folder: PathBuf,
        /// The format.
        format: u64,
    },
    /// Its files are those of another ring.
    #[error(
        "{} belongs to the ring {ring:?}: give that name with --ring, or another folder",
        .folder.display()
    )]
    OtherRing {
        /// The folder.
        folder: PathBuf,
        /// The name of that ring.
        ring: String,
    },
    /// It is a file.
    #[error("{} is no folder: give a folder", .folder.display())]
    NotAFolder {
        /// What was given.
        folder: PathBuf,
    },
    /// There is something else in it.
    #[error(
        "{} is no data folder of smolring (there is {strange:?} in it): give an empty folder or a \
         new one",
        .folder.display()
    )]
    Strange {
        /// The folder.
        folder: PathBuf,
        /// What is in it.
        strange: String,
    },
    /// The file system refuses.
    #[error("cannot use {}: {cause}. Make it writable, or give another folder", .path.display())]
    Failed {
        /// The file or folder.
        path: PathBuf,
        /// What the file system says.
        cause: io::Error,
    },
}

impl OpenError {
    fn process(pid: Option<u32>) -> String {
        pid.map_or("another process".into(), |pid| format!("the process {pid}"))
    }
}

/// The error that says which file or folder the file system refuses.
pub fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |cause| OpenError::Failed { path: path.into(), cause }
}

/// Why a content could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// It was never kept, could not be kept, or was discarded.
    #[error("it is not in the store")]
    Gone,
    /// What is on the disk is not what was written, so it is not handed out.
    #[error("it is damaged on the disk")]
    Damaged,
    /// The disk could not be read. Another attempt may succeed.
    #[error("the disk cannot be read: {0}")]
    Failed(Arc<io::Error>),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Failed(Arc::new(error))
    }
}
