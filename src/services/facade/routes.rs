//! What the facade answers its clients.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use serde::{Deserialize, Serialize};
use smol::{future, lock::Semaphore};
use tide::{Body, Request, StatusCode, http::headers::RETRY_AFTER};

use super::{
    failover::Failover,
    held_body::HeldBody,
    http::HttpMessages,
    key,
    limits::HELD_BYTES_MIN,
    logging::{LoggingClient, Outcome},
};
use crate::{
    http::{Trace, within},
    services::{
        CODED, JSON, add_health, answer, is_coded, json, object,
        outgoing::retry_after_seconds,
        problem, refuse_others,
        retry::{Failed, Kind, Policy},
        same_origin,
    },
};

/// Seconds after which a client may try again. Many attempts were made here already, so the wait is
/// short.
const RETRY_AFTER_S: u64 = 1;
/// The same where an operator has to make room in the log first.
const RETRY_AFTER_FULL_S: u64 = 60;

/// What all routes share.
pub(super) struct FacadeShared {
    pub(super) messages: Failover<HttpMessages>,
    pub(super) posts: Policy,
    pub(super) gets: Policy,
    /// A permit for each further `GET` that may be in progress.
    pub(super) gets_left: Arc<Semaphore>,
}

/// A path, the logging service behind it, and how the messages are joined into one text.
pub(super) struct Route<L> {
    pub(super) path: &'static str,
    pub(super) logging: Failover<L>,
    /// Between two messages.
    pub(super) between: &'static str,
    /// Between the messages and the static text.
    pub(super) before_static: &'static str,
}

/// An application that answers `GET /health`, and nothing else yet.
pub(super) fn app() -> tide::Server<()> {
    let mut app = tide::new();
    add_health(&mut app);
    app
}

/// Adds a route to the application: its `POST` and `GET`. Returns it.
pub(super) fn add<L: LoggingClient>(
    app: &mut tide::Server<()>,
    shared: &Arc<FacadeShared>,
    route: Route<L>,
) -> Arc<Route<L>> {
    let route = Arc::new(route);
    let mut at = app.at(route.path);
    refuse_others(&mut at, "GET, HEAD, POST");
    let both = (Arc::clone(shared), Arc::clone(&route));
    same_origin::post(&mut at, move |request| {
        let (shared, route) = both.clone();
        async move { post(&shared, &route, request).await }
    });
    let both = (Arc::clone(shared), Arc::clone(&route));
    let read = move |request| {
        let (shared, route) = both.clone();
        async move { get(&shared, &route, request).await }
    };
    at.get(read.clone()).head(read);
    route
}

#[derive(Deserialize)]
struct Posted {
    msg: String,
}

#[derive(Serialize)]
struct Kept<'a> {
    message_id: &'a str,
    message: &'a str,
}

/// What the answer has besides the reason why a message is not kept.
#[derive(Serialize)]
struct MessageId<'a> {
    message_id: &'a str,
}

/// Sends a message to the logging service until it is kept.
async fn post<L: LoggingClient>(
    shared: &FacadeShared,
    route: &Route<L>,
    mut request: Request<()>,
) -> tide::Result {
    let began = Instant::now();
    let refused = |detail: String| problem(StatusCode::BadRequest, detail, ());
    let id = match key::of(&request) {
        Ok(id) => id,
        Err(error) => return refused(error.into()),
    };
    if is_coded(&request) {
        return problem(StatusCode::UnsupportedMediaType, CODED.into(), ());
    }
    let body = request.body_bytes().await?;
    let msg = match object(&body) {
        Ok(Posted { msg }) => msg,
        Err(error) => {
            return refused(format!("the body is no message: {error}; send {{\"msg\":\"hello\"}}"));
        }
    };
    drop(body);
    let what = format!("POST {} id={id}", route.path);
    let trace: Option<&Trace> = request.ext();
    let may_be_kept = AtomicBool::new(false);
    let attempt = |logging| {
        let answer = L::log(logging, &id, &msg, trace);
        async {
            answer.await.inspect_err(|failed| {
                let may = matches!(failed.kind, Kind::Passing | Kind::Unread);
                may_be_kept.fetch_or(may, Relaxed);
            })
        }
    };
    let answer = route.logging.call(&shared.posts, began, &what, attempt).await;
    let failed = match answer {
        Ok(Outcome::Logged | Outcome::Duplicate) => {
            return json(StatusCode::Ok, &Kept { message_id: &id, message: &msg });
        }
        Ok(Outcome::Conflict) => None,
        // An earlier attempt may have kept it, and the service that refuses it now may not know
        // that.
        Err(failed) if may_be_kept.load(Relaxed) => Some(Failed { kind: Kind::Passing, ..failed }),
        Err(failed) => Some(failed),
    };
    not_kept(&id, failed)
}

