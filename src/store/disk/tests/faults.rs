//! Operations fail.

use std::io::ErrorKind;

use super::{
    rig::{Rig, go_on, load, random_load, seeds},
    sim::{Fault, SimDisk},
};
use crate::store::disk::Durability;

#[test]
fn any_operation_may_fail_once() {
    for durability in [Durability::Sync, Durability::Os] {
        let mut rig = Rig::new(SimDisk::new(), durability);
        let before = rig.disk.operations();
        load(&mut rig);
        for at in before + 1..=rig.disk.operations() {
            for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
                let mut rig = Rig::new(SimDisk::new(), durability);
                rig.disk.set_fault(Fault::Once(at, kind));
                load(&mut rig);
                rig.check();
                rig.disk.set_fault(Fault::Nothing);
                go_on(&mut rig);
                // In its own time the system writes all that it can still write.
                let seed = if durability == Durability::Sync { at } else { 1 };
                let mut rig = rig.restart(seed, durability);
                rig.check();
                assert_eq!(rig.opened.remarks, Vec::<String>::new(), "{kind} at {at}");
                go_on(&mut rig);
            }
        }
    }
}

#[test]
fn many_operations_may_fail() {
    for durability in [Durability::Sync, Durability::Os] {
        for seed in seeds(1000) {
            let mut rig = Rig::new(SimDisk::new(), durability);
            rig.disk.set_fault(Fault::Often(2 + seed as u8 % 20, seed));
            random_load(&mut rig, 1, seed);
            rig.disk.set_fault(Fault::Nothing);
            rig.check();
            if seed % 2 == 0 || durability == Durability::Os {
                go_on(&mut rig);
            }
            let power = if durability == Durability::Sync { seed } else { 1 };
            let mut rig = rig.restart(power, durability);
            assert_eq!(rig.opened.remarks, Vec::<String>::new(), "seed {seed}");
            rig.check();
            go_on(&mut rig);
        }
    }
}

#[test]
fn a_full_disk_is_used_again_once_there_is_room() {
    for bytes_max in (500..6000).step_by(23) {
        let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
        rig.disk.set_bytes_max(bytes_max);
        load(&mut rig);
        rig.check();
        rig.disk.set_bytes_max(u64::MAX);
        go_on(&mut rig);
        let mut rig = rig.restart(bytes_max, Durability::Sync);
        assert_eq!(rig.opened.remarks, Vec::<String>::new(), "{bytes_max}");
        rig.check();
        go_on(&mut rig);
    }
}
