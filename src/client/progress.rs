//! One line at the bottom of a terminal that says how far a transfer is, and is gone when it ends.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use async_io::Timer;
use console::{Term, measure_text_width, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use smol::future;

use super::{
    human::{about, shown, span},
    meter::{Meter, State},
};
use crate::cli::counted;

/// What ends sooner than this is not shown.
const AFTER: Duration = Duration::from_millis(500);
/// How often the line changes.
const EVERY: Duration = Duration::from_millis(250);
/// The rate is that of the last few seconds: of so many changes of the line.
const SAMPLES_MAX: usize = 20;
/// In a narrower terminal there is no line.
const COLUMNS_MIN: usize = 20;
/// A name is not cut to less than this.
const NAME_COLUMNS_MIN: usize = 8;

thread_local! {
    /// The line that is shown on stderr.
    static LINE: RefCell<Option<ProgressBar>> = const { RefCell::new(None) };
}

/// Whether there is a terminal to show it on.
pub(super) fn is_possible() -> bool {
    io::stderr().is_terminal()
}

/// Works, and shows how far that is if it is wanted and stderr is a terminal.
pub(super) async fn show<T>(meter: &Meter, is_wanted: bool, work: impl Future<Output = T>) -> T {
    if !is_wanted || !is_possible() {
        return work.await;
    }
    let line = Shown;
    let showing = async {
        let mut rate = Rate::default();
        rate.at(Instant::now(), 0);
        Timer::after(AFTER).await;
        loop {
            let state = meter.state();
            let per_second = rate.at(Instant::now(), state.bytes);
            line.draw(&state, per_second);
            Timer::after(EVERY).await;
        }
    };
    future::or(work, showing).await
}

/// Writes to the terminal where the line is, which makes room meanwhile.
pub(super) fn aside<T>(write: impl FnOnce() -> T) -> T {
    let line = LINE.with_borrow(Clone::clone);
    match line {
        Some(line) => line.suspend(write),
        None => write(),
    }
}

/// The line, until this is dropped.
struct Shown;

impl Shown {
    fn draw(&self, state: &State, per_second: f64) {
        let columns = Term::stderr().size_checked().map_or(80, |(_, columns)| columns.into());
        if columns < COLUMNS_MIN {
            return;
        }
        let line = LINE.with_borrow_mut(|line| line.get_or_insert_with(begin).clone());
        // In the last column some terminals begin a new line.
        line.set_message(text(state, per_second, columns - 1));
    }
}

fn begin() -> ProgressBar {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg}");
    line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    line
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(line) = LINE.with_borrow_mut(Option::take) {
            line.finish_and_clear();
        }
    }
}

/// How fast it has been for the last few seconds.
#[derive(Default)]
struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// Bytes a second, when so many bytes have moved by now.
    fn at(&mut self, now: Instant, bytes: u64) -> f64 {
        self.0.push_back((now, bytes));
        if self.0.len() > SAMPLES_MAX {
            self.0.pop_front();
        }
        let (then, before) = self.0[0];
        let seconds = (now - then).as_secs_f64();
        if seconds > 0.0 { bytes.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }
}

/// The line, which fits so many columns: what it is about, how much of that is done, how fast, and how
/// long the rest will take.
fn text(state: &State, per_second: f64, columns: usize) -> String {
    let State { name, bytes, bytes_total, files, files_total } = state;
    let mut rest = String::new();
    if name.is_none() {
        rest = match files_total {
            Some(total) => format!("{files} of {}", counted(*total, "file")),
            None => counted(*files, "file"),
        };
    }
    let done = match bytes_total {
        Some(total) => format!("{} of {}", about(*bytes), about(*total)),
        None => about(*bytes),
    };
    rest += &format!("  {done}");
    let left = bytes_total.map(|total| total.saturating_sub(*bytes));
    if left == Some(0) {
        rest += "  waiting for the answer";
    } else {
        rest += &format!("  {}/s", about(per_second as u64));
        // A number that is far too large says nothing.
        let ms = left.map(|left| left as f64 / per_second * 1e3).filter(|ms| *ms < 1e11);
        if let Some(ms) = ms {
            rest += &format!("  {} left", span(ms as u64 + 999));
        }
    }
    let mut line = String::new();
    if let Some(name) = name {
        let room = columns.saturating_sub(measure_text_width(&rest)).max(NAME_COLUMNS_MIN);
        line = truncate_str(&shown(name), room, "\u{2026}").into_owned();
    }
    line += &rest;
    truncate_str(&line, columns, "\u{2026}").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn one(name: &str) -> State {
        let (bytes, bytes_total) = (512 * MIB + 1, Some(2048 * MIB));
        State { name: Some(name.into()), bytes, bytes_total, ..State::default() }
    }

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let rate = 85.0 * MIB as f64;
        let line = "disk.img  512.0MiB of 2GiB  85MiB/s  19 s left";
        assert_eq!(text(&one("disk.img"), rate, 80), line);
        let sent = State { bytes: 2048 * MIB, ..one("disk.img") };
        assert_eq!(text(&sent, rate, 80), "disk.img  2GiB of 2GiB  waiting for the answer");
        let many = State { files: 3, files_total: Some(10), name: None, ..one("") };
        assert_eq!(text(&many, rate, 80), "3 of 10 files  512.0MiB of 2GiB  85MiB/s  19 s left");
        let unknown = State { bytes_total: None, files_total: None, ..many };
        assert_eq!(text(&unknown, rate, 80), "3 files  512.0MiB  85MiB/s");
        assert_eq!(text(&one("x"), 0.0, 80), "x  512.0MiB of 2GiB  0 bytes/s");
    }

    #[test]
    fn a_line_fits_the_terminal_and_does_nothing_to_it() {
        let name = "a/very/long/name/\u{4e2d}\u{6587}/".repeat(9) + "\x1b[2J\n";
        for columns in COLUMNS_MIN..200 {
            let line = text(&one(&name), 1e6, columns);
            assert!(measure_text_width(&line) <= columns, "{columns}: {line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        let line = text(&one(&name), 1e6, 70);
        assert!(line.contains("\u{2026}  512.0MiB of 2GiB  976.6KiB/s  26 min left"), "{line}");
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let (mut rate, begun) = (Rate::default(), Instant::now());
        assert_eq!(rate.at(begun, 0), 0.0);
        for second in 1..=100 {
            rate.at(begun + Duration::from_secs(second), 10 * second);
        }
        assert_eq!(rate.at(begun + Duration::from_secs(101), 1010), 10.0);
        // It has moved back: an attempt has failed.
        assert_eq!(rate.at(begun + Duration::from_secs(102), 0), 0.0);
    }
}
