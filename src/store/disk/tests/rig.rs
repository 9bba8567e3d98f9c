//! A store on a simulated disk, and what must be in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
};

use bytes::Bytes;
use fastrand::Rng;

use super::sim::SimDisk;
use crate::{
    ring::{
        item::{Content, Ticket, Value},
        name::Name,
        version::{Stamp, Version},
    },
    store::disk::{
        DiskOptions, Durability, Found, FoundKind, OpenError, Opened, ReadError, Report, SavedNode,
        TransferId, Write, WriteValue,
        arrivals::Arrival,
        background::{Background, write_last_heads},
        engine::Engine,
        node,
        open::open,
        read::{Source, Span, read_waiting},
        table::{Place, SharedTable, Table},
    },
};

pub const FOLDER: &str = "/";

/// The seeds of a test: so many, or as many as `SMOLRING_SEEDS` says.
pub fn seeds(count: u64) -> Range<u64> {
    0..std::env::var("SMOLRING_SEEDS").map_or(count, |it| it.parse().expect("a number"))
}

/// A version: which name, which write.
pub type Key = (u8, u64);

pub fn options(durability: Durability) -> DiskOptions {
    DiskOptions {
        durability,
        cache_bytes: 0,
        log_bytes_max: 1500,
        file_bytes_min: 300,
        ..DiskOptions::new("test")
    }
}

/// What has been asked of a store, and what it has promised.
#[derive(Clone, Default, Debug)]
pub struct Promises {
    /// What each version is. `None`: a tombstone.
    values: BTreeMap<Key, Option<Vec<u8>>>,
    confirmed: BTreeSet<Key>,
    discarded: BTreeSet<Key>,
    /// The same in order.
    discards: Vec<Key>,
    back: BTreeSet<Key>,
    /// Discarded, and a later batch was confirmed.
    dead: BTreeSet<Key>,
    saved: u64,
    asked_to_save: u64,
}

impl Promises {
    /// A version that was discarded was found again. Then those that were discarded after it must have
    /// been found as well: else it could have been they that said that it was no more.
    fn was_back(&mut self, key: Key) {
        self.back.insert(key);
    }

    /// Damage may bring back what was dead, or take what was alive.
    pub fn forget_discards(&mut self) {
        self.discards.clear();
        self.dead.clear();
    }

    /// Only these are still to be there.
    pub fn forget_all_but(&mut self, keys: &[Key]) {
        self.forget_discards();
        self.confirmed.retain(|key| keys.contains(key));
    }

    /// Takes over what another one has promised of this version.
    pub fn add(&mut self, other: &Self, key: Key) {
        self.values.extend(other.values.get(&key).map(|value| (key, value.clone())));
        self.confirmed.extend(other.confirmed.get(&key));
    }

    /// This version may be there or not.
    pub fn forget(&mut self, key: Key) {
        self.confirmed.remove(&key);
    }

    fn check_order(&mut self) {
        let is_back: Vec<bool> = self.discards.iter().map(|key| self.back.contains(key)).collect();
        assert!(is_back.is_sorted(), "{:?} of {:?} came back", self.back, self.discards);
        let Self { discards, back, .. } = self;
        discards.retain(|key| !back.contains(key));
        back.clear();
    }
}

/// A store and its promises.
pub struct Rig {
    pub disk: SimDisk,
    pub engine: Engine,
    pub background: Background,
    pub opened: Opened,
    pub tickets: BTreeMap<Key, Ticket>,
    pub next_ticket: u64,
    pub promises: Promises,
}

pub fn version(number: u64) -> Version {
    Version { stamp: Stamp(number), node: "127.0.0.1:4040".parse().unwrap() }
}

pub fn name(number: u8) -> Name {
    Name::new(&format!("file-{number}")).unwrap()
}

pub fn content(key: Key, bytes: usize) -> Vec<u8> {
    let word = format!("{key:?} ");
    word.bytes().cycle().take(bytes).collect()
}

impl Rig {
    pub fn new(disk: SimDisk, durability: Durability) -> Self {
        Self::reopen(disk, Promises::default(), durability).unwrap()
    }

