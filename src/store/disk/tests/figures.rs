//! What the store costs. Nothing is asserted about times: look at what this prints, with
//! `cargo test --release --lib store::disk::tests::figures -- --ignored --nocapture`.

use std::{fs, time::Instant};

use super::running::{long, open, options, read, reports, write};
use crate::store::disk::{DiskOptions, Durability};

const FILES: u64 = 100_000;

/// The memory of this process and the CPU that it has used: KiB and milliseconds.
fn used() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<u64> = stat.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    (kib, 10 * (fields[10] + fields[11]))
}

#[test]
#[ignore = "prints figures"]
fn figures_of_opening() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let (store, ..) = open(folder.path(), options());
    for number in 1..=FILES {
        store.write(write(number, long(100)));
        if number % 1000 == 0 {
            reports(&store, 1000);
        }
    }
    store.close();
    drop(store);
    for what in ["with heads", "without", "with heads"] {
        if what == "without" {
            for entry in fs::read_dir(folder.path().join("log")).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|it| it == "heads") {
                    fs::remove_file(path).unwrap();
                }
            }
        }
        let (before, began) = (used().0, Instant::now());
        let mut versions = 0;
        let opened = super::super::DiskStore::open(folder.path(), options(), |_| versions += 1);
        let took = began.elapsed();
        println!("{versions} files opened {what}: {took:?}, {} KiB more", used().0 - before);
        drop(opened);
    }
}

#[test]
#[ignore = "prints figures"]
fn figures_of_writing_and_reading() {
    for (durability, cache_bytes) in [(Durability::Sync, 0), (Durability::Os, 64 << 20)] {
        let folder = tempfile::tempdir_in(".").unwrap();
        let options = DiskOptions { durability, cache_bytes, ..options() };
        let (store, ..) = open(folder.path(), options);
        let content = long(1024);
        let (cpu, began) = (used().1, Instant::now());
        let (mut confirmed, mut given) = (0, 0);
        while confirmed < FILES {
            while given < FILES.min(confirmed + 64) {
                given += 1;
                store.write(write(given, content.clone()));
            }
            confirmed += smol::block_on(store.reports()).len() as u64;
        }
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{durability:?}: {:.0} writes/s of 1 KiB, 64 in flight, {:.1} us CPU each, {} syncs",
            FILES as f64 / seconds,
            (used().1 - cpu) as f64 * 1000.0 / FILES as f64,
            store.stats().syncs
        );
        for _ in 0..2 {
            let began = Instant::now();
            for number in 1..=FILES / 5 {
                assert_eq!(read(&store, number, 0, usize::MAX).unwrap().len(), 1024);
            }
            let each = began.elapsed().as_nanos() as f64 / (FILES / 5) as f64;
            println!("cache of {} MiB: {each:.0} ns a read", cache_bytes >> 20);
        }
    }
}

#[test]
#[ignore = "prints figures"]
fn figures_of_checks() {
    let mut record = long(1024 + 128);
    let began = Instant::now();
    for round in 0..100_000u32 {
        record[0] = round as u8;
        std::hint::black_box(blake3::keyed_hash(&[7; 32], &record[..120]));
    }
    println!("BLAKE3 of a head: {} ns", began.elapsed().as_nanos() / 100_000);
    let began = Instant::now();
    for round in 0..100_000u32 {
        record[0] = round as u8;
        std::hint::black_box(blake3::hash(&record[..1024]));
    }
    println!("BLAKE3 of 1 KiB: {} ns", began.elapsed().as_nanos() / 100_000);
}
