//! Converts between hyper's types and those of http-types, which tide uses.
//!
//! http-types panics where it is given anything but ASCII in a header, so a header with other bytes
//! is left out here and never gets that far. Conversion takes much of a request's time (see
//! ARCHITECTURE.md), so everything is converted once, and a URL that was recently requested is not
//! parsed again.
//!
//! Over HTTP/1 the head has been read before (`intake.rs`), and only what HTTP/2 lets through is refused.

use std::cell::RefCell;

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
    http::{request, uri::PathAndQuery},
};
use tide::http::{self as tide_http, Url, headers as tide_headers};

use super::{
    heads::{authority, is_for_the_next_hop},
    refusal::Refusal,
};
use crate::{http1::target, serve::Options};

/// URLs of one thread that are kept parsed.
const URLS_KEPT: usize = 64;
/// Bytes of the longest URL that is kept parsed.
const URL_KEPT_BYTES_MAX: usize = 256;

thread_local! {
    static URLS: RefCell<Urls> = RefCell::new(Urls::new());
}

/// The request as tide sees it, without its body, or why it is refused.
pub(super) fn request(
    head: &request::Parts,
    options: &Options,
) -> Result<tide_http::Request, Refusal> {
    let refused = |status, cause| Err(Refusal::Status(status, Some(cause)));
    let Some(method) = method(&head.method, options.takes_all_methods) else {
        return refused(StatusCode::NOT_IMPLEMENTED, "the method is not known here");
    };
    // A host alone is a target for CONNECT only.
    if head.uri.scheme().is_none() && head.uri.authority().is_some() {
        return Err(Refusal::bad("the target is neither a path nor a URL of http"));
    }
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if path.len() > options.url_bytes_max {
        return refused(StatusCode::URI_TOO_LONG, "path and query are too long");
    }
    if head.headers.len() > options.headers_max {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return refused(status, "there are too many headers");
    }
    let authority = authority(head)?;
    let url = URLS.with_borrow_mut(|urls| urls.get(authority, path));
    let url = url.ok_or(Refusal::bad("the target is no URL"))?;
    let mut request = tide_http::Request::new(method, url);
    let mut last = None;
    for (name, value) in &head.headers {
        if is_for_the_next_hop(name) {
            continue;
        }
        // Other bytes than those of ASCII mean nothing to HTTP (RFC 9110, 5.5), and http-types cannot
        // hold them.
        let Ok(value) = value.to_str() else {
            match request.ext_mut().get_mut() {
                Some(LeftOut(names)) => names.push(name.clone()),
                None => drop(request.ext_mut().insert(LeftOut(vec![name.clone()]))),
            }
            continue;
        };
        // All values of a name come one after another.
        if last == Some(name) {
            request.append_header(request_name(name), value);
        } else {
            request.insert_header(request_name(name), value);
            last = Some(name);
        }
    }
    Ok(request)
}

/// The headers of a request that tide does not see. It is among the request's extensions if there are
/// any.
struct LeftOut(Vec<HeaderName>);

/// Whether a request has a header of this name that tide does not see, since it is not ASCII. For
/// headers that may not be passed over.
pub(crate) fn is_left_out<S>(request: &tide::Request<S>, name: &str) -> bool {
    let left_out = request.ext::<LeftOut>();
    left_out.is_some_and(|LeftOut(names)| names.iter().any(|it| it.as_str() == name))
}

/// `None` for methods that are not registered, unless all are taken, and for CONNECT: this is no
/// proxy.
fn method(method: &Method, takes_all: bool) -> Option<tide_http::Method> {
    // http-types knows no others. No route is for PRI, which is never sent: it stands for all of them.
    let unknown = takes_all.then_some(tide_http::Method::Pri);
    match *method {
        Method::GET => Some(tide_http::Method::Get),
        Method::POST => Some(tide_http::Method::Post),
        Method::HEAD => Some(tide_http::Method::Head),
        Method::CONNECT => None,
        // http-types reads `get` as GET, which HTTP does not.
        _ if method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) => unknown,
        _ => method.as_str().parse().ok().or(unknown),
    }
}

