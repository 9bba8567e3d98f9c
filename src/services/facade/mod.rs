//! `facade-service`: takes messages, and sends each to the logging service until it is kept, once.
//!
//! ```text
//! client -- POST /message --> facade -- POST /log {id, msg}, up to 5 times --> logging
//! client -- GET  /message --> facade -- GET /logs --------------------------> logging
//!                                   \-- GET /static ------------------------> messages
//! ```
//!
//! `/grpc_message` is the same, with `LogMessage` and `GetLogs` of `proto/logging.proto`.
//!
//! **Exactly once** is made of two halves. The facade sends a message again when it does not know
//! whether it arrived: at least once. The logging service keeps one message for each id: at most
//! once. So the facade only has to send the same id each time (`key` says where it comes from), and
//! to stop when trying again is no use (`services/retry.rs` says when). Its answers claim no more
//! than it knows:
//!
//! | answer | the message |
//! |---|---|
//! | 200 | is in the log, once |
//! | 422 | is not: another one has its `Idempotency-Key` |
//! | 502 | is not: the logging service does not take it |
//! | 503 | is not, or may be; it can be sent again with the `message_id` that is in the answer |
//!
//! Users who read do not wait for long: reading is given up after a few seconds, and the answer
//! says which part is missing and why.

mod failover;
mod grpc;
mod held_body;
mod http;
mod key;
pub mod limits;
mod list;
mod logging;
mod routes;

use std::{net::Ipv4Addr, str::FromStr, sync::Arc, time::Duration};

use argh::{ArgsInfo, FromArgs};
use smol::lock::Semaphore;

use self::{
    failover::Failover,
    grpc::GrpcLogging,
    http::{HttpLogging, HttpMessages},
    limits::{
        ANSWER_BYTES_MAX, ATTEMPTS_MAX, BACKOFF_CAP, BODY_BYTES_MAX, GET_BASE, GET_FOR, GETS_MAX,
        LAST_AFTER_PART, LIST_BYTES_MAX, POST_BASE, SERVICES_MAX, TEXT_BYTES_MAX,
    },
    routes::{FacadeShared, Route},
};
use super::{
    outgoing::{Callee, ServiceUrl, check_shorter, check_timeout, in_words, transport},
    retry::Policy,
};
use crate::{
    cli::{self, Exit, Period, UsageError, named_setting, optional, setting},
    grpc::Endpoint,
    http::{About, Bound, ErrorForm, Options, Probe},
};

/// Takes messages with POST /message, hands each to the logging service until it is kept once, and
/// shows them all with GET /message. With /grpc_message it does so over gRPC.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               curl -d '{{\"msg\":\"hello\"}}' http://127.0.0.1:8000/message\n\
               curl http://127.0.0.1:8000/message\n\
               curl -H 'Idempotency-Key: order-7' -d '{{\"msg\":\"hello\"}}' http://127.0.0.1:8000/message\n\
               {command_name} --logging-url http://a.example:8001 --logging-url http://b.example:8001",
    note = "A message that may not have arrived is sent again with the same id, after random waits,\n\
            each up to twice as long as the one before; the last attempt comes when a third of\n\
            --retry-for is over. So logging may be away for that long. Runs until SIGTERM or\n\
            Ctrl-C: then it answers what is in flight. A flag beats its environment variable,\n\
            and that beats the default.",
    error_code(0, "it was told to stop, and has answered all"),
    error_code(1, "the port is taken or forbidden, or an answer was cut off"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Arguments {
    /// where the logging service is, without its /log; may be given several times: the next
    /// attempt goes to the next one; default http://127.0.0.1:8001 (SMOLRING_LOGGING_URL, with commas)
    #[argh(option, arg_name = "url")]
    logging_url: Vec<CommaList<ServiceUrl>>,

    /// where the logging service is over gRPC; may be given several times, as --logging-url;
    /// default 127.0.0.1:50051 (SMOLRING_LOGGING_GRPC, with commas)
    #[argh(option, arg_name = "ip:port")]
    logging_grpc: Vec<CommaList<Endpoint>>,

    /// where the messages service is, without its /static; default http://127.0.0.1:8002
    /// (SMOLRING_MESSAGES_URL)
    #[argh(option, arg_name = "url")]
    messages_url: Option<ServiceUrl>,

    /// how often a message is sent at most, from 1 to 5; default 5 (SMOLRING_ATTEMPTS)
    #[argh(option, arg_name = "number")]
    attempts: Option<u32>,

    /// how long one attempt may take, from 10ms on and less than --retry-for; default 1s
    /// (SMOLRING_ATTEMPT_TIMEOUT)
    #[argh(option, arg_name = "time")]
    attempt_timeout: Option<Period>,

    /// how long all attempts may take together, less than --request-timeout; default 15s
    /// (SMOLRING_RETRY_FOR)
    #[argh(option, arg_name = "time")]
    retry_for: Option<Period>,
}

/// Runs the service until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    super::start(name, args, defaults(), |arguments, options| {
        let settings = Settings::new(arguments, &options)?;
        let announced = settings.announced();
        let app = |bound: &Bound| settings.app(bound);
        Ok(crate::http::serve_saying(name, options, app, |address| {
            format!(
                "Facade service listening on http://{address}\n{announced}\n\
                 Try curl -d '{{\"msg\":\"hello\"}}' http://{address}/message"
            )
        }))
    })
}

