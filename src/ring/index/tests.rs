//! An index holds the newest versions, whatever the order in which they come.

use super::*;
use crate::ring::version::Stamp;

fn entry(stamp: u64, text: &'static str) -> IndexEntry {
    let version = Version { stamp: Stamp(stamp), node: "127.0.0.1:1".parse().unwrap() };
    let hash = blake3::hash(text.as_bytes());
    let kind = EntryKind::File { hash, bytes: text.len() };
    IndexEntry { version, kind, ticket: Ticket(stamp) }
}

fn tombstone(stamp: u64) -> IndexEntry {
    IndexEntry { kind: EntryKind::Tombstone, ..entry(stamp, "") }
}

fn stamps(index: &Index, text: &str) -> Vec<u64> {
    let versions = index.versions(&name(text)).into_iter().flat_map(Versions::iter);
    versions.map(|held| held.version.stamp.0).collect()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn the_later_version_stays_and_the_digest_forgets_the_earlier() {
    let (mut one, mut two) = (Index::new(10_000, 1), Index::new(10_000, 1));
    assert_eq!(one.put(&name("a"), entry(1, "old")).0, Kept::New);
    assert_eq!(one.put(&name("a"), entry(2, "new")).0, Kept::New);
    assert_eq!(one.put(&name("a"), entry(1, "old")).0, Kept::Old);
    one.put(&name("b"), entry(1, ""));
    two.put(&name("b"), entry(1, ""));
    assert_ne!(one.digest(), two.digest());
    two.put(&name("a"), entry(2, "new"));
    assert_eq!(one.digest(), two.digest());
    assert_eq!(one.digests(), two.digests());
    assert_eq!((one.len(), one.bytes()), (2, 2 * ENTRY_BYTES + 2 + 3));
}

#[test]
fn the_newest_versions_stay_in_whatever_order_they_come() {
    let orders = [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 5, 1, 4, 2], [2, 1, 5, 3, 4]];
    let indexes = orders.map(|order| {
        let mut index = Index::new(10_000, 3);
        for stamp in order {
            let it = if stamp == 4 { tombstone(stamp) } else { entry(stamp, "x") };
            index.put(&name("a"), it);
        }
        index
    });
    for index in &indexes {
        assert_eq!(stamps(index, "a"), [5, 4, 3]);
        assert_eq!(index.digests(), indexes[0].digests());
        assert_eq!((index.history(), index.digest()), (indexes[0].history(), indexes[0].digest()));
        assert_eq!((index.bytes(), index.len()), (3 * ENTRY_BYTES + 3 + 2, 1));
        assert_eq!(index.get(&name("a")).unwrap().version.stamp, Stamp(5));
    }
    assert_ne!(indexes[0].digest(), indexes[0].history());
}

#[test]
fn older_versions_make_way_and_come_only_where_there_is_room() {
    let mut index = Index::new(3 * ENTRY_BYTES + 20, 3);
    index.put(&name("a"), entry(1, "1234"));
    index.put(&name("a"), entry(2, "1234"));
    index.put(&name("b"), entry(3, "1234"));
    let (kept, dropped) = index.put(&name("c"), entry(4, "1234"));
    assert_eq!((kept, dropped.len(), dropped[0].1.ticket), (Kept::New, 1, Ticket(1)));
    assert_eq!(index.put(&name("a"), entry(1, "1234")), (Kept::Old, Vec::new()));
    assert_eq!(index.put(&name("d"), entry(5, "")).0, Kept::Full);
    // What takes its place makes way for it.
    let (kept, dropped) = index.put(&name("a"), entry(6, "12345678"));
    assert_eq!((kept, dropped.len(), dropped[0].1.ticket), (Kept::New, 1, Ticket(2)));
    assert_eq!((index.len(), index.bytes()), (3, 3 * ENTRY_BYTES + 3 + 16));
}

