//! What a request asks for: the second word of its first line.
//!
//! ```text
//! /api?a=1                  a path and a query: what nearly everyone sends
//! http://host:80/api?a=1    the same with a host in front, as proxies get it
//! *                         the server as a whole, for OPTIONS
//! ```

use super::host::is_host;

/// A target, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As it was sent, but without `.`, `..` and `\`. Percent-encoding stays.
    pub(super) path: String,
    pub(super) query: String,
    /// How long path and query were.
    pub(super) bytes: usize,
}

impl Target {
    /// `None`: it is not a target.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = match text.split_once("://") {
            _ if text.starts_with('/') => text,
            _ if text == "*" => "/",
            Some((scheme, rest)) if is_scheme(scheme) => {
                let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                if host.is_empty() || !is_host(host) {
                    return None;
                }
                path
            }
            _ => return None,
        };
        // What follows a `#` is for the browser alone, and should not have been sent.
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if path.contains(['<', '>', '`']) || query.contains(['"', '<', '>']) {
            return None;
        }
        let path = if path.contains("/.") || path.contains("/%2") || path.contains('\\') {
            simple(path)
        } else if path.is_empty() {
            "/".to_owned()
        } else {
            path.to_owned()
        };
        Some(Self { path, query: query.to_owned(), bytes: rest.len() })
    }
}

fn is_scheme(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_inner)
}

/// `/a/./b/../c` is `/a/c` (RFC 3986, 5.2.4). As in the URL standard, a dot may be written `%2e`, and a
/// slash `\`.
fn simple(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split(['/', '\\']).skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
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
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.path.as_str(), target.query.as_str()), (path, query), "{text}");
        }
        for text in ["", "api", "x:80", "http://", "http://u@x/", "1:///", "/<", "http:///a"] {
            assert_eq!(Target::parse(text), None, "{text}");
        }
    }
}
