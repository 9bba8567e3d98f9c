//! The format of a log: a header, then records, one after the other.
//!
//! ```text
//! header  "smolring"  format u32  number u32  key [32]  before: number u32, bytes u32  check [8]
//! record  check [8]  kind u8  node length u8  name length u16  payload length u32
//!         synced u32  moved from: log u32, offset u32  offset u32  stamp u64
//!         then   hash [32]     of a content
//!                bytes u64     of a content in a file of its own
//!                node          of the version, as text
//!                name
//!         then   the payload: a small content, or deaths, each a log u32 and an offset u32
//! ```
//!
//! All numbers are little-endian. The *head* of a record is all before the payload of a small content,
//! and includes that of deaths. `check` is BLAKE3 over the head, under the key of the log; the content
//! has a hash in the head. So nothing is hashed twice, and a head tells how long the record is even if
//! its content is damaged. The key is random, and the head contains its own offset: no bytes that a
//! client makes up, and none that were left from another file, can pass for a record.
//!
//! `synced` is how much of the log was surely on the disk when the record was written. What cannot be
//! read, and is before that, is damage; what is after it may be a write that power loss has torn.
//!
//! *Deaths* say which records count no more. They are physical places, not names: so they are needed
//! as long as the log with the place exists, and not a day longer, however versions come and go.

use std::net::SocketAddr;

use blake3::Hash;

use super::limits::{DEATHS_PER_RECORD_MAX, FORMAT, SMALL_BYTES_CEILING};
use crate::ring::{
    name::Name,
    version::{Stamp, Version},
};

/// The length of a log's header.
pub const HEADER_BYTES: u32 = 64;
/// The least that a record has.
pub const RECORD_BYTES_MIN: usize = 40;
/// The longest head of a record with a name.
pub const HEAD_BYTES_MAX: usize = RECORD_BYTES_MIN + 32 + 8 + u8::MAX as usize + 1024;

const MAGIC: &[u8; 8] = b"smolring";
const SMALL: u8 = 1;
const LARGE: u8 = 2;
const TOMBSTONE: u8 = 3;
const DEATHS: u8 = 4;

/// A place on the disk: where a record begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Spot {
    /// The number of the log. The first one is 1.
    pub log: u32,
    /// Bytes from its beginning.
    pub offset: u32,
}

/// What a log says of itself at its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogHeader {
    /// Its number. A later log has a greater one; none is used twice.
    pub number: u32,
    /// The key of its checks.
    pub key: [u8; 32],
    /// The log that was written to before, and how long that was; 0: there was none.
    pub before: Spot,
}

/// Why a header is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadHeader {
    /// Nothing of it makes sense.
    Damaged,
    /// A later version of this program has written it.
    NewerFormat(u32),
}

impl LogHeader {
    /// The header as bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.key);
        bytes[48..52].copy_from_slice(&self.before.log.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.before.offset.to_le_bytes());
        let check = check(&[0; 32], &bytes[..56]);
        bytes[56..].copy_from_slice(&check);
        bytes
    }

    /// Reads a header from the beginning of a log.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes: &[u8; HEADER_BYTES as usize] = bytes.first_chunk().ok_or(BadHeader::Damaged)?;
        if bytes[..8] != *MAGIC || bytes[56..] != check(&[0; 32], &bytes[..56]) {
            return Err(BadHeader::Damaged);
        }
        match u32_at(bytes, 8) {
            FORMAT => {}
            newer if newer > FORMAT => return Err(BadHeader::NewerFormat(newer)),
            _ => return Err(BadHeader::Damaged),
        }
        let key = bytes[16..48].try_into().expect("32 bytes");
        let before = Spot { log: u32_at(bytes, 48), offset: u32_at(bytes, 52) };
        Ok(Self { number: u32_at(bytes, 12), key, before })
    }
}

/// What a record is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordKind {
    /// A version of a name.
    Version {
        /// The name.
        name: Name,
        /// The version.
        version: Version,
        /// What it is.
        value: RecordValue,
    },
    /// Records that count no more.
    Deaths(Vec<Spot>),
}