/// What `/` says.
const ABOUT: About = About {
    name: "facade-service",
    does: "takes messages, and hands each on until it is kept, once",
    offers: &[
        ("POST /message", "takes {\"msg\":\"hello\"}, over HTTP"),
        ("GET /message", "all messages, and the static text"),
        ("POST /grpc_message", "takes {\"msg\":\"hello\"}, over gRPC"),
        ("GET /grpc_message", "the same as /message, over gRPC"),
    ],
};

/// Port 8000 of 127.0.0.1, and enough time at the end for messages that are still being tried.
pub fn defaults() -> Options {
    Options {
        ip: Some(Ipv4Addr::LOCALHOST.into()),
        port: 8000,
        body_bytes_max: BODY_BYTES_MAX,
        drain_timeout: Duration::from_secs(20),
        errors: ErrorForm::Problem,
        service: Some("facade-service"),
        about: Some(&ABOUT),
        ..Options::default()
    }
}

/// When and how often a message is sent on.
pub(super) fn posts(attempts: u32, attempt_timeout: Duration, overall: Duration) -> Policy {
    let last_after = (overall / LAST_AFTER_PART).min(overall.saturating_sub(attempt_timeout));
    Policy { attempts, base: POST_BASE, cap: BACKOFF_CAP, last_after, attempt_timeout, overall }
}

/// The same for reading, which does not wait for a service to come back.
fn gets(posts: &Policy) -> Policy {
    let overall = posts.overall.min(GET_FOR);
    let attempt_timeout = posts.attempt_timeout.min(overall / 2);
    Policy { base: GET_BASE, last_after: Duration::ZERO, attempt_timeout, overall, ..*posts }
}

/// What the command line and the environment set.
struct Settings {
    logging: Vec<ServiceUrl>,
    grpc: Vec<Endpoint>,
    messages: ServiceUrl,
    posts: Policy,
}

impl Settings {
    fn new(arguments: Arguments, options: &Options) -> Result<Self, UsageError> {
        let logging = addresses(arguments.logging_url, "logging-url", "http://127.0.0.1:8001")?;
        let grpc = addresses(arguments.logging_grpc, "logging-grpc", "127.0.0.1:50051")?;
        let default = "http://127.0.0.1:8002".parse().map_err(UsageError)?;
        let messages = setting(arguments.messages_url, "messages-url", default)?;
        let attempts = named_setting(arguments.attempts, "attempts", ATTEMPTS_MAX)?;
        if !(1..=ATTEMPTS_MAX).contains(&attempts.value) {
            return Err(attempts.wrong(format_args!("is not between 1 and {ATTEMPTS_MAX}")));
        }
        let seconds = |seconds| Period(Duration::from_secs(seconds));
        let timeout = named_setting(arguments.attempt_timeout, "attempt-timeout", seconds(1))?;
        let overall = named_setting(arguments.retry_for, "retry-for", seconds(15))?;
        check_timeout(&timeout)?;
        check_shorter(&timeout, &overall.name, overall.value.0)?;
        check_shorter(&overall, &options.name("request-timeout"), options.request_timeout)?;
        let posts = posts(attempts.value, timeout.value.0, overall.value.0);
        Ok(Self { logging, grpc, messages, posts })
    }

