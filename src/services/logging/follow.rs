//! `GET /logs?follow`: messages as they arrive, as server-sent events.
//!
//! A follower has a position and nothing else. It reads the next page from the store when its
//! client has taken the last, so one that is slow, or that does not read at all, costs no memory.
//! One whose client has gone keeps its place until something is written to it: a client that has
//! only ended its own side looks the same.

use std::{future::Future, io, sync::Arc};

use serde::Serialize;
use smol::{
    Timer, future,
    stream::{self, Stream},
};

use super::{
    Follower, Logging,
    limits::{HEARTBEAT, PAGE_BYTES},
    store::Entry,
};

/// Events from the entry after `position` on, until `closing` ends.
pub(super) fn events(
    logging: Arc<Logging>,
    follower: Follower,
    position: u64,
    closing: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send {
    let closing = Box::pin(closing);
    // The first comment is for clients that wait for the head of the answer to be followed by
    // something.
    let greeting = stream::once(Ok(b": from here on\n\n".to_vec()));
    let state = (logging, follower, position, closing);
    let events = stream::unfold(state, |(logging, follower, position, mut closing)| async move {
        let next = next(&logging, position);
        let (piece, position) = future::or(next, async {
            closing.as_mut().await;
            (None, position)
        })
        .await;
        piece.map(|piece| (piece, (logging, follower, position, closing)))
    });
    stream::StreamExt::chain(greeting, events)
}

/// What is to be sent next, and the position after it; `None`: the log is not what it was, and the
/// client had better ask again.
async fn next(logging: &Logging, position: u64) -> (Option<io::Result<Vec<u8>>>, u64) {
    let page = async {
        logging.store().arrival(position).await?;
        logging.store().read(position, PAGE_BYTES).await
    };
    let heartbeat = async {
        Timer::after(HEARTBEAT).await;
        None
    };
    match future::or(async { Some(page.await) }, heartbeat).await {
        // Somebody may have emptied it.
        None if logging.store().last().await.is_ok_and(|last| last < position) => (None, position),
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

fn written(page: &[Entry]) -> io::Result<Vec<u8>> {
    use io::Write as _;
    let mut text = Vec::new();
    for Entry { position, id, msg } in page {
        write!(text, "id: {position}\ndata: ")?;
        // No line end in it: JSON escapes them.
        serde_json::to_writer(&mut text, &Event { id, msg })?;
        text.extend_from_slice(b"\n\n");
    }
    Ok(text)
}
