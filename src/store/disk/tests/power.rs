//! Power is lost at any operation.

use super::{
    rig::{Rig, go_on, load, random_load, seeds},
    sim::{Fault, SimDisk},
};
use crate::store::disk::Durability;

fn operations(durability: Durability) -> u64 {
    let mut rig = Rig::new(SimDisk::new(), durability);
    load(&mut rig);
    rig.disk.operations()
}

#[test]
fn what_was_confirmed_outlives_a_loss_of_power_at_any_operation() {
    let operations = operations(Durability::Sync);
    assert!(operations > 150, "{operations}");
    for at in 4..=operations {
        for seed in 0..9 {
            let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
            rig.disk.set_fault(Fault::Power(at));
            load(&mut rig);
            let mut rig = rig.restart(seed, Durability::Sync);
            assert_eq!(rig.opened.remarks, Vec::<String>::new(), "power lost at {at}, seed {seed}");
            rig.check();
            rig.check_saved();
            go_on(&mut rig);
            let rig = rig.restart(seed + 1, Durability::Sync);
            assert_eq!((&rig.opened.remarks, rig.opened.torn_bytes), (&Vec::new(), 0));
            rig.check();
        }
    }
}

#[test]
fn power_is_lost_again_while_the_store_is_opened() {
    let operations = operations(Durability::Sync);
    for at in (4..=operations).step_by(3) {
        for again in 1..8 {
            let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
            rig.disk.set_fault(Fault::Power(at));
            load(&mut rig);
            let disk = rig.disk.reboot(at + again);
            disk.set_fault(Fault::Power(again));
            let promises = rig.promises;
            drop(Rig::reopen(disk.clone(), promises.clone(), Durability::Sync));
            let disk = disk.reboot(at);
            let mut rig = Rig::reopen(disk, promises, Durability::Sync).unwrap();
            assert_eq!(rig.opened.remarks, Vec::<String>::new(), "power lost at {at}");
            rig.check();
            go_on(&mut rig);
        }
    }
}

#[test]
fn the_end_of_the_process_alone_loses_nothing() {
    for durability in [Durability::Sync, Durability::Os] {
        let mut rig = Rig::new(SimDisk::new(), durability);
        load(&mut rig);
        let (disk, promises) = (rig.disk.clone(), rig.promises.clone());
        let mut rig = Rig::reopen(disk, promises, durability).unwrap();
        rig.check();
        go_on(&mut rig);
    }
}

#[test]
fn a_process_ends_at_any_operation_and_then_the_power_is_lost() {
    let operations = operations(Durability::Sync);
    for at in 4..=operations {
        let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
        rig.disk.set_fault(Fault::Power(at));
        load(&mut rig);
        rig.disk.set_fault(Fault::Nothing);
        // What is found is as good as what was confirmed.
        let rig = Rig::reopen(rig.disk, rig.promises, Durability::Sync).unwrap();
        rig.check();
        let mut rig = rig.restart(at, Durability::Sync);
        rig.check();
        go_on(&mut rig);
    }
}

#[test]
fn any_load_may_be_cut_off_again_and_again() {
    for seed in seeds(1500) {
        let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
        for life in 0..4 {
            let seed = 4 * seed + life;
            let before = rig.disk.operations();
            rig.disk.set_fault(Fault::Power(before + fastrand::Rng::with_seed(seed).u64(1..200)));
            random_load(&mut rig, 100 * life, seed);
            rig = rig.restart(seed, Durability::Sync);
            assert_eq!(rig.opened.remarks, Vec::<String>::new(), "seed {seed}");
            rig.check();
        }
        go_on(&mut rig);
    }
}
