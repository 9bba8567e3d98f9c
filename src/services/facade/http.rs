//! Clients of the logging service and the messages service over HTTP.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};
use surf::{Request, Response, StatusCode, http::Method};

use super::{
    failover::Checked,
    list,
    logging::{LoggingClient, Outcome},
};
use crate::{
    http::{
        Trace,
        client::{Cause, cause},
    },
    services::{
        outgoing::{Callee, retry_after},
        retry::{Failed, Kind},
        without_bom,
    },
};

/// One logging service, with two limits for its answers: those to messages are short, the list is long.
pub(super) struct HttpLogging {
    pub(super) posts: Callee,
    pub(super) lists: Callee,
}

impl Display for HttpLogging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.posts.service().fmt(f)
    }
}

impl Checked for HttpLogging {
    async fn is_there(&self) -> Result<(), String> {
        self.posts.is_there("logging service").await
    }
}

impl LoggingClient for HttpLogging {
    async fn log(&self, id: &str, msg: &str, trace: Option<&Trace>) -> Result<Outcome, Failed> {
        let mut request = Request::new(Method::Post, self.posts.url("/log"));
        request
            .body_json(&LogRequest { id, msg })
            .map_err(|error| Failed::lasting(error.to_string()))?;
        let body = ask(&self.posts, request, trace).await?.0;
        let answer: LogAnswer = serde_json::from_slice(without_bom(&body)).map_err(|error| {
            Failed::passing(match error.classify() {
                serde_json::error::Category::Data => "bad answer: JSON that is none of logging",
                _ => "bad answer: not JSON",
            })
        })?;
        Ok(answer.outcome)
    }

    async fn logs(&self, between: &str, trace: Option<&Trace>) -> Result<String, Failed> {
        let request = Request::new(Method::Get, self.lists.url("/logs"));
        let body = ask(&self.lists, request, trace).await?.0;
        list::joined(without_bom(&body), between)
            .map_err(|_| Failed::passing("bad answer: not a JSON list of texts"))
    }
}

/// The messages service.
pub(super) struct HttpMessages(pub(super) Callee);

impl Display for HttpMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.service().fmt(f)
    }
}

impl Checked for HttpMessages {
    async fn is_there(&self) -> Result<(), String> {
        self.0.is_there("messages service").await
    }
}

impl HttpMessages {
    /// The static text, which the service may send as plain text or as a JSON string.
    pub(super) async fn text(&self, trace: Option<&Trace>) -> Result<String, Failed> {
        let request = Request::new(Method::Get, self.0.url("/static"));
        let (body, answer) = ask(&self.0, request, trace).await?;
        if answer.content_type().is_some_and(|mime| mime.essence() == "application/json") {
            return serde_json::from_slice(without_bom(&body))
                .map_err(|_| Failed::passing("bad answer: JSON that is not one text"));
        }
        Ok(String::from_utf8_lossy(without_bom(&body)).into_owned())
    }
}

#[derive(Serialize)]
struct LogRequest<'a> {
    id: &'a str,
    msg: &'a str,
}

/// A service that does not tell a repeated message from a new one gives `detail` alone.
#[derive(Deserialize)]
struct LogAnswer {
    #[serde(rename = "detail")]
    _detail: String,
    #[serde(default)]
    outcome: Outcome,
}

/// The body of a successful answer.
async fn ask(
    callee: &Callee,
    request: Request,
    trace: Option<&Trace>,
) -> Result<(Vec<u8>, Response), Failed> {
    let why = |error: surf::Error| {
        let kind = match cause(&error) {
            Cause::TooLarge => Kind::Unread,
            Cause::Invalid => Kind::Final,
            _ => Kind::Passing,
        };
        Failed::new(kind, callee.why(&error))
    };
    let mut answer = callee.ask(request, trace).await.map_err(why)?;
    judge(answer.status()).map_err(|failed| failed.after(retry_after(&answer)))?;
    let body = answer.body_bytes().await.map_err(why)?;
    Ok((body, answer))
}

/// Whether this status is a success, and if not, whether another attempt may succeed.
fn judge(status: StatusCode) -> Result<(), Failed> {
    let why = format!("bad answer {status}");
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::InsufficientStorage => Err(Failed::new(Kind::Full, "the log is full")),
        // Too slow or too often: that is temporary.
        StatusCode::RequestTimeout | StatusCode::TooManyRequests => Err(Failed::passing(why)),
        _ if status.is_server_error() => Err(Failed::passing(why)),
        _ => Err(Failed::lasting(why)),
    }
}
