//! What a node says of itself and its ring: everything below `/_ring/`.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{
    body, listing,
    listing::Listings,
    negotiation::Form,
    reply::{self, Answer},
    target::parameter,
};
use crate::{
    net::handle::{NodeHandle, Reply},
    ring::{
        limits::PROTOCOL,
        message::{Answer as NodeAnswer, Info, Refusal, Request, Row, Status},
        view::MemberState,
    },
};

/// What there is, for the page at `/_ring/`.
const PAGES: [(&str, &str); 4] = [
    ("status", "this node and its ring"),
    ("files", "the files of the ring, page by page"),
    ("health", "whether this node runs"),
    ("ready", "whether this node should be sent requests"),
];

/// Answers what is asked there.
pub(super) async fn answer(
    node: &NodeHandle,
    path: &str,
    query: Option<&str>,
    form: Form,
    listings: &Listings,
) -> Answer {
    let answered = match path {
        "" => Ok(index()),
        "status" => status(node).await,
        "files" => files(node, query, listings).await,
        "health" => Ok(reply::json(StatusCode::OK, &json!({ "status": "ok" }))),
        "ready" => ready(node).await,
        _ => {
            let why = "there is nothing here; /_ring/ says what there is";
            return reply::error(StatusCode::NOT_FOUND, why, form);
        }
    };
    answered.unwrap_or_else(|refusal| reply::refused(&refusal, form))
}

fn index() -> Answer {
    let rows =
        PAGES.map(|(path, what)| format!("<li><a href=\"{path}\">{path}</a>: {what}</li>\n"));
    let text = reply::page("Ring", &format!("<ul>\n{}</ul>\n", rows.concat()));
    let mut answer = reply::fresh(StatusCode::OK, "text/html; charset=utf-8", body::text(text));
    reply::as_page(&mut answer);
    answer
}

async fn info(node: &NodeHandle) -> Result<Box<Info>, Refusal> {
    match node.ask(Request::Info).await {
        Reply::Whole(NodeAnswer::Info(info)) => Ok(info),
        Reply::Whole(NodeAnswer::Refused(refusal)) => Err(refusal),
        _ => Err(Refusal::new(Status::Unavailable, "the node answered something else")),
    }
}

/// Whether clients should come here: it has caught up, and is not about to leave.
async fn ready(node: &NodeHandle) -> Result<Answer, Refusal> {
    let info = info(node).await?;
    if info.ready && info.state != "leaving" {
        return Ok(reply::json(StatusCode::OK, &json!({ "status": "ok" })));
    }
    let why = match info.state {
        "joining" => "this node is not in its ring yet",
        "leaving" => "this node is leaving its ring",
        _ => "this node is catching up with its ring, or is about to leave it",
    };
    let unavailable = json!({ "status": "unavailable", "error": why });
    Ok(reply::json(StatusCode::SERVICE_UNAVAILABLE, &unavailable))
}

async fn files(
    node: &NodeHandle,
    query: Option<&str>,
    listings: &Listings,
) -> Result<Answer, Refusal> {
    let text = |key| parameter(query, key).unwrap_or_default();
    let limit = match parameter(query, "limit").map(|limit| limit.parse()) {
        Some(Err(_)) => return Err(Refusal::new(Status::BadRequest, "limit is no number")),
        Some(Ok(limit)) => Some(limit),
        None => None,
    };
    listing::files(node, &text("prefix"), &text("after"), limit, listings.begin()?).await
}

async fn status(node: &NodeHandle) -> Result<Answer, Refusal> {
    let info = info(node).await?;
    let NodeAnswer::Ring { members, me } = ring(node).await? else {
        return Err(Refusal::new(Status::Unavailable, "the node answered something else"));
    };
    let members: Vec<_> =
        members.iter().zip(1..).map(|(row, label)| member(row, label, me)).collect();
    let Info {
        me, ring, state, started_ms, clock_off_ms, ready, full, files, bytes, digest, ..
    } = &*info;
    let status = json!({
        "node": me.to_string(),
        "ring": &**ring,
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": PROTOCOL,
        "state": state,
        "ready": ready,
        "full": full,
        "started_ms": started_ms,
        "clock_off_ms": clock_off_ms,
        "files": files,
        "bytes": bytes,
        "digest": digest.to_string(),
        "live_members": info.members,
        "members": members,
        "limits": {
            "max_file_bytes": info.max_file_bytes,
            "max_store_bytes": info.max_store_bytes,
            "keep_versions": info.keep_versions,
            "min_copies": info.min_copies,
            "tombstone_ttl_s": info.tombstone_ttl.as_secs(),
            "request_timeout_ms": info.request_timeout.as_millis() as u64,
        },
    });
    Ok(reply::json(StatusCode::OK, &status))
}

async fn ring(node: &NodeHandle) -> Result<NodeAnswer, Refusal> {
    match node.ask(Request::Ring).await {
        Reply::Whole(NodeAnswer::Refused(refusal)) => Err(refusal),
        Reply::Whole(answer) => Ok(answer),
        Reply::Streamed(_) => {
            Err(Refusal::new(Status::Unavailable, "the node answered something else"))
        }
    }
}

/// A member as JSON. What the node does not know of it is null.
fn member(row: &Row, label: usize, me: std::net::SocketAddr) -> Value {
    let (state, since_ms, cause) = match row.member.state {
        MemberState::Alive => ("alive", None, None),
        MemberState::Gone { since_ms, cause } => ("gone", Some(since_ms), Some(cause.words().0)),
        MemberState::Left { since_ms } => ("left", Some(since_ms), None),
    };
    let is_alive = row.member.is_alive();
    let report = row.report.as_ref();
    let keeps = if row.member.keeps { "disk" } else { "memory" };
    json!({
        "address": row.address.to_string(),
        "label": is_alive.then(|| format!("WS{label}")),
        "self": row.address == me,
        "state": state,
        "since_ms": since_ms,
        "cause": cause,
        "incarnation": row.member.incarnation,
        "keeps": is_alive.then_some(keeps),
        "ready": report.map(|it| it.ready),
        "full": report.map(|it| it.full),
        "files": report.map(|it| it.files),
        "bytes": report.map(|it| it.bytes),
        "clock_off_ms": row.clock_off_ms,
    })
}
