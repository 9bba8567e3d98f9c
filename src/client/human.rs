//! Times and texts for people.

use crate::printable::Printable;

/// A clock that is off by this or more is shown in minutes, and reported as a problem.
pub(super) const CLOCK_OFF_MS_MAX: u64 = 60_000;

/// A span of time in its largest unit: `5 s`, `3 min`, `2 h`, `4 days`.
pub(super) fn span(ms: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = ms / 1000;
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        // One day would be too coarse.
        HOUR.. if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        _ => format!("{} days", seconds / DAY),
    }
}

/// How long ago that was. The two times may come from different clocks.
pub(super) fn ago(since_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(since_ms) {
        0..1000 => "just now".into(),
        ms => format!("{} ago", span(ms)),
    }
}

/// A size that changes while it is shown, in its largest unit: `900 bytes`, `126.1MiB`, `2GiB`.
pub(super) fn about(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, scale)| bytes >= *scale) {
        Some((unit, scale)) if bytes.is_multiple_of(scale) => format!("{}{unit}", bytes / scale),
        Some((unit, scale)) => format!("{:.1}{unit}", bytes as f64 / scale as f64),
        None => format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" }),
    }
}

/// How far a clock is off: `+0.2 s`, `10 min behind`.
pub(super) fn clock(off_ms: i64) -> String {
    match (off_ms.unsigned_abs(), off_ms < 0) {
        (0..CLOCK_OFF_MS_MAX, _) => format!("{:+.1} s", off_ms as f64 / 1e3),
        (ms, true) => format!("{} behind", span(ms)),
        (ms, false) => format!("{} ahead", span(ms)),
    }
}

/// A name or a path as it is shown, with escapes for what would forge a line or turn the direction of
/// writing around.
pub fn shown(text: &str) -> String {
    Printable(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_one_unit() {
        for (ms, text) in [
            (999, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (3_599_999, "59 min"),
            (7_200_000, "2 h"),
            (100_000_000, "27 h"),
            (172_800_000, "2 days"),
            (2_592_000_000, "30 days"),
        ] {
            assert_eq!(span(ms), text);
        }
        assert_eq!(ago(1_000_000, 1_180_000), "3 min ago");
        assert_eq!((ago(5, 900), ago(900, 5)), ("just now".into(), "just now".into()));
    }

    #[test]
    fn sizes_keep_their_unit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (2237, "2.2KiB"),
            (129_152 << 10, "126.1MiB"),
            (2 << 30, "2GiB"),
        ] {
            assert_eq!(about(bytes), text);
        }
    }

    #[test]
    fn clocks() {
        for (ms, text) in [
            (0, "+0.0 s"),
            (200, "+0.2 s"),
            (-1_500, "-1.5 s"),
            (-600_000, "10 min behind"),
            (7_200_000, "2 h ahead"),
            (i64::MIN, "106751991167 days behind"),
        ] {
            assert_eq!(clock(ms), text);
        }
    }
}
