//! The time that the driver and its connections go by. In tests of this room it may be one that
//! passes only as the test says.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use async_io::Timer;

/// What time it is, by a clock that never goes back.
pub(super) fn now() -> Instant {
    #[cfg(test)]
    if let Some(now) = scripted::now() {
        return now;
    }
    Instant::now()
}

/// Milliseconds since 1970.
pub fn wall_ms() -> u64 {
    #[cfg(test)]
    if let Some(wall_ms) = scripted::wall_ms() {
        return wall_ms;
    }
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    wall.as_millis() as u64
}

/// Ends at a time that can be changed, or never.
pub(super) struct Alarm {
    timer: Timer,
    #[cfg(test)]
    at: Option<Instant>,
}

impl Alarm {
    pub(super) fn never() -> Self {
        Self {
            timer: Timer::never(),
            #[cfg(test)]
            at: None,
        }
    }

    pub(super) fn after(time: Duration) -> Self {
        let mut alarm = Self::never();
        alarm.set_at(now() + time);
        alarm
    }

    pub(super) fn set_at(&mut self, at: Instant) {
        #[cfg(test)]
        if scripted::now().is_some() {
            self.at = Some(at);
            return;
        }
        self.timer.set_at(at);
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(test)]
        if let Some(at) = self.at {
            return scripted::poll(at, cx);
        }
        Pin::new(&mut self.timer).poll(cx).map(|_| ())
    }
}

#[cfg(test)]
pub(super) mod scripted {
    //! Time that passes as a test says, for all that runs on the test's thread.

    use std::{
        cell::RefCell,
        collections::BTreeMap,
        task::{Context, Poll, Waker},
        time::{Duration, Instant},
    };

    const BEGAN_MS: u64 = 1_700_000_000_000;

    struct Scripted {
        began: Instant,
        now: Instant,
        waiting: BTreeMap<Instant, Vec<Waker>>,
    }

    thread_local! {
        static SCRIPTED: RefCell<Option<Scripted>> = const { RefCell::new(None) };
    }

    /// From now on time stands still on this thread, but for [`advance`].
    pub fn begin() {
        let now = Instant::now();
        let scripted = Scripted { began: now, now, waiting: BTreeMap::new() };
        SCRIPTED.set(Some(scripted));
    }

    pub(super) fn now() -> Option<Instant> {
        SCRIPTED.with_borrow(|it| it.as_ref().map(|it| it.now))
    }

    pub(super) fn wall_ms() -> Option<u64> {
        let passed = |it: &Scripted| (it.now - it.began).as_millis() as u64;
        SCRIPTED.with_borrow(|it| it.as_ref().map(|it| BEGAN_MS + passed(it)))
    }

    pub(super) fn poll(at: Instant, cx: &Context<'_>) -> Poll<()> {
        SCRIPTED.with_borrow_mut(|it| {
            let it = it.as_mut().expect("an alarm of this time is polled in this time");
            if it.now >= at {
                return Poll::Ready(());
            }
            it.waiting.entry(at).or_default().push(cx.waker().clone());
            Poll::Pending
        })
    }

    /// Goes on by this time, or to the next alarm if that comes first.
    pub fn advance(by: Duration) {
        let due = SCRIPTED.with_borrow_mut(|it| {
            let it = it.as_mut().expect("begin() was called");
            it.now += by;
            if let Some(first) = it.waiting.first_entry().filter(|first| *first.key() <= it.now) {
                it.now = *first.key();
                return first.remove();
            }
            Vec::new()
        });
        due.into_iter().for_each(Waker::wake);
    }
}
