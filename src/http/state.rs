//! The state of a connection: which there are, what ends each, and when.
//!
//! ```text
//!        byte        head complete         last exchange over          all is sent
//! Opened ----> Head -------------> Answering -------------> Flushing -------------> Idle
//!               ^                                               |                    |
//!               +----------- the next has begun ----------------+------- byte -------+
//!
//! Opened, Idle, Head ----> GivingWay    another client needs the room
//! Head ------------------> Refusing     what came is no request
//! ```
//!
//! | in | it waits for | at most | then |
//! |---|---|---|---|
//! | Opened | the first byte | the head timeout; one second in a shutdown | closed |
//! | Head | the rest of a head | the head timeout | 408, closed |
//! | Answering, busy | a body, a handler: timers of their own | | |
//! | Answering | the client to take the answer | the request timeout, without a byte | closed |
//! | Flushing | the same | the request timeout | closed |
//! | Idle | the next request | the keep-alive time; one second in a shutdown, or over HTTP/2 if that is 0 | closed |
//! | GivingWay | a request that is quicker than the task | not at all | closed; 408 if a head had begun |
//! | Refusing | hyper to end | the request timeout | closed |
//!
//! Empty lines before a request are nothing: they do not change a state.
//!
//! HTTP/2 has no Head and no Refusing: hyper itself bounds heads there, and answers what is wrong.
//!
//! A state changes by setting a cell. Nothing here reads the clock for a request that is answered
//! at once, and nothing arms a timer: the connection's task looks at [`ConnectionState::deadline`].

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::limits::DRAIN_IDLE;
use crate::{
    http1::request_reader::Stage,
    serve::{Options, thread::Spare},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet; over HTTP/2, no request.
    Opened,
    /// A request has begun to come, and its head is not complete.
    Head,
    /// Requests are being answered; in `busy` of the exchanges the client waits for the server.
    Answering { exchanges: u32, busy: u32 },
    /// The last answer is complete, but not all of it has gone to the kernel. The next request may
    /// have begun to come.
    Flushing { has_begun: bool },
    /// Between two requests.
    Idle,
    /// It is closed for another client, unless a request comes before its task looks; if a head has
    /// begun, the rest of it.
    GivingWay { has_begun: bool },
    /// hyper refuses what it could not parse.
    Refusing,
}

/// The state of a connection, which its task, its socket and its exchanges share.
pub(super) struct ConnectionState {
    phase: Cell<Phase>,
    is_h2: Cell<bool>,
    requests: Cell<u64>,
    /// No request after the one in progress.
    is_last: Cell<bool>,
    /// How far the last request has come that has begun to come.
    stage: Cell<Stage>,
    /// When the present wait began. `None`: in this turn of the task, and most end before they need
    /// a time.
    since: Cell<Option<Instant>>,
}

