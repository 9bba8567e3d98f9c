#![no_main]

use std::{collections::BTreeMap, fs, path::PathBuf, sync::OnceLock};

use smolring::{
    ring::{
        item::{Content, Ticket, Value},
        name::Name,
        version::{Stamp, Version},
    },
    store::disk::{DiskOptions, DiskStore, OpenError, Read, ReadError, Write},
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| damage(data));

/// Contents of these lengths; the last ones are in files of their own.
const BYTES: [usize; 8] = [0, 1, 50, 300, 1000, 3000, 4096, 140_000];

fn options() -> DiskOptions {
    DiskOptions { log_bytes_max: 2000, file_bytes_min: 4096, ..DiskOptions::new("fuzz") }
}

fn folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
    root.join(format!("smolring-fuzz-{}", std::process::id()))
}

fn content(stamp: u64) -> Vec<u8> {
    let bytes = BYTES[stamp as usize % BYTES.len()];
    (0..bytes as u64).map(|it| (it.wrapping_mul(stamp * 2 + 1) >> 3) as u8).collect()
}

fn write(ticket: u64, stamp: u64) -> Write {
    let content = Content::from(content(stamp));
    let version = Version { stamp: Stamp(stamp), node: ([127, 0, 0, 1], 1).into() };
    let name = Name::new(&format!("name-{}", stamp % 5)).unwrap();
    let value = Value::Content { hash: content.hash(), content }.into();
    Write { ticket: Ticket(ticket), name, version, value }
}

/// All files of a folder that was filled and closed.
fn template() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let _ = fs::remove_dir_all(folder());
        let (store, _) = DiskStore::open(&folder(), options(), |_| {}).unwrap();
        for stamp in 1..=30 {
            store.write(write(stamp, stamp));
            if stamp % 3 == 0 {
                store.discard(Ticket(stamp - 1));
            }
        }
        drop(store);
        let (mut files, mut folders) = (BTreeMap::new(), vec![folder()]);
        while let Some(path) = folders.pop() {
            if path.is_dir() {
                folders.extend(fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
            } else {
                files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
        files
    })
}

/// Any damage to any files: the store opens or says why not, hands out nothing wrong, and goes on.
fn damage(data: &[u8]) {
    let mut files = template().clone();
    for edit in data.chunks(8) {
        let mut edit = edit.to_vec();
        edit.resize(8, 0);
        let path = files.keys().nth(usize::from(edit[0]) % files.len()).unwrap().clone();
        let bytes = files.get_mut(&path).unwrap();
        let at = usize::from(u16::from_le_bytes([edit[2], edit[3]])).min(bytes.len());
        let to = (at + usize::from(edit[4])).min(bytes.len());
        match edit[1] % 6 {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..to)),
            2 => drop(bytes.splice(at..at, edit[5..].repeat(1 + usize::from(edit[4]) % 16))),
            3 => bytes[at..to].fill(edit[5]),
            4 => drop(files.remove(&path)),
            _ => bytes[at..to].iter_mut().take(4).for_each(|byte| *byte ^= edit[5]),
        }
        if files.is_empty() {
            return;
        }
    }
    let _ = fs::remove_dir_all(folder());
    for (path, bytes) in &files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut found = Vec::new();
    let opened = DiskStore::open(&folder(), options(), |it| found.push(it));
    let store = match opened {
        Ok((store, _)) => store,
        Err(OpenError::NewerFormat { .. } | OpenError::Strange { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let next = 1 + found.len() as u64;
    for it in found {
        let content = content(it.version.stamp.0);
        let mut from = 0;
        while from < content.len() {
            let result = match store.read(it.ticket, from as u64, usize::MAX) {
                Read::Now(result) => result,
                Read::Later(later) => smol::block_on(later.result()),
            };
            match result {
                Ok(piece) => {
                    assert_eq!(piece, content[from..from + piece.len()]);
                    assert!(!piece.is_empty());
                    from += piece.len();
                }
                Err(ReadError::Damaged) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    store.write(write(next, 1003));
    drop(store);
    let mut is_there = false;
    DiskStore::open(&folder(), options(), |it| is_there |= it.version.stamp.0 == 1003).unwrap();
    assert!(is_there);
}
