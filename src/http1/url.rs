//! The URL that a client asks for, and its parts.
//!
//! | written | asked |
//! |---|---|
//! | `localhost:5000/api` | `http://localhost:5000/api` |
//! | `:5000/api`, `:/api` | the same machine, `localhost` |
//! | `user:pw@host` | the same, with a name and a password |
//! | `http://bücher.example` | `xn--bcher-kva.example` (IDNA) |
//! | `127.1`, `0x7f000001`, `2130706433` | `127.0.0.1`, as old C libraries read it |
//! | `[fe80::1%25eth0]`, `[fe80::1%eth0]` | that address by way of `eth0` (RFC 6874) |

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

use percent_encoding::percent_decode_str;

/// `http://user:password@host:port/path?query`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Name or address to connect to, without brackets; an IPv6 address may have a zone, as
    /// `fe80::1%eth0`.
    pub host: String,
    /// 80 where the URL has none.
    pub port: u16,
    /// What the `Host` header says.
    pub authority: String,
    /// Path and query, as the request line has them.
    pub target: String,
    /// The name of a user, and a password, decoded.
    pub user: Option<(String, String)>,
}

impl Url {
    /// Reads a URL; `http://` may be left out. An error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |cause: &str| format!("`{text}` is no URL to ask: {cause}");
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(wrong("there is no TLS here; use http://"));
            }
            // It may be in the query.
            Some((start, _)) if start.contains(['/', '?', '#']) => text,
            Some(_) => return Err(wrong("it does not begin with http://")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (place, None),
        };
        if port.is_none() && is_digits(host) && host.parse::<u16>().is_ok() {
            let hint = format!("{host} is a port; write :{host}{target} for this machine");
            return Err(wrong(&hint));
        }
        let port = match port {
            None | Some("") => 80,
            Some(port) if is_digits(port) => port.parse().unwrap_or(0),
            Some(_) => 0,
        };
        if port == 0 {
            return Err(wrong("the port is no number from 1 to 65535"));
        }
        let is_short = host.is_empty() && place.starts_with(':');
        let host = if is_short { Ok(Host::same("localhost")) } else { Host::parse(host) };
        let Host { connect, shown } = host.map_err(|cause| wrong(&cause))?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            host: connect,
            port,
            authority: if port == 80 { shown } else { format!("{shown}:{port}") },
            target: format!("{slash}{}", printable(target)),
            user: user.map(|user| {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                (decoded(name), decoded(password))
            }),
        })
    }

    /// Where a `Location` leads that came from here: it may be a whole URL or any part of one.
    pub fn join(&self, location: &str) -> Result<Self, String> {
        let location = location.trim().split('#').next().unwrap_or_default();
        let start = &location[..location.find(['/', '?']).unwrap_or(location.len())];
        if start.ends_with(':') && location[start.len()..].starts_with("//") {
            return Self::parse(location);
        }
        if let Some(place) = location.strip_prefix("//") {
            return Self::parse(&format!("http://{place}"));
        }
        if start.contains(':') {
            return Err(format!("`{location}` is no URL to ask: it does not begin with http://"));
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let folder = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
        let target = match location.as_bytes().first() {
            None => self.target.clone(),
            Some(b'/') => location.to_owned(),
            Some(b'?') => format!("{path}{location}"),
            Some(_) => format!("{folder}{location}"),
        };
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let target = printable(&format!("{}{query}", without_dots(path)));
        Ok(Self { target, ..self.clone() })
    }

    /// Appends fields to the query.
    pub fn add(&mut self, fields: &str) {
        if !fields.is_empty() {
            let mark = match self.target.split_once('?') {
                None => "?",
                Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
                Some(_) => "&",
            };
            self.target = format!("{}{mark}{fields}", self.target);
        }
    }
}

/// A host, as it is connected to and as it is written in a header.
struct Host {
    connect: String,
    shown: String,
}

