//! Clients: each asks some node for something, waits for the answer, thinks, and asks again.

use smolring::ring::{
    RequestId,
    codec::{Decoder, Encode},
    message::{Answer, Message},
    name::Name,
};

use super::scene::{Event, Sim};
use crate::world::{Arrival, Micros, World, ms};

/// A client has one request at a time.
#[derive(Default)]
pub struct Client {
    waits_for: Option<RequestId>,
    has_ended: bool,
}

/// What was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// The content of PUT number `put`.
    Put {
        name: Name,
        put: u64,
    },
    Get {
        name: Name,
    },
    /// One version of it.
    GetOld {
        name: Name,
    },
    Delete {
        name: Name,
    },
    Log {
        name: Name,
    },
    List,
    Other,
}

/// The n-th name that clients use. Some are awkward on purpose.
pub fn name(n: usize) -> Name {
    let names = ["index.html", "img/a b.png", "grüße.txt", "100%", "a/b/c", "z=1"];
    Name::new(names[n % names.len()]).expect("these are names")
}

/// A name that no client puts: a node asked for it asks the whole ring.
fn name_of_nothing() -> Name {
    Name::new("nothing").expect("this is a name")
}

/// Content that has the number of its PUT.
pub fn content(put: u64, bytes: usize) -> Vec<u8> {
    let mut content = format!("put {put} ").into_bytes();
    while content.len() < bytes {
        content.push(b'a' + (content.len() % 26) as u8);
    }
    content
}

/// The PUT that this content came with.
pub fn put_of(content: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(content).ok()?;
    let (number, filling) = text.strip_prefix("put ")?.split_once(' ')?;
    let put = number.parse().ok()?;
    (self::content(put, content.len()).ends_with(filling.as_bytes())).then_some(put)
}

impl World<Sim> {
    /// A client without an open request sends one.
    pub fn turn(&mut self, client: usize) {
        if self.scene.clients[client].waits_for.is_some() || self.scene.clients[client].has_ended {
            return;
        }
        let live: Vec<_> = (0..self.hosts.len()).filter(|&i| self.hosts[i].is_up()).collect();
        let Some(host) = self.time.rng.pick_any(&live) else {
            return self.plan_after(ms(100), Event::Turn { client });
        };
        let name = name(self.time.rng.index(self.scene.plan.names));
        let wish = match self.time.rng.range(0, 100) {
            0..36 => Wish::Put { put: self.scene.checker.next_put(&name), name },
            36..44 => Wish::Delete { name },
            44..80 => Wish::Get { name },
            80..85 => Wish::Get { name: name_of_nothing() },
            85..93 => Wish::List,
            93..96 => Wish::Log { name },
            _ => Wish::Other,
        };
        let id = self.ask(host, wish, Some(client));
        self.scene.clients[client].waits_for = Some(id);
    }

    /// Sends a request to a host, and notes what its answer may be.
    pub fn ask(&mut self, host: usize, wish: Wish, client: Option<usize>) -> RequestId {
        let mut bytes = match &wish {
            Wish::Put { name, put } => {
                let size = match self.time.rng.range(0, 20) {
                    0 if self.time.rng.chance(40) => {
                        self.time.rng.range(0, self.scene.plan.file_bytes_max as u64 - 32) as usize
                    }
                    _ => self.time.rng.range(0, 200) as usize,
                };
                let content = content(*put, size);
                let line = format!("PUT {} len={}\r\n", name.wire(), content.len());
                [line.into_bytes(), content].concat()
            }
            Wish::GetOld { .. } => unreachable!("only scripts ask for that"),
            Wish::Get { name } => format!("GET {}\n", name.wire()).into_bytes(),
            Wish::Delete { name } => format!("DELETE {}\n", name.wire()).into_bytes(),
            Wish::Log { name } => format!("LOG {}\n", name.wire()).into_bytes(),
            Wish::List => b"LIST\n".to_vec(),
            Wish::Other => self.time.rng.pick(&["INFO\n", "RING\n", "PING\n"]).into(),
        };
        let life = self.hosts[host].life;
        let id = self.scene.checker.asked(self.time.now, &self.hosts, host, client, wish.clone());
        self.tell(Some(host), || format!("<- request {} {wish:?}", id.0));
        // Pieces must work as well as all at once.
        let rest = bytes.split_off(self.time.rng.index(bytes.len()));
        let mut decoder = Decoder::new(self.scene.plan.file_bytes_max);
        let (taken, nothing) = decoder.decode(&bytes);
        assert_eq!(nothing, None, "half a request is a request");
        bytes.drain(..taken);
        bytes.extend(rest);
        let (_, message) = decoder.decode(&bytes);
        let Some(Ok(Message::Request(request))) = message else {
            panic!("a request does not decode: {message:?}")
        };
        let delay = self.time.rng.range(0, ms(2));
        let arrival = Arrival::Request { id, request };
        self.plan_after(delay, Event::Ask { host, life, arrival });
        id
    }

    /// A node has answered.
    pub fn answered(&mut self, host: usize, id: RequestId, answer: &Answer) {
        let mut line = Vec::new();
        let _ = answer.encode(&mut line);
        self.tell(Some(host), || {
            let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
            format!("-> answer {} {}", id.0, String::from_utf8_lossy(line))
        });
        let client = self.scene.checker.answered(self.time.now, host, id, answer, &self.hosts);
        self.free(client);
    }

    /// The requests of this life of a host will never be answered.
    pub fn clients_lost(&mut self, host: usize, life: u32) {
        for client in self.scene.checker.host_lost(host, life) {
            self.free(Some(client));
        }
    }

    /// A request did not reach the life that it was meant for.
    pub fn request_lost(&mut self, id: RequestId) {
        let client = self.scene.checker.request_lost(id);
        self.free(client);
    }

    fn free(&mut self, client: Option<usize>) {
        let Some(client) = client else { return };
        self.scene.clients[client].waits_for = None;
        let thinking: Micros = self.time.rng.range(0, self.scene.plan.thinking);
        self.plan_after(thinking, Event::Turn { client });
    }

    /// No client asks anything from now on.
    pub fn end_clients(&mut self) {
        for client in &mut self.scene.clients {
            client.has_ended = true;
        }
    }

    pub fn ask_last_put(&mut self, host: usize) {
        let name = name(host % self.scene.plan.names);
        let put = self.scene.checker.next_put(&name);
        let id = self.ask(host, Wish::Put { name, put }, None);
        self.scene.checker.last_requests.push(id);
    }

    pub fn ask_last_gets(&mut self, host: usize) {
        for n in 0..self.scene.plan.names {
            let id = self.ask(host, Wish::Get { name: name(n) }, None);
            self.scene.checker.last_requests.push(id);
        }
    }
}
