//! Multipart forms, as Flask reads them: a generated table goes to Flask and to both form servers.

use std::process::Command;

use serde_json::{Value, json};

use crate::{api::both, interop::Server, served::Client};

/// What a `Content-Disposition` may say, for a field, for a file, and for what is neither.
const DISPOSITIONS: &[&str] = &[
    r#"form-data; name="a""#,
    "form-data; name=a",
    r#"form-data; NAME="a""#,
    r#"form-data;name="a";"#,
    r#"form-data ; name="a" ; x=y"#,
    r#"form-data; x; name="a""#,
    r#"form-data; x=; name="a""#,
    r#"form-data; =; name="a""#,
    r#"form-data; "x"; name="a""#,
    r#"form-data; x="; name=b"; name="a""#,
    r#"form-data; name="a"; name="b""#,
    r#"form-data; name="a;b=c""#,
    r#"form-data; name="a\"b""#,
    r#"form-data; name="a\\b""#,
    r#"form-data; name="a\b""#,
    r#"form-data; name="a%22b%0D%0A%41""#,
    r#"form-data; name="""#,
    r#"form-data; name="日本""#,
    "form-data; name=a b",
    "form-data; name*=utf-8''%C3%BC%20b",
    "form-data; name*=iso-8859-1'de'%FC",
    "form-data; name*=koi8-r''%FC",
    "form-data; name*=''%FC",
    "form-data; name*0=a; name*1=b",
    "form-data; name*0*=utf-8''%C3%BC; name*1*=%20b; name*2=%20",
    r#"form-data; name="a"; name*0=b"#,
    "form-data; name*0=b; name=a",
    "form-data;\r\n name=\"a\"",
    "form-data;\r\n\tname=\"a\";\r\n x=y",
    "\r\n form-data; name=a",
    r#"attachment; name="a""#,
    r#"form-data; name="a"; filename="b""#,
    r#"form-data; filename="b"; name="a""#,
    r#"form-data; name="a"; filename="""#,
    r#"form-data; name="a"; filename=b.txt"#,
    r#"form-data; name="a"; FileName="b""#,
    r#"form-data; name="a"; filename*=utf-8''b%20c"#,
    r#"form-data; name="a"; filename*=UTF-8''%E2%82%AC"#,
    r#"form-data; name="a"; filename*=b"#,
    r#"form-data; name="a"; filename*0=b; filename*1=c"#,
    r#"form-data; name="a"; filename*0*=utf-8''b"#,
    r#"form-data; name="a"; x; filename="b""#,
    r#"form-data; name="a"; x=; filename="b""#,
    r#"form-data; name="a"; filename"#,
    r#"form-data; name="a"; filename="#,
    r#"form-data; name="a"; filename = "b""#,
    "form-data; name=\"a\";\r\n filename=\"b\"",
    "form-data; name=\"a\"\r\n ; filename=\"b\"",
    r#"form-data; name="a"; filename="b;c=\"d\".txt""#,
    r#"form-data; name="a"; filename="b"#,
    r#"form-data; name="a"; filename="C:\b\c.txt""#,
    r#"form-data; name="a"; filename="日本.txt""#,
];

/// Other headers of a part, and how the head begins.
const HEADERS: &[(&str, &str)] = &[
    ("Content-Disposition: ", ""),
    ("content-disposition:", "\r\nContent-Type: text/plain; charset=iso-8859-1"),
    ("Content-Type: text/plain; CHARSET=\"ISO-8859-1\"\r\nContent-Disposition: ", ""),
    ("Content-Disposition : ", "\r\nContent-Type: text/plain; charset=us-ascii"),
    (" Content-Disposition: ", "\r\nContent-Type: text/plain; charset=koi8-r"),
    ("no colon\r\nContent-Disposition: ", "\r\nContent-Disposition: form-data; name=other"),
];

/// What is in a part, between its head and the next delimiter.
const CONTENTS: &[&[u8]] = &[
    b"\r\n1",
    b"\r\n",
    b"",
    b"\r\n\r\n",
    b"\r\n1\r\n2\n3\r",
    b"\r\n--Bar\r\n",
    b"\r\n1\r\n--Bar\r\n2",
    b"\r\n1\r\n--B x\r\n2",
    b"\r\n1--B\r\n2",
    b"\r\n1\r\n-- B\r\n2",
    b"\r\n\xc3\xbc\xff\xe9",
    b"\r\n1\r\n--B--x",
    b"\r\n1\r\n--B \t\r\nContent-Disposition: form-data; name=z\r\n\r\n2",
];

