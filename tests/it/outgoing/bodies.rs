//! What goes with a request, and what comes with its answer.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use proptest::{collection::vec, prelude::*};
use smol::{
    Timer, block_on,
    io::{AsyncBufRead, AsyncRead, AsyncReadExt as _, Cursor},
};
use smolring::http::client::{Cause, ClientError, Deadlines, Limits, Transport, cause};
use surf::Body;

use super::{HELLO, SHORT, client, fails, get, patient, scripted::Scripted, within};

#[test]
fn bodies_arrive_with_and_without_a_length() {
    let server = Scripted::always(HELLO);
    let client = client();
    let content: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(i) >> 3) as u8).collect();
    for (body, framing) in [
        (Body::from_bytes(content.clone()), "content-length: 3000000\r\n"),
        (Body::from_reader(Cursor::new(content.clone()), None), "transfer-encoding: chunked\r\n"),
        (Body::from_reader(Cursor::new(content.clone()), Some(1000)), "content-length: 1000\r\n"),
        (Body::empty(), "content-length: 0\r\n"),
    ] {
        let bytes = body.len().unwrap_or(content.len());
        let sent = block_on(client.post(server.url()).body(body).recv_string());
        assert_eq!(sent.unwrap(), "hello");
        let request = server.requests().pop().unwrap();
        assert!(request.head.contains(framing), "{}", request.head);
        assert!(request.body == content[..bytes]);
    }
    assert_eq!(server.connections(), 1);
    get(&client, &server.url()).unwrap();
    let head = server.requests().pop().unwrap().head;
    assert!(!head.contains("content-") && !head.contains("transfer-"), "{head}");
    // A body that ends too early.
    let short = Body::from_reader(Cursor::new("short"), Some(9));
    let error = block_on(client.post(server.url()).body(short).send()).unwrap_err();
    assert_eq!(cause(&error), Cause::Invalid, "{error}");
    assert_eq!(get(&client, &server.url()).unwrap(), "hello");
}

/// A body that comes from elsewhere: late, and then all at once, or not at all.
struct Late {
    timer: Option<Timer>,
    content: io::Result<Cursor<&'static str>>,
}

impl Late {
    fn body(content: io::Result<&'static str>) -> Body {
        let timer = Some(Timer::after(2 * SHORT));
        Body::from_reader(Self { timer, content: content.map(Cursor::new) }, None)
    }
}

impl AsyncRead for Late {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let from = ready!(self.as_mut().poll_fill_buf(cx))?;
        let bytes = from.len().min(out.len());
        out[..bytes].copy_from_slice(&from[..bytes]);
        self.consume(bytes);
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncBufRead for Late {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if let Some(timer) = &mut this.timer {
            ready!(Pin::new(timer).poll(cx));
            this.timer = None;
        }
        match &mut this.content {
            Ok(content) => Pin::new(content).poll_fill_buf(cx),
            Err(error) => Poll::Ready(Err(io::Error::new(error.kind(), error.to_string()))),
        }
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        if let Ok(content) = &mut self.content {
            Pin::new(content).consume(bytes);
        }
    }
}

#[test]
fn a_body_that_comes_late_is_not_the_servers_silence() {
    let server = Scripted::always(HELLO);
    let client = within(Deadlines { read: SHORT, ..patient() });
    let sent = client.post(server.url()).body(Late::body(Ok("at last"))).recv_string();
    assert_eq!(block_on(sent).unwrap(), "hello");
    assert_eq!(server.requests()[0].body, b"at last");
    let failing = Late::body(Err(io::Error::other("it is gone")));
    let error = block_on(client.post(server.url()).body(failing).send()).unwrap_err();
    assert_eq!(cause(&error), Cause::Invalid);
    assert!(error.to_string().contains("it is gone"), "{error}");
    // A caller who reads late is not cut off either: meanwhile the deadline passes for another one.
    let silent = Scripted::new(|_, visitor| while !visitor.sees_the_end() {});
    let mut answer = block_on(client.get(server.url()).send()).unwrap();
    fails(&client, &silent.url(), Cause::TimedOut);
    assert_eq!(block_on(answer.body_string()).unwrap(), "hello");
}

#[test]
fn an_answer_that_comes_before_the_body_is_through_is_read() {
    const REFUSAL: &str =
        "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno!";
    for is_reset in [false, true] {
        let server = Scripted::new(move |_, visitor| {
            visitor.wait_for_bytes();
            visitor.say(REFUSAL);
            visitor.hush();
            if !is_reset {
                while !visitor.sees_the_end() {}
            }
        });
        let body = vec![b'x'; 30_000_000];
        let mut answer = block_on(client().post(server.url()).body(body).send()).unwrap();
        assert_eq!(answer.status(), 413);
        assert_eq!(block_on(answer.body_string()).unwrap(), "no!");
        server.wait_for_end();
    }
}

#[test]
fn a_body_can_be_read_as_a_stream_and_says_why_it_ends() {
    let words = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello";
    let server = Scripted::once(words);
    block_on(async {
        let mut answer = client().get(server.url()).send().await.unwrap();
        let mut start = [0; 5];
        answer.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"hello");
        for _ in 0..2 {
            let error = answer.read(&mut start).await.unwrap_err();
            assert_eq!(ClientError::find(&error).unwrap().cause(), Cause::Reset);
        }
    });
    // Where the length is known, the connection is free after the last byte.
    let server = Scripted::always(HELLO);
    let limits = Limits { connections_per_host: 1, ..Limits::default() };
    let frugal = Transport::new(patient(), limits).client();
    let mut held = block_on(frugal.get(server.url()).send()).unwrap();
    let mut text = String::new();
    block_on(held.read_to_string(&mut text)).unwrap();
    assert_eq!((text, get(&frugal, &server.url()).unwrap()), ("hello".into(), "hello".into()));
    assert_eq!(server.connections(), 1);
    drop(held);
    let error = block_on(client().get(server.url()).recv_json::<u32>()).unwrap_err();
    assert_eq!(cause(&error), Cause::Other);
}

/// Pieces of answers, in any order, and anything between them.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"HTTP/1.0 304 \r\n".to_vec()),
        Just(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        Just(b"content-length: ".to_vec()),
        Just(b"content-type: ".to_vec()),
        Just(b"text/plain;charset=\"".to_vec()),
        Just(b"transfer-encoding: chunked\r\n".to_vec()),
        Just(b"connection: close\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"5\r\nhello\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        vec(any::<u8>(), 0..8),
        vec(prop_oneof![Just(b':'), Just(b';'), Just(b'='), Just(b'"'), b'0'..=b'9'], 0..8),
    ];
    (any::<bool>(), vec(piece, 0..16)).prop_map(|(has_start, pieces)| {
        let start: &[u8] = if has_start { b"HTTP/1.1 200 OK\r\n" } else { b"" };
        [start, &pieces.concat()].concat()
    })
}

#[test]
fn whatever_a_server_says_is_an_answer_or_an_error() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let next = said.clone();
    let server = Scripted::new(move |_, visitor| {
        visitor.request();
        let words = next.lock().unwrap().clone();
        visitor.say(words);
    });
    let client = client();
    let config = ProptestConfig { failure_persistence: None, cases: 1000, ..Default::default() };
    proptest!(config, |(words in words())| {
        *said.lock().unwrap() = words;
        if let Ok(mut answer) = block_on(client.get(server.url()).send()) {
            let _ = answer.content_type();
            let _ = block_on(answer.body_string());
        }
    });
}
