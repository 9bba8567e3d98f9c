//! ASKS OVER HTTP: surf's requests over hyper, on smol.
//!
//! A [`Transport`] is what surf sends through. It keeps connections and uses them again, gives up
//! when a deadline passes, and reports why a request failed as one of a few [`Cause`]s:
//!
//! ```no_run
//! use smolring::http::client::{Cause, Deadlines, Limits, Transport, cause};
//!
//! let client = Transport::new(Deadlines::default(), Limits::default()).client();
//! smol::block_on(async {
//!     match client.get("http://127.0.0.1:8080/").recv_string().await {
//!         Ok(text) => eprintln!("{text}"),
//!         Err(error) if cause(&error) == Cause::Refused => eprintln!("start the server first"),
//!         Err(error) => eprintln!("{error}"),
//!     }
//! });
//! ```
//!
//! # There is no background work
//! A connection moves only while something waits for it: the future of a request drives it until
//! the head of the answer is there, and the reader of the body until its end. So this needs no
//! executor and no thread of its own, and works on any; a future that is dropped takes its
//! connection with it. Only a name that must be looked up borrows one of smol's threads for calls
//! that block. An idle connection is in the pool as a bare socket. It is looked at only when a
//! request wants it or another one: if no request is ever made again, the last idle connections
//! stay until the transport is dropped.
//!
//! # What is sent twice
//! A server may close an idle connection at any time, even just as a request is written to it. Then
//! the request is made once more, on a new connection, if
//!
//! - not a byte of it was written; or
//! - its method is idempotent (GET, HEAD, OPTIONS, TRACE, PUT, DELETE), its body was in memory, and
//!   the connection broke before a byte of an answer came.
//!
//! Anything else is an error. A POST is never written twice.
//!
//! # What it is not
//! No TLS, no proxies, no redirects (surf has a middleware for them), no cookies, no HTTP/2. surf
//! itself panics on a URL that does not parse, and where it has no client, as in `surf::get`: parse
//! a URL from outside yourself, and give a [`surf::Request`] to [`surf::Client::send`]. A status
//! unknown to http-types is read as the first of its class, as RFC 9110 says: 299 as 200, 499 as
//! 400.

mod connect;
mod connection;
mod convert;
mod deadline;
mod download;
mod error;
mod peer;
mod pool;
mod send;
mod socket;
mod upload;

use std::sync::Arc;

use http_client::{HttpClient, Request, Response, async_trait};

pub use deadline::Deadlines;
pub use error::{Cause, ClientError, cause};
pub use pool::Limits;

use self::pool::Pool;

/// Sends surf's requests over connections that it keeps. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Transport {
    deadlines: Deadlines,
    pool: Arc<Pool>,
    config: http_client::Config,
}

impl Transport {
    /// A transport without connections. Does not block.
    pub fn new(deadlines: Deadlines, limits: Limits) -> Self {
        let config = http_client::Config::new()
            .set_timeout(Some(deadlines.total))
            .set_tcp_no_delay(true)
            .set_http_keep_alive(!limits.idle_timeout.is_zero())
            .set_max_connections_per_host(limits.connections_per_host.max(1));
        Self { deadlines, pool: Arc::new(Pool::new(limits)), config }
    }

    /// A surf client that sends through this transport. Clients of one transport share its
    /// connections. For a base URL, give a clone of the transport to [`surf::Config`] instead.
    pub fn client(&self) -> surf::Client {
        surf::Client::with_http_client(self.clone())
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self::new(Deadlines::default(), Limits::default())
    }
}

#[async_trait]
impl HttpClient for Transport {
    async fn send(&self, request: Request) -> http_client::http_types::Result<Response> {
        let answer = send::send(&self.pool, self.deadlines, request).await;
        answer.map_err(ClientError::into_surf)
    }

    /// Refuses: a transport is configured when it is made.
    fn set_config(&mut self, _: http_client::Config) -> http_client::http_types::Result<()> {
        Err(ClientError::invalid("give Deadlines and Limits to Transport::new instead").into_surf())
    }

    fn config(&self) -> &http_client::Config {
        &self.config
    }
}
