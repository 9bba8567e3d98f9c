//! Conditional requests, in the order of RFC 9110, section 13.2.2.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::{
    HeaderMap,
    header::{self, HeaderName},
};

use super::ranges::{self, Ranges};

/// What a client may already have of a file.
#[derive(Clone, Debug)]
pub(super) struct Validators {
    /// With its quotes; it is a strong one.
    pub etag: String,
    /// When it was written, in seconds since 1970.
    pub modified_s: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Done,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not as the client believes.
    Failed,
}

/// Whether a request depends on what there is.
pub(super) fn are_any(headers: &HeaderMap) -> bool {
    [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// Whether a GET may want less than all of a file.
pub(super) fn are_any_of_read(headers: &HeaderMap) -> bool {
    let more = [header::IF_MODIFIED_SINCE, header::RANGE];
    are_any(headers) || more.iter().any(|name| headers.contains_key(name))
}

/// Of GET and HEAD, for a file that is there.
pub(super) fn of_read(headers: &HeaderMap, held: &Validators) -> Outcome {
    if has_failed(headers, Some(held)) {
        return Outcome::Failed;
    }
    let has_it = match joined(headers, header::IF_NONE_MATCH) {
        Some(tags) => is_any(&tags, &held.etag, true),
        None => date(headers, header::IF_MODIFIED_SINCE).is_some_and(|it| held.modified_s <= it),
    };
    if has_it { Outcome::NotModified } else { Outcome::Done }
}

/// Of PUT and DELETE.
pub(super) fn of_write(headers: &HeaderMap, held: Option<&Validators>) -> Outcome {
    let is_there = || match (joined(headers, header::IF_NONE_MATCH), held) {
        (Some(tags), Some(held)) => is_any(&tags, &held.etag, true),
        _ => false,
    };
    if has_failed(headers, held) || is_there() { Outcome::Failed } else { Outcome::Done }
}

/// Whether the client wants only what it has seen to be replaced.
pub(super) fn names_a_version(headers: &HeaderMap) -> bool {
    joined(headers, header::IF_MATCH).map_or_else(
        || date(headers, header::IF_UNMODIFIED_SINCE).is_some(),
        |tags| tags.trim() != "*",
    )
}

/// Whether the client wants nothing to be replaced.
pub(super) fn wants_absent(headers: &HeaderMap) -> bool {
    joined(headers, header::IF_NONE_MATCH).is_some_and(|tags| tags.trim() == "*")
}

/// What is sent of a file of so many bytes; `now_s` is the time.
pub(super) fn ranges_of(headers: &HeaderMap, held: &Validators, bytes: u64, now_s: u64) -> Ranges {
    let Some(range) = joined(headers, header::RANGE) else { return Ranges::All };
    match headers.get(header::IF_RANGE).map(|it| it.to_str().unwrap_or_default().trim()) {
        // The client has a part of another version.
        Some(condition) if !is_same(condition, held, now_s) => Ranges::All,
        _ => ranges::read(&range, bytes),
    }
}

/// `If-Range`: only a strong validator counts. A time is one if the file could not have been written again
/// in the same second.
fn is_same(condition: &str, held: &Validators, now_s: u64) -> bool {
    match condition.contains('"') {
        true => condition == held.etag,
        false => seconds(condition) == Some(held.modified_s) && held.modified_s < now_s,
    }
}

fn has_failed(headers: &HeaderMap, held: Option<&Validators>) -> bool {
    match joined(headers, header::IF_MATCH) {
        Some(tags) => !held.is_some_and(|held| is_any(&tags, &held.etag, false)),
        None => {
            let since = date(headers, header::IF_UNMODIFIED_SINCE);
            since.is_some_and(|since| held.is_none_or(|held| held.modified_s > since))
        }
    }
}

/// Whether a list has this tag, or is `*`. A weak tag counts only where `weak` says so.
fn is_any(list: &str, etag: &str, weak: bool) -> bool {
    let mut rest = list.trim();
    if rest == "*" {
        return true;
    }
    while let Some(begin) = rest.find('"') {
        let is_weak = rest[..begin].ends_with("W/");
        let Some(end) = rest[begin + 1..].find('"') else { return false };
        let tag = &rest[begin..begin + end + 2];
        if tag == etag && (weak || !is_weak) {
            return true;
        }
        rest = &rest[begin + end + 2..];
    }
    false
}

/// The values of a header as one. One that is not ASCII is as if it said nothing that matches.
fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter().map(|it| it.to_str().unwrap_or_default());
    let first = values.next()?.to_owned();
    Some(values.fold(first, |all, value| all + ", " + value))
}

/// A header with a time; one that is none does not count.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    seconds(headers.get(name)?.to_str().ok()?)
}

