//! SERVES: what all processes that listen share, whatever protocol they speak.
//!
//! ```text
//! about        what a service says of itself
//! cors         which pages of other origins may use it from a browser
//! metrics      what it counts
//! options      what all services can be told: name, variable, help and default of each
//! listener     opens a port
//! systemd      sockets that are open already, and who is told how far the server is
//! place        where a socket listens, and where a client is
//! descriptors  how many files and connections the process may have open
//! accept       accepts at one or more listening sockets
//! thread       one thread: its connections, room for another, their end
//! drain        the stages of a shutdown
//! signals      the signals that tell a process to end
//! errors       how it is said why a request is refused
//! lines        lines to stdout, on a thread of their own
//! time         work that may not take for ever
//! ```
//!
//! [`http`](crate::http) and `raw-api-server` serve with all of it. A node of the ring
//! ([`net`](crate::net)) has one thread and its own shutdown; it uses parts of it.

mod about;
pub(crate) mod accept;
pub(crate) mod cors;
pub(crate) mod descriptors;
pub(crate) mod drain;
mod errors;
pub(crate) mod exposition;
pub(crate) mod lines;
pub(crate) mod listener;
mod log_format;
pub(crate) mod metrics;
mod options;
pub(crate) mod place;
pub(crate) mod signals;
pub(crate) mod systemd;
pub(crate) mod thread;
pub(crate) mod time;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread::Builder,
};

use smol::{channel, stream::Stream};

pub use about::About;
pub use cors::Cors;
pub use errors::ErrorForm;
pub use lines::Lines;
pub use listener::Error;
pub use log_format::LogFormat;
pub use options::{Options, parse};
pub use place::{Peer, Place};

use self::{
    drain::{Shutdown, Switch},
    metrics::Metrics,
    signals::EndSignals,
    systemd::{Given, notify},
    thread::ServingThread,
};
use crate::{
    cli::{self, Exit},
    printable::Printable,
};

