//! PUT and DELETE of a file.

use std::{
    fmt::Write as _,
    future,
    num::TryFromIntError,
    pin::Pin,
    time::{Duration, Instant},
};

use hyper::{
    StatusCode,
    body::{Body, Bytes},
    header::{self, HeaderValue},
    http::request,
};

use super::{
    body, conditions,
    conditions::Outcome,
    limits::ROOM_WAIT,
    negotiation::Form,
    read::validators,
    reply::{self, Answer},
};
use crate::{
    http::{exchange::Exchange, refusal::Refusal as HttpRefusal, streamed, streamed::Upload},
    net::{
        handle::{NodeHandle, Reply},
        limits::STALL,
    },
    ring::{
        entry::{EntryKind, IndexEntry},
        limits::BYTES_PER_SECOND_MIN,
        message::{Answer as NodeAnswer, Condition, Hop, Refusal, Request, Status, WriteTrace},
        name::Name,
        version::Version,
    },
    serve::time::within,
};

/// Answers a PUT. `Err`: the connection cannot go on.
pub(super) async fn put(
    node: &NodeHandle,
    exchange: &mut Exchange,
    head: &request::Parts,
    name: Name,
    form: Form,
) -> Result<Answer, HttpRefusal> {
    if let Some(refused) = unfit(head, form) {
        return Ok(refused);
    }
    let before = Before::of(node, &name);
    let only_if = match condition(node, head, &name, before.held.as_ref()) {
        Ok(only_if) => only_if,
        Err(refusal) => return Ok(reply::refused(&refusal, form)),
    };
    let mut coming = Coming::new(exchange);
    let bytes = match coming.bytes() {
        Some(Err(_)) => return Ok(reply::error(StatusCode::PAYLOAD_TOO_LARGE, TOO_LONG, form)),
        Some(Ok(bytes)) => Some(bytes),
        None => None,
    };
    // What would be refused is refused before the client has sent it, if it waits for that.
    if let Err(refusal) = node.may_put(&name, bytes.unwrap_or_default(), only_if) {
        return Ok(reply::refused(&refusal, form));
    }
    if let Err(refusal) = room(node).await {
        return Ok(reply::refused(&refusal, form));
    }
    let mut incoming = match node.put(name.clone(), bytes, only_if) {
        Ok(incoming) => incoming,
        Err(refusal) => return Ok(reply::refused(&refusal, form)),
    };
    loop {
        if let Err(refusal) = incoming.room().await {
            return Ok(reply::refused(&refusal, form));
        }
        let Some(piece) = coming.next().await? else { break };
        if let Err(refusal) = incoming.push(piece) {
            return Ok(reply::refused(&refusal, form));
        }
    }
    drop(coming);
    Ok(before.answer(node, &name, incoming.put().await, form).await)
}

/// Waits until the node has room for another write.
pub(super) async fn room(node: &NodeHandle) -> Result<(), Refusal> {
    let no_room =
        || Refusal::new(Status::Unavailable, "this node has too much in flight; try again");
    within(ROOM_WAIT, node.room()).await.ok_or_else(no_room)
}

/// The body of a request, as it comes.
pub(super) struct Coming {
    upload: Upload,
    pace: Pace,
    /// The length of the piece that was taken last. It counts until the next is taken.
    taken: usize,
}

impl Coming {
    pub(super) fn new(exchange: &mut Exchange) -> Self {
        Self { upload: streamed::upload(exchange), pace: Pace::default(), taken: 0 }
    }

    /// Its length, if that is known. `Err`: this machine cannot count it.
    fn bytes(&self) -> Option<Result<usize, TryFromIntError>> {
        self.upload.size_hint().exact().map(usize::try_from)
    }

