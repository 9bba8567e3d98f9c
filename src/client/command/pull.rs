//! `ring-client pull`.

use std::{cell::RefCell, fs, ops::ControlFlow, path::PathBuf};

use serde_json::json;
use smol::future;

use super::{
    mirror::{Telling, Words, folder_prefix},
    outcome::{Failure, put_at},
};
use crate::{
    cli::Exit,
    client::{
        connection::Timeouts,
        error::Error,
        failover::Client,
        folder::{Folder, Obstacle, Place},
        human::shown,
        local::{self, Local},
        merged::{Merged, Sides},
        node::Node,
        pages::Pages,
        requests::ListedFile,
        tree::LocalFile,
        verbs::Pull,
        workers,
    },
    ring::name::Name,
    serve::signals::EndSignals,
};

/// Files that wait for what is in their way to be deleted. Those beyond are named at once.
const WAITING_MAX: usize = 10_000;

pub(super) async fn pull(
    called: &str,
    nodes: &[Node],
    timeouts: Timeouts,
    verb: Pull,
) -> Result<Exit, Failure> {
    let prefix = folder_prefix(verb.prefix.as_deref())?;
    let client = || Client::new(nodes.to_vec(), timeouts);
    if verb.delete && !verb.force && client().list(&prefix, None).await?.entries.is_empty() {
        return Err(Failure::Unsafe(format!(
            "the ring has no name {}, and --delete would delete all files of {}. If that is \
             wanted, add --force",
            if prefix.is_empty() { "at all".into() } else { format!("below {}", shown(&prefix)) },
            shown(&verb.dir)
        )));
    }
    let dir = PathBuf::from(&verb.dir);
    if !verb.dry_run {
        let made = fs::create_dir_all(&dir);
        made.map_err(|error| Failure::File(dir.clone(), error))?;
    }
    let opened = match verb.dry_run && !dir.exists() {
        // All would be new.
        true => None,
        false => Some(Folder::open(&dir).map_err(|error| Failure::File(dir.clone(), error))?),
    };
    let local = match opened {
        Some(_) => Local::open(dir.clone(), prefix.clone()).await?,
        None => Local::empty(),
    };
    let mut both = Merged::of(local, Pages::new(client(), prefix.clone(), true));
    let words = Words { act: "get", done: "got" };
    let telling = RefCell::new(Telling::new(called, words, verb.json, verb.dry_run));
    let waiting = RefCell::default();
    let pull = Pulling { verb: &verb, prefix, folder: opened.clone(), telling, waiting };
    let work = async {
        let work = async |client: &mut Client, sides| pull.one(client, sides).await;
        let listed = workers::each(nodes, timeouts, async || both.next().await, work).await;
        // What was in the way may be gone now.
        let mut waiting = pull.waiting.take().into_iter();
        let again = async |client: &mut Client, (file, place): (ListedFile, Place)| {
            pull.get(client, &file, None, place, false).await
        };
        let _ = workers::each(nodes, timeouts, async || Ok::<_, ()>(waiting.next()), again).await;
        listed
    };
    let listed = match (opened, EndSignals::listen()) {
        (Some(folder), Ok(mut signals)) => {
            let interrupted = async {
                let signal = signals.next().await;
                folder.end();
                Err(Failure::Interrupted(signal))
            };
            future::or(async { Ok(work.await) }, interrupted).await?
        }
        _ => work.await,
    };
    let mut telling = pull.telling.into_inner();
    if let Err(error) = listed {
        telling.cut_short(&error);
    }
    telling.end()
}

struct Pulling<'a> {
    verb: &'a Pull,
    prefix: String,
    /// `None`: it is not there, and nothing is done.
    folder: Option<Folder>,
    telling: RefCell<Telling<'a>>,
    waiting: RefCell<Vec<(ListedFile, Place)>>,
}

