//! `ring-client get`.

use std::{
    cell::RefCell,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use smol::future;

use super::{
    outcome::{Failure, cannot_write, exit_of, print, print_json, put_at, worse},
    wanted::Wanted,
};
use crate::{
    cli::{self, Exit, UsageError, counted},
    client::{
        chosen::Chosen, connection::Timeouts, download::download, error::Error, failover::Client,
        human::shown, node::Node, requests::File, save::Saver, verbs::Get,
    },
    ring::{name::Name, size, version::Version},
    serve::signals::EndSignals,
};

pub(super) async fn get(
    called: &str,
    nodes: &[Node],
    timeouts: Timeouts,
    verb: Get,
) -> Result<Exit, Failure> {
    let wanted = Wanted::of(&verb.names, &verb.prefix)?;
    if verb.version.is_some() && !wanted.is_lone() {
        return Err(UsageError("--version is for one file".into()).into());
    }
    let target = Target::of(&verb, wanted.is_lone())?;
    let saver = Saver::default();
    let mut client = Client::new(nodes.to_vec(), timeouts);
    let work = async {
        let (names, exit) = wanted.names(called, &mut client).await?;
        let get = Files { called, saver: &saver, target: &target, is_json: verb.json };
        if wanted.is_lone() {
            return get.one(&mut client, &names[0], verb.version).await;
        }
        let got = match target {
            _ if names.is_empty() => exit,
            Target::Stdout => get.in_turn(&mut client, &names).await?,
            _ => get.at_once(nodes, timeouts, names).await?,
        };
        Ok(worse(exit, got))
    };
    if !target.is_on_disk() {
        return work.await;
    }
    let Ok(mut signals) = EndSignals::listen() else { return work.await };
    let interrupted = async {
        let signal = signals.next().await;
        saver.end();
        Err(Failure::Interrupted(signal))
    };
    future::or(work, interrupted).await
}

/// Where the bytes go.
enum Target {
    Stdout,
    /// Only what is known of each file is printed.
    Nowhere,
    File(PathBuf),
    /// Into a folder, which need not exist, under the whole name or its last part.
    Folder {
        folder: PathBuf,
        is_whole_name: bool,
    },
}

impl Target {
    fn of(verb: &Get, is_lone: bool) -> Result<Self, UsageError> {
        let usage = |why: String| Err(UsageError(why));
        let Some(output) = verb.output.as_deref() else {
            return match (verb.json, is_lone) {
                (true, _) => Ok(Self::Nowhere),
                (false, true) => Ok(Self::Stdout),
                (false, false) => usage(
                    "several files need a folder: -o FOLDER. With -o - they stand one after the \
                     other on stdout"
                        .into(),
                ),
            };
        };
        let path = PathBuf::from(output);
        let is_folder = output.ends_with('/') || path.is_dir();
        match output {
            "-" if verb.json => usage("--json and -o - would both write to stdout".into()),
            "-" => Ok(Self::Stdout),
            _ if is_lone && !is_folder => Ok(Self::File(path)),
            _ if !is_lone && !is_folder && path.exists() => {
                usage(format!("{} is no folder, and several files need one", shown(output)))
            }
            _ => Ok(Self::Folder { folder: path, is_whole_name: !is_lone }),
        }
    }

    fn is_on_disk(&self) -> bool {
        matches!(self, Self::File(_) | Self::Folder { .. })
    }
}

/// Gets files and writes them.
struct Files<'a> {
    called: &'a str,
    saver: &'a Saver,
    target: &'a Target,
    is_json: bool,
}

