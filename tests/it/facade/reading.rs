//! `GET /message`: a missing part is named in its place, and the other part is there.

use std::net::SocketAddr;

use super::{body, facade_of, logging, nobody};
use crate::{
    outgoing::scripted::Scripted,
    served::{Client, eventually},
    service::Service,
};

/// A service that gives every request this answer.
fn says(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Scripted {
    let bytes = body.as_ref().len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {bytes}\r\n\r\n"
    );
    let answer = [head.as_bytes(), body.as_ref()].concat();
    Scripted::new(move |_, visitor| while visitor.answer(&answer).is_some() {})
}

fn logs(list: &str) -> Scripted {
    says("200 OK", "application/json", list)
}

fn text(text: &str) -> Scripted {
    says("200 OK", "text/plain; charset=utf-8", text)
}

fn facade(logging: SocketAddr, messages: SocketAddr) -> Service {
    let url = format!("http://{messages}");
    facade_of(&[logging], &["--attempt-timeout", "400ms", "--quiet", "--messages-url", &url])
}

fn combined(facade: &Service) -> String {
    let reply = facade.get("/message");
    assert_eq!(reply.status, 200, "{reply:?}");
    let body = body(&reply);
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["combined"].as_str().unwrap().to_owned()
}

#[test]
fn both_parts() {
    for (list, messages, whole) in [
        (r#"["m1", "m2"]"#, text("static text"), "m1, m2 | static text"),
        ("[]", text("static text"), " | static text"),
        (r#"["a, b"]"#, text(""), "a, b | "),
        (r#"["\n🎉\ud83c\udf89\""]"#, text("до\n"), "\n🎉🎉\" | до\n"),
        ("[]", says("200 OK", "application/json", r#""a \"text\"""#), " | a \"text\""),
        ("[]", says("200 OK", "text/plain", b"\xff"), " | \u{fffd}"),
    ] {
        let logging = logs(list);
        assert_eq!(combined(&facade(logging.address, messages.address)), whole);
    }
}

#[test]
fn a_part_that_is_missing_is_named_in_its_place() {
    let (good_list, good_text) = (logs(r#"["m1","m2"]"#), text("static text"));
    let nobody = nobody();
    let refused = format!("connection refused: nobody listens at {nobody}");
    let silent = Scripted::new(|_, visitor| {
        visitor.request();
        visitor.sees_the_end();
    });
    let failed = says("500 Internal Server Error", "text/plain", "oh");
    let huge = logs(&format!("[\"{}\"]", "x".repeat(16 << 20)));
    for (address, why) in [
        (nobody, refused.as_str()),
        (silent.address, "timed out after 400 ms"),
        (failed.address, "bad answer 500"),
        (huge.address, "bad answer: too large"),
        (Scripted::once("").address, "bad answer: closed half way"),
        (says("404 Not Found", "text/plain", "").address, "bad answer 404"),
        (logs("{}").address, "bad answer: not a JSON list of texts"),
        (logs("[1]").address, "bad answer: not a JSON list of texts"),
    ] {
        let whole = format!("[logging unavailable: {why}] | static text");
        assert_eq!(combined(&facade(address, good_text.address)), whole);
    }
    for (address, why) in [
        (nobody, refused.as_str()),
        (silent.address, "timed out after 400 ms"),
        (failed.address, "bad answer 500"),
        (huge.address, "bad answer: too large"),
        (logs("{}").address, "bad answer: JSON that is not one text"),
    ] {
        let whole = format!("m1, m2 | [messages unavailable: {why}]");
        assert_eq!(combined(&facade(good_list.address, address)), whole);
    }
    let whole = format!("[logging unavailable: {refused}] | [messages unavailable: {refused}]");
    assert_eq!(combined(&facade(nobody, nobody)), whole);
}

#[test]
fn reading_is_tried_again() {
    let good = logging::answer("200 OK", r#"["m1"]"#);
    let bad = logging::answer("503 Service Unavailable", "");
    let logging = Scripted::new(move |number, visitor| {
        visitor.answer(if number == 0 { &bad } else { &good });
    });
    let messages = text("static text");
    let mut facade = facade(logging.address, messages.address);
    assert_eq!(combined(&facade), "m1 | static text");
    let line = facade.line();
    let at = logging.address;
    let words =
        format!("GET /message attempt 1 of 5 at http://{at} failed: bad answer 503; next in ");
    assert!(line.starts_with(&words), "{line}");
}

#[test]
fn clients_that_do_not_read_long_answers_use_up_places_and_not_memory() {
    const PLACES: usize = 16;
    let logging = logs(&format!("[\"{}\"]", "x".repeat(12 << 20)));
    let messages = text("static text");
    let url = format!("http://{}", messages.address);
    let args = ["--attempt-timeout", "1.2s", "--quiet", "--messages-url", &url];
    let facade = facade_of(&[logging.address], &args);
    let ask = |client: &mut Client| client.send("GET /message HTTP/1.1\r\nHost: x\r\n\r\n");
    let begun = |client: &Client| client.stream().peek(&mut [0]).unwrap() == 1;
    // One after the other, so that each has its answer before another asks.
    let mut slow: Vec<Client> = Vec::new();
    for _ in 0..PLACES {
        let mut client = Client::connect(facade.port);
        ask(&mut client);
        assert!(begun(&client));
        slow.push(client);
    }
    let reply = facade.get("/message");
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.body.ends_with(r#","error":"too many ask at the same time: try again"}"#));
    assert_eq!(facade.get("/health").status, 200);
    drop(slow.pop());
    eventually("a place is free", || facade.get("/message").status == 200);
    assert!(slow[0].reply().body.ends_with("xxx | static text\"}"));
}
