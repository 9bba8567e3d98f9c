//! `ring-node`: one node of a ring.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    rc::Rc,
    time::Duration,
};

use argh::FromArgs;
use async_signal::{Signal, Signals};
use smol::{channel, future, stream::StreamExt};

use super::narrator::Narrator;
use crate::{
    cli::{self, ByteSize, Exit, Period, UsageError, optional, setting},
    net::{Bound, DEFAULT_IP, DEFAULT_PORT, Limits},
    ring::{
        Config, Event,
        limits::{CHECK_INTERVAL_MAX, FILE_BYTES_CEILING, MEMBERS_MAX},
    },
};

/// Runs one node of a ring of tiny web servers: what is put into any node is kept by all of them.
#[derive(FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               {command_name} --prev-ip 127.0.1.1 --prev-port 4043\n\
               {command_name} --ip 0.0.0.0 --advertise 192.0.2.7:4043 -i 192.0.2.6",
    note = "The first node begins a ring; each further one is inserted after the member that it\n\
            names. It prints its list of members at every change, and runs until SIGTERM or\n\
            Ctrl-C; then it answers what is in flight and leaves the ring in order.",
    error_code(0, "told to end"),
    error_code(1, "the address is taken, or the ring cannot be joined"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Options {
    /// address to listen on (default: 127.0.1.1, or 127.0.0.1 where there is no such address;
    /// environment: SMOLRING_IP)
    #[argh(option, arg_name = "ip")]
    ip: Option<IpAddr>,

    /// port to listen on, 0 for any free one (default: the first free one from 4043 on;
    /// environment: SMOLRING_PORT)
    #[argh(option, arg_name = "port")]
    port: Option<u16>,

    /// address or name of the member to be inserted after (default: 127.0.1.1 if only the port
    /// is given; environment: SMOLRING_PREV_IP)
    #[argh(option, short = 'i', arg_name = "host")]
    prev_ip: Option<String>,

    /// port of that member (default: 4043 if only the address is given; environment:
    /// SMOLRING_PREV_PORT)
    #[argh(option, short = 'p', arg_name = "port")]
    prev_port: Option<u16>,

    /// address and port by which the other nodes reach this one, needed with --ip 0.0.0.0
    /// (default: where it listens; environment: SMOLRING_ADVERTISE)
    #[argh(option, arg_name = "ip:port")]
    advertise: Option<SocketAddr>,

    /// how often the next node is checked (default: 1s, at most 20s; environment:
    /// SMOLRING_CHECK_INTERVAL)
    #[argh(option, arg_name = "time")]
    check_interval: Option<Period>,

    /// how long the next node may be silent before it counts as dead (default: 2s; environment:
    /// SMOLRING_CHECK_TIMEOUT)
    #[argh(option, arg_name = "time")]
    check_timeout: Option<Period>,

    /// how long a request may take before it is answered 504 (default: 10s; environment:
    /// SMOLRING_REQUEST_TIMEOUT)
    #[argh(option, arg_name = "time")]
    request_timeout: Option<Period>,

    /// refuse a PUT while fewer members than this are alive; more than half of all nodes keeps
    /// the two halves of a split ring from both accepting (default: 1; environment:
    /// SMOLRING_MIN_COPIES)
    #[argh(option, arg_name = "members")]
    min_copies: Option<usize>,

    /// largest file that a client may put (default: 16MiB, at most 256MiB; environment:
    /// SMOLRING_MAX_FILE_BYTES)
    #[argh(option, arg_name = "size")]
    max_file_bytes: Option<ByteSize>,

    /// memory for files, 128 bytes for each included (default: 1GiB; environment:
    /// SMOLRING_MAX_STORE_BYTES)
    #[argh(option, arg_name = "size")]
    max_store_bytes: Option<ByteSize>,

    /// print every completed CHECK as well
    #[argh(switch)]
    verbose: bool,
}

/// Runs a node until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    let options = match cli::parse::<Options>(name, args) {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    let verbose = options.verbose;
    let settings = match Settings::of(options) {
        Ok(settings) => settings,
        Err(error) => return cli::usage(name, &error),
    };
    let bound = match Bound::new(settings.ip, settings.port) {
        Ok(bound) => bound,
        Err(error) => return cli::fail(name, Exit::Failed, settings.why_not_bound(&error)),
    };
    match serve(bound, settings, verbose) {
        Ok(()) => Exit::Done,
        Err(why) => cli::fail(name, Exit::Failed, why),
    }
}

