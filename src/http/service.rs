//! A service: an application on its ports, from its start to the end of its last connection.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use smol::stream::Stream;

use super::{
    app,
    front::{Front, Fronts, SharedFront, ThreadFronts},
    status::{Probe, Status},
    task,
};
use crate::{
    cli::Exit,
    serve::{
        self, Error, Lines, Options, Place, Ports, drain::Shutdown, metrics::Metrics,
        signals::EndSignals, thread::ServingThread,
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
