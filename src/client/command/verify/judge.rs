//! In what the nodes differ about one name: pure.

use std::{fmt, net::SocketAddr};

use blake3::Hash;

use crate::ring::{message::FileRow, version::Version};

/// Versions of one name that a line shows.
const SHOWN_MAX: usize = 3;

/// What a node holds of a name: its versions, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldByNode {
    pub node: SocketAddr,
    pub versions: Vec<FileRow>,
}

/// What a folder holds of a name. `None`: nothing.
pub(super) type HeldByFolder = Option<Hash>;

/// One who differs, and in what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// `None`: the folder.
    pub node: Option<SocketAddr>,
    pub what: What,
}

/// What is different from the newest version that any node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// There is nothing.
    Lacks,
    /// There is an older version.
    Older { has: Version, newest: Version },
    /// There is a deletion, and a newer version elsewhere.
    DeletedBefore { has: Version, newest: Version },
    /// There is a file, and a newer deletion elsewhere.
    NotDeleted { has: Version, deleted: Version },
    /// The version is the same, and the bytes are not.
    OtherBytes { has: Hash, other: Hash },
    /// The node knows the version and has not its bytes.
    NoBytes,
    /// Of the folder: it has other bytes.
    FolderDiffers,
    /// Of the folder: the ring has no such file.
    FolderAlone,
    /// These earlier versions are not there.
    LacksVersions(Vec<Version>),
}

