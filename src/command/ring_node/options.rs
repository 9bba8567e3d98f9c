//! The options of `ring-node`, as they are typed.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use argh::{ArgsInfo, FromArgs};

use super::{durability::DurabilityWord, host_name::HostName, ring_name::RingName};
use crate::{
    cli::{ByteSize, Period},
    client::Node,
    serve::LogFormat,
};

/// Runs one node of a ring of tiny web servers: what is put into any node is kept by all of them.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               {command_name} --prev 127.0.1.1:4043\n\
               {command_name} --ip 0.0.0.0 --advertise 192.0.2.7:4043 --prev one.lan --prev two.lan",
    note = "The first node begins a ring; each further one is inserted after the member that it\n\
            names. A node that no member takes in waits, says why, and tries again. It prints its\n\
            list of members at every change, and runs until SIGTERM, SIGHUP or Ctrl-C; then it\n\
            answers what is in flight and leaves the ring in order. Another of these signals, a\n\
            second later, ends it at once.",
    error_code(0, "told to end"),
    error_code(1, "the address is taken, or it was told twice to end"),
    error_code(2, "the command line or the environment is wrong")
)]
pub(super) struct Options {
    /// address to listen on (default: 127.0.1.1, or 127.0.0.1 where there is no such address;
    /// environment: SMOLRING_IP)
    #[argh(option, arg_name = "ip")]
    pub ip: Option<IpAddr>,

    /// port to listen on, 0 for any free one (default: the first free one from 4043 on;
    /// environment: SMOLRING_PORT)
    #[argh(option, arg_name = "port")]
    pub port: Option<u16>,

    /// a member to be inserted after, port 4043 if only the host is given; repeat it to name
    /// others in case that one does not answer. This node itself may be among them, so that all
    /// nodes can have the same list: the first of the list begins the ring where it finds none
    /// (default: none, which begins a ring; environment: SMOLRING_PREV, several separated by
    /// commas)
    #[argh(option, arg_name = "host:port")]
    pub prev: Vec<Node>,

    /// address or name of one more such member (default: 127.0.1.1 if only the port is given;
    /// environment: SMOLRING_PREV_IP)
    #[argh(option, short = 'i', arg_name = "host")]
    pub prev_ip: Option<String>,

    /// port of that member (default: 4043 if only the address is given; environment:
    /// SMOLRING_PREV_PORT)
    #[argh(option, short = 'p', arg_name = "port")]
    pub prev_port: Option<u16>,

    /// name of the ring: nodes with different ones never become one ring; 1 to 64 letters,
    /// digits, `.`, `_` and `-` (default: smolring; environment: SMOLRING_RING)
    #[argh(option, arg_name = "name")]
    pub ring: Option<RingName>,

    /// this node is surely the first of its ring, and needs to wait for no other
    #[argh(switch)]
    pub bootstrap: bool,

    /// address and port by which the other nodes reach this one, needed with --ip 0.0.0.0
    /// (default: where it listens; environment: SMOLRING_ADVERTISE)
    #[argh(option, arg_name = "ip:port")]
    pub advertise: Option<SocketAddr>,

    /// how often the next node is checked (default: 1s, at most 20s; environment:
    /// SMOLRING_CHECK_INTERVAL)
    #[argh(option, arg_name = "time")]
    pub check_interval: Option<Period>,

    /// how long the next node may be silent before it counts as dead (default: 2s; environment:
    /// SMOLRING_CHECK_TIMEOUT)
    #[argh(option, arg_name = "time")]
    pub check_timeout: Option<Period>,

    /// how long a request may take before it is answered 504 (default: 10s; environment:
    /// SMOLRING_REQUEST_TIMEOUT)
    #[argh(option, arg_name = "time")]
    pub request_timeout: Option<Period>,

    /// how long a member that is gone is remembered, and looked for (default: 30d, at most 365d;
    /// environment: SMOLRING_FORGET_AFTER)
    #[argh(option, arg_name = "time")]
    pub forget_after: Option<Period>,

