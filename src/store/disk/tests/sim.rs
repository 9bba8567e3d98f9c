//! A disk in memory that keeps, when the power is lost, only what was synced, and of the rest whatever
//! a seed says: nothing, all, or any sectors and entries of folders. It fails when told to.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Component, Path},
    sync::{Arc, Mutex, MutexGuard},
};

use fastrand::Rng;

use crate::store::disk::file::{Disk, DiskFile, FolderEntry};

const SECTOR_BYTES: usize = 512;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Nothing,
    /// The power is lost at this operation.
    Power(u64),
    /// This operation fails, once.
    Once(u64, io::ErrorKind),
    /// One operation of so many fails.
    Often(u8, u64),
    /// This read fails, once.
    Read(u64),
}

#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    nodes: Vec<Node>,
    fault: Fault,
    /// Operations that change something, syncs included.
    operations: u64,
    reads: u64,
    bytes_max: u64,
}

#[derive(Clone, Debug)]
enum Node {
    Folder(Kept<BTreeMap<OsString, usize>, EntryChange>),
    File(Kept<Vec<u8>, FileChange>),
}

/// Something as it is seen, as it surely is on the disk, and what lies between.
#[derive(Clone, Debug)]
struct Kept<T, C> {
    now: T,
    synced: T,
    pending: Vec<C>,
}

impl<T: Default, C> Default for Kept<T, C> {
    fn default() -> Self {
        Self { now: T::default(), synced: T::default(), pending: Vec::new() }
    }
}

#[derive(Clone, Debug)]
enum EntryChange {
    Put(OsString, usize),
    Remove(OsString),
    Rename(OsString, OsString, usize),
}

#[derive(Clone, Debug)]
enum FileChange {
    Write(u64, Vec<u8>),
    Cut(u64),
}

impl EntryChange {
    fn apply(&self, to: &mut BTreeMap<OsString, usize>) {
        match self {
            Self::Put(name, node) => drop(to.insert(name.clone(), *node)),
            Self::Remove(name) => drop(to.remove(name)),
            Self::Rename(from, name, node) => {
                if to.get(from) == Some(node) {
                    to.remove(from);
                }
                to.insert(name.clone(), *node);
            }
        }
    }
}

impl FileChange {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Cut(bytes) => to.resize(*bytes as usize, 0),
            Self::Write(offset, bytes) => {
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                to.resize(to.len().max(end), 0);
                to[start..end].copy_from_slice(bytes);
            }
        }
    }

    /// Some sectors of it.
    fn tear(&self, rng: &mut Rng, to: &mut Vec<u8>) {
        let Self::Write(offset, bytes) = self else { return self.apply(to) };
        let mut at = 0;
        while at < bytes.len() {
            let start = *offset as usize + at;
            let end =
                ((start / SECTOR_BYTES + 1) * SECTOR_BYTES - *offset as usize).min(bytes.len());
            if rng.bool() {
                Self::Write(start as u64, bytes[at..end].to_vec()).apply(to);
            }
            at = end;
        }
    }
}

impl SimDisk {
    pub fn new() -> Self {
        let root = Node::Folder(Kept::default());
        Self(Arc::new(Mutex::new(State {
            nodes: vec![root],
            fault: Fault::Nothing,
            operations: 0,
            reads: 0,
            bytes_max: u64::MAX,
        })))
    }

    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    pub fn set_fault(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// All files together can have this many bytes.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.state().bytes_max = bytes_max;
    }

    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The power comes back. Of what was not synced, the seed says what is there.
    pub fn reboot(&self, seed: u64) -> Self {
        let state = self.state();
        let mut rng = Rng::with_seed(seed);
        // Nothing, everything, or anything.
        let mode = seed % 3;
        let mut nodes = state.nodes.clone();
        for node in &mut nodes {
            match node {
                Node::Folder(folder) => {
                    let (synced, pending) = (&mut folder.synced, &mut folder.pending);
                    for change in pending.drain(..) {
                        if mode == 1 || (mode == 2 && rng.bool()) {
                            change.apply(synced);
                        }
                    }
                    folder.now = folder.synced.clone();
                }
                Node::File(file) => {
                    for change in file.pending.drain(..) {
                        match mode {
                            0 => {}
                            1 => change.apply(&mut file.synced),
                            _ => match rng.u8(..3) {
                                0 => {}
                                1 => change.apply(&mut file.synced),
                                _ => change.tear(&mut rng, &mut file.synced),
                            },
                        }
                    }
                    file.now = file.synced.clone();
                }
            }
        }
        let (fault, bytes_max) = (Fault::Nothing, state.bytes_max);
        Self(Arc::new(Mutex::new(State { nodes, fault, operations: 0, reads: 0, bytes_max })))
    }

