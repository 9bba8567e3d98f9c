//! Requests that come in two parts, cut at every byte, with a pause between them; then idleness,
//! then a shutdown. Whatever state a connection is in, it is answered correctly and closed
//! gracefully.

use std::{io::Read, time::Duration};

use smolring::http::Options;

use crate::served::{Client, PATIENCE, Served, eventually, quiet};

/// What is sent on one connection, and what is answered to each request in it.
struct Case {
    requests: &'static [(&'static str, u16, &'static str)],
    /// The server closes the connection after the last answer.
    closes: bool,
}

const CASES: &[Case] = &[
    Case { requests: &[("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n", 200, "fine")], closes: false },
    Case { requests: &[("HEAD /ok HTTP/1.1\r\nHost: x\r\n\r\n", 200, "")], closes: false },
    Case {
        requests: &[(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nGET\r\n\r\n12",
            200,
            "GET\r\n\r\n12",
        )],
        closes: false,
    },
    Case {
        requests: &[(
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            200,
            "abcde",
        )],
        closes: false,
    },
    Case {
        requests: &[(
            "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
            200,
            "hi",
        )],
        closes: false,
    },
    Case {
        requests: &[
            ("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n", 200, "fine"),
            ("GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 404, "Not Found"),
            ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nz", 200, "z"),
        ],
        closes: false,
    },
    Case { requests: &[("GET /ok HTTP/1.0\r\n\r\n", 200, "fine")], closes: true },
    Case {
        requests: &[("GET /ok HTTP/1.1\r\n\r\n", 400, "Bad Request: there is no Host header")],
        closes: true,
    },
    Case {
        requests: &[(
            "GET /ok HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n",
            400,
            "Bad Request: a header line has no colon",
        )],
        closes: true,
    },
];

impl Case {
    fn bytes(&self) -> String {
        self.requests.iter().map(|(bytes, ..)| *bytes).collect()
    }

    /// All ways to cut it: both parts have something in them.
    fn cuts(&self) -> impl Iterator<Item = (String, String)> + use<> {
        let bytes = self.bytes();
        (1..bytes.len()).map(move |at| (bytes[..at].to_owned(), bytes[at..].to_owned()))
    }

    /// Reads the answers to the first requests. Returns whether the last of them says that it is the
    /// connection's last.
    fn assert_answered(&self, requests: usize, client: &mut Client, cut: &str) -> bool {
        let mut closes = false;
        for (request, status, body) in &self.requests[..requests] {
            assert!(!closes, "{request:?} after {cut:?}: the answer before was the last");
            let reply = final_reply(client, !request.starts_with("HEAD"));
            assert_eq!((reply.status, &*reply.body), (*status, *body), "{request:?} after {cut:?}");
            closes = reply.closes();
        }
        closes
    }

    /// How many requests are whole in the first bytes.
    fn whole_in(&self, bytes: usize) -> usize {
        let ends = self.requests.iter().scan(0, |end, (request, ..)| {
            *end += request.len();
            Some(*end)
        });
        ends.take_while(|end| *end <= bytes).count()
    }

    /// Whether the first bytes end between two requests.
    fn is_between(&self, bytes: usize) -> bool {
        let whole = &self.requests[..self.whole_in(bytes)];
        whole.iter().map(|(request, ..)| request.len()).sum::<usize>() == bytes
    }
}

/// The next answer that is not `100 Continue`.
fn final_reply(client: &mut Client, has_body: bool) -> crate::served::Reply {
    loop {
        let reply = client.try_reply(has_body).unwrap();
        if reply.status != 100 {
            return reply;
        }
    }
}

fn start(options: Options) -> Served {
    let mut app = tide::new();
    app.at("/ok").get(|_| async { Ok("fine") }).head(|_| async { Ok("fine") });
    app.at("/echo").post(|mut request: tide::Request<()>| async move {
        Ok(tide::Body::from_bytes(request.body_bytes().await?))
    });
    Served::start(options, app)
}

/// Returns when the server has read what was sent before. It has one thread, which takes what comes
/// in its order: when this request has been answered, all that was sent before it has been read.
fn pause(other: &mut Client) {
    assert_eq!(other.get("/ok").status, 200);
}

/// Waits until the server takes no more connections: its shutdown has begun.
fn shut_down(server: &Served) {
    server.reasons.try_send("a test").unwrap();
    eventually("nobody listens", || Client::try_connect(server.port).is_err());
}

fn assert_ended(server: &Served) {
    assert!(server.end.recv_timeout(PATIENCE).unwrap().is_ok());
}

#[test]
fn a_request_in_two_parts_is_answered_and_leaves_the_connection_idle() {
    let server = start(quiet());
    let mut other = server.client();
    let mut idle = Vec::new();
    for case in CASES {
        for (first, second) in case.cuts() {
            let mut client = server.client();
            client.send(&first);
            pause(&mut other);
            client.send(&second);
            let closes = case.assert_answered(case.requests.len(), &mut client, &first);
            if case.closes {
                assert_eq!(client.rest(), "", "after {first:?}");
            } else {
                assert!(!closes, "after {first:?}");
                idle.push(client);
            }
        }
    }
    // Idle connections behave like new ones.
    for client in &mut idle {
        assert_eq!(client.get("/ok").body, "fine");
    }
    idle.push(other);
    shut_down(&server);
    for mut client in idle {
        assert_eq!(client.rest(), "");
    }
    assert_ended(&server);
}

#[test]
fn half_a_request_is_finished_in_a_shutdown() {
    let server = start(Options { drain_timeout: PATIENCE, ..quiet() });
    let mut halves = Vec::new();
    for case in CASES {
        // An idle connection has only a second in a shutdown.
        let cuts = case.cuts().filter(|(first, _)| !case.is_between(first.len()));
        for (first, second) in cuts {
            let mut client = server.client();
            client.send(&first);
            halves.push((case, client, first, second));
        }
    }
    let mut other = server.client();
    pause(&mut other);
    drop(other);
    shut_down(&server);
    for (case, client, first, second) in &mut halves {
        // A connection takes no other request in a shutdown: of several, those that were whole when
        // it began are answered, and the one that was not.
        client.send(&second);
        let closes = case.assert_answered(case.whole_in(first.len()) + 1, client, first);
        assert!(closes, "after {first:?}");
        assert_eq!(client.rest(), "", "after {first:?}");
    }
    assert_ended(&server);
}

#[test]
fn half_a_request_and_then_nothing_is_refused() {
    let short = Duration::from_secs(1);
    let server = start(Options {
        request_timeout: short,
        keep_alive: short,
        head_timeout: Some(short),
        body_timeout: Some(short),
        ..quiet()
    });
    let mut halves = Vec::new();
    for case in CASES {
        for (first, _) in case.cuts() {
            let mut client = server.client();
            client.send(&first);
            halves.push((case, client, first));
        }
    }
    for (case, mut client, first) in halves {
        let whole = case.whole_in(first.len());
        case.assert_answered(whole, &mut client, &first);
        let (_, status, _) = case.requests[whole];
        // This may be the beginning of HTTP/2: it is unknown what the client would understand.
        let may_be_h2 = first == "P";
        if !case.is_between(first.len()) && !may_be_h2 {
            let reply = final_reply(&mut client, true);
            // What is wrong may be seen before it is whole.
            let is_refused = reply.status == 408 || (reply.status == status && status == 400);
            assert!(is_refused && reply.closes(), "{first:?}: {reply:?}");
        }
        assert_eq!(client.rest(), "", "{first:?}");
    }
}

/// A frame of HTTP/2: its type, its flags, what is in it.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()[..]].concat();
    [&head, payload].concat()
}

