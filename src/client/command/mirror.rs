//! What `push` and `pull` share: how they tell of each file, and of all.

use std::{fmt::Display, ops::ControlFlow};

use serde_json::{Value, json};

use super::outcome::{Failure, Printed, exit_of, printed_name, say, valid, worse};
use crate::{
    cli::{Exit, UsageError, counted},
    client::{error::Error, human::shown, meter::Meter, tree::Skipped},
    ring::{name::Name, size},
};

/// What the names of a folder in the ring begin with: nothing, or its name and a /.
pub(super) fn folder_prefix(folder: Option<&str>) -> Result<String, UsageError> {
    match folder {
        None => Ok(String::new()),
        Some(folder) => Ok(format!("{}/", valid(folder.strip_suffix('/').unwrap_or(folder))?)),
    }
}

/// The words of a verb.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// What it does to a file: `put`, `get`.
    pub act: &'static str,
    /// What is then done: `put`, `got`.
    pub done: &'static str,
}

/// Tells of each file as it is done, and of all at the end.
pub(super) struct Telling<'a> {
    pub called: &'a str,
    pub words: Words,
    pub is_json: bool,
    /// Nothing is done, only told.
    pub is_dry: bool,
    pub exit: Exit,
    /// Counts what moves, and each file that is told of.
    pub meter: Meter,
    printed: Printed,
    tally: Tally,
}

/// What became of all files.
#[derive(Default)]
struct Tally {
    done: usize,
    /// Of those that were put or got.
    bytes: u64,
    deleted: usize,
    unchanged: usize,
    failed: usize,
    skipped: usize,
}

impl<'a> Telling<'a> {
    pub fn new(called: &'a str, words: Words, is_json: bool, is_dry: bool) -> Self {
        let (exit, printed, tally) = (Exit::Done, Printed::default(), Tally::default());
        let meter = Meter::default();
        Self { called, words, is_json, is_dry, exit, meter, printed, tally }
    }

    /// A file was put or got, or would be. `is_new`: whether there was none before, if that is
    /// known. `more` has the other keys of its JSON.
    pub fn done(&mut self, name: &Name, is_new: Option<bool>, bytes: u64, more: Value) {
        self.meter.file_done();
        self.tally.done += 1;
        self.tally.bytes += bytes;
        let kind = is_new.map_or("", |is_new| if is_new { "new" } else { "changed" });
        self.row(self.words.act, kind, name);
        self.json(name, self.words.done, more, is_new);
    }

    pub fn deleted(&mut self, name: &Name, more: Value) {
        self.meter.file_done();
        self.tally.deleted += 1;
        self.row("delete", "", name);
        self.json(name, "deleted", more, None);
    }

    pub fn unchanged(&mut self, name: &Name, more: Value) {
        self.meter.file_done();
        self.tally.unchanged += 1;
        self.json(name, "unchanged", more, None);
    }

