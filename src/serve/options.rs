//! The options that every service has, each defined once: name, help, and how it is read and shown.
//!
//! One rule makes the environment variable of an option out of its name: [`variable`](cli::variable).
//! Three options have a second variable, without the prefix: what is usual at many hosts, as `PORT`.
//!
//! argh has no way to put one set of options into several commands. So [`parse`] has the shared
//! ones taken out of the command line, while argh reads the rest into the service's own struct, and
//! adds them to its `--help`, in the same form.

use std::{
    collections::BTreeMap,
    fmt::Display,
    net::{IpAddr, ToSocketAddrs},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use argh::{ArgsInfo, FromArgs};

use super::{about::About, cors::Cors, errors::ErrorForm, log_format::LogFormat};
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
    /// How long a server that is told to end still accepts, while it says that it is not ready.
    pub grace: Duration,
    /// How long a shutdown waits for requests in flight, once nothing more is accepted.
    pub drain_timeout: Duration,
    /// What a line of the access log looks like.
    pub log_format: LogFormat,
    /// No access log, and no text of a message in any line.
    pub is_quiet: bool,
    /// The client's address is the last one of `X-Forwarded-For`, which the proxy in front has added.
    /// Without a proxy, a client could write anything there.
    pub trusts_proxy: bool,
    /// Pages of these origins may use the service from a browser.
    pub cors: Option<Cors>,
    /// What `/` says of the service; `None`: `/` is the application's. Not an option: the service sets
    /// it.
    pub about: Option<&'static About>,
    /// The variables that have set options, by the names of these options.
    pub variables: BTreeMap<&'static str, String>,
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
            grace: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            log_format: LogFormat::Text,
            is_quiet: false,
            trusts_proxy: false,
            cors: None,
            about: None,
            variables: BTreeMap::new(),
            errors: ErrorForm::Line,
            takes_all_methods: false,
            service: None,
        }
    }
}

impl Options {
    /// What to change in order to change an option: `--port`, or the variable that has set it.
    pub(crate) fn name(&self, option: &str) -> String {
        self.variables.get(option).cloned().unwrap_or_else(|| format!("--{option}"))
    }

    pub(crate) fn head_timeout(&self) -> Duration {
        self.head_timeout.unwrap_or(self.request_timeout)
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        self.body_timeout.unwrap_or(self.request_timeout)
    }
}

/// Options whose variable may also be written without the prefix.
const USUAL: &[(&str, &str)] =
    &[("port", "PORT"), ("request-timeout", "REQUEST_TIMEOUT"), ("log-format", "LOG_FORMAT")];

/// All that there is to know about one option.
struct OptionRow {
    name: &'static str,
    short: Option<char>,
    /// `None`: a switch. It takes no value, and its variable is 1 or 0.
    value: Option<&'static str>,
    /// The default is put in for `{}`.
    help: &'static str,
    show: fn(&Options) -> String,
    set: fn(&mut Options, &str) -> Result<(), String>,
}

impl OptionRow {
    /// The variable that the help names.
    fn variable(&self) -> String {
        self.variables().pop().unwrap_or_default()
    }

    /// Its variables. The first that is set counts.
    fn variables(&self) -> Vec<String> {
        let usual = USUAL.iter().filter(|(name, _)| *name == self.name);
        let usual = usual.map(|(_, variable)| (*variable).to_owned());
        [cli::variable(self.name)].into_iter().chain(usual).collect()
    }
}

const TIMES: RangeInclusive<Period> =
    Period(Duration::from_millis(10))..=Period(Duration::from_secs(24 * 3600));

/// Of a time that may be none at all.
const OR_NONE: RangeInclusive<Period> = Period(Duration::ZERO)..=*TIMES.end();

