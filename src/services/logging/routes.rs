//! What the service answers over HTTP.

use std::{io, sync::Arc};

use serde::{Deserialize, Serialize};
use smol::stream::{self, Stream};
use tide::{
    Body, Request, StatusCode,
    http::headers::{CACHE_CONTROL, RETRY_AFTER},
};

use super::{
    super::{
        CODED, JSON, OK, answer, at_get, is_coded, json, object, problem, refuse_others,
        same_origin,
    },
    follow,
    limits::{FOLLOWERS_MAX, PAGE_BYTES},
    log::{LogError, MessageLog},
    store::{Outcome, StoreEntry, StoreError},
    streamed,
};
use crate::{http, serve::drain::Shutdown};

/// Seconds after which a client may try again.
const RETRY_AFTER_S: &str = "1";

/// The application. Its answers to followers end when `shutdown` begins.
pub(super) fn app(log: &Arc<MessageLog>, shutdown: Shutdown) -> tide::Server<()> {
    let mut app = tide::new();
    let mut route = app.at("/log");
    let state = log.clone();
    same_origin::post(&mut route, move |request| {
        let log = state.clone();
        async move { log_message(&log, request).await }
    });
    refuse_others(&mut route, "POST");
    let state = log.clone();
    at_get(&mut app, "/logs", move |request: Request<()>| {
        let (log, shutdown) = (state.clone(), shutdown.clone());
        async move {
            if follows(&request) {
                follow_log(log, &request, shutdown).await
            } else {
                whole_log(log).await
            }
        }
    });
    let state = log.clone();
    at_get(&mut app, "/health", move |_| {
        let log = state.clone();
        async move {
            match log.store().last().await {
                Ok(_) => json(StatusCode::Ok, &OK),
                Err(error) => unwell(error),
            }
        }
    });
    app
}

/// The body of `POST /log`.
#[derive(Deserialize)]
struct Message {
    id: String,
    msg: String,
}

#[derive(Serialize)]
struct Logged {
    /// The same for a repeated message: to the sender it matters only that its message is in the
    /// log.
    detail: &'static str,
    outcome: &'static str,
}

#[derive(Serialize)]
struct Unwell {
    status: &'static str,
    error: String,
}

async fn log_message(log: &MessageLog, mut request: Request<()>) -> tide::Result {
    if is_coded(&request) {
        return problem(StatusCode::UnsupportedMediaType, CODED.into(), ());
    }
    let body = request.body_bytes().await?;
    let message: Message = match object(&body) {
        Ok(message) => message,
        Err(why) => {
            let error = format!("send JSON like {{\"id\":\"1\",\"msg\":\"hello\"}}: {why}");
            return problem(StatusCode::BadRequest, error, ());
        }
    };
    let outcome = match log.append(&message.id, &message.msg).await {
        Ok(outcome) => outcome,
        Err(error) => return refused(&error),
    };
    if log.drops_reply() {
        return Ok(http::lost());
    }
    let outcome = match outcome {
        Outcome::Logged => "logged",
        Outcome::Duplicate => "duplicate",
        Outcome::Conflict => "conflict",
    };
    json(StatusCode::Ok, &Logged { detail: "logged", outcome })
}

/// The answer that says why the log refuses, and whether to try again.
fn refused(error: &LogError) -> tide::Result {
    let status = match error {
        LogError::BadId => StatusCode::BadRequest,
        LogError::MsgTooLong => StatusCode::PayloadTooLarge,
        LogError::Store(StoreError::Full) => StatusCode::InsufficientStorage,
        LogError::Store(StoreError::Unavailable(_)) => StatusCode::ServiceUnavailable,
        LogError::Store(StoreError::Broken(_)) => StatusCode::InternalServerError,
    };
    let mut answer = problem(status, error.to_string(), ())?;
    if status == StatusCode::ServiceUnavailable {
        answer.insert_header(RETRY_AFTER, RETRY_AFTER_S);
    }
    Ok(answer)
}

