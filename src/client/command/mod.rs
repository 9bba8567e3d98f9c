//! The verbs of `ring-client`: what they do, what they print, and how they fail.

mod delete;
mod ending;
mod export;
mod get;
mod import;
mod list;
mod log;
mod mirror;
mod outcome;
mod pull;
mod push;
mod put;
mod ring;
mod status;
mod trace;
mod verdict;
mod verify;
mod wanted;

use std::time::Duration;

use serde_json::Value;

use self::{
    delete::delete,
    export::export,
    get::get,
    import::import,
    list::list,
    log::log,
    outcome::{Failure, cannot_write, exit_of, print, print_as_it_is, print_json},
    pull::pull,
    push::push,
    put::put,
    ring::ring,
    status::status,
    trace::trace,
    verify::verify,
};
use super::{
    args::Options,
    bench,
    failover::Client,
    human::shown,
    member::flag,
    verbs::{Forget, Info, Ping, Verb},
};
use crate::{
    cli::{self, Exit, UsageError},
    printable::json_document,
};

/// Runs `ring-client` with its arguments; `name` is what the command is called in its help and
/// its messages. Blocks until the work is done.
pub fn run(name: &str, args: &[String]) -> Exit {
    let options: Options = match cli::parse(name, args) {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    match smol::block_on(serve(name, options)) {
        Ok(exit) => exit,
        Err(Failure::Usage(error)) => cli::usage_of(name, cli::verb::<Options>(args), &error),
        Err(Failure::Ring(error)) => cli::fail(name, exit_of(&error), error),
        Err(Failure::Missing(missing)) => cli::fail(
            name,
            Exit::NotFound,
            format_args!(
                "404: no member has {}. `{name} list` shows all names",
                shown(missing.as_str())
            ),
        ),
        Err(Failure::NoVersion(file, why)) => cli::fail(
            name,
            Exit::NotFound,
            format_args!(
                "404: {0}: {why}. `{name} log {0}` shows all versions",
                shown(file.as_str())
            ),
        ),
        Err(Failure::Unsafe(why)) => cli::fail(name, Exit::Failed, why),
        Err(Failure::Stdout(error)) => cli::finish(name, Err(error)),
        Err(Failure::File(path, error)) => {
            cli::fail(name, Exit::Failed, cannot_write(&path, &error))
        }
        Err(Failure::Interrupted(signal)) => {
            let exit = match signal {
                "SIGINT" => Exit::Interrupted,
                "SIGHUP" => Exit::HungUp,
                _ => Exit::Terminated,
            };
            cli::fail(name, exit, format_args!("received {signal}; nothing half is left"))
        }
    }
}

async fn serve(name: &str, options: Options) -> Result<Exit, Failure> {
    let (nodes, timeouts) = (options.nodes()?, options.timeouts()?);
    let client = Client::new(nodes.clone(), timeouts);
    match options.verb {
        Verb::Put(verb) => put(name, &nodes, timeouts, verb).await,
        Verb::Get(verb) => get(name, &nodes, timeouts, verb).await,
        Verb::List(verb) => list(client, verb).await,
        Verb::Log(verb) => log(client, verb).await,
        Verb::Delete(verb) => delete(name, &nodes, timeouts, verb).await,
        Verb::Push(verb) => push(name, &nodes, timeouts, verb).await,
        Verb::Pull(verb) => pull(name, &nodes, timeouts, verb).await,
        Verb::Verify(verb) => verify(name, client, timeouts, verb).await,
        Verb::Export(verb) => export(name, &nodes, timeouts, verb).await,
        Verb::Import(verb) => import(name, client, verb).await,
        Verb::Ring(verb) => ring(client, verb).await,
        Verb::Status(verb) => status(name, client, timeouts, verb).await,
        Verb::Trace(verb) => trace(client, verb).await,
        Verb::Forget(verb) => forget(client, verb).await,
        Verb::Ping(verb) => ping(client, verb).await,
        Verb::Info(verb) => info(client, verb).await,
        Verb::Bench(verb) => {
            let report = bench::run(&nodes, timeouts, &verb.plan()?).await?;
            match verb.json {
                true => print_as_it_is(json_document(&report.json()))?,
                false => print(&report)?,
            }
            for (kind, count) in &report.errors {
                let answers = if *count == 1 { "answer" } else { "answers" };
                cli::say(name, format_args!("{count} {answers} wrong or missing: {kind}"));
            }
            Ok(if report.errors.is_empty() { Exit::Done } else { Exit::Failed })
        }
    }
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

async fn info(mut client: Client, verb: Info) -> Result<Exit, Failure> {
    let reply = client.info().await?;
    match verb.json {
        true => {
            let keys = reply.keys().map(|(key, value)| (key.to_owned(), json_value(key, value)));
            print_json(&Value::Object(keys.collect()))?;
        }
        false => {
            print(reply.keys().map(|(key, value)| format!("{key}={value}\n")).collect::<String>())?;
        }
    }
    Ok(Exit::Done)
}

/// A value of INFO by its type: a flag, a number, or text.
fn json_value(key: &str, value: &str) -> Value {
    match key {
        // These are text even if they look like numbers.
        "node" | "ring" | "state" | "version" | "digest" => value.into(),
        "ready" | "full" | "covers" => flag(value).map_or_else(|| value.into(), Value::from),
        _ => value.parse::<i64>().map_or_else(|_| value.into(), Value::from),
    }
}

async fn forget(mut client: Client, verb: Forget) -> Result<Exit, Failure> {
    let reply = client.forget(verb.member).await?;
    match reply.text() {
        "" => print(format_args!("{} is forgotten\n", verb.member))?,
        text => print(format_args!("{text}\n"))?,
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_info_are_what_they_mean() {
        assert_eq!(json_value("files", "6"), 6);
        assert_eq!(json_value("clock", "+20"), 20);
        assert_eq!(json_value("clock", "-20"), -20);
        assert_eq!(json_value("ready", "1"), true);
        assert_eq!(json_value("ring", "12"), "12");
        assert_eq!(
            json_value("digest", "00000000000000000000000000000000").as_str().map(str::len),
            Some(32)
        );
        assert_eq!(json_value("new", "word"), "word");
    }
}
