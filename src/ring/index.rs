//! What a node holds: names, versions, sizes and hashes, with digests kept as it changes. The
//! contents are in the store.
//!
//! Names are spread over [`BUCKETS`] buckets. Each bucket has a digest: the wrapping sum of one
//! hash per file, so it does not depend on the order in which files came, and a change costs the
//! same however many files there are. Two tables are equal when the sums of their digests are; if
//! not, their buckets tell where to look.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fmt,
    ops::Bound,
};

use super::{
    item::{Body, Item, Ticket},
    name::Name,
    version::Version,
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
    /// It is what the index holds now.
    New,
    /// The index holds this version or a later one, and keeps it.
    Old,
    /// It does not fit; nothing changed.
    Full,
}

/// What an index knows of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// Which write this is.
    pub version: Version,
    /// BLAKE3 of the content.
    pub hash: blake3::Hash,
    /// Length of the content.
    pub bytes: usize,
    /// The content in the store.
    pub ticket: Ticket,
}

impl IndexEntry {
    /// The file, with its content in the store.
    pub fn item(&self) -> Item {
        let body = Body::Stored { ticket: self.ticket, bytes: self.bytes };
        Item { version: self.version, hash: self.hash, body }
    }
}

/// The files of one node.
#[derive(Debug)]
pub struct Index {
    buckets: Vec<Bucket>,
    digest: Digest,
    files: usize,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Bucket {
    files: BTreeMap<Name, IndexEntry>,
    digest: Digest,
}

impl Index {
    /// An empty index that takes up to `bytes_max` bytes: contents, names, and
    /// [`ENTRY_BYTES`] for each file.
    pub fn new(bytes_max: usize) -> Self {
        let buckets = std::iter::repeat_with(Bucket::default).take(BUCKETS).collect();
        Self { buckets, digest: Digest::default(), files: 0, bytes: 0, bytes_max }
    }

    /// The file of this name.
    pub fn get(&self, name: &Name) -> Option<&IndexEntry> {
        self.buckets[bucket_of(name)].files.get(name)
    }

    /// Enters the version, unless the index holds the same or a later one. Returns the entry that it
    /// replaces as well.
    pub fn put(&mut self, name: &Name, entry: IndexEntry) -> (Kept, Option<IndexEntry>) {
        self.put_within(name, entry, self.bytes_max)
    }

    fn put_within(
        &mut self,
        name: &Name,
        entry: IndexEntry,
        bytes_max: usize,
    ) -> (Kept, Option<IndexEntry>) {
        let bucket = &mut self.buckets[bucket_of(name)];
        let held = bucket.files.get_mut(name);
        if held.as_ref().is_some_and(|held| held.version >= entry.version) {
            return (Kept::Old, None);
        }
        let freed = held.as_ref().map_or(0, |held| cost(name, held));
        let bytes = self.bytes - freed + cost(name, &entry);
        if bytes > bytes_max {
            return (Kept::Full, None);
        }
        self.bytes = bytes;
        let replaced = match held {
            Some(held) => Some(std::mem::replace(held, entry)),
            None => bucket.files.insert(name.clone(), entry),
        };
        self.files += usize::from(replaced.is_none());
        if let Some(replaced) = &replaced {
            let old = Digest::of(name, replaced.version);
            bucket.digest.subtract(old);
            self.digest.subtract(old);
        }
        let new = Digest::of(name, entry.version);
        bucket.digest.add(new);
        self.digest.add(new);
        (Kept::New, replaced)
    }

    /// Takes out an entry whose content could not be stored, and puts back the one that it
    /// replaced. Nothing happens if the index holds another version by now.
    pub fn take_back(&mut self, name: &Name, ticket: Ticket, replaced: Option<IndexEntry>) {
        let bucket = &mut self.buckets[bucket_of(name)];
        if bucket.files.get(name).is_none_or(|held| held.ticket != ticket) {
            return;
        }
        let held = bucket.files.remove(name).expect("it was just found");
        let digest = Digest::of(name, held.version);
        bucket.digest.subtract(digest);
        self.digest.subtract(digest);
        self.bytes -= cost(name, &held);
        self.files -= 1;
        if let Some(entry) = replaced {
            // It was here before, so it stays, whatever may have taken its room since.
            self.put_within(name, entry, usize::MAX);
        }
    }

