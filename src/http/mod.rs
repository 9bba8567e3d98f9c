//! SERVES HTTP: tide applications over hyper 1.x, on smol.
//!
//! tide is how an application is written: routes, middleware, `Request` and `Response`. How its
//! bytes travel is told here, because tide's own way of it has no limits, no deadlines and no end:
//!
//! ```text
//! (serve)     opens the ports; on each thread accepts, makes room, and drains at the end
//!    |
//! worker      what the connections of a thread share
//!    |
//! connection  one task: the first bytes decide between HTTP/1 and h2c; one timer for all waits
//!    |
//! socket      what hyper reads and writes: the system call first, the reactor only if it must
//!    |
//!  (hyper)    reads requests and frames answers
//!    |
//! exchange    one request: checks, body, handler, answer, a line in the log
//!    |
//! convert     hyper's types to tide's and back, and nothing that http-types would die of
//! ```
//!
//! gRPC leaves this road at `exchange`: `streamed` hands on both bodies frame by frame to
//! [`crate::grpc`].
//!
//! What holds:
//!
//! - **Everything that a client sends has a bound**: the head, its headers, its URL, its body, the
//!   bytes of all bodies together, the requests of a connection, the connections. Over it there is
//!   431, 414, 413 or 503 and a closed connection; over the number of connections, a client
//!   waits until another has ended or is idle.
//! - **Every wait for a client has an end** ([`Options`] says which), and so has the handler's
//!   work: 408 where an answer is still possible, and a closed connection.
//! - **A handler is called when the whole body is there.** It cannot be kept by a slow client, and
//!   a body that is too long, too slow or cut off never reaches it.
//! - **A request has one reading.** What RFC 9112 lets two servers read in two ways is refused, or
//!   read as it says and then closed. `tests/it/smuggling.rs` has the table.
//! - **A shutdown loses nothing that was accepted.** Nothing more is accepted, every answer says
//!   that it is its connection's last, and an idle connection is kept for another second, for the
//!   request that may be on its way.
//! - **A panic costs one answer**: 500, and the server lives. (So the crate is not built with
//!   `panic = "abort"`.)
//!
//! The other direction, surf over hyper on smol, is in [`client`].
//!
//! What it is not: no TLS, no compression, no upgrade to WebSocket. A body is held in memory
//! before the handler sees it; large files do not belong here.

mod body;
pub mod client;
mod connection;
mod convert;
mod exchange;
pub mod limits;
pub(crate) mod log;
mod pieces;
mod readiness;
mod socket;
pub(crate) mod streamed;
mod trace;
mod worker;

use std::{io, net::SocketAddr, sync::Arc};

use smol::stream::Stream;

pub use exchange::lost;
pub use streamed::Upload;
pub use trace::{REQUEST_ID, TRACEPARENT, TRACESTATE, Trace};

use self::{exchange::Handler, streamed::Streamed};
pub(crate) use crate::serve::time::within;
pub use crate::serve::{Error, Lines, LogFormat, Options, parse};
use crate::{
    cli::Exit,
    serve::{self, Ports, drain::Shutdown, signals::EndSignals, thread::ServingThread},
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
    serve_saying(name, options, |_| app, announce)
}

/// Like [`serve`](serve()), for an application that also says lines of its own: `app` makes it, and
/// is given where they go.
pub fn serve_saying<S>(
    name: &str,
    options: Options,
    app: impl FnOnce(Lines) -> tide::Server<S>,
    announce: impl FnOnce(SocketAddr) -> String,
) -> Exit
where
    S: Clone + Send + Sync + 'static,
{
    run(name, options, |bound, reasons| {
        let lines = announce(bound.address());
        let app = app(bound.lines());
        bound.serve(app, &lines, reasons)
    })
}

/// Opens the port and lets `serve` serve until a signal. Blocks.
pub(crate) fn run(
    name: &str,
    options: Options,
    serve: impl FnOnce(Bound, EndSignals) -> Result<(), Error>,
) -> Exit {
    serve::run(name, options, |ports, signals| serve(Bound { ports, streamed: None }, signals))
}

/// A service whose ports are open, and that does not serve yet.
#[derive(Debug)]
pub struct Bound {
    ports: Ports,
    streamed: Option<Streamed>,
}

impl Bound {
    /// Opens the port, or takes the first socket that systemd has opened. Does not block.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self { ports: Ports::open(options)?, streamed: None })
    }

    /// Serves these requests too, on the same ports.
    pub(crate) fn with(self, streamed: Streamed) -> Self {
        Self { streamed: Some(streamed), ..self }
    }

    pub(crate) fn options(&self) -> &Options {
        self.ports.options()
    }

    /// Opens another port of the same IP address, or takes the next socket that systemd has
    /// opened. The options hold for the clients of all ports together. Does not block.
    pub fn also(self, port: u16) -> Result<Self, Error> {
        Ok(Self { ports: self.ports.also(port)?, ..self })
    }

    /// Where it listens; the port is the real one. With several ports it is the first.
    pub fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// Everywhere where it listens, in the order in which the ports were opened.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.ports.addresses()
    }

    /// Where the application may say something, also while it serves.
    pub fn lines(&self) -> Lines {
        self.ports.lines().clone()
    }

    /// What an answer that never ends by itself watches, so that it does not hold up the end.
    pub(crate) fn shutdown(&self) -> Shutdown {
        self.ports.shutdown().clone()
    }

    /// Serves on this thread, and on others if the options say so, until `reasons` has one to
    /// stop; a second one ends what is still in flight. Blocks.
    ///
    /// Prints `lines` first, and at the end `Server closed successfully`, or how many connections
    /// it had to cut off.
    pub fn serve<S>(
        self,
        app: tide::Server<S>,
        lines: &str,
        reasons: impl Stream<Item = &'static str> + Unpin + 'static,
    ) -> Result<(), Error>
    where
        S: Clone + Send + Sync + 'static,
    {
        // tide's answers borrow the application; a service has one, for as long as it lives.
        let app: &'static tide::Server<S> = Box::leak(Box::new(app));
        let handler: Handler = Arc::new(|request| Box::pin(app.respond(request)));
        let streamed = self.streamed.clone();
        self.serve_with(lines, reasons, move |thread| {
            worker::run(thread, handler.clone(), streamed.clone())
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
