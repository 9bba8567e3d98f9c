//! SYNC: a node that catches up with another.

use super::{
    files::{FileRow, files, push_files},
    item::{item, push_item},
    line::{BadKey, Line, push_line},
    name::Name,
    refusal::Reject,
};
use crate::ring::{
    index::{BUCKETS, Digest},
    item::{Content, Item},
    version::{Stamp, Version},
};

/// Anti-entropy: a node asks its predecessor for what it lacks. Each question has one answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Sync {
    /// Question: the digests of all buckets.
    Buckets,
    /// Answer: one digest per bucket.
    Digests {
        /// In the order of the buckets.
        digests: Vec<Digest>,
    },
    /// Question: the names in a bucket.
    Names {
        /// Which bucket.
        bucket: u8,
        /// Only names after this one.
        after: Option<Name>,
    },
    /// Answer: all versions of the names in a bucket, in the order of the names, the newest first.
    Listed {
        /// Which bucket.
        bucket: u8,
        /// Whether there are more.
        more: bool,
        /// The versions.
        files: Vec<FileRow>,
    },
    /// Question: one version of a name.
    Pull {
        /// The name.
        name: Name,
        /// Which version; if it is no longer there, the newest.
        version: Version,
    },
    /// Answer: the version, unless nothing is there any more.
    Item {
        /// The name.
        name: Name,
        /// The version.
        item: Option<Item>,
    },
}

impl Sync {
    pub(super) fn encode(&self, stamp: Stamp, out: &mut Vec<u8>) -> Option<&Content> {
        match self {
            Self::Buckets => push_line(out, format_args!("SYNC BUCKETS stamp={stamp}")),
            Self::Digests { digests } => {
                let len = digests.len() * size_of::<Digest>();
                push_line(out, format_args!("SYNC DIGESTS stamp={stamp} len={len}"));
                out.extend(digests.iter().flat_map(|digest| digest.0.to_le_bytes()));
            }
            Self::Names { bucket, after } => {
                let after = after.as_ref().map(|after| format!(" after={}", after.wire()));
                let after = after.unwrap_or_default();
                push_line(out, format_args!("SYNC NAMES bucket={bucket} stamp={stamp}{after}"));
            }
            Self::Listed { bucket, more, files } => {
                let mut body = Vec::new();
                push_files(&mut body, files);
                let (more, len) = (u8::from(*more), body.len());
                let head = format_args!("SYNC LISTED bucket={bucket} more={more}");
                push_line(out, format_args!("{head} stamp={stamp} len={len}"));
                out.extend_from_slice(&body);
            }
            Self::Pull { name, version } => {
                let head = format_args!("SYNC PULL {} version={version}", name.wire());
                push_line(out, format_args!("{head} stamp={stamp}"));
            }
            Self::Item { name, item } => {
                let head = format_args!("SYNC ITEM {} stamp={stamp}", name.wire());
                return push_item(out, head, item.as_ref());
            }
        }
        None
    }
}

pub(super) fn digests(body: &[u8]) -> Result<Sync, Reject> {
    let (chunks, rest) = body.as_chunks();
    if chunks.len() != BUCKETS || !rest.is_empty() {
        return Err(BadKey("len").into());
    }
    let digests = chunks.iter().map(|chunk| Digest(u128::from_le_bytes(*chunk))).collect();
    Ok(Sync::Digests { digests })
}

pub(super) fn names(line: Line<'_>) -> Result<Sync, Reject> {
    let after = line.key("after").map(Name::from_wire).transpose();
    Ok(Sync::Names { bucket: bucket(line)?, after: after.map_err(|_| BadKey("after"))? })
}

pub(super) fn listed(line: Line<'_>, body: &[u8]) -> Result<Sync, Reject> {
    let (bucket, more) = (bucket(line)?, line.flag("more")?);
    Ok(Sync::Listed { bucket, more, files: files(body)? })
}

pub(super) fn pull(line: Line<'_>) -> Result<Sync, Reject> {
    Ok(Sync::Pull { name: line.name(2)?, version: line.parsed("version")? })
}

pub(super) fn file(line: Line<'_>) -> Result<Sync, Reject> {
    Ok(Sync::Item { name: line.name(2)?, item: item(line)? })
}

fn bucket(line: Line<'_>) -> Result<u8, BadKey> {
    u8::try_from(line.number("bucket")?).map_err(|_| BadKey("bucket"))
}