    /// A file could not be put, got or deleted. Breaks off where no node can be reached.
    pub fn failed(&mut self, name: &Name, verb: &str, error: &Error) -> ControlFlow<()> {
        let (exit, shown) = (exit_of(error), shown(name.as_str()));
        self.tally.failed += 1;
        let is_unknown = error.outcome_unknown() && verb != "got";
        // Several workers find that no node can be reached; that is said once.
        if (self.exit, exit) != (Exit::Unreachable, Exit::Unreachable) {
            match is_unknown {
                true => self.say(format_args!(
                    "whether {shown} was {verb} is unknown: {error}. Do this again, which is safe"
                )),
                false => self.say(format_args!("{shown} was not {verb}: {error}")),
            }
        }
        self.exit = worse(self.exit, if exit == Exit::Unreachable { exit } else { Exit::Failed });
        let outcome = if is_unknown { "unknown" } else { "failed" };
        let more = json!({ "status": error.status(), "error": error.to_string() });
        self.json(name, outcome, more, None);
        match error {
            Error::Unreachable { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Something on this side kept a file from being written or deleted.
    pub fn hindered(&mut self, name: &Name, verb: &str, why: &str) {
        self.tally.failed += 1;
        self.exit = worse(self.exit, Exit::Failed);
        self.say(format_args!("{} was not {verb}: {why}", shown(name.as_str())));
        let more = json!({ "status": null, "error": why });
        self.json(name, "failed", more, None);
    }

    /// Something that cannot be a file of the ring. `is_error`: it is named, and the exit code is 1.
    pub fn skipped(&mut self, skipped: &Skipped, is_error: bool) {
        self.tally.skipped += 1;
        if is_error {
            self.exit = worse(self.exit, Exit::Failed);
            self.say(skipped);
        }
        if self.is_json {
            self.printed.json(&json!({
                "name": null,
                "outcome": "skipped",
                "path": skipped.path.display().to_string(),
                "error": skipped.why,
            }));
        }
    }

    /// The list of names ended early.
    pub fn cut_short(&mut self, error: &Error) {
        let exit = exit_of(error);
        if (self.exit, exit) != (Exit::Unreachable, Exit::Unreachable) {
            self.say(format_args!("the other files were not compared: {error}"));
        }
        self.exit = worse(self.exit, exit);
    }

    /// The summary, and how the verb ends.
    pub fn end(mut self) -> Result<Exit, Failure> {
        if !self.is_json {
            let line = self.tally.line(self.words.done, self.is_dry);
            self.printed.line(line);
        }
        self.printed.ended(self.exit)
    }

    fn say(&self, message: impl Display) {
        say(self.called, message);
    }

    /// As `rsync --itemize-changes` has them, in words.
    fn row(&mut self, act: &str, kind: &str, name: &Name) {
        if !self.is_json {
            self.printed.line(format_args!("{act:<6}  {kind:<7}  {}", printed_name(name)));
        }
    }

    fn json(&mut self, name: &Name, outcome: &str, more: Value, is_new: Option<bool>) {
        if !self.is_json {
            return;
        }
        let mut object = json!({ "name": name.as_str(), "outcome": outcome });
        if let Some(is_new) = is_new {
            object["is_new"] = is_new.into();
        }
        if let Value::Object(more) = more {
            more.into_iter().for_each(|(key, value)| object[key] = value);
        }
        self.printed.json(&object);
    }
}

impl Tally {
    /// In one line: `5 files put, 2237 bytes; 1 deleted; 3 unchanged; 1 failed; 2 skipped`.
    fn line(&self, done: &str, is_dry: bool) -> String {
        let (files, bytes) = (counted(self.done, "file"), size::in_words(self.bytes));
        let would = if is_dry { "would be " } else { "" };
        let mut line = format!("{files} {would}{done}, {bytes}");
        let deleted = format!("{would}deleted");
        for (count, what) in [
            (self.deleted, deleted.as_str()),
            (self.unchanged, "unchanged"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
        ] {
            if count > 0 {
                line += &format!("; {count} {what}");
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_what_there_was() {
        let all = Tally { done: 5, bytes: 2237, deleted: 1, unchanged: 3, failed: 1, skipped: 2 };
        let line = "5 files put, 2237 bytes; 1 deleted; 3 unchanged; 1 failed; 2 skipped";
        assert_eq!(all.line("put", false), line);
        let dry = Tally { done: 1, bytes: 1, deleted: 2, ..Tally::default() };
        assert_eq!(dry.line("got", true), "1 file would be got, 1 byte; 2 would be deleted");
    }

    #[test]
    fn a_folder_in_the_ring_is_written_with_or_without_its_slash() {
        assert_eq!(folder_prefix(None), Ok(String::new()));
        for folder in ["www/a", "www/a/"] {
            assert_eq!(folder_prefix(Some(folder)), Ok("www/a/".into()));
        }
        for bad in ["", "/", "a//", "../a", "/a"] {
            assert!(folder_prefix(Some(bad)).is_err(), "{bad}");
        }
    }
}
