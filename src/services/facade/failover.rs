//! Several places that do the same: when one fails, the next attempt goes to the next.

use std::{
    fmt::Display,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{
    http::Lines,
    services::retry::{self, Failed, Policy},
};

/// Places in a fixed order. Their text is what the log calls them.
pub(super) struct Failover<P> {
    /// At least one.
    places: Vec<P>,
    /// The one that answered last.
    good: AtomicUsize,
    lines: Lines,
}

impl<P: Display> Failover<P> {
    pub(super) fn new(places: Vec<P>, lines: Lines) -> Self {
        Self { places, good: AtomicUsize::new(0), lines }
    }

    /// Makes attempts under the policy, the first at the place that answered last, each further
    /// one at the next place. Each that fails is a line in the log, which begins with `what`.
    pub(super) async fn call<'a, T, F>(
        &'a self,
        policy: &Policy,
        began: Instant,
        what: &str,
        attempt: impl Fn(&'a P) -> F,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let first = self.good.load(Relaxed);
        let place = |number: u32| (first + number as usize - 1) % self.places.len();
        let asked = |number| {
            let (place, good) = (place(number), &self.good);
            let answer = attempt(&self.places[place]);
            async move {
                let answer = answer.await?;
                good.store(place, Relaxed);
                Ok(answer)
            }
        };
        let tell = |number, failed: &Failed, next: Option<Duration>| {
            let (of, at) = (policy.attempts, &self.places[place(number)]);
            let attempt = format_args!("{what} attempt {number} of {of} at {at} failed: {failed}");
            match next {
                Some(wait) => {
                    self.lines.say(format_args!("{attempt}; next in {} ms", wait.as_millis()));
                }
                None => self.lines.say(format_args!("{attempt}; given up")),
            }
        };
        retry::persist(policy, began, asked, tell).await
    }
}