impl Host {
    fn same(host: impl ToString) -> Self {
        Self { connect: host.to_string(), shown: host.to_string() }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(inner) = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            let (address, zone) = match inner.split_once('%') {
                Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
                None => (inner, None),
            };
            let is_zone = |zone: &str| {
                let is_fit = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
                !zone.is_empty() && zone.bytes().all(is_fit)
            };
            let ip: Ipv6Addr = address.parse().map_err(|_| format!("{text} is no address"))?;
            return match zone {
                None => Ok(Self { connect: ip.to_string(), shown: format!("[{ip}]") }),
                Some(zone) if is_zone(zone) => {
                    Ok(Self { connect: format!("{ip}%{zone}"), shown: format!("[{ip}]") })
                }
                Some(_) => Err(format!("{text} has no zone after its %")),
            };
        }
        let labels = text.strip_suffix('.').unwrap_or(text);
        if labels.split('.').all(|label| number(label).is_some() || is_digits(label)) {
            let ip = ipv4(text).ok_or_else(|| format!("{text} is no address"))?;
            return Ok(Self::same(ip));
        }
        let name = match text.is_ascii() {
            true => Cow::Borrowed(text),
            false => match idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL) {
                Ok(name) => name,
                Err(_) => return Err(format!("{text} is no name of a host")),
            },
        };
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match name.bytes().all(is_fit) && !name.is_empty() {
            true => Ok(Self::same(name)),
            false => Err("write it like http://localhost:5000/api".into()),
        }
    }
}

/// A path without its segments `.` and `..` (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// An IPv4 address of one to four numbers, the last of which fills what is left.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
    let (last, others) = parts.split_last()?;
    let room = 4usize.checked_sub(others.len()).filter(|room| *room > 0)?;
    let mut address = 0u64;
    for part in others {
        address = (address << 8) | number(part).filter(|it| *it < 256)?;
    }
    let rest = number(last).filter(|it| *it < 1 << (8 * room))?;
    u32::try_from((address << (8 * room)) | rest).ok().map(Ipv4Addr::from)
}

/// A number as C writes it: decimal, `0x` and hexadecimal, `0` and octal.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.get(..2) {
        Some("0x" | "0X") => (&text[2..], 16),
        _ if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        _ => (text, 10),
    };
    let is_number = digits.bytes().all(|byte| char::from(byte).is_digit(radix));
    // `0x` is zero.
    let digits = if digits.is_empty() && radix == 16 { "0" } else { digits };
    is_number.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Pairs as a query or a body has them: `name=Ann&age=30`.
