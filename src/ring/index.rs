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

mod names;
pub(super) mod nodes;
pub(super) mod packed;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    ops::Bound,
};

use self::{
    names::Names,
    nodes::{Nodes, PackedEntry},
    packed::PackedVersions,
};

pub use super::{
    digest::Digest,
    entry::{EntryKind, IndexEntry},
};
use super::{
    item::Ticket,
    name::Name,
    version::{Stamp, Version},
    versions::Versions,
};

/// How many buckets an index has.
pub const BUCKETS: usize = 256;
/// Bytes that a file costs beyond its name and its content.
pub const ENTRY_BYTES: usize = 128;

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

/// An entry that an index no longer holds, with its name.
pub type Dropped = (Name, IndexEntry);

/// The files of one node.
#[derive(Debug)]
pub struct Index {
    buckets: Vec<Bucket>,
    nodes: Nodes,
    totals: Totals,
    bytes_max: usize,
    versions_max: usize,
    /// All tombstones, by their time.
    tombstones: BTreeSet<(Version, Name)>,
    /// The bucket whose older versions make way next.
    evicts_at: usize,
}

/// What is counted over all buckets.
#[derive(Debug, Default)]
struct Totals {
    /// Of the newest version of each name; of all versions.
    digest: Digest,
    history: Digest,
    /// Names whose newest version is a file.
    files: usize,
    /// Of all versions; of those that are not the newest of their name.
    bytes: usize,
    older_bytes: usize,
}

#[derive(Debug, Default)]
struct Bucket {
    names: Names,
    counts: BucketCounts,
}

