//! What a request asks for: the second word of its first line.
//!
//! ```text
//! /api?a=1                  a path and a query: what nearly everyone sends
//! http://host:80/api?a=1    the same with a host in front, as proxies get it
//! *                         the server as a whole, for OPTIONS
//! ```

use std::{borrow::Cow, fmt::Write as _};

use super::host::is_host;

/// The path and the query of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As it was sent, but without `.`, `..` and `\`. Percent-encoding stays where it is needed.
    pub(super) path: String,
    pub(super) query: String,
}

/// Whether a target had something in it that had to be percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoded {
    Yes,
    No,
}

/// Appends a target to `out`. Bytes that a URL should not have are percent-encoded: those over 127,
/// and a few that many clients send as they are.
pub(super) fn push(out: &mut String, target: &[u8]) -> Encoded {
    let is_plain = |&byte: &u8| {
        byte.is_ascii() && !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'|' | b'}' | b'^')
    };
    match std::str::from_utf8(target) {
        // Without an early end, many bytes are looked at in one step.
        Ok(text) if target.iter().fold(true, |all, byte| all & is_plain(byte)) => {
            out.push_str(text);
            Encoded::No
        }
        _ => {
            for byte in target {
                if is_plain(byte) {
                    out.push(char::from(*byte));
                } else {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "%{byte:02X}");
                }
            }
            Encoded::Yes
        }
    }
}

/// The part of a target that is a path and a query. `None`: it is not a target.
pub(super) fn path_and_query(target: &str) -> Option<&str> {
    let rest = match target {
        "*" => "/",
        _ if target.starts_with('/') => target,
        _ => {
            let (_, rest) = target.split_once("://").filter(|(scheme, _)| is_scheme(scheme))?;
            let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            if host.is_empty() || !is_host(host) {
                return None;
            }
            path
        }
    };
    // What follows a `#` is for the browser alone, and should not have been sent.
    Some(rest.split('#').next().unwrap_or_default())
}

impl Target {
    /// Takes a path and a query apart.
    pub(super) fn of(rest: &str) -> Self {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = plain(path);
        let path = if path.contains("/.") || path.contains('\\') {
            simple(&path)
        } else if path.is_empty() {
            "/".to_owned()
        } else {
            path.into_owned()
        };
        Self { path, query: query.to_owned() }
    }
}

/// A path in which letters, digits and `-._~` are not percent-encoded: for them it makes no
/// difference (RFC 3986, 6.2.2.2), and `/ap%69` is `/api`.
pub fn plain(path: &str) -> Cow<'_, str> {
    let decoded = |rest: &str| {
        let byte = u8::from_str_radix(rest.get(1..3)?, 16).ok()?;
        (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)).then(|| char::from(byte))
    };
    let mut parts = path.match_indices('%').map(|(at, _)| (at, decoded(&path[at..])));
    if parts.all(|(_, decoded)| decoded.is_none()) {
        return path.into();
    }
    let (mut out, mut rest) = (String::with_capacity(path.len()), path);
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        rest = match decoded(escape) {
            Some(char) => {
                out.push(char);
                &escape[3..]
            }
            None => {
                out.push('%');
                &escape[1..]
            }
        };
    }
    out.push_str(rest);
    out.into()
}

fn is_scheme(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_inner)
}

/// `/a/./b/../c` is `/a/c` (RFC 3986, 5.2.4). As in the URL standard, a slash may be written `\`.
fn simple(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split(['/', '\\']).skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." if is_last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Option<Target> {
        let mut encoded = String::new();
        push(&mut encoded, text.as_bytes());
        path_and_query(&encoded).map(Target::of)
    }

    #[test]
    fn targets() {
        for (text, path, query) in [
            ("/api", "/api", ""),
            ("/api?a=1?b#c", "/api", "a=1?b"),
            ("*", "/", ""),
            ("http://x", "/", ""),
            ("http://x:80/api?a", "/api", "a"),
            ("http://[::1]:80?a", "/", "a"),
            ("/x/../api", "/api", ""),
            ("/x/%2E%2e/./api/.", "/api/", ""),
            ("/../..", "/", ""),
            ("/a/..", "/", ""),
            ("/x\\.\\..\\a?\\", "/a", "\\"),
            ("//api", "//api", ""),
            ("/ap%69", "/api", ""),
            ("/%61%2F%zz%4", "/a%2F%zz%4", ""),
            ("/%2561", "/%2561", ""),
            ("/?%61=\"Zoë\"", "/", "%61=%22Zo%C3%AB%22"),
            ("/<`{|}^>", "/%3C%60%7B%7C%7D%5E%3E", ""),
        ] {
            let target = target(text).unwrap();
            assert_eq!((target.path.as_str(), target.query.as_str()), (path, query), "{text}");
        }
        for text in
            ["", "api", "x:80", "http://", "http://u@x/", "1:///", "http:///a", "http://ë/", "<"]
        {
            assert_eq!(target(text), None, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_encoded_one_by_one() {
        let mut encoded = String::new();
        assert_eq!(push(&mut encoded, b"/?J\xe9r\xff"), Encoded::Yes);
        assert_eq!(encoded, "/?J%E9r%FF");
    }
}
