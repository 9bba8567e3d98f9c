//! The host that a request is for, as `Host` or the target names it.
//!
//! What could be read both as a name and as an address is refused, `1.2.3.999`, `127.1` and
//! `0x7f.1`, and so are percent-encoded bytes, which some would decode. With a letter in one of its
//! labels it is a name, whatever the last one is: `web.1`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether this is a host, maybe with a port: a name, an IPv4 address, or an IPv6 address in
/// brackets. It may be empty. A user's name before it, or a path after it, is not allowed.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, ""),
    };
    let is_port = port.is_empty() || (is_decimal(port) && port.parse::<u16>().is_ok());
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    is_port && is_host && (!host.is_empty() || text.is_empty())
}

/// Whether this is a name, or an IPv4 address: what has nothing but numbers has to be one.
fn is_name(host: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    let full = host.strip_suffix('.').unwrap_or(host);
    let is_number = full.split('.').all(is_number);
    host.bytes().all(is_fit) && (!is_number || full.parse::<Ipv4Addr>().is_ok())
}

/// Whether some read this as a part of an address.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    is_decimal(label)
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for text in [
            "",
            "x",
            "x:80",
            "1.2.3.4:",
            "1.2.3.4.",
            "[::1]",
            "[::ffff:1.2.3.4]:80",
            "a-b.example",
            "a_b.example.",
            "4.example",
            "0xg",
            "xn--mnchen-3ya.example",
            "web.1",
            "web.1:8080",
            "web.1.",
            "a.0x7F",
            "1.2.3.x.4",
        ] {
            assert!(is_host(text), "{text}");
        }
        for text in [
            "x/y",
            "u@x",
            "x y",
            "x:99999",
            "x:y",
            "x:+80",
            "[::1",
            "[x]",
            ":80",
            "a:b:80",
            "a\\b",
            "%61",
            "1.2.3.999",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "127.1.",
            "7",
            "0x7f.1",
            "0x",
        ] {
            assert!(!is_host(text), "{text}");
        }
    }
}
