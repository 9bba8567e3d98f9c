//! What the head of a request or an answer means to the transport.

use hyper::{
    Version,
    header::{self, HeaderName},
    http::request,
};

use super::refusal::Refusal;
use crate::http1::host::is_host;

/// The host that a request is for: RFC 9112 requires exactly one `Host` from HTTP/1.1 on, and a
/// host in the request's target takes precedence. What names no host has been refused over HTTP/1
/// (`intake.rs`), and is refused here over HTTP/2.
pub(crate) fn authority(head: &request::Parts) -> Result<&str, Refusal> {
    let no_host = Refusal::bad("the Host header names no host");
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| no_host)?),
        (None, _) if head.version != Version::HTTP_11 => None,
        (None, _) => return Err(Refusal::bad("there is no Host header")),
        _ => return Err(Refusal::bad("there is more than one Host header")),
    };
    let is_host = |host: &str| head.version != Version::HTTP_2 || is_host(host);
    if !host.is_none_or(is_host) {
        return Err(no_host);
    }
    match (head.uri.authority(), host) {
        (Some(authority), _) if is_host(authority.as_str()) => Ok(authority.as_str()),
        (Some(_), _) => Err(Refusal::bad("the target names no host")),
        (None, Some("") | None) => Ok("localhost"),
        (None, Some(host)) => Ok(host),
    }
}

/// Whether an HTTP/2 request names two hosts (RFC 9113, 8.3.1): proxies and servers would choose one
/// each.
pub(super) fn has_two_hosts(head: &request::Parts) -> bool {
    let Some(authority) = head.uri.authority() else { return false };
    let mut hosts = head.headers.get_all(header::HOST).iter();
    hosts.any(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()))
}

/// Headers that are about the connection and not about the message.
pub(super) fn is_for_the_next_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::TE
            | header::TRAILER
            | header::UPGRADE
            | header::EXPECT
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}
