//! `GET /logs?follow`: messages as they arrive, as server-sent events.
//!
//! A follower has a position and nothing else. It reads the next page from the store when its
//! client has taken the last, so a client that is slow, or does not read at all, costs no memory. A
//! client that has gone still counts until something is written to it: one that has only closed its
//! own side of the connection looks the same.

use std::{future::Future, io, sync::Arc};

use serde::Serialize;
use smol::{
    Timer, future,
    stream::{self, Stream},
};

use super::{
    limits::{HEARTBEAT, PAGE_BYTES},
    log::{Follower, MessageLog},
    store::StoreEntry,
};

/// Events from the entry after `position` on, until `closing` ends.
pub(super) fn events(
    log: Arc<MessageLog>,
    follower: Follower,
    position: u64,
    closing: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send {
    let closing = Box::pin(closing);
    // The first comment is for clients that wait until something follows the head of the answer.
    let greeting = stream::once(Ok(b": from here on\n\n".to_vec()));
    let state = (log, follower, position, closing);
    let events = stream::unfold(state, |(log, follower, position, mut closing)| async move {
        let next = next(&log, position);
        let (piece, position) = future::or(next, async {
            closing.as_mut().await;
            (None, position)
        })
        .await;
        piece.map(|piece| (piece, (log, follower, position, closing)))
    });
    stream::StreamExt::chain(greeting, events)
}

/// What is sent next, and the position after it; `None`: the log is no longer the same, and the client
/// must ask again.
async fn next(log: &MessageLog, position: u64) -> (Option<io::Result<Vec<u8>>>, u64) {
    let page = async {
        log.store().arrival(position).await?;
        log.store().read(position, PAGE_BYTES).await
    };
    let heartbeat = async {
        Timer::after(HEARTBEAT).await;
        None
    };
    match future::or(async { Some(page.await) }, heartbeat).await {
        // The log may have been emptied.
        None if log.store().last().await.is_ok_and(|last| last < position) => (None, position),
        None => (Some(Ok(b": still here\n\n".to_vec())), position),
        Some(Err(error)) => (Some(Err(io::Error::other(error))), position),
        Some(Ok(page)) => match page.last() {
            None => (None, position),
            Some(last) => (Some(written(&page)), last.position),
        },
    }
}

#[derive(Serialize)]
struct Event<'a> {
    id: &'a str,
    msg: &'a str,
}

fn written(page: &[StoreEntry]) -> io::Result<Vec<u8>> {
    use io::Write as _;
    let mut text = Vec::new();
    for StoreEntry { position, id, msg } in page {
        write!(text, "id: {position}\ndata: ")?;
        // It contains no line end: JSON escapes them.
        serde_json::to_writer(&mut text, &Event { id, msg })?;
        text.extend_from_slice(b"\n\n");
    }
    Ok(text)
}
