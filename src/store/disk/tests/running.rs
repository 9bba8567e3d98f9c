//! A store with its threads, on a real disk.

use std::{future::Future, path::Path, time::Duration};

use bytes::Bytes;
use smol::{Timer, future};

use super::rig::{name, version};
use crate::{
    ring::item::{Content, Ticket, Value},
    store::disk::{
        DiskOptions, DiskStore, Found, FoundKind, Opened, Read, ReadError, Report, SavedNode,
        TransferId, Write, WriteValue,
    },
};

/// What is awaited in tests comes within this time, or never.
const DEADLINE: Duration = Duration::from_secs(60);

pub fn block_on<T>(wait: impl Future<Output = T>) -> T {
    let late = async {
        Timer::after(DEADLINE).await;
        panic!("nothing has come for {DEADLINE:?}")
    };
    smol::block_on(future::or(wait, late))
}

pub fn open(folder: &Path, options: DiskOptions) -> (DiskStore, Opened, Vec<Found>) {
    let mut found = Vec::new();
    let (store, opened) = DiskStore::open(folder, options, |it| found.push(it)).unwrap();
    (store, opened, found)
}

pub fn options() -> DiskOptions {
    DiskOptions::new("test")
}

pub fn write(number: u64, content: impl Into<Bytes>) -> Write {
    let content = Content::from(content.into());
    let value = Value::Content { hash: content.hash(), content }.into();
    let name = name((number % 200) as u8);
    Write { ticket: Ticket(number), name, version: version(number), value }
}

/// Waits for so many reports.
pub fn reports(store: &DiskStore, count: usize) -> Vec<Report> {
    let mut reports = Vec::new();
    while reports.len() < count {
        let more = block_on(store.reports());
        assert!(!more.is_empty(), "the store has ended");
        reports.extend(more);
    }
    assert_eq!(reports.len(), count);
    reports
}

pub fn read(store: &DiskStore, ticket: u64, from: u64, bytes: usize) -> Result<Bytes, ReadError> {
    match store.read(Ticket(ticket), from, bytes) {
        Read::Now(result) => result,
        Read::Later(later) => block_on(later.result()),
    }
}

/// The whole content, piece by piece.
fn read_all(store: &DiskStore, ticket: u64) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let piece = read(store, ticket, content.len() as u64, 50_000).unwrap();
        if piece.is_empty() {
            return content;
        }
        content.extend_from_slice(&piece);
    }
}

pub fn long(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn writes_are_confirmed_in_order_and_can_be_read_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let (store, opened, found) = open(folder.path(), options());
    assert_eq!((opened, found), (Opened::default(), Vec::new()));
    let contents: Vec<Vec<u8>> =
        (1..=500).map(|it| long(if it % 100 == 0 { 200_000 } else { it })).collect();
    for (content, number) in contents.iter().zip(1..) {
        store.write(write(number, content.clone()));
        assert_eq!(
            read(&store, number, 0, usize::MAX).unwrap()[..100.min(number as usize)],
            content[..100.min(number as usize)]
        );
    }
    let expected: Vec<Report> =
        (1..=500).map(|it| Report::Written { ticket: Ticket(it), result: Ok(()) }).collect();
    assert_eq!(reports(&store, 500), expected);
    for (content, number) in contents.iter().zip(1..) {
        assert_eq!(&read_all(&store, number), content);
    }
    assert!(matches!(read(&store, 501, 0, 1), Err(ReadError::Gone)));
    store.discard(Ticket(7));
    store.write(write(501, "later"));
    reports(&store, 1);
    drop(store);

    let (store, opened, found) = open(folder.path(), options());
    assert_eq!((opened.versions, &opened.remarks), (500, &Vec::new()));
    for it in &found {
        let number = it.version.stamp.0;
        assert_ne!(number, 7);
        let content = contents.get(number as usize - 1).map_or(b"later".to_vec(), Clone::clone);
        let bytes = content.len() as u64;
        assert_eq!(it.kind, FoundKind::Content { hash: blake3::hash(&content), bytes });
        assert_eq!(read_all(&store, it.ticket.0), content);
    }
}

