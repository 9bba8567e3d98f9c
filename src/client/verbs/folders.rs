//! The verbs about many files at once: a folder like the ring, a backup, and whether all is equal.

use argh::{ArgsInfo, FromArgs};

/// Makes the ring like a folder: puts what differs.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "push",
    help_triggers("-h", "--help"),
    example = "{command_name} site\n\
               {command_name} site www --dry-run\n\
               {command_name} site www --delete",
    note = "A file gets its path below the folder as its name, below PREFIX/ if a prefix is given.\n\
            Names and BLAKE3 hashes decide what differs, not times. Each file that is put or\n\
            deleted is a line, and the last line is a summary. What was done stays done: a push\n\
            that was interrupted is repeated, and does the rest.\n\
            \n\
            As `put` does, it follows links, and names and leaves out what cannot be put: a name\n\
            that is not UTF-8, a pipe, a link that leads nowhere. Exit code 1 then, and when a\n\
            file cannot be read, changes while it is read, or is refused; the others are put.\n\
            \n\
            --delete deletes only the version that was listed: a file that another client puts\n\
            meanwhile stays, and is named. What is in or below something that could not be read\n\
            is never deleted. A folder without any file is refused: it may be the wrong one.\n\
            --force pushes it nevertheless, which deletes all names below PREFIX/.",
    error_code(129, "ended by SIGHUP; a file that was not sent to its end is not stored"),
    error_code(130, "ended by SIGINT (Ctrl-C); a file that was not sent to its end is not stored"),
    error_code(143, "ended by SIGTERM; a file that was not sent to its end is not stored")
)]
pub(in crate::client) struct Push {
    /// also delete the names in the ring (below PREFIX/) that the folder has not
    #[argh(switch)]
    pub delete: bool,

    /// with --delete: go on though the folder has no file
    #[argh(switch)]
    pub force: bool,

    /// print what would be done, and do nothing
    #[argh(switch)]
    pub dry_run: bool,

    /// it is no error that pipes, sockets, devices, circles of links and links that lead nowhere
    /// are not put; they are counted and not named
    #[argh(switch)]
    pub skip_special: bool,

    /// print one JSON object a line for each file: name, outcome (put, deleted, unchanged, failed,
    /// unknown or skipped), is_new of one that is put, and then version and copies, or status and
    /// error, or path and error
    #[argh(switch)]
    pub json: bool,

    /// the folder
    #[argh(positional)]
    pub dir: String,

    /// the folder in the ring that is made like it: all names below PREFIX/ (default: all names)
    #[argh(positional)]
    pub prefix: Option<String>,
}

/// Makes a folder like the ring: gets what differs.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "pull",
    help_triggers("-h", "--help"),
    example = "{command_name} copy\n\
               {command_name} copy www --dry-run\n\
               {command_name} copy www --delete",
    note = "A file gets its name as its path below the folder, without PREFIX/ if a prefix is\n\
            given. The folder is made if it is not there. Names and BLAKE3 hashes decide what\n\
            differs, not times; a file that is written gets the time of its version. Each file\n\
            that is got or deleted is a line, and the last line is a summary. What was done stays\n\
            done: a pull that was interrupted is repeated, and does the rest.\n\
            \n\
            Nothing is written outside the folder. A link in it that leads to the same bytes is\n\
            equal; otherwise it stays, what it leads to is not touched, and it is named. So is a\n\
            file in the place of a folder, a folder in the place of a file, and a name that the\n\
            file system takes for the same as another, as A and a. Exit code 1 then; the others are\n\
            got.\n\
            \n\
            --delete deletes files that the ring has not, folders that are empty then, and files,\n\
            links and such folders in the place of what the ring has. Pipes, sockets, devices and\n\
            what is behind links to folders stay. If the ring has no name below PREFIX/, that is\n\
            refused: it may be the wrong one. --force deletes nevertheless.",
    error_code(129, "ended by SIGHUP; nothing half is left"),
    error_code(130, "ended by SIGINT (Ctrl-C); nothing half is left"),
    error_code(143, "ended by SIGTERM; nothing half is left")
)]
pub(in crate::client) struct Pull {
    /// also delete the files in the folder that the ring (below PREFIX/) has not
    #[argh(switch)]
    pub delete: bool,

    /// with --delete: go on though the ring has no such name
    #[argh(switch)]
    pub force: bool,

    /// print what would be done, and do nothing
    #[argh(switch)]
    pub dry_run: bool,

    /// print one JSON object a line for each file: name, outcome (got, deleted, unchanged, failed or
    /// skipped), is_new of one that is got, and then version, bytes and path, or status and error,
    /// or path and error
    #[argh(switch)]
    pub json: bool,

    /// the folder
    #[argh(positional)]
    pub dir: String,

    /// the folder in the ring that it is made like: all names below PREFIX/ (default: all names)
    #[argh(positional)]
    pub prefix: Option<String>,
}