/// The answer to a client whose message is not kept, or may not be; `None` is a conflict.
fn not_kept(id: &str, failed: Option<Failed>) -> tide::Result {
    let Failed { why, kind, retry_after: asked } = match failed {
        Some(failed) => failed,
        None => {
            let error = "another message was sent with this Idempotency-Key: give this one a key \
                         of its own";
            let more = MessageId { message_id: id };
            return problem(StatusCode::UnprocessableEntity, error.into(), more);
        }
    };
    let (status, error, retry_after) = match kind {
        Kind::Passing | Kind::Unread => (
            StatusCode::ServiceUnavailable,
            format!(
                "logging unavailable: {why}. Send the message again with its message_id as the \
                 Idempotency-Key: then it is kept once, also if it has arrived already"
            ),
            Some(RETRY_AFTER_S),
        ),
        Kind::Full => (
            StatusCode::ServiceUnavailable,
            format!("{why}: the message is not kept. Try again when there is room in the log"),
            Some(RETRY_AFTER_FULL_S),
        ),
        Kind::Final => (
            StatusCode::BadGateway,
            format!("logging does not take the message: {why}. Sending it again would not help"),
            None,
        ),
    };
    let mut answer = problem(status, error, MessageId { message_id: id })?;
    if let Some(least) = retry_after {
        answer.insert_header(RETRY_AFTER, retry_after_seconds(least, asked));
    }
    Ok(answer)
}

#[derive(Serialize)]
struct Combined {
    combined: String,
}

/// All messages and the static text, or in place of either the reason why it is missing.
async fn get<L: LoggingClient>(
    shared: &FacadeShared,
    route: &Route<L>,
    request: Request<()>,
) -> tide::Result {
    let began = Instant::now();
    let permit = Arc::clone(&shared.gets_left);
    // The wait for a permit is part of the time for the attempts, of which one must remain.
    let patience = shared.gets.overall.saturating_sub(shared.gets.attempt_timeout);
    let Some(permit) = within(patience, permit.acquire_arc()).await else {
        let error = "too many ask at the same time: try again".into();
        let mut answer = problem(StatusCode::ServiceUnavailable, error, ())?;
        answer.insert_header(RETRY_AFTER, RETRY_AFTER_S.to_string());
        return Ok(answer);
    };
    let what = format!("GET {}", route.path);
    let trace: Option<&Trace> = request.ext();
    let logs = |logging| L::logs(logging, route.between, trace);
    let logs = route.logging.call(&shared.gets, began, &what, logs);
    let text = |messages| HttpMessages::text(messages, trace);
    let text = shared.messages.call(&shared.gets, began, &what, text);
    let (logs, text) = future::zip(logs, text).await;
    let mut combined = logs.unwrap_or_else(|failed| format!("[logging unavailable: {failed}]"));
    // Where one separator joins everything, there is none before the first text.
    if !combined.is_empty() || route.before_static != route.between {
        combined.push_str(route.before_static);
    }
    match text {
        Ok(text) => combined.push_str(&text),
        Err(failed) => combined.push_str(&format!("[messages unavailable: {failed}]")),
    }
    let body = serde_json::to_vec(&Combined { combined })?;
    let body = if body.len() < HELD_BYTES_MIN {
        Body::from_bytes(body)
    } else {
        let bytes = body.len();
        Body::from_reader(HeldBody::new(body, permit), Some(bytes))
    };
    Ok(answer(StatusCode::Ok, JSON, body))
}
