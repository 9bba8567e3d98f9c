//! Contents in files of their own, named by their hash, and shared by all versions with equal bytes.
//!
//! `files/ab/ab34…` has the bytes and, behind them, the hashes of the blocks ([`Tree`]). A file is
//! written under another name, synced, renamed, and its folder is synced; then only a record may name
//! it. It is removed when no version has this content and the deaths of those that had are synced.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use blake3::Hash;
use bytes::Bytes;

use super::{
    error::ReadError,
    file::{Disk, DiskFile},
    limits::{BLOCK_BYTES, OPEN_FILES_MAX, OPEN_TREES_BYTES_MAX},
    tree::Tree,
};

/// What the names of files that are not complete end in.
pub const DRAFT: &str = ".new";

/// A content in a file of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Large {
    /// Its BLAKE3, and its name.
    pub hash: Hash,
    /// Its length.
    pub bytes: u64,
}

impl Large {
    /// The length that its file has. `None`: there is no such content.
    pub fn file_bytes(&self) -> Option<u64> {
        self.bytes.checked_add(Tree::encoded_bytes(self.bytes))
    }
}

#[derive(Clone, Copy, Debug)]
struct Uses {
    versions: u32,
    bytes: u64,
}

/// The folder of these files, and how many versions have each.
#[derive(Debug)]
pub struct Contents {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    uses: HashMap<Hash, Uses>,
    bytes: u64,
    /// Which of the 256 folders are surely there.
    has_folder: Vec<bool>,
}

impl Contents {
    /// No content yet, in this folder.
    pub fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        Self { disk, folder, uses: HashMap::new(), bytes: 0, has_folder: vec![false; 256] }
    }

    /// Where the file of a content is.
    pub fn path(&self, hash: Hash) -> PathBuf {
        path_of(&self.folder, hash)
    }

    /// The length of all contents.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the file of this content can be shared by another version.
    pub fn is_here(&self, hash: Hash) -> bool {
        self.uses.contains_key(&hash)
    }

    /// Writes the file of a content. If this fails, it may be there or not.
    pub fn write(&mut self, hash: Hash, content: &[u8], syncs: bool) -> io::Result<()> {
        let path = self.make_folder(hash)?;
        let draft = path.with_extension(&DRAFT[1..]);
        let result = self.write_draft(&draft, hash, content, syncs);
        let result = result.and_then(|()| self.publish(&draft, &path, syncs));
        if result.is_err() {
            let _ = self.disk.remove(&draft);
        }
        result
    }

    /// Takes a complete file for a content. If this fails, the file is gone.
    pub fn take(&mut self, hash: Hash, file: &Path, syncs: bool) -> io::Result<()> {
        let result = self.make_folder(hash);
        let result = result.and_then(|path| self.publish(file, &path, syncs));
        if result.is_err() {
            let _ = self.disk.remove(file);
        }
        result
    }

    /// Counts a version that has this content.
    pub fn hold(&mut self, large: Large) {
        let Large { hash, bytes } = large;
        let uses = self.uses.entry(hash).or_insert_with(|| {
            self.bytes = self.bytes.saturating_add(bytes);
            Uses { versions: 0, bytes }
        });
        uses.versions += 1;
    }

    /// A version that had this content is dead.
    pub fn release(&mut self, hash: Hash) {
        if let Some(uses) = self.uses.get_mut(&hash) {
            uses.versions = uses.versions.saturating_sub(1);
        }
    }

    /// Removes the file of this content if no version has it. The file may come back after a power
    /// loss; then it is removed when the store is opened.
    pub fn remove_unused(&mut self, hash: Hash) {
        if let Some(uses) = self.uses.get(&hash)
            && uses.versions == 0
        {
            self.bytes = self.bytes.saturating_sub(uses.bytes);
            self.uses.remove(&hash);
            let _ = self.disk.remove(&self.path(hash));
        }
    }

    /// The file to write, in a folder that outlives a power loss.
    fn make_folder(&mut self, hash: Hash) -> io::Result<PathBuf> {
        let path = self.path(hash);
        let number = usize::from(hash.as_bytes()[0]);
        if !self.has_folder[number] {
            self.disk.make_folder(path.parent().expect("it has one"))?;
            self.disk.sync_folder(&self.folder)?;
            self.has_folder[number] = true;
        }
        Ok(path)
    }

    fn write_draft(&self, draft: &Path, hash: Hash, content: &[u8], syncs: bool) -> io::Result<()> {
        let file = self.disk.create(draft)?;
        file.write_at(content, 0)?;
        let leaves = Tree::of(content, hash).encode();
        if !leaves.is_empty() {
            file.write_at(&leaves, content.len() as u64)?;
        }
        if syncs { file.sync() } else { Ok(()) }
    }

    /// Gives a complete file its name.
    fn publish(&self, draft: &Path, path: &Path, syncs: bool) -> io::Result<()> {
        self.disk.rename(draft, path)?;
        let folder = path.parent().expect("it has one");
        if syncs { self.disk.sync_folder(folder) } else { Ok(()) }
    }
}

