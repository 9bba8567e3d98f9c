//! Messages as they go over the wire.

use smolring::ring::{
    codec::Encode,
    message::{Condition, Envelope, Message, PullOf, Request},
    name::encode as encode_name,
};

/// A message as it goes over the wire.
pub fn encode(message: &Message) -> Vec<u8> {
    match message {
        Message::Request(request) => encode_request(request),
        Message::Peer(peer) => encode_peer(peer),
    }
}

/// The same for a message between nodes.
pub fn encode_peer(message: &Envelope) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(content) = message.encode(&mut bytes) {
        bytes.extend_from_slice(content);
    }
    bytes
}

/// The first line of what goes over the wire.
pub fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

fn encode_condition(condition: &Option<Condition>) -> String {
    match condition {
        None => String::new(),
        Some(Condition::Absent) => " if-version=none".into(),
        Some(Condition::Newest(version)) => format!(" if-version={version}"),
    }
}

fn encode_request(request: &Request) -> Vec<u8> {
    let line = match request {
        Request::Put { name, content, only_if } => {
            format!("PUT {} len={}{}\n", name.wire(), content.len(), encode_condition(only_if))
        }
        Request::Get { name, version: None } => format!("GET {}\n", name.wire()),
        Request::Get { name, version: Some(version) } => {
            format!("GET {} version={version}\n", name.wire())
        }
        Request::Pull { name, of: PullOf::Version(version), from } => {
            format!("PULL {} version={version} from={from}\n", name.wire())
        }
        Request::Pull { name, of: PullOf::Offer(op), from } => {
            format!("PULL {} offer={op} from={from}\n", name.wire())
        }
        Request::Delete { name, only_if } => {
            format!("DELETE {}{}\n", name.wire(), encode_condition(only_if))
        }
        Request::Trace { version: None } => "TRACE\n".into(),
        Request::Trace { version: Some(version) } => format!("TRACE version={version}\n"),
        Request::Log { name } => format!("LOG {}\n", name.wire()),
        Request::List { prefix, after, limit, hashes } => {
            let (prefix, after) = (encode_name(prefix), encode_name(after));
            let hashes = if *hashes { " hashes=1" } else { "" };
            format!("LIST prefix={prefix} after={after} limit={limit}{hashes}\n")
        }
        Request::Ring => "RING\n".into(),
        Request::Ping => "PING\n".into(),
        Request::Info => "INFO\n".into(),
        Request::Forget { address } => format!("FORGET {address}\n"),
        Request::Quit => "QUIT\n".into(),
    };
    let mut bytes = line.into_bytes();
    if let Request::Put { content, .. } = request {
        bytes.extend_from_slice(content);
    }
    bytes
}
