//! SERVES: what all processes that listen share, whatever protocol they speak.
//!
//! ```text
//! options      what all services can be told: name, variable, help and default of each
//! listener     opens a port, or takes the one that systemd has opened
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

pub(crate) mod accept;
pub(crate) mod descriptors;
pub(crate) mod drain;
mod errors;
pub(crate) mod lines;
pub(crate) mod listener;
mod options;
pub(crate) mod signals;
pub(crate) mod thread;
pub(crate) mod time;

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::Builder,
};

use smol::{channel, stream::Stream};

pub use errors::ErrorForm;
pub use lines::Lines;
pub use listener::Error;
pub(crate) use options::variable;
pub use options::{LogFormat, Options, parse};

use self::{
    drain::{Shutdown, Switch},
    signals::EndSignals,
    thread::ServingThread,
};
use crate::cli::{self, Exit};

/// Opens the port and lets `serve` serve until a signal. Blocks.
pub(crate) fn run(
    name: &str,
    options: Options,
    serve: impl FnOnce(Ports, EndSignals) -> Result<(), Error>,
) -> Exit {
    let first = options.port;
    let served = Ports::open(options).and_then(|ports| {
        let signals = EndSignals::of_a_service();
        serve(ports, signals.map_err(|error| Error::System("watch signals", error))?)
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

/// Ports that are open, and that nothing serves yet.
#[derive(Debug)]
pub(crate) struct Ports {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    /// Sockets from systemd for ports that are still to be opened.
    given: VecDeque<TcpListener>,
    options: Options,
    lines: Lines,
    switch: Switch,
    shutdown: Shutdown,
}

impl Ports {
    /// Opens the port, or takes the first socket that systemd has opened. Does not block.
    pub(crate) fn open(options: Options) -> Result<Self, Error> {
        let port = options.port;
        let given = listener::given()?;
        let lines = Lines::start().map_err(|error| Error::System("start serving", error))?;
        let (switch, shutdown) = Shutdown::new();
        let (listeners, addresses) = Default::default();
        Self { listeners, addresses, given, options, lines, switch, shutdown }.also(port)
    }

    /// Opens another port of the same IP address, or takes the next socket that systemd has
    /// opened. The options hold for the clients of all ports together. Does not block.
    pub(crate) fn also(mut self, port: u16) -> Result<Self, Error> {
        let given = self.given.pop_front();
        let (listener, address) = listener::listen(given, self.options.ip, port)?;
        self.listeners.push(listener);
        self.addresses.push(address);
        Ok(self)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Where they are, in the order in which they were opened.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Serves on this thread, and on others if the options say so, until `reasons` yields one to
    /// stop; a second one ends what is still in flight. Blocks.
    ///
    /// `work` is what each thread does until its shutdown is complete; it returns how many
    /// connections it had to cut off. Prints `said` first, and at the end `Server closed
    /// successfully`, or how many connections were cut off.
    pub(crate) fn serve(
        self,
        said: &str,
        reasons: impl Stream<Item = &'static str> + Unpin + 'static,
        work: impl Fn(ServingThread) -> io::Result<usize> + Clone + Send + 'static,
    ) -> Result<(), Error> {
        let system = |error| Error::System("start serving", error);
        let options = Arc::new(self.options);
        let (lines, switch, shutdown) = (self.lines, self.switch, self.shutdown);
        let (others_run, others) = channel::bounded::<()>(1);
        let mut threads = Vec::new();
        for number in 1..options.threads {
            let listeners = self.listeners.iter().map(TcpListener::try_clone);
            let listeners = listeners.collect::<io::Result<_>>().map_err(system)?;
            let (options, work) = (options.clone(), work.clone());
            let (lines, shutdown, running) = (lines.clone(), shutdown.clone(), others_run.clone());
            let work = move || {
                let (beside, others) = (Box::pin(async {}), Box::pin(async {}));
                let cut =
                    work(ServingThread { options, lines, shutdown, listeners, beside, others });
                drop(running);
                cut
            };
            let thread = Builder::new().name(format!("http-{number}")).spawn(work);
            threads.push(thread.map_err(system)?);
        }
        drop(others_run);
        if !said.is_empty() {
            lines.say_at_once(said);
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let timeout = options.drain_timeout;
        let beside = Box::pin(drain::watch(reasons, switch, timeout, lines.clone()));
        let others = Box::pin(async move {
            let _ = others.recv().await;
        });
        let (listeners, log) = (self.listeners, lines.clone());
        let first = ServingThread { options, lines: log, shutdown, listeners, beside, others };
        let mut cut = work(first).map_err(system)?;
        for thread in threads {
            cut += thread.join().unwrap_or(Ok(0)).map_err(system)?;
        }
        match cut {
            0 => lines.say_at_once("Server closed successfully"),
            _ => lines.say_at_once(format_args!("Server closed; {cut} connections were cut off")),
        }
        lines.finish();
        Ok(())
    }
}
