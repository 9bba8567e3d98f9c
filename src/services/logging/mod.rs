//! `logging-service`: keeps every message once, in the order of first arrival.
//!
//! A sender that hears nothing does not know whether its message arrived, and sends it again with
//! the same id. The id tells this service that it is the same message: so what is sent at least
//! once is logged exactly once. `--drop-replies` makes senders need that: the work is done and the
//! answer is lost.
//!
//! - [`store`] keeps the messages: in memory, in a file, or in Redis.
//! - `routes` and `follow` answer over HTTP, and `grpc` as `proto/logging.proto` says. Each of the
//!   two ports takes both.
//! - `Logging` is what HTTP and gRPC share: the check of an id, the append, what is lost on
//!   purpose, and the places for those who follow.

mod follow;
mod grpc;
pub mod limits;
mod routes;
pub mod store;
mod streamed;

use std::{
    fmt::{self, Display, Write as _},
    net::Ipv4Addr,
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use argh::FromArgs;
use smol::lock::Semaphore;

use self::{
    limits::{
        DURABLE_BYTES_DEFAULT, FOLLOWERS_MAX, ID_BYTES_MAX, LISTS_MAX, MEMORY_BYTES_DEFAULT,
        MSG_BYTES_MAX, SHOWN_BYTES_MAX,
    },
    store::{CannotOpen, Disk, Memory, Outcome, Redis, Store, StoreError, Witness},
};
use super::echo::Share;
use crate::{
    cli::{self, ByteSize, Exit, UsageError, optional, setting},
    http::{self, Lines, Options},
    random,
};

/// Keeps every message once, in the order of first arrival, whoever sends it and how often:
/// POST /log with {"id":"…","msg":"…"}; GET /logs has all of them. The same over gRPC: LogMessage,
/// GetLogs and Tail of proto/logging.proto.
#[derive(FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name}\n\
               curl -d '{{\"id\":\"1\",\"msg\":\"hello\"}}' http://127.0.0.1:8001/log\n\
               curl http://127.0.0.1:8001/logs\n\
               curl -N 'http://127.0.0.1:8001/logs?follow'\n\
               {command_name} --data messages.redb\n\
               {command_name} --store redis://127.0.0.1:6379/0",
    note = "Prints [LOGGED] for each new id and [DUPLICATE] for each repeated one. Nothing is ever\n\
            forgotten: a log that is full takes no more. With --data, a message is answered when\n\
            it is safe on the disk. Several services may share one Redis. Runs until SIGTERM or\n\
            Ctrl-C: then it answers what is in flight. A flag beats its environment variable, and\n\
            that beats the default.",
    error_code(0, "it was told to stop, and has answered all"),
    error_code(1, "the port or the file is taken or forbidden; stderr says so"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Arguments {
    /// port for gRPC, 0 for any free one; default 50051 (GRPC_PORT)
    #[argh(option, arg_name = "port")]
    grpc_port: Option<u16>,

    /// keep the messages in this file, which is made if there is none (DATA)
    #[argh(option, arg_name = "file")]
    data: Option<PathBuf>,

    /// keep the messages in memory, in redis://host:port/db, or in a cluster,
    /// redis+cluster://host:port,host:port; default memory (STORE)
    #[argh(option, arg_name = "place")]
    store: Option<Place>,

    /// how much the messages may take, over that 507; default 64MiB in memory, else 1GiB
    /// (MAX_STORE_BYTES)
    #[argh(option, arg_name = "size")]
    max_store_bytes: Option<ByteSize>,

    /// share of the answers to /log and LogMessage that are lost on purpose, by chance, after the message is in
    /// the log; from 0 to 1, default 0 (DROP_REPLIES)
    #[argh(option, arg_name = "share")]
    drop_replies: Option<Share>,
}

/// Runs the service until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    let (arguments, options) = match http::parse::<Arguments>(name, args, defaults()) {
        Ok(parsed) => parsed,
        Err(exit) => return exit,
    };
    let settings = match Settings::new(arguments) {
        Ok(settings) => settings,
        Err(error) => return cli::usage(name, &error),
    };
    http::run(name, options, |bound, reasons| {
        let bound = bound.also(settings.grpc_port).map_err(|error| {
            http::Error::Service(format!("{error}: choose another with --grpc-port or GRPC_PORT"))
        })?;
        let opened = settings.open(bound.lines());
        let logging = Arc::new(opened.map_err(|error| http::Error::Service(error.to_string()))?);
        let (address, grpc) = (bound.addresses()[0], bound.addresses()[1]);
        let lines = format!(
            "Logging service listening on http://{address}\ngRPC on {grpc}\n{settings}\n\
             Try curl -d '{{\"id\":\"1\",\"msg\":\"hello\"}}' http://{address}/log"
        );
        let app = routes::app(&logging, bound.shutdown());
        let bytes_max = bound.options().body_bytes_max;
        let bound = grpc::server(&logging, bytes_max).behind(bound);
        let served = bound.serve(app, &lines, reasons);
        logging.store.close();
        served
    })
}