fn serve(bound: Bound, settings: Settings, verbose: bool) -> Result<(), String> {
    let listens = bound.address();
    let address = match settings.advertise {
        Some(address) => address,
        None if listens.ip().is_unspecified() => {
            return Err(format!(
                "{listens} is every address of this host: say with --advertise IP:PORT by which \
                 of them the other nodes reach it"
            ));
        }
        None => listens,
    };
    if address.port() == 0 || address.ip().is_unspecified() {
        return Err(format!("{address} is nowhere: give --advertise a real address and port"));
    }
    if settings.prev == Some(address) {
        return Err(format!("{address} is this node itself: name another with --prev-port"));
    }
    let mut signals = Signals::new([Signal::Term, Signal::Int])
        .map_err(|error| format!("cannot listen for signals: {error}"))?;
    let narrator = Rc::new(RefCell::new(Narrator::start()));
    let also = if bound.has_localhost() { " and on 127.0.0.1" } else { "" };
    narrator.borrow_mut().line(format_args!("listening on {listens}{also}"));
    if settings.prev.is_none() {
        narrator.borrow_mut().line(format_args!("{address}(WS1)"));
    }
    let (failed, failure) = channel::bounded(1);
    let on_event = {
        let narrator = narrator.clone();
        move |event: &Event| match event {
            Event::JoinFailed { .. } => drop(failed.try_send(event.to_string())),
            Event::Circle { .. } if !verbose => {}
            // The last member has left.
            Event::List(view) if view.circle().is_empty() => {}
            _ => narrator.borrow_mut().line(event),
        }
    };
    let verdict = Rc::new(RefCell::new(Ok(())));
    let leave = {
        let (verdict, narrator) = (verdict.clone(), narrator.clone());
        let signal = async move {
            let signal = signals.next().await;
            let named = signal.and_then(Result::ok).map_or("a signal", |signal| match signal {
                Signal::Int => "SIGINT",
                _ => "SIGTERM",
            });
            narrator.borrow_mut().line(format_args!("received {named}, leaving the ring"));
            Ok(())
        };
        let failure = async move { Err(failure.recv().await.unwrap_or_default()) };
        async move { *verdict.borrow_mut() = future::or(signal, failure).await }
    };
    let config = Config { address, ..settings.config };
    let limits = Limits { store_bytes_max: settings.store_bytes_max, ..Limits::default() };
    bound
        .serve(config, limits, leave, on_event)
        .map_err(|error| format!("cannot serve on {listens}: {error}"))?;
    let verdict = verdict.replace(Ok(()));
    if let Some(narrator) = Rc::into_inner(narrator) {
        narrator.into_inner().finish();
    }
    verdict.map_err(|why| format!("{why}; is a node of a ring running there? See --prev-port"))
}

/// Flags, environment and defaults in one.
struct Settings {
    ip: Option<IpAddr>,
    port: Option<u16>,
    advertise: Option<SocketAddr>,
    prev: Option<SocketAddr>,
    store_bytes_max: usize,
    config: Config,
}

