//! `smolring up`: a whole ring on this machine, to look at and to try.

mod browser;
mod check;
mod children;
mod files;
mod nodes;
mod samples;
mod screen;
#[cfg_attr(not(all(feature = "services", feature = "grpc")), path = "no_services.rs")]
mod services;

use std::{
    cell::Cell,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use argh::{ArgsInfo, FromArgs};
use smol::future;

use self::{
    children::Children,
    files::{Files, put},
    nodes::Nodes,
    screen::{print, progress, spinner},
    services::Services,
};
use super::ring_node;
use crate::{
    cli::{self, Exit, UsageError, counted},
    client::shown,
    ring::limits::MEMBERS_MAX,
    serve::signals::{EndSignals, insisted},
};

/// How long the ring may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// The option of a node that shows the user's own pages without a sandbox.
const TRUST: &str = "--trust-pages";

/// Runs a whole ring on this machine: starts the nodes, puts files into it, and reads every file back
/// from every node.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "[<dir>] [<options>] [-- <options of each node>]",
    example = "{command_name}\n\
               {command_name} site/ --nodes 5\n\
               {command_name} site/ --open\n\
               {command_name} --services\n\
               {command_name} --once\n\
               {command_name} --data ring/\n\
               {command_name} site/ -- --max-file-bytes 64MiB --verbose",
    note = "It prints first where a browser sees the ring, and the site if <dir> has an index.html:\n\
            every node serves it. Pages of <dir> are trusted; see ring-node --trust-pages.\n\
            \n\
            It stays and shows what happens until Ctrl-C, which ends every node; another\n\
            Ctrl-C, a second later, does not wait for them.\n\
            \n\
            A file that cannot be put is skipped and counted: one that is larger than the nodes'\n\
            --max-file-bytes (16MiB unless said otherwise), that cannot be read, or that has a name\n\
            which the ring does not take.\n\
            \n\
            The words behind `--` are options for every node; `ring-node --help` has them all.",
    error_code(0, "all copies are right, and the user has ended it"),
    error_code(1, "not all copies are right, or were checked, or something did not start"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Options {
    /// folder to put into the ring (default: a few files that are part of the program)
    #[argh(positional, arg_name = "dir")]
    dir: Option<PathBuf>,

    /// how many nodes, from 1 to 128 (default: 3)
    #[argh(option, default = "3", arg_name = "n")]
    nodes: usize,

    /// folder in which the nodes keep their files, in a folder each: started again with it, they have
    /// them (default: none, files are kept in memory)
    #[argh(option, arg_name = "dir")]
    data: Option<PathBuf>,

    /// open the ring in a browser, where there is a desktop
    #[argh(switch)]
    open: bool,

    /// run the services around the ring as well, each on any free port
    #[argh(switch)]
    services: bool,

    /// end after the check
    #[argh(switch)]
    once: bool,
}

/// What is to be done, when the command line has been checked.
struct Plan {
    options: Options,
    /// Options of each node.
    node_options: Vec<String>,
    /// The largest file that the nodes take.
    file_bytes_max: usize,
}

/// Runs a ring until Ctrl-C, SIGTERM or SIGHUP. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let options = match cli::parse::<Options>(name, &args[..end]) {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    let plan = match Plan::new(options, args.get(end + 1..).unwrap_or_default()) {
        Ok(plan) => plan,
        Err(error) => return cli::usage(name, &error),
    };
    let mut signals = match EndSignals::listen() {
        Ok(signals) => signals,
        Err(why) => return cli::fail(name, Exit::Failed, why),
    };
    smol::block_on(async {
        let mut children = Children::default();
        let is_checked = Cell::new(false);
        let serving =
            async { Ended::ByItself(serve(name, &plan, &mut children, &is_checked).await) };
        let interrupted = async { Ended::By(signals.next().await) };
        let ended = future::or(serving, interrupted).await;
        if let Ended::By(signal) = ended {
            say_goodbye(signal, children.count());
        }
        let in_order = async {
            children.end().await;
            None
        };
        let first = Instant::now();
        let at_once = async { Some(insisted(&mut signals, first).await) };
        if let Some(signal) = future::or(in_order, at_once).await {
            children.kill();
            screen::end_line();
            return cli::fail(name, Exit::Failed, format_args!("received {signal}, ended at once"));
        }
        match ended {
            Ended::ByItself(Ok(exit)) => exit,
            Ended::ByItself(Err(why)) => cli::fail(name, Exit::Failed, why),
            Ended::By(_) if is_checked.get() => Exit::Done,
            Ended::By(_) => cli::fail(name, Exit::Failed, "ended before all copies were checked"),
        }
    })
}

