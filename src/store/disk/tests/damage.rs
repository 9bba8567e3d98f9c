//! Files are damaged: any byte, any cut, any file gone.

use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::{
    rig::{Rig, load, random_load, seeds},
    sim::{Fault, SimDisk},
};
use crate::store::disk::{Durability, OpenError};

/// A folder with everything in it, and what it promises.
fn filled(seed: u64) -> Rig {
    let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
    match seed % 4 {
        0 => load(&mut rig),
        1 => {
            rig.disk.set_fault(Fault::Power(rig.disk.operations() + 40 + seed % 100));
            load(&mut rig);
        }
        _ => {
            rig.save_node(1);
            random_load(&mut rig, 1, seed);
        }
    }
    rig
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..=bytes.len());
    match rng.u8(..6) {
        0 => bytes.truncate(at),
        1 => drop(bytes.splice(at..at, (0..rng.usize(1..80)).map(|_| rng.u8(..)))),
        2 => drop(bytes.drain(at..(at + rng.usize(1..80)).min(bytes.len()))),
        3 => bytes[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
        4 => {
            let part = bytes[at..].iter().take(300).copied().collect::<Vec<u8>>();
            let to = rng.usize(..=bytes.len());
            drop(bytes.splice(to..to, part));
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
    }
}

#[test]
fn damage_is_reported_and_nothing_wrong_is_served() {
    let (mut lost, mut opened) = (0, 0);
    for seed in seeds(4000) {
        let mut rng = Rng::with_seed(seed);
        let rig = filled(seed / 20);
        let disk = rig.disk.reboot(0);
        let files = disk.files();
        let Some((path, mut bytes)) = rng.choice(files) else { continue };
        let is_gone = rng.u8(..10) == 0;
        damage(&mut bytes, &mut rng);
        disk.tamper(&path, (!is_gone).then_some(bytes));

        let mut promises = rig.promises.clone();
        promises.forget_discards();
        let mut rig = match Rig::reopen(disk, promises, Durability::Sync) {
            Ok(rig) => rig,
            // One digit of it makes it a later one.
            Err(OpenError::NewerFormat { .. }) if path == Path::new("/node.json") => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        opened += 1;
        if path.extension().is_some_and(|it| it == "heads") || path == Path::new("/node.json") {
            rig.check();
        } else {
            rig.check_what_is_there();
            let is_log_gone = is_gone && path.starts_with("/log");
            let was_reported = !rig.opened.remarks.is_empty() || rig.opened.torn_bytes > 0;
            if rig.lost() > 0 && !is_log_gone && !was_reported {
                // One that ended in the middle of nothing, or that had not begun.
                assert!(is_short(&path, &rig), "seed {seed}: {path:?}, {:?}", rig.opened);
            }
            lost += rig.lost();
        }
        assert!(rig.put(&[(100, 1, Some(100)), (101, 1, Some(600)), (102, 1, None)]));
        rig.close();
        let mut promises = rig.promises;
        promises.forget_all_but(&[(100, 1), (101, 1), (102, 1)]);
        let rig = Rig::reopen(rig.disk, promises, Durability::Sync).unwrap();
        rig.check_what_is_there();
        assert_eq!(rig.lost(), 0, "seed {seed}");
    }
    let least = seeds(4000).end / 2;
    let is_enough = opened > least && lost > 0;
    assert!(is_enough || least < 100, "{lost} versions lost in {opened} folders");
}

/// Whether this is the newest log, cut where a record begins: that cannot be told from one that was
/// never longer.
fn is_short(path: &Path, rig: &Rig) -> bool {
    let newest = rig.disk.files().into_iter().map(|it| it.0).filter(|it| it.starts_with("/log"));
    let newest: Option<PathBuf> = newest.filter(|it| it.extension().unwrap() == "log").max();
    newest.is_none_or(|newest| path >= newest.as_path())
}

#[test]
fn a_disk_that_cannot_be_read_now_and_then_loses_nothing() {
    for seed in 0..8 {
        let rig = filled(seed);
        let disk = rig.disk.reboot(0);
        let mut promises = rig.promises;
        promises.forget_discards();
        for at in 1..200 {
            let disk = disk.reboot(0);
            disk.set_fault(Fault::Read(at));
            if let Ok(mut rig) = Rig::reopen(disk.clone(), promises.clone(), Durability::Sync) {
                rig.check_what_is_there();
                rig.put(&[(100, 1, Some(100))]);
                rig.close();
                promises.add(&rig.promises, (100, 1));
            }
            disk.set_fault(Fault::Nothing);
            Rig::reopen(disk, promises.clone(), Durability::Sync).unwrap().check();
            promises.forget((100, 1));
        }
    }
}

#[test]
fn a_large_content_without_its_file_or_with_half_of_it_is_reported_when_the_store_is_opened() {
    for is_gone in [true, false] {
        let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
        rig.put(&[(1, 1, Some(500)), (2, 1, Some(600))]);
        let disk = rig.disk.reboot(0);
        let of_one = |it: &(PathBuf, Vec<u8>)| it.0.starts_with("/files") && it.1.len() == 500;
        let (path, bytes) = disk.files().into_iter().find(of_one).unwrap();
        disk.tamper(&path, (!is_gone).then(|| bytes[..250].to_vec()));
        let rig = Rig::reopen(disk, rig.promises, Durability::Sync).unwrap();
        let remark = format!("{} is missing or has another length", path.display());
        assert_eq!(rig.opened.remarks, [remark]);
        assert_eq!((rig.tickets.len(), rig.lost()), (1, 1));
        rig.check_what_is_there();
    }
}

#[test]
fn a_log_that_has_become_shorter_is_reported_wherever_it_ends() {
    let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
    rig.put(&[(1, 1, Some(290)), (2, 1, Some(290)), (3, 1, Some(290)), (4, 1, Some(290))]);
    rig.put(&[(5, 1, Some(290))]);
    rig.put(&[(6, 1, Some(290))]);
    assert_eq!(rig.engine.active, Some(2));
    let second = rig.place((2, 1)).spot.offset as usize;
    for bytes in [0, 10, 64, 65, second, second + 1] {
        let disk = rig.disk.reboot(0);
        let (path, log) = disk.files().into_iter().find(|it| it.0.starts_with("/log")).unwrap();
        disk.tamper(&path, Some(log[..bytes].to_vec()));
        let rig = Rig::reopen(disk, rig.promises.clone(), Durability::Sync).unwrap();
        assert!(!rig.opened.remarks.is_empty(), "cut at {bytes}");
        assert_eq!(rig.lost(), if bytes < second { 4 } else { 3 });
        rig.check_what_is_there();
    }
}
