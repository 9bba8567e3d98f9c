//! Golden traces: short scenarios of a ring, with every message that its nodes send in them.
//!
//! A script in `scripts/` is lines of commands that begin with `> `, and under each what followed
//! from it. It runs in virtual time, in which a message takes a millisecond; messages go through
//! the real codec. These rules are all that is needed to read them:
//!
//! - The number in front is milliseconds since the command. `A -> B` is what A sent to B, in the
//!   words of the wire; `A => B` opens a new link for it, `A -| B` closes one, and `A -x B` is one
//!   that broke or was refused. `A:` is what A tells its user.
//! - A node stands for its address, `v1` for a version, `c1` for the hash of a circle, `d1` for a
//!   digest (`d0`: of no file). Left out are `blake3=`, `stamp=`, `clock=`, `knew=`, `protocol=`, the
//!   usual `ring=`, the `of=` of a FORWARD GET, `history=` where it is as `digest=`, and `len=` where
//!   it counts no file.
//! - `[A B, C gone]` is the list of members that a message carries; `B#2` is B's second life.
//! - After `show brings`, `A+b1` is a member with what it brings, `A+b2-b1` has b1 given up, and
//!   `covers b1` is what the sender can give.
//! - The bare CHECKED that answers each CHECK is left out. CHECKs without news for any node are
//!   folded into one line, in parentheses; `(x3)` ends a line that has two more of its kind.
//!
//! Commands: `ring A B C` (three nodes that have found each other), `start A` (it is told that
//! there is no ring), `start B after A`, `start A with A B C` (a list), `start B as D after A`
//! (under another address), `start B of blue` (a ring of that name), `restart B after A` (with the
//! files of its last life; `restart B`: it knows its ring from its disk), `room B 300` (bytes that its store takes when it is started), `clock B
//! -40s` (its wall clock is behind), `put A name "content"`, `put A name of 20000` (so many bytes), `put A name if v1
//! "content"` (or `if none`), `get A name`, `get A name v1`, `delete A name`, `log A name`, `list A`,
//! `forget A B`, `disk A 0.05s` (A keeps files on a disk, which
//! takes so long for each; also `full`, `broken`, `works`), `ttl 30s` (how long nodes that are started from now on remember deletions),
//! `leave A`, `kill A` (its links break), `pause A` and `resume A` (it receives, sends and does
//! nothing), `cut A B | C` and `heal` (the network), `files`, `run 2s`, `run 2s quietly` (only what
//! nodes tell their users is shown). A command ends when nothing more is under way. With ` &` at
//! its end it does not wait, and `deliver 2` lets the next two messages arrive. Of a command in
//! parentheses nothing is shown.
//!
//! Each script shows one behaviour, which is described at its top. To learn the protocol from them,
//! read `join-*` first, then `check-*`, `put-*`, `get-*`, `death-*`, `pause-*`, `split-*`,
//! `sync-*`, `leave-*`, `clock-*`, `full-*` and `lost-*`.
//!
//! `UPDATE_TRACES=1 cargo test traces` writes what follows now into the scripts.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

mod commands;
mod faults;

use commands::Script;

#[test]
fn the_traces_are_as_the_scripts_say() {
    let mut differences = String::new();
    for (name, expected) in scripts() {
        let got = replay(&expected);
        if got == expected {
            continue;
        }
        if env::var_os("UPDATE_TRACES").is_some() {
            fs::write(folder().join(format!("{name}.trace")), got).unwrap();
        } else {
            differences += &format!("{name}\n{}\n", diff(&expected, &got));
        }
    }
    let hint = "if this is as it should be: UPDATE_TRACES=1 cargo test traces, and read git diff";
    assert!(differences.is_empty(), "other traces than expected (-)\n\n{differences}{hint}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts")
}

/// All scripts: their names and their texts.
fn scripts() -> Vec<(String, String)> {
    let files = fs::read_dir(folder()).unwrap().map(|it| it.unwrap().path());
    let traces = files.filter(|path| path.extension().is_some_and(|it| it == "trace"));
    let script = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    let mut scripts: Vec<_> = traces.map(script).collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    scripts
}

fn commands_of(script: &str) -> Vec<&str> {
    script.lines().filter_map(|line| line.strip_prefix("> ")).collect()
}

/// The script with what follows from its commands now.
fn replay(script: &str) -> String {
    let mut world = Script::new(&commands_of(script));
    let mut out = String::new();
    for line in script.lines() {
        if line.is_empty() || line.starts_with('#') {
            out += &format!("{line}\n");
        } else if let Some(command) = line.strip_prefix("> ") {
            out += &format!("{line}\n{}", world.show(command));
        }
    }
    out
}

/// The commands with other results, and where these begin and end to differ.
fn diff(expected: &str, got: &str) -> String {
    let mut out = String::new();
    for (old, new) in expected.split("\n> ").zip(got.split("\n> ")).filter(|(old, new)| old != new)
    {
        let (mut old, mut new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
        out += &format!("> {}\n", old[0]);
        while !old.is_empty() && old.last() == new.last() {
            old.pop();
            new.pop();
        }
        let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        old[same..].iter().for_each(|line| out += &format!("- {line}\n"));
        new[same..].iter().for_each(|line| out += &format!("+ {line}\n"));
    }
    out
}
