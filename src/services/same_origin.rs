//! What a web page may send to a service on the same machine as its browser.
//!
//! Any page may have a browser send a POST to `127.0.0.1`, and no page of another origin is to write
//! into a log that way. A browser says where a request comes from, and other programs, as curl, say
//! nothing and are not asked:
//!
//! - `Sec-Fetch-Site` must be `same-origin`, or `none` for what the user did by hand.
//! - An origin that `--cors` names may do what this one may.
//! - Where it is absent, `Origin` must be that of the request's own URL.
//! - A page may have its own name point to 127.0.0.1, and is then of the same origin. So over
//!   loopback, a browser's `Host` must be an address or `localhost`. A proxy in front of a service
//!   sends its own, as nginx does unless told otherwise.

use std::net::IpAddr;

use tide::{
    Endpoint, Request, StatusCode,
    http::{Url, headers::HeaderName, url::Host},
};

use super::problem;
use crate::http;

/// Lets `endpoint` answer the POST of a route, unless a page of another origin has sent it: that is 403.
pub(super) fn post(route: &mut tide::Route<'_, ()>, endpoint: impl Endpoint<()> + Clone) {
    route.post(move |request: Request<()>| {
        let endpoint = endpoint.clone();
        async move {
            match fault(&request) {
                Some(fault) => problem(StatusCode::Forbidden, fault.to_owned(), ()),
                None => endpoint.call(request).await,
            }
        }
    });
}

/// Why a request is refused, if it is.
fn fault(request: &Request<()>) -> Option<&'static str> {
    let sites = request.header(HeaderName::from("sec-fetch-site"));
    let origins = request.header(HeaderName::from("origin"));
    // Not even its bytes are those of an origin.
    let is_odd = ["sec-fetch-site", "origin"].iter().any(|name| http::is_left_out(request, name));
    if !is_odd && (sites.is_none() && origins.is_none() || http::is_of_allowed_origin(request)) {
        return None;
    }
    let is_own = match (sites, origins) {
        _ if is_odd => false,
        (Some(sites), _) => {
            sites.iter().all(|site| ["same-origin", "none"].contains(&site.as_str()))
        }
        (None, Some(origins)) => {
            origins.iter().all(|origin| is_origin_of(origin.as_str(), request.url()))
        }
        (None, None) => true,
    };
    if !is_own {
        return Some("a web page of another origin may not send this");
    }
    if is_local(request.peer_addr()) && !cannot_be_pointed_here(request.url()) {
        return Some(
            "a web page sends this to a name that may belong to another machine: open it at \
             localhost or an address, or let the proxy send its own Host",
        );
    }
    None
}

/// Whether the text names host and port of a URL. `null`, the origin of a page that has none, does not.
/// The scheme may differ, since TLS ends before the service.
fn is_origin_of(origin: &str, url: &Url) -> bool {
    Url::parse(origin).is_ok_and(|it| it.host() == url.host() && it.port() == url.port())
}

/// Whether the other end is on this machine.
fn is_local(peer: Option<&str>) -> bool {
    let address = peer.unwrap_or_default();
    let ip = address.rsplit_once(':').map_or(address, |(ip, _)| ip);
    let ip = ip.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    ip.or_else(|_| address.parse()).map_or(true, |ip| ip.to_canonical().is_loopback())
}

/// Whether the host of a URL is the same machine for everyone who asks for it here.
fn cannot_be_pointed_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use tide::http::Method;

    use super::*;

    fn is_refused(url: &str, peer: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = tide::http::Request::new(Method::Post, Url::parse(url).unwrap());
        request.set_peer_addr(Some(peer));
        for (name, value) in headers {
            request.append_header(*name, *value);
        }
        let mut app = tide::new();
        post(&mut app.at("/log"), |_| async { Ok("taken") });
        let response: tide::http::Response = smol::block_on(app.respond(request)).unwrap();
        response.status() == StatusCode::Forbidden
    }

    const URL: &str = "http://127.0.0.1:8001/log";
    const PEER: &str = "127.0.0.1:50000";

    #[test]
    fn programs_and_pages_of_the_same_origin_may_send_and_others_may_not() {
        for (headers, is_bad) in [
            (&[][..], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://log.example")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8001")], true),
            (&[("sec-fetch-site", "")], true),
            (&[("origin", "http://127.0.0.1:8001")], false),
            (&[("origin", "https://127.0.0.1:8001")], false),
            (&[("origin", "http://127.0.0.1:8002")], true),
            (&[("origin", "http://127.0.0.1")], true),
            (&[("origin", "http://localhost:8001")], true),
            (&[("origin", "https://evil.example")], true),
            (&[("origin", "null")], true),
            (&[("origin", "")], true),
        ] {
            assert_eq!(is_refused(URL, PEER, headers), is_bad, "{headers:?}");
        }
    }

    #[test]
    fn a_name_that_is_pointed_to_this_machine_does_not_help_a_page() {
        for (host, peer, is_bad) in [
            ("localhost:8001", PEER, false),
            ("log.localhost:8001", "[::1]:50000", false),
            ("[::1]:8001", "[::1]:50000", false),
            ("evil.example:8001", PEER, true),
            ("evil.example:8001", "[::ffff:127.0.0.1]:50000", true),
            ("evil.example:8001", "127.0.0.1", true),
            ("localhost.evil.example:8001", "[::1]:50000", true),
            ("log.example:8001", "192.0.2.1:50000", false),
            ("log.example:8001", "2001:db8::1", false),
        ] {
            let (url, origin) = (format!("http://{host}/log"), format!("http://{host}"));
            assert_eq!(is_refused(&url, peer, &[("origin", &origin)]), is_bad, "{host}");
            assert_eq!(is_refused(&url, peer, &[("sec-fetch-site", "same-origin")]), is_bad);
            assert!(!is_refused(&url, peer, &[]), "{host}: curl may");
        }
    }
}
