//! SERVES AND CARRIES gRPC: tonic's generated code over hyper, on smol.
//!
//! tonic is how messages are encoded and how a service is written: a trait that its generator
//! makes of the `.proto` file. tonic's own transport needs tokio's runtime, so the transport is
//! ours:
//!
//! ```text
//! a client's side                                   a server's side
//!
//! LoggingServiceClient   (generated)                LoggingServiceServer   (generated)
//!        |                                                 ^
//! Channel                deadline, reconnecting     Server: routes, deadline, end
//!        |                                                 ^
//!     (hyper)            HTTP/2                     http: connections, limits, log
//!        +-------------------------- TCP ------------------+
//! ```
//!
//! - [`Server`] gathers services; [`health`] and [`reflection`] are services like any other. It
//!   stands behind the ports of [`crate::http`]: one port answers gRPC, HTTP/2 and HTTP/1.1, and
//!   all bounds, deadlines, pings and the graceful shutdown of that transport hold for it too.
//! - [`Channel`] is a connection to a server, that is opened when it is needed, and again when it
//!   was lost.
//!
//! The Rust code under `generated` is made of `proto/logging.proto`; a test says when it is old.
//!
//! What it is not: no TLS, no gRPC-Web, no load balancing, no name resolution but the system's.

mod channel;
pub mod health;
mod limits;
pub mod reflection;
mod server;
mod timeout;

pub use channel::{Channel, Endpoint};
pub use server::{Held, Server};

/// What `proto/logging.proto` says: messages, client and server.
#[allow(missing_docs, clippy::all)]
pub mod logging {
    include!("generated/logging.rs");

    /// The same for [`reflection`](super::reflection): an encoded `FileDescriptorSet`.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/logging.protoset");

    /// The metadata that tells why `LogMessage` is RESOURCE_EXHAUSTED.
    pub const REASON: &str = "reason";
    /// What it says when the log takes no more.
    pub const LOG_FULL: &str = "log-full";
}
