//! Where a node is, as people write it: `HOST:PORT`.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// The default host of a ring's first node. macOS has no 127.0.1.1 unless it is added.
pub const HOST_DEFAULT: &str = if cfg!(target_os = "macos") { "127.0.0.1" } else { "127.0.1.1" };
/// The default port of a ring's first node.
pub const PORT_DEFAULT: u16 = 4043;

/// A node to talk to: a host name or an IP address, and a port. A host name is looked up at
/// each connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// A host name, or an IPv4 or IPv6 address without brackets.
    pub host: String,
    /// The TCP port, never 0.
    pub port: u16,
}

impl Node {
    /// A node from separate host and port. An IPv6 address needs no brackets here.
    pub fn at(host: &str, port: u16) -> Result<Self, String> {
        // Only an IPv6 address has colons in it: the port is given separately.
        let node = match host.matches(':').count() {
            1 => None,
            _ => host.parse::<Node>().ok(),
        };
        let node = node.ok_or_else(|| format!("`{host}` is no host name or IP address"))?;
        if port == 0 {
            return Err("a port is from 1 to 65535".into());
        }
        Ok(Self { port, ..node })
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { host: HOST_DEFAULT.to_owned(), port: PORT_DEFAULT }
    }
}

impl FromStr for Node {
    type Err = String;

    /// Takes `HOST:PORT`, `[IPv6]:PORT`, and also a host alone for the default port.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no node; write it like 127.0.1.1:4043, [::1]:4043 or example.org:4043"
            )
        };
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
            // More than one colon without brackets is an IPv6 address alone.
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = port.map_or(Some(PORT_DEFAULT), |port| port.parse().ok());
        let port = port.filter(|port| *port > 0).ok_or_else(wrong)?;
        let valid = match host.contains(':') {
            // After a % comes the interface.
            true => host.split('%').next().is_some_and(|it| it.parse::<Ipv6Addr>().is_ok()),
            false => !host.is_empty(),
        };
        let valid = valid && !host.contains(|c: char| c.is_whitespace() || "[]/".contains(c));
        valid.then(|| Self { host: host.to_owned(), port }).ok_or_else(wrong)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

/// Nodes in one string, separated by commas: the form of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes(pub Vec<Node>);

impl FromStr for Nodes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|node| node.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_read_and_shown() {
        for (text, shown) in [
            ("127.0.1.1:4044", "127.0.1.1:4044"),
            ("localhost", "localhost:4043"),
            ("[::1]:4044", "[::1]:4044"),
            ("::1", "[::1]:4043"),
            ("[::1]", "[::1]:4043"),
            ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
        ] {
            assert_eq!(text.parse::<Node>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            ":4043",
            "a:",
            "a:0",
            "a:65536",
            "a:x",
            "[::1",
            "[::1]4",
            "a b:1",
            "http://a:1",
            "::1:x",
            "a:b:c",
        ] {
            assert!(text.parse::<Node>().unwrap_err().contains("127.0.1.1:4043"), "{text}");
        }
        assert_eq!("a:1, b:2".parse::<Nodes>().unwrap().0.len(), 2);
        assert!("a:1,,b:2".parse::<Nodes>().is_err());
    }
}
