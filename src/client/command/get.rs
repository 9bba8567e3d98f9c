//! `ring-client get`.

use std::{
    cell::RefCell,
    fs,
    io::{self, IsTerminal, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    ending::until_signal,
    outcome::{Failure, cannot_write, exit_of, print, print_json, put_at, say, worse},
    wanted::Wanted,
};
use crate::{
    cli::{Exit, UsageError, counted},
    client::{
        chosen::Chosen,
        connection::Timeouts,
        error::Error,
        failover::Client,
        human::shown,
        meter::Meter,
        node::Node,
        progress,
        requests::Fetched,
        save::{Begun, Saver, empty},
        sink::{Filling, Of, Sink},
        verbs::Get,
        workers,
    },
    ring::{name::Name, size, version::Version},
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
        let meter = match &names.names[..] {
            [name] if wanted.is_lone() => Meter::of_one(name.as_str()),
            all => {
                let meter = Meter::default();
                meter.expect(Some(all.len()), names.bytes);
                meter
            }
        };
        let names = names.names;
        let get = Files { called, saver: &saver, target: &target, is_json: verb.json, meter };
        let is_in_the_way = matches!(target, Target::Stdout) && is_terminal();
        let is_shown = !(verb.json || is_in_the_way);
        progress::show(&get.meter, is_shown, async {
            if wanted.is_lone() {
                return get.one(&mut client, &names[0], verb.version).await;
            }
            let got = match target {
                _ if names.is_empty() => exit,
                Target::Stdout => get.in_turn(&mut client, &names).await?,
                _ => get.at_once(nodes, timeouts, names).await?,
            };
            Ok(worse(exit, got))
        })
        .await
    };
    if !target.is_on_disk() {
        return work.await;
    }
    until_signal(work, || saver.end()).await
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

fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Gets files and writes them.
struct Files<'a> {
    called: &'a str,
    meter: Meter,
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
        let version = match chosen {
            None => None,
            Some(chosen) => Some(chosen_version(client, name, chosen).await?),
        };
        match self.get(client, name, version).await {
            Err(Failure::Ring(Error::Status { status: 404, .. })) => Err(match version {
                None => Failure::Missing(name.clone()),
                Some(_) => Failure::NoVersion(name.clone(), "no member has this version".into()),
            }),
            result => result.map(|_| Exit::Done),
        }
    }

    /// One after the other.
    async fn in_turn(&self, client: &mut Client, names: &[Name]) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        for name in names {
            match self.get(client, name, None).await {
                Ok(_) => {}
                Err(Failure::Ring(error)) if !matches!(error, Error::Unreachable { .. }) => {
                    exit = worse(exit, exit_of(&error));
                    let message = format_args!("{} was not got: {error}", shown(name.as_str()));
                    say(self.called, message);
                }
                Err(failure) => return Err(failure),
            }
            self.meter.file_done();
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
        let (all, mut names) = (names.len(), names.into_iter());
        let tally = RefCell::new(Tally::default());
        let next = async || Ok::<_, ()>(names.next());
        let work = async |client: &mut Client, name: Name| {
            let got = self.get(client, &name, None).await;
            self.meter.file_done();
            let (exit, status, why) = match got {
                Ok(bytes) => {
                    tally.borrow_mut().got(bytes);
                    return ControlFlow::Continue(());
                }
                Err(Failure::File(path, error)) => {
                    (Exit::Failed, None, cannot_write(&path, &error))
                }
                Err(Failure::Ring(error)) => (exit_of(&error), error.status(), error.to_string()),
                Err(failure) => {
                    tally.borrow_mut().ended = Err(failure);
                    return ControlFlow::Break(());
                }
            };
            let mut tally = tally.borrow_mut();
            // Several workers find that no node can be reached; that is said once.
            if (tally.exit, exit) != (Exit::Unreachable, Exit::Unreachable) {
                say(self.called, format_args!("{} was not got: {why}", shown(name.as_str())));
            }
            tally.failed += 1;
            tally.exit = worse(tally.exit, exit);
            if self.is_json {
                let told = json!({ "name": name.as_str(), "status": status, "error": why });
                let printed = print_json(&told);
                tally.ended = std::mem::replace(&mut tally.ended, Ok(())).and(printed);
            }
            match exit {
                Exit::Unreachable => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        let _ = workers::each(nodes, timeouts, next, work).await;
        let mut tally = tally.into_inner();
        // Those that were not tried as well.
        tally.failed = all - tally.got;
        std::mem::replace(&mut tally.ended, Ok(()))?;
        if !self.is_json {
            print(tally.line())?;
        }
        Ok(tally.exit)
    }

    /// Gets a file, writes it where it belongs, and says what is known of it, if that is wanted.
    /// Returns its size.
    async fn get(
        &self,
        client: &mut Client,
        name: &Name,
        version: Option<Version>,
    ) -> Result<u64, Failure> {
        let path = self.path(name);
        let mut filling = Filling::new(self.output(path.clone()));
        let got = client.get_into(name, version, &mut filling, &self.meter).await;
        let output = filling.into_sink();
        let failed = |error: io::Error| match &path {
            Some(path) => Failure::File(path.clone(), error),
            None => Failure::Stdout(error),
        };
        let fetched = match (got, output) {
            (Ok(Ok(fetched)), Some(output)) => {
                smol::unblock(move || output.finish(&fetched).map(|()| fetched))
                    .await
                    .map_err(failed)?
            }
            (got, output) => {
                if let Some(output) = output {
                    smol::unblock(move || output.give_up()).await;
                }
                got?.map_err(failed)?
            }
        };
        if self.is_json {
            print_json(&told(name, &fetched, path.as_deref()))?;
        }
        Ok(fetched.bytes())
    }

    /// Where a file is written to, if it is one.
    fn path(&self, name: &Name) -> Option<PathBuf> {
        match self.target {
            Target::Stdout | Target::Nowhere => None,
            Target::File(path) => Some(path.clone()),
            Target::Folder { folder, is_whole_name } => {
                let name = Path::new(name.as_str());
                let last = name.file_name().filter(|_| !is_whole_name);
                Some(folder.join(last.map_or(name, Path::new)))
            }
        }
    }

    fn output(&self, path: Option<PathBuf>) -> Output {
        match (self.target, path) {
            (Target::Stdout, _) => Output::Stdout,
            (target, Some(path)) => Output::File {
                saver: self.saver.clone(),
                path,
                makes_folder: matches!(target, Target::Folder { .. }),
                begun: None,
            },
            (_, None) => Output::Nowhere,
        }
    }
}

/// What a file is written to.
enum Output {
    Stdout,
    Nowhere,
    File { saver: Saver, path: PathBuf, makes_folder: bool, begun: Option<Begun> },
}

impl Sink for Output {
    type Failure = io::Error;

    fn begin(&mut self, _: &Of) -> io::Result<()> {
        let Self::File { saver, path, makes_folder, begun } = self else { return Ok(()) };
        if let Some(begun) = begun {
            return empty(&mut begun.file);
        }
        make_folder(path, *makes_folder)?;
        *begun = Some(saver.begin(path)?);
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => write_to_stdout(bytes),
            Self::Nowhere => Ok(()),
            Self::File { begun, .. } => begun.as_mut().expect("it has begun").file.write_all(bytes),
        }
    }

    fn can_begin_again(&self) -> bool {
        match self {
            Self::Stdout => false,
            Self::Nowhere => true,
            Self::File { begun, .. } => begun.as_ref().is_none_or(Begun::is_aside),
        }
    }
}

