//! Operations fail.

use std::io::ErrorKind;

use super::{
    rig::{Rig, go_on, load},
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
                if durability == Durability::Sync {
                    let mut rig = rig.restart(at, durability);
                    rig.check();
                    assert_eq!(rig.opened.remarks, Vec::<String>::new(), "{kind} at {at}");
                    go_on(&mut rig);
                }
            }
        }
    }
}
