//! HTTP/1.1 BY HAND: both ends of it read from bytes, without any HTTP library. This is for
//! learning.
//!
//! A message of HTTP/1.1 is text, then maybe bytes: a first line, headers, an empty line, a body. A
//! reader has three questions, and each has its file:
//!
//! ```text
//!                 a server reads requests       a client reads responses
//!
//! what is this?   request   <- begin here       response
//!                 request_reader, request_head  (url: what the client asks for)
//!                 methods, target, refusal
//!                        \                      /
//! what may stand there?   head: lines of a head;  host: a host's name;  parameters: of a header
//!                        /                      \
//! where does it end?      body: a length, chunks, or the end of the connection
//!                         chunks
//! ```
//!
//! Everything here is pure: bytes in, a request, a response or a refusal out. A stream is cut anywhere,
//! so each reader keeps its state between two pieces and does not look at a byte twice. The sockets
//! are above: [`raw_api`](crate::services::raw_api) is the server, [`http_tools`](crate::http_tools)
//! the client. [`http`](crate::http) reads the heads of all other servers with it as well, before hyper
//! does, so that every service refuses the same, and says why in the same words.

pub mod body;
pub mod chunks;
pub mod head;
pub mod host;
pub mod limits;
mod methods;
pub mod parameters;
pub mod refusal;
pub mod request;
pub mod request_head;
pub mod request_reader;
#[cfg(feature = "http")]
pub mod response;
pub mod target;
#[cfg(feature = "http")]
pub mod url;