#[test]
fn any_part_of_a_content_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path(), options());
    let (large, small) = (long(300_001), long(60_000));
    store.write(write(1, large.clone()));
    store.write(write(2, small.clone()));
    for is_written in [false, true] {
        if is_written {
            reports(&store, 2);
        }
        for (ticket, content) in [(1, &large), (2, &small)] {
            for from in [0, 1, 59_999, 60_000, 65_535, 65_536, 300_000, 300_001, 1 << 40, u64::MAX]
            {
                for bytes in [0, 1, 70_000, usize::MAX] {
                    let read = read(&store, ticket, from, bytes).unwrap();
                    let from = from.min(content.len() as u64) as usize;
                    assert_eq!(read, content[from..from + read.len()]);
                    assert!(read.len() <= bytes);
                    assert_eq!(read.is_empty(), bytes == 0 || from == content.len());
                }
            }
        }
    }
}

#[test]
fn equal_large_contents_share_a_file_until_the_last_is_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path(), options());
    let content = long(100_000);
    let hash = blake3::hash(&content).to_hex();
    let file = folder.path().join("files").join(&hash[..2]).join(hash.as_str());
    store.write(write(1, content.clone()));
    store.write(write(2, content.clone()));
    reports(&store, 2);
    assert_eq!(store.stats().file_bytes, 100_000);
    store.discard(Ticket(1));
    store.write(write(3, "x"));
    reports(&store, 1);
    store.write(write(4, "x"));
    reports(&store, 1);
    assert!(file.exists());
    assert_eq!(read_all(&store, 2), content);
    store.discard(Ticket(2));
    drop(store);
    assert!(!file.exists());
}

#[test]
fn a_damaged_content_is_not_handed_out_and_can_be_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let content = long(200_000);
    let hash = blake3::hash(&content).to_hex();
    let file = folder.path().join("files").join(&hash[..2]).join(hash.as_str());
    let damage = || {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[150_000] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    };
    let (store, ..) = open(folder.path(), options());
    store.write(write(1, content.clone()));
    reports(&store, 1);
    damage();
    assert_eq!(read(&store, 1, 0, 10).unwrap(), content[..10], "another block is whole");
    assert!(matches!(read(&store, 1, 140_000, 1), Err(ReadError::Damaged)));
    assert!(matches!(read(&store, 1, 0, 10), Err(ReadError::Damaged)), "it is known by now");
    store.write(write(2, content.clone()));
    reports(&store, 1);
    assert_eq!(read_all(&store, 2), content);
    assert_eq!(read_all(&store, 1), content, "the new file is its file as well");
}

#[test]
fn the_newest_state_of_the_node_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (store, opened, _) = open(folder.path(), options());
    assert_eq!(opened.node, None);
    let node = |incarnation| SavedNode {
        ring: "test".into(),
        address: "[::1]:4040".parse().unwrap(),
        incarnation,
        members: (1..4).map(|it| ([127, 0, 0, 1], it).into()).collect(),
        alive_ms: 1_700_000_000_000,
    };
    (1..=50).for_each(|incarnation| store.save_node(node(incarnation)));
    assert_eq!(block_on(store.reports())[0], Report::Saved { result: Ok(()) });
    store.close();
    assert_eq!(DiskStore::saved_node(folder.path()).unwrap(), Some(node(50)));
    let (_store, opened, _) = open(folder.path(), options());
    assert_eq!(opened.node, Some(node(50)));
}

#[test]
fn what_is_queued_is_written_before_the_store_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path(), options());
    (1..=3000).for_each(|number| store.write(write(number, long(2000))));
    store.close();
    assert_eq!(reports(&store, 3000).len(), 3000);
    assert!(block_on(store.reports()).is_empty());
    store.write(write(3001, "too late"));
    assert!(matches!(read(&store, 9000, 0, 1), Err(ReadError::Gone)));
    let (_store, opened, _) = open(folder.path(), options());
    assert_eq!(opened.versions, 3000);
}

#[test]
fn room_is_given_back_while_writes_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        DiskOptions { log_bytes_max: 100_000, compaction_bytes_per_second: u64::MAX, ..options() };
    let (store, ..) = open(folder.path(), options.clone());
    for number in 1..=5000 {
        store.write(write(number, long(1000)));
        if number > 200 {
            store.discard(Ticket(number - 200));
        }
        if number % 20 == 0 {
            reports(&store, 20);
        }
    }
    let stats = store.stats();
    assert!(stats.log_bytes < 1_000_000, "{stats:?}");
    store.close();
    let (_store, opened, _) = open(folder.path(), options);
    assert_eq!((opened.versions, opened.remarks), (200, Vec::new()));
}

