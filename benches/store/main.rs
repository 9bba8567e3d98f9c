//! What the disk store costs: opening, writing, reading; and a whole node on it. Nothing is asserted about times; run it on a
//! machine that does nothing else: `cargo bench --bench store`.

mod node;

use std::{fs, net::SocketAddr, path::Path, time::Instant};

use smolring::{
    ring::{
        item::{Content, Ticket, Value},
        name::Name,
        version::{Stamp, Version},
    },
    store::disk::{DiskOptions, DiskStore, Durability, Read, Write},
};

const FILES: u64 = 100_000;
/// Writes that are not confirmed, at any time.
const IN_FLIGHT: u64 = 64;

fn main() {
    opening();
    node::opening();
    writing_and_reading(Durability::Sync, 0);
    writing_and_reading(Durability::Os, 64 << 20);
}

fn opening() {
    let folder = tempfile::tempdir_in(".").expect("there is room");
    let store = open(folder.path(), DiskOptions::new("bench"));
    fill(&store, 100);
    drop(store);
    for what in ["with heads", "without", "with heads"] {
        if what == "without" {
            remove_heads(&folder.path().join("log"));
        }
        let (before, began, mut versions) = (used().0, Instant::now(), 0);
        let opened = DiskStore::open(folder.path(), DiskOptions::new("bench"), |_| versions += 1);
        let (took, more) = (began.elapsed(), used().0 - before);
        drop(opened.expect("the folder can be used"));
        println!("{versions} files of 100 bytes opened {what}: {took:?}, {more} KiB more");
    }
}

fn writing_and_reading(durability: Durability, cache_bytes: usize) {
    let folder = tempfile::tempdir_in(".").expect("there is room");
    let options = DiskOptions { durability, cache_bytes, ..DiskOptions::new("bench") };
    let store = open(folder.path(), options);
    let (cpu, began) = (used().1, Instant::now());
    fill(&store, 1024);
    println!(
        "{durability:?}: {:.0} writes/s of 1 KiB, {IN_FLIGHT} in flight, {:.1} us CPU each, {} syncs",
        FILES as f64 / began.elapsed().as_secs_f64(),
        (used().1 - cpu) as f64 * 1000.0 / FILES as f64,
        store.stats().syncs
    );
    for _ in 0..2 {
        let began = Instant::now();
        for number in 1..=FILES / 5 {
            let read = match store.read(Ticket(number), 0, usize::MAX) {
                Read::Now(read) => read,
                Read::Later(read) => smol::block_on(read.result()),
            };
            assert_eq!(read.expect("it is there").len(), 1024);
        }
        let nanos = began.elapsed().as_nanos() as f64 / (FILES / 5) as f64;
        println!("a cache of {} MiB: {nanos:.0} ns a read", cache_bytes >> 20);
    }
}

fn open(folder: &Path, options: DiskOptions) -> DiskStore {
    DiskStore::open(folder, options, |_| ()).expect("the folder can be used").0
}

/// Writes all files, and waits until they are confirmed.
fn fill(store: &DiskStore, bytes: usize) {
    let node = SocketAddr::from(([127, 0, 0, 1], 4043));
    let content = Content::from(vec![b'x'; bytes]);
    let hash = content.hash();
    let (mut confirmed, mut given) = (0, 0);
    while confirmed < FILES {
        while given < FILES.min(confirmed + IN_FLIGHT) {
            given += 1;
            let name = Name::new(&format!("file/{given}")).expect("it is a name");
            let version = Version { stamp: Stamp(given), node };
            let value = Value::Content { hash, content: content.clone() }.into();
            store.write(Write { ticket: Ticket(given), name, version, value });
        }
        confirmed += smol::block_on(store.reports()).len() as u64;
    }
}

fn remove_heads(folder: &Path) {
    for entry in fs::read_dir(folder).expect("there are logs") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|it| it == "heads") {
            fs::remove_file(path).expect("it is there");
        }
    }
}

/// The memory of this process and the CPU that it has used: KiB and milliseconds.
fn used() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon")).expect("it has memory");
    let kib = line.split_whitespace().nth(1).and_then(|it| it.parse().ok());
    let stat = fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let fields: Vec<u64> = stat.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    (kib.expect("a number"), 10 * (fields[10] + fields[11]))
}