/// In the order of the help.
const SHARED: &[OptionRow] = &[
    OptionRow {
        name: "ip",
        short: None,
        value: Some("ip"),
        help: "address or name to listen on, * for every address; default {}",
        show: |it| it.ip.map_or("every address, IPv6 and IPv4".into(), |ip| ip.to_string()),
        set: |it, text| host(text).map(|ip| it.ip = ip),
    },
    OptionRow {
        name: "port",
        short: Some('p'),
        value: Some("port"),
        help: "port to listen on, 0 for any free one; default {}",
        show: |it| it.port.to_string(),
        set: |it, text| parsed(text).map(|port| it.port = port),
    },
    OptionRow {
        name: "host",
        short: None,
        value: Some("host"),
        help: "the same as --ip",
        show: |_| String::new(),
        set: |it, text| host(text).map(|ip| it.ip = ip),
    },
    OptionRow {
        name: "bind",
        short: None,
        value: Some("host:port"),
        help: "--ip and --port in one; :8080 is a port of every address",
        show: |_| String::new(),
        set: |it, text| bind(text).map(|(ip, port)| (it.ip, it.port) = (ip, port)),
    },
    OptionRow {
        name: "threads",
        short: None,
        value: Some("threads"),
        help: "threads that serve; more than one pays when one core is busy; default {}",
        show: |it| it.threads.to_string(),
        set: |it, text| ranged(text, 1..=256).map(|threads| it.threads = threads),
    },
    OptionRow {
        name: "max-connections",
        short: None,
        value: Some("connections"),
        help: "connections at a time, others wait until one ends or is idle; default {}",
        show: |it| it.connections_max.to_string(),
        set: |it, text| ranged(text, 1..=1_000_000).map(|max| it.connections_max = max),
    },
    OptionRow {
        name: "max-requests",
        short: None,
        value: Some("requests"),
        help: "requests of one connection, then it is closed; default {}",
        show: |it| it.requests_max.to_string(),
        set: |it, text| ranged(text, 1..=u64::MAX).map(|max| it.requests_max = max),
    },
    OptionRow {
        name: "max-head-bytes",
        short: None,
        value: Some("size"),
        help: "line and headers of a request, over that 431; default {}",
        show: |it| ByteSize(it.head_bytes_max as u64).to_string(),
        set: |it, text| size(text, 256..=1 << 20).map(|max| it.head_bytes_max = max),
    },
    OptionRow {
        name: "max-headers",
        short: None,
        value: Some("headers"),
        help: "headers of a request, over that 431; default {}",
        show: |it| it.headers_max.to_string(),
        set: |it, text| ranged(text, 1..=10_000).map(|max| it.headers_max = max),
    },
    OptionRow {
        name: "max-url-bytes",
        short: None,
        value: Some("size"),
        help: "path and query of a request, over that 414; default {}",
        show: |it| ByteSize(it.url_bytes_max as u64).to_string(),
        set: |it, text| size(text, 16..=60 << 10).map(|max| it.url_bytes_max = max),
    },
    OptionRow {
        name: "max-body-bytes",
        short: None,
        value: Some("size"),
        help: "body of a request, over that 413; default {}",
        show: |it| ByteSize(it.body_bytes_max as u64).to_string(),
        set: |it, text| size(text, 0..=1 << 30).map(|max| it.body_bytes_max = max),
    },
    OptionRow {
        name: "request-timeout",
        short: None,
        value: Some("time"),
        help: "how long an answer may take to make, over that 408; default {}",
        show: |it| Period(it.request_timeout).to_string(),
        set: |it, text| ranged(text, TIMES).map(|Period(time)| it.request_timeout = time),
    },
    OptionRow {
        name: "head-timeout",
        short: None,
        value: Some("time"),
        help: "how long a request's line and headers may take to come, over that 408; default {}",
        show: |it| or_request_timeout(it.head_timeout),
        set: |it, text| ranged(text, TIMES).map(|Period(time)| it.head_timeout = Some(time)),
    },
    OptionRow {
        name: "body-timeout",
        short: None,
        value: Some("time"),
        help: "how long a request's body may take to come, over that 408; default {}",
        show: |it| or_request_timeout(it.body_timeout),
        set: |it, text| ranged(text, TIMES).map(|Period(time)| it.body_timeout = Some(time)),
    },
    OptionRow {
        name: "keep-alive",
        short: None,
        value: Some("time"),
        help: "how long a connection may be idle between two requests, 0 for one request each; \
               default {}",
        show: |it| Period(it.keep_alive).to_string(),
        set: |it, text| ranged(text, OR_NONE).map(|Period(time)| it.keep_alive = time),
    },
    OptionRow {
        name: "grace",
        short: None,
        value: Some("time"),
        help: "how long, once told to end, it still accepts while /ready says 503; default {}",
        show: |it| or_none(it.grace),
        set: |it, text| ranged(text, OR_NONE).map(|Period(time)| it.grace = time),
    },
    OptionRow {
        name: "drain-timeout",
        short: None,
        value: Some("time"),
        help: "how long a shutdown waits for requests in flight; default {}",
        show: |it| Period(it.drain_timeout).to_string(),
        set: |it, text| ranged(text, TIMES).map(|Period(time)| it.drain_timeout = time),
    },
    OptionRow {
        name: "log-format",
        short: None,
        value: Some("format"),
        help: "access log as text, as nginx's combined, or all lines as json; default {}",
        show: |it| it.log_format.to_string(),
        set: |it, text| parsed(text).map(|format| it.log_format = format),
    },
    OptionRow {
        name: "quiet",
        short: None,
        value: None,
        help: "no access log, and no text of a message in any line",
        show: |_| String::new(),
        set: |it, text| switch(text).map(|on| it.is_quiet = on),
    },
    OptionRow {
        name: "cors",
        short: None,
        value: Some("origins"),
        help: "pages of these origins may use it from a browser: https://app.example, with commas, or *; \
               default {}",
        show: |it| it.cors.as_ref().map_or("none".into(), Cors::to_string),
        set: |it, text| text.parse().map(|cors| it.cors = Some(cors)),
    },
    OptionRow {
        name: "trust-proxy",
        short: None,
        value: None,
        help: "a proxy stands in front: the client is the last of its X-Forwarded-For",
        show: |_| String::new(),
        set: |it, text| switch(text).map(|on| it.trusts_proxy = on),
    },
];