impl ConnectionState {
    pub(super) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Opened),
            is_h2: Cell::new(false),
            requests: Cell::new(0),
            is_last: Cell::new(false),
            stage: Cell::new(Stage::Nothing),
            since: Cell::new(Some(Instant::now())),
        }
    }

    // ---- what happens to it

    /// Notes that something of a request has been read over HTTP/1, and how far the last request in it
    /// has come.
    pub(super) fn received(&self, stage: Stage) {
        self.stage.set(stage);
        let next = match self.phase.get() {
            Phase::Opened | Phase::Idle | Phase::GivingWay { has_begun: false } => Phase::Head,
            Phase::GivingWay { has_begun: true } if stage != Stage::Head => Phase::Head,
            Phase::Flushing { has_begun: false } => Phase::Flushing { has_begun: true },
            Phase::Head
            | Phase::Answering { .. }
            | Phase::Flushing { .. }
            | Phase::GivingWay { .. }
            | Phase::Refusing => return,
        };
        self.phase.set(next);
        self.since.set(None);
    }

    /// Notes whether what has come first is the preface of HTTP/2, or the beginning of it, and no head.
    pub(super) fn speaks_h2(&self, is_h2: bool) {
        self.is_h2.set(is_h2);
    }

    /// Notes that a request's head is complete.
    pub(super) fn exchange_begins(&self) {
        self.requests.set(self.requests.get() + 1);
        let (exchanges, busy) = match self.phase.get() {
            Phase::Answering { exchanges, busy } => (exchanges, busy),
            _ => (0, 0),
        };
        self.phase.set(Phase::Answering { exchanges: exchanges + 1, busy: busy + 1 });
    }

    /// Notes that the client waits for the server in one exchange more, or one less.
    pub(super) fn count_busy(&self, is_busy: bool) {
        if let Phase::Answering { exchanges, busy } = self.phase.get() {
            let busy = if is_busy { busy + 1 } else { busy - 1 };
            self.phase.set(Phase::Answering { exchanges, busy });
        }
        self.since.set(None);
    }

    /// Notes that an exchange in which the client does not wait is over.
    pub(super) fn exchange_ended(&self, now: Instant) {
        self.phase.set(match self.phase.get() {
            Phase::Answering { exchanges: exchanges @ 2.., busy } => {
                Phase::Answering { exchanges: exchanges - 1, busy }
            }
            _ => Phase::Flushing { has_begun: self.stage.get() != Stage::Nothing },
        });
        self.since.set(Some(now));
    }

    /// Notes that the kernel has all that was written.
    pub(super) fn flushed(&self) {
        if let Phase::Flushing { has_begun } = self.phase.get() {
            let is_head = has_begun && !self.is_h2.get();
            self.phase.set(if is_head { Phase::Head } else { Phase::Idle });
        }
    }

    /// Notes that hyper writes, and returns whether it refuses.
    ///
    /// Over HTTP/1, all that hyper writes between two exchanges is its own bare answer to what it
    /// could not parse.
    pub(super) fn writes_refusal(&self) -> bool {
        match self.phase.get() {
            Phase::Answering { .. } | Phase::Flushing { .. } => false,
            _ if self.is_h2.get() => false,
            _ => {
                self.phase.set(Phase::Refusing);
                true
            }
        }
    }

    /// Ends the connection if it still waits for a head when its task looks.
    pub(super) fn give_way(&self) {
        if let Some((spare, _)) = self.spare_since() {
            self.phase.set(Phase::GivingWay { has_begun: spare == Spare::HalfHead });
        }
    }

    /// After the present answer the connection is closed.
    pub(super) fn close(&self) {
        self.is_last.set(true);
    }

    /// A new wait begins.
    pub(super) fn touch(&self) {
        self.since.set(Some(Instant::now()));
    }

    /// Sets the time of a wait that began in this turn of the task.
    pub(super) fn end_turn(&self) {
        if self.since.get().is_none() {
            self.touch();
        }
    }

    // ---- what is known of it

    /// When the present wait is over. `draining` is since when the server has been in a shutdown.
    pub(super) fn deadline(&self, options: &Options, draining: Option<Instant>) -> Option<Instant> {
        let since = self.since();
        match (self.phase.get(), draining) {
            (Phase::Answering { busy: 1.., .. }, _) => None,
            (Phase::Answering { .. } | Phase::Flushing { .. } | Phase::Refusing, _) => {
                Some(since + options.request_timeout)
            }
            (Phase::Head, _) => Some(since + options.head_timeout()),
            (Phase::GivingWay { .. }, _) => Some(since),
            (Phase::Opened | Phase::Idle, Some(draining)) => Some(since.max(draining) + DRAIN_IDLE),
            (Phase::Opened, None) => Some(since + options.head_timeout()),
            // A client of HTTP/2 may have sent another request before it hears that this was the last.
            (Phase::Idle, None) if options.keep_alive.is_zero() && self.is_h2.get() => {
                Some(since + DRAIN_IDLE)
            }
            (Phase::Idle, None) => Some(since + options.keep_alive),
        }
    }

    /// Whether the client is told when the deadline has passed: where it has begun to ask, and has
    /// not been answered.
    pub(super) fn is_told_late(&self) -> bool {
        match self.phase.get() {
            Phase::Head => self.stage.get() == Stage::Head,
            Phase::GivingWay { has_begun } => has_begun,
            _ => false,
        }
    }

    /// What it waits for, and since when, if it may be closed for another.
    pub(super) fn spare_since(&self) -> Option<(Spare, Instant)> {
        let spare = match self.phase.get() {
            Phase::Opened => Spare::Unused,
            Phase::Head if self.stage.get() == Stage::Head => Spare::HalfHead,
            Phase::Idle if !self.is_last.get() => Spare::Idle,
            Phase::GivingWay { has_begun: true } => Spare::HalfHead,
            Phase::GivingWay { has_begun: false } => Spare::Idle,
            _ => return None,
        };
        Some((spare, self.since()))
    }

    /// Whether a request has begun to come and its answer has not all gone.
    pub(super) fn is_in_use(&self) -> bool {
        match self.phase.get() {
            Phase::Opened | Phase::Idle | Phase::GivingWay { has_begun: false } => false,
            Phase::Head => self.stage.get() != Stage::Nothing,
            _ => true,
        }
    }

    pub(super) fn gives_way(&self) -> bool {
        matches!(self.phase.get(), Phase::GivingWay { .. })
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.phase.get() == Phase::Refusing
    }

    pub(super) fn is_h2(&self) -> bool {
        self.is_h2.get()
    }

    /// Whether no request comes after the one in progress.
    pub(super) fn is_last(&self) -> bool {
        self.is_last.get()
    }

    /// How many there have been.
    pub(super) fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// How long the present wait has lasted.
    pub(super) fn waited(&self) -> Duration {
        self.since().elapsed()
    }

    fn since(&self) -> Instant {
        self.since.get().unwrap_or_else(Instant::now)
    }
}

