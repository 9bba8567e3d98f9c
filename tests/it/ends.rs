//! How processes end: a second signal, a time of grace, and what the exit code says.

use std::{process::Command, time::Duration};

use rustix::process::Signal;

use crate::{
    cluster::{Process, own_ip, until},
    hello::Hello,
    served::Client,
};

#[test]
fn an_answer_that_is_cut_off_is_an_exit_code_of_1() {
    let mut hello = Hello::start(&["--drain-timeout", "60s"]);
    let mut client = Client::connect(hello.port);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    assert!(client.is_silent(Duration::from_millis(50)));
    (0..2).for_each(|_| hello.signal(Signal::INT));
    assert!(hello.line().starts_with("Received SIGINT, "));
    client.send("12");
    // This makes the next signal one that comes later.
    assert!(client.is_silent(Duration::from_millis(1000)));
    hello.signal(Signal::TERM);
    let (rest, code) = hello.end();
    assert!(rest.starts_with("Received SIGTERM as well, ending at once\n"), "{rest}");
    assert!(rest.ends_with("Server closed; 1 connection was cut off\n"), "{rest}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_server_that_was_started_by_nohup_stays_when_its_terminal_closes() {
    let script = "trap '' HUP; exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    let mut hello = Hello::of(shell.args(["-c", script, crate::hello::BINARY, "--port", "0"]));
    hello.signal(Signal::HUP);
    let mut client = Client::connect(hello.port);
    assert!(client.is_silent(Duration::from_millis(100)));
    let reply = client.get("/");
    assert!(reply.status == 200 && !reply.closes(), "{reply:?}");
    hello.line();
    hello.signal(Signal::TERM);
    let (rest, code) = hello.end();
    assert!(rest.starts_with("Received SIGTERM, "), "{rest}");
    assert_eq!(code, Some(0));
}

#[test]
fn in_its_grace_a_node_serves_and_is_not_ready() {
    let start = |grace| Process::start(&["--ip", &own_ip(), "--port", "0", "--grace", grace], &[]);
    let mut node = start("10ms");
    node.address();
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    let mut node = start("1h");
    until("it is ready", || (node.client().ask("INFO").key("ready") == Some("1")).then_some(()));
    node.signal(Signal::TERM);
    node.wait_for("it says so", |line| {
        line.starts_with("received SIGTERM, leaving the ring in 3600s;")
    });
    until("it is not", || (node.client().ask("INFO").key("ready") == Some("0")).then_some(()));
    assert_eq!(node.client().put("late", b"one").status(), 200);
    node.kill();
}
