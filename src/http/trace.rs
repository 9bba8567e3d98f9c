//! What makes a request traceable through several services: an id of its own, and the
//! [`traceparent`](https://www.w3.org/TR/trace-context/) of the trace that it belongs to.
//!
//! Both are taken from the request's headers if they are what they should be, and made if not. So
//! they are short and of few characters, wherever they came from, and can be logged and passed on
//! as they are. A [`tracestate`](https://www.w3.org/TR/trace-context/#tracestate-header) that comes
//! with the trace is passed on unread.

use std::sync::{Arc, OnceLock};

use hyper::HeaderMap;

use crate::random;

/// Bytes of the id that a client may give to its request.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Bytes of the tracestate that comes with a trace; the specification requires this many to be
/// passed on.
const TRACESTATE_BYTES_MAX: usize = 512;

/// The header that names a request; it is in the request and in its answer.
pub const REQUEST_ID: &str = "x-request-id";
/// The header that names a trace and the caller's place in it.
pub const TRACEPARENT: &str = "traceparent";

/// The header in which tracing systems carry data of their own along a trace.
pub const TRACESTATE: &str = "tracestate";

/// Bytes of a traceparent of version 00: `00-<32 hex>-<16 hex>-<2 hex>`.
const TRACEPARENT_BYTES: usize = 55;

/// The names by which a request can be followed. Where [`Options::service`](super::Options) has a
/// name, every handler finds one in `request.ext::<Trace>()`. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace(Arc<Names>);

#[derive(Debug, PartialEq, Eq)]
struct Names {
    request_id: String,
    traceparent: String,
    tracestate: Option<String>,
    cause: OnceLock<String>,
}

impl Trace {
    /// The ids that the headers have, or else new ones.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let request_id = only(headers, REQUEST_ID).filter(|id| is_request_id(id));
        let traceparent = only(headers, TRACEPARENT).and_then(read_traceparent);
        // It belongs to that trace and to no other.
        let tracestate = traceparent.as_ref().and_then(|_| read_tracestate(headers));
        Self(Arc::new(Names {
            request_id: request_id.map_or_else(hex_id, Into::into),
            traceparent: traceparent.unwrap_or_else(new_traceparent),
            tracestate,
            cause: OnceLock::new(),
        }))
    }

    /// Up to 128 letters, digits and `-_.:/+=@`.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// In the form of version 00.
    pub fn traceparent(&self) -> &str {
        &self.0.traceparent
    }

    /// What came with the traceparent, as it came: up to 512 characters of printable ASCII and tabs.
    pub fn tracestate(&self) -> Option<&str> {
        self.0.tracestate.as_deref()
    }

    /// The headers by which it is passed on.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let state = self.tracestate().map(|state| (TRACESTATE, state));
        let both = [(REQUEST_ID, self.request_id()), (TRACEPARENT, self.traceparent())];
        both.into_iter().chain(state)
    }

    /// Adds the cause of the answer to the request's log line. The first cause counts.
    pub fn explain(&self, cause: impl Into<String>) {
        let _ = self.0.cause.set(cause.into());
    }

    /// The cause. It has not been escaped.
    pub(super) fn cause(&self) -> Option<&str> {
        self.0.cause.get().map(String::as_str)
    }
}

/// The value of a header that occurs once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn is_request_id(id: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_fit)
}

/// A traceparent that is valid. A later version than 00 is read as the specification says: its
/// first four fields, which are those of version 00.
fn read_traceparent(text: &str) -> Option<String> {
    let known = text.get(..TRACEPARENT_BYTES)?;
    let rest = &text[TRACEPARENT_BYTES..];
    let fields: Vec<&str> = known.split('-').collect();
    let [version, trace, parent, flags] = fields[..] else { return None };
    let is_hex = |field: &str, digits: usize| {
        field.len() == digits && field.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |field, digits| is_hex(field, digits) && field.bytes().any(|it| it != b'0');
    let fits = match version {
        "00" => rest.is_empty(),
        "ff" => false,
        _ => is_hex(version, 2) && (rest.is_empty() || rest.starts_with('-')),
    };
    (fits && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2))
        .then(|| format!("00{}", &known[2..]))
}

