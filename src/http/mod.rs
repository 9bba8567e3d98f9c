//! SERVES HTTP: tide applications over hyper 1.x, on smol.
//!
//! tide is how an application is written: routes, middleware, `Request` and `Response`. Its bytes
//! are carried by this module, because tide's own server has no limits, no deadlines and no
//! shutdown:
//!
//! ```text
//! (serve)     opens the ports; on each thread accepts, makes room, and drains at the end
//!    |
//! task        one a connection: the first bytes decide between HTTP/1 and h2c; one timer for all
//!    |        waits. state: which states a connection has, and what ends each
//! socket      what hyper reads and writes: the system call first, the reactor only if it must
//!    |   intake     in front of hyper: heads that are whole and make sense
//!  (hyper)    reads requests and frames answers; worker: its settings
//!    |
//! answer      from a request to its answer. exchange: what is counted, noted and logged of them;
//!    |        refusal: the answers that are made here
//! front       what answers requests: the one trait for that
//!    |   hosted     the same on connections that something else has accepted: a node of a ring
//!    |   streamed   both bodies frame by frame, for gRPC
//! |   status     what every service answers about itself
//! app         the whole request, for a tide application
//!    |
//! convert     hyper's types to tide's and back, and nothing that http-types would die of
//! ```
//!
//! `shared` is what the connections of a thread share, `connection` what the task, the socket and the
//! exchanges of one share. No two files import each other.
//!
//! What holds:
//!
//! - **Everything that a client sends has a bound**: the head, its headers, its URL, its body, the
//!   bytes of all bodies together, the requests of a connection, the connections. Beyond it the
//!   answer is 431, 414, 413 or 503 and the connection is closed; beyond the number of connections,
//!   a client waits until another has ended, is idle, or has sent no whole head for a second.
//! - **Every wait for a client has an end** ([`Options`] says which), and so has the handler's
//!   work: 408 where something was asked and not answered, and a closed connection.
//! - **A handler is called when the whole body is there.** A slow client cannot hold it up, and a
//!   body that is too long, too slow or cut off never reaches it.
//! - **A request has one reading.** What RFC 9112 lets two servers read in two ways is refused, and the
//!   answer says why. `tests/it/smuggling.rs` has the table. What is merely untidy is served: empty
//!   lines between requests, bytes over 127 in a header, a target that is not percent-encoded.
//! - **A shutdown loses nothing that was accepted.** Nothing more is accepted, every answer says
//!   that it is its connection's last, and an idle connection is kept for another second, for the
//!   request that may be on its way.
//! - **A panic costs one answer**: 500, and the server goes on. (So the crate is not built with
//!   `panic = "abort"`.)
//!
//! The other direction, surf over hyper on smol, is in [`client`].
//!
//! What it is not: no TLS, no compression, no upgrade to WebSocket. A body is held in memory
//! before the handler sees it; large files do not belong here.

mod answer;
mod app;
pub mod client;
mod connection;
pub(crate) mod convert;
mod cors;
pub(crate) mod exchange;
pub(crate) mod front;
pub(crate) mod hosted;
mod intake;
pub mod limits;
pub(crate) mod log;
pub(crate) mod pieces;
mod readiness;
pub(crate) mod refusal;
mod shared;
mod socket;
mod state;
pub(crate) mod status;
pub(crate) mod streamed;
mod task;
mod trace;
mod worker;

use std::{fmt, io, net::SocketAddr, sync::Arc};

use smol::stream::Stream;

pub use app::lost;
pub(crate) use app::{Cause, is_of_allowed_origin};
pub(crate) use convert::is_left_out;
pub use status::{Probe, Probing};
pub use streamed::Upload;
pub use trace::{REQUEST_ID, TRACEPARENT, TRACESTATE, Trace};

use self::{
    front::{Front, Fronts, SharedFront, ThreadFronts},
    status::Status,
};
pub(crate) use crate::serve::time::within;
pub use crate::serve::{
    About, Cors, Error, ErrorForm, Lines, LogFormat, Options, Peer, Place, parse,
};
use crate::{
    cli::Exit,
    serve::{
        self, Ports, drain::Shutdown, metrics::Metrics, signals::EndSignals, thread::ServingThread,
    },
};

/// Binds, announces, serves and drains: all that the `main` of a service does after it has read
/// its command line. Blocks until SIGTERM or SIGINT.
///
/// `announce` makes the lines that are printed when the port is open, from its real address.
pub fn serve<S>(
    name: &str,
    app: tide::Server<S>,
    options: Options,
    announce: impl FnOnce(SocketAddr) -> String,
) -> Exit
where
    S: Clone + Send + Sync + 'static,
{
    run(name, options, |bound, reasons| {
        let lines = bound.announced(announce);
        bound.serve(app, &lines, reasons)
    })
}

