//! What a service counts, and the text of `/metrics`, in the format of Prometheus.
//!
//! Each thread has counters of its own, which it alone changes: no thread waits for another, and no
//! instruction locks. `/metrics` adds them up.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::exposition::Exposition;
use crate::durations::{self, BUCKETS, Durations};

/// Statuses are from 100 on, and there are this many.
const STATUSES: usize = 500;

/// All counters of a service.
#[derive(Debug)]
pub(crate) struct Metrics {
    threads: Mutex<Vec<Arc<ThreadMetrics>>>,
    own: Mutex<Vec<(&'static str, &'static str, Counter)>>,
    /// Seconds since 1970.
    started: f64,
}

/// What one thread counts. Only that thread changes it.
#[derive(Debug)]
pub(crate) struct ThreadMetrics {
    in_flight: AtomicU64,
    /// By status, from 100 on.
    answers: Vec<AtomicU64>,
    /// Requests that were never answered: the client had gone.
    unanswered: AtomicU64,
    /// By duration.
    durations: [AtomicU64; BUCKETS],
    microseconds: AtomicU64,
}

/// Something that a service counts besides requests. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts one more.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let started = now.unwrap_or_default().as_secs_f64();
        Self { threads: Mutex::default(), own: Mutex::default(), started }
    }

    /// Adds the counters of a thread.
    pub(crate) fn thread(&self) -> Arc<ThreadMetrics> {
        let thread = Arc::new(ThreadMetrics {
            in_flight: AtomicU64::new(0),
            answers: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            unanswered: AtomicU64::new(0),
            durations: Default::default(),
            microseconds: AtomicU64::new(0),
        });
        lock(&self.threads).push(thread.clone());
        thread
    }

    /// Adds a counter of the service's own. `name` ends in `_total`.
    pub(crate) fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        let counter = Counter::default();
        lock(&self.own).push((name, help, counter.clone()));
        counter
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self) -> String {
        let threads = lock(&self.threads);
        let sum = |of: &dyn Fn(&ThreadMetrics) -> &AtomicU64| -> u64 {
            threads.iter().map(|thread| of(thread).load(Relaxed)).sum()
        };
        let mut text = Exposition::default();
        let help = "Requests that are over, by the status of the answer.";
        text.family("http_requests_total", "counter", help);
        for status in 0..STATUSES {
            let count = sum(&|thread| &thread.answers[status]);
            if count > 0 {
                text.sample(format_args!("code=\"{}\"", status + 100), count);
            }
        }
        text.sample("code=\"none\"", sum(&|thread| &thread.unanswered));
        let help = "Requests that are being answered, this one included.";
        let in_flight = sum(&|thread| &thread.in_flight);
        text.one("http_requests_in_flight", "gauge", help, in_flight);
        let help = "From the head of a request to the end of its answer.";
        text.family("http_request_duration_seconds", "histogram", help);
        let durations = Durations {
            counts: std::array::from_fn(|bucket| sum(&|thread| &thread.durations[bucket])),
            micros: sum(&|thread| &thread.microseconds),
        };
        text.durations("", &durations);
        for (name, help, Counter(count)) in lock(&self.own).iter() {
            text.one(name, "counter", help, count.load(Relaxed));
        }
        let help = "When the process began, in seconds since 1970.";
        let started = format_args!("{:.3}", self.started);
        text.one("process_start_time_seconds", "gauge", help, started);
        text.into_text()
    }
}

impl ThreadMetrics {
    /// A request has begun.
    pub(crate) fn begin(&self) {
        change(&self.in_flight, 1);
    }

    /// It is over. `None`: it was not answered.
    pub(crate) fn end(&self, status: Option<u16>, duration: Duration) {
        change(&self.in_flight, 1u64.wrapping_neg());
        self.answered(status);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        change(&self.durations[durations::bucket(micros)], 1);
        change(&self.microseconds, micros);
    }

    /// Something that never became a request was refused.
    pub(crate) fn refused(&self, status: u16) {
        self.answered(Some(status));
    }

    fn answered(&self, status: Option<u16>) {
        let place = status.and_then(|status| usize::from(status).checked_sub(100));
        change(place.and_then(|it| self.answers.get(it)).unwrap_or(&self.unanswered), 1);
    }
}

/// Adds to a counter that no other thread changes.
fn change(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_added_up() {
        let metrics = Metrics::new();
        let (one, two) = (metrics.thread(), metrics.thread());
        let repeats = metrics.counter("x_repeats_total", "Repeats.");
        (0..3).for_each(|_| one.begin());
        one.end(Some(200), Duration::from_micros(100));
        two.begin();
        two.end(Some(200), Duration::from_secs(60));
        one.end(None, Duration::from_millis(2));
        two.refused(400);
        repeats.count();
        let text = metrics.text();
        for line in [
            "http_requests_total{code=\"200\"} 2",
            "http_requests_total{code=\"400\"} 1",
            "http_requests_total{code=\"none\"} 1",
            "http_requests_in_flight 1",
            "http_request_duration_seconds_bucket{le=\"0.0001\"} 1",
            "http_request_duration_seconds_bucket{le=\"0.005\"} 2",
            "http_request_duration_seconds_bucket{le=\"10\"} 2",
            "http_request_duration_seconds_bucket{le=\"+Inf\"} 3",
            "http_request_duration_seconds_sum 60.0021",
            "http_request_duration_seconds_count 3",
            "# TYPE x_repeats_total counter",
            "x_repeats_total 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}: {text}");
        }
    }
}