pub fn urlencoded(pairs: &[(String, String)]) -> String {
    let encode = |text: &str| {
        let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
        let one = |byte: u8| match byte {
            b' ' => "+".to_owned(),
            _ if keep(byte) => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect::<String>()
    };
    let pairs = pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Bytes that a request line cannot carry, percent-encoded.
fn printable(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'"' | b'<' | b'>' | b'`' | ..=b' ' | 0x7f.. => format!("%{byte:02X}"),
        _ => char::from(byte).to_string(),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, host, port, authority, target) in [
            ("http://localhost:5000/api", "localhost", 5000, "localhost:5000", "/api"),
            ("localhost:5000/api?a=1#x", "localhost", 5000, "localhost:5000", "/api?a=1"),
            ("HTTP://x", "x", 80, "x", "/"),
            ("x:", "x", 80, "x", "/"),
            ("x:80/", "x", 80, "x", "/"),
            (":5000/api", "localhost", 5000, "localhost:5000", "/api"),
            (":/api?x", "localhost", 80, "localhost", "/api?x"),
            ("http://:81", "localhost", 81, "localhost:81", "/"),
            ("x/?to=http://y/", "x", 80, "x", "/?to=http://y/"),
            ("a_b.example.", "a_b.example.", 80, "a_b.example.", "/"),
            ("http://x/Zo\u{eb}?\u{fc}", "x", 80, "x", "/Zo%C3%AB?%C3%BC"),
            (
                "http://b\u{fc}cher.example/",
                "xn--bcher-kva.example",
                80,
                "xn--bcher-kva.example",
                "/",
            ),
            ("http://\u{ff21}b:1", "ab", 1, "ab:1", "/"),
            ("http://[::1]:81?a b", "::1", 81, "[::1]:81", "/?a%20b"),
            ("http://[0:0::1]", "::1", 80, "[::1]", "/"),
            ("http://[fe80::1%25eth0]:81/", "fe80::1%eth0", 81, "[fe80::1]:81", "/"),
            ("http://[fe80::1%eth0]/", "fe80::1%eth0", 80, "[fe80::1]", "/"),
            ("127.1", "127.0.0.1", 80, "127.0.0.1", "/"),
            ("127.1:5000", "127.0.0.1", 5000, "127.0.0.1:5000", "/"),
            ("127.0x10.8:1", "127.16.0.8", 1, "127.16.0.8:1", "/"),
            ("0x7f000001", "127.0.0.1", 80, "127.0.0.1", "/"),
            ("2130706433", "127.0.0.1", 80, "127.0.0.1", "/"),
            ("0177.0.0.1", "127.0.0.1", 80, "127.0.0.1", "/"),
            ("1.2.3.4.", "1.2.3.4", 80, "1.2.3.4", "/"),
            ("web.1:81", "web.1", 81, "web.1:81", "/"),
            ("0:5000", "0.0.0.0", 5000, "0.0.0.0:5000", "/"),
        ] {
            let url = Url::parse(text).unwrap_or_else(|error| panic!("{error}"));
            let parts = (url.host.as_str(), url.port, url.authority.as_str(), url.target.as_str());
            assert_eq!(parts, (host, port, authority, target), "{text}");
            assert_eq!(url.user, None);
        }
        for text in [
            "",
            "http://",
            "/api",
            "https://x",
            "ftp://x",
            "x:99999",
            "x:0",
            "x:a",
            "x:+80",
            "http://a b/",
            "a,b",
            "a%2eb",
            "u@",
            "256.1",
            "1.2.3.4.5",
            "1.2.3.256",
            "08.1",
            "4294967296",
            "[::1",
            "[x]",
            "[::1%]",
            "[::1%25]",
            "[fe80::1%a/b]",
            "b\u{fc}\u{202e}.example",
        ] {
            assert!(Url::parse(text).unwrap_err().contains(text), "{text}");
        }
        for (text, hint) in
            [("20004", "write :20004 "), ("80/api", "write :80/api "), ("http://5000", ":5000 ")]
        {
            assert!(Url::parse(text).unwrap_err().contains(hint), "{text}");
        }
    }

    #[test]
    fn users() {
        for (text, name, password, host) in [
            ("http://Ann:se%3Acret@x/", "Ann", "se:cret", "x"),
            ("Ann@x:81", "Ann", "", "x"),
            ("a:b:c@[::1]", "a", "b:c", "::1"),
            ("a@b@x", "a@b", "", "x"),
            (":@x", "", "", "x"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(url.user, Some((name.into(), password.into())), "{text}");
            assert_eq!(url.host, host);
            assert!(!url.authority.contains('@'));
        }
    }

    #[test]
    fn locations() {
        let url = Url::parse("u:p@x:81/a/b?c").unwrap();
        for (location, authority, target, has_user) in [
            ("http://y/z?1#2", "y", "/z?1", false),
            ("HTTP://y", "y", "/", false),
            ("//y:1/z", "y:1", "/z", false),
            ("/z?1", "x:81", "/z?1", true),
            ("z", "x:81", "/a/z", true),
            ("./z/../y", "x:81", "/a/y", true),
            ("../../z", "x:81", "/z", true),
            ("..", "x:81", "/", true),
            ("./y/.", "x:81", "/a/y/", true),
            ("?1", "x:81", "/a/b?1", true),
            ("", "x:81", "/a/b?c", true),
            ("z?to=http://y/", "x:81", "/a/z?to=http://y/", true),
            ("/Zo\u{eb} x", "x:81", "/Zo%C3%AB%20x", true),
        ] {
            let joined = url.join(location).unwrap();
            let parts = (joined.authority.as_str(), joined.target.as_str(), joined.user.is_some());
            assert_eq!(parts, (authority, target, has_user), "{location}");
        }
        for location in ["https://y/", "ftp://y", "mailto:a@b", "http://", "http://a b/"] {
            assert!(url.join(location).is_err(), "{location}");
        }
    }

    #[test]
    fn fields() {
        let pairs = [("a b", "ü&="), ("", "")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!(urlencoded(&pairs), "a+b=%C3%BC%26%3D&=");
        for (text, expected) in [("x", "/?a=1"), ("x/?b", "/?b&a=1"), ("x?", "/?a=1")] {
            let mut url = Url::parse(text).unwrap();
            url.add("a=1");
            assert_eq!(url.target, expected);
        }
    }
}