/// What is around the parts: the boundary in the `Content-Type`, before the first delimiter, after the
/// last one. `B` in the parts stands for the boundary.
const FRAMES: &[(&str, &str, &str, &str)] = &[
    ("B", "B", "", "\r\n"),
    ("\"B\"", "B", "", ""),
    ("B; charset=utf-8", "B", "preamble\r\n", "\r\nepilogue"),
    ("B", "B", "\r\n", "--B\r\n"),
    ("B", "B", "no line's end ", "\r\n--B--\r\n"),
    ("\"B'()+_,-./:=? x\"", "B'()+_,-./:=? x", "", "\r\n"),
    ("LONG", "LONG", "", "\r\n"),
];

/// A `Content-Type` and a body.
type Case = (String, Vec<u8>);

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|it| it == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// A form with one part of these, and one more behind it.
fn form(disposition: &str, (before, after): (&str, &str), content: &[u8], frame: usize) -> Case {
    let (parameter, boundary, start, end) = FRAMES[frame];
    let long = "0123456789".repeat(8);
    let [parameter, boundary] = [parameter, boundary].map(|it| it.replace("LONG", &long));
    let mut body = format!("{start}--B\r\n{before}{disposition}{after}\r\n").into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--B\r\nContent-Disposition: form-data; name=\"last\"\r\n\r\nx");
    body.extend_from_slice(format!("\r\n--B--{end}").as_bytes());
    let body = replaced(&body, b"--B", format!("--{boundary}").as_bytes());
    (format!("multipart/form-data; boundary={parameter}"), body)
}

fn cases() -> Vec<Case> {
    let (plain, first) = (DISPOSITIONS[0], HEADERS[0]);
    let mut cases: Vec<Case> = Vec::new();
    for disposition in DISPOSITIONS {
        cases.extend(HEADERS.iter().map(|headers| form(disposition, *headers, CONTENTS[0], 0)));
    }
    for content in CONTENTS {
        cases.extend(HEADERS.iter().map(|headers| form(plain, *headers, content, 0)));
        cases.extend((0..FRAMES.len()).map(|frame| form(plain, first, content, frame)));
        cases.push(form(r#"form-data; name="a"; filename="b""#, first, content, 0));
    }
    // The same with other line's ends.
    let others = cases.iter().flat_map(|(content_type, body)| {
        [&b"\n"[..], b"\r"].map(|end| (content_type.clone(), replaced(body, b"\r\n", end)))
    });
    let others: Vec<Case> = others.collect();
    cases.extend(others);
    // The same, cut off, and what is no form at all.
    let (content_type, whole) = form(plain, first, CONTENTS[4], 0);
    cases.extend((0..whole.len()).map(|cut| (content_type.clone(), whole[..cut].to_vec())));
    for body in [
        "--B--",
        "--B--\r\n",
        "\r\n--B--",
        "--B",
        "x",
        "--B\r\n\r\n1\r\n--B--",
        "--B\r\n\r\n\r\n--B--",
    ] {
        cases.push((content_type.clone(), body.into()));
    }
    for parameter in ["", "; boundary", "; boundary=", "; boundary=\"\"", "; boundary=\"B", "; x=y"]
    {
        cases.push((format!("multipart/form-data{parameter}"), whole.clone()));
    }
    cases
}

fn ask(port: u16, path: &str, (content_type, body): &Case) -> (u16, String) {
    let mut client = Client::connect(port);
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(body);
    let reply = client.reply();
    (reply.status, reply.body)
}

#[test]
fn both_servers_read_multipart_forms_as_flask_does() {
    needs!("python3 flask");
    let flask =
        Server::start(Command::new("python3").args(["tests/it/interop/flask_api.py", "HTTP/1.1"]));
    let ours = both(|_| {});
    let (mut differences, mut read) = (Vec::new(), 0);
    let cases = cases();
    for case in &cases {
        let (status, text) = ask(flask.port, "/strict", case);
        let expected: Option<Value> = (status == 200).then(|| serde_json::from_str(&text).unwrap());
        read += usize::from(expected.is_some());
        for server in &ours {
            let (status, text) = ask(server.port, "/api", case);
            let fields: Value = serde_json::from_str(&text).unwrap();
            // Without a body there is nothing to be wrong.
            let is_same = match &expected {
                Some(expected) => status == 200 && fields == *expected,
                None if case.1.is_empty() => status == 200 && fields == json!({}),
                None => status == 400 && fields["detail"].is_string(),
            };
            if !is_same {
                let body = String::from_utf8_lossy(&case.1).into_owned();
                differences.push((case.0.clone(), body, expected.clone(), status, text));
            }
        }
    }
    assert!(differences.is_empty(), "{} of {}: {differences:#?}", differences.len(), cases.len());
    assert!(cases.len() > 1000 && read > cases.len() / 2, "{read} of {}", cases.len());
}
