//! A link that this node opens to another.

use std::{future::Future, io, pin::pin, rc::Rc, task::Poll};

use smol::future;

use super::{connection::NetConnection, driver::Driver, stream::Stream, task};
use crate::{connect::connect, serve::descriptors};

/// Starts a task that connects to `HOST:PORT` and runs the link.
pub(super) type OpenLink = Box<dyn Fn(&Rc<Driver>, Rc<NetConnection>, String)>;

/// Opens a link over TCP.
pub(super) fn open(driver: &Rc<Driver>, connection: Rc<NetConnection>, to: String) {
    let connecting = async {
        let stream = connect(to).await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(stream)
    };
    driver.executor.spawn(run(driver.clone(), connection, connecting)).detach();
}

/// Waits for the connection, then runs the link until its end. The node decides how long to wait: it
/// ends the link.
pub(super) async fn run<S: Stream>(
    driver: Rc<Driver>,
    connection: Rc<NetConnection>,
    connecting: impl Future<Output = io::Result<S>>,
) {
    let mut connecting = pin!(connecting);
    let connected = future::poll_fn(|cx| {
        connection.keep_waker(cx);
        if connection.is_ending() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        connecting.as_mut().poll(cx)
    });
    match connected.await {
        Ok(stream) => task::run(driver, connection, stream).await,
        Err(error) => {
            driver.forget(&connection, task::in_words(&error));
            if descriptors::are_used_up(&error) {
                // The ring matters more than a client that is idle; the node will try again.
                future::or(driver.close_one(), future::ready(())).await;
            }
        }
    }
}
