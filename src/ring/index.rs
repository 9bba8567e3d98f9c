//! What a node holds: names, their versions, sizes and hashes, with digests kept as it changes. The
//! contents are in the store.
//!
//! Of each name the newest few versions are held. What counts for the ring is the newest: what a
//! GET returns, what must have room, what a node must have to be ready. Older versions are held
//! where there is room, and make way where a newer file needs it.
//!
//! Names are spread over [`BUCKETS`] buckets. Each bucket has a digest: the wrapping sum of one
//! hash per version, so it does not depend on the order in which files came, and a change costs the
//! same however many files there are. Two tables are equal when the sums of their digests are; if
//! not, their buckets tell where to look.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    fmt,
    ops::Bound,
};

use super::{
    item::{Body, Item, ItemValue, Ticket},
    name::Name,
    version::{Stamp, Version},
    versions::Versions,
};

/// How many buckets an index has.
pub const BUCKETS: usize = 256;
/// Bytes that a file costs beyond its name and its content.
pub const ENTRY_BYTES: usize = 128;

/// The digest of a set of files, independent of their order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Digest(pub u128);

impl Digest {
    fn of(name: &Name, version: Version) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&version.stamp.0.to_le_bytes());
        hasher.update(version.node.to_string().as_bytes());
        hasher.update(b" ");
        hasher.update(name.as_str().as_bytes());
        let bytes = *hasher.finalize().as_bytes();
        Self(u128::from_le_bytes(*bytes.first_chunk().expect("a hash has 32 bytes")))
    }

    fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    fn subtract(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What became of a version that was offered to an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It is the newest that the index holds now.
    New,
    /// The index holds it now, and a newer one.
    Older,
    /// The index holds this version or enough later ones; or it is an older one for which there is
    /// no room. Nothing changed.
    Old,
    /// It would be the newest and does not fit; nothing changed.
    Full,
}

/// What an index knows of one version of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// Which write this is.
    pub version: Version,
    /// What it has written.
    pub kind: EntryKind,
    /// Its record in the store.
    pub ticket: Ticket,
}

/// What a write has written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A file.
    File {
        /// BLAKE3 of the content.
        hash: blake3::Hash,
        /// Length of the content.
        bytes: usize,
    },
    /// Nothing: the name was deleted.
    Tombstone,
}

impl EntryKind {
    /// The length of the content of a file; `None` for a tombstone.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Self::File { bytes, .. } => Some(bytes),
            Self::Tombstone => None,
        }
    }

    /// The hash of the content of a file.
    pub fn hash(self) -> Option<blake3::Hash> {
        match self {
            Self::File { hash, .. } => Some(hash),
            Self::Tombstone => None,
        }
    }
}

impl IndexEntry {
    /// This version, with its content in the store.
    pub fn item(&self) -> Item {
        let value = match self.kind {
            EntryKind::File { hash, bytes } => {
                ItemValue::File { hash, body: Body::Stored { ticket: self.ticket, bytes } }
            }
            EntryKind::Tombstone => ItemValue::Tombstone,
        };
        Item { version: self.version, value }
    }

    /// Whether it says that the name was deleted.
    pub fn is_tombstone(&self) -> bool {
        self.kind == EntryKind::Tombstone
    }
}

/// An entry that an index no longer holds, with its name.
pub type Dropped = (Name, IndexEntry);

/// The files of one node.
#[derive(Debug)]
pub struct Index {
    buckets: Vec<Bucket>,
    /// Of the newest version of each name; of all versions.
    digest: Digest,
    history: Digest,
    /// Names whose newest version is a file.
    files: usize,
    /// Of all versions; of those that are not the newest of their name.
    bytes: usize,
    older_bytes: usize,
    bytes_max: usize,
    versions_max: usize,
    /// All tombstones, by their time.
    tombstones: BTreeSet<(Version, Name)>,
    /// The bucket whose older versions make way next.
    evicts_at: usize,
}

#[derive(Debug, Default)]
struct Bucket {
    names: BTreeMap<Name, Versions>,
    digest: Digest,
    /// Versions that are not the newest of their name.
    older: usize,
}

