//! `ring-client export`.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal},
    os::fd::AsFd,
    path::PathBuf,
};

use serde_json::json;

use super::{
    ending::until_signal,
    outcome::{Failure, print, print_json, say},
    wanted::nothing_begins_with,
};
use crate::{
    cli::{self, Exit, UsageError, counted},
    client::{
        archive::ArchiveWriter,
        connection::Timeouts,
        error::Error,
        failover::Client,
        human::shown,
        meter::Meter,
        node::Node,
        pages::Pages,
        progress,
        requests::{Fetched, ListedFile},
        save::Saver,
        sink::{Filling, Of, Sink},
        verbs::Export,
    },
    ring::{name::Name, size, version::Version},
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
        meter: Meter::default(),
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
        // Also where nothing reads it any more: a backup that is cut is no success.
        let stdout = |error| Failure::File(PathBuf::from("stdout"), error);
        let to = io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(stdout)?;
        files.write_shown(first, to, !verb.json).await.map_err(|failed| failed.of(stdout))?;
        return Ok(Exit::Done);
    }
    let Some(first) = files.pages.next().await? else { return nothing(called, &verb.prefix) };
    let (saver, path) = (Saver::default(), PathBuf::from(&verb.file));
    let failed = |error| Failure::File(path.clone(), error);
    let work = async {
        let begun = saver.begin(&path).map_err(failed)?;
        let to = begun.file.try_clone().map_err(failed)?;
        match files.write_shown(first, to, !verb.json).await {
            Ok(()) => saver.finish(begun, None).map_err(failed),
            Err(error) => Err(saver.give_up(&begun, error.of(failed))),
        }
    };
    until_signal(work, || saver.end()).await?;
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
    meter: Meter,
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
    async fn write_shown(
        &mut self,
        first: ListedFile,
        to: File,
        is_shown: bool,
    ) -> Result<(), NotWhole> {
        let meter = self.meter.clone();
        progress::show(&meter, is_shown, self.write(first, to)).await
    }

    async fn write(&mut self, first: ListedFile, to: File) -> Result<(), NotWhole> {
        let mut archive = ArchiveWriter::new(BufWriter::new(to));
        let mut next = Some(first);
        while let Some(ListedFile { name, .. }) = next {
            let mut filling = Filling::new(Entry { archive, name: name.clone() });
            let got = self.client.get_into(&name, None, &mut filling, &self.meter).await;
            let entry = filling.into_sink().expect("it is not written to any more");
            archive = match got {
                Ok(Ok(fetched)) => {
                    self.count += 1;
                    self.bytes += fetched.bytes();
                    smol::unblock(move || entry.finish(fetched)).await.map_err(NotWhole::Written)?
                }
                Ok(Err(error)) => return Err(NotWhole::Written(error)),
                Err(Error::Status { status: 404, .. }) => {
                    let name = shown(name.as_str());
                    say(self.called, format_args!("{name} was deleted meanwhile, and is left out"));
                    entry.archive
                }
                Err(error) => return Err(NotWhole::Ring(error)),
            };
            self.meter.file_done();
            next = self.pages.next().await.map_err(NotWhole::Ring)?;
        }
        smol::unblock(move || archive.finish()).await.map(drop).map_err(NotWhole::Written)
    }
}

/// A file of the archive that is being written.
struct Entry {
    archive: ArchiveWriter<BufWriter<File>>,
    name: Name,
}

impl Sink for Entry {
    type Failure = io::Error;

    fn begin(&mut self, of: &Of) -> io::Result<()> {
        self.archive.begin(self.name.as_str(), of.bytes, seconds(&of.version))
    }

    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.archive.part(bytes)
    }

    fn can_begin_again(&self) -> bool {
        false
    }
}

impl Entry {
    /// All of a file is there. Returns the archive.
    fn finish(mut self, fetched: Fetched) -> io::Result<ArchiveWriter<BufWriter<File>>> {
        match fetched {
            Fetched::Large(_) => self.archive.end()?,
            Fetched::Whole(file) => {
                let modified_s = seconds(&file.version);
                self.archive.file(self.name.as_str(), &file.content, modified_s)?;
            }
        }
        Ok(self.archive)
    }
}

/// When a version was put, in seconds since 1970.
fn seconds(version: &Version) -> u64 {
    version.stamp.wall_ms() / 1000
}