#[test]
fn a_content_can_come_in_pieces_and_be_read_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path(), options());
    let (content, id) = (long(1_000_000), TransferId(7));
    let arrived = |from: usize| match store.read_transfer(id, from as u64, usize::MAX) {
        Read::Now(result) => result,
        Read::Later(later) => block_on(later.result()),
    };
    store.begin(id, 1_000_000);
    let mut there = 0;
    for piece in content.chunks(70_000) {
        store.append(id, Bytes::copy_from_slice(piece));
        there += piece.len() as u64;
        assert_eq!(reports(&store, 1), [Report::Appended { transfer: id, result: Ok(there) }]);
        assert!(arrived(there as usize).unwrap().is_empty());
        let last = arrived(there as usize - 3).unwrap();
        assert_eq!(last, content[there as usize - 3..there as usize]);
    }
    store.finish(id);
    let hash = blake3::hash(&content);
    let finished = Report::Finished { transfer: id, result: Ok((hash, there)) };
    assert_eq!(reports(&store, 1), [finished]);
    assert_eq!(store.stats().versions, 0);
    let value = WriteValue::Transferred { transfer: id, hash, bytes: there };
    store.write(Write { value, ..write(1, "") });
    assert_eq!(read(&store, 1, 500_000, 10).unwrap(), content[500_000..500_010]);
    reports(&store, 1);
    assert_eq!(read_all(&store, 1), content);
    assert!(matches!(arrived(0), Err(ReadError::Gone)));
    store.abort(id);
    // The same comes once more: one file is enough.
    let again = TransferId(8);
    store.begin(again, there);
    store.append(again, content.clone().into());
    store.finish(again);
    let value = WriteValue::Transferred { transfer: again, hash, bytes: there };
    reports(&store, 2);
    store.write(Write { value, ..write(2, "") });
    reports(&store, 1);
    assert_eq!((read_all(&store, 1), read_all(&store, 2)), (content.clone(), content.clone()));
    assert_eq!(std::fs::read_dir(folder.path().join("files")).unwrap().count(), 1);
    drop(store);
    let (store, opened, found) = open(folder.path(), options());
    assert_eq!((found.len(), opened.remarks), (2, Vec::new()));
    let it = found.iter().find(|it| it.version == version(1)).unwrap();
    assert_eq!(read_all(&store, it.ticket.0), content);
}

#[test]
fn what_the_disk_has_no_room_for_does_not_begin_to_fill_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path(), options());
    let id = TransferId(1);
    store.begin(id, 1 << 60);
    store.append(id, Bytes::from_static(b"first"));
    let refused = Report::Appended { transfer: id, result: Err(crate::ring::StoreFault::Full) };
    assert_eq!(reports(&store, 1), [refused]);
    assert_eq!(std::fs::read_dir(folder.path().join("files")).unwrap().count(), 0);
}

#[test]
fn a_transfer_that_is_not_complete_is_no_content_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path(), options());
    let left = || std::fs::read_dir(folder.path().join("files")).unwrap().count();
    let hash = blake3::hash(b"whole");
    for number in 1..=3 {
        store.begin(TransferId(number), 5);
        store.append(TransferId(number), Bytes::from_static(b"whole"));
    }
    store.finish(TransferId(2));
    store.finish(TransferId(3));
    reports(&store, 5);
    assert_eq!(left(), 3);
    for (number, bytes) in [(1, 5), (2, 4), (4, 5)] {
        let value = WriteValue::Transferred { transfer: TransferId(number), hash, bytes };
        store.write(Write { value, ..write(number, "") });
        let fault = Err(crate::ring::StoreFault::Broken);
        let report = Report::Written { ticket: Ticket(number), result: fault };
        assert_eq!(reports(&store, 1), [report]);
        assert!(matches!(read(&store, number, 0, 1), Err(ReadError::Gone)));
    }
    store.append(TransferId(2), Bytes::from_static(b"more"));
    let fault = Err(crate::ring::StoreFault::Broken);
    assert_eq!(reports(&store, 1), [Report::Appended { transfer: TransferId(2), result: fault }]);
    store.abort(TransferId(1));
    store.write(write(5, "behind"));
    store.write(write(6, "behind"));
    reports(&store, 2);
    drop(store);
    assert_eq!(left(), 1);
    let (_store, opened, found) = open(folder.path(), options());
    assert_eq!((left(), found.len(), opened.remarks), (0, 2, Vec::new()));
}
