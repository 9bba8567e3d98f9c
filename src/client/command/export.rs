//! `ring-client export`.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    path::PathBuf,
};

use serde_json::json;
use smol::future;

use super::{
    outcome::{Failure, print, print_json},
    wanted::nothing_begins_with,
};
use crate::{
    cli::{self, Exit, UsageError, counted},
    client::{
        archive::ArchiveWriter, connection::Timeouts, error::Error, failover::Client, human::shown,
        node::Node, pages::Pages, requests::ListedFile, save::Saver, verbs::Export,
    },
    ring::size,
    serve::signals::EndSignals,
};

pub(super) async fn export(
    called: &str,
    nodes: &[Node],
    timeouts: Timeouts,
    verb: Export,
) -> Result<Exit, Failure> {
    let client = || Client::new(nodes.to_vec(), timeouts);
    let mut files = Files {
        called,
        pages: Pages::new(client(), verb.prefix.clone(), false),
        client: client(),
        count: 0,
        bytes: 0,
    };
    if verb.file == "-" {
        if io::stdout().is_terminal() {
            let why = "an archive is nothing for a terminal; say where stdout shall go, with >";
            return Err(UsageError(why.into()).into());
        }
        if verb.json {
            return Err(UsageError("--json and - would both write to stdout".into()).into());
        }
        let Some(first) = files.pages.next().await? else { return nothing(called, &verb.prefix) };
        let to = BufWriter::new(io::stdout().lock());
        // Also where nothing reads it any more: a backup that is cut is no success.
        let stdout = |error| Failure::File(PathBuf::from("stdout"), error);
        files.write(first, to).await.map_err(|failed| failed.of(stdout))?;
        return Ok(Exit::Done);
    }
    let Some(first) = files.pages.next().await? else { return nothing(called, &verb.prefix) };
    let (saver, path) = (Saver::default(), PathBuf::from(&verb.file));
    let failed = |error| Failure::File(path.clone(), error);
    let mut signals = EndSignals::listen().ok();
    let work = async {
        let begun = saver.begin(&path).map_err(failed)?;
        let to = begun.file.try_clone().map_err(failed)?;
        match files.write(first, BufWriter::new(to)).await {
            Ok(()) => saver.finish(begun).map_err(failed),
            Err(error) => Err(saver.give_up(&begun, error.of(failed))),
        }
    };
    let interrupted = async {
        match &mut signals {
            None => future::pending().await,
            Some(signals) => {
                let signal = signals.next().await;
                saver.end();
                Err(Failure::Interrupted(signal))
            }
        }
    };
    future::or(work, interrupted).await?;
    match verb.json {
        true => print_json(&json!({
            "files": files.count,
            "bytes": files.bytes,
            "path": verb.file,
        }))?,
        false => {
            let (count, bytes) = (counted(files.count, "file"), size::in_words(files.bytes));
            print(format_args!("{count} exported to {}, {bytes}\n", shown(&verb.file)))?;
        }
    }
    Ok(Exit::Done)
}

fn nothing(called: &str, prefix: &str) -> Result<Exit, Failure> {
    let why = nothing_begins_with(prefix);
    Ok(cli::fail(called, Exit::NotFound, format_args!("{why}; nothing was exported")))
}

/// The files to export, one after the other.
struct Files<'a> {
    called: &'a str,
    pages: Pages,
    client: Client,
    count: usize,
    bytes: u64,
}

/// Why an archive is not whole.
enum NotWhole {
    Ring(Error),
    Written(io::Error),
}

impl NotWhole {
    fn of(self, written: impl FnOnce(io::Error) -> Failure) -> Failure {
        match self {
            Self::Ring(error) => error.into(),
            Self::Written(error) => written(error),
        }
    }
}

impl Files<'_> {
    /// Writes blockingly: nothing else is to be done meanwhile but to end.
    async fn write(&mut self, first: ListedFile, to: impl Write) -> Result<(), NotWhole> {
        let mut archive = ArchiveWriter::new(to);
        let mut next = Some(first);
        while let Some(ListedFile { name, .. }) = next {
            match self.client.get(&name).await {
                Ok(file) => {
                    let modified_s = file.version.stamp.wall_ms() / 1000;
                    let written = archive.file(name.as_str(), &file.content, modified_s);
                    written.map_err(NotWhole::Written)?;
                    self.count += 1;
                    self.bytes += file.content.len() as u64;
                }
                Err(error) if error.status() == Some(404) => {
                    let name = shown(name.as_str());
                    cli::say(
                        self.called,
                        format_args!("{name} was deleted meanwhile, and is left out"),
                    );
                }
                Err(error) => return Err(NotWhole::Ring(error)),
            }
            next = self.pages.next().await.map_err(NotWhole::Ring)?;
        }
        archive.finish().map(drop).map_err(NotWhole::Written)
    }
}