/// What a version is, without the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordValue {
    /// A content that follows the head.
    Small {
        /// Its BLAKE3.
        hash: Hash,
        /// Its length.
        bytes: u32,
    },
    /// A content in a file of its own.
    Large {
        /// Its BLAKE3.
        hash: Hash,
        /// Its length.
        bytes: u64,
    },
    /// The name was deleted.
    Tombstone,
}

/// The head of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Where the record begins in its log.
    pub offset: u32,
    /// How much of the log was surely on the disk when it was written.
    pub synced: u32,
    /// The record that this one replaces, as a death would end it.
    pub moved_from: Option<Spot>,
    /// What it is about.
    pub kind: RecordKind,
}

impl Head {
    /// Appends the head, as it is under the key of its log.
    pub fn encode(&self, key: &[u8; 32], into: &mut Vec<u8>) {
        let start = into.len();
        into.resize(start + RECORD_BYTES_MIN, 0);
        let (mut node_bytes, mut name_bytes, mut payload_bytes, mut stamp) = (0, 0, 0, 0);
        let kind = match &self.kind {
            RecordKind::Deaths(deaths) => {
                debug_assert!(deaths.len() <= DEATHS_PER_RECORD_MAX);
                payload_bytes = 8 * deaths.len() as u32;
                for spot in deaths {
                    into.extend_from_slice(&spot.log.to_le_bytes());
                    into.extend_from_slice(&spot.offset.to_le_bytes());
                }
                DEATHS
            }
            RecordKind::Version { name, version, value } => {
                let kind = match value {
                    RecordValue::Small { hash, bytes } => {
                        into.extend_from_slice(hash.as_bytes());
                        payload_bytes = *bytes;
                        SMALL
                    }
                    RecordValue::Large { hash, bytes } => {
                        into.extend_from_slice(hash.as_bytes());
                        into.extend_from_slice(&bytes.to_le_bytes());
                        LARGE
                    }
                    RecordValue::Tombstone => TOMBSTONE,
                };
                let before = into.len();
                into.extend_from_slice(version.node.to_string().as_bytes());
                node_bytes = into.len() - before;
                into.extend_from_slice(name.as_str().as_bytes());
                name_bytes = name.as_str().len();
                stamp = version.stamp.0;
                kind
            }
        };
        let head = &mut into[start..];
        let moved_from = self.moved_from.unwrap_or(Spot { log: 0, offset: 0 });
        // The text of an address has at most 58 bytes, and a name is bounded.
        head[8] = kind;
        head[9] = node_bytes as u8;
        head[10..12].copy_from_slice(&(name_bytes as u16).to_le_bytes());
        head[12..16].copy_from_slice(&payload_bytes.to_le_bytes());
        head[16..20].copy_from_slice(&self.synced.to_le_bytes());
        head[20..24].copy_from_slice(&moved_from.log.to_le_bytes());
        head[24..28].copy_from_slice(&moved_from.offset.to_le_bytes());
        head[28..32].copy_from_slice(&self.offset.to_le_bytes());
        head[32..40].copy_from_slice(&stamp.to_le_bytes());
        let check = check(key, &head[8..]);
        head[..8].copy_from_slice(&check);
    }

    /// Reads a head from bytes that begin with it. With it comes its length. `None`: there is no valid
    /// head here.
    pub fn decode(bytes: &[u8], key: &[u8; 32], offset: u32) -> Option<(Self, usize)> {
        let head = bytes.get(..head_bytes(bytes, offset)?)?;
        (head[..8] == check(key, &head[8..])).then(|| Self::parse(head, offset))?
    }

    /// The same for bytes that were checked before.
    pub fn parse(bytes: &[u8], offset: u32) -> Option<(Self, usize)> {
        let length = head_bytes(bytes, offset)?;
        let head = bytes.get(..length)?;
        let moved_from = Spot { log: u32_at(head, 20), offset: u32_at(head, 24) };
        let kind = match head[8] {
            DEATHS => {
                let deaths = head[RECORD_BYTES_MIN..].chunks_exact(8);
                let spots = deaths.map(|it| Spot { log: u32_at(it, 0), offset: u32_at(it, 4) });
                RecordKind::Deaths(spots.collect())
            }
            kind => version_of(head, kind)?,
        };
        let moved_from = (moved_from.log != 0).then_some(moved_from);
        Some((Self { offset, synced: u32_at(head, 16), moved_from, kind }, length))
    }

