//! A client of the facade that remembers what it was told about each message.

use serde_json::{Value, json};

use crate::served::{Client, Reply};

/// The causes that may be given for a logging service that is killed and loses its answers.
const CAUSES: &[&str] = &[
    "bad answer: closed half way",
    "connection lost",
    "connection refused",
    // It was killed before it took a connection that the system had made already.
    "host unreachable",
    "timed out after",
];

/// One connection for all requests.
pub struct Sender {
    client: Client,
    path: &'static str,
}

/// What the facade says about a message.
#[derive(Debug)]
pub struct Answer {
    /// The `message_id`.
    pub id: String,
    /// `None`: the message is kept. Else why it may not be.
    pub failure: Option<String>,
}

impl Sender {
    pub fn connect(port: u16, path: &'static str) -> Self {
        Self { client: Client::connect(port), path }
    }

    /// Posts a message, with an id that it has already if it has one. The answer is that it is
    /// kept, or that logging is not available and why.
    pub fn post(&mut self, id: Option<&str>, msg: &str) -> Answer {
        let body = json!({ "msg": msg }).to_string();
        let (path, bytes) = (self.path, body.len());
        let key = id.map(|id| format!("Idempotency-Key: {id}\r\n")).unwrap_or_default();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n{key}");
        self.client.send(format!("{head}\r\n{body}"));
        let reply = self.client.reply();
        assert!(!reply.closes(), "{reply:?}");
        let answer = read(&reply, msg);
        assert!(id.is_none_or(|id| id == answer.id), "{answer:?} is not of {id:?}");
        answer
    }
}

fn read(reply: &Reply, msg: &str) -> Answer {
    let content_type = match reply.status {
        200 => "application/json",
        _ => "application/problem+json",
    };
    assert_eq!(reply.header("content-type"), Some(content_type), "{reply:?}");
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    let id = body["message_id"].as_str().unwrap_or_else(|| panic!("no id: {reply:?}")).to_owned();
    let failure = match reply.status {
        200 => {
            assert_eq!(body["message"], msg);
            None
        }
        503 => {
            let error = body["error"].as_str().unwrap();
            let cause = error.strip_prefix("logging unavailable: ").unwrap_or_default();
            assert!(CAUSES.iter().any(|it| cause.starts_with(it)), "{error}");
            assert!(error.contains("Idempotency-Key") && reply.header("retry-after") == Some("1"));
            Some(error.to_owned())
        }
        _ => panic!("{msg}: {reply:?}"),
    };
    Answer { id, failure }
}