#[test]
fn http2_in_two_parts_is_answered_and_ends_in_order() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    let server = start(quiet());
    let mut other = server.client();
    // GET, http, :path /ok and :authority x as literals.
    let head = b"\x82\x86\x04\x03/ok\x01\x01x";
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, b""),
        frame(HEADERS, 5, 1, head),
    ];
    let bytes = bytes.concat();
    let next = |client: &Client| {
        let mut head = [0; 9];
        client.stream().read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        client.stream().read_exact(&mut payload).ok()?;
        Some((head[3], payload))
    };
    let mut idle = Vec::new();
    for at in 1..bytes.len() {
        let mut client = server.client();
        client.send(&bytes[..at]);
        pause(&mut other);
        client.send(&bytes[at..]);
        let mut has_status = false;
        loop {
            match next(&client).expect("it is answered") {
                // The first is `:status 200`.
                (HEADERS, payload) => has_status = payload[0] == 0x88,
                (DATA, payload) if !payload.is_empty() => {
                    assert!(has_status && payload == b"fine", "cut at {at}");
                    break;
                }
                _ => {}
            }
        }
        idle.push(client);
    }
    drop(other);
    shut_down(&server);
    for client in idle {
        let mut has_gone_away = false;
        while let Some((kind, _)) = next(&client) {
            has_gone_away |= kind == GOAWAY;
        }
        assert!(has_gone_away);
    }
    assert_ended(&server);
}
