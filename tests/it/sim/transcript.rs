//! What is shown of a ring: its messages, with long words shortened and repetitions folded.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use smolring::ring::{
    Event,
    codec::Encode,
    coverage::Covers,
    message::{
        Answer, Body, Envelope, FileRow, Greeting, Item, Message, OpId, Peer, Request, Sync,
    },
    view::{MemberState, View},
};

/// Longer contents are not shown.
const QUOTED_BYTES_MAX: usize = 40;

#[derive(Default)]
pub struct Transcript {
    begin_us: u64,
    lines: Vec<Line>,
    /// CHECKs that brought a node news, and those that have come back.
    loud: BTreeSet<OpId>,
    closed: BTreeSet<OpId>,
    /// The CHECK whose circle the next line may close.
    closing: Option<OpId>,
    lines_before: usize,
    /// Long words that have short forms, by kind.
    shorts: BTreeMap<&'static str, Vec<String>>,
    lives: BTreeMap<SocketAddr, Vec<u64>>,
    /// Whether lists tell what each member brings, and what their sender covers.
    pub shows_brings: bool,
    /// Whether only what nodes tell their users is shown.
    pub is_quiet: bool,
}

struct Line {
    at_us: u64,
    text: String,
    /// The CHECK that it belongs to.
    op: Option<OpId>,
}

impl Transcript {
    /// Forgets what was noted so far; from now on counts the time.
    pub fn begin(&mut self, now_us: u64) {
        self.begin_us = now_us;
        self.lines.clear();
    }

    pub fn sends(
        &mut self,
        at_us: u64,
        (from, to): (usize, usize),
        is_first: bool,
        bytes: &[u8],
        message: &Message,
    ) {
        let arrow = if is_first { "=>" } else { "->" };
        let way = format!("{} {arrow} {}", letter(from), letter(to));
        self.message(at_us, &way, bytes, message);
    }

    pub fn closes(&mut self, at_us: u64, host: usize, to: usize) {
        self.line(at_us, format!("{} -| {}", letter(host), letter(to)));
    }

    /// A content travels on a connection of its own.
    pub fn pulls(&mut self, at_us: u64, host: usize, from: usize, what: &str) {
        self.line(at_us, format!("{}: {what} from {}", letter(host), letter(from)));
    }

    /// A connection that the other end has closed is not shown.
    pub fn loses_link(&mut self, at_us: u64, host: usize, to: usize, why: &str) {
        if !why.is_empty() {
            self.line(at_us, format!("{} -x {}  {why}", letter(host), letter(to)));
        }
    }

    pub fn leaves(&mut self, at_us: u64, host: usize) {
        self.line(at_us, format!("{}: has left, and ends", letter(host)));
    }

    /// A node is about to be given a message, which may be a CHECK.
    pub fn check_arrives(&mut self, op: Option<OpId>, to: usize) {
        self.closing = op.filter(|op| op.creator == address_of(letter(to)));
        self.lines_before = self.lines.len();
    }

    /// What followed has been noted. A CHECK that led to anything but CHECKs has brought news.
    pub fn check_has_arrived(&mut self, op: Option<OpId>, has_changed: bool) {
        let is_same = |line: &Line| line.op.is_some() && line.op == op;
        if has_changed || !self.lines[self.lines_before..].iter().all(is_same) {
            self.loud.extend(op);
        }
        self.closing = None;
    }

    pub fn line(&mut self, at_us: u64, text: String) {
        self.lines.push(Line { at_us, text, op: None });
    }

    pub fn event(&mut self, at_us: u64, host: usize, event: &Event) {
        let op = self.closing.filter(|_| matches!(event, Event::Circle { .. }));
        self.closed.extend(op);
        self.lines.push(Line {
            at_us,
            text: format!("{}: {}", letter(host), letters(&event.to_string())),
            op,
        });
    }

    pub fn message(&mut self, at_us: u64, way: &str, bytes: &[u8], message: &Message) {
        let peer = match message {
            Message::Peer(Envelope { message, .. }) => Some(message),
            Message::Request(_) => None,
        };
        let op = match peer {
            Some(Peer::Check(check)) => Some(check.op),
            Some(Peer::Checked { op, .. }) => Some(*op),
            _ => None,
        };
        let more = match peer {
            Some(Peer::Checked { view: Some(view), op }) => {
                self.loud.insert(*op);
                self.view(view, None)
            }
            Some(Peer::Meet(greeting)) => self.greeting(greeting),
            Some(Peer::Check(check)) => self.view(&check.view, Some(&check.covers)),
            Some(Peer::Sync(Sync::Listed { files, .. })) => {
                let row = |FileRow { name, version, bytes, .. }: &FileRow| {
                    let version = self.short("v", format!("{version}"));
                    let deleted = if bytes.is_none() { " (deleted)" } else { "" };
                    format!(" {}={version}{deleted}", name.wire())
                };
                files.iter().map(row).collect()
            }
            Some(peer) => {
                match peer.item().and_then(Item::body) {
                    // The content is not sent with it.
                    None | Some(Body::Apart { .. }) => String::new(),
                    Some(body) => quoted(body.content()),
                }
            }
            None => match message {
                Message::Request(Request::Put { content, .. }) => quoted(content.bytes()),
                _ => String::new(),
            },
        };
        let text = format!("{way}  {}{more}", self.head(bytes));
        self.lines.push(Line { at_us, text, op });
    }

