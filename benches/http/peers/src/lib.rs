//! What all peers have in common: the answer, and where they listen.

use std::{env, io, net::TcpListener};

/// The body of every answer.
pub const GREETING: &str = "Hello, World!";
/// Its `Content-Type`.
pub const TEXT: &str = "text/html; charset=utf-8";

/// Listens on 127.0.0.1, on the port that the first argument says, and prints the address. 0, or
/// no argument, is any free port.
pub fn listen() -> io::Result<TcpListener> {
    let port = env::args().nth(1).unwrap_or_else(|| "0".into());
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}
