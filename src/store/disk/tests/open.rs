//! Which folders are opened, and what is said of those that are not.

use std::fs;

use super::{
    rig::{FOLDER, Rig, options as sim_options},
    running::{open, options, reports, write},
    sim::SimDisk,
};
use crate::store::disk::{
    DiskOptions, DiskStore, Durability, OpenError, SavedNode,
    open::open as open_on,
    record::check,
    table::{SharedTable, Table},
};

fn refused(folder: &std::path::Path, options: DiskOptions) -> String {
    let error = DiskStore::open(folder, options, |_| {}).expect_err("it is refused").to_string();
    assert!(!error.contains('\n'), "{error}");
    error.replace(folder.to_str().unwrap(), "DIR")
}

fn node(ring: &str) -> SavedNode {
    SavedNode {
        ring: ring.into(),
        address: "127.0.0.1:1".parse().unwrap(),
        incarnation: 1,
        members: Vec::new(),
        alive_ms: 2,
    }
}

#[test]
fn a_folder_is_opened_once_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path(), options());
    let me = std::process::id();
    let error = format!("DIR is in use by the process {me}: end that, or give another folder");
    assert_eq!(refused(folder.path(), options()), error);
    assert!(matches!(DiskStore::set_aside(folder.path(), 0), Err(OpenError::InUse { .. })));
    drop(store);
    open(folder.path(), options());
}

#[test]
fn folders_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let (store, ..) = open(&path, options());
    store.save_node(node("test"));
    drop(store);
    assert_eq!(
        refused(&path, DiskOptions { ring: "other".into(), ..options() }),
        "DIR belongs to the ring \"test\": give that name with --ring, or another folder"
    );
    fs::write(path.join("notes.txt"), "mine").unwrap();
    open(&path, options());
    let strange = folder.path().join("c");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("notes.txt"), "mine").unwrap();
    assert_eq!(
        refused(&strange, options()),
        "DIR is no data folder of smolring (there is \"notes.txt\" in it): give an empty folder or a \
         new one"
    );
    assert_eq!(fs::read_dir(&strange).unwrap().count(), 1);
    let file = strange.join("notes.txt");
    assert_eq!(refused(&file, options()), "DIR is no folder: give a folder");
    let error = refused(&file.join("below"), options());
    assert!(error.ends_with("notes.txt is no folder: give a folder"), "{error}");
}

#[test]
fn later_formats_are_refused() {
    let disk = SimDisk::new();
    let mut rig = Rig::new(disk.clone(), Durability::Sync);
    rig.put(&[(1, 1, Some(10))]);
    rig.save_node(3);
    let disk = disk.reboot(0);
    for name in ["node.json", "log/0000000001.log"] {
        let path = std::path::Path::new(FOLDER).join(name);
        let files = disk.files();
        let bytes = files.iter().find(|it| it.0 == path).unwrap().1.clone();
        let mut newer = bytes.clone();
        if name == "node.json" {
            let text = String::from_utf8(newer).unwrap();
            newer = text.replace("\"format\": 1", "\"format\": 2").into_bytes();
        } else {
            newer[8] = 2;
            let check = check(&[0; 32], &newer[..56]);
            newer[56..64].copy_from_slice(&check);
        }
        disk.tamper(&path, Some(newer));
        let table = SharedTable::new(Table::new(0));
        let options = sim_options(Durability::Sync);
        let opened = open_on(disk.shared(), FOLDER.as_ref(), options, table, &mut |_| {});
        let error = opened.expect_err("it is refused").to_string();
        let expected = "/ was written by a later version (format 2): start that one, or give \
                        another folder";
        assert_eq!(error, expected);
        disk.tamper(&path, Some(bytes));
    }
}

#[test]
fn a_folder_can_be_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let (store, opened, _) = open(folder.path(), options());
        assert_eq!((opened.versions, opened.node), (0, None));
        store.save_node(node("test"));
        store.write(write(1, "old"));
        reports(&store, 2);
        drop(store);
        let aside = DiskStore::set_aside(folder.path(), 77).unwrap();
        assert_eq!(aside, folder.path().join(format!("aside-{}", 77 + round)));
        let (_old, opened, _) = open(&aside, options());
        assert_eq!((opened.versions, opened.node), (1, Some(node("test"))));
    }
}