    /// Opens the store, and checks that the promises are kept.
    pub fn reopen(
        disk: SimDisk,
        promises: Promises,
        durability: Durability,
    ) -> Result<Self, OpenError> {
        let table = SharedTable::new(Table::new(0));
        let mut found = Vec::new();
        let on_found = &mut |it: Found| found.push(it);
        let options = options(durability);
        let (engine, opened) = open(disk.shared(), Path::new(FOLDER), options, table, on_found)?;
        let (background, tickets) = (Background::default(), BTreeMap::new());
        let next_ticket = 1 + found.len() as u64;
        let mut rig = Self { disk, engine, background, opened, tickets, next_ticket, promises };
        assert_eq!(rig.opened.versions, found.len() as u64);
        for it in found {
            let number: u8 = it.name.as_str()["file-".len()..].parse().unwrap();
            let key = (number, it.version.stamp.0);
            let value = rig.promises.values.get(&key).expect("nobody has written it");
            let bytes = value.as_ref().map(Vec::len);
            match it.kind {
                FoundKind::Tombstone => assert_eq!(bytes, None),
                FoundKind::Content { hash, bytes: length } => {
                    assert_eq!(bytes, Some(length as usize));
                    assert_eq!(hash, blake3::hash(value.as_ref().unwrap()));
                }
            }
            assert_eq!(rig.tickets.insert(key, it.ticket), None, "{key:?} is there twice");
            // It is as alive as any other until it is discarded again.
            if rig.promises.discarded.remove(&key) {
                rig.promises.was_back(key);
            }
            rig.promises.confirmed.insert(key);
        }
        if durability == Durability::Sync {
            rig.promises.check_order();
        }
        Ok(rig)
    }

    /// There is nothing in the folder that is not needed.
    pub fn check_files(&self) {
        for (path, bytes) in self.disk.files() {
            let name = path.file_name().unwrap().to_str().unwrap();
            let number = || name.split_once('.').unwrap().0.parse().unwrap();
            let is_needed = match path.iter().nth(1).unwrap().to_str().unwrap() {
                "log" => self.engine.logs.contains_key(&number()),
                "files" => self.engine.contents.is_here(blake3::Hash::from_hex(name).unwrap()),
                name => name == "node.json",
            };
            assert!(is_needed || name.ends_with(".new"), "{path:?}, {} bytes", bytes.len());
        }
        self.check_end();
    }

    /// The log that is written to has no more than what counts.
    fn check_end(&self) {
        if let Some(active) = self.engine.active {
            let bytes = self.engine.table.lock().logs[&active].file.bytes().unwrap();
            assert_eq!(bytes, u64::from(self.engine.logs[&active].bytes));
        }
    }

    /// Everything that was promised is there, and what is there is right.
    pub fn check(&self) {
        let Promises { confirmed, discarded, dead, .. } = &self.promises;
        for key in confirmed.difference(discarded) {
            assert!(self.tickets.contains_key(key), "{key:?} is lost: {:?}", self.opened);
        }
        self.check_end();
        for key in dead {
            assert!(!self.tickets.contains_key(key), "{key:?} is back from the dead");
        }
        for (key, ticket) in &self.tickets {
            match (&self.promises.values[key], self.read(*ticket)) {
                (Some(content), Ok(read)) => assert_eq!(read, content, "{key:?}"),
                (None, Err(ReadError::Gone)) => {}
                (_, other) => panic!("{key:?}: {other:?} after {:?}", self.opened),
            }
        }
    }

    /// Nothing is wrong that is there.
    pub fn check_what_is_there(&self) {
        for (key, ticket) in &self.tickets {
            match (&self.promises.values[key], self.read(*ticket)) {
                (Some(content), Ok(read)) => assert_eq!(read, content, "{key:?}"),
                (None, Err(ReadError::Gone)) => {}
                (_, Err(ReadError::Damaged | ReadError::Failed(_))) => {}
                (_, other) => panic!("{key:?}: {other:?}"),
            }
        }
    }

    /// How many versions are not there that should be.
    pub fn lost(&self) -> usize {
        let alive = self.promises.confirmed.difference(&self.promises.discarded);
        alive.filter(|key| !self.tickets.contains_key(key)).count()
    }

    pub fn check_saved(&self) {
        let saved = self.opened.node.as_ref().map_or(0, |node| node.incarnation);
        let Promises { saved: least, asked_to_save: most, .. } = self.promises;
        assert!((least..=most).contains(&saved), "{saved} is not between {least} and {most}");
    }

    pub fn read(&self, ticket: Ticket) -> Result<Bytes, ReadError> {
        let span = Span { source: Source::Version(ticket), from: 0, bytes_max: usize::MAX };
        read_waiting(&self.engine.table, &self.disk, Path::new("/files"), span)
    }

