//! What is put: a content in memory, or one that is read in pieces while it is sent.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use blake3::{Hash, Hasher};

use super::{
    error::{Error, unreadable},
    local::{self, Trace, trace},
    meter::Meter,
    pieces::{Supply, WHOLE_BYTES_MAX, supply},
    save::temporary_name,
    tree::in_one_line,
};

/// Bytes of a file that are in memory while it is hashed or copied.
const READ_BYTES: usize = 64 << 10;

/// A content that is to be put.
pub(super) enum Content<'a> {
    /// All of it is in memory.
    Whole(Cow<'a, [u8]>),
    /// It is in a file.
    File(FileContent),
    /// It comes once, in pieces, and not again. `None`: it has come.
    Once(Option<Supply>),
}

/// What one attempt to put a content sends.
pub(super) enum Body<'a> {
    Bytes(&'a [u8]),
    Supply(Supply, Meter),
}

/// A content in a file, or in a part of one.
pub(super) struct FileContent {
    file: Arc<File>,
    /// Where it was opened, if all of it is meant. `None`: it cannot be opened again.
    path: Option<PathBuf>,
    /// What it is called in messages.
    shown: String,
    at: u64,
    pub bytes: u64,
    trace: Trace,
}

impl Body<'_> {
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Supply(supply, _) => supply.bytes,
        }
    }
}

impl Content<'_> {
    /// What is sent, from its start.
    pub fn body(&mut self, meter: &Meter) -> Body<'_> {
        match self {
            Self::Whole(bytes) => Body::Bytes(bytes),
            Self::File(file) => Body::Supply(file.supply(), meter.clone()),
            Self::Once(supply) => {
                let supply = supply.take().expect("it is not asked for again when it has come");
                Body::Supply(supply, meter.clone())
            }
        }
    }

    /// Its size. Of what has come already, it is not known any more.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File(file) => file.bytes,
            Self::Once(supply) => supply.as_ref().map_or(0, |supply| supply.bytes),
        }
    }

    /// Whether it cannot be sent again.
    pub fn has_come(&self) -> bool {
        matches!(self, Self::Once(None))
    }

    pub async fn hash(&mut self) -> Result<Option<Hash>, Error> {
        match self {
            Self::Whole(bytes) => Ok(Some(blake3::hash(bytes))),
            Self::File(file) => file.hash().await.map(Some),
            Self::Once(_) => Ok(None),
        }
    }

    /// A file that has changed is taken as it is now. `false`: that cannot be.
    pub async fn renew(&mut self) -> Result<bool, Error> {
        match self {
            Self::File(file) => file.renew().await,
            Self::Whole(_) | Self::Once(_) => Ok(false),
        }
    }
}

/// Opens a file. A small one is read, all of it as it was at one time. Blocks on the file system.
pub(super) fn open(path: &Path) -> Result<Content<'static>, Error> {
    local::unchanged(path, |file, metadata| {
        if metadata.len() > WHOLE_BYTES_MAX as u64 {
            let file = Arc::new(file.try_clone()?);
            let (at, bytes, trace) = (0, metadata.len(), trace(metadata));
            let (path, shown) = (Some(path.to_owned()), in_one_line(path));
            return Ok(Content::File(FileContent { file, path, shown, at, bytes, trace }));
        }
        read(file, &in_one_line(path))
    })
}

/// What stdin has. A file is read while it is sent. What comes over a pipe has to be at its end first,
/// since its size is sent before it. Blocks.
pub(super) fn open_stdin() -> Result<Content<'static>, Error> {
    use std::os::fd::AsFd;
    let shown = "stdin";
    let open = || {
        let mut file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        match FileContent::rest_of(&file, shown)? {
            Some(content) if content.bytes > WHOLE_BYTES_MAX as u64 => Ok(Content::File(content)),
            _ => read(&mut file, shown),
        }
    };
    open().map_err(|cause: io::Error| Error::File { path: shown.into(), cause: cause.to_string() })
}

