//! The settings of a node: flags, environment and defaults in one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use super::{
    durability::DurabilityWord,
    host_name::{HostName, HostNames},
    options::Options,
    ring_name::RingName,
};
use crate::{
    cli::{ByteSize, Period, UsageError, named_setting, optional, setting},
    client::{Node, Nodes},
    net::{DEFAULT_IP, DEFAULT_PORT, Limits},
    ring::{
        Config,
        limits::{
            APART_BYTES, CHECK_INTERVAL_MAX, FILE_BYTES_CEILING, FORGET_AFTER, GIVE_UP_AFTER,
            KEEP_VERSIONS, KEEP_VERSIONS_MAX, MEMBERS_MAX, OFFER_BYTES, TOMBSTONE_TTL,
        },
    },
    serve::LogFormat,
    store::disk::Durability,
};

/// With shorter times, a node would do nothing but check.
const TIME_MIN: Duration = Duration::from_millis(10);
/// A deletion must be remembered for longer than it takes to notice that a member is away.
const TTL_MIN: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings of a node when it starts.
#[derive(PartialEq, Debug)]
pub(super) struct Settings {
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    pub advertise: Option<SocketAddr>,
    /// Members to be inserted after, each `HOST:PORT`, the preferred one first.
    pub prevs: Vec<String>,
    pub ring: String,
    pub bootstrap: bool,
    pub forget_after: Duration,
    pub give_up_after: Duration,
    pub tombstone_ttl: Duration,
    pub keep_versions: usize,
    /// The folder to keep files in.
    pub data: Option<PathBuf>,
    pub durability: Durability,
    pub grace: Duration,
    pub log_format: LogFormat,
    pub is_quiet: bool,
    /// Whether there is HTTP at the node's port.
    pub speaks_http: bool,
    pub is_read_only_http: bool,
    pub trusts_pages: bool,
    /// Names by which browsers reach the node.
    pub hosts: Vec<String>,
    pub flight_bytes_max: usize,
    pub store_bytes_max: usize,
    check_interval: Duration,
    check_timeout: Duration,
    request_timeout: Duration,
    min_copies: usize,
    pub max_file_bytes: usize,
}

impl Settings {
    pub fn of(options: Options) -> Result<Self, UsageError> {
        let prevs = members(options.prev, options.prev_ip, options.prev_port)?;
        let ring = setting(options.ring, "ring", RingName::default())?;
        let time = |flag, name: &str, default, most| {
            let set = named_setting(flag, name, Period(default))?;
            match (TIME_MIN..=most).contains(&set.value.0) {
                true => Ok(set.value.0),
                false => Err(set.wrong(format_args!("is not between {TIME_MIN:?} and {most:?}"))),
            }
        };
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let check_interval =
            time(options.check_interval, "check-interval", second, CHECK_INTERVAL_MAX)?;
        let check_timeout = time(options.check_timeout, "check-timeout", second * 2, hour)?;
        let request_timeout = time(options.request_timeout, "request-timeout", second * 10, hour)?;
        let forget_after = time(options.forget_after, "forget-after", FORGET_AFTER, DAY * 365)?;
        let give_up_after = time(options.give_up_after, "give-up-after", GIVE_UP_AFTER, DAY * 365)?;
        let ttl = named_setting(options.tombstone_ttl, "tombstone-ttl", Period(TOMBSTONE_TTL))?;
        if !(TTL_MIN..=DAY * 3650).contains(&ttl.value.0) {
            return Err(ttl.wrong(format_args!("is not between {TTL_MIN:?} and 3650d")));
        }
        let keep_versions = named_setting(options.keep_versions, "keep-versions", KEEP_VERSIONS)?;
        if !(1..=KEEP_VERSIONS_MAX).contains(&keep_versions.value) {
            let most = KEEP_VERSIONS_MAX;
            return Err(keep_versions.wrong(format_args!("is not between 1 and {most}")));
        }
        let grace = named_setting(options.grace, "grace", Period(Duration::ZERO))?;
        if grace.value.0 > hour {
            return Err(grace.wrong(format_args!("is over {hour:?}")));
        }
        let log_format = named_setting(options.log_format, "log-format", LogFormat::Text)?;
        if log_format.value == LogFormat::Combined {
            return Err(log_format.wrong("is for services: a node has no access log"));
        }
        let min_copies = named_setting(options.min_copies, "min-copies", 1)?;
        if !(1..=MEMBERS_MAX).contains(&min_copies.value) {
            return Err(min_copies.wrong(format_args!("is not between 1 and {MEMBERS_MAX}")));
        }
        let data = optional(options.data, "data")?;
        let unless_on_disk = |bytes| if data.is_some() { u64::MAX } else { bytes };
        let file_bytes = unless_on_disk(16 << 20);
        let file_bytes =
            named_setting(options.max_file_bytes, "max-file-bytes", ByteSize(file_bytes))?;
        let most = ByteSize(unless_on_disk(FILE_BYTES_CEILING as u64));
        if file_bytes.value > most {
            return Err(file_bytes.wrong(format_args!("is over {most}, which needs --data")));
        }
        let store_bytes = ByteSize(unless_on_disk(1 << 30));
        let store_bytes = setting(options.max_store_bytes, "max-store-bytes", store_bytes)?;
        let flight_bytes =
            named_setting(options.max_flight_bytes, "max-flight-bytes", ByteSize(256 << 20))?;
        if flight_bytes.value < file_bytes.value && data.is_none() {
            return Err(flight_bytes.wrong(format_args!(
                "is less than {} {}: the largest file could never arrive",
                file_bytes.name, file_bytes.value
            )));
        }
        let hosts = match options.host.is_empty() {
            true => optional(None, "host")?.map_or_else(Vec::new, |HostNames(all)| all),
            false => options.host,
        };
        Ok(Self {
            ip: optional(options.ip, "ip")?,
            port: optional(options.port, "port")?,
            advertise: optional(options.advertise, "advertise")?,
            prevs: prevs.iter().map(Node::to_string).collect(),
            ring: ring.into_string(),
            bootstrap: options.bootstrap,
            forget_after,
            give_up_after,
            tombstone_ttl: ttl.value.0,
            keep_versions: keep_versions.value,
            data,
            durability: setting(options.durability, "durability", DurabilityWord::default())?.0,
            grace: grace.value.0,
            log_format: log_format.value,
            is_quiet: options.quiet,
            speaks_http: !options.no_http,
            is_read_only_http: options.read_only_http,
            trusts_pages: options.trust_pages,
            hosts: hosts.into_iter().map(HostName::into_string).collect(),
            flight_bytes_max: in_memory(flight_bytes.value),
            store_bytes_max: in_memory(store_bytes),
            check_interval,
            check_timeout,
            request_timeout,
            min_copies: min_copies.value,
            max_file_bytes: in_memory(file_bytes.value),
        })
    }