impl Index {
    /// An empty index that takes up to `bytes_max` bytes: contents, names, and [`ENTRY_BYTES`] for
    /// each version. Of a name it holds up to `versions_max` versions, one at least.
    pub fn new(bytes_max: usize, versions_max: usize) -> Self {
        let buckets = std::iter::repeat_with(Bucket::default).take(BUCKETS).collect();
        Self {
            buckets,
            digest: Digest::default(),
            history: Digest::default(),
            files: 0,
            bytes: 0,
            older_bytes: 0,
            bytes_max,
            versions_max: versions_max.max(1),
            tombstones: BTreeSet::new(),
            evicts_at: 0,
        }
    }

    /// The newest version of this name, which may be a tombstone.
    pub fn get(&self, name: &Name) -> Option<&IndexEntry> {
        self.versions(name).map(Versions::newest)
    }

    /// All versions of this name.
    pub fn versions(&self, name: &Name) -> Option<&Versions> {
        self.buckets[bucket_of(name)].names.get(name)
    }

    /// One version of this name.
    pub fn version(&self, name: &Name, version: Version) -> Option<&IndexEntry> {
        self.versions(name).and_then(|held| held.find(version))
    }

    /// Enters a version, unless the index holds it or enough later ones. Returns what had to make
    /// way for it as well.
    pub fn put(&mut self, name: &Name, entry: IndexEntry) -> (Kept, Vec<Dropped>) {
        let versions = self.versions(name);
        if versions.is_some_and(|it| !it.takes(entry.version, self.versions_max)) {
            return (Kept::Old, Vec::new());
        }
        let is_newest = versions.is_none_or(|it| it.newest().version < entry.version);
        if is_newest && !self.has_room(name, entry.kind.bytes().unwrap_or(0)) {
            return (Kept::Full, Vec::new());
        }
        let oldest = versions.filter(|it| it.count() == self.versions_max);
        let freed = oldest.and_then(Versions::oldest).map_or(0, |it| cost(name, it));
        if !is_newest && self.bytes - freed + cost(name, &entry) > self.bytes_max {
            return (Kept::Old, Vec::new());
        }
        let mut dropped = Vec::new();
        self.insert(name, entry);
        while self.versions(name).is_some_and(|it| it.count() > self.versions_max) {
            dropped.extend(self.pop_oldest(name));
        }
        while self.bytes > self.bytes_max {
            let evicted = self.pop_oldest(name).or_else(|| self.evict());
            dropped.push(evicted.expect("without older versions it fits"));
        }
        (if is_newest { Kept::New } else { Kept::Older }, dropped)
    }

    /// Takes out an entry whose record could not be stored, and puts back what had made way for it,
    /// as far as newer versions have not taken its place. Returns the rest.
    pub fn take_back(
        &mut self,
        name: &Name,
        ticket: Ticket,
        dropped: Vec<Dropped>,
    ) -> Vec<Dropped> {
        self.remove(name, ticket);
        let mut rest = Vec::new();
        for (name, entry) in dropped {
            let versions = self.versions(&name);
            let takes = versions.is_none_or(|it| it.takes(entry.version, self.versions_max));
            let is_newest = versions.is_none_or(|it| it.newest().version < entry.version);
            // The newest was here before, so it stays, whatever may have taken its room since.
            if takes && (is_newest || self.bytes + cost(&name, &entry) <= self.bytes_max) {
                self.insert(&name, entry);
                while self.versions(&name).is_some_and(|it| it.count() > self.versions_max) {
                    rest.extend(self.pop_oldest(&name));
                }
            } else {
                rest.push((name, entry));
            }
        }
        rest
    }

    /// Forgets tombstones that are older than `before`, and what they have deleted, until it comes to
    /// one with a record for which `is_busy` says so.
    pub fn forget_deleted(
        &mut self,
        before: Stamp,
        is_busy: impl Fn(Ticket) -> bool,
    ) -> Vec<Dropped> {
        let mut forgotten = Vec::new();
        while let Some((tombstone, name)) = self.tombstones.first().cloned()
            && tombstone.stamp < before
        {
            let versions = self.versions(&name).expect("its tombstone is here");
            let is_deleted = |it: &&IndexEntry| it.version <= tombstone;
            if versions.iter().filter(is_deleted).any(|it| is_busy(it.ticket)) {
                break;
            }
            forgotten.extend(self.forget_up_to(&name, tombstone));
        }
        forgotten
    }

