//! `logging-service`: keeps every message once, in the order of first arrival.
//!
//! A sender that gets no answer does not know whether its message arrived, and sends it again with
//! the same id. The id tells this service that it is the same message: so what is sent at least
//! once is logged exactly once. `--drop-replies` tests senders for that: the message is kept and
//! the answer is lost.
//!
//! - [`store`] keeps the messages: in memory, in a file, or in Redis.
//! - `log` is what HTTP and gRPC share: the check of an id, the append, answers that are lost on
//!   purpose, and the number of followers. `printed` has the lines on stdout.
//! - `routes` and `follow` answer over HTTP, and `grpc` as `proto/logging.proto` says. Each of the
//!   two ports takes both.

mod follow;
mod grpc;
pub mod limits;
mod log;
mod printed;
mod routes;
pub mod store;
mod streamed;

use std::{
    fmt::{self, Display},
    net::Ipv4Addr,
    path::PathBuf,
    str::FromStr,
    sync::Arc,
};

use argh::{ArgsInfo, FromArgs};

use self::{
    limits::{DURABLE_BYTES_DEFAULT, MEMORY_BYTES_DEFAULT},
    log::MessageLog,
    store::{CannotOpen, Disk, Memory, Redis, Store},
};
use super::echo::Share;
use crate::{
    cli::{ByteSize, Exit, UsageError, optional, setting},
    http::{self, About, Bound, ErrorForm, Options, Probe},
    printable::Printable,
    serve::signals::EndSignals,
};

/// Keeps every message once, in the order of first arrival, whoever sends it and how often:
/// POST /log with {"id":"…","msg":"…"}; GET /logs has all of them. The same over gRPC: LogMessage,
/// GetLogs and Tail of proto/logging.proto.
#[derive(FromArgs, ArgsInfo)]
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
    error_code(1, "the port or the file is taken or forbidden, or an answer was cut off"),
    error_code(2, "the command line or the environment is wrong")
)]
struct Arguments {
    /// port for gRPC, 0 for any free one; default 50051 (SMOLRING_GRPC_PORT)
    #[argh(option, arg_name = "port")]
    grpc_port: Option<u16>,

    /// keep the messages in this file, which is made if there is none (SMOLRING_DATA)
    #[argh(option, arg_name = "file")]
    data: Option<PathBuf>,

    /// keep the messages in memory, in redis://host:port/db, or in a cluster,
    /// redis+cluster://host:port,host:port; default memory (SMOLRING_STORE)
    #[argh(option, arg_name = "place")]
    store: Option<StorePlace>,

    /// how much the messages may take, over that 507; default 64MiB in memory, else 1GiB
    /// (SMOLRING_MAX_STORE_BYTES)
    #[argh(option, arg_name = "size")]
    max_store_bytes: Option<ByteSize>,

    /// share of the answers to /log and LogMessage that are lost on purpose, by chance, after the message is in
    /// the log; from 0 to 1, default 0 (SMOLRING_DROP_REPLIES)
    #[argh(option, arg_name = "share")]
    drop_replies: Option<Share>,
}

/// Runs the service until it is told to end. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    super::start(name, args, defaults(), |arguments, options| {
        let settings = Settings::new(arguments)?;
        Ok(http::run(name, options, |bound, reasons| serve(&settings, bound, reasons)))
    })
}

/// Opens the second port and the store, and serves until `reasons` yields a reason to stop. Blocks.
fn serve(settings: &Settings, bound: Bound, reasons: EndSignals) -> Result<(), http::Error> {
    let bound = bound.also(settings.grpc_port).map_err(|error| {
        http::Error::Service(format!(
            "{error}: choose another with --grpc-port or SMOLRING_GRPC_PORT"
        ))
    })?;
    let opened = settings.open(&bound);
    let log = Arc::new(opened.map_err(|error| http::Error::Service(error.to_string()))?);
    let grpc = bound.places()[1].clone();
    let lines = bound.announced(|address| {
        format!(
            "Logging service listening on http://{address}\ngRPC on {grpc}\n{settings}\n\
             Try curl -d '{{\"id\":\"1\",\"msg\":\"hello\"}}' http://{address}/log"
        )
    });
    let app = routes::app(&log, bound.shutdown());
    let probed = log.clone();
    let probe: Probe = Arc::new(move || {
        let log = probed.clone();
        Box::pin(async move { log.store().last().await.map(drop).map_err(|it| it.to_string()) })
    });
    let bound = bound.ready_if(Some(probe));
    let bytes_max = bound.options().body_bytes_max;
    let bound = grpc::server(&log, bytes_max, bound.shutdown()).behind(bound);
    let served = bound.serve(app, &lines, reasons);
    log.store().close();
    served
}