    pub fn answer(&mut self, at_us: u64, host: usize, answer: &Answer) {
        let mut bytes = Vec::new();
        let content = answer.encode(&mut bytes).map_or(String::new(), |it| quoted(it.bytes()));
        let rows: String = match answer {
            Answer::Log { versions } => versions
                .iter()
                .map(|row| {
                    let version = self.short("v", row.version.to_string());
                    row.bytes.map_or(format!(" {version} (deleted)"), |len| {
                        format!(" {version} len={len}")
                    })
                })
                .collect(),
            _ => String::new(),
        };
        let text = format!("{} -> client  {}{content}{rows}", letter(host), self.head(&bytes));
        self.line(at_us, text);
    }

    /// The first line of a message, with short forms for long words.
    fn head(&mut self, bytes: &[u8]) -> String {
        let head = String::from_utf8_lossy(bytes.split(|&byte| byte == b'\n').next().unwrap());
        let counts_file =
            ["PUT", "200", "FORWARD", "SYNC ITEM"].iter().any(|it| head.starts_with(it));
        let digest = head.split(" digest=").nth(1).and_then(|rest| rest.split(' ').next());
        let word = |word: &str| match word.split_once('=') {
            // Both are equal where no name has older versions.
            Some(("history", history)) if Some(history) == digest => None,
            Some(("version", version)) => {
                Some(format!("version={}", self.short("v", version.into())))
            }
            Some(("view", circle)) => Some(format!("view={}", self.short("c", circle.into()))),
            Some((key @ ("digest" | "history"), digest)) => Some(format!(
                "{key}={}",
                match digest.bytes().all(|it| it == b'0') {
                    true => "d0".into(),
                    false => self.short("d", digest.into()),
                }
            )),
            Some((key @ ("newest" | "instead" | "wanted" | "if-version"), version))
                if version != "none" =>
            {
                Some(format!("{key}={}", self.short("v", version.into())))
            }
            Some(("blake3" | "stamp" | "clock" | "knew" | "protocol" | "of", _)) => None,
            Some(("ring", "smolring")) => None,
            Some(("len", _)) if !counts_file => None,
            _ => Some(letters(word)),
        };
        let (words, text) = head.split_once(" : ").unwrap_or((&head, ""));
        let words = words.split(' ').filter_map(word).collect::<Vec<_>>().join(" ");
        if text.is_empty() { words } else { format!("{words} : {}", letters(text)) }
    }

    /// What a short form stands for.
    pub fn long(&self, kind: &'static str, short: &str) -> String {
        let place: usize = short[kind.len()..].parse().expect("a short form has a number");
        self.shorts[kind][place - 1].clone()
    }

    pub fn short(&mut self, kind: &'static str, long: String) -> String {
        let known = self.shorts.entry(kind).or_default();
        let place = known.iter().position(|it| *it == long).unwrap_or_else(|| {
            known.push(long);
            known.len() - 1
        });
        format!("{kind}{}", place + 1)
    }

    /// The list of a MEET. That a node which asks to be taken in counts itself out is not shown.
    fn greeting(&mut self, greeting: &Greeting) -> String {
        let Greeting { node, view, covers, .. } = greeting;
        if self.shows_brings || view.is_alive(*node) {
            return self.view(view, Some(covers));
        }
        let mut others = View::default();
        for (address, member) in view.members().filter(|(address, _)| address != node) {
            others.set(address, member);
        }
        if others.members().len() == 0 { String::new() } else { self.view(&others, None) }
    }

    /// The list of members, and what its sender covers where that is shown.
    fn view(&mut self, view: &View, covers: Option<&Covers>) -> String {
        let circle: Vec<_> = view.circle().into_iter().map(|it| self.member(view, it)).collect();
        let mut list = vec![circle.join(" ")];
        list.retain(|it| !it.is_empty());
        for (address, member) in view.members().filter(|(_, member)| !member.is_alive()) {
            let word =
                if matches!(member.state, MemberState::Left { .. }) { "left" } else { "gone" };
            list.push(format!("{} {word}", self.member(view, address)));
        }
        let mut covered = String::new();
        if let Some(covers) = covers.filter(|_| self.shows_brings) {
            let pairs = view.members().map(|(address, _)| (address, covers.of(address)));
            for (address, number) in pairs.filter(|(_, number)| *number > 0) {
                covered += &format!(" {}", self.short("b", format!("{address} {number}")));
            }
            covered = format!(" covers{}", if covered.is_empty() { " nothing" } else { &covered });
        }
        format!(" [{}]{covered}", list.join(", "))
    }