impl Files<'_> {
    async fn one(
        &self,
        client: &mut Client,
        name: &Name,
        chosen: Option<Chosen>,
    ) -> Result<Exit, Failure> {
        let got = match chosen {
            None => client.get(name).await,
            Some(chosen) => {
                let version = chosen_version(client, name, chosen).await?;
                client.get_version(name, version).await
            }
        };
        match got {
            Err(Error::Status { status: 404, .. }) if chosen.is_none() => {
                Err(Failure::Missing(name.clone()))
            }
            Err(Error::Status { status: 404, .. }) => {
                Err(Failure::NoVersion(name.clone(), "no member has this version".into()))
            }
            result => self.write(name, result?).await.map(|()| Exit::Done),
        }
    }

    /// One after the other.
    async fn in_turn(&self, client: &mut Client, names: &[Name]) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        for name in names {
            match client.get(name).await {
                Ok(file) => drop(self.write(name, file).await?),
                Err(error @ Error::Unreachable { .. }) => return Err(error.into()),
                Err(error) => {
                    exit = worse(exit, exit_of(&error));
                    let message = format_args!("{} was not got: {error}", shown(name.as_str()));
                    cli::say(self.called, message);
                }
            }
        }
        Ok(exit)
    }

    /// Several at once, in no particular order.
    async fn at_once(
        &self,
        nodes: &[Node],
        timeouts: Timeouts,
        names: Vec<Name>,
    ) -> Result<Exit, Failure> {
        let tally = RefCell::new(Tally::default());
        let left = download(nodes, timeouts, names, async |name, result| {
            let (exit, status, why) = match result {
                Ok(file) => {
                    let bytes = file.content.len() as u64;
                    match self.write(&name, file).await {
                        Ok(()) => return tally.borrow_mut().got(bytes),
                        Err(Failure::File(path, error)) => {
                            (Exit::Failed, None, cannot_write(&path, &error))
                        }
                        Err(failure) => return tally.borrow_mut().ended = Err(failure),
                    }
                }
                Err(error) => (exit_of(&error), error.status(), error.to_string()),
            };
            let mut tally = tally.borrow_mut();
            // Several workers find that no node can be reached; that is said once.
            if (tally.exit, exit) != (Exit::Unreachable, Exit::Unreachable) {
                cli::say(self.called, format_args!("{} was not got: {why}", shown(name.as_str())));
            }
            tally.failed += 1;
            tally.exit = worse(tally.exit, exit);
            if self.is_json {
                let told = json!({ "name": name.as_str(), "status": status, "error": why });
                let printed = print_json(&told);
                tally.ended = std::mem::replace(&mut tally.ended, Ok(())).and(printed);
            }
        })
        .await;
        let mut tally = tally.into_inner();
        tally.failed += left;
        std::mem::replace(&mut tally.ended, Ok(()))?;
        if !self.is_json {
            print(tally.line())?;
        }
        Ok(tally.exit)
    }

    /// Writes a file where it belongs, and says what is known of it, if that is wanted.
    async fn write(&self, name: &Name, file: File) -> Result<(), Failure> {
        let told = self.is_json.then(|| told(name, &file));
        let path = match self.target {
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(&file.content).and_then(|()| stdout.flush());
                written.map_err(Failure::Stdout)?;
                None
            }
            Target::Nowhere => None,
            Target::File(path) => Some(path.clone()),
            Target::Folder { folder, is_whole_name } => {
                let name = Path::new(name.as_str());
                let last = name.file_name().filter(|_| !is_whole_name);
                Some(folder.join(last.map_or(name, Path::new)))
            }
        };
        if let Some(path) = &path {
            let (saver, path) = (self.saver.clone(), path.clone());
            let makes_folder = matches!(self.target, Target::Folder { .. });
            smol::unblock(move || {
                let made = match path.parent().filter(|_| makes_folder) {
                    Some(folder) => fs::create_dir_all(folder),
                    None => Ok(()),
                };
                let saved =
                    made.and_then(|()| saver.save(&path, &file.content, put_at(&file.version)));
                saved.map_err(|error| Failure::File(path, error))
            })
            .await?;
        }
        if let Some(mut told) = told {
            told["path"] = path.map(|path| path.display().to_string()).into();
            print_json(&told)?;
        }
        Ok(())
    }
}

/// The version that is meant, by its number if that is how it was typed.
async fn chosen_version(
    client: &mut Client,
    name: &Name,
    chosen: Chosen,
) -> Result<Version, Failure> {
    let number = match chosen {
        Chosen::Exact(version) => return Ok(version),
        Chosen::Number(number) => number,
    };
    let log = match client.log(name).await {
        Err(Error::Status { status: 404, .. }) => return Err(Failure::Missing(name.clone())),
        log => log?,
    };
    let why = match log.get(number - 1) {
        Some(row) if row.bytes.is_some() => return Ok(row.version),
        Some(row) => format!("version {number} of it is a deletion, {}", row.version),
        None => format!("the node holds {} of it", counted(log.len(), "version")),
    };
    Err(Failure::NoVersion(name.clone(), why))
}

/// What became of all files.
struct Tally {
    got: usize,
    /// Of those that were got.
    bytes: u64,
    failed: usize,
    exit: Exit,
    /// An error when stdout cannot be written to.
    ended: Result<(), Failure>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { got: 0, bytes: 0, failed: 0, exit: Exit::Done, ended: Ok(()) }
    }
}

impl Tally {
    fn got(&mut self, bytes: u64) {
        self.got += 1;
        self.bytes += bytes;
    }

    fn line(&self) -> String {
        let (got, bytes) = (counted(self.got, "file"), size::in_words(self.bytes));
        match self.failed {
            0 => format!("{got} got, {bytes}\n"),
            failed => format!("{got} got, {bytes}; {failed} not got\n"),
        }
    }
}

fn told(name: &Name, file: &File) -> Value {
    json!({
        "name": name.as_str(),
        "bytes": file.content.len(),
        "version": file.version.to_string(),
        "blake3": blake3::hash(&file.content).to_hex().as_str(),
        "path": null,
    })
}
