//! `messages-service` as a process.

use std::process::Command;

use crate::{
    served::Client,
    service::{MESSAGES, Service, curl},
};

#[test]
fn it_says_its_text() {
    needs!("curl");
    let messages = Service::start(MESSAGES, &["--quiet"]);
    assert_eq!(curl(&[&messages.url("/static")]), "not implemented yet");
    assert_eq!(curl(&[&messages.url("/message")]), "not implemented yet");
    assert_eq!(curl(&[&messages.url("/health")]), r#"{"status":"ok"}"#);
    let reply = messages.get("/static");
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    let mut client = Client::connect(messages.port);
    client.send("HEAD /static HTTP/1.1\r\nHost: x\r\n\r\n");
    let reply = client.reply_to_head();
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("19")));
    assert!(client.get("/").body.starts_with("messages-service: says one text"));
    client.send("DELETE /static HTTP/1.1\r\nHost: x\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn the_text_can_be_chosen() {
    needs!("curl");
    let messages = Service::start(MESSAGES, &["--quiet", "--text", "до 🎉"]);
    assert_eq!(curl(&[&messages.url("/static")]), "до 🎉");
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
    let command =
        command.args(["messages-service", "--port", "0"]).env("SMOLRING_TEXT", "from outside");
    let messages = Service::of(command).unwrap();
    assert_eq!(messages.get("/message").body, "from outside");
    let help = String::from_utf8(Command::new(MESSAGES).arg("--help").output().unwrap().stdout);
    let help = help.unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["default 8002 (PORT)", "not implemented yet (SMOLRING_TEXT)", "curl "] {
        assert!(help.contains(part), "{help}");
    }
}