/// Port 8001 of 127.0.0.1.
pub fn defaults() -> Options {
    Options {
        ip: Some(Ipv4Addr::LOCALHOST.into()),
        port: 8001,
        service: Some("logging-service"),
        ..Options::default()
    }
}

/// What the command line says of the log.
struct Settings {
    grpc_port: u16,
    place: Place,
    bytes_max: ByteSize,
    drop_replies: f64,
}

impl Settings {
    fn new(arguments: Arguments) -> Result<Self, UsageError> {
        let data = optional(arguments.data, "DATA")?;
        let store = optional(arguments.store, "STORE")?;
        let place = match (data, store) {
            (Some(_), Some(_)) => {
                let both = "--data (DATA) and --store (STORE) are two places: give one of them";
                return Err(UsageError(both.into()));
            }
            (Some(file), None) => Place::Disk(file),
            (None, store) => store.unwrap_or(Place::Memory),
        };
        let default = match place {
            Place::Memory => MEMORY_BYTES_DEFAULT,
            _ => DURABLE_BYTES_DEFAULT,
        };
        let bytes_max = setting(arguments.max_store_bytes, "MAX_STORE_BYTES", ByteSize(default))?;
        let Share(drop_replies) = setting(arguments.drop_replies, "DROP_REPLIES", Share(0.0))?;
        let grpc_port = setting(arguments.grpc_port, "GRPC_PORT", 50051)?;
        Ok(Self { grpc_port, place, bytes_max, drop_replies })
    }

    /// Opens the store. Blocks as long as its file takes to open.
    fn open(&self, lines: Lines) -> Result<Logging, CannotOpen> {
        let ByteSize(bytes_max) = self.bytes_max;
        let witness = printing(lines);
        let store: Box<dyn Store> = match &self.place {
            Place::Memory => Box::new(Memory::new(bytes_max, witness)),
            Place::Disk(file) => Box::new(Disk::open(file, bytes_max, witness)?),
            Place::Redis(url) => Box::new(Redis::new(url, bytes_max, witness)?),
        };
        let (drop_replies, followers) = (self.drop_replies, Arc::default());
        let lists = Arc::new(Semaphore::new(LISTS_MAX));
        Ok(Logging { store, drop_replies, followers, lists })
    }
}

/// Where the messages go; and a line for what goes wrong on purpose.
impl Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes_max = self.bytes_max;
        match &self.place {
            Place::Memory => write!(f, "Keeps {bytes_max} of messages in memory, until it ends")?,
            Place::Disk(file) => write!(f, "Keeps {bytes_max} of messages in {}", file.display())?,
            Place::Redis(_) => write!(f, "Keeps {bytes_max} of messages in Redis")?,
        }
        if self.drop_replies > 0.0 {
            write!(
                f,
                "\nOn purpose: a share of answers to /log and LogMessage is lost: {}",
                self.drop_replies
            )?;
        }
        Ok(())
    }
}

/// Where the messages are.
enum Place {
    Memory,
    Disk(PathBuf),
    Redis(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        store::check_redis(text).map_err(|why| format!("neither memory nor Redis: {why}"))?;
        Ok(Self::Redis(text.into()))
    }
}

