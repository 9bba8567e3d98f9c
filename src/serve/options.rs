//! The options that every service has, each defined once: name, help, and how it is read and shown.
//!
//! One rule makes the environment variable of an option out of its name: [`variable`]. The
//! services' variables have no prefix, those of a node begin with `SMOLRING_`.
//!
//! argh has no way to put one set of options into several commands. So [`parse`] has the shared
//! ones taken out of the command line, while argh reads the rest into the service's own struct, and
//! adds them to its `--help`, in the same form.

use std::{
    env,
    fmt::{self, Display},
    net::IpAddr,
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use argh::{ArgsInfo, FromArgs};

use super::errors::ErrorForm;
use crate::cli::{self, ByteSize, Exit, Given, Period, SharedOption, UsageError};

/// Where a service listens, what it takes from a client, how long it waits for one, and what it
/// logs. A service changes the defaults; the user changes the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The address to listen on; `None` is every address of the host, IPv6 and IPv4.
    pub ip: Option<IpAddr>,
    /// The port to listen on; 0 is any free one.
    pub port: u16,
    /// Threads that serve. One is best until one core is not enough.
    pub threads: usize,
    /// Connections at a time. Others wait in the kernel's backlog, until one ends or is idle.
    pub connections_max: usize,
    /// Requests that one connection may make before it is closed.
    pub requests_max: u64,
    /// Bytes of a request's line and headers; over that 431.
    pub head_bytes_max: usize,
    /// Headers of a request; over that 431.
    pub headers_max: usize,
    /// Bytes of a request's path and query; over that 414.
    pub url_bytes_max: usize,
    /// Bytes of a request's body; over that 413.
    pub body_bytes_max: usize,
    /// For the handler, and for the head and the body where they have no limit of their own.
    pub request_timeout: Duration,
    /// From the first byte of a request to the end of its head; over that 408. From the opening of a
    /// connection to the first byte; then it is just closed.
    pub head_timeout: Option<Duration>,
    /// From the end of the head to the end of the body; over that 408.
    pub body_timeout: Option<Duration>,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
    /// What a line of the access log looks like.
    pub log_format: LogFormat,
    /// No access log.
    pub is_quiet: bool,
    /// How it is said why a request is refused. Not an option: the service sets it.
    pub errors: ErrorForm,
    /// Methods that are not registered are answered too, as other requests are, and not with 501.
    /// Not an option: the service sets it.
    pub takes_all_methods: bool,
    /// The service's name, if its requests are to be followed from service to service: then each
    /// has a [`Trace`](crate::http::Trace), its answer has an `x-request-id`, and the log has the
    /// three. Not an option: the service sets it.
    pub service: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ip: None,
            port: 8080,
            threads: 1,
            connections_max: 1024,
            requests_max: 1_000_000,
            head_bytes_max: 32 << 10,
            headers_max: 100,
            url_bytes_max: 8 << 10,
            body_bytes_max: 1 << 20,
            request_timeout: Duration::from_secs(30),
            head_timeout: None,
            body_timeout: None,
            keep_alive: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
            log_format: LogFormat::Text,
            is_quiet: false,
            errors: ErrorForm::Line,
            takes_all_methods: false,
            service: None,
        }
    }
}

impl Options {
    pub(crate) fn head_timeout(&self) -> Duration {
        self.head_timeout.unwrap_or(self.request_timeout)
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        self.body_timeout.unwrap_or(self.request_timeout)
    }
}

