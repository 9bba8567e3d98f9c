//! Where the time of this node's last writes went, for TRACE.

use std::{collections::VecDeque, time::Duration};

use super::{
    event::{Output, RequestId},
    limits::TRACES_KEPT,
    message::{Answer, Hop, WriteTrace},
    name::Name,
    node::Node,
    version::{Time, Version},
    view::ViewHash,
};

/// The last writes that this node began, the newest first.
#[derive(Debug, Default)]
pub(super) struct Traced(VecDeque<Record>);

#[derive(Debug)]
struct Record {
    name: Name,
    version: Version,
    circle: ViewHash,
    round: Duration,
    keep: Option<Duration>,
    /// How long a KEEP behind it waited at each member after this node, in microseconds.
    waits: Vec<u32>,
}

impl Node {
    /// A write is done.
    pub(super) fn trace(
        &mut self,
        name: Name,
        version: Version,
        (begun, closed, now): (Time, Option<Time>, Time),
    ) {
        let round = closed.unwrap_or(now).since(begun);
        let keep = closed.map(|closed| now.since(closed));
        let waits = keep.map_or(Vec::new(), |_| self.commits.waits().to_vec());
        let traced = &mut self.traced.0;
        traced.truncate(TRACES_KEPT - 1);
        traced.push_front(Record { name, version, circle: self.circle, round, keep, waits });
    }

    /// Answers TRACE; `version`: of this write alone.
    pub(super) fn traces(&self, id: RequestId, version: Option<Version>, out: &mut Vec<Output>) {
        let records = self.traced.0.iter();
        let wanted = records.filter(|it| version.is_none_or(|version| it.version == version));
        let traces = wanted.map(|record| self.trace_of(record)).collect();
        out.push(Output::Reply { id, answer: Answer::Traced { traces } });
    }

    fn trace_of(&self, record: &Record) -> WriteTrace {
        let micros = |time: Duration| time.as_micros() as u64;
        let mut circle = self.view.circle();
        let own = circle.iter().position(|it| *it == self.config.address).unwrap_or_default();
        circle.rotate_left(own);
        if record.circle != self.circle {
            circle.clear();
        }
        let hop = |(place, member): (usize, std::net::SocketAddr)| {
            let round_trip = match place {
                0 => self.next.as_ref().and_then(|next| next.pace.round_trip_us()),
                _ => self.reports.of.get(&member).and_then(|report| report.round_trip_us),
            };
            let wait_us = place.checked_sub(1).and_then(|place| record.waits.get(place));
            Hop {
                member,
                link_us: round_trip.map(|micros| u64::from(micros) / 2),
                wait_us: wait_us.map(|micros| u64::from(*micros)),
            }
        };
        WriteTrace {
            name: record.name.clone(),
            version: record.version,
            round_us: micros(record.round),
            keep_us: record.keep.map(micros),
            hops: circle.into_iter().enumerate().map(hop).collect(),
        }
    }
}