impl What {
    /// A word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Lacks => "lacks",
            Self::Older { .. } => "older",
            Self::DeletedBefore { .. } => "deleted-before",
            Self::NotDeleted { .. } => "not-deleted",
            Self::OtherBytes { .. } | Self::FolderDiffers => "other-bytes",
            Self::NoBytes => "no-bytes",
            Self::FolderAlone => "alone",
            Self::LacksVersions(_) => "lacks-versions",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks => f.write_str("lacks it"),
            Self::Older { has, newest } => {
                write!(f, "has the older version {has}; the newest is {newest}")
            }
            Self::DeletedBefore { has, newest } => {
                write!(f, "has the deletion {has}; the newest version is {newest}")
            }
            Self::NotDeleted { has, deleted } => {
                write!(f, "has version {has}, which was deleted in {deleted}")
            }
            Self::OtherBytes { has, other } => {
                write!(f, "has other bytes of the same version: {has}, and others have {other}")
            }
            Self::NoBytes => f.write_str("knows its version and has not its bytes"),
            Self::FolderDiffers => f.write_str("has other bytes than the ring"),
            Self::FolderAlone => f.write_str("has it, and the ring has not"),
            Self::LacksVersions(versions) => {
                let shown = versions.iter().take(SHOWN_MAX).map(ToString::to_string);
                let shown = shown.collect::<Vec<_>>().join(", ");
                write!(f, "lacks earlier versions: {shown}")?;
                match versions.len().saturating_sub(SHOWN_MAX) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

/// Who differs, and in what. `folder`: if one is compared, what it holds. `compares_versions`: whether
/// earlier versions count.
pub(super) fn differences(
    nodes: &[HeldByNode],
    folder: Option<HeldByFolder>,
    compares_versions: bool,
) -> Vec<Difference> {
    let firsts = || nodes.iter().filter_map(|held| held.versions.first());
    let newest = firsts().max_by_key(|row| row.version);
    let hash = newest.and_then(|newest| {
        firsts().filter(|row| row.version == newest.version).find_map(|row| row.hash)
    });
    let mut found: Vec<Difference> = nodes
        .iter()
        .filter_map(|held| {
            let what = newest.and_then(|it| of_node(held.versions.first(), it, hash))?;
            Some(Difference { node: Some(held.node), what })
        })
        .collect();
    if let Some(folder) = folder {
        let has_file = newest.is_some_and(|row| row.bytes.is_some());
        let what = match (folder, has_file) {
            (None, false) => None,
            (None, true) => Some(What::Lacks),
            (Some(_), false) => Some(What::FolderAlone),
            (Some(folder), true) => (Some(folder) != hash).then_some(What::FolderDiffers),
        };
        found.extend(what.map(|what| Difference { node: None, what }));
    }
    if compares_versions {
        found.extend(earlier(nodes));
    }
    found
}

fn of_node(held: Option<&FileRow>, newest: &FileRow, hash: Option<Hash>) -> Option<What> {
    let is_deleted = newest.bytes.is_none();
    let Some(held) = held else { return (!is_deleted).then_some(What::Lacks) };
    let (has, newest) = (held.version, newest.version);
    match (held.bytes.is_none(), has == newest) {
        (true, true) => None,
        (true, false) => (!is_deleted).then_some(What::DeletedBefore { has, newest }),
        (false, false) if is_deleted => Some(What::NotDeleted { has, deleted: newest }),
        (false, false) => Some(What::Older { has, newest }),
        (false, true) => match (held.hash, hash) {
            (None, _) => Some(What::NoBytes),
            (Some(has), Some(other)) if has != other => Some(What::OtherBytes { has, other }),
            _ => None,
        },
    }
}

/// Who lacks versions that others hold, apart from the newest.
fn earlier(nodes: &[HeldByNode]) -> impl Iterator<Item = Difference> {
    let mut all: Vec<Version> =
        nodes.iter().flat_map(|held| held.versions.iter().skip(1)).map(|row| row.version).collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    all.dedup();
    nodes.iter().filter_map(move |held| {
        let has = |version: &&Version| held.versions.iter().any(|row| row.version == **version);
        let lacks: Vec<Version> = all.iter().filter(|it| !has(it)).copied().collect();
        let what = What::LacksVersions(lacks.clone());
        (!lacks.is_empty()).then_some(Difference { node: Some(held.node), what })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::name::Name;

    fn version(number: u64) -> Version {
        format!("{number:016x}@127.0.1.1:1").parse().unwrap()
    }

    fn file(number: u64, content: Option<&str>) -> FileRow {
        let hash = content.map(|it| blake3::hash(it.as_bytes()));
        let name = Name::new("x").unwrap();
        FileRow { name, version: version(number), bytes: Some(1), hash }
    }

    fn deletion(number: u64) -> FileRow {
        FileRow { bytes: None, hash: None, ..file(number, None) }
    }

    /// What is said of each node that differs, by its number.
    fn said(nodes: &[&[FileRow]], folder: Option<HeldByFolder>, all: bool) -> Vec<String> {
        let held: Vec<_> = nodes
            .iter()
            .zip(1..)
            .map(|(versions, port)| HeldByNode {
                node: SocketAddr::from(([127, 0, 1, 1], port)),
                versions: versions.to_vec(),
            })
            .collect();
        let who = |node: Option<SocketAddr>| node.map_or(0, |node| node.port());
        let found = differences(&held, folder, all).into_iter();
        found.map(|it| format!("{} {}", who(it.node), it.what.word())).collect()
    }

    #[test]
    fn nodes_that_hold_the_same_do_not_differ() {
        let one = [file(1, Some("a"))];
        assert!(said(&[&one, &one], Some(Some(blake3::hash(b"a"))), true).is_empty());
        assert!(said(&[&[deletion(1)], &[]], Some(None), false).is_empty());
        assert!(said(&[&[deletion(2)], &[deletion(1)]], None, false).is_empty());
        assert!(said(&[], None, true).is_empty());
    }

    #[test]
    fn each_who_differs_from_the_newest_is_named() {
        let new = [file(2, Some("a"))];
        assert_eq!(said(&[&new, &[]], None, false), ["2 lacks"]);
        assert_eq!(said(&[&[file(1, Some("a"))], &new], None, false), ["1 older"]);
        assert_eq!(said(&[&[deletion(1)], &new], None, false), ["1 deleted-before"]);
        assert_eq!(said(&[&new, &[deletion(3)], &[]], None, false), ["1 not-deleted"]);
        assert_eq!(said(&[&new, &[file(2, Some("b"))]], None, false), ["2 other-bytes"]);
        assert_eq!(said(&[&[file(2, None)], &new], None, false), ["1 no-bytes"]);
        let [a, b] = ["a", "b"].map(|it| Some(blake3::hash(it.as_bytes())));
        assert_eq!(said(&[&new], Some(b), false), ["0 other-bytes"]);
        assert_eq!(said(&[&new], Some(None), false), ["0 lacks"]);
        assert_eq!(said(&[&[]], Some(a), false), ["0 alone"]);
    }

    #[test]
    fn earlier_versions_count_if_that_is_wanted() {
        let (long, short) = ([file(3, Some("a")), deletion(2)], [file(3, Some("a"))]);
        assert!(said(&[&long, &short], None, false).is_empty());
        assert_eq!(said(&[&long, &short], None, true), ["2 lacks-versions"]);
        let what = What::LacksVersions((1..6).map(version).collect());
        assert!(what.to_string().ends_with(" and 2 more"), "{what}");
    }
}
