//! Heads of answers: what old servers send is read, and what is bad about the others is said.

use std::net::TcpListener;

use smol::block_on;
use smolring::http::client::{Cause, cause};

use super::{client, fails, get, scripted::Scripted, transport_error};

#[test]
fn nonsense_is_a_bad_answer() {
    for words in [
        "SSH-2.0-OpenSSH_9.9\r\n",
        "\0\x01\x02\x03",
        "hello\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/3.0 200 OK\r\n\r\n",
        "HTTP/1.1 999 What\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello",
    ] {
        let server = Scripted::once(words);
        let error = fails(&client(), &server.url(), Cause::BadAnswer);
        assert!(!error.to_string().contains(['\0', '\r']), "{error}");
    }
}

#[test]
fn a_bad_answer_says_what_is_bad() {
    for (words, fault) in [
        ("220 mail.example ready\r\n", "not HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nx: \u{1}\r\n\r\n", "invalid HTTP header"),
        ("HTTP/1.1 200 OK\r\nx\u{e4}: a\r\n\r\n", "invalid HTTP header"),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "invalid content-length"),
        ("HTTP/1.1 abc OK\r\n\r\n", "invalid HTTP status-code"),
        ("HTTP/1.1 600 What\r\n\r\n", "status 600"),
    ] {
        let error = fails(&client(), &Scripted::once(words).url(), Cause::BadAnswer);
        let found = transport_error(&error).fault().unwrap();
        assert!(found.starts_with(fault), "{found}");
        assert!(error.to_string().contains(found), "{error}");
    }
    let nobody = TcpListener::bind("127.0.43.1:0").unwrap().local_addr().unwrap();
    let error = fails(&client(), &format!("http://{nobody}/"), Cause::Refused);
    assert_eq!(transport_error(&error).fault(), None);
}

#[test]
fn what_old_servers_send_is_read() {
    for headers in [
        "x: a\r\n b\r\ncontent-length: 5\r\n",
        "content-length:\r\n\t5\r\n",
        "content-length \t: 5\r\n",
        "content-disposition: attachment; filename=\"S\u{e3}o\"\r\ncontent-length: 5\r\n",
    ] {
        let server = Scripted::once(format!("HTTP/1.1 200 OK\r\n{headers}\r\nhello"));
        assert_eq!(get(&client(), &server.url()).unwrap(), "hello", "{headers}");
    }
    let server = Scripted::once("HTTP/1.1 200 OK\r\nx: a\r\n  b\r\n\tc\r\n\r\n");
    let answer = block_on(client().get(server.url()).send()).unwrap();
    let words: Vec<&str> = answer.header("x").unwrap().as_str().split_whitespace().collect();
    assert_eq!(words, ["a", "b", "c"]);
}

#[test]
fn bytes_that_http_types_would_die_of_never_reach_it() {
    let server = Scripted::new(|number, visitor| {
        let byte = 0x80 + (number / 2) as u8;
        let (before, after) = if number % 2 == 0 { ("x: a", "") } else { ("x", ": a") };
        let start = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{before}");
        visitor.request();
        visitor.say([start.as_bytes(), &[byte], after.as_bytes(), b"\r\n\r\n"].concat());
    });
    for _ in 0..2 * 0x80 {
        match get(&client(), &server.url()) {
            Ok(text) => assert_eq!(text, ""),
            // A name must be ASCII.
            Err(error) => assert_eq!(cause(&error), Cause::BadAnswer),
        }
    }
    assert_eq!(server.connections(), 2 * 0x80);
    let whole = b"HTTP/1.1 200 OK\r\nx: a\r\nx: \xe4\r\ny: b\r\ncontent-length: 0\r\n\r\n";
    let answer = block_on(client().get(Scripted::once(whole).url()).send()).unwrap();
    assert_eq!(
        (answer.header("x").unwrap().as_str(), answer.header("y").unwrap().as_str()),
        ("a", "b")
    );
    // Where they are not read, they do no harm; nor does an invalid type.
    let words =
        b"HTTP/1.1 200 \xc3\xa4\r\ncontent-type: ;=\"\\\r\ncontent-length: 2\r\n\r\n\xff\xfe";
    let server = Scripted::once(words);
    let mut answer = block_on(client().get(server.url()).send()).unwrap();
    assert_eq!(answer.content_type(), None);
    assert_eq!(block_on(answer.body_bytes()).unwrap(), b"\xff\xfe");
    let text = get(&client(), &server.url()).unwrap_err();
    assert_eq!(cause(&text), Cause::Other);
}