    /// how long a node that cannot reach the members that hold what it lacks stays not ready
    /// before it goes on without them (default: 30s, at most 365d; environment:
    /// SMOLRING_GIVE_UP_AFTER)
    #[argh(option, arg_name = "time")]
    pub give_up_after: Option<Period>,

    /// folder to keep files in; it is made if it is not there. A PUT is then answered when every member
    /// that has such a folder has it on its disk. A node that is started on its folder again goes back
    /// to its ring by itself, at the address that it had (default: none, files are kept in memory;
    /// environment: SMOLRING_DATA)
    #[argh(option, arg_name = "dir")]
    pub data: Option<PathBuf>,

    /// what a file that is kept survives: sync, the loss of power; os, the end of the process (default:
    /// sync; environment: SMOLRING_DURABILITY)
    #[argh(option, arg_name = "word")]
    pub durability: Option<DurabilityWord>,

    /// how many versions of a name are kept, deletions among them; older ones make way earlier where
    /// there is no room. The same at all nodes (default: 3, at most 64; environment:
    /// SMOLRING_KEEP_VERSIONS)
    #[argh(option, arg_name = "count")]
    pub keep_versions: Option<usize>,

    /// how long a deletion is remembered: a node that was away for longer may bring back what was
    /// deleted. The same at all nodes (default: 30d, at most 3650d; environment:
    /// SMOLRING_TOMBSTONE_TTL)
    #[argh(option, arg_name = "time")]
    pub tombstone_ttl: Option<Period>,

    /// refuse a PUT while fewer members than this are alive; more than half of all nodes keeps
    /// the two halves of a split ring from both accepting (default: 1; environment:
    /// SMOLRING_MIN_COPIES)
    #[argh(option, arg_name = "members")]
    pub min_copies: Option<usize>,

    /// largest file that a client may put (default: 16MiB, at most 256MiB; with --data: no limit;
    /// environment: SMOLRING_MAX_FILE_BYTES)
    #[argh(option, arg_name = "size")]
    pub max_file_bytes: Option<ByteSize>,

    /// room for files in memory or on the disk, 128 bytes for each included (default: 1GiB; with
    /// --data: the disk; environment: SMOLRING_MAX_STORE_BYTES)
    #[argh(option, arg_name = "size")]
    pub max_store_bytes: Option<ByteSize>,

    /// memory for everything that is in flight; without --data, at least --max-file-bytes (default:
    /// 256MiB; environment: SMOLRING_MAX_FLIGHT_BYTES)
    #[argh(option, arg_name = "size")]
    pub max_flight_bytes: Option<ByteSize>,

    /// name by which browsers reach this node, besides its addresses and localhost; requests for other
    /// hosts are refused, so that no web page can pass itself off as this node. * is any; repeat it for
    /// several (default: none; environment: SMOLRING_HOST, several separated by commas)
    #[argh(option, arg_name = "name")]
    pub host: Vec<HostName>,

    /// answer GET and HEAD over HTTP, and nothing that writes
    #[argh(switch)]
    pub read_only_http: bool,

    /// do not speak HTTP at all, only the line protocol
    #[argh(switch)]
    pub no_http: bool,

    /// let pages from the store act in a browser as this node's own: with fetch, modules and storage. Only
    /// where everyone who may put files is trusted
    #[argh(switch)]
    pub trust_pages: bool,

    /// how long a node that is told to end still serves before it leaves the ring; meanwhile it says
    /// that it is not ready (default: 0s, at most 1h; environment: SMOLRING_GRACE)
    #[argh(option, arg_name = "time")]
    pub grace: Option<Period>,

    /// what its lines look like: text, or json, each line an object with `time` and `message`
    /// (default: text; environment: SMOLRING_LOG_FORMAT)
    #[argh(option, arg_name = "format")]
    pub log_format: Option<LogFormat>,

    /// print where it listens and how it ends, and not what happens in the ring
    #[argh(switch)]
    pub quiet: bool,

    /// print every completed CHECK as well
    #[argh(switch)]
    pub verbose: bool,
}