/// The usual names are constants in http-types; the others cost a copy.
fn request_name(name: &HeaderName) -> tide_headers::HeaderName {
    match *name {
        header::HOST => tide_headers::HOST,
        header::USER_AGENT => tide_headers::USER_AGENT,
        header::ACCEPT => tide_headers::ACCEPT,
        header::ACCEPT_ENCODING => tide_headers::ACCEPT_ENCODING,
        header::ACCEPT_LANGUAGE => tide_headers::ACCEPT_LANGUAGE,
        header::CONTENT_TYPE => tide_headers::CONTENT_TYPE,
        header::CONTENT_LENGTH => tide_headers::CONTENT_LENGTH,
        header::COOKIE => tide_headers::COOKIE,
        header::CACHE_CONTROL => tide_headers::CACHE_CONTROL,
        header::REFERER => tide_headers::REFERER,
        _ => tide_headers::HeaderName::from(name.as_str()),
    }
}

/// Status of tide's answer, and whether it asks for the connection to be closed; its headers
/// replace those in `headers`. `None`: it has something that cannot be sent.
pub(super) fn response(
    answer: &tide_http::Response,
    headers: &mut HeaderMap,
) -> Option<(StatusCode, bool)> {
    headers.clear();
    let status = StatusCode::from_u16(answer.status() as u16).ok()?;
    if status.is_informational() {
        return None;
    }
    let mut closes = false;
    for (name, values) in answer.iter() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        if name == header::CONNECTION {
            closes = values.iter().any(|value| value.as_str().eq_ignore_ascii_case("close"));
            continue;
        }
        // The transport sets the length: it knows how much it sends.
        if is_for_the_next_hop(&name) || name == header::CONTENT_LENGTH {
            continue;
        }
        for value in values {
            let value = HeaderValue::from_bytes(value.as_str().as_bytes()).ok()?;
            headers.append(&name, value);
        }
    }
    Some((status, closes))
}

/// Recently requested URLs, parsed.
struct Urls(Vec<Option<Kept>>);

struct Kept {
    authority: String,
    path: String,
    url: Url,
}

impl Urls {
    pub(super) fn new() -> Self {
        Self((0..URLS_KEPT).map(|_| None).collect())
    }

    /// `None`: it is not a URL.
    fn get(&mut self, authority: &str, path: &str) -> Option<Url> {
        let parse = || {
            let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
            let path = target::plain(absolute(path));
            let parse = |authority| Url::parse(&format!("http://{authority}{path}{query}")).ok();
            // A URL cannot hold every name, as `web.1`. The Host header has it.
            parse(authority).or_else(|| parse("localhost"))
        };
        if authority.len() + path.len() > URL_KEPT_BYTES_MAX {
            return parse();
        }
        let hash = path.bytes().fold(authority.len(), |hash, byte| {
            (hash ^ usize::from(byte)).wrapping_mul(0x9e37_79b9).rotate_left(5)
        });
        let slot = &mut self.0[hash % URLS_KEPT];
        match slot {
            Some(kept) if kept.path == path && kept.authority == authority => {}
            _ => {
                let (authority, path) = (authority.to_owned(), path.to_owned());
                *slot = Some(Kept { url: parse()?, authority, path });
            }
        }
        slot.as_ref().map(|kept| kept.url.clone())
    }
}

/// `OPTIONS *` asks the server as a whole.
fn absolute(path: &str) -> &str {
    if path == "*" { "/" } else { path }
}

#[cfg(test)]
mod tests {
    use hyper::Version;

    use super::*;

    fn convert(builder: request::Builder) -> Result<tide_http::Request, StatusCode> {
        let head = builder.body(()).unwrap().into_parts().0;
        let options = Options { url_bytes_max: 100, headers_max: 10, ..Options::default() };
        super::request(&head, &options).map_err(|refusal| match refusal {
            Refusal::Status(status, Some(_)) => status,
            _ => panic!("{refusal:?}"),
        })
    }

    fn get(uri: &str) -> request::Builder {
        hyper::Request::get(uri).header("host", "a.example")
    }

