//! What the service answers over HTTP.

use std::{io, sync::Arc};

use serde::{Deserialize, Serialize};
use smol::stream::{self, Stream};
use tide::{
    Request, Response, StatusCode,
    http::headers::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

use super::{
    super::{OK, at_get, json, object},
    LogError, Logging, follow,
    limits::{FOLLOWERS_MAX, PAGE_BYTES},
    store::{Entry, Outcome, StoreError},
    streamed,
};
use crate::http::{self, shutdown::Shutdown};

/// After how many seconds a client may try again.
const RETRY_AFTER_S: &str = "1";

/// The application. Those who follow the log are sent home when `shutdown` begins.
pub(super) fn app(logging: &Arc<Logging>, shutdown: Shutdown) -> tide::Server<()> {
    let mut app = tide::new();
    let mut log = app.at("/log");
    let state = logging.clone();
    log.post(move |request| {
        let logging = state.clone();
        async move { log_message(&logging, request).await }
    });
    log.all(|_| async {
        Ok(Response::builder(StatusCode::MethodNotAllowed).header(ALLOW, "POST").build())
    });
    let state = logging.clone();
    at_get(&mut app, "/logs", move |request: Request<()>| {
        let (logging, shutdown) = (state.clone(), shutdown.clone());
        async move {
            if request.url().query_pairs().any(|(name, _)| name == "follow") {
                follow_log(logging, &request, shutdown).await
            } else {
                whole_log(logging).await
            }
        }
    });
    let state = logging.clone();
    at_get(&mut app, "/health", move |_| {
        let logging = state.clone();
        async move {
            match logging.store().last().await {
                Ok(_) => json(StatusCode::Ok, &OK),
                Err(error) => refused(&error.into()),
            }
        }
    });
    app
}

/// What is to be logged.
#[derive(Deserialize)]
struct Message {
    id: String,
    msg: String,
}

#[derive(Serialize)]
struct Logged {
    /// What a sender wants to hear: its message is in the log.
    detail: &'static str,
    outcome: &'static str,
}

#[derive(Serialize)]
struct Refused {
    error: String,
}

async fn log_message(logging: &Logging, mut request: Request<()>) -> tide::Result {
    let body = request.body_bytes().await?;
    let message: Message = match object(&body) {
        Ok(message) => message,
        Err(why) => {
            let error = format!("send JSON like {{\"id\":\"1\",\"msg\":\"hello\"}}: {why}");
            return json(StatusCode::BadRequest, &Refused { error });
        }
    };
    let outcome = match logging.log(&message.id, &message.msg).await {
        Ok(outcome) => outcome,
        Err(error) => return refused(&error),
    };
    if logging.drops_reply() {
        return Ok(http::lost());
    }
    let outcome = match outcome {
        Outcome::Logged => "logged",
        Outcome::Duplicate => "duplicate",
        Outcome::Conflict => "conflict",
    };
    json(StatusCode::Ok, &Logged { detail: "logged", outcome })
}

/// Says why not, and whether it helps to try again.
fn refused(error: &LogError) -> tide::Result {
    let status = match error {
        LogError::BadId => StatusCode::BadRequest,
        LogError::MsgTooLong => StatusCode::PayloadTooLarge,
        LogError::Store(StoreError::Full) => StatusCode::InsufficientStorage,
        LogError::Store(StoreError::Unavailable(_)) => StatusCode::ServiceUnavailable,
        LogError::Store(StoreError::Broken(_)) => StatusCode::InternalServerError,
    };
    let mut answer = json(status, &Refused { error: error.to_string() })?;
    if status == StatusCode::ServiceUnavailable {
        answer.insert_header(RETRY_AFTER, RETRY_AFTER_S);
    }
    Ok(answer)
}

/// All messages that are there now, as a list.
async fn whole_log(logging: Arc<Logging>) -> tide::Result {
    let store = logging.store();
    let begun = async { Ok((store.last().await?, store.read(0, PAGE_BYTES).await?)) };
    let (last, first) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return refused(&LogError::Store(error)),
    };
    let body = if last == 0 { "[]".into() } else { streamed::body(list(logging, last, first)) };
    // The type comes first, so that the body does not bring its own.
    Ok(Response::builder(StatusCode::Ok)
        .header(CONTENT_TYPE, "application/json")
        .body(body)
        .build())
}

/// The entries up to `last` as a JSON list, page by page, of which `first` is the first.
fn list(
    logging: Arc<Logging>,
    last: u64,
    first: Vec<Entry>,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send {
    stream::unfold((logging, 0, Some(first)), move |(logging, position, first)| async move {
        if position >= last {
            return None;
        }
        let page = match first {
            Some(page) => Ok(page),
            None => logging.store().read(position, PAGE_BYTES).await,
        };
        let written = page.map_err(io::Error::other).and_then(|page| list_page(&page, last));
        match written {
            Ok((text, position)) => Some((Ok(text), (logging, position, None))),
            Err(error) => Some((Err(error), (logging, last, None))),
        }
    })
}

/// A part of the list, and the last position in it.
fn list_page(page: &[Entry], last: u64) -> io::Result<(Vec<u8>, u64)> {
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

/// What arrives, as server-sent events: from now on, or after the entry that the client names.
async fn follow_log(
    logging: Arc<Logging>,
    request: &Request<()>,
    shutdown: Shutdown,
) -> tide::Result {
    let Ok(after) = after(request) else {
        let error = "after and Last-Event-ID are positions: write a number, 0 is before the first";
        return json(StatusCode::BadRequest, &Refused { error: error.into() });
    };
    let position = match logging.begin(after).await {
        Ok(position) => position,
        Err(error) => return refused(&LogError::Store(error)),
    };
    let Some(follower) = logging.follower() else {
        let many = format!("{FOLLOWERS_MAX} follow the log already; try again soon");
        return refused(&LogError::Store(StoreError::Unavailable(many)));
    };
    let closing = async move { shutdown.draining().await };
    let events = follow::events(logging, follower, position, closing);
    Ok(Response::builder(StatusCode::Ok)
        .header(CONTENT_TYPE, "text/event-stream")
        .header(CACHE_CONTROL, "no-store")
        .body(streamed::body(events))
        .build())
}

/// The position that the client has seen last. A browser that connects again says so in a header,
/// and keeps the URL that it began with.
fn after(request: &Request<()>) -> Result<Option<u64>, std::num::ParseIntError> {
    let in_header = request.header("last-event-id").map(|values| values.last().as_str().to_owned());
    let in_query = || {
        let mut pairs = request.url().query_pairs();
        pairs.find(|(name, _)| name == "after").map(|(_, value)| value.into_owned())
    };
    let text = in_header.filter(|id| !id.is_empty()).or_else(in_query);
    text.map(|text| text.trim().parse()).transpose()
}