/// The address of a name; `None` is every address. Waits for the name to be looked up.
fn host(text: &str) -> Result<Option<IpAddr>, String> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    match bare {
        "" | "*" => return Ok(None),
        _ => {}
    }
    if let Ok(ip) = bare.parse() {
        return Ok(Some(ip));
    }
    let found = (bare, 0).to_socket_addrs().ok().and_then(|mut all| all.next());
    found
        .map(|it| Some(it.ip()))
        .ok_or_else(|| format!("`{text}` is neither an address nor a name that has one"))
}

fn bind(text: &str) -> Result<(Option<IpAddr>, u16), String> {
    let parts =
        text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let (name, port) =
        parts.ok_or_else(|| format!("`{text}` is not host:port; write it like 127.0.0.1:8080"))?;
    Ok((host(name)?, parsed(port)?))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(format!("`{text}` is neither 1 nor 0")),
    }
}

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

fn or_none(time: Duration) -> String {
    if time.is_zero() { "none".into() } else { Period(time).to_string() }
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
    let merged = merge(defaults, &flags, cli::from_environment);
    merged.map(|options| (own, options)).map_err(|error| cli::usage(name, &error))
}

/// The shared options, as the command line knows them.
fn shared() -> Vec<SharedOption> {
    SHARED
        .iter()
        .map(|it| SharedOption { name: it.name, short: it.short, value: it.value })
        .collect()
}

