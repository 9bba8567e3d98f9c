//! `raw-api-server` with other functions in its table of routes, and the bound of all bodies together.

use smolring::services::{
    form::Reply,
    raw_api::{Request, Routes},
};

use crate::{
    api::both,
    served::{Client, Served, quiet},
};

fn text(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply { status, content_type: "text/plain", body: body.into(), cause: None }
}

fn length(request: &Request) -> Reply {
    text(200, request.body.len().to_string())
}

fn bad(_: &Request) -> Reply {
    panic!("on purpose")
}

fn routes() -> Routes {
    Routes::new().route("GET", "/bad", bad).route("PUT", "/put", length).route("GET", "/", length)
}

#[test]
fn a_panic_is_answered_500_and_the_connection_lives() {
    let served = Served::start_raw(quiet(), routes());
    let mut client = served.client();
    for _ in 0..3 {
        // One after the other on one connection, and the second of two in one piece.
        client.send("GET /bad HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let reply = client.reply();
        assert_eq!((reply.status, reply.body.as_str()), (500, "Internal Server Error"));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(!reply.closes());
        assert_eq!(client.reply().body, "0");
    }
    client.send("HEAD /bad HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.reply_to_head().status, 500);
    assert_eq!(Client::connect(served.port).get("/").status, 200);
}

#[test]
fn each_path_has_its_methods() {
    let served = Served::start_raw(quiet(), routes());
    let mut client = served.client();
    for (line, status, allow) in [
        ("PUT /put", 200, None),
        ("GET /put", 405, Some("PUT")),
        ("HEAD /", 200, None),
        ("POST /", 405, Some("GET, HEAD")),
        ("GET /x", 404, None),
    ] {
        client.send(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let reply = client.try_reply(!line.starts_with("HEAD")).unwrap();
        assert_eq!((reply.status, reply.header("allow")), (status, allow), "{line}");
    }
}

#[test]
fn bodies_of_many_clients_together_are_bounded() {
    const BODY: usize = 60 << 20;
    for served in both(|options| options.body_bytes_max = BODY) {
        let head = format!(
            "POST /api HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {BODY}\r\n\r\n"
        );
        let most = vec![b'&'; BODY - 1];
        let mut clients: Vec<Client> = (0..3).map(|_| served.client()).collect();
        for client in &mut clients {
            client.send(&head);
            client.send(&most);
        }
        let refused = clients[2].rest();
        assert!(refused.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{refused}");
        assert!(refused.contains(r#""detail":"the server holds too many bytes"#), "{refused}");
        clients.truncate(1);
        clients[0].send("&");
        assert_eq!(clients[0].reply().body, "{}");
        // There is room again.
        let mut client = served.client();
        client.send(&head);
        client.send(&most);
        client.send("&");
        assert_eq!(client.reply().status, 200);
    }
}
