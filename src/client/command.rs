//! The verbs of `ring-client`: what they do, what they print, and how they fail.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    args::{Get, List, Options, Ping, Put, Verb, normalise},
    bench,
    connection::Timeouts,
    error::Error,
    failover::Client,
    files::{self, Collected, Origin, Source, collect},
    node::Node,
    requests::Member,
    upload::upload,
};
use crate::{
    cli::{self, Exit, UsageError},
    ring::name::Name,
};

/// Runs `ring-client` with its arguments; `name` is what the command is called in its help and
/// its messages. Blocks until the work is done.
pub fn run(name: &str, args: &[String]) -> Exit {
    let options: Options = match cli::parse(name, &normalise(args)) {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    match smol::block_on(serve(name, options)) {
        Ok(exit) => exit,
        Err(Failure::Usage(error)) => cli::usage(name, &error),
        Err(Failure::Ring(error)) => cli::fail(name, exit_of(&error), error),
        Err(Failure::Missing(missing)) => cli::fail(
            name,
            Exit::NotFound,
            format_args!("404: no member has {missing}. `{name} list` shows all names"),
        ),
        Err(Failure::Stdout(error)) => cli::finish(name, Err(error)),
        Err(Failure::File(path, error)) => {
            let message = format_args!("cannot write {}: {error}", path.display());
            cli::fail(name, Exit::Failed, message)
        }
    }
}

/// Why a verb did not do what was asked.
enum Failure {
    Usage(UsageError),
    Ring(Error),
    Missing(Name),
    Stdout(io::Error),
    File(PathBuf, io::Error),
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ring(error)
    }
}

fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Unreachable { .. } => Exit::Unreachable,
        Error::Status { status: 404, .. } => Exit::NotFound,
        _ => Exit::Failed,
    }
}

async fn serve(name: &str, options: Options) -> Result<Exit, Failure> {
    let (nodes, timeouts) = (options.nodes()?, options.timeouts()?);
    let client = Client::new(nodes.clone(), timeouts);
    match options.verb {
        Verb::Put(verb) => put(name, &nodes, timeouts, verb).await,
        Verb::Get(verb) => get(client, verb).await,
        Verb::List(verb) => list(client, verb).await,
        Verb::Ring(_) => ring(client).await,
        Verb::Ping(verb) => ping(client, verb).await,
        Verb::Info(_) => info(client).await,
        Verb::Bench(verb) => {
            let report = bench::run(&nodes, timeouts, &verb.plan()?).await?;
            print(if verb.json { report.json() } else { report.to_string() })?;
            for (kind, count) in &report.errors {
                cli::say(name, format_args!("{count} answers wrong or missing: {kind}"));
            }
            Ok(if report.errors.is_empty() { Exit::Done } else { Exit::Failed })
        }
    }
}

fn print(text: impl std::fmt::Display) -> Result<(), Failure> {
    cli::print(text).map_err(Failure::Stdout)
}

fn valid(name: &str) -> Result<Name, UsageError> {
    Name::new(name).map_err(|bad| UsageError(format!("`{name}` cannot be a name: {bad}")))
}