    /// Writes these versions in one batch. With how many bytes; `None`: a tombstone.
    pub fn put(&mut self, versions: &[(u8, u64, Option<usize>)]) -> bool {
        let mut writes = Vec::new();
        for &(number, stamp, bytes) in versions {
            let key = (number, stamp);
            let content = bytes.map(|bytes| content(key, bytes));
            self.promises.values.insert(key, content.clone());
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            let value = content.map_or(Value::Tombstone, |content| {
                let content = Content::from(content);
                Value::Content { hash: content.hash(), content }
            });
            let value = WriteValue::from(value);
            self.engine.table.lock().pending.insert(ticket.0, value.clone());
            writes.push(Write { ticket, name: name(number), version: version(stamp), value });
        }
        let results = self.engine.commit(&writes);
        let mut are_all = true;
        for ((number, stamp, _), (write, result)) in versions.iter().zip(writes.iter().zip(results))
        {
            are_all &= result.is_ok();
            if result.is_ok() {
                self.promises.confirmed.insert((*number, *stamp));
                self.tickets.insert((*number, *stamp), write.ticket);
            }
        }
        assert!(self.engine.table.lock().pending.is_empty());
        if are_all {
            self.deaths_are_synced();
        }
        are_all
    }

    fn deaths_are_synced(&mut self) {
        if self.engine.deaths_waiting() == 0 {
            self.promises.dead = self.promises.discarded.clone();
        }
    }

    /// Writes a version of which the content comes in pieces.
    pub fn transfer(&mut self, number: u8, stamp: u64, bytes: usize) -> bool {
        let key = (number, stamp);
        let content = content(key, bytes);
        self.promises.values.insert(key, Some(content.clone()));
        let (id, ticket) = (TransferId(self.next_ticket), Ticket(self.next_ticket));
        self.next_ticket += 1;
        let mut arrive = |arrival| self.engine.arrive(arrival);
        arrive(Arrival::Begin(id, bytes as u64));
        for piece in content.chunks(bytes.div_ceil(3)) {
            arrive(Arrival::Append(id, Bytes::copy_from_slice(piece)));
        }
        let finished = arrive(Arrival::Finish(id));
        let Some(Report::Finished { result: Ok((hash, length)), .. }) = finished else {
            arrive(Arrival::Abort(id));
            return false;
        };
        assert_eq!((hash, length), (blake3::hash(&content), bytes as u64));
        let value = WriteValue::Transferred { transfer: id, hash, bytes: length };
        self.engine.table.lock().pending.insert(ticket.0, value.clone());
        let write = Write { ticket, name: name(number), version: version(stamp), value };
        let is_kept = self.engine.commit(&[write])[0].is_ok();
        if is_kept {
            self.promises.confirmed.insert(key);
            self.tickets.insert(key, ticket);
            self.deaths_are_synced();
        }
        assert_eq!(self.engine.transfers.len(), 0);
        assert!(self.engine.table.lock().transfers.is_empty());
        is_kept
    }

    /// Where a version is that was put.
    pub fn place(&self, key: Key) -> Place {
        self.engine.table.lock().places.get(self.tickets[&key].0).expect("it was put")
    }

    pub fn discard(&mut self, number: u8, stamp: u64) {
        if let Some(ticket) = self.tickets.remove(&(number, stamp)) {
            self.promises.discarded.insert((number, stamp));
            self.promises.discards.push((number, stamp));
            self.engine.discard(ticket);
        }
    }

    pub fn write_deaths(&mut self) -> bool {
        let is_ok = self.engine.write_deaths().is_ok();
        if is_ok {
            self.deaths_are_synced();
        }
        is_ok
    }

    pub fn save_node(&mut self, incarnation: u64) {
        let node = SavedNode {
            ring: "test".into(),
            address: "127.0.0.1:1".parse().unwrap(),
            incarnation,
            members: vec!["[::1]:2".parse().unwrap()],
            alive_ms: 7,
        };
        self.promises.asked_to_save = incarnation;
        if node::write(&self.disk, Path::new(FOLDER), &node).is_ok() {
            self.promises.saved = incarnation;
        }
    }

    /// Does what there is to do, unless it fails. Whether nothing is left.
    pub fn work(&mut self) -> bool {
        let mut damaged = Vec::new();
        for _ in 0..1000 {
            if !self.background.has_work(&self.engine) {
                return true;
            }
            let result = self.background.step(&mut self.engine, &mut damaged);
            assert_eq!(damaged, []);
            if result.is_err() {
                return false;
            }
        }
        panic!("the work in the background does not end: {:?}", self.engine.logs);
    }

    pub fn close(&mut self) -> bool {
        let is_ok = write_last_heads(&mut self.engine).is_ok();
        if is_ok {
            self.deaths_are_synced();
        }
        is_ok
    }

    /// The process ends, and the power is lost as well; then the store is opened again.
    pub fn restart(self, seed: u64, durability: Durability) -> Self {
        let rig = Self::reopen(self.disk.reboot(seed), self.promises, durability).unwrap();
        assert_eq!(rig.opened.remarks, Vec::<String>::new(), "seed {seed}");
        rig.check_files();
        rig
    }
}

