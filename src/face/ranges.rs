//! `Range`: which bytes of a file are asked for. What is odd is read as nginx reads it.

use super::limits::RANGES_MAX;

/// What is sent of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ranges {
    /// All of it: the header says nothing that is understood, or asks for more than there is.
    All,
    /// These bytes, each from and up to, without the last; not empty, in the order in which they were asked
    /// for.
    Some(Vec<(u64, u64)>),
    /// None of what is asked for is there.
    Unsatisfiable,
}

/// Reads the header for a file of so many bytes.
pub(super) fn read(header: &str, bytes: u64) -> Ranges {
    let unit = "bytes=";
    let list = header.get(..unit.len()).filter(|it| it.eq_ignore_ascii_case(unit));
    let Some(list) = list.map(|unit| &header[unit.len()..]) else { return Ranges::All };
    if list.is_empty() {
        return Ranges::All;
    }
    let (mut ranges, mut total) = (Vec::new(), 0);
    for range in list.split(',') {
        let Some((from, to)) = one(range.trim_matches(' '), bytes) else {
            return Ranges::Unsatisfiable;
        };
        if from < to {
            ranges.push((from, to));
            total += to - from;
        } else if from == 0 {
            // Of an empty file, or the last 0 bytes of one.
            return Ranges::All;
        }
        // Together more than the whole: that is cheaper to send as it is.
        if ranges.len() > RANGES_MAX || total > bytes {
            return Ranges::All;
        }
    }
    match ranges.is_empty() {
        true => Ranges::Unsatisfiable,
        false => Ranges::Some(ranges),
    }
}

/// One range; `None`: it is no range. What is not there is empty.
fn one(range: &str, bytes: u64) -> Option<(u64, u64)> {
    let (from, to) = range.split_once('-')?;
    let (from, to) = (from.trim_end_matches(' '), to.trim_start_matches(' '));
    match (from, to) {
        ("", last) => Some((bytes.saturating_sub(number(last)?), bytes)),
        (from, "") => Some((number(from)?, bytes)),
        (from, to) => Some((number(from)?, bytes.min(number(to)?.saturating_add(1)))),
    }
}

fn number(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    are_digits.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_file_of_ten_bytes() {
        let some = |ranges: &[(u64, u64)]| Ranges::Some(ranges.to_vec());
        for (header, expected) in [
            ("bytes=0-0", some(&[(0, 1)])),
            ("bytes=0-", some(&[(0, 10)])),
            ("bytes=2-4", some(&[(2, 5)])),
            ("bytes=9-", some(&[(9, 10)])),
            ("bytes=5-100", some(&[(5, 10)])),
            ("bytes=0-18446744073709551615", some(&[(0, 10)])),
            ("bytes=-3", some(&[(7, 10)])),
            ("bytes=-100", some(&[(0, 10)])),
            ("Bytes=0-1", some(&[(0, 2)])),
            ("bytes= 0 - 1 , 3 - 4", some(&[(0, 2), (3, 5)])),
            ("bytes=3-4,0-1", some(&[(3, 5), (0, 2)])),
            ("bytes=0-1,20-30,-1", some(&[(0, 2), (9, 10)])),
            ("bytes=10-", Ranges::Unsatisfiable),
            ("bytes=10-20", Ranges::Unsatisfiable),
            ("bytes=-0", Ranges::Unsatisfiable),
            ("bytes=5-4", Ranges::Unsatisfiable),
            ("bytes=", Ranges::All),
            ("bytes=-", Ranges::Unsatisfiable),
            ("bytes=a-b", Ranges::Unsatisfiable),
            ("bytes=+1-2", Ranges::Unsatisfiable),
            ("bytes=1", Ranges::Unsatisfiable),
            ("bytes=0-1,", Ranges::Unsatisfiable),
            ("bytes=18446744073709551616-", Ranges::Unsatisfiable),
            ("bytes=0-9,0-0", Ranges::All),
            ("bytes=0-,0-", Ranges::All),
            ("bytes", Ranges::All),
            ("items=0-1", Ranges::All),
            ("bytes = 0-1", Ranges::All),
            ("", Ranges::All),
            ("ü", Ranges::All),
        ] {
            assert_eq!(read(header, 10), expected, "{header}");
        }
    }

    #[test]
    fn an_empty_file_is_sent_whole() {
        for header in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(read(header, 0), Ranges::All, "{header}");
        }
        assert_eq!(read("bytes=1-", 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn so_many_ranges_are_answered_with_the_file() {
        let ranges = |count: u64| {
            let ranges: Vec<_> = (0..count).map(|i| format!("{}-{}", 2 * i, 2 * i)).collect();
            read(&format!("bytes={}", ranges.join(",")), 1 << 20)
        };
        assert!(matches!(ranges(RANGES_MAX as u64), Ranges::Some(_)));
        assert_eq!(ranges(RANGES_MAX as u64 + 1), Ranges::All);
    }
}
