//! What happens at a node, for those that watch it: the newest events, and which messages pass.
//!
//! Every watcher has a position and nothing else, so one that is slow, or does not read at all, costs no
//! memory: what it has missed for too long it does not get.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::SocketAddr,
    task::{Context, Waker},
};

use super::limits::{NEWS_KEPT, PASSED_KEPT, PASSED_PER_SECOND_MAX};
use crate::ring::{
    Event,
    message::{Carried, Peer},
    name::Name,
    version::Time,
};

/// Something that has happened.
#[derive(Clone, Debug)]
pub(crate) struct News {
    /// Counts from 1.
    pub(crate) number: u64,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) event: Event,
}

/// A message that this node has sent on its way round the ring.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    number: u64,
    pub(crate) verb: &'static str,
    pub(crate) name: Option<Name>,
    /// The member that it began at, and comes back to.
    pub(crate) creator: SocketAddr,
    /// The length of the file that it brings or announces.
    pub(crate) bytes: Option<usize>,
}

/// How far a watcher has read.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Position {
    pub(crate) news: u64,
    passed: u64,
}

#[derive(Default)]
pub(super) struct Feed {
    news: RefCell<VecDeque<News>>,
    news_made: Cell<u64>,
    passed: RefCell<VecDeque<Passed>>,
    passed_made: Cell<u64>,
    /// The second in which messages were noted last, and how many.
    second: Cell<(u64, usize)>,
    watchers: Cell<usize>,
    wakers: RefCell<Vec<Waker>>,
}

impl Feed {
    /// Something has happened.
    pub(super) fn note(&self, event: &Event, at_ms: u64) {
        if matches!(event, Event::Circle { .. }) {
            return;
        }
        let number = self.news_made.get() + 1;
        self.news_made.set(number);
        let mut news = self.news.borrow_mut();
        if news.len() == NEWS_KEPT {
            news.pop_front();
        }
        news.push_back(News { number, at_ms, event: event.clone() });
        self.wake();
    }

    /// A message leaves for the successor.
    pub(super) fn sends(&self, message: &Peer, now: Time) {
        if self.watchers.get() == 0 {
            return;
        }
        let (verb, name, creator, bytes) = match message {
            Peer::Check(check) => ("CHECK", None, check.op.creator, None),
            Peer::ForwardPut(put) => {
                let is_delete = matches!(put.carried, Carried::Tombstone);
                let bytes = put.carried.item().map(|item| item.len());
                (if is_delete { "DELETE" } else { "PUT" }, Some(&put.name), put.op.creator, bytes)
            }
            Peer::ForwardGet(get) => ("GET", Some(&get.name), get.op.creator, None),
            Peer::Keep(keep) => ("KEEP", None, keep.op.creator, None),
            _ => return,
        };
        let second = now.0 / 1_000_000;
        let (last, count) = self.second.get();
        let count = if last == second { count } else { 0 };
        if count == PASSED_PER_SECOND_MAX {
            return;
        }
        self.second.set((second, count + 1));
        let number = self.passed_made.get() + 1;
        self.passed_made.set(number);
        let mut passed = self.passed.borrow_mut();
        if passed.len() == PASSED_KEPT {
            passed.pop_front();
        }
        passed.push_back(Passed { number, verb, name: name.cloned(), creator, bytes });
        self.wake();
    }

    fn wake(&self) {
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    /// Another watches, from here on.
    pub(super) fn begin(&self) -> Position {
        self.watchers.set(self.watchers.get() + 1);
        Position { news: 0, passed: self.passed_made.get() }
    }

    pub(super) fn end(&self) {
        self.watchers.set(self.watchers.get() - 1);
    }

    pub(super) fn watchers(&self) -> usize {
        self.watchers.get()
    }

    /// What has happened since, the oldest first. If that is nothing, the task is woken when there is
    /// something.
    pub(super) fn since(
        &self,
        position: &mut Position,
        cx: &Context<'_>,
    ) -> (Vec<News>, Vec<Passed>) {
        let news = self.news.borrow();
        let news: Vec<_> = news.iter().filter(|it| it.number > position.news).cloned().collect();
        let passed = self.passed.borrow();
        let passed: Vec<_> =
            passed.iter().filter(|it| it.number > position.passed).cloned().collect();
        *position = Position { news: self.news_made.get(), passed: self.passed_made.get() };
        if news.is_empty() && passed.is_empty() {
            let mut wakers = self.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                wakers.push(cx.waker().clone());
            }
        }
        (news, passed)
    }
}