    /// The bytes of content that follow the head.
    pub fn content_bytes(&self) -> u32 {
        match self.kind {
            RecordKind::Version { value: RecordValue::Small { bytes, .. }, .. } => bytes,
            _ => 0,
        }
    }

    /// The length that the head has, encoded.
    #[cfg(test)]
    pub fn head_bytes(&self) -> usize {
        let fields = match &self.kind {
            RecordKind::Deaths(deaths) => 8 * deaths.len(),
            RecordKind::Version { name, version, value } => {
                let value_bytes = match value {
                    RecordValue::Small { .. } => 32,
                    RecordValue::Large { .. } => 40,
                    RecordValue::Tombstone => 0,
                };
                value_bytes + name.as_str().len() + version.node.to_string().len()
            }
        };
        RECORD_BYTES_MIN + fields
    }
}

/// How long a head is that may begin here: as long as its fields say, if these can be true.
fn head_bytes(bytes: &[u8], offset: u32) -> Option<usize> {
    let fixed: &[u8; RECORD_BYTES_MIN] = bytes.first_chunk()?;
    if u32_at(fixed, 28) != offset {
        return None;
    }
    let (node_bytes, name_bytes) = (usize::from(fixed[9]), usize::from(u16_at(fixed, 10)));
    let payload_bytes = u32_at(fixed, 12) as usize;
    let names = node_bytes + name_bytes;
    let fields = match fixed[8] {
        SMALL if payload_bytes <= SMALL_BYTES_CEILING => 32 + names,
        LARGE if payload_bytes == 0 => 40 + names,
        TOMBSTONE if payload_bytes == 0 => names,
        DEATHS if payload_bytes.is_multiple_of(8) && names == 0 => payload_bytes,
        _ => return None,
    };
    let length = RECORD_BYTES_MIN + fields;
    let is_possible = match fixed[8] {
        DEATHS => payload_bytes <= 8 * DEATHS_PER_RECORD_MAX,
        _ => length <= HEAD_BYTES_MAX,
    };
    is_possible.then_some(length)
}

/// What a head of a version says, if that is valid.
fn version_of(head: &[u8], kind: u8) -> Option<RecordKind> {
    let hash = |at: &[u8]| at.first_chunk().map(|it: &[u8; 32]| Hash::from_bytes(*it));
    let fields = &head[RECORD_BYTES_MIN..];
    let (value, names) = match kind {
        SMALL => (RecordValue::Small { hash: hash(fields)?, bytes: u32_at(head, 12) }, 32),
        LARGE => {
            let bytes = u64::from_le_bytes(*fields.get(32..)?.first_chunk()?);
            (RecordValue::Large { hash: hash(fields)?, bytes }, 40)
        }
        _ => (RecordValue::Tombstone, 0),
    };
    let (node, name) = fields.get(names..)?.split_at_checked(usize::from(head[9]))?;
    let node: SocketAddr = std::str::from_utf8(node).ok()?.parse().ok()?;
    let name = Name::new(std::str::from_utf8(name).ok()?).ok()?;
    let stamp = Stamp(u64::from_le_bytes(*head[32..].first_chunk()?));
    Some(RecordKind::Version { name, version: Version { stamp, node }, value })
}

/// Heads that follow each other, checked before, each with its length in bytes. It ends where there is
/// none.
pub fn heads(mut bytes: &[u8]) -> impl Iterator<Item = (Head, usize)> {
    std::iter::from_fn(move || {
        let offset = u32::from_le_bytes(*bytes.get(28..)?.first_chunk()?);
        let (head, length) = Head::parse(bytes, offset)?;
        bytes = &bytes[length..];
        Some((head, length))
    })
}

/// How many of these bytes are whole heads that follow each other.
pub fn whole_heads(bytes: &[u8]) -> usize {
    let mut whole = 0;
    while let Some(fixed) = bytes[whole..].first_chunk::<RECORD_BYTES_MIN>()
        && let Some(length) = head_bytes(fixed, u32_at(fixed, 28))
        && length <= bytes.len() - whole
    {
        whole += length;
    }
    whole
}