/// Some of everything.
pub fn load(rig: &mut Rig) {
    rig.save_node(1);
    rig.put(&[(0, 1, Some(0)), (1, 1, Some(100)), (2, 1, Some(400))]);
    rig.put(&[(1, 2, Some(700)), (3, 1, Some(299)), (4, 1, Some(300))]);
    rig.discard(1, 1);
    rig.put(&[(2, 2, None)]);
    rig.discard(2, 1);
    rig.work();
    rig.put(&[(5, 1, Some(250)), (6, 1, Some(250)), (7, 1, Some(250)), (8, 1, Some(250))]);
    rig.save_node(2);
    rig.put(&[(5, 2, Some(200)), (6, 2, Some(260)), (9, 1, Some(500)), (9, 2, Some(500))]);
    for number in 5..8 {
        rig.discard(number, 1);
    }
    rig.discard(9, 1);
    rig.work();
    // The tombstone ends, and so does what came after it, but is older.
    rig.put(&[(2, 0, Some(222)), (8, 2, Some(280)), (3, 2, Some(270))]);
    rig.discard(2, 0);
    rig.discard(2, 2);
    rig.discard(8, 1);
    rig.work();
    for stamp in 3..12 {
        rig.put(&[(8, stamp, Some(270)), (3, stamp, Some(270)), (1, stamp, Some(333))]);
        rig.discard(8, stamp - 1);
        rig.discard(3, stamp - 1);
        rig.discard(1, stamp - 1);
        rig.work();
    }
    rig.transfer(4, 2, 700);
    rig.transfer(4, 3, 20);
    rig.discard(4, 2);
    rig.discard(4, 1);
    rig.write_deaths();
    rig.work();
    rig.close();
}

/// Anything, as a seed says.
pub fn random_load(rig: &mut Rig, first: u64, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let bytes_max = [60, 280, 900][rng.usize(..3)];
    for stamp in first..first + rng.u64(5..60) {
        let version = |rng: &mut Rng| {
            let number = rng.u8(..6);
            let content = (rng.u8(..5) > 0).then(|| rng.usize(..bytes_max));
            (number, stamp, content)
        };
        match rng.u8(..10) {
            0 => drop(rig.work()),
            1 if rng.bool() => drop(rig.write_deaths()),
            1 => drop(rig.transfer(rng.u8(..6), stamp, rng.usize(1..bytes_max))),
            2 => drop(rig.background.step(&mut rig.engine, &mut Vec::new())),
            3..6 => {
                for _ in 0..rng.u8(..6) {
                    if let Some((number, stamp)) = rng.choice(rig.tickets.keys().copied()) {
                        rig.discard(number, stamp);
                    }
                }
            }
            _ => {
                let mut versions = vec![version(&mut rng)];
                for _ in 0..rng.u8(..4) {
                    let more = version(&mut rng);
                    if versions.iter().all(|it| it.0 != more.0) {
                        versions.push(more);
                    }
                }
                rig.put(&versions);
            }
        }
    }
    if rng.bool() {
        rig.close();
    }
}

/// Goes on after whatever has happened.
pub fn go_on(rig: &mut Rig) {
    let stamp = 1000 + rig.next_ticket;
    assert!(rig.put(&[(0, stamp, Some(280)), (1, stamp, Some(800)), (2, stamp, None)]));
    rig.discard(0, 1);
    rig.discard(3, 11);
    rig.discard(8, 11);
    assert!(rig.put(&[(3, stamp, Some(280)), (8, stamp, Some(280)), (9, stamp, Some(200))]));
    assert!(rig.work());
    for (number, log) in &rig.engine.logs {
        let bytes = rig.engine.table.lock().logs[number].file.bytes().unwrap();
        assert_eq!(
            bytes,
            u64::from(log.bytes),
            "what does not count is cut off: {number}, {log:?}"
        );
    }
    assert!(rig.close());
    rig.check();
}

#[test]
fn the_load_uses_all_parts() {
    let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
    load(&mut rig);
    rig.check();
    let names: Vec<String> =
        rig.disk.files().iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(!names.iter().any(|name| name.contains("0000000001.log")), "{names:?}");
    assert!(rig.engine.next_number > 6 && rig.engine.logs.len() < 5, "{:?}", rig.engine.logs);
    assert!(names.iter().any(|name| name.ends_with(".heads")));
    let large = names.iter().filter(|name| name.starts_with("/files/")).count();
    assert_eq!(large, 3, "{names:?}");
    let stats = rig.engine.stats();
    assert_eq!((stats.versions, stats.file_bytes), (rig.tickets.len() as u64, 500 + 333 + 20));
}
