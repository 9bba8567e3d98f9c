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
            Links are followed. What cannot be put is named, the rest is put, and the exit code\n\
            is 1. The ring keeps names and bytes: no permissions, and as time that of the put.\n\
            \n\
            The answer is printed: `200 OK version=... copies=K` says that K live members hold the\n\
            file. With a folder or several paths each answer stands behind its name, the files are\n\
            put a few at a time, one that the node has with the same bytes is not sent again\n\
            (`unchanged`), and the last line is a summary; with --json there is none.\n\
            \n\
            A put is safe to repeat. When a node breaks off or answers 503, the next --node is\n\
            asked. After 504 the outcome is unknown: put again, or look with `list --long`."
)]
pub(super) struct Put {
    /// the name in the ring, for one file (default: the file's base name; needed for stdin)
    #[argh(option)]
    pub name: Option<String>,

    /// also send files that the ring has unchanged; a lone file is always sent
    #[argh(switch)]
    pub all: bool,

    /// it is no error that pipes, sockets, devices, circles of links and links that lead nowhere
    /// are not put; they are counted and not named
    #[argh(switch)]
    pub skip_special: bool,

    /// print one JSON object a line for each file: name, outcome (put, unchanged, failed, unknown
    /// or skipped), and then version and copies, or status and error, or path and error
    #[argh(switch)]
    pub json: bool,

    /// files and folders, or - for stdin
    #[argh(positional, arg_name = "path")]
    pub paths: Vec<String>,
}

/// Gets files from the ring and checks their hashes.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "get",
    help_triggers("-h", "--help"),
    example = "{command_name} index.html\n\
               {command_name} img/logo.png -o logo.png\n\
               {command_name} index.html css/style.css -o copy\n\
               {command_name} img/ -o copy\n\
               {command_name} --prefix '' -o copy    (all files)",
    note = "One file goes to stdout, to the file that -o names, or under its base name into the\n\
            folder that -o names. Several go into that folder under their whole names, as\n\
            copy/img/logo.png; folders that are not there are made. A name that ends in / stands\n\
            for all names that begin so.\n\
            \n\
            A file is written aside and renamed when it is whole, so that a get that fails or is\n\
            interrupted leaves nothing half. Its time is that of its version: when it was put. A\n\
            file that is replaced keeps its permissions; a new one is not executable, since the\n\
            ring keeps names and bytes only. A link stays a link: what it leads to is written.\n\
            \n\
            Exit code 3: no member has the name, or no name begins so. With several files, what\n\
            fails is named, and the others are got.",
    error_code(129, "ended by SIGHUP; nothing half is left"),
    error_code(130, "ended by SIGINT (Ctrl-C); nothing half is left"),
    error_code(143, "ended by SIGTERM; nothing half is left")
)]
pub(super) struct Get {
    /// the file or folder to write to; - is stdout, where several files stand one after the other
    /// (default: stdout, for one file)
    #[argh(option, short = 'o', arg_name = "file")]
    pub output: Option<String>,

    /// also all files whose names begin with this; it may end anywhere in a name; repeat it
    #[argh(option, arg_name = "text")]
    pub prefix: Vec<String>,

    /// print one JSON object a line about each file in place of its bytes: name, bytes, version,
    /// blake3, and path, where it was written with -o; without -o the bytes go nowhere. Of several
    /// files, also of one that failed: name, status and error
    #[argh(switch)]
    pub json: bool,

    /// names of files in the ring
    #[argh(positional, arg_name = "name")]
    pub names: Vec<String>,
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
