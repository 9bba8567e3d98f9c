//! The protocols that are text with lengths in it: ours, and those of Redis, memcached and NATS.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{CONTENT, CONTENT_BYTES, Job, Outcome, fill, is_content, name};

#[derive(Clone, Copy, PartialEq)]
pub enum Protocol {
    Ring,
    Redis,
    Memcached,
    Nats,
}

use Protocol::*;

/// What an answer has to say.
#[derive(Clone, Copy)]
enum Wanted {
    Put,
    Synced,
    Content(usize),
}

impl Protocol {
    pub fn of(word: &str) -> Option<Protocol> {
        Some(match word {
            "ring" => Ring,
            "redis" => Redis,
            "memcached" => Memcached,
            "nats" => Nats,
            _ => return None,
        })
    }

    /// `acks` is where NATS sends the answers of this client.
    fn put(self, out: &mut Vec<u8>, name: &str, content: &[u8], acks: &str) {
        let length = content.len();
        let (name_length, end) = (name.len(), if self == Ring { "" } else { "\r\n" });
        let _ = match self {
            Ring => writeln!(out, "PUT {name} len={length}"),
            Redis => {
                write!(out, "*3\r\n$3\r\nSET\r\n${name_length}\r\n{name}\r\n${length}\r\n")
            }
            Memcached => write!(out, "set {name} 0 0 {length}\r\n"),
            Nats => write!(out, "PUB $KV.bench.{name} {acks} {length}\r\n"),
        };
        out.extend_from_slice(content);
        out.extend_from_slice(end.as_bytes());
    }

    /// Redis says only behind its writes whether its replicas have them.
    fn behind_puts(self) -> Option<&'static [u8]> {
        (self == Redis).then_some(b"*3\r\n$4\r\nWAIT\r\n$1\r\n2\r\n$1\r\n0\r\n")
    }

    fn get(self, out: &mut Vec<u8>, name: &str) {
        let _ = match self {
            Ring => writeln!(out, "GET {name}"),
            Redis => write!(out, "*2\r\n$3\r\nGET\r\n${}\r\n{name}\r\n", name.len()),
            Memcached => write!(out, "get {name}\r\n"),
            Nats => panic!("NATS is only asked to put"),
        };
    }

    /// How many bytes an answer has, if all are there.
    fn length(self, got: &[u8], wanted: Wanted) -> Outcome<Option<usize>> {
        let Some(end) = got.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
        let line = str::from_utf8(&got[..end])?;
        // The head of a content is a line, and some bytes follow it.
        let (is_right, tail) = match (self, wanted) {
            (Ring, Wanted::Put) => (line.starts_with("200 OK") && line.ends_with(" copies=3"), ""),
            (Ring, Wanted::Content(_)) => (line.starts_with("200 OK len=1024 "), ""),
            (Redis, Wanted::Put) => (line == "+OK\r", ""),
            (Redis, Wanted::Synced) => (line == ":2\r", ""),
            (Redis, Wanted::Content(_)) => (line == "$1024\r", "\r\n"),
            (Memcached, Wanted::Put) => (line == "STORED\r", ""),
            (Memcached, Wanted::Content(number)) => {
                (line == format!("VALUE {} 0 1024\r", name(number)), "\r\nEND\r\n")
            }
            (Nats, Wanted::Put) => return ack_length(got, line),
            _ => (false, ""),
        };
        let end = end + 1;
        match wanted {
            _ if !is_right => Err(format!("a wrong answer: {line}").into()),
            Wanted::Put | Wanted::Synced => Ok(Some(end)),
            Wanted::Content(number) => {
                let Some(it) = got.get(end..end + CONTENT_BYTES + tail.len()) else {
                    return Ok(None);
                };
                let (content, rest) = it.split_at(CONTENT_BYTES);
                if !is_content(content, number) || rest != tail.as_bytes() {
                    return Err(format!("a wrong content after {line}").into());
                }
                Ok(Some(end + it.len()))
            }
        }
    }
}