/// The shortest of all waits.
pub(super) fn shortest_wait(options: &Options, is_draining: bool) -> Duration {
    let shortest = options.request_timeout.min(options.head_timeout());
    // Without keep-alive no connection waits for another request, but for those that are on their way.
    let idle = if options.keep_alive.is_zero() { DRAIN_IDLE } else { options.keep_alive };
    let shortest = shortest.min(idle);
    if is_draining { shortest.min(DRAIN_IDLE) } else { shortest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Duration = Duration::from_secs(1);
    const HEAD: Duration = Duration::from_secs(2);
    const KEEP_ALIVE: Duration = Duration::from_secs(3);

    fn options() -> Options {
        Options {
            request_timeout: REQUEST,
            head_timeout: Some(HEAD),
            keep_alive: KEEP_ALIVE,
            ..Options::default()
        }
    }

    /// How long the present wait may last, and whether the client is told of its end.
    fn wait(state: &ConnectionState) -> (Option<Duration>, bool) {
        state.end_turn();
        let deadline = state.deadline(&options(), None);
        (deadline.map(|it| it - state.since()), state.is_told_late())
    }

    #[test]
    fn a_request_goes_through_all_states() {
        let state = ConnectionState::new();
        assert_eq!(wait(&state), (Some(HEAD), false));
        state.received(Stage::Head);
        assert_eq!(wait(&state), (Some(HEAD), true));
        assert_eq!(state.spare_since().unwrap().0, Spare::HalfHead);
        state.received(Stage::Nothing);
        assert_eq!(state.spare_since(), None);
        state.exchange_begins();
        assert_eq!(wait(&state), (None, false));
        assert!(!state.writes_refusal());
        state.count_busy(false);
        assert_eq!(wait(&state), (Some(REQUEST), false));
        state.exchange_ended(Instant::now());
        assert_eq!(wait(&state), (Some(REQUEST), false));
        assert!(!state.writes_refusal());
        state.flushed();
        assert_eq!(wait(&state), (Some(KEEP_ALIVE), false));
        assert_eq!(state.spare_since().unwrap().0, Spare::Idle);
        state.received(Stage::Head);
        assert_eq!(wait(&state), (Some(HEAD), true));
    }

    #[test]
    fn what_comes_behind_a_request_is_the_next_one() {
        let state = ConnectionState::new();
        state.received(Stage::Head);
        state.exchange_begins();
        state.count_busy(false);
        state.exchange_ended(Instant::now());
        state.flushed();
        assert_eq!(wait(&state), (Some(HEAD), true));
        // What comes before all of the answer has gone is the next request as well.
        let state = ConnectionState::new();
        state.exchange_begins();
        state.count_busy(false);
        state.exchange_ended(Instant::now());
        state.received(Stage::Head);
        state.flushed();
        assert_eq!(wait(&state), (Some(HEAD), true));
    }

    #[test]
    fn only_a_connection_that_waits_for_a_head_gives_way() {
        let state = ConnectionState::new();
        state.received(Stage::Nothing);
        state.exchange_begins();
        state.give_way();
        assert!(!state.gives_way());
        let state = ConnectionState::new();
        state.give_way();
        assert_eq!(wait(&state), (Some(Duration::ZERO), false));
        state.received(Stage::Head);
        assert_eq!(wait(&state), (Some(HEAD), true));
        // A byte more of a head saves nothing, its end does.
        state.give_way();
        state.received(Stage::Head);
        assert_eq!(wait(&state), (Some(Duration::ZERO), true));
        state.received(Stage::Nothing);
        assert!(!state.gives_way());
    }

    #[test]
    fn a_shutdown_lets_idle_connections_have_another_second() {
        let state = ConnectionState::new();
        let draining = state.since() + Duration::from_secs(10);
        let deadline = |state: &ConnectionState| state.deadline(&options(), Some(draining));
        assert_eq!(deadline(&state), Some(draining + DRAIN_IDLE));
        assert!(!state.is_told_late());
        state.received(Stage::Head);
        state.end_turn();
        assert_eq!(deadline(&state), Some(state.since() + HEAD));
        assert!(state.is_told_late());
    }

    #[test]
    fn several_exchanges_of_h2_are_counted() {
        let state = ConnectionState::new();
        state.speaks_h2(true);
        assert_eq!(wait(&state), (Some(HEAD), false));
        assert!(!state.writes_refusal());
        (0..2).for_each(|_| state.exchange_begins());
        state.count_busy(false);
        state.exchange_ended(Instant::now());
        assert_eq!(wait(&state), (None, false));
        state.count_busy(false);
        assert_eq!(wait(&state), (Some(REQUEST), false));
        state.exchange_ended(Instant::now());
        state.flushed();
        assert_eq!(wait(&state), (Some(KEEP_ALIVE), false));
    }

    #[test]
    fn hyper_writes_between_exchanges_only_to_refuse() {
        let state = ConnectionState::new();
        state.received(Stage::Head);
        assert!(state.writes_refusal() && state.is_refusing());
        state.flushed();
        assert!(state.is_refusing());
    }
}