/// Compares what all nodes hold, name by name, and a folder if that is wanted.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "verify",
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               {command_name} --versions --json\n\
               {command_name} www --local site",
    note = "The first node that answers names the members; each live one is then asked for all its\n\
            names, versions and BLAKE3 hashes, at the same time. Each name in which they differ is\n\
            looked at again for a second, since files may be on their way. Then it is said in a\n\
            line for each node that lacks it, has an older version, has not deleted it, has other\n\
            bytes, or has not its bytes because it is full. A member that is gone, does not answer\n\
            or is not ready is named as well. The last line is a summary.\n\
            \n\
            A node computes a hash when the bytes arrive, and keeps it: what has changed in its\n\
            memory since then is found by `get`, which checks the bytes.\n\
            \n\
            Exit code: 0 all nodes were compared and hold the same, 1 anything else, 69 no node\n\
            answers."
)]
pub(in crate::client) struct Verify {
    /// also compare this folder, as `push` with the same prefix would
    #[argh(option, arg_name = "dir")]
    pub local: Option<String>,

    /// also compare the earlier versions that the nodes keep; each node is asked for each name
    #[argh(switch)]
    pub versions: bool,

    /// print one JSON object a line: for each name that differs, name and differences (node, what,
    /// text; the node of the folder is null); for each problem, node and problem; and at the end
    /// equal, names, differing, problems and nodes
    #[argh(switch)]
    pub json: bool,

    /// only names below PREFIX/ (default: all names)
    #[argh(positional)]
    pub prefix: Option<String>,
}

/// Writes files of the ring into a tar archive: a backup.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "export",
    help_triggers("-h", "--help"),
    example = "{command_name} backup.tar\n\
               {command_name} backup.tar --prefix img/\n\
               {command_name} - | gzip > backup.tar.gz",
    note = "The archive has the newest version of each file, with the time of that version, and can\n\
            be unpacked by tar, bsdtar and Python's tarfile. It is written aside and renamed when it\n\
            is whole: an export that fails or is interrupted leaves an older archive as it was.\n\
            With - it goes to stdout; one that is cut there has no end mark, which tar notices.\n\
            \n\
            Each file is as it was when its turn came: what is put meanwhile may be in it or not.\n\
            Earlier versions and deletions are not in it. A file that is deleted meanwhile is left\n\
            out, and named.\n\
            \n\
            Exit code 3: there are no such files; nothing is written then.",
    error_code(129, "ended by SIGHUP; nothing half is left"),
    error_code(130, "ended by SIGINT (Ctrl-C); nothing half is left"),
    error_code(143, "ended by SIGTERM; nothing half is left")
)]
pub(in crate::client) struct Export {
    /// only files whose names begin with this; it may end anywhere in a name (default: all files)
    #[argh(option, arg_name = "text", default = "String::new()")]
    pub prefix: String,

    /// print one JSON object at the end: files, bytes and path
    #[argh(switch)]
    pub json: bool,

    /// the archive to write, or - for stdout
    #[argh(positional)]
    pub file: String,
}

/// Puts the files of a tar archive into the ring.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "import",
    help_triggers("-h", "--help"),
    example = "{command_name} backup.tar\n\
               gzip -dc backup.tar.gz | {command_name} -\n\
               tar cf - site | {command_name} - --prefix old/",
    note = "Regular files are put under their paths in the archive, one after the other; a `./` in\n\
            front is left out. What the node has with the same bytes is not sent again. Names that\n\
            the ring has and the archive has not stay as they are. Links, devices and sparse files,\n\
            and names that cannot be (absolute, with .., not UTF-8), are named and left out: exit\n\
            code 1.\n\
            \n\
            A file is stored when all of it has been read. When the archive is cut or damaged, the\n\
            files before that place have been put, and the exit code is 1. An import is safe to\n\
            repeat.\n\
            \n\
            A file of more than 256 KiB is read while it is sent. Where the archive comes over a\n\
            pipe, such a file is sent to one node only, because it cannot be read again; and if\n\
            the ring has one of the same name and size, it is first kept in a file of $TMPDIR.",
    error_code(129, "ended by SIGHUP; a file that was not sent to its end is not stored"),
    error_code(130, "ended by SIGINT (Ctrl-C); a file that was not sent to its end is not stored"),
    error_code(143, "ended by SIGTERM; a file that was not sent to its end is not stored")
)]
pub(in crate::client) struct Import {
    /// put this in front of each name, as it is: old/ or old- (default: nothing)
    #[argh(option, arg_name = "text", default = "String::new()")]
    pub prefix: String,

    /// print one JSON object a line for each file: name, outcome (put, unchanged, failed, unknown or
    /// skipped), and then version and copies, or status and error, or path and error
    #[argh(switch)]
    pub json: bool,

    /// the archive, or - for stdin
    #[argh(positional)]
    pub file: String,
}
