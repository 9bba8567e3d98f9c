//! `ring-client pull`.

use std::{cell::RefCell, fs, io::Write, ops::ControlFlow, path::PathBuf};

use serde_json::json;

use super::{
    ending::until_signal,
    mirror::{Telling, Words, folder_prefix},
    outcome::{Failure, put_at},
};
use crate::{
    cli::Exit,
    client::{
        connection::Timeouts,
        error::Error,
        failover::Client,
        folder::{BegunFile, Folder, Obstacle, Place},
        human::shown,
        local::{self, Local},
        merged::{Merged, Sides},
        meter::Meter,
        node::Node,
        pages::Pages,
        progress,
        requests::{Fetched, ListedFile},
        save::empty,
        sink::{Filling, Of, Sink},
        tree::LocalFile,
        verbs::Pull,
        workers,
    },
    ring::name::Name,
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
    let telling = Telling::new(called, words, verb.json, verb.dry_run);
    let (meter, telling) = (telling.meter.clone(), RefCell::new(telling));
    let waiting = RefCell::default();
    let folder = opened.clone();
    let pull = Pulling { verb: &verb, prefix, folder, meter, telling, waiting };
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
    let work = progress::show(&pull.meter, !verb.json, work);
    let listed = match opened {
        Some(folder) => until_signal(async { Ok(work.await) }, || folder.end()).await?,
        None => work.await,
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
    meter: Meter,
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
        let aside = Aside { folder, below, place, replaces_links, begun: None };
        let mut filling = Filling::new(aside);
        let got = client.get_into(&file.name, None, &mut filling, &self.meter).await;
        let aside = filling.into_sink();
        let written = async {
            let got = got??;
            // The node may not have said the hash, or the file has changed meanwhile.
            if let Some(local) = local
                && hash_of(local, got.bytes()).await? == Some(got.hash())
            {
                return Ok(None);
            }
            Ok(Some(got))
        };
        let written: Result<Option<Fetched>, NotGot> = written.await;
        smol::unblock(move || match (written, aside) {
            (Ok(Some(got)), Some(aside)) => {
                let (bytes, version) = (got.bytes(), got.version().to_string());
                aside.finish(got)?;
                Ok(Got::Written { bytes, version })
            }
            (written, aside) => {
                if let Some(aside) = aside {
                    aside.give_up();
                }
                written.map(|_| Got::Unchanged)
            }
        })
        .await
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

/// A file that is written where it belongs when it is whole.
struct Aside {
    folder: Folder,
    /// Its path below the folder.
    below: String,
    place: Place,
    replaces_links: bool,
    begun: Option<BegunFile>,
}

impl Sink for Aside {
    type Failure = Obstacle;

    fn begin(&mut self, _: &Of) -> Result<(), Obstacle> {
        match &mut self.begun {
            Some(begun) => Ok(empty(&mut begun.file)?),
            None => {
                let begun = self.folder.begin(&self.below, self.place, self.replaces_links)?;
                self.begun = Some(begun);
                Ok(())
            }
        }
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), Obstacle> {
        let begun = self.begun.as_mut().expect("it has begun");
        Ok(begun.file.write_all(bytes)?)
    }

    fn can_begin_again(&self) -> bool {
        true
    }
}

impl Aside {
    fn finish(self, got: Fetched) -> Result<(), Obstacle> {
        let at = put_at(&got.version());
        let Self { folder, below, place, replaces_links, begun } = self;
        match (got, begun) {
            (Fetched::Large(_), Some(begun)) => folder.finish(begun, at),
            (Fetched::Large(_), None) => unreachable!("it has been written to"),
            (Fetched::Whole(file), begun) => {
                // An attempt before may have brought a larger one.
                if let Some(begun) = begun {
                    folder.give_up(&begun, ());
                }
                folder.write(&below, place, replaces_links, &file.content, at)
            }
        }
    }

    fn give_up(&self) {
        if let Some(begun) = &self.begun {
            self.folder.give_up(begun, ());
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
