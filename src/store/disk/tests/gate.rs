//! A disk that does not end a sync before it is told to.

use std::{
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread,
};

use super::{
    rig::{FOLDER, options},
    running::{read, reports, write},
    sim::SimDisk,
};
use crate::{
    ring::item::Ticket,
    store::disk::{
        DiskStore, Durability, OpenError, Report,
        file::{Disk, DiskFile, FolderEntry},
        lock::FolderLock,
    },
};

#[derive(Debug)]
struct GateDisk {
    disk: SimDisk,
    gate: Arc<Gate>,
}

#[derive(Default, Debug)]
struct Gate {
    /// Whether it is closed, and how many syncs wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

#[derive(Debug)]
struct GateFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl Gate {
    fn set_closed(&self, is_closed: bool) {
        self.state.lock().unwrap().0 = is_closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.0).unwrap();
        state.1 -= 1;
    }

    fn await_sync(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |state| state.1 == 0).unwrap());
    }
}

impl GateDisk {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(GateFile { file, gate: self.gate.clone() })
    }
}

impl Disk for GateDisk {
    fn list(&self, folder: &Path) -> io::Result<Vec<FolderEntry>> {
        self.disk.list(folder)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.make_folder(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path).map(|file| self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.disk.free_bytes(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }
}

impl DiskFile for GateFile {
    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        self.file.read_now(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.cut(bytes)
    }
}

#[test]
fn what_queues_up_shares_a_sync_reads_do_not_wait_for_it_and_the_lock_does() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let disk = Arc::new(GateDisk { disk: SimDisk::new(), gate: gate.clone() });
    let lock = FolderLock::take(folder.path()).unwrap();
    let options = options(Durability::Sync);
    let started = DiskStore::start(disk, Path::new(FOLDER), options, Some(lock), &mut |_| {});
    let (store, _) = started.unwrap();
    store.write(write(1, "first"));
    reports(&store, 1);
    gate.set_closed(true);
    store.write(write(2, "second"));
    gate.await_sync();
    (3..=5002).for_each(|number| store.write(write(number, "more")));
    assert_eq!(read(&store, 1, 0, 9).unwrap(), "first", "from the disk");
    assert_eq!(read(&store, 50, 0, 9).unwrap(), "more", "from the queue");
    assert_eq!(store.stats().queued_writes, 5001);
    thread::scope(|scope| {
        let closing = scope.spawn(|| store.close());
        // Once the reading thread has ended, the store is being closed.
        while read(&store, 1, 0, 9).is_ok() {
            thread::yield_now();
        }
        let other = FolderLock::take(folder.path());
        gate.set_closed(false);
        closing.join().unwrap();
        assert!(matches!(other, Err(OpenError::InUse { .. })));
    });
    FolderLock::take(folder.path()).unwrap();
    let written = |it: u64| Report::Written { ticket: Ticket(it), result: Ok(()) };
    assert_eq!(reports(&store, 5001), (2..=5002).map(written).collect::<Vec<_>>());
    // The first, the second, and what is more than a batch in two.
    assert_eq!(store.stats().syncs, 4);
}