/// Opens the port and lets `serve` serve until a signal. Blocks.
pub(crate) fn run(
    name: &str,
    options: Options,
    serve: impl FnOnce(Ports, EndSignals) -> Result<(), Error>,
) -> Exit {
    let first = options.port;
    let served = Ports::open(options).and_then(|ports| {
        ports.notes.iter().for_each(|note| cli::say(name, note));
        let signals = EndSignals::of_a_service();
        serve(ports, signals.map_err(|error| Error::System("watch signals", error))?)
    });
    match served {
        Ok(()) => Exit::Done,
        // The last line says so.
        Err(Error::CutOff(_)) => Exit::Failed,
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

/// Ports that are open, and that nothing serves yet.
#[derive(Debug)]
pub(crate) struct Ports {
    /// First those that were handed over, then those that were bound here.
    listeners: Vec<TcpListener>,
    places: Vec<Place>,
    /// How many of them the service has asked for. Others were handed over: they are served as well.
    asked: usize,
    /// What the user should know about sockets that were handed over.
    notes: Vec<String>,
    options: Options,
    lines: Lines,
    metrics: Arc<Metrics>,
    switch: Switch,
    shutdown: Shutdown,
}

impl Ports {
    /// Takes all sockets that were handed over, or else opens the port. Does not block.
    pub(crate) fn open(options: Options) -> Result<Self, Error> {
        let port = options.port;
        let given = Given::take();
        given.check().map_err(Error::Service)?;
        descriptors::raise_limit();
        let lines = Lines::start(options.log_format)
            .map_err(|error| Error::System("start serving", error))?;
        let (switch, shutdown) = Shutdown::new();
        let (listeners, places) = Default::default();
        let (asked, notes, metrics) = (0, given.refused, Arc::new(Metrics::new()));
        let mut ports =
            Self { listeners, places, asked, notes, options, lines, metrics, switch, shutdown };
        given.listeners.into_iter().try_for_each(|it| ports.add(it))?;
        ports.also(port)
    }

    /// Opens another port of the same IP address, or counts on the next socket that was handed over.
    /// The options hold for the clients of all ports together. Does not block.
    pub(crate) fn also(mut self, port: u16) -> Result<Self, Error> {
        if self.asked == self.listeners.len() {
            let listener = listener::listen(self.options.ip, port)?;
            self.add(listener)?;
        }
        self.asked += 1;
        Ok(self)
    }

    fn add(&mut self, listener: TcpListener) -> Result<(), Error> {
        let place = listener.set_nonblocking(true).and_then(|()| Place::of(&listener));
        self.places.push(place.map_err(|error| Error::System("listen", error))?);
        self.listeners.push(listener);
        Ok(())
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Where they are: first the ports that were asked for, in that order, then others that were handed
    /// over.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The address of the first that has one; 0.0.0.0:0 if none has.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.places.iter().find_map(Place::ip);
        address.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// What is printed when the ports are open: what `announce` makes of the address, or the place where
    /// the first port has none, and a line for each other place that was handed over.
    pub(crate) fn announced(&self, announce: impl FnOnce(SocketAddr) -> String) -> String {
        let (asked, others) = self.places.split_at(self.asked);
        let first = match &asked[0] {
            Place::Ip(address) => announce(*address),
            Place::Unix(path) => {
                let path = Printable(path);
                format!(
                    "Server listening on unix:{path}\n\
                     Try curl --unix-socket {path} http://localhost/"
                )
            }
        };
        let others = others.iter().map(|place| format!("\nAlso listening on {place}"));
        [first].into_iter().chain(others).collect()
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// What it counts.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Serves on this thread, and on others if the options say so, until `reasons` yields one to
    /// stop; another one, more than a second later, ends what is still in flight. Blocks.
    ///
    /// `work` is what each thread does until its shutdown is complete; it returns how many
    /// connections it had to cut off in the middle of something. Prints `said` first, and at the end
    /// `Server closed successfully`, or how many connections were cut off, which is an error.
    pub(crate) fn serve(
        self,
        said: &str,
        reasons: impl Stream<Item = &'static str> + Unpin + 'static,
        work: impl Fn(ServingThread) -> io::Result<usize> + Clone + Send + 'static,
    ) -> Result<(), Error> {
        let system = |error| Error::System("start serving", error);
        let options = Arc::new(self.options);
        let (lines, switch, shutdown) = (self.lines, self.switch, self.shutdown);
        let metrics = self.metrics;
        let (others_run, others) = channel::bounded::<()>(1);
        let mut threads = Vec::new();
        for number in 1..options.threads {
            let listeners = self.listeners.iter().map(TcpListener::try_clone);
            let listeners = listeners.collect::<io::Result<_>>().map_err(system)?;
            let (options, work) = (options.clone(), work.clone());
            let (lines, shutdown, running) = (lines.clone(), shutdown.clone(), others_run.clone());
            let metrics = metrics.clone();
            let work = move || {
                let (beside, others) = (Box::pin(async {}), Box::pin(async {}));
                let cut = work(ServingThread {
                    options,
                    lines,
                    metrics,
                    shutdown,
                    listeners,
                    beside,
                    others,
                });
                drop(running);
                cut
            };
            let thread = Builder::new().name(format!("http-{number}")).spawn(work);
            threads.push(thread.map_err(system)?);
        }
        drop(others_run);
        lines.say_lines(said);
        if let Err(error) = notify("READY=1") {
            lines.say_at_once(format_args!(
                "Cannot tell the service manager at NOTIFY_SOCKET: {error}"
            ));
        }
        let beside = {
            let (options, lines) = (options.clone(), lines.clone());
            Box::pin(async move { drain::watch(reasons, switch, &options, lines).await })
        };
        let others = Box::pin(async move {
            let _ = others.recv().await;
        });
        let (listeners, log) = (self.listeners, lines.clone());
        let first =
            ServingThread { options, lines: log, metrics, shutdown, listeners, beside, others };
        let mut cut = work(first).map_err(system)?;
        for thread in threads {
            cut += thread.join().unwrap_or(Ok(0)).map_err(system)?;
        }
        let ended = match cut {
            0 => Ok(()),
            _ => Err(Error::CutOff(cut)),
        };
        match &ended {
            Ok(()) => lines.say_at_once("Server closed successfully"),
            Err(cut) => lines.say_at_once(format_args!("Server closed; {cut}")),
        }
        lines.finish();
        ended
    }
}
