//! `caller-service`: asks the echo service, and answers even when the echo service does not.

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use argh::{ArgsInfo, FromArgs};
use serde::Serialize;
use tide::{
    Request, StatusCode,
    http::{Url, headers::RETRY_AFTER},
};

use super::{
    add_health, at_get,
    echo::{self, Echo},
    json,
    outgoing::{
        Callee, ServiceUrl, check_shorter, check_timeout, in_words, retry_after,
        retry_after_seconds, transport,
    },
    parameter, problem, without_bom,
};
use crate::{
    cli::{Exit, Period, UsageError, named_setting, setting},
    http::{self, About, Options, Probe, Trace},
};

/// Bytes of an echo that are read at most.
const ECHO_BYTES_MAX: u64 = 1 << 20;
/// Seconds after which a client may try again. A failed attempt is cheap, so the wait is short.
const RETRY_AFTER_S: u64 = 1;
/// The path of the echo service that is called.
const PATH: &str = "/echo";

/// Answers `GET /call-echo?msg=hello` with what the echo service says to it, and with 503 and the
/// cause if that does not answer well and in time.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               curl \"http://127.0.0.1:8081/call-echo?msg=hello\"\n\
               {command_name} --echo-url http://echo.example:8080 --timeout 500ms",
    note = "The echo service may come and go while this one runs: every request tries anew. Runs\n\
            until SIGTERM or Ctrl-C: then it answers what is in flight. A flag beats its\n\
            environment variable, and that beats the default.",
    error_code(0, "it was told to stop, and has answered all"),
    error_code(1, "the port is taken or forbidden, or an answer was cut off"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Arguments {
    /// where the echo service is, without its /echo; default http://127.0.0.1:8080 (SMOLRING_ECHO_URL)
    #[argh(option, arg_name = "url")]
    echo_url: Option<ServiceUrl>,

    /// how long one call of the echo service may take in all, from 10ms on and less than
    /// --request-timeout; default 1s (SMOLRING_TIMEOUT)
    #[argh(option, arg_name = "time")]
    timeout: Option<Period>,
}

/// Runs the service until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    super::start(name, args, defaults(), |arguments, options| {
        let caller = Caller::new(arguments, &options)?;
        let (url, timeout) = (caller.echo.url(PATH), in_words(caller.echo.timeout()));
        let calls = format!("Calls {url}, for {timeout} at most");
        Ok(http::serve_saying(
            name,
            options,
            |_| app(caller),
            |address| {
                format!(
                    "Caller service listening on http://{address}\n{calls}\n\
                 Try curl \"http://{address}/call-echo?msg=hello\""
                )
            },
        ))
    })
}

/// What `/` says.
const ABOUT: About = About {
    name: "caller-service",
    does: "asks the echo service, and answers even when that does not",
    offers: &[(
        "GET /call-echo?msg=hello",
        "what the echo service says to it, or why it says nothing",
    )],
};

/// Port 8081 of 127.0.0.1; everything else as for the echo service.
pub fn defaults() -> Options {
    Options { port: 8081, service: Some("caller-service"), about: Some(&ABOUT), ..echo::defaults() }
}

fn app(caller: Caller) -> (tide::Server<()>, Probe) {
    let caller = Arc::new(caller);
    let probed = caller.clone();
    let probe: Probe = Arc::new(move || {
        let caller = probed.clone();
        Box::pin(async move { caller.echo.is_there("echo service").await })
    });
    let mut app = tide::new();
    add_health(&mut app);
    at_get(&mut app, "/call-echo", move |request| {
        let caller = Arc::clone(&caller);
        async move { answer(&caller, &request).await }
    });
    (app, probe)
}

async fn answer(caller: &Caller, request: &Request<()>) -> tide::Result {
    let began = Instant::now();
    let Some(url) = caller.url_for(&parameter(request, "msg")) else {
        let detail = "msg is too long to be passed on".into();
        return problem(StatusCode::UriTooLong, detail, ());
    };
    match caller.call(url, request.ext()).await {
        Ok(echo) => json(StatusCode::Ok, &Combined { service_a: echo, service_b: "ok" }),
        Err(NoEcho { error, retry_after }) => {
            if let Some(trace) = request.ext::<Trace>() {
                trace.explain(&error);
            }
            let elapsed_ms = began.elapsed().as_millis() as u64;
            let (service_a, service_b) = ("unavailable", "ok");
            let body = Unavailable { error, service_a, service_b, elapsed_ms };
            let mut answer = json(StatusCode::ServiceUnavailable, &body)?;
            answer.insert_header(RETRY_AFTER, retry_after_seconds(RETRY_AFTER_S, retry_after));
            Ok(answer)
        }
    }
}

/// Service A is the echo service, service B this one.
#[derive(Serialize)]
struct Combined {
    service_a: Echo,
    service_b: &'static str,
}

#[derive(Serialize)]
struct Unavailable {
    error: String,
    service_a: &'static str,
    service_b: &'static str,
    /// Milliseconds from the request to this answer.
    elapsed_ms: u64,
}

struct Caller {
    echo: Callee,
    url_bytes_max: usize,
}

impl Caller {
    fn new(arguments: Arguments, options: &Options) -> Result<Self, UsageError> {
        let default = ServiceUrl::from_str("http://127.0.0.1:8080").map_err(UsageError)?;
        let service = setting(arguments.echo_url, "echo-url", default)?;
        let second = Period(Duration::from_secs(1));
        let timeout = named_setting(arguments.timeout, "timeout", second)?;
        check_timeout(&timeout)?;
        check_shorter(&timeout, &options.name("request-timeout"), options.request_timeout)?;
        let Period(timeout) = timeout.value;
        let transport = transport(1, timeout, ECHO_BYTES_MAX);
        let echo = Callee::new(service, &transport, timeout);
        Ok(Self { echo, url_bytes_max: options.url_bytes_max })
    }

    /// Where to ask for an echo of `msg`. `None`: the URL would be longer than the echo service
    /// accepts. It can be longer than the URL in which `msg` came, because more is escaped here.
    fn url_for(&self, msg: &str) -> Option<Url> {
        let mut url = self.echo.url(PATH);
        url.query_pairs_mut().append_pair("msg", msg);
        (url.path().len() + 1 + url.query().map_or(0, str::len) <= self.url_bytes_max)
            .then_some(url)
    }

    /// The echo service's answer, or why there is no usable one.
    async fn call(&self, url: Url, trace: Option<&Trace>) -> Result<Echo, NoEcho> {
        let request = surf::Request::new(surf::http::Method::Get, url);
        let mut answer = self.echo.ask(request, trace).await.map_err(|it| self.echo.why(&it))?;
        if !answer.status().is_success() {
            let error = format!("bad answer {}", answer.status());
            return Err(NoEcho { error, retry_after: retry_after(&answer) });
        }
        let body = answer.body_bytes().await.map_err(|it| self.echo.why(&it))?;
        serde_json::from_slice(without_bom(&body)).map_err(|error| {
            NoEcho::from(match error.classify() {
                serde_json::error::Category::Data => "bad answer: JSON without a text \"echo\"",
                _ => "bad answer: not JSON",
            })
        })
    }
}

/// Why there is no echo.
struct NoEcho {
    error: String,
    /// How long the echo service has asked to be left alone.
    retry_after: Option<Duration>,
}

impl<T: Into<String>> From<T> for NoEcho {
    fn from(error: T) -> Self {
        Self { error: error.into(), retry_after: None }
    }
}
