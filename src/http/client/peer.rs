//! Where a request goes.

use std::{fmt, sync::Arc};

use http_client::http_types::{Url, url::Host};

use super::error::ClientError;

/// A host and a port: connections are grouped by these.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    host: Arc<str>,
    port: u16,
}

impl Peer {
    pub(super) fn new(url: &Url) -> Result<Self, ClientError> {
        if url.scheme() != "http" {
            let scheme = url.scheme();
            return Err(ClientError::invalid(format_args!(
                "{scheme} is not spoken here. Take a URL that begins with http://"
            )));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.into(),
            Some(Host::Ipv4(ip)) => ip.to_string().into(),
            Some(Host::Ipv6(ip)) => ip.to_string().into(),
            None => return Err(ClientError::invalid("the URL has no host. Name one")),
        };
        Ok(Self { host, port: url.port().unwrap_or(80) })
    }

    /// An IPv6 address without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