    /// Whether a file of this many bytes would fit under this name.
    pub fn has_room(&self, name: &Name, content_bytes: usize) -> bool {
        let freed = self.get(name).map_or(0, |held| cost(name, held));
        self.bytes - freed + name.as_str().len() + content_bytes + ENTRY_BYTES <= self.bytes_max
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files == 0
    }

    /// Bytes in use, as counted against the limit.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The limit of [`bytes`](Self::bytes).
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The digest of all files.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of each bucket.
    pub fn digests(&self) -> Vec<Digest> {
        self.buckets.iter().map(|bucket| bucket.digest).collect()
    }

    /// The files of one bucket whose names come after `after`, in order.
    pub fn bucket(
        &self,
        bucket: u8,
        after: Option<&Name>,
    ) -> impl Iterator<Item = (&Name, &IndexEntry)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.buckets[usize::from(bucket)].files.range::<Name, _>((from, Bound::Unbounded))
    }

    /// All files whose names begin with `prefix` and come after `after`, in order of their names.
    pub fn list(&self, prefix: &str, after: &str) -> impl Iterator<Item = (&Name, &IndexEntry)> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let mut rows: Vec<_> = (self.buckets.iter())
            .map(|bucket| bucket.files.range::<str, _>((from, Bound::Unbounded)))
            .collect();
        let mut heads = BinaryHeap::new();
        for (i, row) in rows.iter_mut().enumerate() {
            heads.extend(row.next().map(|(name, _)| Reverse((name, i))));
        }
        std::iter::from_fn(move || {
            let Reverse((name, i)) = heads.pop()?;
            heads.extend(rows[i].next().map(|(name, _)| Reverse((name, i))));
            name.as_str().starts_with(prefix).then(|| (name, &self.buckets[i].files[name]))
        })
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
    name.as_str().len() + entry.bytes + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::version::Stamp;

    fn entry(stamp: u64, text: &'static str) -> IndexEntry {
        let version = Version { stamp: Stamp(stamp), node: "127.0.0.1:1".parse().unwrap() };
        let hash = blake3::hash(text.as_bytes());
        IndexEntry { version, hash, bytes: text.len(), ticket: Ticket(stamp) }
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn the_later_version_stays_and_the_digest_forgets_the_earlier() {
        let (mut one, mut two) = (Index::new(10_000), Index::new(10_000));
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
    fn what_does_not_fit_changes_nothing() {
        let mut index = Index::new(ENTRY_BYTES + 5);
        assert_eq!(index.put(&name("a"), entry(1, "1234")).0, Kept::New);
        assert_eq!(index.put(&name("b"), entry(1, "")).0, Kept::Full);
        assert_eq!(index.put(&name("a"), entry(2, "12345")).0, Kept::Full);
        assert!(index.has_room(&name("a"), 4) && !index.has_room(&name("a"), 5));
        assert_eq!(index.get(&name("a")).unwrap().version.stamp, Stamp(1));
    }

    #[test]
    fn what_could_not_be_stored_gives_back_what_it_replaced() {
        let mut index = Index::new(10_000);
        index.put(&name("a"), entry(1, "old"));
        let before = (index.digest(), index.bytes(), index.len());
        let (_, replaced) = index.put(&name("a"), entry(2, "longer"));
        index.take_back(&name("a"), Ticket(2), replaced);
        assert_eq!((index.digest(), index.bytes(), index.len()), before);
        index.put(&name("a"), entry(3, "last"));
        index.take_back(&name("a"), Ticket(2), None);
        assert_eq!(index.get(&name("a")).unwrap().version.stamp, Stamp(3));
        index.take_back(&name("a"), Ticket(3), None);
        assert_eq!((index.digest(), index.bytes(), index.len()), (Digest::default(), 0, 0));
    }

    #[test]
    fn a_list_is_sorted_across_buckets() {
        let mut index = Index::new(1 << 20);
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
