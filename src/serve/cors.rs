//! Which pages of other origins may use a service from a browser: `--cors`.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

/// Seconds for which a browser need not ask again what it may do.
pub(crate) const MAX_AGE_S: &str = "600";
/// The headers of an answer that a page may read besides those that it always may.
pub(crate) const EXPOSED: &str = "X-Request-Id, Retry-After";
/// The methods that a page may use.
pub(crate) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Origins whose pages may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// In lower case; empty: all.
    origins: Vec<String>,
}

impl Cors {
    /// What the answer to a request of this origin allows; `None`: nothing.
    pub(crate) fn allows<'a>(&self, origin: &'a str) -> Option<&'a str> {
        if self.is_any() {
            return Some("*");
        }
        self.origins.iter().any(|it| origin.eq_ignore_ascii_case(it)).then_some(origin)
    }

    /// Whether the answers to all origins are the same, for caches.
    pub(crate) fn is_any(&self) -> bool {
        self.origins.is_empty()
    }
}

impl FromStr for Cors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self { origins: Vec::new() });
        }
        let origin = |text: &str| {
            let origin = text.trim().trim_end_matches('/').to_ascii_lowercase();
            let host = origin.split_once("://").map(|(_, host)| host);
            let is_host = |host: &str| {
                !host.is_empty() && host.bytes().all(|it| it.is_ascii_graphic() && it != b'/')
            };
            host.is_some_and(is_host).then_some(origin).ok_or_else(|| {
                format!("`{text}` is no origin; write it like https://app.example or *")
            })
        };
        text.split(',').map(origin).collect::<Result<_, _>>().map(|origins| Self { origins })
    }
}

impl Display for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_any() { "*" } else { "" })?;
        f.write_str(&self.origins.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_whole() {
        let cors: Cors = "https://App.example/, http://localhost:5173".parse().unwrap();
        assert_eq!(cors.to_string(), "https://app.example,http://localhost:5173");
        for origin in ["https://app.example", "HTTPS://APP.example", "http://localhost:5173"] {
            assert_eq!(cors.allows(origin), Some(origin));
        }
        for origin in ["http://app.example", "https://app.example.evil", "null", "*", ""] {
            assert_eq!(cors.allows(origin), None, "{origin}");
        }
        assert_eq!("*".parse::<Cors>().unwrap().allows("null"), Some("*"));
        for bad in ["", "app.example", "https://", "https://a/b", "https://a,", "https://a b"] {
            assert!(bad.parse::<Cors>().unwrap_err().contains("https://app.example"), "{bad}");
        }
    }
}