impl Settings {
    fn of(options: Options) -> Result<Self, UsageError> {
        let second = Period(Duration::from_secs(1));
        let check_interval = setting(options.check_interval, "SMOLRING_CHECK_INTERVAL", second)?;
        let check_timeout =
            setting(options.check_timeout, "SMOLRING_CHECK_TIMEOUT", Period(second.0 * 2))?;
        let request_timeout =
            setting(options.request_timeout, "SMOLRING_REQUEST_TIMEOUT", Period(second.0 * 10))?;
        let hour = Duration::from_secs(3600);
        for (option, Period(time), most) in [
            ("check-interval", check_interval, CHECK_INTERVAL_MAX),
            ("check-timeout", check_timeout, hour),
            ("request-timeout", request_timeout, hour),
        ] {
            if !(Duration::from_millis(10)..=most).contains(&time) {
                let message = format!("--{option} {time:?} is not between 10ms and {most:?}");
                return Err(UsageError(message));
            }
        }
        let min_copies = setting(options.min_copies, "SMOLRING_MIN_COPIES", 1)?;
        if !(1..=MEMBERS_MAX).contains(&min_copies) {
            let message = format!("--min-copies {min_copies} is not between 1 and {MEMBERS_MAX}");
            return Err(UsageError(message));
        }
        let max_file_bytes =
            setting(options.max_file_bytes, "SMOLRING_MAX_FILE_BYTES", ByteSize(16 << 20))?;
        if max_file_bytes.0 > FILE_BYTES_CEILING as u64 {
            let message = format!("--max-file-bytes {max_file_bytes} is over 256MiB");
            return Err(UsageError(message));
        }
        let store_bytes_max =
            setting(options.max_store_bytes, "SMOLRING_MAX_STORE_BYTES", ByteSize(1 << 30))?;
        let prev_ip = optional(options.prev_ip, "SMOLRING_PREV_IP")?;
        let prev_port = optional(options.prev_port, "SMOLRING_PREV_PORT")?;
        let prev = previous(prev_ip, prev_port)?;
        let address = SocketAddr::new(DEFAULT_IP, DEFAULT_PORT);
        let config = Config {
            address,
            prev,
            check_interval: check_interval.0,
            check_timeout: check_timeout.0,
            request_timeout: request_timeout.0,
            min_copies,
            max_file_bytes: max_file_bytes.0 as usize,
            seed: 0,
            started_ms: 0,
        };
        Ok(Self {
            ip: optional(options.ip, "SMOLRING_IP")?,
            port: optional(options.port, "SMOLRING_PORT")?,
            advertise: optional(options.advertise, "SMOLRING_ADVERTISE")?,
            prev,
            store_bytes_max: usize::try_from(store_bytes_max.0).unwrap_or(usize::MAX),
            config,
        })
    }

    fn why_not_bound(&self, error: &io::Error) -> String {
        let ip = self.ip.unwrap_or(DEFAULT_IP);
        match (error.kind(), self.port) {
            (io::ErrorKind::AddrInUse, Some(port)) => format!(
                "port {port} of {ip} is already in use: choose another with --port, or leave \
                 --port out to take the next free one"
            ),
            (io::ErrorKind::AddrInUse, None) => {
                format!("no port from {DEFAULT_PORT} on is free at {ip}: choose one with --port")
            }
            (io::ErrorKind::AddrNotAvailable, _) => {
                format!("{ip} is no address of this host: choose one with --ip")
            }
            (io::ErrorKind::PermissionDenied, Some(port)) => {
                format!("permission denied - cannot bind to port {port}: choose one from 1024 on")
            }
            _ => format!("cannot listen on {ip}: {error}"),
        }
    }
}

/// The member to be inserted after, if one was named. Resolves names, and may block for that.
fn previous(host: Option<String>, port: Option<u16>) -> Result<Option<SocketAddr>, UsageError> {
    if host.is_none() && port.is_none() {
        return Ok(None);
    }
    let host = host.unwrap_or_else(|| DEFAULT_IP.to_string());
    let port = port.unwrap_or(DEFAULT_PORT);
    let found = (host.as_str(), port).to_socket_addrs().ok().and_then(|mut found| found.next());
    let unknown = || UsageError(format!("--prev-ip {host} is neither an address nor a known name"));
    found.ok_or_else(unknown).map(Some)
}