/// Flag, else environment, else default. An empty variable counts as not set.
fn merge(
    mut options: Options,
    flags: &Given,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<Options, UsageError> {
    let not_given = |option: &&OptionRow| !flags.contains_key(option.name);
    for option in SHARED.iter().filter(not_given) {
        let set = |name: String| Some((variable(&name).filter(|it| !it.is_empty())?, name));
        let Some((value, name)) = option.variables().into_iter().find_map(set) else { continue };
        let text = value.to_str().ok_or_else(|| "it is not UTF-8".to_owned());
        text.and_then(|text| (option.set)(&mut options, text))
            .map_err(|cause| cli::wrong_variable(&name, &value, cause))?;
        options.variables.insert(option.name, name);
    }
    // One may set what another has set: a flag still beats every variable.
    for option in SHARED {
        let Some(value) = flags.get(option.name) else { continue };
        (option.set)(&mut options, value)
            .map_err(|cause| UsageError(format!("--{} {value}: {cause}", option.name)))?;
    }
    Ok(options)
}

/// The shared options as lines of a help text.
fn help(defaults: &Options) -> String {
    let mut text = String::new();
    for option in SHARED {
        let shown = option.help.replace("{}", &(option.show)(defaults));
        let help = format!("{shown} ({})", option.variable());
        let short = option.short.map_or_else(String::new, |short| format!("-{short}, "));
        cli::describe(&mut text, &format!("{short}--{}", option.name), &help);
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
        let options = read(&[], &[("PORT", "1")]).unwrap();
        assert_eq!((options.port, &*options.name("port")), (1, "PORT"));
        assert_eq!(read(&["--port", "2"], &[("PORT", "1")]).unwrap().port, 2);
        assert_eq!(read(&["--port=3"], &[("PORT", "bad")]).unwrap().port, 3);
        assert_eq!(read(&[], &[("PORT", "")]).unwrap().port, 8080);
        let options = read(&["--quiet", "--ip", "::1"], &[("REQUEST_TIMEOUT", "60")]).unwrap();
        assert_eq!(options.request_timeout, Duration::from_secs(60));
        assert_eq!(options.head_timeout(), Duration::from_secs(60));
        assert!(options.is_quiet);
        assert_eq!(options.ip, Some("::1".parse().unwrap()));
        assert!(!read(&[], &[("SMOLRING_QUIET", "0")]).unwrap().is_quiet);
    }

    #[test]
    fn where_to_listen_is_said_in_many_ways() {
        let place = |args: &[&str], environment: &[(&str, &str)]| {
            let options = read(args, environment)?;
            Ok::<_, String>(format!("{:?} {}", options.ip, options.port))
        };
        for (args, shown) in [
            (&["-p", "1"][..], "None 1"),
            (&["--host", "127.0.0.1", "-p1"], "Some(127.0.0.1) 1"),
            (&["--host=0.0.0.0"], "Some(0.0.0.0) 8080"),
            (&["--host", "*"], "None 8080"),
            (&["--bind", "127.0.0.1:1"], "Some(127.0.0.1) 1"),
            (&["--bind", "[::1]:1"], "Some(::1) 1"),
            (&["--bind", ":1"], "None 1"),
            (&["--bind", "*:1"], "None 1"),
        ] {
            assert_eq!(place(args, &[]), Ok(shown.into()), "{args:?}");
        }
        assert!(read(&["--ip", "localhost"], &[]).unwrap().ip.unwrap().is_loopback());
        assert!(read(&["--bind", "localhost:1"], &[]).unwrap().ip.unwrap().is_loopback());
        // A flag beats the variable of another option.
        assert_eq!(place(&["-p", "2"], &[("SMOLRING_BIND", ":1")]), Ok("None 2".into()));
        assert_eq!(place(&["--bind", ":3"], &[("PORT", "1")]), Ok("None 3".into()));
        for (args, part) in [
            (["--bind", "8080"], "is not host:port"),
            (["--bind", "::1:8080"], "is not host:port"),
            (["--bind", "127.0.0.1:x"], "it is no whole number"),
            (["--host", "no such name"], "neither an address nor a name"),
            (["--cors", "app.example"], "is no origin"),
        ] {
            assert!(read(&args, &[]).unwrap_err().contains(part), "{args:?}");
        }
        assert!(read(&["--keep-alive", "0"], &[]).unwrap().keep_alive.is_zero());
        assert_eq!(read(&["--max-body-bytes", "1M"], &[]).unwrap().body_bytes_max, 1 << 20);
    }

    #[test]
    fn one_rule_names_the_variables_and_three_have_a_usual_name() {
        let all: Vec<_> = SHARED.iter().flat_map(OptionRow::variables).collect();
        assert_eq!(all[..4], ["SMOLRING_IP", "SMOLRING_PORT", "PORT", "SMOLRING_HOST"]);
        let usual = all.iter().filter(|name| !name.starts_with("SMOLRING_"));
        assert!(usual.eq(["PORT", "REQUEST_TIMEOUT", "LOG_FORMAT"].iter()), "{all:?}");
        let options = read(&[], &[("SMOLRING_PORT", "1"), ("PORT", "2")]).unwrap();
        assert_eq!((options.port, &*options.name("port")), (1, "SMOLRING_PORT"));
        assert_eq!(options.name("ip"), "--ip");
        assert_eq!(read(&[], &[("THREADS", "2")]).unwrap().threads, 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (args, part) in [
            (&["--port", "70000"][..], "--port 70000"),
            (&["--port"], "needs a value"),
            (&["--port", "1", "--port", "1"], "twice"),
            (&["--request-timeout", "1ms"], "between 10ms and"),
            (&["--threads", "0"], "between 1 and"),
            (&["--log-format", "xml"], "text, json or combined"),
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
        assert!(flat.contains("default 1MiB (SMOLRING_MAX_BODY_BYTES)"), "{text}");
        assert!(text.contains("  -p, --port        port to listen on"), "{text}");
    }
}