    /// The settings of the ring, for a node at this address.
    pub fn config(&self, address: SocketAddr) -> Config {
        Config {
            address,
            prevs: self.prevs.clone(),
            ring: self.ring.as_str().into(),
            bootstrap: self.bootstrap,
            check_interval: self.check_interval,
            check_timeout: self.check_timeout,
            request_timeout: self.request_timeout,
            forget_after: self.forget_after,
            give_up_after: self.give_up_after,
            min_copies: self.min_copies,
            max_file_bytes: self.max_file_bytes,
            apart_bytes: APART_BYTES,
            offer_bytes: OFFER_BYTES,
            tombstone_ttl: self.tombstone_ttl,
            keeps: self.data.is_some(),
            last_seen: None,
            seed: 0,
            started_ms: 0,
            release: None,
        }
    }

    /// What the node may hold in memory.
    pub fn limits(&self) -> Limits {
        let Self { store_bytes_max, flight_bytes_max, keep_versions, .. } = *self;
        Limits { store_bytes_max, flight_bytes_max, keep_versions }
    }

    /// Why the node cannot listen there, and what to do.
    pub fn why_not_bound(&self, error: &io::Error) -> String {
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

fn in_memory(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

/// The members to be inserted after. Those in the environment count if no flag names one.
fn members(
    prev: Vec<Node>,
    ip: Option<String>,
    port: Option<u16>,
) -> Result<Vec<Node>, UsageError> {
    let (is_listed, is_paired) = (!prev.is_empty(), ip.is_some() || port.is_some());
    let mut all = match is_listed || is_paired {
        true => prev,
        false => optional(None, "prev")?.map_or_else(Vec::new, |Nodes(all)| all),
    };
    if is_paired || !is_listed {
        let ip = optional(ip, "prev-ip")?;
        let port = optional(port, "prev-port")?;
        if ip.is_some() || port.is_some() {
            let ip = ip.unwrap_or_else(|| DEFAULT_IP.to_string());
            let node = Node::at(&ip, port.unwrap_or(DEFAULT_PORT));
            let names = match is_paired {
                true => "--prev-ip and --prev-port",
                false => "SMOLRING_PREV_IP and SMOLRING_PREV_PORT",
            };
            all.push(node.map_err(|why| UsageError(format!("{names}: {why}")))?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(prev: &[&str], ip: Option<&str>, port: Option<u16>) -> Vec<String> {
        let prev = prev.iter().map(|it| it.parse().unwrap()).collect();
        let all = members(prev, ip.map(Into::into), port).unwrap();
        all.iter().map(Node::to_string).collect()
    }

    /// argh wants the defaults as text in the help. These must be those that are used.
    #[test]
    fn the_help_says_the_defaults_that_are_used() {
        use argh::ArgsInfo;

        let mut args = Vec::new();
        for flag in Options::get_args_info().flags {
            let Some((_, default)) = flag.description.split_once("(default: ") else { continue };
            let end = default.find([',', ';', ')']).expect("a `)`");
            let value = &default[..end];
            if value.starts_with(|c: char| c.is_ascii_digit()) && !value.contains(' ') {
                args.extend([flag.long.to_owned(), value.to_owned()]);
            }
        }
        // Where a node listens depends on what is free, and these need each other.
        let others = ["--ip", "--prev-ip", "--prev-port"];
        let pairs = args.chunks(2).filter(|pair| !others.contains(&&*pair[0]));
        let args: Vec<String> = pairs.flatten().cloned().collect();
        assert_eq!(args.len(), 2 * 12, "{args:?}");
        let of = |args: &[String]| Settings::of(crate::cli::read(args).unwrap()).unwrap();
        assert_eq!(of(&args), of(&[]));
    }

    #[test]
    fn members_are_named_in_three_ways() {
        assert!(named(&[], None, None).is_empty());
        assert_eq!(named(&[], None, Some(1)), ["127.0.1.1:1"]);
        assert_eq!(named(&[], Some("one.lan"), None), ["one.lan:4043"]);
        assert_eq!(named(&["a:1", "[::1]", "b"], None, None), ["a:1", "[::1]:4043", "b:4043"]);
        assert_eq!(named(&["a:1"], Some("::1"), Some(2)), ["a:1", "[::1]:2"]);
        assert!(members(vec![], Some("a:1".into()), None).is_err());
        assert!(members(vec![], None, Some(0)).is_err());
    }
}