    #[test]
    fn what_a_client_sent_arrives() {
        let builder = get("/p%20q/?x=1&y=%2F").header("x-own", "1").header("x-own", "2");
        let request = convert(builder.header("te", "trailers").header("cookie", "a=b")).unwrap();
        assert_eq!(request.method(), tide_http::Method::Get);
        assert_eq!(request.url().as_str(), "http://a.example/p%20q/?x=1&y=%2F");
        assert_eq!(request.header("x-own").unwrap().iter().count(), 2);
        assert_eq!(request.header("cookie").unwrap().as_str(), "a=b");
        assert!(request.header("te").is_none());
    }

    #[test]
    fn headers_that_http_types_would_die_of_are_left_out() {
        for byte in 0x80..=0xff {
            let value = HeaderValue::from_bytes(&[b'a', byte]).unwrap();
            let builder = get("/").header("x", value.clone()).header("x", "b");
            let request = convert(builder.header("y", value.clone())).unwrap();
            assert_eq!(request.header("x").unwrap().as_str(), "b");
            assert!(request.header("y").is_none());
            let builder = hyper::Request::get("/").version(Version::HTTP_2).header("host", value);
            assert_eq!(convert(builder).unwrap_err(), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn hosts_and_methods() {
        let bad = Err(StatusCode::BAD_REQUEST);
        let status = |builder| convert(builder).map(|request| request.url().to_string());
        let with = |host: &str| hyper::Request::get("/").header("host", host);
        assert_eq!(status(hyper::Request::get("/")), bad);
        assert_eq!(status(get("/").header("host", "b")), bad);
        for host in ["a b", "a/b", "a?b", "a#b", "u@a", "a:99999", "[::1", "a\\b", "a<b"] {
            assert_eq!(status(with(host).version(Version::HTTP_2)), bad, "{host}");
        }
        assert_eq!(status(with("web.1").uri("/ap%69?%61")), Ok("http://localhost/api?%61".into()));
        assert_eq!(status(with("[::1]:80")), Ok("http://[::1]/".into()));
        assert_eq!(status(with("")), Ok("http://localhost/".into()));
        assert_eq!(status(with("h").uri("http://other:1/x")), Ok("http://other:1/x".into()));
        assert_eq!(status(with("h").uri("*").method("OPTIONS")), Ok("http://h/".into()));
        assert_eq!(status(with("h").uri("//e.example/x")), Ok("http://h//e.example/x".into()));
        let old = hyper::Request::get("/").version(Version::HTTP_10);
        assert_eq!(status(old), Ok("http://localhost/".into()));
        for method in ["get", "CONNECT", "NONSENSE"] {
            let refused = convert(get("/").method(method)).unwrap_err();
            assert_eq!(refused, StatusCode::NOT_IMPLEMENTED, "{method}");
        }
        for name in ["get", "NONSENSE"] {
            assert_eq!(method(&name.parse().unwrap(), true), Some(tide_http::Method::Pri));
        }
        assert_eq!(method(&Method::CONNECT, true), None);
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
            assert_eq!(convert(get("/").method(method)).unwrap().method().to_string(), method);
        }
        let long = format!("/{}", "a".repeat(100));
        assert_eq!(convert(get(&long)).unwrap_err(), StatusCode::URI_TOO_LONG);
    }

    #[test]
    fn a_kept_url_is_that_of_its_own_host_and_path() {
        let mut urls = Urls::new();
        for round in 0..3 {
            for n in 0..500 {
                let (host, path) = (format!("h{}", n % 7), format!("/{n}?q={n}"));
                let url = urls.get(&host, &path).unwrap();
                assert_eq!(url.as_str(), format!("http://{host}{path}"), "round {round}");
            }
        }
    }

    #[test]
    fn an_answer_that_would_forge_a_header_is_not_sent() {
        let mut answer = tide_http::Response::new(200);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("of the request"));
        answer.insert_header("x", "a");
        answer.insert_header("content-length", "7");
        assert_eq!(response(&answer, &mut headers), Some((StatusCode::OK, false)));
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x"], "a");
        answer.insert_header("x", "a\r\nset-cookie: b");
        assert!(response(&answer, &mut headers).is_none());
    }
}
