//! The access log: one line per request, after its answer, among the other lines on stdout.
//!
//! Nothing that a client sends can end a line, colour a terminal or break the JSON: a URL is cut,
//! and all of it that is not printable ASCII is percent-encoded.

use std::{
    io::{self, Write as _},
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use hyper::body::Bytes;

use super::trace::Trace;
use crate::{
    serve::{Lines, LogFormat, Options, Peer},
    timestamp::Timestamp,
};

/// Bytes of a URL that the access log shows.
const LOGGED_URL_BYTES_MAX: usize = 1024;
/// Bytes of a cause that the access log shows.
const LOGGED_CAUSE_BYTES_MAX: usize = 256;

/// What the log says about one request.
pub(crate) struct AccessEntry<'a> {
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
    pub(crate) client: Peer,
    pub(crate) service: Option<&'static str>,
    /// `None`: the request was not understood, or is not followed.
    pub(crate) trace: Option<&'a Trace>,
    /// Why the request was refused; else the trace may have the cause of the answer.
    pub(crate) cause: Option<&'a str>,
    /// Only the combined format shows it; `None`: the request was not understood.
    pub(crate) said: Option<&'a Said>,
}

/// What a client says about itself and its request.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// `HTTP/1.1`
    pub(crate) protocol: &'static str,
    pub(crate) referer: Option<Bytes>,
    pub(crate) user_agent: Option<Bytes>,
}

impl AccessEntry<'_> {
    /// The ids by which the request can be followed; nothing in them needs escaping.
    fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let service = self.service.map(|name| ("service", name));
        let id = self.trace.map(|trace| ("request_id", trace.request_id()));
        let parent = self.trace.map(|trace| ("traceparent", trace.traceparent()));
        [service, id, parent].into_iter().flatten()
    }

    /// Why it was answered so.
    fn cause(&self) -> Option<&str> {
        self.cause.or_else(|| self.trace.and_then(Trace::cause))
    }
}

/// The access log of a thread.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    lines: Lines,
    format: LogFormat,
    is_quiet: bool,
}

impl Log {
    /// The log that the options ask for, among these lines.
    pub(crate) fn new(lines: Lines, options: &Options) -> Self {
        Self { lines, format: options.log_format, is_quiet: options.is_quiet }
    }

    /// Whether it shows what a client says about itself.
    pub(crate) fn shows_said(&self) -> bool {
        !self.is_quiet && self.format == LogFormat::Combined
    }

    /// Whether the access log is wanted at all.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Queues a line of the access log. Does not block.
    pub(crate) fn access(&self, entry: &AccessEntry<'_>) {
        if self.is_quiet {
            return;
        }
        let now = SystemTime::now();
        self.lines.write(|buffer| {
            let _ = match self.format {
                LogFormat::Text => text_line(buffer, now, entry),
                LogFormat::Json => json_line(buffer, now, entry),
                LogFormat::Combined => combined_line(buffer, now, entry),
            };
        });
    }
}

fn text_line(out: &mut Vec<u8>, now: SystemTime, entry: &AccessEntry<'_>) -> io::Result<()> {
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

fn json_line(out: &mut Vec<u8>, now: SystemTime, entry: &AccessEntry<'_>) -> io::Result<()> {
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

fn combined_line(out: &mut Vec<u8>, now: SystemTime, entry: &AccessEntry<'_>) -> io::Result<()> {
    match entry.client.ip() {
        Some(ip) => write!(out, "{ip}")?,
        None => write!(out, "{}", entry.client)?,
    }
    // As many logs are read by their columns, the time has exactly this form.
    let date = httpdate::fmt_http_date(now);
    let words: Vec<&str> = date.split([' ', ',']).filter(|it| !it.is_empty()).collect();
    if let [_, day, month, year, time, ..] = words[..] {
        write!(out, " - - [{day}/{month}/{year}:{time} +0000] \"")?;
    }
    match entry.said {
        Some(said) => {
            for (text, end) in [(entry.method, " "), (entry.url, " "), (said.protocol, "\"")] {
                quoted(out, text.as_bytes());
                out.extend_from_slice(end.as_bytes());
            }
        }
        None => out.extend_from_slice(b"-\""),
    }
    // 499 is nginx's for a client that has gone.
    write!(out, " {} {}", entry.status.unwrap_or(499), entry.bytes)?;
    let (referer, agent) = entry
        .said
        .map_or((None, None), |said| (said.referer.as_deref(), said.user_agent.as_deref()));
    for text in [referer, agent] {
        out.extend_from_slice(b" \"");
        quoted(out, text.unwrap_or(b"-"));
        out.push(b'"');
    }
    out.push(b'\n');
    Ok(())
}

/// Printable ASCII without `"` and `\`; all else as `\xXX`, as nginx does it, and not too much of it.
fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in &bytes[..bytes.len().min(LOGGED_URL_BYTES_MAX)] {
        if (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte) {
            out.push(byte);
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}

/// Printable ASCII without blanks, `"` and `\`; all else as `%XX`, and not too much of it.
fn printable(out: &mut Vec<u8>, text: &str) {
    escape(out, text, LOGGED_URL_BYTES_MAX, b'!'..=b'~');
}

/// The same with blanks, for text between quotation marks.
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

    fn entry(url: &str) -> AccessEntry<'_> {
        AccessEntry {
            method: "GET",
            url,
            status: Some(200),
            grpc_status: None,
            bytes: 13,
            duration: Duration::from_micros(42),
            client: Peer::Ip(([127, 0, 0, 1], 5).into()),
            service: None,
            trace: None,
            cause: None,
            said: None,
        }
    }

    #[test]
    fn the_combined_format_is_that_of_nginx() {
        let line = |entry: &AccessEntry<'_>| {
            let mut out = Vec::new();
            combined_line(&mut out, at(1_704_110_400, 0), entry).unwrap();
            String::from_utf8(out).unwrap()
        };
        let start = "127.0.0.1 - - [01/Jan/2024:12:00:00 +0000] ";
        let said = Said {
            protocol: "HTTP/1.1",
            referer: None,
            user_agent: Some(Bytes::from_static(b"curl \"\xe9\\\n")),
        };
        let understood = AccessEntry { said: Some(&said), ..entry("/a?b=1") };
        let end = r#""GET /a?b=1 HTTP/1.1" 200 13 "-" "curl \x22\xE9\x5C\x0A""#;
        assert_eq!(line(&understood), format!("{start}{end}\n"));
        let gone = AccessEntry { status: None, bytes: 0, ..understood };
        assert!(line(&gone).contains(r#" HTTP/1.1" 499 0 ""#), "{}", line(&gone));
        let refused = AccessEntry { status: Some(400), bytes: 11, ..entry("-") };
        assert_eq!(line(&refused), format!("{start}\"-\" 400 11 \"-\" \"-\"\n"));
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
        let entry = AccessEntry { service: Some("x-service"), trace: Some(&trace), ..entry("/") };
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
        let entry = AccessEntry { trace: Some(&trace), ..entry("/") };
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