async fn put(name: &str, nodes: &[Node], timeouts: Timeouts, verb: Put) -> Result<Exit, Failure> {
    let Collected { sources, skipped } = sources(&verb)?;
    skipped.iter().for_each(|word| cli::say(name, word));
    let lone = matches!(verb.paths.as_slice(), [path] if !Path::new(path).is_dir());
    let mut exit = if lone && sources.is_empty() { Exit::Failed } else { Exit::Done };
    let (mut printed, mut unreached) = (Ok(()), 0);
    let left = upload(nodes, timeouts, sources, |source, result| match result {
        Ok(reply) if lone => print_on(&mut printed, format_args!("{}\n", reply.line)),
        Ok(reply) => print_on(&mut printed, format_args!("{}  {}\n", source.name, reply.line)),
        // Several workers find out that nobody is there; once is enough to hear it.
        Err(Error::Unreachable { .. }) if exit == Exit::Unreachable => unreached += 1,
        Err(error) => {
            exit = exit_of(&error);
            say_not_put(name, source, &error);
        }
    })
    .await;
    if left + unreached > 0 {
        cli::say(name, format_args!("{} more files were not put", left + unreached));
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

/// Prints while somebody listens. A put goes on when its reader is gone, as the files matter
/// more than the words about them.
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

async fn get(mut client: Client, verb: Get) -> Result<Exit, Failure> {
    let name = valid(&verb.name)?;
    let file = match client.get(&name).await {
        Err(Error::Status { status: 404, .. }) => return Err(Failure::Missing(name)),
        result => result?,
    };
    match verb.output.as_deref() {
        None | Some("-") => {
            let mut stdout = io::stdout().lock();
            let written = stdout.write_all(&file.content).and_then(|()| stdout.flush());
            written.map_err(Failure::Stdout)?;
        }
        Some(path) => {
            let mut path = PathBuf::from(path);
            if path.is_dir() {
                path.extend(Path::new(name.as_str()).file_name());
            }
            files::save(&path, &file.content).map_err(|error| Failure::File(path, error))?;
        }
    }
    Ok(Exit::Done)
}

async fn list(mut client: Client, verb: List) -> Result<Exit, Failure> {
    let mut after = None;
    loop {
        let page = client.list(&verb.prefix, after.as_ref()).await?;
        let mut text = String::new();
        for entry in &page.entries {
            if verb.long {
                let _ = write!(text, "{:>12}  {}  ", entry.bytes, entry.version);
            }
            let _ = writeln!(text, "{}", entry.name);
        }
        print(text)?;
        if !page.more {
            return Ok(Exit::Done);
        }
        after = page.entries.into_iter().next_back().map(|entry| entry.name);
    }
}

async fn ring(mut client: Client) -> Result<Exit, Failure> {
    let members = client.ring().await?;
    print(format_args!("{}\n{}", circle(&members), table(&members)))?;
    Ok(Exit::Done)
}

/// The live members as a node prints them: `A(WS1) -> B(WS2) -> (WS1)`.
fn circle(members: &[Member]) -> String {
    let live: Vec<&Member> = members.iter().filter(|member| member.alive).collect();
    let shown = live.iter().map(|member| format!("{}({})", member.address, member.label));
    let mut circle = shown.collect::<Vec<_>>().join(" -> ");
    if let [first, _, ..] = live.as_slice() {
        let _ = write!(circle, " -> ({})", first.label);
    }
    circle
}

fn table(members: &[Member]) -> String {
    let addresses = members.iter().map(|member| member.address.to_string().len());
    let width = addresses.max().unwrap_or(0).max("ADDRESS".len());
    let mut table = format!("{:width$}  STATE  LABEL  INCARNATION\n", "ADDRESS");
    for member in members {
        let state = if member.alive { "alive" } else { "gone" };
        let label = if member.label.is_empty() { "-" } else { &member.label };
        let address = member.address.to_string();
        let _ = write!(table, "{address:width$}  {state:5}  {label:5}  {:<11}", member.incarnation);
        if member.is_self {
            table += "  (asked)";
        }
        if let Some(since) = member.since_ms {
            let _ = write!(table, "  (since={since})");
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    table
}

async fn ping(mut client: Client, verb: Ping) -> Result<Exit, Failure> {
    if verb.count == 0 {
        return Err(UsageError("--count must be at least 1".into()).into());
    }
    let (mut least, mut most, mut sum) = (Duration::MAX, Duration::ZERO, Duration::ZERO);
    for _ in 0..verb.count {
        let pong = client.ping().await?;
        print(format_args!("{}  {:.3} ms\n", pong.node, millis(pong.round_trip)))?;
        least = least.min(pong.round_trip);
        most = most.max(pong.round_trip);
        sum += pong.round_trip;
    }
    if verb.count > 1 {
        let average = millis(sum / verb.count);
        let (least, most) = (millis(least), millis(most));
        print(format_args!("min {least:.3} ms, average {average:.3} ms, max {most:.3} ms\n"))?;
    }
    Ok(Exit::Done)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

async fn info(mut client: Client) -> Result<Exit, Failure> {
    let reply = client.info().await?;
    let lines: String = reply.keys().map(|(key, value)| format!("{key}={value}\n")).collect();
    print(lines)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(port: u16, alive: bool, label: &str) -> Member {
        let address = ([127, 0, 1, 1], port).into();
        let since_ms = (!alive).then_some(9);
        Member { address, alive, label: label.into(), incarnation: 1, is_self: false, since_ms }
    }

    #[test]
    fn the_circle_is_shown_as_the_nodes_show_it() {
        let mut members = vec![member(4043, true, "WS1")];
        assert_eq!(circle(&members), "127.0.1.1:4043(WS1)");
        members.push(member(4044, true, "WS2"));
        members.push(member(4045, false, ""));
        assert_eq!(circle(&members), "127.0.1.1:4043(WS1) -> 127.0.1.1:4044(WS2) -> (WS1)");
        assert_eq!(
            table(&members).lines().last(),
            Some("127.0.1.1:4045  gone   -      1            (since=9)")
        );
    }
}