    /// The lines about it that are printed when the port is open.
    fn announced(&self) -> String {
        let (logging, grpc) = (any_of(&self.logging), any_of(&self.grpc));
        let messages = &self.messages;
        let Policy { attempts, attempt_timeout, overall, .. } = self.posts;
        let (attempt, overall) = (in_words(attempt_timeout), in_words(overall));
        format!(
            "Logging at {logging}, over gRPC at {grpc}, messages at {messages}\n\
             Up to {attempts} attempts, {attempt} for each, {overall} for all"
        )
    }

    fn app(self, bound: &Bound) -> (tide::Server<()>, Probe) {
        let lines = bound.lines();
        let retries = bound.metrics().counter(
            "smolring_retries_total",
            "Further attempts at another service, after one that failed.",
        );
        let gets = gets(&self.posts);
        let (post, get) = (self.posts.attempt_timeout, gets.attempt_timeout);
        let services = self.logging.len();
        let posts = transport(services, post, ANSWER_BYTES_MAX);
        let lists = transport(services, get, LIST_BYTES_MAX);
        let texts = transport(1, get, TEXT_BYTES_MAX);
        let logging = self.logging.into_iter().map(|url| HttpLogging {
            posts: Callee::new(url.clone(), &posts, post),
            lists: Callee::new(url, &lists, get),
        });
        let logging = Failover::new(logging.collect(), lines.clone(), retries.clone());
        let messages = vec![HttpMessages(Callee::new(self.messages, &texts, get))];
        let shared = Arc::new(FacadeShared {
            messages: Failover::new(messages, lines.clone(), retries.clone()),
            posts: self.posts,
            gets,
            gets_left: Arc::new(Semaphore::new(GETS_MAX)),
        });
        let mut app = routes::app();
        let route = Route { path: "/message", logging, between: ", ", before_static: " | " };
        let by_http = routes::add(&mut app, &shared, route);
        let logging = self.grpc.into_iter().map(|endpoint| GrpcLogging::new(endpoint, post, get));
        let logging = Failover::new(logging.collect(), lines.clone(), retries.clone());
        let route = Route { path: "/grpc_message", logging, between: " ", before_static: " " };
        let by_grpc = routes::add(&mut app, &shared, route);
        let probe: Probe = Arc::new(move || {
            let (shared, by_http, by_grpc) = (shared.clone(), by_http.clone(), by_grpc.clone());
            Box::pin(async move {
                by_http.logging.any_is_there().await?;
                by_grpc.logging.any_is_there().await?;
                shared.messages.any_is_there().await
            })
        });
        (app, probe)
    }
}

/// The addresses that were given as flags, else in the environment, else the default.
fn addresses<A: FromStr<Err = String>>(
    given: Vec<CommaList<A>>,
    option: &str,
    default: &str,
) -> Result<Vec<A>, UsageError> {
    let (given, name) = match given.is_empty() {
        true => (optional(None, option)?.into_iter().collect(), cli::variable(option)),
        false => (given, format!("--{option}")),
    };
    let mut addresses: Vec<A> = given.into_iter().flat_map(|CommaList(list)| list).collect();
    if addresses.is_empty() {
        addresses.push(default.parse().map_err(UsageError)?);
    }
    match addresses.len() {
        1..=SERVICES_MAX => Ok(addresses),
        count => Err(UsageError(format!("{count} times {name}: give {SERVICES_MAX} at most"))),
    }
}

fn any_of(addresses: &[impl ToString]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// One or several, with commas between them.
struct CommaList<T>(Vec<T>);

impl<T: FromStr<Err = String>> FromStr for CommaList<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|item| item.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}
