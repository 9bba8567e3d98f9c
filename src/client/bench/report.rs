//! What a benchmark counts, and how it is shown.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde_json::json;

use super::plan::{Mode, Plan};
use crate::{
    cli::{ByteSize, counted},
    client::node::Node,
};

/// Latencies are counted up to this long, exact to three digits.
const LATENCY_MAX: Duration = Duration::from_secs(600);

/// What can be wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A status that is not 200.
    Status(u16),
    /// Content of the right length with a wrong byte in it.
    Content,
    /// Content that is too short or too long.
    Length,
    /// Not an answer of this protocol.
    BadAnswer,
    /// The connection was closed before the answer.
    Closed,
    /// No answer came before the benchmark ended.
    TimedOut,
    /// A connection that broke could not be opened again.
    Unreachable,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Content => f.write_str("wrong content"),
            Self::Length => f.write_str("wrong length"),
            Self::BadAnswer => f.write_str("bad answer"),
            Self::Closed => f.write_str("closed"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Unreachable => f.write_str("unreachable"),
        }
    }
}

/// What all clients count together.
pub(super) struct Tally {
    /// In nanoseconds; one entry for each right answer within the time.
    latencies: Histogram<u64>,
    outstanding: usize,
    errors: BTreeMap<Kind, u64>,
}

impl Tally {
    pub fn new() -> Self {
        let most = LATENCY_MAX.as_nanos() as u64;
        let latencies = Histogram::new_with_bounds(1, most, 3).expect("valid bounds");
        Self { latencies, outstanding: 0, errors: BTreeMap::new() }
    }

    /// Requests are about to be written.
    pub fn sent(&mut self, requests: usize) {
        self.outstanding += requests;
    }

    /// An answer was read.
    pub fn answered(&mut self, checked: Result<(), Kind>, latency: Duration, in_time: bool) {
        self.outstanding -= 1;
        match checked {
            Ok(()) if in_time => self.latencies.saturating_record(latency.as_nanos() as u64),
            Ok(()) => {}
            Err(kind) => *self.errors.entry(kind).or_default() += 1,
        }
    }

    /// A connection broke while `unanswered` of its requests were not answered.
    pub fn broken(&mut self, kind: Kind, unanswered: usize) {
        self.outstanding -= unanswered;
        *self.errors.entry(kind).or_default() += unanswered.max(1) as u64;
    }

    pub fn report(mut self, nodes: &[Node], plan: &Plan) -> Report {
        if self.outstanding > 0 {
            *self.errors.entry(Kind::TimedOut).or_default() += self.outstanding as u64;
        }
        let at = |quantile| Duration::from_nanos(self.latencies.value_at_quantile(quantile));
        Report {
            nodes: nodes.to_vec(),
            plan: plan.clone(),
            ops: self.latencies.len(),
            p50: at(0.5),
            p99: at(0.99),
            p99_9: at(0.999),
            max: Duration::from_nanos(self.latencies.max()),
            errors: self.errors,
        }
    }
}

/// The result of a benchmark. Shown with `{}` it is a small table.
#[derive(Clone, Debug)]
pub struct Report {
    /// The nodes that were asked.
    pub nodes: Vec<Node>,
    /// What was done.
    pub plan: Plan,
    /// Right answers that came within the plan's time.
    pub ops: u64,
    /// Half of the answers came within this time.
    pub p50: Duration,
    /// 99 % of the answers came within this time.
    pub p99: Duration,
    /// 99.9 % of the answers came within this time.
    pub p99_9: Duration,
    /// The slowest answer.
    pub max: Duration,
    /// Answers that were wrong or missing.
    pub errors: BTreeMap<Kind, u64>,
}

impl Report {
    /// Right answers a second.
    pub fn ops_per_s(&self) -> f64 {
        self.ops as f64 / self.plan.period.as_secs_f64()
    }

    /// All of it as one JSON object on one line, with its LF.
    pub fn json(&self) -> String {
        let micros = |time: Duration| (time.as_nanos() as f64 / 100.0).round() / 10.0;
        let by_kind = self.errors.iter().map(|(kind, count)| (kind.to_string(), json!(count)));
        let object = json!({
            "mode": self.mode(),
            "clients": self.plan.clients,
            "pipeline": self.plan.pipeline,
            "size_bytes": self.plan.size_bytes,
            "names": self.plan.names,
            "seconds": self.plan.period.as_secs_f64(),
            "nodes": self.nodes.iter().map(Node::to_string).collect::<Vec<_>>(),
            "ops": self.ops,
            "ops_per_s": self.ops_per_s().round(),
            "p50_us": micros(self.p50),
            "p99_us": micros(self.p99),
            "p99_9_us": micros(self.p99_9),
            "max_us": micros(self.max),
            "errors": self.errors.values().sum::<u64>(),
            "errors_by_kind": by_kind.collect::<serde_json::Map<_, _>>(),
        });
        format!("{object}\n")
    }

    fn mode(&self) -> &'static str {
        match self.plan.mode {
            Mode::Get => "get",
            Mode::Put => "put",
            Mode::Mixed => "mixed",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { pipeline, size_bytes, period, .. } = &self.plan;
        let files = counted(self.plan.names, "file");
        let clients = counted(self.plan.clients, "client");
        let size = ByteSize(*size_bytes as u64);
        let nodes: Vec<String> = self.nodes.iter().map(Node::to_string).collect();
        writeln!(
            f,
            "{} of {files}, {size} each: {clients}, pipeline {pipeline}, {period:?} at {}",
            self.mode(),
            nodes.join(", ")
        )?;
        writeln!(f, "ops/s   {:.0}", self.ops_per_s())?;
        for (label, time) in
            [("p50", self.p50), ("p99", self.p99), ("p99.9", self.p99_9), ("max", self.max)]
        {
            writeln!(f, "{label:6}  {:.3} ms", time.as_secs_f64() * 1e3)?;
        }
        writeln!(f, "errors  {}", self.errors.values().sum::<u64>())?;
        for (kind, count) in &self.errors {
            writeln!(f, "        {count} {kind}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_right_answers_and_errors_by_kind() {
        let mut tally = Tally::new();
        tally.sent(1006);
        for _ in 0..1000 {
            tally.answered(Ok(()), Duration::from_millis(1), true);
        }
        tally.answered(Ok(()), Duration::from_millis(1), false);
        tally.answered(Err(Kind::Status(503)), Duration::from_millis(1), true);
        tally.broken(Kind::Closed, 3);
        let plan = Plan {
            clients: 1,
            pipeline: 1,
            size_bytes: 1,
            period: Duration::from_secs(2),
            mode: Mode::Get,
            names: 1,
        };
        let report = tally.report(&[Node::default()], &plan);
        assert_eq!(report.ops_per_s(), 500.0);
        let expected = [(Kind::Status(503), 1), (Kind::Closed, 3), (Kind::TimedOut, 1)];
        assert_eq!(report.errors, BTreeMap::from(expected));
        let value: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(value["ops_per_s"], 500.0);
        assert_eq!(value["errors"], 5);
        assert_eq!(value["errors_by_kind"]["closed"], 3);
        assert!(report.to_string().contains("ops/s   500\n"));
    }
}
