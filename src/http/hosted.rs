//! HTTP on connections that something else has accepted, and on its thread: a node of a ring has one port,
//! and hands over here what speaks HTTP.
//!
//! How many connections there are, and which is closed for another, is decided there.

use std::{cell::RefCell, future::Future, net::TcpStream, rc::Rc, rc::Weak, sync::Arc};

use async_io::Async;
use smol::LocalExecutor;

use super::{
    connection::HttpConnection,
    front::{Front, ThreadFronts},
    shared::HttpShared,
    task::Task,
    worker::Worker,
};
use crate::serve::{
    Lines, Options, Peer,
    drain::{Shutdown, Switch},
    metrics::Metrics,
    thread::{AcceptedConnection, Connections},
};

/// What serves such connections. It stays on its thread.
pub(crate) struct Hosted {
    worker: Rc<Worker>,
    connections: Rc<Connections>,
    /// Dropped when nothing more is accepted.
    switch: RefCell<Option<Switch>>,
}

impl Hosted {
    /// Has `front` answer all requests. Of the options, those count that hold for one connection. Streams
    /// of h2c that have to wait become tasks of `executor`.
    pub(crate) fn new(
        options: Options,
        lines: Lines,
        metrics: Arc<Metrics>,
        front: Rc<dyn Front>,
        executor: Weak<LocalExecutor<'static>>,
    ) -> Self {
        let (switch, shutdown) = Shutdown::new();
        let connections = Rc::<Connections>::default();
        let shared =
            HttpShared::new(Arc::new(options), lines, metrics, shutdown, connections.clone());
        let worker = Rc::new(Worker::new(shared, ThreadFronts::Own(front), executor));
        Self { worker, connections, switch: RefCell::new(Some(switch)) }
    }

    /// Takes over a connection of which `read` was read already. The future serves it until its end.
    pub(crate) fn serve(
        &self,
        stream: Async<TcpStream>,
        peer: Peer,
        read: Vec<u8>,
    ) -> (Rc<dyn AcceptedConnection>, impl Future<Output = ()> + use<>) {
        let shared = self.worker.shared.clone();
        let connection = Rc::new(HttpConnection::new(shared, stream, peer));
        let task = Task::new(self.worker.clone(), connection.clone(), read);
        (connection, task.run())
    }

    /// From now on every answer is its connection's last, and idle connections end soon. Their tasks
    /// must be woken after that.
    pub(crate) fn drain(&self) {
        self.switch.take();
        self.connections.drain();
    }
}
