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
        Self { why: why.into(), kind: Kind::Passing }
    }

    /// No other attempt would succeed.
    pub(super) fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: Kind::Final }
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
    /// How long to wait after `failures`, when `elapsed` has passed since the beginning; `None`:
    /// make no further attempt. `chance` is a random number from 0 up to but not including 1.
    pub(super) fn wait(&self, failures: u32, elapsed: Duration, chance: f64) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let room = self.overall.checked_sub(elapsed)?.checked_sub(self.attempt_timeout)?;
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let window = self.base.saturating_mul(doubled).min(self.cap);
        let is_last = failures + 1 == self.attempts;
        let least = if is_last { self.last_after.saturating_sub(elapsed) } else { Duration::ZERO };
        Some((least + window.mul_f64(chance)).min(room))
    }
}

/// Makes attempts until one succeeds, or another one makes no sense. `began` is the beginning of all
/// of them. After each failure `tell` is given the attempt's number, from 1 on, and the wait that
/// follows.
pub(super) async fn retry<T, F>(
    policy: &Policy,
    began: Instant,
    mut attempt: impl FnMut(u32) -> F,
    tell: impl Fn(u32, &Failed, Option<Duration>),
) -> Result<T, Failed>
where
    F: Future<Output = Result<T, Failed>>,
{
    let mut number = 1;
    loop {
        let failed = match attempt(number).await {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        let next = match failed.kind {
            Kind::Passing => policy.wait(number, began.elapsed(), fastrand::f64()),
            Kind::Full | Kind::Unread | Kind::Final => None,
        };
        tell(number, &failed, next);
        let Some(wait) = next else { return Err(failed) };
        Timer::after(wait).await;
        number += 1;
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
            match policy.wait(all.len() as u32, now, random.f64()) {
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
            let mut waits: Vec<Duration> =
                (0..1001).map(|_| policy.wait(failures, MS, random.f64()).unwrap()).collect();
            waits.sort();
            let tenth = window / 10;
            assert!(waits[0] < tenth && waits[1000] < window && waits[1000] > window - tenth);
            assert!(waits[500] > tenth * 4 && waits[500] < tenth * 6, "{:?}", waits[500]);
        }
        // So a brief failure costs little.
        assert_eq!(standard().wait(1, Duration::ZERO, 0.5), Some(MS * 100));
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
        assert_eq!(policy.wait(5, Duration::ZERO, 0.5), None);
        assert_eq!(policy.wait(u32::MAX, Duration::ZERO, 0.5), None);
        // The next one would not have its second.
        assert_eq!(policy.wait(1, MS * 14_001, 0.5), None);
        assert_eq!(policy.wait(1, MS * 14_000, 0.5), Some(Duration::ZERO));
        assert_eq!(policy.wait(4, MS * 13_990, 0.5), Some(MS * 10));
        assert_eq!(policy.wait(1, Duration::MAX, 0.5), None);
        let endless = Policy { attempts: u32::MAX, ..policy };
        assert_eq!(endless.wait(100, Duration::ZERO, 0.5), Some(MS * 1000));
        assert_eq!(Policy { attempts: 1, ..policy }.wait(1, Duration::ZERO, 0.5), None);
    }

    /// Plays failures and returns the outcome, and what was told.
    fn play(failures: &[Failed]) -> (Result<u32, Failed>, Vec<(u32, bool)>) {
        let policy = Policy { base: MS, cap: MS, last_after: Duration::ZERO, ..standard() };
        let told = RefCell::new(Vec::new());
        let outcome = smol::block_on(retry(
            &policy,
            Instant::now(),
            async |number| failures.get(number as usize - 1).cloned().map_or(Ok(number), Err),
            |number, _, next| told.borrow_mut().push((number, next.is_some())),
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
        for lasting in [Failed::lasting("l"), Failed { why: "f".into(), kind: Kind::Full }] {
            let (outcome, told) = play(&[passing.clone(), lasting.clone()]);
            assert_eq!((outcome, told), (Err(lasting), vec![(1, true), (2, false)]));
        }
    }
}