    /// The next piece; `None` at the end. `Err`: the connection cannot go on.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, HttpRefusal> {
        self.upload.release(std::mem::take(&mut self.taken));
        loop {
            let upload = &mut self.upload;
            let frame = future::poll_fn(|cx| Pin::new(&mut *upload).poll_frame(cx));
            let Some(frame) = self.pace.wait(frame).await else {
                return Err(StatusCode::REQUEST_TIMEOUT.into());
            };
            let Some(frame) = frame else { return Ok(None) };
            let Ok(frame) = frame else {
                let cause = "the connection ended in the middle of the body";
                return Err(HttpRefusal::Status(StatusCode::BAD_REQUEST, Some(cause)));
            };
            let Ok(piece) = frame.into_data() else { continue };
            self.pace.came(piece.len());
            self.taken = piece.len();
            return Ok(Some(piece));
        }
    }
}

/// What there is of a name before it is written.
pub(super) struct Before {
    /// The file of this name, if there is one here.
    held: Option<IndexEntry>,
    is_new: bool,
}

impl Before {
    pub(super) fn of(node: &NodeHandle, name: &Name) -> Self {
        let held = held(node, name);
        let is_new = held.is_none() && node.is_absent(name);
        Self { held, is_new }
    }

    /// The answer to a PUT of it.
    pub(super) async fn answer(
        &self,
        node: &NodeHandle,
        name: &Name,
        answer: NodeAnswer,
        form: Form,
    ) -> Answer {
        match answer {
            NodeAnswer::Stored { version, copies } => {
                let is_new = self.is_new;
                let status = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
                let mut answer = stored(node, status, version, copies).await;
                if let Some(EntryKind::File { hash, .. }) =
                    node.at_hand(name, Some(version)).map(|entry| entry.kind)
                {
                    let held = validators(version, hash);
                    let modified = conditions::http_date(held.modified_s);
                    reply::set(answer.headers_mut(), header::ETAG, &held.etag);
                    reply::set(answer.headers_mut(), header::LAST_MODIFIED, &modified);
                }
                answer
            }
            other => reply::refused(&reply::refusal_of(Reply::Whole(other)), form),
        }
    }
}

/// Answers a DELETE.
pub(super) async fn delete(
    node: &NodeHandle,
    head: &request::Parts,
    name: Name,
    form: Form,
) -> Answer {
    let before = held(node, &name);
    let only_if = match condition(node, head, &name, before.as_ref()) {
        // Where nothing may be there, there is nothing to delete.
        Ok(Some(Condition::Absent)) | Ok(None) => None,
        Ok(only_if) => only_if,
        Err(refusal) => return reply::refused(&refusal, form),
    };
    if let Err(refusal) = room(node).await {
        return reply::refused(&refusal, form);
    }
    match node.ask(Request::Delete { name, only_if }).await {
        Reply::Whole(NodeAnswer::Stored { version, copies }) => {
            stored(node, StatusCode::NO_CONTENT, version, copies).await
        }
        other => reply::refused(&reply::refusal_of(other), form),
    }
}

const SERVER_TIMING: header::HeaderName = header::HeaderName::from_static("server-timing");
/// Why a length is refused that this machine cannot count.
const TOO_LONG: &str = "the body is too long";

/// The answer to a PUT that means something else than a file.
fn unfit(head: &request::Parts, form: Form) -> Option<Answer> {
    if head.headers.contains_key(header::CONTENT_RANGE) {
        let why = "a part of a file cannot be put: send all of it";
        return Some(reply::error(StatusCode::BAD_REQUEST, why, form));
    }
    if head.headers.get_all(header::CONTENT_ENCODING).iter().any(|it| it != "identity") {
        let why = "a file is kept as it comes, without a Content-Encoding: put NAME.gz beside NAME, \
                   and clients that take it get it for NAME";
        let mut answer = reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, why, form);
        let identity = HeaderValue::from_static("identity");
        answer.headers_mut().insert(header::ACCEPT_ENCODING, identity);
        return Some(answer);
    }
    None
}