/// Reads to the end, into memory or, if that is too much, into a file.
fn read(from: &mut impl Read, shown: &str) -> io::Result<Content<'static>> {
    let mut bytes = Vec::new();
    from.take(WHOLE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() <= WHOLE_BYTES_MAX {
        return Ok(Content::Whole(bytes.into()));
    }
    let mut spool = Spool::new()?;
    spool.write(&bytes)?;
    drop(bytes);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(Content::File(spool.finish(shown)?)),
            Ok(read) => spool.write(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl FileContent {
    /// What follows in a file that has been opened, from where it is read next. `None`: it is no
    /// regular file, and has no size.
    pub fn rest_of(file: &File, shown: &str) -> io::Result<Option<Self>> {
        use std::io::Seek;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut file = file.try_clone()?;
        let at = file.stream_position()?;
        let (bytes, trace) = (metadata.len().saturating_sub(at), trace(&metadata));
        let (file, shown) = (Arc::new(file), shown.to_owned());
        Ok(Some(Self { file, path: None, shown, at, bytes, trace }))
    }

    /// A part of it. `None`: it does not reach so far.
    pub fn part(&self, from: u64, bytes: u64, shown: &str) -> Option<Self> {
        let end = from.checked_add(bytes)?;
        (end <= self.bytes).then(|| Self {
            file: self.file.clone(),
            path: None,
            shown: shown.to_owned(),
            at: self.at + from,
            bytes,
            trace: self.trace,
        })
    }

    /// Reads it on another thread, while it is sent.
    fn supply(&self) -> Supply {
        let (supply, feed) = supply(self.bytes);
        let reader = self.reader();
        smol::unblock(move || {
            let mut at = 0;
            let read = |part: &mut [u8]| {
                let read = reader.read(part, at);
                at += part.len() as u64;
                read
            };
            feed.run(read, || reader.check());
        })
        .detach();
        supply
    }

    /// Its hash, as it was at one time.
    pub async fn hash(&mut self) -> Result<Hash, Error> {
        for _ in 1..local::READS_MAX {
            match self.try_hash().await {
                Err(Error::Changed { .. }) if self.renew().await? => {}
                result => return result,
            }
        }
        self.try_hash().await
    }

    async fn try_hash(&self) -> Result<Hash, Error> {
        let (reader, bytes) = (self.reader(), self.bytes);
        smol::unblock(move || {
            let (mut hasher, mut buffer, mut at) = (Hasher::new(), vec![0; READ_BYTES], 0);
            while at < bytes {
                let part = (bytes - at).min(READ_BYTES as u64) as usize;
                reader.read(&mut buffer[..part], at)?;
                hasher.update(&buffer[..part]);
                at += part as u64;
            }
            reader.check()?;
            Ok(hasher.finalize())
        })
        .await
    }

    async fn renew(&mut self) -> Result<bool, Error> {
        let Some(path) = self.path.clone() else { return Ok(false) };
        let renewed = smol::unblock(move || {
            let open = || {
                let file = File::open(&path)?;
                let metadata = file.metadata()?;
                if !metadata.is_file() {
                    return Err(local::no_file());
                }
                Ok((file, metadata))
            };
            open().map_err(|cause: io::Error| unreadable(&path, &cause))
        });
        let (file, metadata) = renewed.await?;
        (self.bytes, self.trace) = (metadata.len(), trace(&metadata));
        self.file = Arc::new(file);
        Ok(true)
    }

    fn reader(&self) -> Reader {
        let Self { file, path, shown, at, trace, .. } = self;
        let (file, path, shown) = (file.clone(), path.clone(), shown.clone());
        Reader { file, path, shown, at: *at, trace: *trace }
    }
}

/// Reads a [`FileContent`] on another thread.
struct Reader {
    file: Arc<File>,
    path: Option<PathBuf>,
    shown: String,
    at: u64,
    trace: Trace,
}

impl Reader {
    /// Fills this part with what is there from `from` on.
    fn read(&self, part: &mut [u8], from: u64) -> Result<(), Error> {
        match self.file.read_exact_at(part, self.at + from) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.changed()),
            read => read.map_err(|error| self.unreadable(&error)),
        }
    }

    /// Whether the file is still what it was. The path may lead to another one by now.
    fn check(&self) -> Result<(), Error> {
        let is_same = || {
            let same_path = match &self.path {
                Some(path) => trace(&fs::metadata(path)?) == self.trace,
                None => true,
            };
            Ok(same_path && trace(&self.file.metadata()?) == self.trace)
        };
        match is_same() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.changed()),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    fn changed(&self) -> Error {
        Error::Changed { path: self.shown.clone() }
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        Error::File { path: self.shown.clone(), cause: error.to_string() }
    }
}

/// A file without a name, for what comes only once.
pub(super) struct Spool(File);

impl Spool {
    pub fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir();
        let path = folder.join(temporary_name());
        let create = || {
            let mut options = File::options();
            let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        };
        create().map(Self).map_err(kept)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).map_err(kept)
    }

    /// All of it.
    pub fn finish(self, shown: &str) -> io::Result<FileContent> {
        let metadata = self.0.metadata()?;
        let (bytes, trace) = (metadata.len(), trace(&metadata));
        let (file, shown) = (Arc::new(self.0), shown.to_owned());
        Ok(FileContent { file, path: None, shown, at: 0, bytes, trace })
    }
}

fn kept(error: io::Error) -> io::Error {
    let folder = std::env::temp_dir();
    let folder = in_one_line(&folder);
    io::Error::other(format!("it cannot be kept in {folder} meanwhile (see TMPDIR): {error}"))
}