    /// All files, with their contents.
    pub fn files(&self) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let state = self.state();
        let (mut files, mut folders) = (Vec::new(), vec![("/".into(), 0)]);
        while let Some::<(std::path::PathBuf, usize)>((path, node)) = folders.pop() {
            match &state.nodes[node] {
                Node::File(file) => files.push((path, file.now.clone())),
                Node::Folder(folder) => {
                    folders.extend(folder.now.iter().map(|(name, node)| (path.join(name), *node)));
                }
            }
        }
        files.sort();
        files
    }

    /// Changes a file behind the back of all. `None`: it is removed.
    pub fn tamper(&self, path: &Path, bytes: Option<Vec<u8>>) {
        let mut state = self.state();
        let node = state.find(path).unwrap();
        match bytes {
            Some(bytes) => {
                state.nodes[node] =
                    Node::File(Kept { now: bytes.clone(), synced: bytes, pending: Vec::new() });
            }
            None => {
                let folder = state.find(path.parent().unwrap()).unwrap();
                let Node::Folder(folder) = &mut state.nodes[folder] else { panic!() };
                folder.now.remove(path.file_name().unwrap());
                folder.synced.remove(path.file_name().unwrap());
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Changes the entries of a folder.
    fn change(
        &self,
        folder: &Path,
        change: impl FnOnce(&mut State) -> EntryChange,
    ) -> io::Result<()> {
        let mut state = self.state();
        let has_power = state.begin()?;
        let folder = state.find(folder)?;
        let change = change(&mut state);
        let Node::Folder(folder) = &mut state.nodes[folder] else { return Err(broken()) };
        change.apply(&mut folder.now);
        folder.pending.push(change);
        has_power.then_some(()).ok_or_else(broken)
    }
}

fn broken() -> io::Error {
    io::Error::other("simulated")
}

impl State {
    /// Counts an operation. `false`: the power is lost while it happens.
    fn begin(&mut self) -> io::Result<bool> {
        self.operations += 1;
        match self.fault {
            Fault::Power(at) if self.operations > at => Err(broken()),
            Fault::Power(at) => Ok(self.operations < at),
            Fault::Once(at, kind) if self.operations == at => Err(kind.into()),
            _ if self.fails() => Err(broken()),
            _ => Ok(true),
        }
    }

    /// Whether the operation under way is one that fails.
    fn fails(&self) -> bool {
        match self.fault {
            Fault::Once(at, _) => self.operations == at,
            Fault::Often(one_of, seed) => {
                Rng::with_seed(seed << 20 | self.operations).u8(..one_of) == 0
            }
            _ => false,
        }
    }

    fn read(&mut self) -> io::Result<()> {
        self.reads += 1;
        match self.fault {
            Fault::Read(at) if self.reads == at => Err(broken()),
            Fault::Power(at) if self.operations >= at => Err(broken()),
            _ => Ok(()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let names = path.components().filter(|it| !matches!(it, Component::RootDir));
        names.into_iter().try_fold(0, |node, name| match &self.nodes[node] {
            Node::Folder(folder) => {
                let found = folder.now.get(name.as_os_str()).copied();
                found.ok_or_else(|| io::ErrorKind::NotFound.into())
            }
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        })
    }

    fn bytes(&self) -> u64 {
        let bytes_of = |node: usize| match &self.nodes[node] {
            Node::File(file) => file.now.len() as u64,
            Node::Folder(_) => 0,
        };
        let folders = self.nodes.iter().filter_map(|node| match node {
            Node::Folder(folder) => Some(folder),
            Node::File(_) => None,
        });
        folders.flat_map(|it| it.now.values()).map(|node| bytes_of(*node)).sum()
    }
}

impl Disk for SimDisk {
    fn list(&self, folder: &Path) -> io::Result<Vec<FolderEntry>> {
        let mut state = self.state();
        state.read()?;
        let found = state.find(folder)?;
        let Node::Folder(folder) = &state.nodes[found] else { return Err(broken()) };
        let entry = |(name, node): (&OsString, &usize)| {
            let (is_folder, bytes) = match &state.nodes[*node] {
                Node::Folder(_) => (true, 0),
                Node::File(file) => (false, file.now.len() as u64),
            };
            FolderEntry { name: name.clone(), is_folder, bytes }
        };
        Ok(folder.now.iter().map(entry).collect())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        if self.state().find(path).is_ok() {
            return Ok(());
        }
        let name = path.file_name().unwrap().to_owned();
        self.change(path.parent().unwrap(), |state| {
            state.nodes.push(Node::Folder(Kept::default()));
            EntryChange::Put(name, state.nodes.len() - 1)
        })
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let existing = self.state().find(path);
        if let Ok(node) = existing {
            let file = SimFile { disk: self.clone(), node };
            file.cut(0)?;
            return Ok(Arc::new(file));
        }
        let name = path.file_name().unwrap().to_owned();
        let mut made = 0;
        self.change(path.parent().unwrap(), |state| {
            state.nodes.push(Node::File(Kept::default()));
            made = state.nodes.len() - 1;
            EntryChange::Put(name, made)
        })?;
        Ok(Arc::new(SimFile { disk: self.clone(), node: made }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.read()?;
        let node = state.find(path)?;
        match state.nodes[node] {
            Node::File(_) => Ok(Arc::new(SimFile { disk: self.clone(), node })),
            Node::Folder(_) => Err(broken()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.state().find(from)?;
        let (folder, to) = (to, to.file_name().unwrap().to_owned());
        let name = from.file_name().unwrap().to_owned();
        if from.parent() == folder.parent() {
            return self.change(from.parent().unwrap(), |_| EntryChange::Rename(name, to, node));
        }
        // Two folders are synced one by one, so either half may be lost.
        self.change(folder.parent().unwrap(), |_| EntryChange::Put(to, node))?;
        let mut state = self.state();
        let parent = state.find(from.parent().unwrap())?;
        let Node::Folder(parent) = &mut state.nodes[parent] else { return Err(broken()) };
        let change = EntryChange::Remove(name);
        change.apply(&mut parent.now);
        parent.pending.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().find(path)?;
        let name = path.file_name().unwrap().to_owned();
        self.change(path.parent().unwrap(), |_| EntryChange::Remove(name))
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        let has_power = state.begin();
        let node = state.find(folder)?;
        let Node::Folder(folder) = &mut state.nodes[node] else { return Err(broken()) };
        if has_power? {
            for change in std::mem::take(&mut folder.pending) {
                change.apply(&mut folder.synced);
            }
            return Ok(());
        }
        Err(broken())
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: usize,
}

impl SimFile {
    fn with<T>(
        &self,
        state: &mut State,
        run: impl FnOnce(&mut Kept<Vec<u8>, FileChange>) -> T,
    ) -> T {
        match &mut state.nodes[self.node] {
            Node::File(file) => run(file),
            Node::Folder(_) => panic!("it is a file"),
        }
    }

    fn change(&self, change: FileChange) -> io::Result<()> {
        let mut state = self.disk.state();
        let begun = state.begin();
        if state.fails()
            && let FileChange::Write(offset, bytes) = &change
        {
            // It fails in the middle.
            let part = FileChange::Write(*offset, bytes[..bytes.len() / 2].to_vec());
            self.with(&mut state, |file| {
                part.apply(&mut file.now);
                file.pending.push(part);
            });
        }
        let has_power = begun?;
        let (before, bytes_max) = (state.bytes(), state.bytes_max);
        let mut change = change;
        let mut is_full = false;
        if let FileChange::Write(offset, bytes) = &mut change {
            let length = self.with(&mut state, |file| file.now.len() as u64);
            let grows = (*offset + bytes.len() as u64).saturating_sub(length);
            let fits = bytes_max.saturating_sub(before).min(grows);
            is_full = fits < grows;
            bytes.truncate(bytes.len() - (grows - fits) as usize);
        }
        self.with(&mut state, |file| {
            change.apply(&mut file.now);
            file.pending.push(change);
        });
        match is_full {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => has_power.then_some(()).ok_or_else(broken),
        }
    }
}

impl DiskFile for SimFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.with(&mut self.disk.state(), |file| file.now.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.read()?;
        Ok(self.with(&mut state, |file| {
            let from = (offset as usize).min(file.now.len());
            let to = file.now.len().min(from + buffer.len());
            buffer[..to - from].copy_from_slice(&file.now[from..to]);
            to - from
        }))
    }

    fn read_now(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<bool> {
        Ok(false)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(FileChange::Write(offset, bytes.to_vec()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let result = state.begin();
        let is_lost = state.fails();
        let is_written_for_all_that = state.operations.is_multiple_of(2);
        self.with(&mut state, |file| match result {
            Ok(true) => {
                for change in file.pending.drain(..) {
                    change.apply(&mut file.synced);
                }
                Ok(())
            }
            // The system forgets what it could not write, and the next sync knows nothing of it.
            Err(error) if is_lost => {
                for change in file.pending.drain(..) {
                    if is_written_for_all_that {
                        change.apply(&mut file.synced);
                    }
                }
                Err(error)
            }
            _ => Err(broken()),
        })
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.change(FileChange::Cut(bytes))
    }
}
