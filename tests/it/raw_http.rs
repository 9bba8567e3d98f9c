//! Random bytes must not break the parser of `raw-api-server`. `fuzz/` runs the same function under
//! libFuzzer for as long as one likes.

use smolring::{
    http1::request::{Parser, Refusal, Request, RequestLimits},
    services::form::{Form, answer},
};

const LIMITS: RequestLimits = RequestLimits {
    head_bytes_max: 400,
    headers_max: 8,
    url_bytes_max: 100,
    body_bytes_max: 200,
    takes_all_methods: false,
    notes_headers: true,
};

/// Any bytes, cut anywhere: no panic, the same requests and the same refusal however they are cut,
/// no request over a limit, and forms that are always JSON.
pub fn raw_http(data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else { return };
    let whole = read_all(stream, || usize::MAX);
    assert_eq!(whole, read_all(stream, || 1));
    let mut state = u32::from(seed);
    let cut = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize
    };
    assert_eq!(whole, read_all(stream, cut));
    for request in whole.0 {
        assert!(request.body.len() <= LIMITS.body_bytes_max && request.path.starts_with('/'));
        assert!(request.path.len() + request.query.len() <= LIMITS.url_bytes_max);
        let content_type = request.content_type.as_deref();
        for form in [
            Form::Query(&request.query),
            Form::Body { content_type, is_coded: false, bytes: &request.body },
            Form::Body {
                content_type: Some("multipart/form-data; boundary=B"),
                is_coded: false,
                bytes: stream,
            },
        ] {
            let reply = answer(form);
            assert!(reply.body.starts_with(b"{\"") || reply.body == b"{}");
            assert_eq!(reply.cause.is_none(), reply.status == 200);
        }
    }
}

/// Feeds a parser as a connection does, in pieces of the sizes that `cut` gives.
fn read_all(mut stream: &[u8], mut cut: impl FnMut() -> usize) -> (Vec<Request>, Option<Refusal>) {
    let (mut parser, mut requests) = (Parser::new(LIMITS), Vec::new());
    while !stream.is_empty() {
        let (mut piece, rest) = stream.split_at(cut().clamp(1, stream.len()));
        stream = rest;
        while !piece.is_empty() {
            match parser.read(piece) {
                Ok((taken, request)) => {
                    assert!(taken > 0 && (request.is_some() || taken == piece.len()));
                    piece = &piece[taken..];
                    requests.extend(request);
                }
                Err(refusal) => return (requests, Some(refusal)),
            }
        }
    }
    (requests, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smolring::http1::host::is_host;
    use tide::http::Url;

    const PARTS: &[&str] = &[
        "GET /api?a=%20 HTTP/1.1\r\n",
        "POST /x/../api HTTP/1.0\n",
        "Host: x\r\n",
        "\r\n",
        "\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Type: ",
        "application/x-www-form-urlencoded\r\n",
        "3\r\na=1\r\n",
        "0\r\n\r\n",
        "a=1",
        "--B\r\n",
        "--B--",
        ": ",
        "\r",
        ";",
        "ff",
        "\x16\x03\x01",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "GET http://y/ HTTP/1.1\r\nHost: y\r\n\r\n",
        "Content-Disposition: form-data; name=\"a\\\"",
    ];

    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            8 => prop::sample::select(PARTS).prop_map(|part| part.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 1..4),
        ];
        prop::collection::vec(part, 1..20).prop_map(|parts| parts.concat())
    }

    #[test]
    fn a_cr_before_a_head_belongs_to_it_however_it_comes() {
        let (tls, long) = ("\r\x16".to_owned(), "\r".to_owned() + &"x".repeat(400));
        for stream in [tls, long] {
            super::raw_http(&[&[0], stream.as_bytes()].concat());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

        #[test]
        fn bytes_of_chance_do_not_break_the_parser(stream in streams()) {
            super::raw_http(&stream);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5000) })]

        /// tide's URLs are parsed by another crate: whatever is a host here must be one there, but for
        /// names that end in a number.
        #[test]
        fn every_host_can_stand_in_a_url(text in "[0-9a-zA-Zx.:%\\[\\]~!$&'()*+,;=_-]{1,12}(\\.[0-9x]{1,3}\\.?)?(:[0-9]{0,6})?") {
            if is_host(&text) {
                let url = "http://".to_owned() + &text;
                let full = text.split(':').next().unwrap_or_default().trim_end_matches('.');
                let last = full.rsplit('.').next().unwrap_or_default();
                let ends_in_number = last.starts_with(|first: char| first.is_ascii_digit());
                prop_assert!(Url::parse(&url).is_ok() || (ends_in_number && full.contains('.')));
            }
        }
    }
}
