//! What a node answers a client: as a type, and as bytes. [`reply`](super::reply) reads them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{
    encode::Encode,
    files::{FileRow, push_files},
    line::{on_one_line, push_line},
    refusal::Refusal,
    rows::{Row, push_rows},
    trace::{WriteTrace, push_traces},
};
use crate::ring::{
    digits::Hex,
    index::Digest,
    item::{Content, Item, ItemValue, Ticket},
    limits::{LINE_BYTES_MAX, NAME_BYTES_MAX, PROTOCOL},
    version::Version,
};

/// What a client is answered.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// The circle of a PUT or a DELETE has closed.
    Stored {
        /// The version that the name now has.
        version: Version,
        /// How many live members hold it.
        copies: usize,
    },
    /// The file.
    Found(Item),
    /// A page of names.
    Listing {
        /// The newest version of each.
        files: Vec<FileRow>,
        /// Whether there are more.
        more: bool,
    },
    /// The versions of a name, the newest first.
    Log {
        /// All that the node holds.
        versions: Vec<FileRow>,
    },
    /// Where the time of the node's last writes went, the newest first.
    Traced {
        /// All that are remembered.
        traces: Vec<WriteTrace>,
    },
    /// The members, live ones first and in the order of the ring.
    Ring {
        /// What is known of each.
        members: Vec<Row>,
        /// The node that answers.
        me: SocketAddr,
    },
    /// The member is not sought any more.
    Forgotten {
        /// The member.
        address: SocketAddr,
    },
    /// The node is there.
    Pong {
        /// Its address.
        me: SocketAddr,
    },
    /// The node and its limits.
    Info(Box<Info>),
    /// Answer to QUIT.
    Bye,
    /// Everything that is not 200.
    Refused(Refusal),
}

/// What INFO answers.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "the names say it, and PROTOCOL.md has the units")]
pub struct Info {
    pub me: SocketAddr,
    pub ring: Arc<str>,
    pub state: &'static str,
    pub started_ms: u64,
    pub clock_off_ms: i64,
    pub ready: bool,
    pub full: bool,
    pub members: usize,
    pub files: usize,
    pub bytes: usize,
    pub digest: Digest,
    pub max_file_bytes: usize,
    pub max_store_bytes: usize,
    pub keep_versions: usize,
    pub tombstone_ttl: Duration,
    pub min_copies: usize,
    pub request_timeout: Duration,
}

impl Answer {
    /// Reads the file that is answered, if that is still in the store.
    pub fn read(&mut self, read: impl FnOnce(Ticket) -> Content) {
        if let Self::Found(item) = self {
            item.read(read);
        }
    }
}

impl Encode for Answer {
    fn encode(&self, out: &mut Vec<u8>) -> Option<&Content> {
        match self {
            Self::Stored { version, copies } => {
                push_line(out, format_args!("200 OK version={version} copies={copies}"));
            }
            Self::Found(Item { version, value: ItemValue::File { hash, body } }) => {
                let content = body.content();
                push_found(out, content.len() as u64, *version, *hash);
                return Some(content);
            }
            // No node answers like this.
            Self::Found(Item { version, value: ItemValue::Tombstone }) => {
                push_line(out, format_args!("404 NOT FOUND version={version} deleted=1"));
            }
            Self::Log { versions } => {
                let mut body = Vec::new();
                push_files(&mut body, versions);
                let (len, count) = (body.len(), versions.len());
                push_line(out, format_args!("200 OK len={len} count={count}"));
                out.extend_from_slice(&body);
            }
            Self::Listing { files, more } => {
                let mut body = Vec::new();
                push_files(&mut body, files);
                let (len, count, more) = (body.len(), files.len(), u8::from(*more));
                push_line(out, format_args!("200 OK len={len} count={count} more={more}"));
                out.extend_from_slice(&body);
            }
            Self::Traced { traces } => {
                let mut body = Vec::new();
                push_traces(&mut body, traces);
                let (len, count) = (body.len(), traces.len());
                push_line(out, format_args!("200 OK len={len} count={count}"));
                out.extend_from_slice(&body);
            }
            Self::Ring { members: rows, me } => {
                let mut body = Vec::new();
                push_rows(&mut body, rows, *me);
                let members = rows.iter().filter(|row| row.member.is_alive()).count();
                push_line(out, format_args!("200 OK len={} members={members}", body.len()));
                out.extend_from_slice(&body);
            }
            Self::Pong { me } => push_line(out, format_args!("200 OK node={me}")),
            Self::Info(info) => push_info(out, info),
            Self::Forgotten { address } => {
                push_line(out, format_args!("200 OK : {address} is not sought any more"));
            }
            Self::Bye => push_line(out, format_args!("200 OK : bye")),
            Self::Refused(Refusal { status, reason }) => {
                let ((code, words), reason) = (status.words(), on_one_line(reason));
                push_line(out, format_args!("{code} {words} : {reason}"));
            }
        }
        None
    }
}

/// Appends the line in front of a content, or of the rest of one.
pub(crate) fn push_found(out: &mut Vec<u8>, len: u64, version: Version, hash: blake3::Hash) {
    let hash = Hex(hash);
    push_line(out, format_args!("200 OK len={len} version={version} blake3={hash}"));
}

/// The same of a content that its client is still sending.
pub(crate) fn push_offered(out: &mut Vec<u8>, len: u64) {
    push_line(out, format_args!("200 OK len={len}"));
}

/// A limit, or that there is none.
fn limit(most: usize) -> String {
    match most {
        usize::MAX => "none".into(),
        most => most.to_string(),
    }
}

fn push_info(out: &mut Vec<u8>, info: &Info) {
    push_line(
        out,
        format_args!(
            "200 OK node={} ring={} protocol={PROTOCOL} version={} state={} started={} clock={:+} \
             ready={} full={} members={} files={} bytes={} digest={} \
             max-line-bytes={LINE_BYTES_MAX} max-name-bytes={NAME_BYTES_MAX} max-file-bytes={} \
             max-store-bytes={} keep-versions={} tombstone-ttl={} min-copies={} \
             request-timeout-ms={}",
            info.me,
            info.ring,
            env!("CARGO_PKG_VERSION"),
            info.state,
            info.started_ms,
            info.clock_off_ms,
            u8::from(info.ready),
            u8::from(info.full),
            info.members,
            info.files,
            info.bytes,
            info.digest,
            limit(info.max_file_bytes),
            limit(info.max_store_bytes),
            info.keep_versions,
            info.tombstone_ttl.as_secs(),
            info.min_copies,
            info.request_timeout.as_millis(),
        ),
    );
}
