//! Converts between the types of http-types, which surf uses, and hyper's.
//!
//! http-types panics where it is given anything but ASCII in a header. HTTP allows other bytes in an
//! answer, so a header that has any is left out here: surf never sees it.

use http_client::http_types::{self, headers as surf_headers};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri, Version,
    body::Body as _,
    header::{self, HeaderName, HeaderValue},
    http::response,
};

use super::{error::ClientError, peer::Peer, upload::Upload};
use crate::http::heads::is_for_the_next_hop;

const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("smolring/", env!("CARGO_PKG_VERSION")));

/// The head of a request as hyper sends it.
pub(super) fn request(head: &http_types::Request) -> Result<Request<()>, ClientError> {
    let method = method(head.method())?;
    let url = head.url();
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let uri = Uri::try_from(path).map_err(|error| {
        ClientError::invalid(format_args!("the URL cannot be sent: {error}. Escape or shorten it"))
    })?;
    let mut headers = HeaderMap::with_capacity(8);
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    headers.insert(header::HOST, value("host", &host)?);
    headers.insert(header::USER_AGENT, USER_AGENT);
    for (name, values) in head.iter() {
        let text = name.as_str();
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| unsendable(text))?;
        if name == header::CONNECTION {
            // The only thing that a caller may say about the connection.
            if values.iter().any(|value| value.as_str().eq_ignore_ascii_case("close")) {
                headers.insert(name, HeaderValue::from_static("close"));
            }
            continue;
        }
        // The transport sets the length: it knows how much it sends.
        if is_for_the_next_hop(&name) || name == header::CONTENT_LENGTH {
            continue;
        }
        headers.remove(&name);
        for it in values {
            headers.append(&name, value(text, it.as_str())?);
        }
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Head and body. An empty body has a `content-length` where one is expected.
pub(super) fn with_body(request: Request<()>, body: Upload) -> Request<Upload> {
    let mut request = request.map(|()| body);
    let is_empty = request.body().is_end_stream();
    let expects = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    if is_empty && expects {
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    request
}

/// A copy of the request, if its body is in memory.
pub(super) fn copy(request: &Request<Upload>) -> Option<Request<Upload>> {
    let mut copy = Request::new(request.body().copy()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// An answer as surf sees it, without its body.
pub(super) fn response(
    head: &response::Parts,
    peer: &Peer,
) -> Result<http_types::Response, ClientError> {
    let status = status(head.status)
        .ok_or_else(|| ClientError::bad_answer(peer, format_args!("status {}", head.status)))?;
    let mut response = http_types::Response::new(status);
    response.set_version(Some(match head.version {
        Version::HTTP_10 => http_types::Version::Http1_0,
        _ => http_types::Version::Http1_1,
    }));
    for (name, value) in &head.headers {
        if is_for_the_next_hop(name) {
            continue;
        }
        let mut bytes = value.as_bytes();
        if name == header::CONTENT_TYPE && !bytes.is_ascii() {
            // The type itself counts, whatever its parameters are.
            bytes = bytes.split(|&byte| byte == b';').next().unwrap_or_default();
        }
        if let Ok(value) = surf_headers::HeaderValue::from_bytes(bytes.to_vec()) {
            response.append_header(name.as_str(), value);
        }
    }
    Ok(response)
}

/// Sets the body without inventing a content type for it.
pub(super) fn set_body(response: &mut http_types::Response, body: http_types::Body) {
    let has_type = response.header(surf_headers::CONTENT_TYPE).is_some();
    response.set_body(body);
    if !has_type {
        response.remove_header(surf_headers::CONTENT_TYPE);
    }
}

/// CONNECT is for proxies.
fn method(method: http_types::Method) -> Result<Method, ClientError> {
    let known = Method::from_bytes(method.as_ref().as_bytes()).ok();
    known.filter(|method| *method != Method::CONNECT).ok_or_else(|| {
        ClientError::invalid(format_args!("{method} cannot be sent. Take another method"))
    })
}

/// `None`: it is not the status of a final answer.
fn status(status: StatusCode) -> Option<http_types::StatusCode> {
    let code = status.as_u16();
    if !(200..600).contains(&code) {
        return None;
    }
    let class = code / 100 * 100;
    http_types::StatusCode::try_from(code).or_else(|_| http_types::StatusCode::try_from(class)).ok()
}

fn value(name: &str, text: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| unsendable(name))
}

fn unsendable(name: &str) -> ClientError {
    ClientError::invalid(format_args!(
        "the header {name:?} cannot be sent. Take line ends and control characters out of it"
    ))
}

#[cfg(test)]
mod tests {
    use http_client::http_types::{Method as SurfMethod, Url};

    use super::*;

    fn get(url: &str) -> http_types::Request {
        http_types::Request::new(SurfMethod::Get, Url::parse(url).unwrap())
    }

    #[test]
    fn what_surf_was_given_is_sent() {
        let mut head = get("http://user@a.example:81/p%20q/\u{fc}|{}^?x=1&y=%2F#part");
        head.append_header("x-own", "1");
        head.append_header("x-own", "2");
        head.insert_header("content-length", "7");
        head.insert_header("transfer-encoding", "chunked");
        let request = request(&head).unwrap();
        assert_eq!(request.uri(), "/p%20q/%C3%BC|%7B%7D^?x=1&y=%2F");
        assert_eq!(request.headers()["host"], "a.example:81");
        assert_eq!(request.headers().get_all("x-own").iter().count(), 2);
        assert!(!request.headers().contains_key("content-length"));
        assert!(!request.headers().contains_key("transfer-encoding"));
    }

    #[test]
    fn hosts() {
        for (url, host) in [
            ("http://a.example", "a.example"),
            ("http://a.example:80/", "a.example"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("http://127.0.0.1/", "127.0.0.1"),
        ] {
            assert_eq!(request(&get(url)).unwrap().headers()["host"], host);
        }
        let mut other = get("http://a.example");
        other.insert_header("host", "b.example");
        assert_eq!(request(&other).unwrap().headers()["host"], "b.example");
    }

    #[test]
    fn what_would_forge_a_header_is_not_sent() {
        let mut head = get("http://a.example/");
        head.insert_header("x", "a\r\ncookie: b");
        assert_eq!(request(&head).unwrap_err().cause(), crate::http::client::Cause::Invalid);
        let mut head = get("http://a.example/");
        head.insert_header("x y", "a");
        assert!(request(&head).is_err());
    }

    #[test]
    fn an_answer_has_the_headers_that_can_be_held() {
        let mut head = hyper::Response::new(()).into_parts().0;
        for (name, value) in [
            ("x-a", &b"1"[..]),
            ("x-a", b"S\xe3o"),
            ("x-b", b"\xff"),
            ("content-type", b"application/json; name=\"\xc3\xa4\""),
            ("connection", b"close"),
        ] {
            let value = HeaderValue::from_bytes(value).unwrap();
            head.headers.append(HeaderName::from_static(name), value);
        }
        let peer = Peer::new(&Url::parse("http://a.example").unwrap()).unwrap();
        let response = response(&head, &peer).unwrap();
        let values = |name: &str| -> Vec<&str> {
            response.header(name).into_iter().flatten().map(|value| value.as_str()).collect()
        };
        assert_eq!((values("x-a"), values("content-type")), (vec!["1"], vec!["application/json"]));
        assert_eq!((values("x-b"), values("connection")), (vec![], vec![]));
    }

    #[test]
    fn every_status_is_read_or_refused() {
        let known = |code| status(StatusCode::from_u16(code).unwrap()).map(|it| it as u16);
        assert_eq!((known(204), known(418), known(503)), (Some(204), Some(418), Some(503)));
        assert_eq!((known(299), known(499), known(599)), (Some(200), Some(400), Some(500)));
        assert_eq!((known(101), known(600), known(999)), (None, None, None));
    }
}
