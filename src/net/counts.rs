//! What a node counts of its work, for its metrics. All of it is of one thread.

use std::cell::Cell;

use super::answers::Ready;
use crate::{
    durations::Durations,
    ring::{
        Event,
        message::{Answer, Request, Status},
    },
};

/// What clients ask for, as it is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OperationKind {
    Put,
    Get,
    Delete,
    List,
    Other,
}

impl OperationKind {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 5] = [Self::Put, Self::Get, Self::Delete, Self::List, Self::Other];

    /// What a request asks for.
    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::Put { .. } => Self::Put,
            Request::Get { .. } => Self::Get,
            Request::Delete { .. } => Self::Delete,
            Request::List { .. } | Request::Log { .. } => Self::List,
            _ => Self::Other,
        }
    }

    /// Its name in the metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Other => "other",
        }
    }
}

/// The operations of one kind that are over.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct OperationCounts {
    /// Those that were done.
    pub(crate) done: u64,
    /// Those that were not, in the order of [`Status::ALL`].
    pub(crate) refused: [u64; Status::ALL.len()],
    /// How long the node took to answer, from when it had all of the request.
    pub(crate) durations: Durations,
}

/// What has happened since the node began.
#[derive(Clone, Default, Debug)]
pub(crate) struct Counts {
    /// In the order of [`OperationKind::ALL`].
    pub(crate) operations: [OperationCounts; OperationKind::ALL.len()],
    pub(crate) view_changes: u64,
    /// Successors that this node has declared dead.
    pub(crate) deaths: u64,
    pub(crate) caught_up_files: u64,
    pub(crate) damaged: u64,
    /// Links that were closed because of what was received on them.
    pub(crate) nonsense: u64,
}

impl Counts {
    /// An operation has an answer.
    pub(super) fn answered(&mut self, kind: OperationKind, answer: &Ready, micros: u64) {
        let counts = &mut self.operations[kind as usize];
        match answer {
            Ready::Whole(Answer::Refused(refusal)) => {
                counts.refused[refusal.status as usize] += 1;
            }
            _ => counts.done += 1,
        }
        counts.durations.add(micros);
    }

    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::List(_) => self.view_changes += 1,
            Event::Dead { .. } => self.deaths += 1,
            Event::CaughtUp { files } => self.caught_up_files += *files as u64,
            Event::Damaged { .. } => self.damaged += 1,
            Event::Nonsense { .. } => self.nonsense += 1,
            _ => {}
        }
    }
}

/// Bytes of the line protocol.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) received: Cell<u64>,
    pub(super) sent: Cell<u64>,
}

impl Traffic {
    pub(super) fn received(&self, bytes: usize) {
        self.received.set(self.received.get().wrapping_add(bytes as u64));
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent.set(self.sent.get().wrapping_add(bytes as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_statuses_are_numbered_as_their_lists_are() {
        for (place, kind) in OperationKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
        for (place, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, place);
        }
    }
}
