//! SERVES HTTP: tide applications over hyper 1.x, on smol.
//!
//! tide is how an application is written: routes, middleware, `Request` and `Response`. How its
//! bytes travel is told here, because tide's own way of it has no limits, no deadlines and no end:
//!
//! ```text
//! listener    opens the port, or takes the one that systemd has opened
//!    |
//! accept      one thread: accepts, up to a number of connections; drains them at the end
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

pub(crate) mod accept;
mod body;
pub mod client;
mod connection;
mod convert;
mod exchange;
pub mod limits;
pub(crate) mod listener;
pub(crate) mod log;
mod options;
pub(crate) mod shutdown;
mod socket;
pub(crate) mod streamed;
mod trace;
mod worker;

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    thread,
};

use smol::{channel, stream::Stream};

pub use exchange::lost;
pub use listener::Error;
pub use log::{Lines, LogFormat};
pub use options::{Options, parse};
pub(crate) use shutdown::within;
pub use streamed::Upload;
pub use trace::{REQUEST_ID, TRACEPARENT, TRACESTATE, Trace};

use self::{
    exchange::Handler,
    log::Log,
    shutdown::{Shutdown, Switch},
    streamed::Streamed,
};
use crate::cli::{self, Exit};

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

/// Like [`serve`], for an application that also says lines of its own: `app` makes it, and is
/// given where they go.
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
    serve: impl FnOnce(Bound, Reasons) -> Result<(), Error>,
) -> Exit {
    let first = options.port;
    let served = Bound::new(options).and_then(|bound| {
        let reasons = shutdown::signals().map_err(|error| Error::System("watch signals", error))?;
        serve(bound, Box::pin(reasons))
    });
    match served {
        Ok(()) => Exit::Done,
        Err(error @ (Error::PortTaken(port) | Error::Forbidden(port))) if port == first => {
            cli::fail(
                name,
                Exit::Failed,
                format_args!("{error}: choose another with --port or PORT"),
            )
        }
        Err(error) => cli::fail(name, Exit::Failed, error),
    }
}

/// What stops a server, by its name.
pub(crate) type Reasons = Pin<Box<dyn Stream<Item = &'static str>>>;

/// What one thread of a server needs, whatever it is that it speaks.
pub(crate) struct Post {
    pub(crate) options: Arc<Options>,
    pub(crate) log: Log,
    /// In the order in which they were opened.
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) shutdown: Shutdown,
    /// Runs beside the connections, for as long as they do.
    pub(crate) beside: Errand,
    /// The thread does not end before this, unless it is cut off.
    pub(crate) others: Errand,
}

/// Something that is done beside the connections.
pub(crate) type Errand = Pin<Box<dyn Future<Output = ()>>>;

/// A service whose ports are open, and that does not serve yet.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    /// By systemd, for ports that are still to be opened.
    given: VecDeque<TcpListener>,
    options: Options,
    log: Log,
    switch: Switch,
    shutdown: Shutdown,
    streamed: Option<Streamed>,
}

impl Bound {
    /// Opens the port, or takes the first socket that systemd has opened. Does not block.
    pub fn new(options: Options) -> Result<Self, Error> {
        let port = options.port;
        let given = listener::given()?;
        let log = Log::start(options.log_format, options.is_quiet)
            .map_err(|error| Error::System("start serving", error))?;
        let (switch, shutdown) = Shutdown::new();
        let (listeners, addresses) = Default::default();
        let streamed = None;
        Self { listeners, addresses, given, options, log, switch, shutdown, streamed }.also(port)
    }

    /// Serves these requests too, on the same ports.
    pub(crate) fn with(self, streamed: Streamed) -> Self {
        Self { streamed: Some(streamed), ..self }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Opens another port of the same IP address, or takes the next socket that systemd has
    /// opened. The options hold for the clients of all ports together. Does not block.
    pub fn also(mut self, port: u16) -> Result<Self, Error> {
        let given = self.given.pop_front();
        let (listener, address) = listener::listen(given, self.options.ip, port)?;
        self.listeners.push(listener);
        self.addresses.push(address);
        Ok(self)
    }

    /// Where it listens; the port is the real one. With several ports it is the first.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Everywhere where it listens, in the order in which the ports were opened.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the application may say something, also while it serves.
    pub fn lines(&self) -> Lines {
        Lines::new(&self.log)
    }

    /// What an answer that never ends by itself watches, so that it does not hold up the end.
    pub(crate) fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
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
        self.serve_with(lines, reasons, move |post| {
            worker::run(post, handler.clone(), streamed.clone())
        })
    }

    /// Like [`Bound::serve`], where `work` is what each thread does until its shutdown is
    /// complete. It returns how many connections it had to cut off.
    pub(crate) fn serve_with(
        self,
        lines: &str,
        reasons: impl Stream<Item = &'static str> + Unpin + 'static,
        work: impl Fn(Post) -> io::Result<usize> + Clone + Send + 'static,
    ) -> Result<(), Error> {
        let system = |error| Error::System("start serving", error);
        let options = Arc::new(self.options);
        let (log, switch, shutdown) = (self.log, self.switch, self.shutdown);
        let (others_run, others) = channel::bounded::<()>(1);
        let mut threads = Vec::new();
        for number in 1..options.threads {
            let listeners = self.listeners.iter().map(TcpListener::try_clone);
            let listeners = listeners.collect::<io::Result<_>>().map_err(system)?;
            let (options, work) = (options.clone(), work.clone());
            let (log, shutdown, running) = (log.clone(), shutdown.clone(), others_run.clone());
            let work = move || {
                let (beside, others) = (Box::pin(async {}), Box::pin(async {}));
                let cut = work(Post { options, log, listeners, shutdown, beside, others });
                drop(running);
                cut
            };
            let thread = thread::Builder::new().name(format!("http-{number}")).spawn(work);
            threads.push(thread.map_err(system)?);
        }
        drop(others_run);
        if !lines.is_empty() {
            log.say(lines);
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let timeout = options.drain_timeout;
        let beside = Box::pin(shutdown::watch(reasons, switch, timeout, log.clone()));
        let others = Box::pin(async move {
            let _ = others.recv().await;
        });
        let (listeners, said) = (self.listeners, log.clone());
        let mut cut = work(Post { options, log: said, listeners, shutdown, beside, others })
            .map_err(system)?;
        for thread in threads {
            cut += thread.join().unwrap_or(Ok(0)).map_err(system)?;
        }
        match cut {
            0 => log.say("Server closed successfully"),
            _ => log.say(format_args!("Server closed; {cut} connections were cut off")),
        }
        log.finish();
        Ok(())
    }
}
