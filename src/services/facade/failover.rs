//! Several services that do the same: when one fails, the next attempt goes to the next.

use std::{
    fmt::Display,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{
    http::Lines,
    serve::metrics::Counter,
    services::retry::{self, Failed, Places, Policy},
};

/// Services in a fixed order. The log names each by its text.
pub(super) struct Failover<S> {
    /// At least one.
    services: Vec<S>,
    /// The index of the one that answered last.
    good: AtomicUsize,
    lines: Lines,
    retries: Counter,
}

/// A service that can be asked whether it is ready.
pub(super) trait Checked: Sync {
    /// If it is not, why. Ends in the time of one attempt.
    fn is_there(&self) -> impl Future<Output = Result<(), String>> + Send;
}

impl<S: Checked> Failover<S> {
    /// Whether one of them is ready; if none is, why the last one that was asked is not.
    pub(super) async fn any_is_there(&self) -> Result<(), String> {
        let mut there = Ok(());
        for number in 0..self.services.len() {
            let index = (self.good.load(Relaxed) + number) % self.services.len();
            there = self.services[index].is_there().await;
            if there.is_ok() {
                break;
            }
        }
        there
    }
}

impl<S: Display> Failover<S> {
    pub(super) fn new(services: Vec<S>, lines: Lines, retries: Counter) -> Self {
        Self { services, good: AtomicUsize::new(0), lines, retries }
    }

    /// Makes attempts under the policy, the first at the service that answered last, each further one at
    /// the next that does not want to be left alone. Each failed attempt is a line in the log, which begins with `what`.
    pub(super) async fn call<'a, T, F>(
        &'a self,
        policy: &Policy,
        began: Instant,
        what: &str,
        attempt: impl Fn(&'a S) -> F,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let places = Places { count: self.services.len(), first: self.good.load(Relaxed) };
        let asked = |_, index: usize| {
            let good = &self.good;
            let answer = attempt(&self.services[index]);
            async move {
                let answer = answer.await?;
                good.store(index, Relaxed);
                Ok(answer)
            }
        };
        let tell = |number, index: usize, failed: &Failed, next: Option<Duration>| {
            let (of, at) = (policy.attempts, &self.services[index]);
            let attempt = format_args!("{what} attempt {number} of {of} at {at} failed: {failed}");
            match next {
                Some(wait) => {
                    self.retries.count();
                    self.lines.say(format_args!("{attempt}; next in {} ms", wait.as_millis()));
                }
                None => self.lines.say(format_args!("{attempt}; given up")),
            }
        };
        retry::retry(policy, places, began, asked, tell).await
    }
}
