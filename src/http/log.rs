//! The access log: one line a request, after its answer, on stdout.
//!
//! Lines go into one buffer and leave it on a thread of their own, so a reader who stops reading
//! never stops the server: what does not fit is dropped and counted. Nothing that a client sends
//! can end a line, colour a terminal or break the JSON: a URL is cut, and all of it that is not
//! printable ASCII is percent-encoded.

use std::{
    fmt::{self, Display},
    io::{self, Write as _},
    net::SocketAddr,
    ops::RangeInclusive,
    str::FromStr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use super::{
    limits::{
        LOG_BYTES_MAX, LOG_FAREWELL, LOG_GATHER, LOGGED_CAUSE_BYTES_MAX, LOGGED_URL_BYTES_MAX,
    },
    trace::Trace,
};
use crate::timestamp::Timestamp;

/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2024-01-01T12:00:00.000Z - GET /path 200 13 0.042ms 127.0.0.1:50312`, and where requests
    /// are followed ` service=… request_id=… traceparent=…`, and maybe ` cause="…"`; of a gRPC call,
    /// ` grpc_status=0`
    #[default]
    Text,
    /// The same as one JSON object: `time`, `method`, `url`, `status`, `bytes`, `duration_ms`,
    /// `client`, and maybe `grpc_status`, `service`, `request_id`, `traceparent`, `cause`.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is no log format; write text or json")),
        }
    }
}

impl Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// One answered request.
pub(crate) struct Entry<'a> {
    /// `-` where the request was not understood.
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    /// `None`: the client was gone before there was an answer.
    pub(crate) status: Option<u16>,
    /// Of a gRPC call; 0 is OK.
    pub(crate) grpc_status: Option<u8>,
    /// Of the answer's body.
    pub(crate) bytes: u64,
    pub(crate) duration: Duration,
    pub(crate) client: SocketAddr,
    pub(crate) service: Option<&'static str>,
    /// `None`: the request was not understood, or is not followed.
    pub(crate) trace: Option<&'a Trace>,
}

impl Entry<'_> {
    /// What the request can be followed by; nothing in it needs to be escaped.
    fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let service = self.service.map(|name| ("service", name));
        let id = self.trace.map(|trace| ("request_id", trace.request_id()));
        let parent = self.trace.map(|trace| ("traceparent", trace.traceparent()));
        [service, id, parent].into_iter().flatten()
    }

    /// Why it was answered so.
    fn cause(&self) -> Option<&str> {
        self.trace.and_then(Trace::cause)
    }
}

/// Where lines go in. Clones write to the same place.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    format: LogFormat,
    is_quiet: bool,
}

/// Where a service says lines of its own, among those of the access log and also without one.
/// Clones say to the same place.
#[derive(Clone, Debug)]
pub struct Lines(Log);

impl Lines {
    pub(super) fn new(log: &Log) -> Self {
        Self(log.clone())
    }

    /// Writes a line, in a few milliseconds. Does not block; what the reader of stdout does not take
    /// in time is dropped and counted. The text must be printable: nothing in it is escaped.
    pub fn say(&self, message: impl Display) {
        self.0.line(false, message);
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or nothing more will come.
    changed: Condvar,
    /// All is written.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    is_urgent: bool,
    is_writing: bool,
    is_closed: bool,
}

impl Log {
    /// Starts the thread that writes to stdout.
    pub(crate) fn start(format: LogFormat, is_quiet: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            done: Condvar::new(),
        });
        let writer = shared.clone();
        thread::Builder::new().name("log".into()).spawn(move || writer.write_all())?;
        Ok(Self { shared, format, is_quiet })
    }

    /// Whether the access log is wanted at all.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Writes a message, at once.
    pub(crate) fn say(&self, message: impl Display) {
        self.line(true, message);
    }

    fn line(&self, is_urgent: bool, message: impl Display) {
        self.shared.push(is_urgent, |buffer| {
            let _ = writeln!(buffer, "{message}");
        });
    }

    /// Writes a line of the access log, soon. Does not block.
    pub(crate) fn access(&self, entry: &Entry<'_>) {
        if self.is_quiet {
            return;
        }
        let now = SystemTime::now();
        self.shared.push(false, |buffer| {
            let _ = match self.format {
                LogFormat::Text => text_line(buffer, now, entry),
                LogFormat::Json => json_line(buffer, now, entry),
            };
        });
    }

    /// Waits until all is written, or for a second.
    pub(crate) fn finish(&self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        self.shared.changed.notify_all();
        let _ = self.shared.done.wait_timeout_while(state, LOG_FAREWELL, |state| {
            state.is_writing || !state.waiting.is_empty()
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, is_urgent: bool, line: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        if state.waiting.len() >= LOG_BYTES_MAX {
            state.dropped += 1;
            return;
        }
        if state.dropped > 0 {
            let dropped = std::mem::take(&mut state.dropped);
            let _ = writeln!(state.waiting, "({dropped} lines were dropped here)");
        }
        let was_empty = state.waiting.is_empty();
        line(&mut state.waiting);
        state.is_urgent |= is_urgent;
        if (was_empty || is_urgent) && !state.is_writing {
            self.changed.notify_all();
        }
    }

    /// The thread: takes what has gathered and writes it in one piece.
    fn write_all(&self) {
        let mut full = Vec::new();
        let mut state = self.lock();
        loop {
            let ready = |state: &mut State| state.waiting.is_empty() && !state.is_closed;
            state = self.changed.wait_while(state, ready).unwrap_or_else(PoisonError::into_inner);
            if state.waiting.is_empty() {
                return;
            }
            let gathers = |state: &mut State| !state.is_urgent && !state.is_closed;
            let waited = self.changed.wait_timeout_while(state, LOG_GATHER, gathers);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            std::mem::swap(&mut state.waiting, &mut full);
            state.is_urgent = false;
            state.is_writing = true;
            drop(state);
            // A closed stdout is no reason to stop a server: the lines go nowhere.
            let mut stdout = io::stdout().lock();
            let _ = stdout.write_all(&full).and_then(|()| stdout.flush());
            drop(stdout);
            full.clear();
            state = self.lock();
            state.is_writing = false;
            self.done.notify_all();
        }
    }
}

fn text_line(out: &mut Vec<u8>, now: SystemTime, entry: &Entry<'_>) -> io::Result<()> {
    write!(out, "{} - ", Timestamp(now))?;
    printable(out, entry.method);
    out.push(b' ');
    printable(out, entry.url);
    match entry.status {
        Some(status) => write!(out, " {status}")?,
        None => out.extend_from_slice(b" -"),
    }
    let millis = entry.duration.as_secs_f64() * 1e3;
    write!(out, " {} {millis:.3}ms {}", entry.bytes, entry.client)?;
    if let Some(code) = entry.grpc_status {
        write!(out, " grpc_status={code}")?;
    }
    for (name, value) in entry.names() {
        write!(out, " {name}={value}")?;
    }
    if let Some(cause) = entry.cause() {
        out.extend_from_slice(b" cause=\"");
        readable(out, cause);
        out.push(b'"');
    }
    out.push(b'\n');
    Ok(())
}

fn json_line(out: &mut Vec<u8>, now: SystemTime, entry: &Entry<'_>) -> io::Result<()> {
    write!(out, r#"{{"time":"{}","method":""#, Timestamp(now))?;
    printable(out, entry.method);
    out.extend_from_slice(br#"","url":""#);
    printable(out, entry.url);
    match entry.status {
        Some(status) => write!(out, r#"","status":{status}"#)?,
        None => out.extend_from_slice(br#"","status":null"#),
    }
    let millis = entry.duration.as_secs_f64() * 1e3;
    let (bytes, client) = (entry.bytes, entry.client);
    write!(out, r#","bytes":{bytes},"duration_ms":{millis:.3},"client":"{client}""#)?;
    if let Some(code) = entry.grpc_status {
        write!(out, r#","grpc_status":{code}"#)?;
    }
    for (name, value) in entry.names() {
        write!(out, r#","{name}":"{value}""#)?;
    }
    if let Some(cause) = entry.cause() {
        out.extend_from_slice(br#","cause":""#);
        readable(out, cause);
        out.push(b'"');
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Printable ASCII without blanks, `"` and `\`; all else as `%XX`, and not too much of it.
fn printable(out: &mut Vec<u8>, text: &str) {
    escape(out, text, LOGGED_URL_BYTES_MAX, b'!'..=b'~');
}

/// The same with blanks, for what stands between quotation marks.
fn readable(out: &mut Vec<u8>, text: &str) {
    escape(out, text, LOGGED_CAUSE_BYTES_MAX, b' '..=b'~');
}

fn escape(out: &mut Vec<u8>, text: &str, bytes_max: usize, plain: RangeInclusive<u8>) {
    let bytes = text.as_bytes();
    let shown = &bytes[..bytes.len().min(bytes_max)];
    for &byte in shown {
        if plain.contains(&byte) && !b"\"\\".contains(&byte) {
            out.push(byte);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    if shown.len() < bytes.len() {
        out.extend_from_slice(b"...");
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn at(seconds: u64, millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis)
    }

    fn entry(url: &str) -> Entry<'_> {
        Entry {
            method: "GET",
            url,
            status: Some(200),
            grpc_status: None,
            bytes: 13,
            duration: Duration::from_micros(42),
            client: ([127, 0, 0, 1], 5).into(),
            service: None,
            trace: None,
        }
    }

    #[test]
    fn lines() {
        let mut out = Vec::new();
        text_line(&mut out, at(1_704_110_400, 0), &entry("/a?b=1")).unwrap();
        let line = "2024-01-01T12:00:00.000Z - GET /a?b=1 200 13 0.042ms 127.0.0.1:5\n";
        assert_eq!(String::from_utf8(out).unwrap(), line);
        let mut out = Vec::new();
        json_line(&mut out, at(1_704_110_400, 0), &entry("/a")).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["url"], "/a");
        assert_eq!(value["status"], 200);
        assert_eq!(value["duration_ms"], 0.042);
        assert_eq!(value["time"], "2024-01-01T12:00:00.000Z");
    }

    #[test]
    fn names_to_follow_a_request_by() {
        let mut headers = hyper::HeaderMap::new();
        headers.insert("x-request-id", "a:b/c".parse().unwrap());
        let trace = Trace::of(&headers);
        let entry = Entry { service: Some("x-service"), trace: Some(&trace), ..entry("/") };
        let mut out = Vec::new();
        text_line(&mut out, at(0, 0), &entry).unwrap();
        let line = String::from_utf8(out).unwrap();
        let parent = trace.traceparent();
        let end = format!(":5 service=x-service request_id=a:b/c traceparent={parent}\n");
        assert!(line.ends_with(&end), "{line}");
        let mut out = Vec::new();
        json_line(&mut out, at(0, 0), &entry).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["service"], "x-service");
        assert_eq!(value["request_id"], "a:b/c");
        assert_eq!(value["traceparent"], parent);
        assert!(value.get("cause").is_none());
    }

    #[test]
    fn a_cause_can_be_read_and_forges_nothing() {
        let trace = Trace::of(&hyper::HeaderMap::new());
        trace.explain(format!("it said \"no\\\"\n{}", "x".repeat(LOGGED_CAUSE_BYTES_MAX)));
        trace.explain("a second one");
        let entry = Entry { trace: Some(&trace), ..entry("/") };
        let (mut text, mut json) = (Vec::new(), Vec::new());
        text_line(&mut text, at(0, 0), &entry).unwrap();
        json_line(&mut json, at(0, 0), &entry).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(" cause=\"it said %22no%5C%22%0Axxx"), "{text}");
        assert!(text.ends_with("x...\"\n") && text.lines().count() == 1, "{text}");
        assert!(text.len() < LOGGED_CAUSE_BYTES_MAX + 250, "{text}");
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert!(value["cause"].as_str().unwrap().starts_with("it said %22no"), "{value}");
    }

    #[test]
    fn a_client_cannot_forge_a_line() {
        let evil = "/\n2024 - GET /forged\r\u{1b}[31m\"\\\u{7f}ü";
        for format in [text_line, json_line] {
            let mut out = Vec::new();
            format(&mut out, at(0, 0), &entry(evil)).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.lines().count(), 1);
            assert!(text.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte)));
            assert!(text.contains("/%0A2024%20-%20GET%20/forged%0D%1B[31m%22%5C%7F%C3%BC"));
        }
        let long = format!("/{}", "a".repeat(LOGGED_URL_BYTES_MAX));
        let mut out = Vec::new();
        text_line(&mut out, at(0, 0), &entry(&long)).unwrap();
        assert!(out.len() < LOGGED_URL_BYTES_MAX + 100);
        assert!(String::from_utf8(out).unwrap().contains("aa... 200"));
    }
}
