//! Where the log ends.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use event_listener::Event;

/// The last position of the log, and a way to wait until there is another.
pub(super) struct LogEnd {
    last: AtomicU64,
    moved: Event,
}

impl LogEnd {
    pub(super) fn at(last: u64) -> Self {
        Self { last: last.into(), moved: Event::new() }
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(SeqCst)
    }

    pub(super) fn set(&self, last: u64) {
        if self.last.swap(last, SeqCst) != last {
            self.moved.notify(usize::MAX);
        }
    }

    /// Ends when the log has entries after `position`.
    pub(super) async fn beyond(&self, position: u64) {
        while self.last() <= position {
            let moved = self.moved.listen();
            if self.last() <= position {
                moved.await;
            }
        }
    }
}