/// The same in the shape of every `/health` and `/ready`.
fn unwell(error: StoreError) -> tide::Result {
    let body = Unwell { status: "unavailable", error: error.to_string() };
    let mut answer = refused(&error.into())?;
    answer.set_body(Body::from_json(&body)?);
    Ok(answer)
}

/// All messages that are in the log now, as a list.
async fn whole_log(log: Arc<MessageLog>) -> tide::Result {
    let store = log.store();
    let begun = async { Ok((store.last().await?, store.read(0, PAGE_BYTES).await?)) };
    let (last, first) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return refused(&LogError::Store(error)),
    };
    let body = if last == 0 { "[]".into() } else { streamed::body(list(log, last, first)) };
    Ok(answer(StatusCode::Ok, JSON, body))
}

/// The entries up to `last` as a JSON list, page by page. `first` is the first page.
fn list(
    log: Arc<MessageLog>,
    last: u64,
    first: Vec<StoreEntry>,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send {
    stream::unfold((log, 0, Some(first)), move |(log, position, first)| async move {
        if position >= last {
            return None;
        }
        let page = match first {
            Some(page) => Ok(page),
            None => log.store().read(position, PAGE_BYTES).await,
        };
        let written = page.map_err(io::Error::other).and_then(|page| list_page(&page, last));
        match written {
            Ok((text, position)) => Some((Ok(text), (log, position, None))),
            Err(error) => Some((Err(error), (log, last, None))),
        }
    })
}

/// A part of the list, and the last position in it.
fn list_page(page: &[StoreEntry], last: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut text = Vec::new();
    let mut position = 0;
    for entry in page.iter().take_while(|entry| entry.position <= last) {
        position = entry.position;
        text.push(if position == 1 { b'[' } else { b',' });
        serde_json::to_writer(&mut text, &*entry.msg)?;
    }
    if position == 0 {
        return Err(io::Error::other("the log has become shorter"));
    }
    if position == last {
        text.push(b']');
    }
    Ok((text, position))
}

/// Messages as they arrive, as server-sent events: from now on, or after the entry that the client names.
async fn follow_log(
    log: Arc<MessageLog>,
    request: &Request<()>,
    shutdown: Shutdown,
) -> tide::Result {
    let Ok(after) = after(request) else {
        let error = "after is a position: write a number, 0 is before the first";
        return problem(StatusCode::BadRequest, error.into(), ());
    };
    let position = match log.begin(after).await {
        Ok(position) => position,
        Err(error) => return refused(&LogError::Store(error)),
    };
    let Some(follower) = log.follower() else {
        let many = format!("{FOLLOWERS_MAX} follow the log already; try again soon");
        return refused(&LogError::Store(StoreError::Unavailable(many)));
    };
    let closing = async move { shutdown.draining().await };
    let events = follow::events(log, follower, position, closing);
    let mut answer = answer(StatusCode::Ok, "text/event-stream", streamed::body(events));
    answer.insert_header(CACHE_CONTROL, "no-store");
    Ok(answer)
}

/// Whether the client wants messages as they arrive: it says `follow`, and does not say no to it.
fn follows(request: &Request<()>) -> bool {
    let mut pairs = request.url().query_pairs();
    let value = pairs.find(|(name, _)| name == "follow").map(|(_, value)| value.to_lowercase());
    value.is_some_and(|it| !["0", "false", "f", "no", "n", "off"].contains(&it.trim()))
}

/// The position that the client has seen last. A browser that connects again gives it in a header, and
/// keeps the URL that it began with. An id in the header that is no position is that of another log, so
/// this one begins at its beginning.
fn after(request: &Request<()>) -> Result<Option<u64>, std::num::ParseIntError> {
    let in_header = request.header("last-event-id").map(|values| values.last().as_str().trim());
    if let Some(id) = in_header.filter(|id| !id.is_empty()) {
        return Ok(Some(id.parse().unwrap_or(0)));
    }
    let mut pairs = request.url().query_pairs();
    let after = pairs.find(|(name, _)| name == "after").map(|(_, value)| value.trim().parse());
    after.transpose()
}
