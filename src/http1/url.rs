//! The URL that a client asks for, and its parts.

/// `http://host:port/path?query`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Name or address to connect to, without brackets.
    pub host: String,
    /// 80 where the URL has none.
    pub port: u16,
    /// What the `Host` header says.
    pub authority: String,
    /// Path and query, as the request line has them.
    pub target: String,
}

impl Url {
    /// Reads a URL; `http://` may be left out. An error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |cause: &str| format!("`{text}` is no URL to ask: {cause}");
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(("https", _)) => return Err(wrong("there is no TLS here; use http://")),
            Some(_) => return Err(wrong("it does not begin with http://")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, "80"),
        };
        let port = if port.is_empty() { Ok(80) } else { port.parse() };
        let port = port.map_err(|_| wrong("the port is no number below 65536"))?;
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err(wrong("write it like http://localhost:5000/api"));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            host: host.to_owned(),
            port,
            authority: authority.to_owned(),
            target: format!("{slash}{}", printable(target)),
        })
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
        for (text, host, port, target) in [
            ("http://localhost:5000/api", "localhost", 5000, "/api"),
            ("localhost:5000/api?a=1#x", "localhost", 5000, "/api?a=1"),
            ("HTTP://x", "x", 80, "/"),
            ("http://[::1]:81?a b", "::1", 81, "/?a%20b"),
            ("x:", "x", 80, "/"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.host.as_str(), url.port, url.target.as_str()), (host, port, target));
        }
        for text in ["", "http://", "https://x", "ftp://x", "x:99999", "http://a b/", "u@x"] {
            assert!(Url::parse(text).unwrap_err().contains(text), "{text}");
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