/// Why it ends.
enum Ended {
    ByItself(Result<Exit, String>),
    /// By a signal of this name.
    By(&'static str),
}

impl Plan {
    fn new(options: Options, node_options: &[String]) -> Result<Self, UsageError> {
        if !(1..=MEMBERS_MAX).contains(&options.nodes) {
            let message = format!("--nodes {} is not between 1 and {MEMBERS_MAX}", options.nodes);
            return Err(UsageError(message));
        }
        if let Some(dir) = options.dir.as_ref().filter(|dir| !dir.is_dir()) {
            let shown = shown(&dir.display().to_string());
            let message = match dir.exists() {
                true => format!("{shown} is no folder; name one, or none"),
                false => format!("there is no folder {shown}; name one, or none"),
            };
            return Err(UsageError(message));
        }
        let file_bytes_max = ring_node::check_common(node_options, options.data.is_some())
            .map_err(|UsageError(why)| UsageError(format!("options of the nodes: {why}")))?;
        Ok(Self { options, node_options: node_options.to_vec(), file_bytes_max })
    }
}

async fn serve(
    name: &str,
    plan: &Plan,
    children: &mut Children,
    is_checked: &Cell<bool>,
) -> Result<Exit, String> {
    let bar = spinner("starting the nodes");
    let data = plan.options.data.as_deref().map(|folder| {
        let whole = fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
        whole.map_err(|error| {
            format!("cannot use {}: {error}", shown(&folder.display().to_string()))
        })
    });
    let mut node_options = plan.node_options.clone();
    if plan.options.dir.is_some() && !node_options.iter().any(|it| it == TRUST) {
        node_options.push(TRUST.into());
    }
    let mut nodes = Nodes::new(&node_options, data.transpose()?.as_deref());
    for _ in 0..plan.options.nodes {
        nodes.start(children).await?;
    }
    nodes.ready(READY_WITHIN).await?;
    let mut files = Files::find(plan.options.dir.clone(), plan.file_bytes_max).await?;
    let ring = nodes.all();
    show_addresses(name, &plan.options, &nodes, &files).await?;

    progress(&bar, "putting files", files.sources.len());
    let mut failed = put(&ring, &mut files, || bar.inc(1)).await;
    progress(&bar, "reading back", files.sources.len() * ring.len());
    failed.extend(check::read_back(&ring, &files.sources, || bar.inc(1)).await);
    bar.finish_and_clear();

    files.say_skipped(name);
    let shown = check::table(&ring, screen::columns()).await.and_then(|table| print(&table));
    failed.extend(shown.err());
    if !failed.is_empty() {
        failed.iter().for_each(|line| cli::say(name, line));
        return Ok(Exit::Failed);
    }
    is_checked.set(true);
    print(&summary(files.sources.len(), files.skipped.len(), ring.len()))?;
    let services = match plan.options.services {
        true => Services::start(children, READY_WITHIN).await?,
        false => Services::default(),
    };
    if plan.options.services {
        print(&format!("\n{}", services.table(screen::columns())))?;
    }
    if plan.options.once {
        return Ok(Exit::Done);
    }
    print(&nodes.things_to_try(&files.sources))?;
    let restart = async |label: &str| match nodes.restart(label).await {
        None => services.restart(label).unwrap_or_default(),
        Some(command) => command,
    };
    children.watch(restart).await
}

/// Says where a browser sees the ring, and opens it there if that is wanted.
async fn show_addresses(
    name: &str,
    options: &Options,
    nodes: &Nodes,
    files: &Files,
) -> Result<(), String> {
    let Some(first) = nodes.first() else { return Ok(()) };
    let is_http = browser::is_http(first).await;
    if is_http {
        let has_site = files.sources.iter().any(|it| it.name.as_str() == "index.html");
        print(&browser::addresses(first, has_site))?;
    }
    if options.open {
        let opened = match is_http {
            true => browser::open(&format!("http://{first}/_ring/")),
            false => Err("the nodes do not speak HTTP".into()),
        };
        // It can be opened by hand.
        opened.unwrap_or_else(|why| cli::say(name, format_args!("--open: {why}")));
    }
    Ok(())
}

/// The result in one line.
fn summary(files: usize, skipped: usize, nodes: usize) -> String {
    let (is, them) = if files == 1 { ("is", "it") } else { ("are", "them") };
    let files = match nodes {
        1 => format!("{} {is} in the ring, and its node has {them}", counted(files, "file")),
        _ => format!("{} {is} the same on {nodes} of {nodes} nodes", counted(files, "file")),
    };
    match skipped {
        0 => format!("{files}.\n"),
        1 => format!("{files}; 1 was skipped.\n"),
        _ => format!("{files}; {skipped} were skipped.\n"),
    }
}

/// Prints that the processes are being ended. If this cannot be written, they still end.
fn say_goodbye(signal: &str, processes: usize) {
    if signal == "SIGINT" {
        screen::end_line();
    }
    let processes = match processes {
        1 => "1 process".into(),
        count => format!("{count} processes"),
    };
    let _ = print(&format!(
        "received {signal}, ending {processes}; another one, a second later, does not wait\n"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Result<Plan, String> {
        let args: Vec<String> = line.split_whitespace().map(String::from).collect();
        let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let options = cli::read(&args[..end]).unwrap();
        Plan::new(options, args.get(end + 1..).unwrap_or_default()).map_err(|error| error.0)
    }

    #[test]
    fn plans_are_checked_before_anything_starts() {
        assert_eq!(plan("").unwrap().file_bytes_max, 16 << 20);
        assert_eq!(plan("src -- --max-file-bytes 500kB").unwrap().file_bytes_max, 500_000);
        assert!(plan(&format!("--nodes {MEMBERS_MAX}")).is_ok());
        for (line, why) in [
            ("--nodes 0", "between 1 and 128"),
            ("--nodes 129", "between 1 and 128"),
            ("no-such-folder", "no folder no-such-folder"),
            ("-- --max-file-bytes 1GiB", "--max-file-bytes 1GiB is over 256MiB"),
            ("-- --max-file-bytes", "needs a value"),
            ("-- --max-file-byte 1", "did you mean --max-file-bytes?"),
            ("-- --port 1", "--port is different for each node"),
            ("-- --help", "--help is not possible here"),
            ("-- word", "`word` is one word too many"),
        ] {
            let error = plan(line).err().unwrap_or_default();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn plurals_are_right() {
        assert_eq!(summary(5, 0, 3), "5 files are the same on 3 of 3 nodes.\n");
        assert_eq!(summary(1, 1, 3), "1 file is the same on 3 of 3 nodes; 1 was skipped.\n");
        assert_eq!(summary(0, 2, 2), "0 files are the same on 2 of 2 nodes; 2 were skipped.\n");
        assert_eq!(summary(1, 0, 1), "1 file is in the ring, and its node has it.\n");
        assert_eq!(summary(2, 0, 1), "2 files are in the ring, and its node has them.\n");
    }

    #[test]
    fn the_help_says_how_many_nodes_there_can_be() {
        let info = Options::get_args_info();
        let nodes = info.flags.iter().find(|flag| flag.long == "--nodes").unwrap();
        assert!(nodes.description.contains(&format!("from 1 to {MEMBERS_MAX} ")));
    }
}
