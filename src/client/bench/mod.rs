//! `ring-client bench`: how many requests a second the ring answers, how fast, and whether
//! every answer is right.
//!
//! One thread drives all clients. Each client is a loop of its own on one connection: it sends as
//! many requests as the pipeline is deep in one write, waits for all their answers, checks them
//! byte for byte and begins again. The contents are derived from the names, so a client that is
//! sent the wrong file notices.

mod client;
mod plan;
mod report;
mod work;

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use argh::{ArgsInfo, FromArgs};
use async_io::Timer;
use smol::{LocalExecutor, future};

use super::{
    connection::{Connection, Timeouts},
    error::Error,
    failover::Client,
    node::Node,
};
use crate::{
    cli::{ByteSize, Period, UsageError},
    ring::limits::{FILE_BYTES_CEILING, LINE_BYTES_MAX},
};
pub use plan::{Mode, Plan};
pub use report::{Kind, Report};
use {client::Runner, report::Tally, work::Workload};

/// Connections that put the names before a `get` or a `mixed` run.
const FILLERS: usize = 16;
/// The most clients.
const CLIENTS_MAX: usize = 20_000;
/// The most requests that a client sends before it reads the answers.
const PIPELINE_MAX: usize = 10_000;
/// The most names.
const NAMES_MAX: usize = 1_000_000;
/// The most memory for the buffers of all clients and the contents.
const MEMORY_BYTES_MAX: usize = 2 << 30;

/// Measures how many requests a second the ring answers, and how fast.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "bench",
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               {command_name} --mode mixed --clients 256 --seconds 30 --json\n\
               {command_name} --mode put --size 64KiB --node 127.0.1.1:4043 --node 127.0.1.1:4044",
    note = "Every answer is checked, the contents of GET byte for byte. With several --node the\n\
            clients are spread over them. Before get and mixed, all names are put. The files stay\n\
            in the ring, below bench/.\n\
            \n\
            Latency is from before the write of a request until its answer is read; with\n\
            --pipeline N the N requests of a write begin together. Exit code 1: an answer was\n\
            wrong or missing."
)]
pub(super) struct Bench {
    /// connections, each with a client of its own (default: 64)
    #[argh(option, short = 'c', default = "64")]
    clients: usize,

    /// requests that a client sends in one write before it reads the answers (default: 1)
    #[argh(option, short = 'P', default = "1")]
    pipeline: usize,

    /// bytes of each file, as 1000, 64KiB or 1MiB (default: 1024)
    #[argh(option, short = 'd', default = "ByteSize(1024)")]
    size: ByteSize,

    /// how long to measure, in seconds or as 500ms, 2m (default: 5)
    #[argh(option, default = "Period(Duration::from_secs(5))")]
    seconds: Period,

    /// get, put, or mixed: one put in ten requests (default: get)
    #[argh(option, default = "Mode::Get")]
    mode: Mode,

    /// how many files to use (default: 1000)
    #[argh(option, default = "1000")]
    names: usize,

    /// print one JSON object; the rate is ops_per_s, latencies are in microseconds
    #[argh(switch)]
    pub json: bool,
}

impl Bench {
    /// The plan, if all numbers are within their bounds.
    pub fn plan(&self) -> Result<Plan, UsageError> {
        let bounded = |option, value: usize, least, most| {
            let wrong = || UsageError(format!("--{option} must be from {least} to {most}"));
            (least..=most).contains(&value).then_some(value).ok_or_else(wrong)
        };
        let size = usize::try_from(self.size.0).unwrap_or(usize::MAX);
        let plan = Plan {
            clients: bounded("clients", self.clients, 1, CLIENTS_MAX)?,
            pipeline: bounded("pipeline", self.pipeline, 1, PIPELINE_MAX)?,
            size_bytes: bounded("size", size, 0, FILE_BYTES_CEILING)?,
            period: self.seconds.0,
            mode: self.mode,
            names: bounded("names", self.names, 1, NAMES_MAX)?,
        };
        if plan.period.is_zero() || plan.period > Duration::from_secs(24 * 60 * 60) {
            return Err(UsageError("--seconds must be more than 0 and at most 24h".into()));
        }
        let request = plan.size_bytes + LINE_BYTES_MAX;
        let sent = if plan.mode == Mode::Get { 0 } else { plan.pipeline * request };
        if plan.clients.saturating_mul(sent + client::input_bytes(plan.size_bytes))
            > MEMORY_BYTES_MAX
        {
            let message = "clients times pipeline times size is beyond 2 GiB; lower one of them";
            return Err(UsageError(message.into()));
        }
        Ok(plan)
    }
}

/// Runs a benchmark. Fails if a node cannot be reached at the beginning, or the names cannot be
/// put; whatever fails later is counted in the report.
pub async fn run(nodes: &[Node], timeouts: Timeouts, plan: &Plan) -> Result<Report, Error> {
    let work = Workload::new(plan);
    if plan.mode != Mode::Put {
        fill(nodes, timeouts, &work).await?;
    }
    let mut streams = Vec::with_capacity(plan.clients);
    for node in nodes.iter().cycle().take(plan.clients) {
        streams.push(Connection::open(node, timeouts).await?.into_stream().into());
    }
    let tally = RefCell::new(Tally::new());
    let end = Instant::now() + plan.period;
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = (0..)
        .zip(streams)
        .map(|(number, stream)| {
            let runner = Runner::new(&work, &tally, number, end);
            executor.spawn(runner.run(stream, nodes, timeouts))
        })
        .collect();
    let all = async {
        for task in tasks {
            task.await;
        }
    };
    // A node that hangs must not hold the benchmark up for ever.
    let too_late = async {
        Timer::at(end + timeouts.silence).await;
    };
    executor.run(future::or(all, too_late)).await;
    drop(executor);
    Ok(tally.into_inner().report(nodes, plan))
}

/// Puts all names, over a few connections at once.
async fn fill(nodes: &[Node], timeouts: Timeouts, work: &Workload) -> Result<(), Error> {
    let waiting = RefCell::new(0..work.names.len());
    let executor = LocalExecutor::new();
    let fill_some = async |first: usize| {
        let mut nodes = nodes.to_vec();
        let start = first % nodes.len().max(1);
        nodes.rotate_left(start);
        let mut client = Client::new(nodes, timeouts);
        while let Some(index) = { waiting.borrow_mut().next() } {
            client.put(&work.names[index], work.content(index)).await?;
        }
        Ok(())
    };
    let tasks: Vec<_> = (0..FILLERS).map(|first| executor.spawn(fill_some(first))).collect();
    let all = async {
        for task in tasks {
            task.await?;
        }
        Ok(())
    };
    executor.run(all).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(args: &[&str]) -> Result<Plan, UsageError> {
        Bench::from_args(&["bench"], args).unwrap().plan()
    }

    #[test]
    fn plans_are_bounded() {
        let default = plan(&[]).unwrap();
        assert_eq!((default.clients, default.pipeline, default.size_bytes), (64, 1, 1024));
        assert_eq!((default.period, default.mode), (Duration::from_secs(5), Mode::Get));
        assert_eq!(plan(&["--mode", "mixed", "-d", "0"]).unwrap().mode, Mode::Mixed);
        for args in [
            ["--clients", "0"],
            ["--pipeline", "0"],
            ["--names", "0"],
            ["--seconds", "0"],
            ["--size", "2GiB"],
            ["--size", "1GiB"],
        ] {
            assert!(plan(&args).is_err(), "{args:?}");
        }
        assert!(Bench::from_args(&["bench"], &["--mode", "delete"]).is_err());
    }
}
