//! What the services that call others over HTTP share: where to call, how many requests at a time
//! and for how long, the headers that make a request traceable, and texts for what went wrong.

use std::{
    fmt::{self, Display},
    str::FromStr,
    time::{Duration, SystemTime},
};

use surf::http::Url;

use crate::{
    cli::{Period, Setting, UsageError},
    http::{
        Trace,
        client::{Cause, ClientError, Deadlines, Limits, Transport, cause},
    },
    printable::{Printable, cut},
};

/// Requests to one service at a time. Others wait, as long as one request may take at most.
const CALLS_MAX: usize = 256;
/// The longest wait that is believed of a service that is called.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of a text that another service has sent, as they are passed on and logged.
const SAID_BYTES_MAX: usize = 256;
/// The shortest time that one request may be given.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// A service that is called over HTTP.
pub(super) struct Callee {
    service: ServiceUrl,
    client: surf::Client,
    timeout: Duration,
}

impl Callee {
    /// `timeout` is how long the transport lets a whole request take.
    pub(super) fn new(service: ServiceUrl, transport: &Transport, timeout: Duration) -> Self {
        Self { service, client: transport.client(), timeout }
    }

    pub(super) fn service(&self) -> &ServiceUrl {
        &self.service
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The URL of a path of the service; `path` begins with a slash.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.service.0.clone();
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    /// Sends a request with the headers of `trace`, and waits for the head of its answer.
    pub(super) async fn ask(
        &self,
        mut request: surf::Request,
        trace: Option<&Trace>,
    ) -> surf::Result<surf::Response> {
        for (name, value) in trace.into_iter().flat_map(Trace::headers) {
            request.insert_header(name, value);
        }
        self.client.send(request).await
    }

    /// Whether it is ready; a service that has no `/ready` is there if it answers. `name` is what it is
    /// called where it is not.
    pub(super) async fn is_there(&self, name: &str) -> Result<(), String> {
        let request = surf::Request::new(surf::http::Method::Get, self.url("/ready"));
        let why = match self.ask(request, None).await {
            Ok(answer) if !answer.status().is_server_error() => return Ok(()),
            Ok(answer) => format!("it answers {} at /ready", answer.status()),
            Err(error) => self.why(&error),
        };
        Err(format!("{name} unavailable: {why}"))
    }

    /// Why there was no answer, in printable words.
    pub(super) fn why(&self, error: &surf::Error) -> String {
        let host = self.service.0.host_str().unwrap_or_default();
        let port = self.service.0.port_or_known_default().unwrap_or_default();
        match cause(error) {
            Cause::Refused => format!("connection refused: nobody listens at {host}:{port}"),
            Cause::Unreachable => format!("host unreachable: there is no way to {host}:{port}"),
            Cause::NameNotResolved => format!("name not resolved: {host} has no address"),
            Cause::TimedOut => format!("timed out after {}", in_words(self.timeout)),
            Cause::Reset => "bad answer: closed half way".into(),
            Cause::TooLarge => "bad answer: too large".into(),
            Cause::BadAnswer => {
                let fault = ClientError::find(error.as_ref()).and_then(ClientError::fault);
                format!("bad answer: {}", fault.unwrap_or("not HTTP/1.1"))
            }
            other => in_short(&other.to_string()),
        }
    }
}

/// Where a service is called: host, port, and maybe a path that goes before the service's own paths.
#[derive(Clone, Debug)]
pub(super) struct ServiceUrl(Url);

impl FromStr for ServiceUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("`{text}` is no place to call: {why}; write it like http://127.0.0.1:8080")
        };
        let url: Url = text.parse().map_err(|_| wrong("it is no URL"))?;
        if url.scheme() != "http" {
            return Err(wrong("only http:// can be called"));
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it may have host, port and path, and no more"));
        }
        Ok(Self(url))
    }
}

impl Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// A transport to this many services, where one request takes `timeout` at most.
pub(super) fn transport(services: usize, timeout: Duration, body_bytes_max: u64) -> Transport {
    let deadlines = Deadlines { connect: timeout, read: timeout, total: timeout };
    let limits = Limits {
        body_bytes_max,
        connections_per_host: CALLS_MAX,
        connections_max: CALLS_MAX * services,
        ..Limits::default()
    };
    Transport::new(deadlines, limits)
}

/// An error if an option gives less time than a request needs.
pub(super) fn check_timeout(time: &Setting<Period>) -> Result<(), UsageError> {
    match time.value.0 >= TIMEOUT_MIN {
        true => Ok(()),
        false => Err(time.wrong(format_args!("is less than {TIMEOUT_MIN:?}"))),
    }
}

/// An error unless one option gives less time than another, of this name.
pub(super) fn check_shorter(
    one: &Setting<Period>,
    name: &str,
    other: Duration,
) -> Result<(), UsageError> {
    if one.value.0 < other {
        return Ok(());
    }
    Err(one.wrong(format_args!(
        "would never pass before {name} {other:?}. Give more to the second, or less to the first"
    )))
}

/// How long an answer asks its client to wait before it tries again, by `Retry-After`: a number of
/// seconds, or a date. `None`: it does not say, or not in either way.
pub(super) fn retry_after(answer: &surf::Response) -> Option<Duration> {
    let value = answer.header("retry-after")?.last().as_str().trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // Where the date is past, there is nothing to wait for.
        Err(_) => {
            let at = httpdate::parse_http_date(value).ok()?;
            at.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The seconds of a `Retry-After`: at least those that this service asks for anyway, and as many as
/// the service that it calls has asked for.
pub(super) fn retry_after_seconds(least: u64, asked: Option<Duration>) -> String {
    let asked = asked.unwrap_or_default();
    least.max(asked.as_secs() + u64::from(asked.subsec_nanos() > 0)).to_string()
}

/// A text that another service has sent, in a few printable words.
pub(super) fn in_short(text: &str) -> String {
    cut(&Printable(text).to_string(), SAID_BYTES_MAX)
}

/// `1 s`, `250 ms`.
pub(super) fn in_words(time: Duration) -> String {
    let text = format!("{time:?}");
    let unit = text.find(char::is_alphabetic).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        for (millis, text) in [(1000, "1 s"), (250, "250 ms"), (1500, "1.5 s"), (90_000, "90 s")] {
            assert_eq!(in_words(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn places_to_call() {
        let second = Duration::from_secs(1);
        let echo = |text: &str| {
            let service: ServiceUrl = text.parse()?;
            let shown = service.to_string();
            let url = Callee::new(service, &Transport::default(), second).url("/echo");
            Ok::<_, String>((shown, url.to_string()))
        };
        for (text, shown, url) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080/echo"),
            ("http://[::1]:1/", "http://[::1]:1", "http://[::1]:1/echo"),
            ("http://echo.example/a/b/", "http://echo.example/a/b", "http://echo.example/a/b/echo"),
        ] {
            assert_eq!(echo(text), Ok((shown.into(), url.into())));
        }
        for bad in
            ["", "echo", "localhost:8080", "https://a", "http://", "http://a?b", "http://u@a/"]
        {
            assert!(echo(bad).unwrap_err().contains("http://127.0.0.1:8080"), "{bad}");
        }
    }
}