    /// Forgets the versions of a name up to this one.
    pub fn forget_up_to(&mut self, name: &Name, last: Version) -> Vec<Dropped> {
        let versions = self.versions(name).into_iter().flat_map(Versions::iter);
        let old = versions.filter(|it| it.version <= last).map(|it| it.ticket);
        let old: Vec<_> = old.collect();
        old.into_iter().filter_map(|ticket| self.remove(name, ticket)).collect()
    }

    /// Whether a file of this many bytes would fit as the newest of its name, if older versions make
    /// way.
    pub fn has_room(&self, name: &Name, content_bytes: usize) -> bool {
        let freed = self.get(name).map_or(0, |held| cost(name, held));
        let newest = self.bytes - self.older_bytes - freed;
        newest + name.as_str().len() + content_bytes + ENTRY_BYTES <= self.bytes_max
    }

    /// Whether there is room for an older version of this many bytes, without another that makes way.
    pub fn has_room_beside(&self, name: &Name, content_bytes: usize) -> bool {
        self.bytes + name.as_str().len() + content_bytes + ENTRY_BYTES <= self.bytes_max
    }

    /// Whether the index holds this version of a name, or would not enter it because of later ones.
    pub fn is_old(&self, name: &Name, version: Version) -> bool {
        self.versions(name).is_some_and(|it| !it.takes(version, self.versions_max))
    }

    /// How many names there are whose newest version is a file.
    pub fn len(&self) -> usize {
        self.files
    }

    /// Whether nothing is held, not even a tombstone.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes in use, as counted against the limit.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The limit of [`bytes`](Self::bytes).
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// How many versions of a name it holds at most.
    pub fn versions_max(&self) -> usize {
        self.versions_max
    }

    /// The digest of the newest version of each name.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of all versions.
    pub fn history(&self) -> Digest {
        self.history
    }

    /// The digest of all versions in each bucket.
    pub fn digests(&self) -> Vec<Digest> {
        self.buckets.iter().map(|bucket| bucket.digest).collect()
    }