fn seconds(date: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(date).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|it| it.as_secs())
}

/// A time as HTTP has it.
pub(super) fn http_date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(DATE_S_MAX)))
}

/// The last second of the year 9999: HTTP has no later one.
const DATE_S_MAX: u64 = 253_402_300_799;

/// The present time in seconds since 1970.
pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NOW_S: u64 = 784_111_777;
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn held() -> Validators {
        Validators { etag: "\"a\"".into(), modified_s: NOW_S }
    }

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn reads() {
        use Outcome::{Done, Failed, NotModified};
        for (sent, expected) in [
            (&[][..], Done),
            (&[("if-none-match", "\"a\"")], NotModified),
            (&[("if-none-match", "W/\"a\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"b\", \"a\"")], NotModified),
            (&[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], NotModified),
            (&[("if-none-match", "\"b, \", \"a\"")], NotModified),
            (&[("if-none-match", "\"b\"")], Done),
            (&[("if-none-match", "a")], Done),
            (&[("if-none-match", "\"a")], Done),
            (&[("if-none-match", "")], Done),
            (&[("if-none-match", "\"b\""), ("if-modified-since", NOW)], Done),
            (&[("if-modified-since", NOW)], NotModified),
            (&[("if-modified-since", AFTER)], NotModified),
            (&[("if-modified-since", BEFORE)], Done),
            (&[("if-modified-since", "yesterday")], Done),
            (&[("if-match", "\"a\"")], Done),
            (&[("if-match", "*")], Done),
            (&[("if-match", "W/\"a\"")], Failed),
            (&[("if-match", "\"b\"")], Failed),
            (&[("if-match", "\"b\""), ("if-unmodified-since", NOW)], Failed),
            (&[("if-match", "\"a\""), ("if-unmodified-since", BEFORE)], Done),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", NOW)], Done),
            (&[("if-unmodified-since", "yesterday")], Done),
            (&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Failed),
            (&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], NotModified),
        ] {
            assert_eq!(of_read(&headers(sent), &held()), expected, "{sent:?}");
        }
    }

    #[test]
    fn writes() {
        use Outcome::{Done, Failed};
        for (sent, there, absent) in [
            (&[][..], Done, Done),
            (&[("if-match", "\"a\"")], Done, Failed),
            (&[("if-match", "*")], Done, Failed),
            (&[("if-match", "\"b\"")], Failed, Failed),
            (&[("if-none-match", "*")], Failed, Done),
            (&[("if-none-match", "\"a\"")], Failed, Done),
            (&[("if-none-match", "\"b\"")], Done, Done),
            (&[("if-unmodified-since", NOW)], Done, Failed),
            (&[("if-unmodified-since", BEFORE)], Failed, Failed),
            (&[("if-modified-since", NOW)], Done, Done),
        ] {
            assert_eq!(of_write(&headers(sent), Some(&held())), there, "{sent:?}");
            assert_eq!(of_write(&headers(sent), None), absent, "{sent:?}, absent");
        }
        assert!(names_a_version(&headers(&[("if-match", "\"a\"")])));
        assert!(names_a_version(&headers(&[("if-unmodified-since", NOW)])));
        assert!(!names_a_version(&headers(&[("if-match", "*")])));
        assert!(wants_absent(&headers(&[("if-none-match", "*")])));
        assert!(!wants_absent(&headers(&[("if-none-match", "\"a\"")])));
    }

    #[test]
    fn a_part_is_sent_only_of_what_the_client_has() {
        let part = Ranges::Some(vec![(0, 1)]);
        for (condition, expected) in [
            (None, part.clone()),
            (Some("\"a\""), part.clone()),
            (Some("W/\"a\""), Ranges::All),
            (Some("\"b\""), Ranges::All),
            (Some(NOW), part),
            (Some(AFTER), Ranges::All),
            (Some(BEFORE), Ranges::All),
            (Some("yesterday"), Ranges::All),
        ] {
            let mut sent = headers(&[("range", "bytes=0-0")]);
            if let Some(condition) = condition {
                sent.insert(header::IF_RANGE, condition.parse().unwrap());
            }
            assert_eq!(ranges_of(&sent, &held(), 9, NOW_S + 1), expected, "{condition:?}");
        }
        // It may have been written twice in this second.
        let sent = headers(&[("range", "bytes=0-0"), ("if-range", NOW)]);
        assert_eq!(ranges_of(&sent, &held(), 9, NOW_S), Ranges::All);
    }

    #[test]
    fn no_stamp_is_too_late_for_a_date() {
        assert_eq!(http_date(NOW_S), NOW);
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