/// What `/` says.
const ABOUT: About = About {
    name: "logging-service",
    does: "keeps every message once, in the order of first arrival",
    offers: &[
        ("POST /log", "takes {\"id\":\"1\",\"msg\":\"hello\"}"),
        ("GET /logs", "all messages, as a list"),
        ("GET /logs?follow", "messages as they arrive, as server-sent events"),
    ],
};

/// Port 8001 of 127.0.0.1.
pub fn defaults() -> Options {
    Options {
        ip: Some(Ipv4Addr::LOCALHOST.into()),
        port: 8001,
        errors: ErrorForm::Problem,
        service: Some("logging-service"),
        about: Some(&ABOUT),
        ..Options::default()
    }
}

/// What the command line and the environment say about the log.
struct Settings {
    grpc_port: u16,
    place: StorePlace,
    bytes_max: ByteSize,
    drop_replies: f64,
}

impl Settings {
    fn new(arguments: Arguments) -> Result<Self, UsageError> {
        let grpc_port = setting(arguments.grpc_port, "grpc-port", 50051)?;
        let data = optional(arguments.data, "data")?;
        let store = optional(arguments.store, "store")?;
        let place = match (data, store) {
            (Some(_), Some(_)) => {
                let both = "--data (SMOLRING_DATA) and --store (SMOLRING_STORE) are two places: give one of them";
                return Err(UsageError(both.into()));
            }
            (Some(file), None) => StorePlace::Disk(file),
            (None, store) => store.unwrap_or(StorePlace::Memory),
        };
        let default = match place {
            StorePlace::Memory => MEMORY_BYTES_DEFAULT,
            _ => DURABLE_BYTES_DEFAULT,
        };
        let bytes_max = setting(arguments.max_store_bytes, "max-store-bytes", ByteSize(default))?;
        let Share(drop_replies) = setting(arguments.drop_replies, "drop-replies", Share(0.0))?;
        Ok(Self { grpc_port, place, bytes_max, drop_replies })
    }

    /// Opens the store. Blocks for as long as its file takes to open.
    fn open(&self, bound: &Bound) -> Result<MessageLog, CannotOpen> {
        let ByteSize(bytes_max) = self.bytes_max;
        let repeats = bound
            .metrics()
            .counter("smolring_duplicates_total", "Messages whose id was in the log already.");
        let is_quiet = bound.options().is_quiet;
        let on_append = printed::each_append(bound.lines(), is_quiet, repeats);
        let store: Box<dyn Store> = match &self.place {
            StorePlace::Memory => Box::new(Memory::new(bytes_max, on_append)),
            StorePlace::Disk(file) => Box::new(Disk::open(file, bytes_max, on_append)?),
            StorePlace::Redis(url) => Box::new(Redis::new(url, bytes_max, on_append)?),
        };
        Ok(MessageLog::new(store, self.drop_replies))
    }
}

/// Where the messages are kept, and a line for what goes wrong on purpose.
impl Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes_max = self.bytes_max;
        match &self.place {
            StorePlace::Memory => {
                write!(f, "Keeps up to {bytes_max} of messages in memory, until it ends")?
            }
            StorePlace::Disk(file) => {
                let file = file.display().to_string();
                write!(f, "Keeps up to {bytes_max} of messages in {}", Printable(&file))?
            }
            StorePlace::Redis(_) => write!(f, "Keeps up to {bytes_max} of messages in Redis")?,
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

/// Where the messages are kept.
enum StorePlace {
    Memory,
    Disk(PathBuf),
    Redis(String),
}

impl FromStr for StorePlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        store::check_redis(text).map_err(|why| format!("neither memory nor Redis: {why}"))?;
        Ok(Self::Redis(text.into()))
    }
}
