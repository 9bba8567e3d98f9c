//! What a test needs beyond Rust: third-party programs, which not every machine has.
//!
//! `cargo test` alone installs nothing. A test that lacks something says so in one line that begins with
//! SKIPPED, and is over. With `CI` set it fails instead; `tests/run` installs all that is named here.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

/// Ends a test that returns nothing where the machine lacks one of these: a program, or
/// `"python3 MODULE..."`, Python with modules.
macro_rules! needs {
    ($($what:literal),+) => {
        if ![$($what),+].into_iter().all($crate::needs::is_here) {
            return;
        }
    };
}

/// Whether the machine has this program, as [`needs!`] takes it. Says so if it has not, and panics in CI.
pub fn is_here(what: &str) -> bool {
    static LOOKED_FOR: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
    let found = {
        let mut looked_for = LOOKED_FOR.lock().unwrap();
        *looked_for.entry(what.to_owned()).or_insert_with(|| find(what))
    };
    if !found {
        skip(&format!("this machine has no {what}"));
    }
    found
}

/// Says that this test, or a part of it, is not done here. Panics in CI.
pub fn skip(why: &str) {
    let is_ci = env::var_os("CI").is_some_and(|it| !it.is_empty());
    assert!(!is_ci, "{why}, and in CI nothing is skipped");
    let test = thread::current();
    // Not by a macro of the standard library: what these print is shown for failures only.
    let line = format!("SKIPPED {}: {why}\n", test.name().unwrap_or("a test"));
    let _ = io::stderr().write_all(line.as_bytes());
}

fn find(what: &str) -> bool {
    let (program, modules) = what.split_once(' ').unwrap_or((what, ""));
    let is_there = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).is_file());
    let imports = |modules: &str| {
        let code = format!("import {}", modules.replace(' ', ", "));
        let mut python = Command::new(program);
        let status =
            python.args(["-c", &code]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|it| it.success())
    };
    is_there && (modules.is_empty() || imports(modules))
}
