//! One server with two ports: what holds for the clients of one holds for all together.

use std::{sync::mpsc::channel, thread};

use smol::channel::Sender;
use smolring::{
    http::{Bound, Options},
    services::{hello, raw_api},
};

use crate::served::{Client, PATIENCE, quiet};

/// What ends a server, the ports that it has, and how it ended.
struct TwoPorts {
    reasons: Sender<&'static str>,
    ports: [u16; 2],
    end: std::sync::mpsc::Receiver<bool>,
}

/// On tide, or without it.
fn start(options: Options, is_raw: bool) -> TwoPorts {
    let bound = Bound::new(options).and_then(|bound| bound.also(0)).unwrap();
    let ports = [bound.addresses()[0].port(), bound.addresses()[1].port()];
    assert_eq!(bound.address().port(), ports[0]);
    let (reasons, stream) = smol::channel::unbounded();
    let (ended, end) = channel();
    thread::spawn(move || {
        let served = match is_raw {
            true => raw_api::serve(bound, raw_api::routes(), "", Box::pin(stream)),
            false => bound.serve(hello::app(), "", Box::pin(stream)),
        };
        ended.send(served.is_ok())
    });
    TwoPorts { reasons, ports, end }
}

fn path(is_raw: bool) -> &'static str {
    if is_raw { "/api" } else { "/" }
}

#[test]
fn both_ports_answer_on_every_thread() {
    for is_raw in [false, true] {
        let server = start(Options { threads: 2, ..quiet() }, is_raw);
        for port in server.ports.repeat(4) {
            let mut client = Client::connect(port);
            assert_eq!(client.get(path(is_raw)).status, 200);
            assert_eq!(client.get(path(is_raw)).status, 200);
        }
    }
}

#[test]
fn the_number_of_connections_is_bound_for_both_ports_together() {
    for is_raw in [false, true] {
        let server = start(Options { connections_max: 1, ..quiet() }, is_raw);
        let [first, second] = server.ports;
        let mut one = Client::connect(first);
        assert_eq!(one.get(path(is_raw)).status, 200);
        // There is room for it when the first, which is idle, has been closed; and so on.
        let mut other = Client::connect(second);
        assert_eq!(other.get(path(is_raw)).status, 200);
        assert_eq!(one.rest(), "", "it gave way");
        let mut third = Client::connect(first);
        assert_eq!(third.get(path(is_raw)).status, 200);
        assert_eq!(other.rest(), "", "it gave way");
    }
}

#[test]
fn a_shutdown_answers_the_clients_of_both_ports() {
    for is_raw in [false, true] {
        let server = start(Options { connections_max: 2, ..quiet() }, is_raw);
        let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path(is_raw));
        let (begin, rest) = request.split_at(request.len() - 2);
        let mut clients = server.ports.map(|port| {
            let mut client = Client::connect(port);
            assert_eq!(client.get(path(is_raw)).status, 200);
            client.send(begin);
            client
        });
        // There is no room for these now; but clients that are in the queue of a port when the
        // signal comes are served.
        let mut late = server.ports.map(Client::connect);
        server.reasons.try_send("a test").unwrap();
        for client in &mut clients {
            client.send(rest);
            let reply = client.reply();
            assert_eq!(reply.status, 200);
        }
        for client in &mut late {
            assert_eq!(client.get(path(is_raw)).status, 200);
        }
        drop((clients, late));
        assert!(server.end.recv_timeout(PATIENCE).unwrap(), "it ends in good order");
        for port in server.ports {
            assert!(Client::try_connect(port).is_err(), "nobody listens at {port}");
        }
    }
}