/// Which records are ended by heads that follow each other and were checked before.
pub fn ended_by(mut bytes: &[u8], mut end: impl FnMut(Spot)) {
    while let Some(fixed) = bytes.first_chunk::<RECORD_BYTES_MIN>() {
        let Some(length) = head_bytes(bytes, u32_at(fixed, 28)) else { return };
        if u32_at(fixed, 20) != 0 {
            end(Spot { log: u32_at(fixed, 20), offset: u32_at(fixed, 24) });
        }
        if fixed[8] == DEATHS {
            let deaths = bytes[RECORD_BYTES_MIN..length].chunks_exact(8);
            deaths.for_each(|it| end(Spot { log: u32_at(it, 0), offset: u32_at(it, 4) }));
        }
        bytes = &bytes[length..];
    }
}

/// Whether a record may begin here, as far as can be told at a glance.
pub fn may_be_head(bytes: &[u8], offset: u32) -> bool {
    head_bytes(bytes, offset).is_some()
}

/// The first 8 bytes of BLAKE3 under a key.
pub fn check(key: &[u8; 32], bytes: &[u8]) -> [u8; 8] {
    *blake3::keyed_hash(key, bytes).as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// A number in the middle of bytes that are long enough.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads() -> Vec<Head> {
        let version = Version { stamp: Stamp(77), node: "[fe80::1%3]:4043".parse().unwrap() };
        let name = Name::new("ä/".repeat(300).trim_end_matches('/')).unwrap();
        let hash = blake3::hash(b"x");
        let of = |value| RecordKind::Version { name: name.clone(), version, value };
        [
            of(RecordValue::Small { hash, bytes: 1 }),
            of(RecordValue::Large { hash, bytes: u64::MAX }),
            of(RecordValue::Tombstone),
            RecordKind::Deaths(vec![Spot { log: 1, offset: 64 }; DEATHS_PER_RECORD_MAX]),
            RecordKind::Deaths(Vec::new()),
        ]
        .into_iter()
        .map(|kind| {
            let moved_from = Some(Spot { log: 9, offset: 8 });
            Head { offset: 4000, synced: 64, moved_from, kind }
        })
        .collect()
    }

    #[test]
    fn a_head_that_is_written_is_read() {
        for head in heads() {
            let mut bytes = b"before".to_vec();
            head.encode(&[7; 32], &mut bytes);
            assert_eq!(bytes.len() - 6, head.head_bytes());
            bytes.extend_from_slice(b"behind");
            let length = head.head_bytes();
            assert_eq!(Head::decode(&bytes[6..], &[7; 32], 4000), Some((head, length)));
        }
    }

    #[test]
    fn a_head_is_valid_in_its_log_and_at_its_offset_only() {
        for head in heads() {
            let mut bytes = Vec::new();
            head.encode(&[7; 32], &mut bytes);
            assert_eq!(Head::decode(&bytes, &[8; 32], 4000), None);
            assert_eq!(Head::decode(&bytes, &[7; 32], 4001), None);
            bytes[28] += 1;
            assert_eq!(Head::decode(&bytes, &[7; 32], 4001), None);
        }
    }

    #[test]
    fn a_changed_or_cut_head_is_none() {
        for head in heads() {
            let mut bytes = Vec::new();
            head.encode(&[7; 32], &mut bytes);
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 300) {
                assert_eq!(Head::decode(&bytes[..at], &[7; 32], 4000), None);
                bytes[at] ^= 4;
                assert_eq!(Head::decode(&bytes, &[7; 32], 4000), None, "{at}");
                bytes[at] ^= 4;
            }
        }
    }

    #[test]
    fn a_header_is_read_or_refused() {
        let before = Spot { log: 3, offset: 999 };
        let header = LogHeader { number: 4, key: [5; 32], before };
        let mut bytes = header.encode();
        assert_eq!(LogHeader::decode(&bytes), Ok(header));
        for at in 0..bytes.len() {
            assert_eq!(LogHeader::decode(&bytes[..at]), Err(BadHeader::Damaged));
            bytes[at] ^= 1;
            assert_eq!(LogHeader::decode(&bytes), Err(BadHeader::Damaged));
            bytes[at] ^= 1;
        }
        bytes[8] = 2;
        let check = check(&[0; 32], &bytes[..56]);
        bytes[56..].copy_from_slice(&check);
        assert_eq!(LogHeader::decode(&bytes), Err(BadHeader::NewerFormat(2)));
    }
}
