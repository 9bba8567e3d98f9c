//! Becomes `smolring` under the name of one of its commands.
//!
//! All commands are one program, so that only one is linked, installed and kept in memory. The other
//! binaries know nothing but this: they replace themselves by it (`exec`). What they were started with
//! goes on with it: process id, arguments, environment, open files, and signals that are ignored.

use std::{
    env,
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
};

const PROGRAM: &str = "smolring";
/// What `env` and `nohup` answer where they do not find what they shall start.
const NOT_FOUND: u8 = 127;

/// Becomes `smolring`, as its command `name`. Returns only if that cannot be done, and has said why.
pub fn smolring(name: &str) -> ExitCode {
    let beside = env::current_exe().ok().map(|it| it.with_file_name(PROGRAM));
    let program = beside.filter(|it| it.is_file()).unwrap_or_else(|| PathBuf::from(PROGRAM));
    let error = Command::new(&program).arg0(name).args(env::args_os().skip(1)).exec();
    match error.kind() {
        ErrorKind::NotFound => eprintln!(
            "{name}: there is no program {PROGRAM} beside this one or on PATH, and {name} is a part of it: \
             `cargo build` or `cargo install` makes both"
        ),
        _ => eprintln!("{name}: cannot start {}: {error}", program.display()),
    }
    ExitCode::from(NOT_FOUND)
}
