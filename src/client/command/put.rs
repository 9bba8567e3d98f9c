//! `ring-client put`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    ending::until_signal,
    outcome::{Failure, Printed, exit_of, printed_name, say, valid, worse},
    trace,
};
use crate::{
    cli::{Exit, UsageError, counted},
    client::{
        chosen::Expected,
        connection::Timeouts,
        error::Error,
        files::{self, Collected, Origin, Skipped, Source, collect},
        human::shown,
        meter::Meter,
        node::Node,
        progress,
        upload::{Selection, Uploaded, upload_counted},
        verbs::Put,
    },
    ring::size,
};

pub(super) async fn put(
    name: &str,
    nodes: &[Node],
    timeouts: Timeouts,
    verb: Put,
) -> Result<Exit, Failure> {
    let is_lone = matches!(verb.paths.as_slice(), [path] if !Path::new(path).is_dir());
    if verb.if_version.is_some() && !is_lone {
        return Err(UsageError("--if-version is for one file".into()).into());
    }
    if verb.trace && !is_lone {
        return Err(UsageError("--trace is for one file".into()).into());
    }
    let Collected { sources, skipped } = sources(&verb)?;
    let (mut exit, mut printed, mut tally) = (Exit::Done, Printed::default(), Tally::default());
    tally.skipped = skipped.len();
    for skipped in &skipped {
        if verb.json {
            printed.json(&json_skipped(skipped));
        }
        if !(skipped.is_special && verb.skip_special) {
            exit = Exit::Failed;
            say(name, skipped);
        }
    }
    let selection = match verb.if_version {
        Some(Expected(condition)) => Selection::If(condition),
        None if is_lone || verb.all => Selection::All,
        None => Selection::Changed,
    };
    let meter = match &sources[..] {
        [source] if is_lone => Meter::of_one(source.name.as_str()),
        sources => {
            let meter = Meter::default();
            let is_shown = !verb.json && progress::is_possible();
            let bytes = sources.iter().filter(|_| is_shown).filter_map(Source::bytes).sum();
            meter.expect(Some(sources.len()), Some(bytes));
            meter
        }
    };
    let mut written = None;
    let work = upload_counted(nodes, timeouts, sources, selection, &meter, |source, result| {
        if verb.json {
            printed.json(&json(source, &result));
        }
        let line = match &result {
            Ok(Uploaded::Put { reply, bytes }) => {
                written = reply.key("version").and_then(|version| version.parse().ok());
                tally.put += 1;
                tally.bytes += bytes;
                shown(&reply.line)
            }
            Ok(Uploaded::Unchanged(version)) => {
                tally.unchanged += 1;
                format!("unchanged version={version}")
            }
            Err(error) => {
                tally.failed += 1;
                // Several workers find that no node can be reached; that is said once.
                if exit != Exit::Unreachable || exit_of(error) != Exit::Unreachable {
                    say_not_put(name, source, error);
                }
                exit = worse(exit, exit_of(error));
                return;
            }
        };
        match (verb.json, is_lone) {
            (true, _) => {}
            (false, true) => printed.line(line),
            (false, false) => {
                printed.line(format_args!("{}  {line}", printed_name(&source.name)));
            }
        }
    });
    let work = progress::show(&meter, !verb.json, work);
    let left = until_signal(async { Ok(work.await) }, || ()).await?;
    tally.failed += left;
    if let Some(version) = written.filter(|_| verb.trace) {
        match (trace::of_write(version, timeouts).await?, verb.json) {
            (Some(trace), true) => printed.json(&trace::as_json(&trace)),
            (Some(trace), false) => printed.line(trace::table(&trace).trim_end()),
            (None, _) => say(name, "the node does not know where the time went"),
        }
    }
    if !is_lone && !verb.json {
        printed.line(tally.line());
    }
    printed.ended(exit)
}

/// What became of all files.
#[derive(Default)]
struct Tally {
    put: usize,
    /// Of those that were put.
    bytes: u64,
    unchanged: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    /// In one line: `5 files put, 2237 bytes; 3 unchanged; 1 not put; 2 skipped`.
    fn line(&self) -> String {
        let mut line = format!("{} put, {}", counted(self.put, "file"), size::in_words(self.bytes));
        for (count, what) in
            [(self.unchanged, "unchanged"), (self.failed, "not put"), (self.skipped, "skipped")]
        {
            if count > 0 {
                line += &format!("; {count} {what}");
            }
        }
        line
    }
}

fn say_not_put(name: &str, source: &Source, error: &Error) {
    let file = shown(source.name.as_str());
    if error.outcome_unknown() {
        let message = format_args!(
            "whether {file} was put is unknown: {error}. Put it again, which is safe, or look \
             with `{name} log {file}`"
        );
        say(name, message);
    } else if error.status() == Some(412) {
        let message = format_args!(
            "{file} was not put: {error}. Get what is there, and put again with that version"
        );
        say(name, message);
    } else {
        say(name, format_args!("{file} was not put: {error}"));
    }
}

fn json(source: &Source, result: &Result<Uploaded, Error>) -> Value {
    let name = source.name.as_str();
    match result {
        Ok(Uploaded::Put { reply, .. }) => json!({
            "name": name,
            "outcome": "put",
            "version": reply.key("version"),
            "copies": reply.number("copies").ok(),
        }),
        Ok(Uploaded::Unchanged(version)) => json!({
            "name": name,
            "outcome": "unchanged",
            "version": version.to_string(),
        }),
        Err(error) => json!({
            "name": name,
            "outcome": if error.outcome_unknown() { "unknown" } else { "failed" },
            "status": error.status(),
            "error": error.to_string(),
        }),
    }
}

fn json_skipped(skipped: &Skipped) -> Value {
    json!({
        "name": null,
        "outcome": "skipped",
        "path": skipped.path.display().to_string(),
        "error": skipped.why,
    })
}

fn sources(verb: &Put) -> Result<Collected, Failure> {
    let wanted = verb.name.as_deref().map(valid).transpose()?;
    if verb.paths.is_empty() {
        return Err(UsageError("put what? Give a file, a folder, or - for stdin".into()).into());
    }
    if verb.paths.iter().any(|path| path == "-") {
        let (1, Some(name)) = (verb.paths.len(), wanted) else {
            return Err(UsageError("put - stands alone and needs a --name".into()).into());
        };
        let source = Source { name, origin: Origin::Stdin };
        return Ok(Collected { sources: vec![source], skipped: Vec::new() });
    }
    let paths: Vec<PathBuf> = verb.paths.iter().map(PathBuf::from).collect();
    let Some(name) = wanted else { return Ok(collect(&paths)?) };
    if paths.len() > 1 || paths[0].is_dir() {
        return Err(UsageError("--name is for one file, not for several or a folder".into()).into());
    }
    Ok(files::collect_as(&paths[0], name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_what_there_was() {
        let all = Tally { put: 5, bytes: 2237, unchanged: 3, failed: 1, skipped: 2 };
        assert_eq!(all.line(), "5 files put, 2237 bytes; 3 unchanged; 1 not put; 2 skipped");
        let one = Tally { put: 1, bytes: 16 << 20, ..Tally::default() };
        assert_eq!(one.line(), "1 file put, 16MiB");
    }
}
