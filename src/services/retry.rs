//! Trying again: after which failures, when, and when to stop.
//!
//! A client that finds a service down tries again, and so do all the other clients; if all wait for
//! the same time, they come back all at once. So each waits for a random time between nothing and a
//! window that doubles from failure to failure up to a cap. This is "full jitter" of Marc Brooker's
//! article [Exponential Backoff And
//! Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), which
//! compares it with others: it needs the fewest calls in all.
//!
//! # What full jitter cannot promise
//! Any number of waits may happen to be short. With five attempts and windows of 200, 400, 800 and
//! 1600 ms, all are over within 1.5 s half of the time, and a service that takes three seconds to
//! restart is always missed. Windows that begin at 2 s still miss it now and then, and make every
//! client wait after a brief failure. So there is one more rule: **the last attempt does not begin
//! before [`Policy::last_after`]**, counted from the beginning; the jitter of its window is added,
//! so that these attempts are spread out as well. A brief failure costs a tenth of a second, and an
//! outage that is shorter than `last_after` certainly costs no request. In between the attempts are
//! few: a service that is still down after the fourth is restarting, and asking does not speed that
//! up.
//!
//! # What the other side asks for
//! A service that is overloaded or restarting may say when it wants to be asked again
//! (`Retry-After`). That is kept: no attempt at this place comes earlier, and where it would come too
//! late for the deadline, none is made and the wait is passed on to the client.
//!
//! # What may be repeated
//! Only what does no harm twice: [`Failed`] says whether. The message of a failed attempt may have
//! arrived, so it has the same id each time.

use std::time::{Duration, Instant};

use smol::Timer;

/// Why an attempt failed, in words, and whether another one makes sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(super) struct Failed {
    pub(super) why: String,
    pub(super) kind: Kind,
    /// How long the other side has asked to be left alone.
    pub(super) retry_after: Option<Duration>,
}

/// What another attempt would bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Maybe an answer: the cause may be temporary, and repeating does no harm.
    Passing,
    /// The same: the other side has no room for more.
    Full,
    /// The same: the other side may have done it, but its answer is unreadable.
    Unread,
    /// The same: the other side refuses it.
    Final,
}

impl Failed {
    /// Another attempt may succeed.
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self::new(Kind::Passing, why)
    }

    /// No other attempt would succeed.
    pub(super) fn lasting(why: impl Into<String>) -> Self {
        Self::new(Kind::Final, why)
    }

    pub(super) fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { why: why.into(), kind, retry_after: None }
    }

    /// The same, and how long the other side has asked to be left alone.
    pub(super) fn after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }
}

/// How often something is tried, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Attempts in all, from 1 on.
    pub(super) attempts: u32,
    /// The window of the wait after the first failure; it doubles with each further one.
    pub(super) base: Duration,
    /// The window is never wider than this.
    pub(super) cap: Duration,
    /// From the beginning to the last attempt at least; see above.
    pub(super) last_after: Duration,
    /// What one attempt may take. The caller enforces it.
    pub(super) attempt_timeout: Duration,
    /// What all may take together. No attempt begins that could not have its full time within that.
    pub(super) overall: Duration,
}

impl Policy {
    /// How long to wait after `failures`, when `elapsed` has passed since the beginning, and the other
    /// side wants to be left alone for `asked`; `None`: make no further attempt. `chance` is a random
    /// number from 0 up to but not including 1.
    fn wait(
        &self,
        failures: u32,
        elapsed: Duration,
        asked: Duration,
        chance: f64,
    ) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let room = self.overall.checked_sub(elapsed)?.checked_sub(self.attempt_timeout)?;
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let window = self.base.saturating_mul(doubled).min(self.cap);
        let is_last = failures + 1 == self.attempts;
        let least = if is_last { self.last_after.saturating_sub(elapsed) } else { Duration::ZERO };
        (asked <= room).then(|| (least.max(asked) + window.mul_f64(chance)).min(room))
    }
}

/// Places that do the same: how many, and which is asked first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// At least one.
    pub(super) count: usize,
    pub(super) first: usize,
}

