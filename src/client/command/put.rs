//! `ring-client put`.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::outcome::{Failure, exit_of, valid};
use crate::{
    cli::{self, Exit, UsageError},
    client::{
        connection::Timeouts,
        error::Error,
        files::{self, Collected, Origin, Source, collect},
        node::Node,
        reply::Reply,
        upload::upload,
        verbs::Put,
    },
};

pub(super) async fn put(
    name: &str,
    nodes: &[Node],
    timeouts: Timeouts,
    verb: Put,
) -> Result<Exit, Failure> {
    let Collected { sources, skipped } = sources(&verb)?;
    skipped.iter().for_each(|why| cli::say(name, why));
    let lone = matches!(verb.paths.as_slice(), [path] if !Path::new(path).is_dir());
    let mut exit = if lone && sources.is_empty() { Exit::Failed } else { Exit::Done };
    let (mut printed, mut unreached) = (Ok(()), 0);
    let left = upload(nodes, timeouts, sources, |source, result| {
        if verb.json {
            print_on(&mut printed, format_args!("{}\n", json(source, &result)));
        }
        match result {
            Ok(_) if verb.json => {}
            Ok(reply) if lone => print_on(&mut printed, format_args!("{}\n", reply.line)),
            Ok(reply) => print_on(&mut printed, format_args!("{}  {}\n", source.name, reply.line)),
            // Several workers find that no node can be reached; that is reported once.
            Err(Error::Unreachable { .. }) if exit == Exit::Unreachable => unreached += 1,
            Err(error) => {
                exit = exit_of(&error);
                say_not_put(name, source, &error);
            }
        }
    })
    .await;
    if left + unreached > 0 {
        let (count, were) = match left + unreached {
            1 => ("1 more file".into(), "was"),
            count => (format!("{count} more files"), "were"),
        };
        cli::say(name, format_args!("{count} {were} not put"));
    }
    match (exit, printed) {
        (Exit::Done, Err(error)) => Err(Failure::Stdout(error)),
        _ => Ok(exit),
    }
}

fn say_not_put(name: &str, source: &Source, error: &Error) {
    let file = &source.name;
    if error.outcome_unknown() {
        let message = format_args!(
            "whether {file} was put is unknown: {error}. Put it again, which is safe, or look \
             with `{name} list --long`"
        );
        cli::say(name, message);
    } else {
        cli::say(name, format_args!("{file} was not put: {error}"));
    }
}

fn json(source: &Source, result: &Result<Reply, Error>) -> Value {
    let name = source.name.as_str();
    match result {
        Ok(reply) => json!({
            "name": name,
            "outcome": "put",
            "version": reply.key("version"),
            "copies": reply.number("copies").ok(),
        }),
        Err(error) => json!({
            "name": name,
            "outcome": if error.outcome_unknown() { "unknown" } else { "failed" },
            "status": error.status(),
            "error": error.to_string(),
        }),
    }
}

/// Prints until printing fails once. A put goes on when nothing reads its output, because the files
/// matter more.
fn print_on(printed: &mut io::Result<()>, text: impl std::fmt::Display) {
    if printed.is_ok() {
        *printed = cli::print(text);
    }
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
        let unreadable =
            |cause: io::Error| Error::File { path: "stdin".into(), cause: cause.to_string() };
        let bytes = files::read_bounded(&mut io::stdin().lock()).map_err(unreadable)?;
        let source = Source { name, origin: Origin::Bytes(bytes) };
        return Ok(Collected { sources: vec![source], skipped: Vec::new() });
    }
    let paths: Vec<PathBuf> = verb.paths.iter().map(PathBuf::from).collect();
    let Some(name) = wanted else { return Ok(collect(&paths)?) };
    if paths.len() > 1 || paths[0].is_dir() {
        return Err(UsageError("--name is for one file, not for several or a folder".into()).into());
    }
    let mut collected = collect(&paths)?;
    collected.sources.iter_mut().for_each(|source| source.name = name.clone());
    Ok(collected)
}
