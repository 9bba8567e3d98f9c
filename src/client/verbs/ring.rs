//! The verbs about nodes: the ring, its health, and one node.

use std::net::SocketAddr;

use argh::{ArgsInfo, FromArgs};

/// Shows the servers of the ring, and which members are gone.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "ring",
    help_triggers("-h", "--help"),
    note = "The first line has the live servers in their order, as the node that was asked knows\n\
            it: 127.0.1.1:4043(WS1) -> 127.0.1.1:4044(WS2) -> (WS1). Then come all members that\n\
            it knows: those that are gone may come back, those that left did so in order. READY\n\
            says whether a member holds what the ring holds, FULL whether its store is, CLOCK\n\
            how far its clock is from the ring's time; what is not known is `-`."
)]
pub(in crate::client) struct Ring {
    /// print one JSON object with all members; null is what is not known
    #[argh(switch)]
    pub json: bool,
}

/// Asks every node of the ring whether it is well, and says so in one line.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "status",
    help_triggers("-h", "--help"),
    note = "The first node that answers names the members; each of them is then asked, at the same\n\
            time. The ring is well when all that did not leave it in order are up and ready, hold\n\
            the same files, agree on the members, have room, and have the right time. What is wrong\n\
            is said in a line each. Exit code: 0 the ring is well, 1 it is not, 69 no\n\
            node answers."
)]
pub(in crate::client) struct Status {
    /// print one JSON object: well, verdict, problems, and all members
    #[argh(switch)]
    pub json: bool,
}

/// Lets the ring forget a member that is gone and will not come back.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "forget",
    help_triggers("-h", "--help"),
    example = "{command_name} 127.0.1.1:4045",
    note = "Exit code 3: the ring knows no such member. One that is alive is not forgotten."
)]
pub(in crate::client) struct Forget {
    /// address and port of the member, as `ring` shows it
    #[argh(positional, arg_name = "ip:port")]
    pub member: SocketAddr,
}

/// Measures the time to a node and back.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "ping",
    help_triggers("-h", "--help"),
    example = "{command_name} --count 10",
    note = "The time to connect is not part of it."
)]
pub(in crate::client) struct Ping {
    /// how many round trips to make, one after the other (default: 1)
    #[argh(option, default = "1")]
    pub count: u32,
}

/// Shows a node's ring, store and limits, one key=value a line.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "info",
    help_triggers("-h", "--help"),
    note = "PROTOCOL.md says what the keys mean."
)]
pub(in crate::client) struct Info {
    /// print one JSON object with all keys
    #[argh(switch)]
    pub json: bool,
}

/// Shows where the time of a node's last writes went, the newest first.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "trace",
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               {command_name} -i 127.0.1.1 -p 4044 --json",
    note = "Of each of the last 64 writes that the node was asked for: how long it was once round the\n\
            ring, and then until it was on the disks of all members; and of each member how long a\n\
            message usually takes to the next one (half of its round trip), and how long its disk\n\
            took. `-` is what is not known. A node alone in its ring has none."
)]
pub(in crate::client) struct Trace {
    /// print one JSON object: writes, and of each name, version, round_us, keep_us and hops; of each
    /// hop member, link_us and disk_us, all in microseconds; null is what is not known
    #[argh(switch)]
    pub json: bool,
}
