//! The header `grpc-timeout`: how long the caller is willing to wait.

use std::time::Duration;

use hyper::HeaderMap;
use tonic::Status;

/// The timeout of a call, if it has one. An error: it is not a number of up to eight digits and a unit.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    match value.to_str().ok().and_then(read) {
        Some(timeout) => Ok(Some(timeout)),
        None => Err(Status::invalid_argument("grpc-timeout is not like 100m or 5S")),
    }
}

/// The status of a call whose timeout has passed.
pub(super) fn passed() -> Status {
    Status::deadline_exceeded("the deadline has passed")
}

fn read(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        for (text, nanos) in [
            ("1n", 1),
            ("00000001u", 1_000),
            ("100m", 100_000_000),
            ("5S", 5_000_000_000),
            ("2M", 120_000_000_000),
            ("99999999H", 99_999_999 * 3_600_000_000_000),
            ("0S", 0),
        ] {
            assert_eq!(read(text).unwrap().as_nanos(), nanos, "{text}");
        }
        for bad in ["", "S", "5", "5s", "-1S", "+1S", "1.5S", "123456789S", " 5S", "5 S", "5ü"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
