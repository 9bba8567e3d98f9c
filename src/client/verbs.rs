//! The verbs of `ring-client`, each with its options, as they are typed.

use std::net::SocketAddr;

use argh::{ArgsInfo, FromArgs};

use super::bench::Bench;

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub(super) enum Verb {
    Put(Put),
    Get(Get),
    List(List),
    Ring(Ring),
    Status(Status),
    Forget(Forget),
    Ping(Ping),
    Info(Info),
    Bench(Bench),
}

/// Puts files and folders into the ring.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "put",
    help_triggers("-h", "--help"),
    example = "{command_name} index.html\n\
               {command_name} index.html --name start.html\n\
               {command_name} site/ robots.txt\n\
               date | {command_name} - --name now.txt",
    note = "A file gets its base name; the files of a folder get their paths below that folder.\n\
            Links are followed; devices and circles of links are skipped.\n\
            \n\
            The answer is printed: `200 OK version=... copies=K` says that K live members hold the\n\
            file. With a folder or several paths each answer stands behind its name, and the files\n\
            are put a few at a time.\n\
            \n\
            A put is safe to repeat. When a node breaks off or answers 503, the next --node is\n\
            asked. After 504 the outcome is unknown: put again, or look with `list --long`."
)]
pub(super) struct Put {
    /// the name in the ring, for one file (default: the file's base name; needed for stdin)
    #[argh(option)]
    pub name: Option<String>,

    /// print one JSON object a line for each file that was tried: name, outcome (put, failed or
    /// unknown), and then version and copies, or status and error
    #[argh(switch)]
    pub json: bool,

    /// files and folders, or - for stdin
    #[argh(positional, arg_name = "path")]
    pub paths: Vec<String>,
}

/// Gets a file from the ring and checks its hash.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "get",
    help_triggers("-h", "--help"),
    example = "{command_name} index.html\n\
               {command_name} img/logo.png -o logo.png",
    note = "With -o the file is written aside and renamed when it is whole, so that a get that\n\
            fails leaves nothing half. Exit code 3: no member has the name."
)]
pub(super) struct Get {
    /// the file or folder to write to; - is stdout (default: stdout)
    #[argh(option, short = 'o', arg_name = "file")]
    pub output: Option<String>,

    /// print one JSON object about the file in place of its bytes: name, bytes, version, blake3,
    /// and path, where it was written with -o; without -o the bytes go nowhere
    #[argh(switch)]
    pub json: bool,

    /// the name of the file in the ring
    #[argh(positional)]
    pub name: String,
}

/// Lists the names in the ring, sorted, one a line.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "list",
    help_triggers("-h", "--help"),
    note = "The prefix may end anywhere in a name.",
    example = "{command_name}\n\
               {command_name} img/ --long"
)]
pub(super) struct List {
    /// show the size in bytes and the version in front of each name
    #[argh(switch, short = 'l')]
    pub long: bool,

    /// print one JSON object with all files: name, bytes and version of each
    #[argh(switch)]
    pub json: bool,

    /// only names that begin with this (default: all)
    #[argh(positional, default = "String::new()")]
    pub prefix: String,
}

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
pub(super) struct Ring {
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
pub(super) struct Status {
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
pub(super) struct Forget {
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
pub(super) struct Ping {
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
pub(super) struct Info {
    /// print one JSON object with all keys
    #[argh(switch)]
    pub json: bool,
}