/// Like [`serve`](serve()), for an application that also says lines of its own, and needs others: `app`
/// makes it and what `/ready` asks, of what serves it.
pub fn serve_saying<S>(
    name: &str,
    options: Options,
    app: impl FnOnce(&Bound) -> (tide::Server<S>, Probe),
    announce: impl FnOnce(SocketAddr) -> String,
) -> Exit
where
    S: Clone + Send + Sync + 'static,
{
    run(name, options, |bound, reasons| {
        let lines = bound.announced(announce);
        let (app, probe) = app(&bound);
        bound.ready_if(Some(probe)).serve(app, &lines, reasons)
    })
}

/// Opens the port and lets `serve` serve until a signal. Blocks.
pub(crate) fn run(
    name: &str,
    options: Options,
    serve: impl FnOnce(Bound, EndSignals) -> Result<(), Error>,
) -> Exit {
    serve::run(name, options, |ports, signals| serve(Bound::of(ports), signals))
}

/// A service whose ports are open, and that does not serve yet.
pub struct Bound {
    ports: Ports,
    /// What answers the requests that it takes, before the application does.
    fronts: Vec<SharedFront>,
    probe: Option<Probe>,
}

impl Bound {
    /// Takes all sockets that a service manager has opened, or else opens the port. Does not block.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self::of(Ports::open(options)?))
    }

    fn of(ports: Ports) -> Self {
        Self { ports, fronts: Vec::new(), probe: None }
    }

    /// Has a front answer the requests that it takes, on the same ports.
    pub(crate) fn with(mut self, front: impl Front + Send + Sync + 'static) -> Self {
        self.fronts.push(Arc::new(front));
        self
    }

    /// Has `/ready` say whether what the service needs is there.
    pub(crate) fn ready_if(self, probe: Option<Probe>) -> Self {
        Self { probe, ..self }
    }

    pub(crate) fn options(&self) -> &Options {
        self.ports.options()
    }

    /// Opens another port of the same IP address, or counts on the next socket that was handed over. The options hold for the clients of all ports together. Does not block.
    pub fn also(self, port: u16) -> Result<Self, Error> {
        Ok(Self { ports: self.ports.also(port)?, ..self })
    }

    /// The first address at which it listens; the port is the real one. 0.0.0.0:0 if it listens at
    /// sockets of Unix alone.
    pub fn address(&self) -> SocketAddr {
        self.ports.address()
    }

    /// All addresses at which it listens, in the order in which the ports were opened.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.places().iter().filter_map(Place::ip).collect()
    }

    /// All places at which it listens, in the order in which the ports were opened.
    pub fn places(&self) -> &[Place] {
        self.ports.places()
    }

    /// What is printed when the ports are open.
    pub(crate) fn announced(&self, announce: impl FnOnce(SocketAddr) -> String) -> String {
        self.ports.announced(announce)
    }

    /// Where the application may say something, also while it serves.
    pub fn lines(&self) -> Lines {
        self.ports.lines().clone()
    }

    /// What the service counts.
    pub(crate) fn metrics(&self) -> &Metrics {
        self.ports.metrics()
    }

    /// What an answer that never ends by itself watches, so that it does not hold up a shutdown.
    pub(crate) fn shutdown(&self) -> Shutdown {
        self.ports.shutdown().clone()
    }

    /// Serves on this thread, and on others if the options say so, until `reasons` yields one to
    /// stop; a second one ends what is still in flight, if it comes more than a second later, and
    /// a third one does in any case. Blocks.
    ///
    /// Prints `lines` first, and at the end `Server closed successfully`, or how many connections
    /// it had to cut off in the middle of something; that is [`Error::CutOff`].
    pub fn serve<S>(
        mut self,
        app: tide::Server<S>,
        lines: &str,
        reasons: impl Stream<Item = &'static str> + Unpin + 'static,
    ) -> Result<(), Error>
    where
        S: Clone + Send + Sync + 'static,
    {
        let mut fronts = std::mem::take(&mut self.fronts);
        fronts.push(Arc::new(Status::new(self.options().about, self.probe.take())));
        let fronts = Fronts::new(fronts, app::front(app));
        self.serve_with(lines, reasons, move |thread| {
            task::run(thread, ThreadFronts::Shared(fronts.clone()))
        })
    }

    /// Like [`Bound::serve`], where `work` is what each thread does until its shutdown is
    /// complete. It returns how many connections it had to cut off.
    pub(crate) fn serve_with(
        self,
        lines: &str,
        reasons: impl Stream<Item = &'static str> + Unpin + 'static,
        work: impl Fn(ServingThread) -> io::Result<usize> + Clone + Send + 'static,
    ) -> Result<(), Error> {
        self.ports.serve(lines, reasons, work)
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("ports", &self.ports).finish_non_exhaustive()
    }
}
