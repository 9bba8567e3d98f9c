//! One thread: accepts connections, and serves each in a task of its own.

use std::{io, rc::Rc};

use super::{
    connection::{self, RawConnection},
    routes::Routes,
    shared::RawShared,
};
use crate::{
    http::log::Log,
    serve::thread::{self, AcceptedConnection, ServingThread},
};

/// Serves until the shutdown is complete. Returns how many connections were cut off.
pub(super) fn run(thread: ServingThread, routes: Routes) -> io::Result<usize> {
    let (options, log) = (thread.options.clone(), Log::new(thread.lines.clone(), &thread.options));
    let (metrics, shutdown) = (thread.metrics.clone(), thread.shutdown.clone());
    thread::run(thread, |connections, _| {
        let shared = Rc::new(RawShared::new(options, routes, log, metrics, shutdown, connections));
        move |stream, peer| {
            let connection = Rc::new(RawConnection::new(shared.clone(), peer));
            let accepted: Rc<dyn AcceptedConnection> = connection.clone();
            (accepted, move || connection::run(connection, stream.into()))
        }
    })
}
