//! The time at the beginning of a line: RFC 3339 with milliseconds, which sorts as text.

use std::{
    fmt::{self, Display, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

/// `2024-01-01T12:00:00.000Z`, in UTC.
pub(crate) struct Timestamp(pub SystemTime);

impl Timestamp {
    /// The present time.
    pub fn now() -> Self {
        Self(SystemTime::now())
    }
}

impl Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        // Digit by digit, for speed: every line has one.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], hour);
        digits(&mut text[14..16], minute);
        digits(&mut text[17..19], second);
        digits(&mut text[20..23], u64::from(since.subsec_millis()));
        text.iter().try_for_each(|&byte| f.write_char(char::from(byte)))
    }
}

fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day from the days since 1970. It counts years from March, so that the leap day is
/// the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps() {
        for (seconds, millis, text) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, 7, "2000-02-29T00:00:00.007Z"),
            (1_704_110_400, 0, "2024-01-01T12:00:00.000Z"),
            (1_709_251_199, 999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400, 10, "2100-03-01T00:00:00.010Z"),
        ] {
            assert_eq!(
                Timestamp(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis)).to_string(),
                text
            );
        }
    }
}
