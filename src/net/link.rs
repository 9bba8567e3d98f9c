//! A link that this node opens to another.

use std::{future::Future, io, pin::pin, rc::Rc, task::Poll};

use smol::future;

use super::{connection::NetConnection, driver::Driver, task};
use crate::connect::connect;

/// Connects to `HOST:PORT`, then runs the link until its end. The node decides how long to wait for
/// the connection: it ends the link.
pub(super) async fn run(driver: Rc<Driver>, connection: Rc<NetConnection>, to: String) {
    let mut connecting = pin!(connect(to));
    let connected = future::poll_fn(|cx| {
        connection.keep_waker(cx);
        if connection.is_ending() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        connecting.as_mut().poll(cx)
    });
    match connected.await.and_then(|stream| stream.get_ref().set_nodelay(true).map(|()| stream)) {
        Ok(stream) => task::run(driver, connection, stream).await,
        Err(error) => driver.forget(&connection, task::in_words(&error)),
    }
}