/// The file of this name, if there is one here.
fn held(node: &NodeHandle, name: &Name) -> Option<IndexEntry> {
    node.at_hand(name, None).filter(|held| !held.is_tombstone())
}

/// What must be so when the node writes, if the request depends on anything.
///
/// A tag is the hash of a content. The node is told the version that has it here: so what another client has
/// written meanwhile is not overwritten.
fn condition(
    node: &NodeHandle,
    head: &request::Parts,
    name: &Name,
    held: Option<&IndexEntry>,
) -> Result<Option<Condition>, Refusal> {
    let headers = &head.headers;
    if !conditions::are_any(headers) {
        return Ok(None);
    }
    if held.is_none() && !node.is_absent(name) {
        let reason = "this node does not know yet which version is the newest; try another";
        return Err(Refusal::new(Status::Unavailable, reason));
    }
    let validators = held.and_then(|held| Some(validators(held.version, held.kind.hash()?)));
    match conditions::of_write(headers, validators.as_ref()) {
        Outcome::Done => {}
        _ => {
            let name = name.wire();
            let reason = match held {
                Some(held) => format!("the newest version of {name} is {}", held.version),
                None => format!("there is no file {name}"),
            };
            return Err(Refusal::new(Status::PreconditionFailed, reason));
        }
    }
    Ok(match held {
        Some(held) if conditions::names_a_version(headers) => Some(Condition::Newest(held.version)),
        None if conditions::wants_absent(headers) => Some(Condition::Absent),
        _ => None,
    })
}

/// The answer to a write, with where its time went.
async fn stored(node: &NodeHandle, status: StatusCode, version: Version, copies: usize) -> Answer {
    let mut answer = reply::bare(status, body::empty());
    let asked = Request::Trace { version: Some(version) };
    if let Reply::Whole(NodeAnswer::Traced { traces }) = node.ask(asked).await
        && let Some(trace) = traces.first()
    {
        reply::set(answer.headers_mut(), SERVER_TIMING, &timing(trace));
    }
    reply::set(answer.headers_mut(), reply::VERSION, &version.to_string());
    reply::set(answer.headers_mut(), reply::COPIES, &copies.to_string());
    answer
}

/// A trace as `Server-Timing` has it (W3C), in milliseconds.
fn timing(trace: &WriteTrace) -> String {
    let ms = |micros: u64| format!("{}.{:03}", micros / 1000, micros % 1000);
    let hops = &trace.hops;
    let mut text = format!("round;dur={};desc=\"{} nodes\"", ms(trace.round_us), hops.len());
    if let Some(keep_us) = trace.keep_us {
        let _ = write!(text, ", keep;dur={};desc=\"on all disks\"", ms(keep_us));
    }
    for ((hop, next), number) in hops.iter().zip(hops.iter().cycle().skip(1)).zip(1..) {
        let Hop { member, link_us, wait_us } = hop;
        if let Some(wait_us) = wait_us {
            let _ = write!(text, ", disk{number};dur={};desc=\"{member}\"", ms(*wait_us));
        }
        if let Some(link_us) = link_us {
            let (to, ms) = (next.member, ms(*link_us));
            let _ = write!(text, ", link{number};dur={ms};desc=\"{member} to {to}\"");
        }
    }
    text
}

/// How fast a body comes: as on the line protocol, a client may be silent for [`STALL`], and then must send
/// [`BYTES_PER_SECOND_MIN`] on average. What is spent waiting for the node does not count.
#[derive(Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    async fn wait<T>(&mut self, next: impl Future<Output = T>) -> Option<T> {
        let earned = Duration::from_secs(self.bytes / BYTES_PER_SECOND_MIN as u64);
        let left = (STALL + earned).saturating_sub(self.waited).min(STALL);
        let began = Instant::now();
        let next = within(left, next).await;
        self.waited += began.elapsed();
        next
    }

    fn came(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}