impl Pulling<'_> {
    async fn one(&self, client: &mut Client, sides: Sides) -> ControlFlow<()> {
        let waits = self.verb.delete;
        match sides {
            Sides::Ring { file, .. } => self.get(client, &file, None, Place::New, waits).await,
            Sides::Both(local, file) => {
                self.get(client, &file, Some(&local), Place::Taken, waits).await
            }
            Sides::Local(local) if self.verb.delete => {
                self.delete(&local.name).await;
                ControlFlow::Continue(())
            }
            Sides::Skipped(skipped) if self.verb.delete => {
                self.telling.borrow_mut().skipped(&skipped, !skipped.is_special);
                ControlFlow::Continue(())
            }
            Sides::Leftover(name) => {
                if let (Some(folder), false) = (self.folder.clone(), self.verb.dry_run) {
                    let name = self.below(&name).to_owned();
                    smol::unblock(move || folder.remove_leftover(&name)).await;
                }
                ControlFlow::Continue(())
            }
            Sides::Local(_) | Sides::Skipped(_) => ControlFlow::Continue(()),
        }
    }

    /// Gets a file unless the folder has its bytes. `waits`: what is in the way may be deleted soon.
    async fn get(
        &self,
        client: &mut Client,
        file: &ListedFile,
        local: Option<&LocalFile>,
        place: Place,
        waits: bool,
    ) -> ControlFlow<()> {
        let name = &file.name;
        match self.try_get(client, file, local, place).await {
            Ok(Got::Unchanged) => {
                let more = json!({ "version": file.version.to_string() });
                self.telling.borrow_mut().unchanged(name, more);
            }
            Ok(Got::Written { bytes, version }) => {
                let path = PathBuf::from(&self.verb.dir).join(self.below(name.as_str()));
                let path = path.display().to_string();
                let more = json!({ "version": version, "bytes": bytes, "path": path });
                let is_new = Some(place == Place::New);
                self.telling.borrow_mut().done(name, is_new, bytes, more);
            }
            Err(NotGot::Ring(error)) => {
                return self.telling.borrow_mut().failed(name, "got", &error);
            }
            Err(NotGot::Here(Obstacle::InTheWay(_)))
                if waits && self.waiting.borrow().len() < WAITING_MAX =>
            {
                self.waiting.borrow_mut().push((file.clone(), place));
            }
            Err(NotGot::Here(obstacle)) => {
                self.telling.borrow_mut().hindered(name, "got", &self.why(obstacle));
            }
        }
        ControlFlow::Continue(())
    }

    async fn try_get(
        &self,
        client: &mut Client,
        file: &ListedFile,
        local: Option<&LocalFile>,
        place: Place,
    ) -> Result<Got, NotGot> {
        let hash_of = |local: &LocalFile, bytes| {
            let path = local.path.clone();
            smol::unblock(move || local::hash(&path, bytes))
        };
        if let (Some(local), Some(hash)) = (local, file.hash)
            && hash_of(local, file.bytes).await? == Some(hash)
        {
            return Ok(Got::Unchanged);
        }
        let replaces_links = self.verb.delete;
        let below = self.below(file.name.as_str()).to_owned();
        let Some(folder) = self.folder.clone() else { return Ok(Got::would(file)) };
        // Before its bytes travel in vain.
        let (path, other) = (below.clone(), folder.clone());
        let check = smol::unblock(move || other.check(&path, place, replaces_links)).await;
        match (check, self.verb.dry_run) {
            // It would be deleted before.
            (Ok(()), true) | (Err(Obstacle::InTheWay(_)), true) if self.verb.delete => {
                return Ok(Got::would(file));
            }
            (Ok(()), true) => return Ok(Got::would(file)),
            (check, _) => check?,
        }
        let got = client.get(&file.name).await?;
        let bytes = got.content.len() as u64;
        // The node may not have said the hash, or the file has changed meanwhile.
        if let Some(local) = local
            && hash_of(local, bytes).await? == Some(blake3::hash(&got.content))
        {
            return Ok(Got::Unchanged);
        }
        let (at, version) = (put_at(&got.version), got.version.to_string());
        let write = move || folder.write(&below, place, replaces_links, &got.content, at);
        smol::unblock(write).await?;
        Ok(Got::Written { bytes, version })
    }

    async fn delete(&self, name: &Name) {
        let below = self.below(name.as_str()).to_owned();
        let removed = match (self.folder.clone(), self.verb.dry_run) {
            (Some(folder), false) => smol::unblock(move || folder.remove(&below)).await,
            _ => Ok(()),
        };
        let mut telling = self.telling.borrow_mut();
        match removed {
            Ok(()) => telling.deleted(name, json!({})),
            Err(obstacle) => telling.hindered(name, "deleted", &self.why(obstacle)),
        }
    }

    /// The path of a name below the folder.
    fn below<'n>(&self, name: &'n str) -> &'n str {
        name.strip_prefix(&self.prefix).unwrap_or(name)
    }

    fn why(&self, obstacle: Obstacle) -> String {
        match obstacle {
            Obstacle::InTheWay(why) if !self.verb.delete => {
                format!("{why}. Remove it, or pull with --delete")
            }
            Obstacle::InTheWay(why) => {
                format!("{why}, and not all of it is deleted, or the ring has both")
            }
            Obstacle::Conflict(why) => why,
            Obstacle::System(error) => error.to_string(),
        }
    }
}

/// What became of a file.
enum Got {
    Unchanged,
    Written { bytes: u64, version: String },
}

impl Got {
    /// It would be written.
    fn would(file: &ListedFile) -> Self {
        Self::Written { bytes: file.bytes, version: file.version.to_string() }
    }
}

/// Why a file was not got.
enum NotGot {
    Ring(Error),
    Here(Obstacle),
}

impl From<Error> for NotGot {
    fn from(error: Error) -> Self {
        Self::Ring(error)
    }
}

impl From<Obstacle> for NotGot {
    fn from(obstacle: Obstacle) -> Self {
        Self::Here(obstacle)
    }
}