/// All tracestates joined, as the specification says. `None`: there is none, or it is too long.
fn read_tracestate(headers: &HeaderMap) -> Option<String> {
    let mut all = String::new();
    for value in headers.get_all(TRACESTATE) {
        let value = value.to_str().ok()?;
        let comma = if all.is_empty() || value.is_empty() { "" } else { "," };
        if all.len() + comma.len() + value.len() > TRACESTATE_BYTES_MAX {
            return None;
        }
        all += comma;
        all += value;
    }
    (!all.is_empty()).then_some(all)
}

/// A trace that begins here, without the flag that it is to be recorded.
fn new_traceparent() -> String {
    format!("00-{}-{:016x}-00", hex_id(), random::bits().max(1))
}

/// 32 random digits, not all 0.
fn hex_id() -> String {
    format!("{:016x}{:016x}", random::bits(), random::bits().max(1))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(headers: &[(&'static str, &str)]) -> Trace {
        let pair = |&(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        let mut map = HeaderMap::new();
        headers.iter().map(pair).for_each(|(name, value)| {
            map.append(name, value);
        });
        Trace::of(&map)
    }

    #[test]
    fn what_came_is_kept() {
        let trace = of(&[(REQUEST_ID, "aZ0-_.:/+=@"), (TRACEPARENT, SENT)]);
        assert_eq!((trace.request_id(), trace.traceparent()), ("aZ0-_.:/+=@", SENT));
        let longest = "x".repeat(REQUEST_ID_BYTES_MAX);
        assert_eq!(of(&[(REQUEST_ID, &longest)]).request_id(), longest);
        let later = format!("cc{}-what-will-be", &SENT[2..]);
        assert_eq!(of(&[(TRACEPARENT, &later)]).traceparent(), SENT);
    }

    #[test]
    fn a_state_goes_with_its_trace() {
        let state = |headers: &[_]| of(headers).tracestate().map(String::from);
        let (parent, one) = ((TRACEPARENT, SENT), (TRACESTATE, "a=1, b@c=\"2\""));
        assert_eq!(state(&[parent, one]).as_deref(), Some(one.1));
        assert_eq!(state(&[one, parent, (TRACESTATE, "d=3")]), Some(format!("{},d=3", one.1)));
        let longest = "x".repeat(TRACESTATE_BYTES_MAX);
        assert_eq!(state(&[parent, (TRACESTATE, &longest)]), Some(longest.clone()));
        let (longer, empty) = (format!("{longest}x"), (TRACESTATE, ""));
        assert_eq!(state(&[parent, empty, (TRACESTATE, &longest)]), Some(longest.clone()));
        for other in [
            &[one][..],
            &[(TRACEPARENT, "00-0-0-0"), one],
            &[parent],
            &[parent, empty],
            &[parent, (TRACESTATE, "ü")],
            &[parent, (TRACESTATE, &longer)],
            &[parent, (TRACESTATE, &longest), one],
        ] {
            assert_eq!(state(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_made() {
        let longer = "x".repeat(REQUEST_ID_BYTES_MAX + 1);
        for bad in ["", "a b", "a\"b", "a\tb", "ü", "a\\b", "a,b", "a%b", &longer] {
            let trace = of(&[(REQUEST_ID, bad)]);
            assert!(trace.request_id().len() == 32 && trace.request_id() != bad, "{trace:?}");
        }
        let zeros = [SENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32))];
        let parents = [SENT.replace("00f067aa0ba902b7", &"0".repeat(16))];
        let others = ["", "00", "ü", "00-", &SENT[1..], &SENT[..54], &SENT.to_uppercase()];
        let forms = [format!("{SENT}-more"), format!("ff{}", &SENT[2..]), SENT.replace("-0", "_0")];
        let longer = [format!("01{}x", &SENT[2..]), format!("{}ü", &SENT[..54])];
        let all = zeros.iter().chain(&parents).chain(&forms).chain(&longer).map(String::as_str);
        for bad in all.chain(others) {
            let trace = of(&[(TRACEPARENT, bad)]);
            let made = trace.traceparent();
            assert_eq!(read_traceparent(made).as_deref(), Some(made));
            assert!(!bad.contains(made) && !made.contains("4bf92f"), "{bad} {made}");
        }
        let twice = of(&[(TRACEPARENT, SENT), (TRACEPARENT, SENT), (REQUEST_ID, "a")]);
        assert_ne!(twice.traceparent(), SENT);
        assert_ne!(of(&[]), of(&[]));
    }
}
