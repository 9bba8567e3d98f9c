//! `smolring up`: a whole ring on this machine, to look at and to try.

mod check;
mod children;
mod nodes;
mod services;

use std::{
    cell::Cell,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use argh::{ArgsInfo, FromArgs};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use smol::future;

use self::{children::Children, nodes::Nodes, services::Services};
use super::signals::EndSignals;
use crate::{
    cli::{self, Exit, UsageError},
    client::{self, Timeouts, collect},
    ring::limits::MEMBERS_MAX,
};

/// Where the files are if nobody says otherwise.
const DIR_DEFAULT: &str = "test_files";
/// How long the ring may take to stand.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Runs a whole ring on this machine: starts the nodes, puts a folder into it, and reads every file
/// back from every node.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               {command_name} site/ --nodes 5\n\
               {command_name} --services\n\
               {command_name} --once",
    note = "It stays and shows what happens until Ctrl-C, which ends every node; a second Ctrl-C\n\
            does not wait for them.",
    error_code(0, "all copies are right, and the user has ended it"),
    error_code(1, "not all copies are right, or were checked, or something did not start"),
    error_code(2, "the command line is wrong")
)]
struct Options {
    /// folder to put into the ring (default: test_files)
    #[argh(positional, arg_name = "dir")]
    dir: Option<PathBuf>,

    /// how many nodes (default: 3)
    #[argh(option, default = "3", arg_name = "n")]
    nodes: usize,

    /// run the services around the ring as well, each on any free port
    #[argh(switch)]
    services: bool,

    /// end after the check
    #[argh(switch)]
    once: bool,
}

/// Runs a ring until Ctrl-C, SIGTERM or SIGHUP. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    let options = match cli::parse::<Options>(name, args) {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    if !(1..=MEMBERS_MAX).contains(&options.nodes) {
        let message = format!("--nodes {} is not between 1 and {MEMBERS_MAX}", options.nodes);
        return cli::usage(name, &UsageError(message));
    }
    let dir = options.dir.as_deref().unwrap_or(Path::new(DIR_DEFAULT));
    if !dir.is_dir() {
        let message = format!("there is no folder {}; name one", dir.display());
        return cli::usage(name, &UsageError(message));
    }
    let mut signals = match EndSignals::listen() {
        Ok(signals) => signals,
        Err(why) => return cli::fail(name, Exit::Failed, why),
    };
    smol::block_on(async {
        let mut children = Children::default();
        let is_checked = Cell::new(false);
        let serving = serve(name, &options, dir, &mut children, &is_checked);
        let interrupted = async {
            signals.next().await;
            match is_checked.get() {
                true => Ok(Exit::Done),
                false => Err("ended before all copies were checked".into()),
            }
        };
        let ended = future::or(serving, interrupted).await;
        let in_order = async {
            children.end(print).await;
            None
        };
        let at_once = async { Some(signals.next().await) };
        let signal = future::or(in_order, at_once).await;
        if let Some(signal) = signal {
            children.kill();
            return cli::fail(name, Exit::Failed, format_args!("received {signal}, ended at once"));
        }
        ended.unwrap_or_else(|why| cli::fail(name, Exit::Failed, why))
    })
}

async fn serve(
    name: &str,
    options: &Options,
    dir: &Path,
    children: &mut Children,
    is_checked: &Cell<bool>,
) -> Result<Exit, String> {
    let bar = spinner("starting the nodes");
    let mut nodes = Nodes::new();
    for _ in 0..options.nodes {
        nodes.start(children).await?;
    }
    nodes.ready(READY_WITHIN).await?;
    let sources = collect(&[dir.to_owned()]).map_err(|error| error.to_string())?;
    for word in &sources.skipped {
        cli::say(name, word);
    }
    let sources = sources.sources;
    let ring = nodes.all();

    progress(&bar, "putting files", sources.len());
    let mut failed = Vec::new();
    client::upload(&ring, Timeouts::default(), sources.clone(), |source, result| {
        bar.inc(1);
        failed.extend(result.err().map(|error| format!("{} was not put: {error}", source.name)));
    })
    .await;
    progress(&bar, "reading back", sources.len() * ring.len());
    failed.extend(check::read_back(&ring, &sources, || bar.inc(1)).await);
    bar.finish_and_clear();

    let shown = check::table(&ring).await.and_then(|table| print(&table));
    failed.extend(shown.err());
    if !failed.is_empty() {
        failed.iter().for_each(|line| cli::say(name, line));
        return Ok(Exit::Failed);
    }
    is_checked.set(true);
    let (files, count) = (sources.len(), ring.len());
    print(&format!("{files} files are the same on {count} of {count} nodes.\n"))?;
    let services = match options.services {
        true => Services::start(children, READY_WITHIN).await?,
        false => Services::default(),
    };
    if options.services {
        print(&format!("\n{}", services.table()))?;
    }
    if options.once {
        return Ok(Exit::Done);
    }
    print(&nodes.things_to_try(&sources))?;
    let again = async |label: &str| match nodes.again(label).await {
        None => services.again(label).unwrap_or_default(),
        Some(again) => again,
    };
    children.watch(print, again).await
}

fn print(text: &str) -> Result<(), String> {
    match cli::print(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to stdout: {error}"))
        }
        _ => Ok(()),
    }
}

/// What stands on the last line while the user waits; nothing where stderr is no terminal.
fn spinner(message: &'static str) -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn progress(bar: &ProgressBar, message: &'static str, steps: usize) {
    let style = ProgressStyle::with_template("{msg:14} {bar:40} {pos}/{len}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(message);
    bar.set_length(steps as u64);
    bar.set_position(0);
}
