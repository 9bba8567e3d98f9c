//! The part of a connection that the driver uses: to send on it, and to end it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use super::{
    answers::{Answers, Ready},
    clock,
    flight::{Flight, WaitingPlace},
    limits::{LINGER, STALL},
    outbox::Outbox,
};
use crate::ring::{
    LinkId, RequestId,
    limits::BYTES_PER_SECOND_MIN,
    message::{Answer, Envelope, Refusal, Status},
};
use crate::serve::thread::AcceptedConnection;

/// What is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Client,
    Link(LinkId),
}

/// How far the closing of a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Stage {
    Open,
    /// Nothing more is read; it ends when all answers are out.
    Finishing,
    /// All is out and the other end has been told so; what it still sends is thrown away.
    Lingering,
    /// It ends at once.
    Ended,
}

/// One connection, of a client or of another node. Its task is in `task.rs`.
pub(super) struct NetConnection {
    pub(super) id: u32,
    pub(super) role: Cell<Role>,
    pub(super) answers: RefCell<Answers>,
    /// When bytes were last received or sent.
    pub(super) active: Cell<Instant>,
    flight: Rc<Flight>,
    pub(super) outbox: RefCell<Outbox>,
    pub(super) stage: Cell<Stage>,
    waker: RefCell<Option<Waker>>,
    /// When the message that is only partly here began, and how many bytes of it have come.
    pub(super) half: Cell<Option<(Instant, u64)>>,
    /// Since when the other end has had something to take, and how much of it was taken.
    pub(super) taking: Cell<Option<(Instant, u64)>>,
    /// What serves it in another protocol. Then all else here is at rest.
    taken_over: RefCell<Option<Rc<dyn AcceptedConnection>>>,
}

impl NetConnection {
    pub(super) fn new(id: u32, role: Role, flight: Rc<Flight>) -> Self {
        Self {
            id,
            role: Cell::new(role),
            answers: RefCell::default(),
            active: Cell::new(clock::now()),
            outbox: RefCell::new(Outbox::new(flight.clone())),
            flight,
            stage: Cell::new(Stage::Open),
            waker: RefCell::new(None),
            half: Cell::new(None),
            taking: Cell::new(None),
            taken_over: RefCell::new(None),
        }
    }

    /// Names the next request.
    pub(super) fn expect(&self) -> RequestId {
        let number = self.answers.borrow_mut().expect();
        RequestId(u64::from(self.id) << 32 | u64::from(number))
    }

    /// Takes the answer to the request of this number.
    pub(super) fn answer(&self, number: u32, answer: Ready) {
        self.answers.borrow_mut().answer(number, answer, &mut self.outbox.borrow_mut());
        self.wake();
    }

    /// Sends a message to another node.
    pub(super) fn send(&self, message: &Envelope) {
        self.outbox.borrow_mut().push(message, WaitingPlace::Link);
        if self.flight.is_beyond(self.outbox.borrow().bytes()) {
            return self.abort();
        }
        self.wake();
    }

    /// Something that speaks another protocol has taken it over.
    pub(super) fn taken_over(&self, by: Rc<dyn AcceptedConnection>) {
        *self.taken_over.borrow_mut() = Some(by);
    }

    /// Ends the connection once everything sent so far is out.
    pub(super) fn end(&self) {
        self.stage.set(self.stage.get().max(Stage::Finishing));
        self.wake();
    }

    /// Since when closing it would interrupt nothing, if that is so now.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        if let Some(other) = &*self.taken_over.borrow() {
            return other.spare_since().map(|(_, since)| since);
        }
        let is_idle = self.role.get() == Role::Client
            && self.stage.get() == Stage::Open
            && self.half.get().is_none()
            && self.answers.borrow().len() == 0
            && self.is_silent();
        is_idle.then(|| self.active.get())
    }

    /// Whether everything that was to be sent is out.
    pub(super) fn is_silent(&self) -> bool {
        self.outbox.borrow().bytes() == 0
    }

    /// Ends the connection, whatever is still to be sent.
    pub(super) fn abort(&self) {
        self.stage.set(Stage::Ended);
        self.taken_over.borrow().iter().for_each(|other| other.give_way());
        self.wake();
    }

    /// Whether it only waits for the other end to close.
    pub(super) fn is_done(&self) -> bool {
        self.stage.get() >= Stage::Lingering
    }

    /// Whether it is being closed.
    pub(super) fn is_ending(&self) -> bool {
        self.stage.get() != Stage::Open
    }

    /// Ends the connection if it has stalled in half a message, or with an answer that the other
    /// end does not take.
    pub(super) fn check_stall(&self, now: Instant) {
        if self.taken_over.borrow().is_some() {
            return;
        }
        let silent = now.saturating_duration_since(self.active.get());
        // A link that is ending and takes nothing leads to a node that is dead.
        let ends_soon = self.stage.get() >= Stage::Lingering
            || (self.is_ending() && self.role.get() != Role::Client);
        let limit = if ends_soon { LINGER } else { STALL };
        let is_too_slow = |(since, bytes)| {
            let earned = Duration::from_secs(bytes / BYTES_PER_SECOND_MIN as u64);
            now.saturating_duration_since(since) > STALL + earned
        };
        let too_slow = self.half.get().is_some_and(is_too_slow);
        // While others have no room, answers must be taken as fast as files must be sent.
        let is_in_the_way = self.role.get() == Role::Client
            && self.taking.get().is_some_and(is_too_slow)
            && !self.flight.has_room();
        let has_stalled = (self.half.get().is_some() && silent > limit) || too_slow;
        let is_done = self.is_ending() && self.answers.borrow().len() == 0;
        let is_waiting = self.outbox.borrow().bytes() > 0 || is_done;
        if has_stalled && self.role.get() == Role::Client && !self.is_ending() {
            self.half.set(None);
            let reason = "half a message, and then nothing; send it again";
            self.refuse(Refusal::new(Status::RequestTimeout, reason));
            self.end();
        } else if has_stalled || (is_waiting && silent > limit) || is_in_the_way {
            self.abort();
        }
    }

    pub(super) fn keep_waker(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(old) if old.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }

    pub(super) fn wake(&self) {
        self.taken_over.borrow().iter().for_each(|other| other.wake());
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Answers a request without the node, in the order of the requests.
    pub(super) fn refuse(&self, refusal: Refusal) {
        let number = self.answers.borrow_mut().expect();
        self.answer(number, Ready::Whole(Answer::Refused(refusal)));
    }
}
