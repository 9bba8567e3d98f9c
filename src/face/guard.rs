//! Which requests are not meant for this node, or come from a page that may not make them.
//!
//! A page of the web can have its own name lead to this machine (DNS rebinding), and then asks a node as if
//! that were its own server. Its requests have that name as their host: so a request is answered only if its
//! host is an address, `localhost`, or a name that the user has given. And a page can have a browser send
//! requests here, of which it does not see the answers: so what a page of another origin sends changes
//! nothing.

use std::net::IpAddr;

use hyper::{HeaderMap, header};

/// The name that allows all.
const ANY: &str = "*";

/// Whether requests with this host are answered. `names` are the hosts that the user has given.
pub(super) fn is_known(authority: &str, names: &[String]) -> bool {
    let host = host_of(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_address = || {
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        bare.parse::<IpAddr>().is_ok()
    };
    let ending = host.len().checked_sub(".localhost".len()).and_then(|at| host.get(at..));
    host.eq_ignore_ascii_case("localhost")
        || ending.is_some_and(|it| it.eq_ignore_ascii_case(".localhost"))
        || is_address()
        || names.iter().any(|name| name == ANY || name.eq_ignore_ascii_case(host))
}

/// Whether a browser says that a page of another origin has made a request to this authority.
pub(super) fn is_cross_site(headers: &HeaderMap, authority: &str) -> bool {
    let sites: Vec<_> = headers.get_all("sec-fetch-site").iter().collect();
    if !sites.is_empty() {
        return !sites.iter().all(|site| *site == "same-origin" || *site == "none");
    }
    let origins = headers.get_all(header::ORIGIN).iter();
    !origins.map(|it| it.to_str().unwrap_or_default()).all(|it| is_origin_of(it, authority))
}

/// Whether an origin is that of a server at this authority. The scheme may differ, since TLS may end in
/// front of the node. `null`, the origin of pages that have none, is not.
fn is_origin_of(origin: &str, authority: &str) -> bool {
    let Some((scheme, origin)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    !origin.is_empty() && bare(origin) == bare(authority)
}

/// An authority without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_name_that_was_given() {
        let names = ["ring.example".to_owned()];
        for (authority, expected) in [
            ("127.0.1.1:4043", true),
            ("192.0.2.1", true),
            ("[::1]:4043", true),
            ("[2001:db8::1]", true),
            ("localhost", true),
            ("LOCALHOST:4043", true),
            ("a.localhost:4043", true),
            ("localhost.:4043", true),
            ("ring.example:4043", true),
            ("Ring.Example.", true),
            ("evil.example:4043", false),
            ("a.ring.example", false),
            ("localhost.evil.example", false),
            ("xlocalhost", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
            ("*", false),
            (":4043", false),
        ] {
            assert_eq!(is_known(authority, &names), expected, "{authority}");
        }
        assert!(is_known("evil.example", &["*".to_owned()]));
    }

    #[test]
    fn pages_of_other_origins_are_told_from_programs() {
        for (sent, expected) in [
            (&[][..], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://a.example")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:4043")], true),
            (&[("sec-fetch-site", "")], true),
            (&[("origin", "http://127.0.0.1:4043")], false),
            (&[("origin", "https://127.0.0.1:4043")], false),
            (&[("origin", "http://127.0.0.1:4044")], true),
            (&[("origin", "http://127.0.0.1")], true),
            (&[("origin", "http://localhost:4043")], true),
            (&[("origin", "ftp://127.0.0.1:4043")], true),
            (&[("origin", "null")], true),
            (&[("origin", "")], true),
            (&[("origin", "\u{fc}")], true),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(is_cross_site(&headers, "127.0.0.1:4043"), expected, "{sent:?}");
        }
        assert!(is_origin_of("https://Ring.example", "ring.example:443"));
        assert!(is_origin_of("http://ring.example:80", "ring.example"));
    }
}
