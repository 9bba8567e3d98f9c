//! The verbs about files: in, out, their names, their versions, and away.

use argh::{ArgsInfo, FromArgs};

use crate::client::chosen::{Chosen, Expected};

/// Puts files and folders into the ring.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "put",
    help_triggers("-h", "--help"),
    example = "{command_name} index.html\n\
               {command_name} index.html --name start.html\n\
               {command_name} site/ robots.txt\n\
               date | {command_name} - --name now.txt\n\
               {command_name} page.html --if-version VERSION\n\
               {command_name} lock --if-version none",
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
            asked. After 504 the outcome is unknown: put again, or look with `log`.\n\
            \n\
            A file of more than 256 KiB is read while it is sent. If it changes meanwhile, it is\n\
            not stored, and sent again from its start, three times at most. What comes over a\n\
            pipe is kept in a file of $TMPDIR until its size is known, if it is as large.\n\
            \n\
            --if-version keeps a put from replacing what was not seen. The node that is asked\n\
            compares: of two such puts at two nodes at the same time both may succeed, and `log`\n\
            has both.",
    error_code(6, "the newest version is not that of --if-version; nothing was put"),
    error_code(129, "ended by SIGHUP; a file that was not sent to its end is not stored"),
    error_code(130, "ended by SIGINT (Ctrl-C); a file that was not sent to its end is not stored"),
    error_code(143, "ended by SIGTERM; a file that was not sent to its end is not stored")
)]
pub(in crate::client) struct Put {
    /// the name in the ring, for one file (default: the file's base name; needed for stdin)
    #[argh(option)]
    pub name: Option<String>,

    /// put only if this is the newest version of the name; none: only if there is no such file;
    /// for one file (default: whatever there is)
    #[argh(option, arg_name = "version")]
    pub if_version: Option<Expected>,

    /// show where the time went: once round the ring, on the disks of its members, from node to node;
    /// for one file
    #[argh(switch)]
    pub trace: bool,

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
               {command_name} index.html --version 2    (the one before the newest)\n\
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
            A file of more than 256 KiB is written while it comes. On stdout, its first bytes are\n\
            there before its hash is checked: look at the exit code. When a node breaks off, the\n\
            rest follows from the next --node.\n\
            \n\
            Exit code 3: no member has the name or the version, or no name begins so. With several\n\
            files, what fails is named, and the others are got.",
    error_code(129, "ended by SIGHUP; nothing half is left"),
    error_code(130, "ended by SIGINT (Ctrl-C); nothing half is left"),
    error_code(143, "ended by SIGTERM; nothing half is left")
)]
pub(in crate::client) struct Get {
    /// the file or folder to write to; - is stdout, where several files stand one after the other
    /// (default: stdout, for one file)
    #[argh(option, short = 'o', arg_name = "file")]
    pub output: Option<String>,

    /// get this version of one file: as `log` shows it, or its number there, where 1 is the newest
    /// and 2 the one before it (default: the newest)
    #[argh(option, arg_name = "version")]
    pub version: Option<Chosen>,

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
pub(in crate::client) struct List {
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

/// Shows the versions of a file, the newest first.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "log",
    help_triggers("-h", "--help"),
    example = "{command_name} index.html\n\
               {command_name} index.html --json",
    note = "A line is: the number that `get --version` takes, when it was written by the ring's\n\
            time, by which node, its bytes or `deleted`, the version, and the beginning of its\n\
            BLAKE3 hash, or `-` where the node does not hold it. A node keeps the newest three\n\
            versions of a name, deletions among them, unless its --keep-versions says otherwise.\n\
            \n\
            Exit code 3: no member has the name, and none knows that it was deleted."
)]
pub(in crate::client) struct Log {
    /// print one JSON object: name and versions, and of each number, version, at_ms (milliseconds
    /// since 1970), node, deleted, bytes and blake3; null is what is not known
    #[argh(switch)]
    pub json: bool,

    /// the name of a file
    #[argh(positional)]
    pub name: String,
}

/// Deletes files in the ring. It does not ask whether you are sure.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "delete",
    help_triggers("-h", "--help"),
    example = "{command_name} index.html\n\
               {command_name} img/ robots.txt\n\
               {command_name} --prefix tmp-\n\
               {command_name} page.html --if-version VERSION",
    note = "A name that ends in / stands for all names that begin so. The answer is printed:\n\
            `200 OK version=... copies=K` says that K live members know of the deletion. With\n\
            several files each answer stands behind its name, and the last line is a summary.\n\
            Earlier versions stay for a while: `log` has them, and `get --version` gets them back.\n\
            \n\
            A delete is safe to repeat, and is repeated when a connection breaks or the answer is\n\
            504. The first attempt may have deleted the file. So when the repeat finds no file, the\n\
            versions of the name are read: if the newest is a deletion, that is success.\n\
            \n\
            Exit code 3: there is no such file, or no name begins so. With several files, what\n\
            fails is named, and the others are deleted.",
    error_code(6, "the newest version is not that of --if-version; nothing was deleted")
)]
pub(in crate::client) struct Delete {
    /// delete only if this is the newest version of the name; for one file (default: whatever
    /// there is)
    #[argh(option, arg_name = "version")]
    pub if_version: Option<Expected>,

    /// also all files whose names begin with this; it may end anywhere in a name, and '' is all
    /// files; repeat it
    #[argh(option, arg_name = "text")]
    pub prefix: Vec<String>,

    /// print one JSON object a line for each file: name, outcome (deleted, missing, failed or
    /// unknown), and then version and copies, or status and error
    #[argh(switch)]
    pub json: bool,

    /// names of files in the ring
    #[argh(positional, arg_name = "name")]
    pub names: Vec<String>,
}
