//! A logging service inside the test: it keeps each message once, and fails as it is told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::outgoing::scripted::{Request, Scripted, Visitor};

/// What it does with a message.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    /// Keeps it and answers that it did.
    Good,
    /// Keeps it and answers as a service that does not know outcomes.
    Plain,
    /// Keeps it and closes the connection without an answer.
    Lose,
    /// Keeps it and sends nothing, until the client goes.
    Hang,
    /// Keeps it and answers with headers that are folded, and not ASCII.
    Odd,
    /// Does not keep it, and answers this: a status, maybe with headers behind it, and a body.
    Say(&'static str, &'static str),
}

pub struct Logging {
    server: Scripted,
    kept: Arc<Mutex<Vec<(String, String)>>>,
}

impl Logging {
    /// One that treats its messages in these ways, one after another, and then well.
    pub fn new(moods: &[Mood]) -> Self {
        Self::at("127.0.0.1:0", moods)
    }

    pub fn at(address: &str, moods: &[Mood]) -> Self {
        let kept = Arc::default();
        let moods = Mutex::new(VecDeque::from(moods.to_vec()));
        let messages = Arc::clone(&kept);
        let server = Scripted::at(address, move |_, visitor| {
            while let Some(request) = visitor.request() {
                if request.head.starts_with("GET /logs HTTP/1.1\r\n") {
                    let texts: Vec<String> = of(&messages).into_iter().map(|it| it.1).collect();
                    visitor.say(answer("200 OK", &json!(texts).to_string()));
                    continue;
                }
                assert!(request.head.starts_with("POST /log HTTP/1.1\r\n"), "{}", request.head);
                let mood = moods.lock().unwrap().pop_front().unwrap_or(Mood::Good);
                if !take(&messages, &request, mood, visitor) {
                    return;
                }
            }
        });
        Self { server, kept }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Ids and messages, in order.
    pub fn kept(&self) -> Vec<(String, String)> {
        of(&self.kept)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// The ids of all messages that came, also of those that came again.
    pub fn ids(&self) -> Vec<String> {
        let posts = self.requests().into_iter().filter(|it| it.head.starts_with("POST"));
        posts.map(|it| read(&it).0).collect()
    }
}

/// An answer with a body in JSON.
pub fn answer(status: &str, body: &str) -> String {
    let bytes = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n{body}"
    )
}

fn of(kept: &Mutex<Vec<(String, String)>>) -> Vec<(String, String)> {
    kept.lock().unwrap().clone()
}

fn read(request: &Request) -> (String, String) {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("id"), text("msg"))
}

/// Returns whether the connection goes on.
fn take(
    kept: &Mutex<Vec<(String, String)>>,
    request: &Request,
    mood: Mood,
    visitor: &mut Visitor,
) -> bool {
    if let Mood::Say(status, body) = mood {
        visitor.say(answer(status, body));
        return true;
    }
    let (id, msg) = read(request);
    let mut kept = kept.lock().unwrap();
    let outcome = match kept.iter().find(|(other, _)| *other == id) {
        None => "logged",
        Some((_, other)) if *other == msg => "duplicate",
        Some(_) => "conflict",
    };
    if outcome == "logged" {
        kept.push((id, msg));
    }
    drop(kept);
    match mood {
        Mood::Plain => visitor.say(answer("200 OK", r#"{"detail":"logged"}"#)),
        Mood::Odd => {
            let body = r#"{"detail":"logged"}"#;
            let head =
                format!("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: {}\r\n", body.len() + 3);
            visitor.say(
                [head.as_bytes(), b"City: S\xe3o\r\n\r\n\xef\xbb\xbf", body.as_bytes()].concat(),
            );
        }
        Mood::Lose => return false,
        Mood::Hang => return !visitor.sees_the_end(),
        _ => {
            let body = json!({ "detail": "logged", "outcome": outcome });
            visitor.say(answer("200 OK", &body.to_string()));
        }
    }
    true
}