#[derive(Debug, Default)]
struct BucketCounts {
    /// Of all versions.
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
            nodes: Nodes::default(),
            totals: Totals::default(),
            bytes_max,
            versions_max: versions_max.max(1),
            tombstones: BTreeSet::new(),
            evicts_at: 0,
        }
    }

    /// The newest version of this name, which may be a tombstone.
    pub fn get(&self, name: &Name) -> Option<IndexEntry> {
        self.versions(name).map(Versions::newest)
    }

    /// All versions of this name.
    pub fn versions(&self, name: &Name) -> Option<Versions<'_>> {
        let names = &self.buckets[bucket_of(name)].names;
        let at = names.find(name.as_str()).ok()?;
        Some(Versions::new(names.get(at), &self.nodes))
    }

    /// One version of this name.
    pub fn version(&self, name: &Name, version: Version) -> Option<IndexEntry> {
        self.versions(name).and_then(|held| held.find(version))
    }

    /// Enters a version, unless the index holds it or enough later ones. Returns what had to make
    /// way for it as well.
    pub fn put(&mut self, name: &Name, entry: IndexEntry) -> (Kept, Vec<Dropped>) {
        let (bytes_max, versions_max) = (self.bytes_max, self.versions_max);
        let (names, mut counts) = self.parts(name);
        let (newest_bytes, bytes) = (counts.totals.newest_bytes(), counts.totals.bytes);
        let cost_of_entry = cost(name, &entry);
        let at = match names.find(name.as_str()) {
            Ok(at) => at,
            Err(_) if newest_bytes + cost_of_entry > bytes_max => return (Kept::Full, Vec::new()),
            Err(at) => {
                names.insert(at, name.as_str(), counts.first(name, entry));
                return (Kept::New, self.make_way(name, Vec::new()));
            }
        };
        let held = Versions::new(names.get(at), counts.nodes);
        if !held.takes(entry.version, versions_max) {
            return (Kept::Old, Vec::new());
        }
        let kept = match held.newest() {
            newest if newest.version > entry.version => {
                let oldest = held.oldest().filter(|_| held.count() == versions_max);
                let freed = oldest.map_or(0, |it| cost(name, &it));
                if bytes - freed + cost_of_entry > bytes_max {
                    return (Kept::Old, Vec::new());
                }
                Kept::Older
            }
            newest if newest_bytes - cost(name, &newest) + cost_of_entry > bytes_max => {
                return (Kept::Full, Vec::new());
            }
            _ => Kept::New,
        };
        let mut dropped = Vec::new();
        let held = names.get_mut(at);
        counts.insert(name, held, entry);
        while 1 + held.older().len() > versions_max {
            dropped.extend(counts.pop_oldest(name, held).map(|it| (name.clone(), it)));
        }
        (kept, self.make_way(name, dropped))
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
            if takes && (is_newest || self.totals.bytes + cost(&name, &entry) <= self.bytes_max) {
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
            let is_deleted = |it: &IndexEntry| it.version <= tombstone;
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
        let freed = self.get(name).map_or(0, |held| cost(name, &held));
        let newest = self.totals.newest_bytes() - freed;
        let cost = content_bytes.saturating_add(name.as_str().len() + ENTRY_BYTES);
        newest.saturating_add(cost) <= self.bytes_max
    }

    /// Whether there is room for an older version of this many bytes, without another that makes way.
    pub fn has_room_beside(&self, name: &Name, content_bytes: usize) -> bool {
        let cost = content_bytes.saturating_add(name.as_str().len() + ENTRY_BYTES);
        self.totals.bytes.saturating_add(cost) <= self.bytes_max
    }

    /// Whether the index holds this version of a name, or would not enter it because of later ones.
    pub fn is_old(&self, name: &Name, version: Version) -> bool {
        self.versions(name).is_some_and(|it| !it.takes(version, self.versions_max))
    }

    /// How many names there are whose newest version is a file.
    pub fn len(&self) -> usize {
        self.totals.files
    }

    /// Whether nothing is held, not even a tombstone.
    pub fn is_empty(&self) -> bool {
        self.totals.bytes == 0
    }

    /// Bytes in use, as counted against the limit.
    pub fn bytes(&self) -> usize {
        self.totals.bytes
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
        self.totals.digest
    }

    /// The digest of all versions.
    pub fn history(&self) -> Digest {
        self.totals.history
    }

    /// The digest of all versions in each bucket.
    pub fn digests(&self) -> Vec<Digest> {
        self.buckets.iter().map(|bucket| bucket.counts.digest).collect()
    }

    /// The names of one bucket that come after `after`, in order, with their versions.
    pub fn bucket(
        &self,
        bucket: u8,
        after: Option<&Name>,
    ) -> impl Iterator<Item = (Name, Versions<'_>)> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
        let names = self.buckets[usize::from(bucket)].names.range(from);
        names.map(|(name, held)| (Name::known(name), Versions::new(held, &self.nodes)))
    }

    /// All files whose names begin with `prefix` and come after `after`, in order of their names: of
    /// each the newest version. What was deleted is not among them.
    pub fn list(&self, prefix: &str, after: &str) -> impl Iterator<Item = (Name, IndexEntry)> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let newest = |(name, held): (_, &PackedVersions)| (name, self.nodes.unpack(held.newest()));
        let mut rows: Vec<_> = (self.buckets.iter())
            .map(|bucket| bucket.names.range(from).map(newest))
            .map(|row| row.filter(|(_, held)| !held.is_tombstone()).peekable())
            .collect();
        let mut heads = BinaryHeap::new();
        for (i, row) in rows.iter_mut().enumerate() {
            heads.extend(row.peek().map(|(name, _)| Reverse((*name, i))));
        }
        std::iter::from_fn(move || {
            let Reverse((name, i)) = heads.pop()?;
            let (_, held) = rows[i].next()?;
            heads.extend(rows[i].peek().map(|(name, _)| Reverse((*name, i))));
            name.starts_with(prefix).then(|| (Name::known(name), held))
        })
    }

    /// Every version of every name, in no particular order.
    pub fn all(&self) -> impl Iterator<Item = (Name, IndexEntry)> {
        let names = self.buckets.iter().flat_map(|bucket| bucket.names.range(Bound::Unbounded));
        names.flat_map(|(name, held)| {
            let name = Name::known(name);
            Versions::new(held, &self.nodes).iter().map(move |entry| (name.clone(), entry))
        })
    }

    /// The same without the names.
    pub fn entries(&self) -> impl Iterator<Item = IndexEntry> {
        let held = self.buckets.iter().flat_map(|bucket| bucket.names.all());
        held.flat_map(|held| Versions::new(held, &self.nodes).iter())
    }

    /// Enters a version that its name takes, whatever room there is.
    fn insert(&mut self, name: &Name, entry: IndexEntry) {
        let (names, mut counts) = self.parts(name);
        match names.find(name.as_str()) {
            Ok(at) => counts.insert(name, names.get_mut(at), entry),
            Err(at) => names.insert(at, name.as_str(), counts.first(name, entry)),
        }
    }

    /// Takes out one version of a name.
    pub fn remove(&mut self, name: &Name, ticket: Ticket) -> Option<Dropped> {
        let (names, mut counts) = self.parts(name);
        let at = names.find(name.as_str()).ok()?;
        let removed = match counts.remove(name, names.get_mut(at), ticket) {
            Ok(removed) => removed?,
            Err(()) => counts.last(name, names.remove(at)),
        };
        Some((name.clone(), removed))
    }

    /// Takes out the oldest version of a name, unless that is the newest too.
    fn pop_oldest(&mut self, name: &Name) -> Option<Dropped> {
        let (names, mut counts) = self.parts(name);
        let at = names.find(name.as_str()).ok()?;
        counts.pop_oldest(name, names.get_mut(at)).map(|it| (name.clone(), it))
    }

    /// Takes out older versions until there is room for what is here, those of this name first.
    fn make_way(&mut self, name: &Name, mut dropped: Vec<Dropped>) -> Vec<Dropped> {
        while self.totals.bytes > self.bytes_max {
            let evicted = self.pop_oldest(name).or_else(|| self.evict());
            dropped.push(evicted.expect("without older versions it fits"));
        }
        dropped
    }

    /// Takes out an older version of any name.
    fn evict(&mut self) -> Option<Dropped> {
        for _ in 0..BUCKETS {
            let bucket = &self.buckets[self.evicts_at];
            if bucket.counts.older > 0 {
                let mut names = bucket.names.range(Bound::Unbounded);
                let name = names.find(|(_, held)| !held.older().is_empty());
                let name = Name::known(name.expect("it counts older versions").0);
                drop(names);
                return self.pop_oldest(&name);
            }
            self.evicts_at = (self.evicts_at + 1) % BUCKETS;
        }
        None
    }

    /// The names of the bucket of this one, and what is counted when their versions change.
    fn parts(&mut self, name: &Name) -> (&mut Names, Counts<'_>) {
        let Bucket { names, counts } = &mut self.buckets[bucket_of(name)];
        let (nodes, totals, tombstones) = (&mut self.nodes, &mut self.totals, &mut self.tombstones);
        (names, Counts { bucket: counts, nodes, totals, tombstones })
    }
}

