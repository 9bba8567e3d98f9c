//! What a node says of itself and its ring.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::reply;
use crate::{
    net::{
        clock::wall_ms,
        handle::{NodeHandle, Reply},
    },
    ring::{
        limits::PROTOCOL,
        message::{Answer as NodeAnswer, Info, Refusal, Request, Row},
        view::MemberState,
    },
};

/// The node and its limits.
pub(super) async fn info(node: &NodeHandle) -> Result<Box<Info>, Refusal> {
    match node.ask(Request::Info).await {
        Reply::Whole(NodeAnswer::Info(info)) => Ok(info),
        other => Err(reply::refusal_of(other)),
    }
}

/// All of it as JSON.
pub(super) async fn status(node: &NodeHandle, is_read_only: bool) -> Result<Value, Refusal> {
    let info = info(node).await?;
    let (members, me) = members(node).await?;
    let report = |row: &Row| row.report.filter(|_| row.address == me);
    let round_trip_us = members.iter().find_map(report).and_then(|it| it.round_trip_us);
    let circle: Vec<_> =
        members.iter().filter(|row| row.member.is_alive()).map(|row| row.address).collect();
    let next = |place: usize| circle.get((place + 1) % circle.len().max(1)).copied();
    let members: Vec<_> = members
        .iter()
        .enumerate()
        .map(|(place, row)| member(row, place, next(place), me))
        .collect();
    let Info {
        me, ring, state, started_ms, clock_off_ms, ready, full, files, bytes, digest, ..
    } = &*info;
    Ok(json!({
        "node": me.to_string(),
        "ring": &**ring,
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": PROTOCOL,
        "state": state,
        "ready": ready,
        "full": full,
        "started_ms": started_ms,
        "now_ms": wall_ms(),
        "round_trip_us": round_trip_us,
        "writable": !is_read_only,
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
    }))
}

/// The members, live ones first and in the order of the ring; and which of them is the node.
pub(super) async fn members(node: &NodeHandle) -> Result<(Vec<Row>, SocketAddr), Refusal> {
    match node.ask(Request::Ring).await {
        Reply::Whole(NodeAnswer::Ring { members, me }) => Ok((members, me)),
        other => Err(reply::refusal_of(other)),
    }
}

/// A member as JSON. What the node does not know of it is null. `place` counts from 0; `next` is the member
/// behind it, if it is alive.
fn member(row: &Row, place: usize, next: Option<SocketAddr>, me: SocketAddr) -> Value {
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
        "label": is_alive.then(|| format!("WS{}", place + 1)),
        "self": row.address == me,
        "state": state,
        "since_ms": since_ms,
        "cause": cause,
        "incarnation": row.member.incarnation,
        "next": next.filter(|next| is_alive && *next != row.address).map(|it| it.to_string()),
        "keeps": is_alive.then_some(keeps),
        "ready": report.map(|it| it.ready),
        "full": report.map(|it| it.full),
        "files": report.map(|it| it.files),
        "bytes": report.map(|it| it.bytes),
        "clock_off_ms": row.clock_off_ms,
        "digest": report.and_then(|it| it.digest).map(|it| it.to_string()),
        "round_trip_us": report.and_then(|it| it.round_trip_us),
        "version": report.and_then(|it| it.release).map(|it| it.to_string()),
        "started_ms": report.and_then(|it| it.started_ms),
    })
}