/// `MSG ACKS 1 LENGTH`, and JSON with the number of what was put.
fn ack_length(got: &[u8], line: &str) -> Outcome<Option<usize>> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let ["MSG", _, "1", length] = words[..] else {
        return Err(format!("a wrong answer: {line}").into());
    };
    let end = line.len() + 1 + length.parse::<usize>()?;
    let Some(said) = got.get(line.len() + 1..end) else { return Ok(None) };
    let said = str::from_utf8(said)?;
    if !said.starts_with("{\"stream\":\"KV_bench\",") || !said.contains("\"seq\":") {
        return Err(format!("a wrong answer: {said}").into());
    }
    Ok((got.len() >= end + 2).then_some(end + 2))
}

struct Connection {
    protocol: Protocol,
    stream: TcpStream,
    got: BytesMut,
}

impl Connection {
    async fn new(protocol: Protocol, port: u16) -> Outcome<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { protocol, stream, got: BytesMut::with_capacity(64 * 1024) })
    }

    async fn take(&mut self, wanted: Wanted) -> Outcome<()> {
        loop {
            if self.protocol == Nats {
                self.chat().await?;
            }
            if let Some(length) = self.protocol.length(&self.got, wanted)? {
                self.got.advance(length);
                return Ok(());
            }
            self.got.reserve(16 * 1024);
            if self.stream.read_buf(&mut self.got).await? == 0 {
                return Err("the server closed a connection".into());
            }
        }
    }

    /// What a NATS server says between its answers.
    async fn chat(&mut self) -> Outcome<()> {
        while self.got.starts_with(b"INFO") || self.got.starts_with(b"PING") {
            let Some(end) = self.got.iter().position(|&byte| byte == b'\n') else { break };
            if self.got.starts_with(b"PING") {
                self.stream.write_all(b"PONG\r\n").await?;
            }
            self.got.advance(end + 1);
        }
        Ok(())
    }
}

pub async fn client(
    protocol: Protocol,
    job: &Job,
    client: usize,
) -> Outcome<(usize, Vec<Duration>)> {
    let mut connection = Connection::new(protocol, job.port).await?;
    let acks = format!("acks.{}.{client}", std::process::id());
    if protocol == Nats {
        let hello = format!("CONNECT {{\"verbose\":false}}\r\nSUB {acks} 1\r\n");
        connection.stream.write_all(hello.as_bytes()).await?;
    }
    let (mut content, mut out, mut wanted) = (CONTENT, Vec::new(), Vec::new());
    let mut turn = job.start(client).await;
    while turn.goes_on() {
        out.clear();
        wanted.clear();
        for _ in 0..job.pipeline {
            let number = turn.next_name();
            if job.is_put {
                fill(&mut content, number, turn.count);
                protocol.put(&mut out, &name(number), &content, &acks);
                wanted.push(Wanted::Put);
            } else {
                protocol.get(&mut out, &name(number));
                wanted.push(Wanted::Content(number));
            }
        }
        if let (true, Some(it)) = (job.is_put, protocol.behind_puts()) {
            out.extend_from_slice(it);
            wanted.push(Wanted::Synced);
        }
        let asked = Instant::now();
        connection.stream.write_all(&out).await?;
        for &it in &wanted {
            connection.take(it).await?;
        }
        turn.answered(asked);
    }
    Ok(turn.end())
}

/// One file, to our nodes or to a chain.
pub async fn put_file(port: u16, bytes: usize) -> Outcome<()> {
    let mut connection = Connection::new(Ring, port).await?;
    let mut piece = Vec::new();
    while piece.len() < 1 << 20 {
        let mut content = CONTENT;
        fill(&mut content, piece.len(), bytes);
        piece.extend_from_slice(&content);
    }
    connection.stream.write_all(format!("PUT bench/file len={bytes}\n").as_bytes()).await?;
    let mut left = bytes;
    while left > 0 {
        let count = left.min(piece.len());
        connection.stream.write_all(&piece[..count]).await?;
        left -= count;
    }
    connection.take(Wanted::Put).await
}
