//! `smolring install`: a link for each command.

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use argh::{ArgsInfo, FromArgs};

use crate::cli::{self, Exit};

/// Makes a link to this program for each of its commands, so that ring-node is `smolring ring-node`.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "[<options>] <folder>",
    example = "{command_name} /usr/local/bin\n\
               {command_name} --dry-run ~/.local/bin",
    note = "The program stays where it is; in its own folder the links have no path, so that it can\n\
            be moved with them. Links of an earlier install are replaced. What is no link to a\n\
            smolring is left as it is, and named.",
    error_code(0, "all links are there"),
    error_code(1, "some are not; stderr says which, and why"),
    error_code(2, "the command line is wrong")
)]
struct Arguments {
    /// say what would be done, and do nothing
    #[argh(switch)]
    dry_run: bool,
    /// where the links are made; it must be there
    #[argh(positional, arg_name = "folder")]
    folder: PathBuf,
}

/// What became of a link.
enum Made {
    New,
    Before,
    /// There is something else.
    InTheWay,
}

/// The command. Blocks on the file system.
pub(super) fn run(
    name: &str,
    args: &[String],
    commands: impl Iterator<Item = &'static str>,
) -> Exit {
    let Arguments { dry_run, folder } = match cli::parse(name, args) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let target = match env::current_exe().and_then(|program| target_in(&program, &folder)) {
        Ok(target) => target,
        Err(error) => {
            let why = format_args!("cannot make links in {}: {error}", folder.display());
            return cli::fail(name, Exit::Failed, why);
        }
    };
    let (mut new, mut before, mut exit) = (0, 0, Exit::Done);
    for command in commands {
        let path = folder.join(command);
        let why = match make(&path, &target, dry_run) {
            Ok(Made::New) => {
                new += 1;
                continue;
            }
            Ok(Made::Before) => {
                before += 1;
                continue;
            }
            Ok(Made::InTheWay) => "there is something else of this name".to_owned(),
            Err(error) => error.to_string(),
        };
        exit = cli::fail(name, Exit::Failed, format_args!("{}: {why}", path.display()));
    }
    let made = if dry_run { "to be made" } else { "made" };
    let said = format_args!("{new} links to {} {made}, {before} were there\n", target.display());
    match cli::print(said) {
        Ok(()) => exit,
        error => cli::finish(name, error),
    }
}

/// What a link in this folder leads to. A program in the same folder is named without a path.
fn target_in(program: &Path, folder: &Path) -> io::Result<PathBuf> {
    let program = program.canonicalize()?;
    let is_here = program.parent() == Some(&*folder.canonicalize()?);
    Ok(match (is_here, program.file_name()) {
        (true, Some(name)) => name.into(),
        _ => program,
    })
}

/// Makes a link, or finds it. A link to another smolring is replaced in one step.
fn make(path: &Path, target: &Path, dry_run: bool) -> io::Result<Made> {
    match fs::read_link(path) {
        Ok(there) if there == target => return Ok(Made::Before),
        Ok(there) if there.file_name() == target.file_name() => {
            if !dry_run {
                replace(path, target)?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !dry_run {
                symlink(target, path)?;
            }
        }
        Ok(_) => return Ok(Made::InTheWay),
        // It is no link.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(Made::InTheWay),
        Err(error) => return Err(error),
    }
    Ok(Made::New)
}

/// The name always leads somewhere.
fn replace(path: &Path, target: &Path) -> io::Result<()> {
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    symlink(target, &draft)?;
    fs::rename(&draft, path).inspect_err(|_| drop(fs::remove_file(&draft)))
}
