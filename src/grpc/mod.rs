//! SERVES AND CARRIES gRPC: tonic's generated code over hyper, on smol.
//!
//! tonic encodes messages and defines how a service is written: as a trait that its generator makes
//! from the `.proto` file. tonic's own transport needs tokio's runtime, so this module has its own:
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
//! - [`Server`] holds services; [`health`] and [`reflection`] are services like any other. It is
//!   served on the ports of [`crate::http`]: one port answers gRPC, HTTP/2 and HTTP/1.1, and all
//!   bounds, deadlines, pings and the graceful shutdown of that transport hold for it too.
//! - [`Channel`] is a connection to a server. It is opened when it is needed, and again after it was
//!   lost.
//!
//! The Rust code under `generated` is made from `proto/logging.proto`; a test fails when it is out of
//! date.
//!
//! Not here: TLS, gRPC-Web, load balancing, name resolution other than the system's.

mod channel;
mod connection;
pub mod health;
mod limits;
pub mod reflection;
mod server;
mod timeout;
mod upload;

pub use channel::{Channel, Endpoint};
pub use server::{HeldUntilSent, Server};
pub use upload::Messages;

/// The messages, client and server of `proto/logging.proto`.
#[allow(missing_docs, clippy::all)]
pub mod logging {
    include!("generated/logging.rs");

    /// The file's description for [`reflection`](super::reflection): an encoded `FileDescriptorSet`.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/logging.protoset");

    /// The metadata that says why `LogMessage` is RESOURCE_EXHAUSTED.
    pub const REASON: &str = "reason";
    /// Its value when the log is full.
    pub const LOG_FULL: &str = "log-full";
}