    /// The names of one bucket that come after `after`, in order, with their versions.
    pub fn bucket(
        &self,
        bucket: u8,
        after: Option<&Name>,
    ) -> impl Iterator<Item = (&Name, &Versions)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.buckets[usize::from(bucket)].names.range::<Name, _>((from, Bound::Unbounded))
    }

    /// All files whose names begin with `prefix` and come after `after`, in order of their names: of
    /// each the newest version. What was deleted is not among them.
    pub fn list(&self, prefix: &str, after: &str) -> impl Iterator<Item = (&Name, &IndexEntry)> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let mut rows: Vec<_> = (self.buckets.iter())
            .map(|bucket| bucket.names.range::<str, _>((from, Bound::Unbounded)))
            .map(|row| row.filter(|(_, held)| !held.newest().is_tombstone()))
            .collect();
        let mut heads = BinaryHeap::new();
        for (i, row) in rows.iter_mut().enumerate() {
            heads.extend(row.next().map(|(name, _)| Reverse((name, i))));
        }
        std::iter::from_fn(move || {
            let Reverse((name, i)) = heads.pop()?;
            heads.extend(rows[i].next().map(|(name, _)| Reverse((name, i))));
            let held = self.buckets[i].names[name].newest();
            name.as_str().starts_with(prefix).then_some((name, held))
        })
    }

    /// Every version of every name, in no particular order.
    pub fn all(&self) -> impl Iterator<Item = (&Name, &IndexEntry)> {
        let names = self.buckets.iter().flat_map(|bucket| &bucket.names);
        names.flat_map(|(name, held)| held.iter().map(move |entry| (name, entry)))
    }

    /// Enters a version that its name takes, whatever room there is.
    fn insert(&mut self, name: &Name, entry: IndexEntry) {
        self.count(name, &entry, true);
        self.change(name, |names| match names.get_mut(name) {
            Some(held) => held.insert(entry),
            None => drop(names.insert(name.clone(), Versions::new(entry))),
        });
    }

    /// Takes out one version of a name.
    pub fn remove(&mut self, name: &Name, ticket: Ticket) -> Option<Dropped> {
        let removed = self.change(name, |names| match names.get_mut(name)?.remove(ticket) {
            Ok(removed) => removed,
            Err(()) => names.remove(name).map(|last| *last.newest()),
        })?;
        self.count(name, &removed, false);
        Some((name.clone(), removed))
    }

    /// Takes out the oldest version of a name, unless that is the newest too.
    fn pop_oldest(&mut self, name: &Name) -> Option<Dropped> {
        let oldest = self.versions(name)?.oldest()?.ticket;
        self.remove(name, oldest)
    }

    /// Takes out an older version of any name.
    fn evict(&mut self) -> Option<Dropped> {
        for _ in 0..BUCKETS {
            let bucket = &self.buckets[self.evicts_at];
            if bucket.older > 0 {
                let mut names = bucket.names.iter();
                let name = names.find(|(_, held)| held.count() > 1).map(|(name, _)| name.clone());
                return self.pop_oldest(&name.expect("it counts older versions"));
            }
            self.evicts_at = (self.evicts_at + 1) % BUCKETS;
        }
        None
    }

    /// Changes the versions of one name, and takes note of which is the newest.
    fn change<T>(
        &mut self,
        name: &Name,
        change: impl FnOnce(&mut BTreeMap<Name, Versions>) -> T,
    ) -> T {
        let bucket = &mut self.buckets[bucket_of(name)];
        let look = |names: &BTreeMap<Name, Versions>| {
            let held = names.get(name);
            (held.map(|it| *it.newest()), held.map_or(0, Versions::count))
        };
        let (before, count_before) = look(&bucket.names);
        let result = change(&mut bucket.names);
        let (after, count_after) = look(&bucket.names);
        bucket.older += count_after.saturating_sub(1);
        bucket.older -= count_before.saturating_sub(1);
        if before != after {
            if let Some(before) = before {
                self.digest.subtract(Digest::of(name, before.version));
                self.files -= usize::from(!before.is_tombstone());
                self.older_bytes += cost(name, &before);
            }
            if let Some(after) = after {
                self.digest.add(Digest::of(name, after.version));
                self.files += usize::from(!after.is_tombstone());
                self.older_bytes -= cost(name, &after);
            }
        }
        result
    }

    /// Counts a version that has come or gone.
    fn count(&mut self, name: &Name, entry: &IndexEntry, has_come: bool) {
        let digest = Digest::of(name, entry.version);
        let bucket = &mut self.buckets[bucket_of(name)];
        let cost = cost(name, entry);
        if has_come {
            bucket.digest.add(digest);
            self.history.add(digest);
            self.bytes += cost;
            self.older_bytes += cost;
        } else {
            bucket.digest.subtract(digest);
            self.history.subtract(digest);
            self.bytes -= cost;
            self.older_bytes -= cost;
        }
        if entry.is_tombstone() {
            let key = (entry.version, name.clone());
            let _ =
                if has_come { self.tombstones.insert(key) } else { self.tombstones.remove(&key) };
        }
    }
}

/// FNV-1a (Fowler, Noll, Vo), folded to a byte: the same on every node and cheap on every GET.
fn bucket_of(name: &Name) -> usize {
    let hash = name
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    usize::from(a ^ b ^ c ^ d)
}

fn cost(name: &Name, entry: &IndexEntry) -> usize {
    name.as_str().len() + entry.kind.bytes().unwrap_or(0) + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
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
            assert_eq!(
                (index.history(), index.digest()),
                (indexes[0].history(), indexes[0].digest())
            );
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
        assert_eq!((index.digest(), index.older_bytes), (index.history(), 0));
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
        assert_eq!((index.history(), index.older_bytes), (Digest::default(), 0));
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
}