/// Makes attempts until one succeeds, or another one makes no sense: each is given its number, from 1
/// on, and its place. The next place is the one after it, or another that asks for a shorter wait.
/// `began` is the beginning of all attempts. After each failure `tell` is given the number and the
/// place, and the wait that follows.
///
/// The error is the last one. Its `retry_after` is what remains until any of the places wants to be
/// asked again.
pub(super) async fn retry<T, F>(
    policy: &Policy,
    places: Places,
    began: Instant,
    mut attempt: impl FnMut(u32, usize) -> F,
    tell: impl Fn(u32, usize, &Failed, Option<Duration>),
) -> Result<T, Failed>
where
    F: Future<Output = Result<T, Failed>>,
{
    let (mut number, mut place) = (1, places.first);
    let mut left_alone_until = Vec::new();
    loop {
        let mut failed = match attempt(number, place).await {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        let now = Instant::now();
        left_alone_until.resize(places.count, now);
        left_alone_until[place] = now + failed.retry_after.unwrap_or_default();
        let asked = |place: usize| left_alone_until[place].saturating_duration_since(now);
        let others = (1..=places.count).map(|step| (place + step) % places.count);
        let next_place = others.min_by_key(|place| asked(*place)).unwrap_or(place);
        let wait = asked(next_place);
        let next = match failed.kind {
            Kind::Passing => {
                failed.retry_after = Some(wait).filter(|wait| !wait.is_zero());
                policy.wait(number, now - began, wait, fastrand::f64())
            }
            Kind::Full | Kind::Unread | Kind::Final => None,
        };
        tell(number, place, &failed, next);
        let Some(wait) = next else { return Err(failed) };
        Timer::after(wait).await;
        (number, place) = (number + 1, next_place);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use fastrand::Rng;

    use super::*;
    use crate::services::facade::posts;

    const MS: Duration = Duration::from_millis(1);
    const SEEDS: u64 = 100_000;

    fn standard() -> Policy {
        posts(5, MS * 1000, MS * 15_000)
    }

    /// When each attempt begins if all fail after `takes`, in virtual time.
    fn beginnings(policy: &Policy, seed: u64, takes: impl Fn(f64) -> Duration) -> Vec<Duration> {
        let mut random = Rng::with_seed(seed);
        let (mut now, mut all) = (Duration::ZERO, vec![Duration::ZERO]);
        loop {
            now += takes(random.f64());
            match policy.wait(all.len() as u32, now, Duration::ZERO, random.f64()) {
                Some(wait) => now += wait,
                None => return all,
            }
            all.push(now);
        }
    }

    #[test]
    fn an_outage_of_three_seconds_costs_no_request() {
        let policy = standard();
        for seed in 0..SEEDS {
            // Refused at once, or after any time up to that of an attempt.
            for all in [
                beginnings(&policy, seed, |_| Duration::ZERO),
                beginnings(&policy, seed, |chance| MS * (chance * 1000.0) as u32),
                beginnings(&policy, seed, |_| policy.attempt_timeout),
            ] {
                assert_eq!(all.len(), 5, "seed {seed}: {all:?}");
                let last = *all.last().unwrap();
                // Two seconds more than three, for a service that is slow to start.
                assert!(last >= MS * 5000, "seed {seed}: {all:?}");
                assert!(last + policy.attempt_timeout <= policy.overall, "seed {seed}: {all:?}");
            }
        }
    }

    #[test]
    fn without_the_rule_for_the_last_attempt_it_would() {
        let policy = Policy { last_after: Duration::ZERO, ..standard() };
        let last = |seed| *beginnings(&policy, seed, |_| Duration::ZERO).last().unwrap();
        assert!((0..1000).any(|seed| last(seed) < MS * 3000));
    }

    #[test]
    fn waits_fill_windows_that_double_up_to_the_cap() {
        let policy = Policy { last_after: Duration::ZERO, attempts: 7, ..standard() };
        let mut random = Rng::with_seed(7);
        for (failures, window) in [(1, 200), (2, 400), (3, 800), (4, 1600), (5, 2000), (6, 2000)] {
            let window = MS * window;
            let mut waits: Vec<Duration> = (0..1001)
                .map(|_| policy.wait(failures, MS, Duration::ZERO, random.f64()).unwrap())
                .collect();
            waits.sort();
            let tenth = window / 10;
            assert!(waits[0] < tenth && waits[1000] < window && waits[1000] > window - tenth);
            assert!(waits[500] > tenth * 4 && waits[500] < tenth * 6, "{:?}", waits[500]);
        }
        // So a brief failure costs little.
        assert_eq!(standard().wait(1, Duration::ZERO, Duration::ZERO, 0.5), Some(MS * 100));
    }

    #[test]
    fn the_last_attempts_of_many_are_apart() {
        let policy = standard();
        let mut last: Vec<Duration> = (0..1001)
            .map(|seed| *beginnings(&policy, seed, |_| Duration::ZERO).last().unwrap())
            .collect();
        last.sort();
        assert!(last[900] - last[100] > MS * 1000, "{:?} {:?}", last[100], last[900]);
    }

    #[test]
    fn it_ends() {
        let policy = standard();
        let wait = |failures, elapsed| policy.wait(failures, elapsed, Duration::ZERO, 0.5);
        assert_eq!(wait(5, Duration::ZERO), None);
        assert_eq!(wait(u32::MAX, Duration::ZERO), None);
        // The next one would not have its second.
        assert_eq!(wait(1, MS * 14_001), None);
        assert_eq!(wait(1, MS * 14_000), Some(Duration::ZERO));
        assert_eq!(wait(4, MS * 13_990), Some(MS * 10));
        assert_eq!(wait(1, Duration::MAX), None);
        let endless = Policy { attempts: u32::MAX, ..policy };
        assert_eq!(endless.wait(100, Duration::ZERO, Duration::ZERO, 0.5), Some(MS * 1000));
        assert_eq!(
            Policy { attempts: 1, ..policy }.wait(1, Duration::ZERO, Duration::ZERO, 0.5),
            None
        );
    }

    /// Plays failures and returns the outcome, and what was told.
    fn play(failures: &[Failed]) -> (Result<u32, Failed>, Vec<(u32, bool)>) {
        let policy = Policy { base: MS, cap: MS, last_after: Duration::ZERO, ..standard() };
        let told = RefCell::new(Vec::new());
        let outcome = smol::block_on(retry(
            &policy,
            Places { count: 1, first: 0 },
            Instant::now(),
            async |number, _| failures.get(number as usize - 1).cloned().map_or(Ok(number), Err),
            |number, _, _, next| told.borrow_mut().push((number, next.is_some())),
        ));
        (outcome, told.into_inner())
    }

    #[test]
    fn what_passes_is_repeated_and_what_lasts_is_not() {
        let passing = Failed::passing("p");
        assert_eq!(play(&[]), (Ok(1), vec![]));
        assert_eq!(play(&vec![passing.clone(); 4]).0, Ok(5));
        let (outcome, told) = play(&vec![passing.clone(); 5]);
        assert_eq!(outcome, Err(passing.clone()));
        assert_eq!(told, [(1, true), (2, true), (3, true), (4, true), (5, false)]);
        for lasting in [Failed::lasting("l"), Failed::new(Kind::Full, "f")] {
            let (outcome, told) = play(&[passing.clone(), lasting.clone()]);
            assert_eq!((outcome, told), (Err(lasting), vec![(1, true), (2, false)]));
        }
    }
    #[test]
    fn a_wait_that_is_asked_for_is_kept_or_it_ends() {
        let policy = standard();
        let wait = |asked| policy.wait(1, MS * 1000, asked, 0.5);
        assert_eq!(wait(Duration::ZERO), Some(MS * 100));
        assert_eq!(wait(MS * 3000), Some(MS * 3100));
        // The attempt has its full time within the deadline.
        assert_eq!(wait(MS * 13_000), Some(MS * 13_000));
        assert_eq!(wait(MS * 13_001), None);
        assert_eq!(wait(Duration::MAX), None);
    }

    #[test]
    fn a_place_that_wants_to_be_left_alone_is_asked_after_the_others() {
        let policy = Policy { base: MS, cap: MS, last_after: Duration::ZERO, ..standard() };
        let long = Duration::from_secs(3600);
        // Each place fails, and asks for this wait each time.
        let asked = |first, waits: &[Duration]| {
            let asked = RefCell::new(Vec::new());
            let outcome: Result<(), Failed> = smol::block_on(retry(
                &policy,
                Places { count: waits.len(), first },
                Instant::now(),
                async |_, place| {
                    asked.borrow_mut().push(place);
                    Err(Failed::passing("p").after(Some(waits[place]).filter(|it| !it.is_zero())))
                },
                |_, _, _, _| {},
            ));
            (asked.into_inner(), outcome.unwrap_err().retry_after.map(|it| it.as_secs_f64().ceil()))
        };
        let none = Duration::ZERO;
        assert_eq!(asked(1, &[none, none, none]), (vec![1, 2, 0, 1, 2], None));
        assert_eq!(asked(0, &[long, none, none]), (vec![0, 1, 2, 1, 2], None));
        assert_eq!(asked(0, &[long, long, none]), (vec![0, 1, 2, 2, 2], None));
        assert_eq!(asked(0, &[long, long * 2]), (vec![0, 1], Some(3600.0)));
        assert_eq!(asked(0, &[long]), (vec![0], Some(3600.0)));
    }
}