/// The log, as its fronts see it.
pub(crate) struct Logging {
    store: Box<dyn Store>,
    drop_replies: f64,
    followers: Arc<AtomicUsize>,
    /// Places for those who are told the whole log at once.
    lists: Arc<Semaphore>,
}

/// Why a message is not in the log, or may not be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// Nothing has changed.
    #[error("the id must have 1 to {ID_BYTES_MAX} characters of visible ASCII, without spaces")]
    BadId,
    /// Nothing has changed.
    #[error("the msg is longer than {MSG_BYTES_MAX} bytes")]
    MsgTooLong,
    /// See there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Logging {
    /// Keeps the message unless its id is known; prints which it was. Ends when the message is as
    /// safe as the store can make it.
    pub(crate) async fn log(&self, id: &str, msg: &str) -> Result<Outcome, LogError> {
        let is_visible = id.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_visible || !(1..=ID_BYTES_MAX).contains(&id.len()) {
            return Err(LogError::BadId);
        }
        if msg.len() > MSG_BYTES_MAX {
            return Err(LogError::MsgTooLong);
        }
        Ok(self.store.append(id, msg).await?)
    }

    /// Whether the answer to the message that was logged just now shall be lost.
    pub(crate) fn drops_reply(&self) -> bool {
        random::happens(self.drop_replies)
    }

    /// To read from.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// A place among those who follow the log; `None`: there are too many. It is free again when it
    /// is dropped.
    pub(crate) fn follower(&self) -> Option<Follower> {
        let another = |count| (count < FOLLOWERS_MAX).then_some(count + 1);
        self.followers.fetch_update(Relaxed, Relaxed, another).ok()?;
        Some(Follower(self.followers.clone()))
    }

    /// Where one begins who wants what comes after `position`. A position that the log has not
    /// reached is one of another log, and this one is new to that follower from its first entry on.
    pub(crate) async fn begin(&self, position: Option<u64>) -> Result<u64, StoreError> {
        let last = self.store.last().await?;
        Ok(match position {
            None => last,
            Some(position) if position <= last => position,
            Some(_) => 0,
        })
    }
}

/// A place among those who follow the log.
pub(crate) struct Follower(Arc<AtomicUsize>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Writes a line for each append.
fn printing(lines: Lines) -> Witness {
    Box::new(move |id, msg, outcome| match outcome {
        Outcome::Logged => lines.say(format_args!("[LOGGED] {id} -> {}", shown(msg))),
        Outcome::Duplicate | Outcome::Conflict => lines.say(format_args!("[DUPLICATE] {id}")),
    })
}

/// A message on one line that does nothing to a terminal: control characters and those that turn
/// the direction of the text are escaped, and a long one is cut.
fn shown(msg: &str) -> String {
    let longest = msg.len().min(SHOWN_BYTES_MAX);
    let end = (0..=longest).rev().find(|&end| msg.is_char_boundary(end)).unwrap_or_default();
    let mut shown = String::with_capacity(end);
    for char in msg[..end].chars() {
        let turns = matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(char, '\u{2066}'..='\u{2069}' | '\u{feff}');
        match char {
            '\n' | '\r' | '\t' => shown.extend(char.escape_default()),
            _ if char.is_control() || turns => shown.extend(char.escape_unicode()),
            _ => shown.push(char),
        }
    }
    if end < msg.len() {
        let _ = write!(shown, "... ({} bytes)", msg.len());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_its_line_and_leaves_the_terminal_alone() {
        for (msg, line) in [
            ("hello", "hello"),
            ("ä 👩‍👩‍👧 \"q\" \\", "ä 👩‍👩‍👧 \"q\" \\"),
            ("a\nb\r\t", "a\\nb\\r\\t"),
            ("\u{1b}[31m\u{7f}\u{9b}", "\\u{1b}[31m\\u{7f}\\u{9b}"),
            ("\u{202e}abc\u{2028}", "\\u{202e}abc\\u{2028}"),
        ] {
            assert_eq!(shown(msg), line);
        }
        let long = "ü".repeat(SHOWN_BYTES_MAX);
        let line = shown(&long);
        assert!(line.ends_with(&format!("ü... ({} bytes)", long.len())), "{}", line.len());
        assert!(line.len() < SHOWN_BYTES_MAX + 40);
    }
}