impl Output {
    /// All of a file is there: it takes its place.
    fn finish(self, fetched: &Fetched) -> io::Result<()> {
        let whole = match fetched {
            Fetched::Whole(file) => Some(file),
            Fetched::Large(_) => None,
        };
        let (saver, path, makes_folder, begun) = match self {
            Self::Stdout => return whole.map_or(Ok(()), |file| write_to_stdout(&file.content)),
            Self::Nowhere => return Ok(()),
            Self::File { saver, path, makes_folder, begun } => (saver, path, makes_folder, begun),
        };
        let put_at = put_at(&fetched.version());
        match (whole, begun) {
            (None, Some(begun)) => saver.finish(begun, Some(put_at)),
            (None, None) => unreachable!("it has been written to"),
            (Some(file), begun) => {
                // An attempt before may have brought a larger one.
                if let Some(begun) = begun {
                    saver.give_up(&begun, ());
                }
                make_folder(&path, makes_folder)?;
                saver.save(&path, &file.content, put_at)
            }
        }
    }

    fn give_up(&self) {
        if let Self::File { saver, begun: Some(begun), .. } = self {
            saver.give_up(begun, ());
        }
    }
}

fn make_folder(path: &Path, is_wanted: bool) -> io::Result<()> {
    match path.parent().filter(|_| is_wanted) {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    }
}

fn write_to_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
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

fn told(name: &Name, fetched: &Fetched, path: Option<&Path>) -> Value {
    json!({
        "name": name.as_str(),
        "bytes": fetched.bytes(),
        "version": fetched.version().to_string(),
        "blake3": fetched.hash().to_hex().as_str(),
        "path": path.map(|path| path.display().to_string()),
    })
}