#[test]
fn a_tombstone_is_the_newest_version_and_not_a_file() {
    let mut index = Index::new(10_000, 3);
    index.put(&name("a"), entry(1, "old"));
    index.put(&name("b"), entry(1, "other"));
    index.put(&name("a"), tombstone(2));
    assert!(index.get(&name("a")).unwrap().is_tombstone());
    let listed: Vec<_> = index.list("", "").map(|(name, _)| name.to_string()).collect();
    assert_eq!((listed, index.len()), (vec!["b".to_owned()], 1));
    index.put(&name("a"), entry(3, "new"));
    assert_eq!((index.len(), stamps(&index, "a")), (2, vec![3, 2, 1]));
}

#[test]
fn a_forgotten_tombstone_takes_what_it_has_deleted_with_it_and_nothing_later() {
    let mut index = Index::new(10_000, 5);
    for it in [entry(1, "one"), entry(2, "two"), tombstone(3), entry(4, "four")] {
        index.put(&name("a"), it);
    }
    index.put(&name("b"), entry(1, "one"));
    index.put(&name("b"), tombstone(9));
    assert_eq!(index.forget_deleted(Stamp(3), |_| false), []);
    assert_eq!(index.forget_deleted(Stamp(9), |ticket| ticket == Ticket(2)), []);
    let forgotten = index.forget_deleted(Stamp(9), |_| false);
    let tickets: BTreeSet<_> = forgotten.iter().map(|(_, it)| it.ticket.0).collect();
    assert_eq!((tickets, stamps(&index, "a")), (BTreeSet::from([1, 2, 3]), vec![4]));
    index.forget_deleted(Stamp(10), |_| false);
    assert_eq!((index.get(&name("b")), index.len()), (None, 1));
    assert_eq!(index.bytes(), ENTRY_BYTES + 1 + 4);
    assert_eq!((index.digest(), index.totals.older_bytes), (index.history(), 0));
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let mut index = Index::new(ENTRY_BYTES + 5, 3);
    assert_eq!(index.put(&name("a"), entry(1, "1234")).0, Kept::New);
    assert_eq!(index.put(&name("b"), entry(1, "")).0, Kept::Full);
    assert_eq!(index.put(&name("a"), entry(2, "12345")).0, Kept::Full);
    assert!(index.has_room(&name("a"), 4) && !index.has_room(&name("a"), 5));
    assert_eq!(index.get(&name("a")).unwrap().version.stamp, Stamp(1));
}

#[test]
fn what_could_not_be_stored_gives_back_what_it_replaced() {
    let mut index = Index::new(10_000, 1);
    index.put(&name("a"), entry(1, "old"));
    let before = (index.digest(), index.bytes(), index.len());
    let (_, dropped) = index.put(&name("a"), entry(2, "longer"));
    assert_eq!(index.take_back(&name("a"), Ticket(2), dropped), []);
    assert_eq!((index.digest(), index.bytes(), index.len()), before);
    index.put(&name("a"), entry(3, "last"));
    index.take_back(&name("a"), Ticket(2), Vec::new());
    assert_eq!(index.get(&name("a")).unwrap().version.stamp, Stamp(3));
    index.take_back(&name("a"), Ticket(3), Vec::new());
    assert_eq!((index.digest(), index.bytes(), index.len()), (Digest::default(), 0, 0));
    assert_eq!((index.history(), index.totals.older_bytes), (Digest::default(), 0));
}

#[test]
fn a_list_is_sorted_across_buckets() {
    let mut index = Index::new(1 << 20, 3);
    let mut names: Vec<_> = (0..500).map(|i| format!("img/{i}")).collect();
    names.extend(["a".into(), "img".into(), "z".into()]);
    for text in &names {
        index.put(&name(text), entry(1, ""));
    }
    let listed = |prefix, after| -> Vec<String> {
        index.list(prefix, after).map(|(name, _)| name.to_string()).collect()
    };
    names.sort();
    assert_eq!(listed("", ""), names);
    assert_eq!(listed("img/", ""), names[2..502]);
    assert_eq!(
        listed("img/", "img/7"),
        names[names.iter().position(|n| n == "img/7").unwrap() + 1..502]
    );
    assert_eq!(listed("nothing", ""), [""; 0]);
    assert_eq!(listed("a", "b"), [""; 0]);
}