    /// A member, with the number of its life and with what it brings where that is shown.
    fn member(&mut self, view: &View, address: SocketAddr) -> String {
        let entry = view.get(address).expect("it is a member");
        let lives = self.lives.entry(address).or_default();
        if entry.is_alive() && !lives.contains(&entry.incarnation) {
            lives.push(entry.incarnation);
        }
        let mut name = letter_of(address).to_string();
        if let Some(life @ 1..) = lives.iter().position(|life| *life == entry.incarnation) {
            name += &format!("#{}", life + 1);
        }
        for (sign, number) in [('+', entry.brings), ('-', entry.lost)] {
            if self.shows_brings && number > 0 {
                name += &format!("{sign}{}", self.short("b", format!("{address} {number}")));
            }
        }
        name
    }

    /// What was noted since the beginning. If nothing is under way, a CHECK that has not come back
    /// will not.
    pub fn take(&mut self, is_settled: bool) -> String {
        if std::mem::take(&mut self.is_quiet) {
            self.lines.retain(|line| line.text[1..].starts_with(": ") && line.op.is_none());
        }
        let mut shown: Vec<Shown> = Vec::new();
        for Line { at_us, text, op } in std::mem::take(&mut self.lines) {
            let quiet = op.filter(|op| !self.loud.contains(op));
            let came_back = quiet.is_some_and(|op| self.closed.contains(&op));
            let is_bare = text.contains("  CHECKED") && !text.contains('[');
            match quiet.filter(|_| came_back || is_settled) {
                _ if is_bare => {}
                Some(op) if text.contains(if came_back { "complete" } else { " hops=0 " }) => {
                    let name = letter_of(op.creator);
                    match shown.last_mut().filter(|it| it.came_back == Some(came_back)) {
                        Some(fold) => (fold.at_us, fold.count) = (at_us, fold.count + 1),
                        None => shown.push(Shown::new(at_us, String::new(), Some(came_back))),
                    }
                    let fold = shown.last_mut().expect("there is one now");
                    if !fold.text.contains(name) {
                        fold.text.push(name);
                    }
                }
                Some(_) => {}
                None => {
                    let is_like = |it: &&mut Shown| it.at_us == at_us && alike(&it.text, &text);
                    match shown.iter_mut().find(is_like).filter(|_| op.is_some()) {
                        Some(like) => like.count += 1,
                        None => shown.push(Shown::new(at_us, text, None)),
                    }
                }
            }
        }
        shown.iter().map(|it| it.line(self.begin_us)).collect()
    }
}

/// A line, or several that are folded into one.
struct Shown {
    at_us: u64,
    /// Of folded CHECKs: the names of their creators.
    text: String,
    count: u32,
    came_back: Option<bool>,
}

impl Shown {
    fn new(at_us: u64, text: String, came_back: Option<bool>) -> Self {
        Self { at_us, text, count: 1, came_back }
    }

    fn line(&self, begin_us: u64) -> String {
        let Self { at_us, text, count, came_back } = self;
        let names = || {
            let sorted: BTreeSet<_> = text.chars().map(String::from).collect();
            sorted.into_iter().collect::<Vec<_>>().join(", ")
        };
        let text = match (came_back, count) {
            (Some(true), 1) => format!("(a CHECK of {text} went all round: nothing new)"),
            (Some(true), _) => {
                format!("({count} CHECKs of {} went all round: nothing new)", names())
            }
            (Some(false), 1) => format!("(a CHECK of {text} did not come back)"),
            (Some(false), _) => format!("({count} CHECKs of {} did not come back)", names()),
            (None, 1) => text.clone(),
            (None, _) => format!("{text} (x{count})"),
        };
        format!("{:5}  {text}\n", (at_us - begin_us) / 1000)
    }
}

/// Whether two lines are of CHECKs of one creator at one place, and say the same of the members.
fn alike(one: &str, other: &str) -> bool {
    let words = |line: &str| -> Vec<String> {
        let word = |word: &str| match word.split_once('/') {
            Some((op, _)) => op.to_owned(),
            None => word.to_owned(),
        };
        let counts = |it: &&str| !it.starts_with("digest=") && !it.starts_with("history=");
        line.split(' ').filter(counts).map(word).collect()
    };
    words(one) == words(other)
}

/// A content; nothing of a long one, whose length is in the line.
fn quoted(content: &[u8]) -> String {
    match content.len() {
        ..=QUOTED_BYTES_MAX => format!(" {:?}", String::from_utf8_lossy(content)),
        _ => String::new(),
    }
}

/// Replaces addresses by the names of their nodes.
pub fn letters(text: &str) -> String {
    ('A'..='Z').fold(text.to_owned(), |text, name| {
        text.replace(&address_of(name).to_string(), &name.to_string())
    })
}

/// The name of a host in a script.
pub fn letter(host: usize) -> char {
    char::from(b'A' + host as u8)
}

pub fn address_of(name: char) -> SocketAddr {
    ([127, 0, 1, 1], 4043 + name as u16 - 'A' as u16).into()
}

pub fn letter_of(address: SocketAddr) -> char {
    char::from(b'A' + (address.port() - 4043) as u8)
}