/// What is counted when the versions of a name change. A version counts among the older ones from when
/// it comes, but for the time in which it is the newest.
struct Counts<'a> {
    bucket: &'a mut BucketCounts,
    nodes: &'a mut Nodes,
    totals: &'a mut Totals,
    tombstones: &'a mut BTreeSet<(Version, Name)>,
}

impl Totals {
    /// Of the newest version of each name.
    fn newest_bytes(&self) -> usize {
        self.bytes - self.older_bytes
    }
}

impl Counts<'_> {
    /// The first version of a name.
    fn first(&mut self, name: &Name, entry: IndexEntry) -> PackedVersions {
        let digest = self.has_come(name, &entry);
        self.begin_newest(name, &entry, digest);
        PackedVersions::new(self.nodes.pack(&entry))
    }

    /// Enters a version that these take.
    fn insert(&mut self, name: &Name, held: &mut PackedVersions, entry: IndexEntry) {
        let digest = self.has_come(name, &entry);
        let before = self.nodes.unpack(held.newest());
        held.insert(&entry, self.nodes);
        if before.version < entry.version {
            self.end_newest(name, &before);
            self.begin_newest(name, &entry, digest);
        }
    }

    /// Takes out the oldest of these, unless it is the only one.
    fn pop_oldest(&mut self, name: &Name, held: &mut PackedVersions) -> Option<IndexEntry> {
        held.pop_oldest().map(|oldest| self.has_gone(name, oldest))
    }

    /// Takes out one of these. `Err`: it is the only one, and stays.
    fn remove(
        &mut self,
        name: &Name,
        held: &mut PackedVersions,
        ticket: Ticket,
    ) -> Result<Option<IndexEntry>, ()> {
        let before = *held.newest();
        let Some(removed) = held.remove(ticket)? else { return Ok(None) };
        if removed.ticket == before.ticket {
            self.end_newest(name, &self.nodes.unpack(&before));
            let newest = self.nodes.unpack(held.newest());
            self.begin_newest(name, &newest, Digest::of(name, newest.version));
        }
        Ok(Some(self.has_gone(name, removed)))
    }

    /// The last version of a name, which goes with it.
    fn last(&mut self, name: &Name, held: PackedVersions) -> IndexEntry {
        self.end_newest(name, &self.nodes.unpack(held.newest()));
        self.has_gone(name, *held.newest())
    }

    fn has_come(&mut self, name: &Name, entry: &IndexEntry) -> Digest {
        let digest = Digest::of(name, entry.version);
        self.bucket.digest.add(digest);
        self.bucket.older += 1;
        self.totals.history.add(digest);
        self.totals.bytes += cost(name, entry);
        self.totals.older_bytes += cost(name, entry);
        if entry.is_tombstone() {
            self.tombstones.insert((entry.version, name.clone()));
        }
        digest
    }

    fn has_gone(&mut self, name: &Name, packed: PackedEntry) -> IndexEntry {
        let entry = self.nodes.take(packed);
        let digest = Digest::of(name, entry.version);
        self.bucket.digest.subtract(digest);
        self.bucket.older -= 1;
        self.totals.history.subtract(digest);
        self.totals.bytes -= cost(name, &entry);
        self.totals.older_bytes -= cost(name, &entry);
        if entry.is_tombstone() {
            self.tombstones.remove(&(entry.version, name.clone()));
        }
        entry
    }

    fn begin_newest(&mut self, name: &Name, entry: &IndexEntry, digest: Digest) {
        self.bucket.older -= 1;
        self.totals.digest.add(digest);
        self.totals.files += usize::from(!entry.is_tombstone());
        self.totals.older_bytes -= cost(name, entry);
    }

    fn end_newest(&mut self, name: &Name, entry: &IndexEntry) {
        self.bucket.older += 1;
        self.totals.digest.subtract(Digest::of(name, entry.version));
        self.totals.files -= usize::from(!entry.is_tombstone());
        self.totals.older_bytes += cost(name, entry);
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
mod tests;