/// Where the file of a content is, below this folder.
pub fn path_of(folder: &Path, hash: Hash) -> PathBuf {
    let hex = hash.to_hex();
    folder.join(&hex[..2]).join(hex.as_str())
}

/// A content in a file, open for reading.
#[derive(Debug)]
pub struct LargeFile {
    file: Arc<dyn DiskFile>,
    tree: Tree,
}

impl LargeFile {
    /// Opens the file of a content. Blocks.
    pub fn open(disk: &dyn Disk, folder: &Path, large: Large) -> Result<Self, ReadError> {
        let file = match disk.open(&path_of(folder, large.hash)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::Damaged);
            }
            result => result?,
        };
        let leaves_bytes = Tree::encoded_bytes(large.bytes);
        if Some(file.bytes()?) != large.file_bytes() {
            return Err(ReadError::Damaged);
        }
        let mut leaves = vec![0; leaves_bytes as usize];
        let read = file.read_at(&mut leaves, large.bytes)?;
        let tree = Tree::decode(&leaves[..read], large.hash, large.bytes);
        Ok(Self { file, tree: tree.ok_or(ReadError::Damaged)? })
    }

    /// Up to this many bytes from here on: as far as the block goes. Blocks.
    pub fn read(&self, from: u64, bytes_max: usize) -> Result<Bytes, ReadError> {
        let (number, mut block) = self.block(from);
        let read = self.file.read_at(&mut block, number * BLOCK_BYTES as u64)?;
        self.check(number, block, read, from, bytes_max)
    }

    /// The same, if the bytes are in memory. `None`: they are not.
    pub fn read_now(&self, from: u64, bytes_max: usize) -> Result<Option<Bytes>, ReadError> {
        let (number, mut block) = self.block(from);
        if !self.file.read_now(&mut block, number * BLOCK_BYTES as u64)? {
            return Ok(None);
        }
        let read = block.len();
        self.check(number, block, read, from, bytes_max).map(Some)
    }

    /// The number of the block with this byte, and a buffer for it.
    fn block(&self, from: u64) -> (u64, Vec<u8>) {
        let number = from.min(self.tree.bytes()) / BLOCK_BYTES as u64;
        let left = self.tree.bytes() - number * BLOCK_BYTES as u64;
        (number, vec![0; left.min(BLOCK_BYTES as u64) as usize])
    }

    fn check(
        &self,
        number: u64,
        block: Vec<u8>,
        read: usize,
        from: u64,
        bytes_max: usize,
    ) -> Result<Bytes, ReadError> {
        if block.is_empty() {
            return Ok(Bytes::new());
        }
        if read < block.len() || !self.tree.has_block(&block, number) {
            return Err(ReadError::Damaged);
        }
        let start = (from - number * BLOCK_BYTES as u64) as usize;
        let start = start.min(block.len());
        let end = start.saturating_add(bytes_max).min(block.len());
        Ok(Bytes::from(block).slice(start..end))
    }
}

/// Files that were read and may soon be again. Those that were used last stay.
#[derive(Default, Debug)]
pub struct OpenFiles {
    files: Vec<Arc<LargeFile>>,
}

impl OpenFiles {
    /// The file of this content.
    pub fn get(&mut self, hash: Hash) -> Option<Arc<LargeFile>> {
        let at = self.files.iter().position(|it| it.tree.hash() == hash)?;
        let file = self.files.remove(at);
        self.files.push(file.clone());
        Some(file)
    }

    /// Keeps a file open.
    pub fn put(&mut self, file: Arc<LargeFile>) {
        self.close(file.tree.hash());
        self.files.push(file);
        let bytes = |files: &[Arc<LargeFile>]| -> usize {
            files.iter().map(|it| it.tree.memory_bytes()).sum()
        };
        while self.files.len() > 1
            && (self.files.len() > OPEN_FILES_MAX || bytes(&self.files) > OPEN_TREES_BYTES_MAX)
        {
            self.files.remove(0);
        }
    }

    /// Closes the file of this content once its last read has ended.
    pub fn close(&mut self, hash: Hash) {
        self.files.retain(|it| it.tree.hash() != hash);
    }
}