/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2024-01-01T12:00:00.000Z - GET /path 200 13 0.042ms 127.0.0.1:50312`, and where requests
    /// are followed ` service=… request_id=… traceparent=…`, and maybe ` cause="…"`; of a gRPC call,
    /// ` grpc_status=0`
    #[default]
    Text,
    /// The same as one JSON object: `time`, `method`, `url`, `status`, `bytes`, `duration_ms`,
    /// `client`, and maybe `grpc_status`, `service`, `request_id`, `traceparent`, `cause`.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is no log format; write text or json")),
        }
    }
}

impl Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The environment variable of an option: `--check-interval` with the prefix `SMOLRING_` is
/// `SMOLRING_CHECK_INTERVAL`.
pub(crate) fn variable(prefix: &str, option: &str) -> String {
    format!("{prefix}{}", option.to_uppercase().replace('-', "_"))
}

/// All that there is to know about one option.
struct OptionRow {
    name: &'static str,
    /// `None`: a switch. It takes no value, and its variable is 1 or 0.
    value: Option<&'static str>,
    /// The default is put in for `{}`.
    help: &'static str,
    show: fn(&Options) -> String,
    set: fn(&mut Options, &str) -> Result<(), String>,
}

impl OptionRow {
    /// `IP` alone would say too little in an environment that many programs share.
    fn variable(&self) -> String {
        variable(if self.name == "ip" { "LISTEN_" } else { "" }, self.name)
    }
}

const TIMES: RangeInclusive<Period> =
    Period(Duration::from_millis(10))..=Period(Duration::from_secs(24 * 3600));

/// In the order of the help.
const SHARED: &[OptionRow] = &[
    OptionRow {
        name: "ip",
        value: Some("ip"),
        help: "address to listen on; default {}",
        show: |it| it.ip.map_or("every address, IPv6 and IPv4".into(), |ip| ip.to_string()),
        set: |it, text| parsed(text).map(|ip| it.ip = Some(ip)),
    },
    OptionRow {
        name: "port",
        value: Some("port"),
        help: "port to listen on, 0 for any free one; default {}",
        show: |it| it.port.to_string(),
        set: |it, text| parsed(text).map(|port| it.port = port),
    },
    OptionRow {
        name: "threads",
        value: Some("threads"),
        help: "threads that serve; more than one pays when one core is busy; default {}",
        show: |it| it.threads.to_string(),
        set: |it, text| ranged(text, 1..=256).map(|threads| it.threads = threads),
    },
    OptionRow {
        name: "max-connections",
        value: Some("connections"),
        help: "connections at a time, others wait until one ends or is idle; default {}",
        show: |it| it.connections_max.to_string(),
        set: |it, text| ranged(text, 1..=1_000_000).map(|max| it.connections_max = max),
    },
    OptionRow {
        name: "max-requests",
        value: Some("requests"),
        help: "requests of one connection, then it is closed; default {}",
        show: |it| it.requests_max.to_string(),
        set: |it, text| ranged(text, 1..=u64::MAX).map(|max| it.requests_max = max),
    },
    OptionRow {
        name: "max-head-bytes",
        value: Some("size"),
        help: "line and headers of a request, over that 431; default {}",
        show: |it| ByteSize(it.head_bytes_max as u64).to_string(),
        set: |it, text| size(text, 256..=1 << 20).map(|max| it.head_bytes_max = max),
    },
    OptionRow {
        name: "max-headers",
        value: Some("headers"),
        help: "headers of a request, over that 431; default {}",
        show: |it| it.headers_max.to_string(),
        set: |it, text| ranged(text, 1..=10_000).map(|max| it.headers_max = max),
    },
    OptionRow {
        name: "max-url-bytes",
        value: Some("size"),
        help: "path and query of a request, over that 414; default {}",
        show: |it| ByteSize(it.url_bytes_max as u64).to_string(),
        set: |it, text| size(text, 16..=60 << 10).map(|max| it.url_bytes_max = max),
    },
    OptionRow {
        name: "max-body-bytes",
        value: Some("size"),
        help: "body of a request, over that 413; default {}",
        show: |it| ByteSize(it.body_bytes_max as u64).to_string(),
        set: |it, text| size(text, 0..=1 << 30).map(|max| it.body_bytes_max = max),
    },
    OptionRow {
        name: "request-timeout",
        value: Some("time"),
        help: "how long an answer may take to make, over that 408; default {}",
        show: |it| Period(it.request_timeout).to_string(),
        set: |it, text| ranged(text, TIMES).map(|Period(time)| it.request_timeout = time),
    },
    OptionRow {
        name: "head-timeout",
        value: Some("time"),
        help: "how long a request's line and headers may take to come, over that 408; default {}",
        show: |it| or_request_timeout(it.head_timeout),
        set: |it, text| ranged(text, TIMES).map(|Period(time)| it.head_timeout = Some(time)),
    },
    OptionRow {
        name: "body-timeout",
        value: Some("time"),
        help: "how long a request's body may take to come, over that 408; default {}",
        show: |it| or_request_timeout(it.body_timeout),
        set: |it, text| ranged(text, TIMES).map(|Period(time)| it.body_timeout = Some(time)),
    },
    OptionRow {
        name: "keep-alive",
        value: Some("time"),
        help: "how long a connection may be idle between two requests; default {}",
        show: |it| Period(it.keep_alive).to_string(),
        set: |it, text| ranged(text, TIMES).map(|Period(time)| it.keep_alive = time),
    },
    OptionRow {
        name: "drain-timeout",
        value: Some("time"),
        help: "how long a shutdown waits for requests in flight; default {}",
        show: |it| Period(it.drain_timeout).to_string(),
        set: |it, text| ranged(text, TIMES).map(|Period(time)| it.drain_timeout = time),
    },
    OptionRow {
        name: "log-format",
        value: Some("format"),
        help: "access log as text or json; default {}",
        show: |it| it.log_format.to_string(),
        set: |it, text| parsed(text).map(|format| it.log_format = format),
    },
    OptionRow {
        name: "quiet",
        value: None,
        help: "no access log",
        show: |_| String::new(),
        set: |it, text| {
            it.is_quiet = match text {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(format!("`{text}` is neither 1 nor 0")),
            };
            Ok(())
        },
    },
];

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|cause: T::Err| cli::plain_cause(&cause.to_string()).to_owned())
}

fn ranged<T>(text: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr<Err: Display> + PartialOrd + Display,
{
    let value = parsed(text)?;
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("{value} is not between {} and {}", range.start(), range.end()))
}

fn size(text: &str, range: RangeInclusive<u64>) -> Result<usize, String> {
    let range = ByteSize(*range.start())..=ByteSize(*range.end());
    ranged(text, range).map(|ByteSize(bytes)| bytes as usize)
}

fn or_request_timeout(time: Option<Duration>) -> String {
    time.map_or("that of --request-timeout".into(), |time| Period(time).to_string())
}

/// Reads a service's command line and environment: its own options into `T`, the shared ones into
/// `defaults`. When there is nothing left to do, `Err` has the exit code, as with [`cli::parse`].
pub fn parse<T: FromArgs + ArgsInfo>(
    name: &str,
    args: &[String],
    defaults: Options,
) -> Result<(T, Options), Exit> {
    let (own, flags) = cli::parse_with(name, args, &shared(), &help(&defaults))?;
    let merged = merge(defaults, &flags, |variable| env::var_os(variable));
    merged.map(|options| (own, options)).map_err(|error| cli::usage(name, &error))
}

/// The shared options, as the command line knows them.
fn shared() -> Vec<SharedOption> {
    SHARED.iter().map(|it| SharedOption { name: it.name, value: it.value }).collect()
}

/// Flag, else environment, else default. An empty variable counts as not set.
fn merge(
    mut options: Options,
    flags: &Given,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<Options, UsageError> {
    for option in SHARED {
        if let Some(value) = flags.get(option.name) {
            (option.set)(&mut options, value)
                .map_err(|cause| UsageError(format!("--{} {value}: {cause}", option.name)))?;
        } else if let Some(value) = variable(&option.variable()).filter(|value| !value.is_empty()) {
            let wrong = |cause: &str| {
                let (name, value) = (option.variable(), value.display());
                UsageError(format!("the environment has {name}={value}, which is wrong: {cause}"))
            };
            let text = value.to_str().ok_or_else(|| wrong("it is not UTF-8"))?;
            (option.set)(&mut options, text).map_err(|cause| wrong(&cause))?;
        }
    }
    Ok(options)
}

/// The shared options as lines of a help text.
fn help(defaults: &Options) -> String {
    let mut text = String::new();
    for option in SHARED {
        let shown = option.help.replace("{}", &(option.show)(defaults));
        let help = format!("{shown} ({})", option.variable());
        cli::describe(&mut text, &format!("--{}", option.name), &help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], environment: &[(&str, &str)]) -> Result<Options, String> {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        let flags = cli::given(&args, &shared()).map_err(|error| error.0)?;
        let find = |name: &str| {
            environment.iter().find(|(variable, _)| *variable == name).map(|(_, it)| it.into())
        };
        merge(Options::default(), &flags, find).map_err(|error| error.0)
    }

    #[test]
    fn a_flag_beats_the_environment_and_that_beats_the_default() {
        assert_eq!(read(&[], &[]), Ok(Options::default()));
        assert_eq!(read(&[], &[("PORT", "1")]).unwrap().port, 1);
        assert_eq!(read(&["--port", "2"], &[("PORT", "1")]).unwrap().port, 2);
        assert_eq!(read(&["--port=3"], &[("PORT", "bad")]).unwrap().port, 3);
        assert_eq!(read(&[], &[("PORT", "")]).unwrap().port, 8080);
        let options = read(&["--quiet", "--ip", "::1"], &[("REQUEST_TIMEOUT", "60")]).unwrap();
        assert_eq!(options.request_timeout, Duration::from_secs(60));
        assert_eq!(options.head_timeout(), Duration::from_secs(60));
        assert!(options.is_quiet);
        assert_eq!(options.ip, Some("::1".parse().unwrap()));
        assert!(!read(&[], &[("QUIET", "0")]).unwrap().is_quiet);
    }

    #[test]
    fn one_rule_names_the_variables() {
        assert_eq!(variable("SMOLRING_", "check-interval"), "SMOLRING_CHECK_INTERVAL");
        let all: Vec<String> = SHARED.iter().map(OptionRow::variable).collect();
        assert_eq!(all[..4], ["LISTEN_IP", "PORT", "THREADS", "MAX_CONNECTIONS"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (args, part) in [
            (&["--port", "70000"][..], "--port 70000"),
            (&["--port"], "needs a value"),
            (&["--port", "1", "--port", "1"], "twice"),
            (&["--request-timeout", "1ms"], "between 10ms and"),
            (&["--threads", "0"], "between 1 and"),
            (&["--log-format", "xml"], "text or json"),
            (&["--max-body-bytes", "2GiB"], "1GiB"),
        ] {
            let error = read(args, &[]).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(read(&[], &[("PORT", "x")]).unwrap_err().contains("PORT=x"));
    }

    #[test]
    fn the_help_has_every_option_its_default_and_its_variable() {
        let text = help(&Options::default());
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for option in SHARED {
            assert!(flat.contains(&format!("--{} ", option.name)), "{text}");
            assert!(flat.contains(&format!("({})", option.variable())), "{text}");
        }
        assert!(flat.contains("default 1MiB (MAX_BODY_BYTES)"), "{text}");
        assert!(text.contains("  --port            port to listen on"), "{text}");
    }
}
