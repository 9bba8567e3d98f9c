//! `echo-service`: answers with the text it was sent; on demand late, or with an error.

use std::{
    fmt::Display,
    net::Ipv4Addr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use argh::{ArgsInfo, FromArgs};
use serde::{Deserialize, Serialize};
use smol::Timer;
use tide::StatusCode;

use super::{add_health, at_get, json, outgoing::check_shorter, parameter};
use crate::{
    cli::{Exit, Period, UsageError, named_setting, setting},
    http::{self, About, ErrorForm, Options},
    random,
};

/// Answers `GET /echo?msg=hello` with {"echo":"hello"}. Delays and errors can be provoked, to see
/// what they do to those who call it.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               curl \"http://127.0.0.1:8080/echo?msg=hello\"\n\
               {command_name} --delay 2s\n\
               {command_name} --fail-first 3 --error-rate 0.1",
    note = "What is provoked concerns /echo only: /health is answered at once and with 200. Runs\n\
            until SIGTERM or Ctrl-C: then it answers what is in flight. A flag beats its\n\
            environment variable, and that beats the default.",
    error_code(0, "it was told to stop, and has answered all"),
    error_code(1, "the port is taken or forbidden, or an answer was cut off"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Arguments {
    /// how long each echo is kept back on purpose, less than --request-timeout; default 0s
    /// (SMOLRING_DELAY)
    #[argh(option, arg_name = "time")]
    delay: Option<Period>,

    /// echoes that are answered 500 on purpose, counted from the start; default 0 (SMOLRING_FAIL_FIRST)
    #[argh(option, arg_name = "echoes")]
    fail_first: Option<u64>,

    /// share of the other echoes that are answered 500 on purpose, by chance, from 0 to 1;
    /// default 0 (SMOLRING_ERROR_RATE)
    #[argh(option, arg_name = "share")]
    error_rate: Option<Share>,
}

/// Runs the service until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    super::start(name, args, defaults(), |arguments, options| {
        let faults = Faults::new(arguments, &options)?;
        let announced = faults.to_string();
        Ok(http::serve(name, app(faults), options, |address| {
            format!(
                "Echo service listening on http://{address}{announced}\n\
                 Try curl \"http://{address}/echo?msg=hello\""
            )
        }))
    })
}

/// What `/` says.
const ABOUT: About = About {
    name: "echo-service",
    does: "says what it was told",
    offers: &[("GET /echo?msg=hello", "the text of msg, as JSON")],
};

/// Port 8080 of 127.0.0.1, with room for 8 KiB of text of which each byte is escaped.
pub fn defaults() -> Options {
    Options {
        ip: Some(Ipv4Addr::LOCALHOST.into()),
        port: 8080,
        url_bytes_max: 32 << 10,
        head_bytes_max: 48 << 10,
        errors: ErrorForm::Problem,
        service: Some("echo-service"),
        about: Some(&ABOUT),
        ..Options::default()
    }
}

/// The answer.
#[derive(Debug, Deserialize, Serialize)]
pub struct Echo {
    /// The text that was sent.
    pub echo: String,
}

/// The application.
pub fn app(faults: Faults) -> tide::Server<()> {
    let faults = Arc::new(faults);
    let mut app = tide::new();
    add_health(&mut app);
    at_get(&mut app, "/echo", move |request| {
        let faults = Arc::clone(&faults);
        async move {
            if !faults.delay.is_zero() {
                Timer::after(faults.delay).await;
            }
            match faults.failure() {
                Some(error) => json(StatusCode::InternalServerError, &Failure { error }),
                None => json(StatusCode::Ok, &Echo { echo: parameter(&request, "msg") }),
            }
        }
    });
    app
}

#[derive(Serialize)]
struct Failure {
    error: &'static str,
}

/// What goes wrong on purpose; by default nothing.
#[derive(Debug, Default)]
pub struct Faults {
    delay: Duration,
    fail_first: u64,
    failed: AtomicU64,
    error_rate: f64,
}

impl Faults {
    fn new(arguments: Arguments, options: &Options) -> Result<Self, UsageError> {
        let delay = named_setting(arguments.delay, "delay", Period(Duration::ZERO))?;
        check_shorter(&delay, &options.name("request-timeout"), options.request_timeout)?;
        let Period(delay) = delay.value;
        let Share(error_rate) = setting(arguments.error_rate, "error-rate", Share(0.0))?;
        let fail_first = setting(arguments.fail_first, "fail-first", 0)?;
        Ok(Self { delay, fail_first, failed: AtomicU64::new(0), error_rate })
    }

    /// Why this echo fails, if it does.
    fn failure(&self) -> Option<&'static str> {
        let another = |failed| (failed < self.fail_first).then_some(failed + 1);
        if self.failed.fetch_update(Relaxed, Relaxed, another).is_ok() {
            return Some("provoked by --fail-first");
        }
        random::happens(self.error_rate).then_some("provoked by --error-rate")
    }
}

/// A line for each fault, each after a line end.
impl Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.delay.is_zero() {
            write!(f, "\nOn purpose: every echo is kept back for {:?}", self.delay)?;
        }
        if self.fail_first > 0 {
            write!(f, "\nOn purpose: the first echoes are answered 500: {}", self.fail_first)?;
        }
        if self.error_rate > 0.0 {
            write!(f, "\nOn purpose: a share of echoes is answered 500: {}", self.error_rate)?;
        }
        Ok(())
    }
}

/// A share of all cases: a number from 0 to 1.
pub(super) struct Share(pub(super) f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| format!("`{text}` is no share; write a number from 0 to 1"))
    }
}
