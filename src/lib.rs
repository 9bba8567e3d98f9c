//! A ring of tiny web servers on the smol runtime.
//!
//! Put a file into any node, and every node has it; get it from any node. A node dies, and the ring
//! closes the gap; it comes back, and catches up.
//!
//! ```text
//!        put index.html                         get index.html
//!              |                                      ^
//!              v                                      |
//!        +-----------+   FORWARD   +-----------+   FORWARD   +-----------+
//!        |    WS1    | ----------> |    WS2    | ----------> |    WS3    |
//!        +-----------+             +-----------+             +-----------+
//!              ^                                                  |
//!              +---------------------- FORWARD -------------------+
//! ```
//!
//! The modules, bottom-up; an arrow never points up:
//!
//! - [`ring`] decides: the protocol as a pure state machine, without sockets or clocks.
//! - [`store`] keeps the contents of files.
//! - [`serve`] is what every process that listens shares: ports, accepting, shutdown, lines.
//! - [`net`] moves bytes: a node on real sockets, on one thread.
//! - [`client`] asks: what `ring-client` does, as a library.
//! - [`http1`] reads HTTP/1.1 by hand, for learning: pure, without a library.
//! - [`http`] serves and carries HTTP: tide and surf over hyper, on smol.
//! - [`grpc`] serves and carries gRPC: tonic's generated code over hyper, on smol.
//! - [`face`] makes a node a web server: the files of the ring over HTTP, at the same port.
//! - [`services`] are the small servers around the ring, one file each.
//! - [`http_tools`] ask over HTTP by hand: `http-get` and `http-post`.
//! - [`connect`] goes from a host name to a connection.
//! - [`cli`] is what all command lines share; [`command`] starts things.
//!
//! Cargo features choose the modules, all of them by default: `ring` (the node, its client, `up`), `web`
//! (HTTP at a node), `http` (servers and clients of HTTP), `services`, `grpc`, and `redis` as a store of
//! the logging service.

// Where modules are left out, code that only they use is unused.
#![cfg_attr(
    not(all(feature = "ring", feature = "services", feature = "grpc", feature = "redis")),
    allow(dead_code, unused_imports)
)]

#[cfg(feature = "ring")]
mod by_number;
pub mod cli;
#[cfg(feature = "ring")]
pub mod client;
pub mod command;
pub mod connect;
mod durations;
#[cfg(all(feature = "ring", feature = "web"))]
pub mod face;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "web")]
pub mod http;
#[cfg(feature = "web")]
pub mod http1;
#[cfg(feature = "http")]
pub mod http_tools;
#[cfg(feature = "ring")]
pub mod net;
mod printable;
mod random;
#[cfg(feature = "ring")]
pub mod ring;
pub mod serve;
#[cfg(feature = "services")]
pub mod services;
#[cfg(feature = "ring")]
pub mod store;
mod timestamp;
