//! The logging service, as it is called over gRPC.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use tonic::{Code, Request, Status, metadata::MetadataValue};

use super::{
    failover::Checked,
    limits::GRPC_LIST_BYTES_MAX,
    logging::{LoggingClient, Outcome},
};
use crate::{
    grpc::{
        Channel, Endpoint, health,
        logging::{
            self, Empty, LOG_FULL, LogRequest, REASON, logging_service_client::LoggingServiceClient,
        },
    },
    http::{Trace, within},
    services::{
        outgoing::{RETRY_AFTER_MAX, in_short, in_words},
        retry::{Failed, Kind},
    },
};

/// One logging service, over one connection.
pub(super) struct GrpcLogging {
    endpoint: Endpoint,
    channel: Channel,
    client: LoggingServiceClient<Channel>,
    /// For a message.
    post_timeout: Duration,
    /// For the list.
    get_timeout: Duration,
}

impl GrpcLogging {
    pub(super) fn new(endpoint: Endpoint, post: Duration, get: Duration) -> Self {
        let channel = Channel::new(endpoint.clone());
        let client = LoggingServiceClient::new(channel.clone())
            .max_decoding_message_size(GRPC_LIST_BYTES_MAX);
        Self { endpoint, channel, client, post_timeout: post, get_timeout: get }
    }
}

impl Display for GrpcLogging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grpc://{}", self.endpoint)
    }
}

impl Checked for GrpcLogging {
    async fn is_there(&self) -> Result<(), String> {
        let timeout = self.post_timeout;
        let asked = within(timeout, health::is_serving(self.channel.clone(), "")).await;
        let why = match asked {
            Some(Ok(true)) => return Ok(()),
            // It answers, and knows nothing of health.
            Some(Err(status)) if status.code() == Code::Unimplemented => return Ok(()),
            Some(Ok(false)) => "it says that it is not ready".into(),
            Some(Err(status)) => failed(&status, timeout).why,
            None => format!("timed out after {}", in_words(timeout)),
        };
        Err(format!("logging service over gRPC unavailable: {why}"))
    }
}

impl LoggingClient for GrpcLogging {
    async fn log(&self, id: &str, msg: &str, trace: Option<&Trace>) -> Result<Outcome, Failed> {
        let timeout = self.post_timeout;
        let message = LogRequest { id: id.into(), msg: msg.into() };
        let answer = self.client.clone().log_message(request(message, timeout, trace)).await;
        let answer = answer.map_err(|status| failed(&status, timeout))?.into_inner();
        Ok(match answer.outcome() {
            // A service that leaves the outcome unspecified has the message in its log.
            logging::Outcome::Unspecified | logging::Outcome::Logged => Outcome::Logged,
            logging::Outcome::Duplicate => Outcome::Duplicate,
            logging::Outcome::Conflict => Outcome::Conflict,
        })
    }

    async fn logs(&self, between: &str, trace: Option<&Trace>) -> Result<String, Failed> {
        let timeout = self.get_timeout;
        let answer = self.client.clone().get_logs(request(Empty {}, timeout, trace)).await;
        let answer = answer.map_err(|status| failed(&status, timeout))?;
        Ok(answer.into_inner().logs.join(between))
    }
}

/// A request with a deadline and the metadata of `trace`.
fn request<T>(message: T, timeout: Duration, trace: Option<&Trace>) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    for (name, value) in trace.into_iter().flat_map(Trace::headers) {
        if let Ok(value) = MetadataValue::try_from(value) {
            request.metadata_mut().insert(name, value);
        }
    }
    request
}

/// Why there was no answer, in printable words, and whether another attempt may bring one.
/// Repeating a message does no harm, so everything that may be temporary is tried again.
fn failed(status: &Status, timeout: Duration) -> Failed {
    let kind = match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Cancelled
        | Code::Internal
        | Code::Unknown => Kind::Passing,
        Code::ResourceExhausted => match status.metadata().get(REASON) {
            Some(reason) if reason == LOG_FULL => Kind::Full,
            // For example, the service limits the rate of calls.
            _ => Kind::Passing,
        },
        // The answer is longer than this client accepts.
        Code::OutOfRange => Kind::Unread,
        _ => Kind::Final,
    };
    let why = match status.code() {
        Code::DeadlineExceeded => format!("timed out after {}", in_words(timeout)),
        code if status.message().is_empty() => format!("{code:?}"),
        _ => in_short(status.message()),
    };
    Failed::new(kind, why).after(pushback(status))
}

/// How long the service asks its client to wait (gRFC A6). A negative number asks for no other attempt,
/// which a message that may be lost does not grant.
fn pushback(status: &Status) -> Option<Duration> {
    let millis = status.metadata().get("grpc-retry-pushback-ms")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis).min(RETRY_AFTER_MAX))
}
