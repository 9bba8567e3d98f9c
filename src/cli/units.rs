//! Times and sizes as they are typed.

use std::{
    fmt::{self, Display},
    str::FromStr,
    time::Duration,
};

/// The longest time that is taken, a hundred years: no clock of a host goes on for so much longer that
/// an end could not be reckoned.
const PERIOD_MAX: Duration = Duration::from_secs(36_500 * 86_400);

/// A span of time on the command line: `1s`, `500ms`, `2.5s`, `2m`, `1h`, `30d`, at most `36500d`. A
/// plain number is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no span of time; write it like 500ms, 1s, 2.5s, 2m or 30d");
        let (number, unit) = number_and_unit(text);
        let scale = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        match Duration::try_from_secs_f64(number * scale) {
            Ok(time) if time <= PERIOD_MAX => Ok(Self(time)),
            _ => Err(format!("`{text}` is longer than 36500d; write it like 500ms, 1s, 2m or 30d")),
        }
    }
}

impl Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A number of bytes on the command line: `1000`, `64KiB`, `16M`, `1.5GiB`, or in powers of ten `64kB`,
/// `16MB`, `1GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no size; write it like 1000, 64KiB, 16MiB or 1GiB");
        let (number, unit) = number_and_unit(text);
        let scale: u64 = match unit {
            "" | "B" => 1,
            // A letter alone is a power of two, as in most programs.
            "KiB" | "Ki" | "K" | "k" => 1 << 10,
            "MiB" | "Mi" | "M" | "m" => 1 << 20,
            "GiB" | "Gi" | "G" | "g" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(scale).map(Self).ok_or_else(wrong);
        }
        // Below 2^53 every whole number of bytes is exact in an f64.
        let bytes = number.parse::<f64>().map_err(|_| wrong())? * scale as f64;
        let exact = bytes.fract() == 0.0 && bytes < (1u64 << 53) as f64;
        exact.then_some(Self(bytes as u64)).ok_or_else(wrong)
    }
}

impl Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.into_iter().find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Splits digits and points from the unit after them: no sign and no exponent is accepted.
fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        for (text, millis) in [
            ("1s", 1000),
            ("500ms", 500),
            ("2.5s", 2500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
            ("3", 3000),
            ("0.25", 250),
            ("0", 0),
            ("36500d", 3_153_600_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_millis(millis))), "{text}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "1 s",
            "1e3",
            "inf",
            "NaN",
            "1.2.3s",
            "5w",
            "1S",
            "36501d",
            "99999999999999999999",
            "18446744073709551615s",
            "9".repeat(40).as_str(),
        ] {
            let error = text.parse::<Period>().unwrap_err();
            assert!(error.contains(text) && error.contains("500ms"), "{error}");
        }
        assert_eq!(Period(Duration::from_millis(2500)).to_string(), "2.5s");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1000", 1000),
            ("0", 0),
            ("7B", 7),
            ("64KiB", 65_536),
            ("16MiB", 16 << 20),
            ("1.5GiB", 3 << 29),
            ("64kB", 64_000),
            ("2MB", 2_000_000),
            ("1M", 1 << 20),
            ("1.5k", 1536),
            ("2Gi", 2 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in
            ["", "KiB", "-1", "1 KiB", "1T", "0.3", "1e3", "18446744073709551616", "99999999999GiB"]
        {
            assert!(text.parse::<ByteSize>().unwrap_err().contains("64KiB"), "{text}");
        }
        for text in ["1000", "64KiB", "16MiB", "1GiB", "0"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
    }
}
