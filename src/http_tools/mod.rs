//! ASKS OVER HTTP BY HAND: `http-get` and `http-post`, from the URL to the last byte of the answer.
//!
//! A request is text that is put together here, an answer is bytes that [`http1`](crate::http1) takes
//! apart, and between the two there is a socket. `-v` shows what is sent, `-i` the head of what comes
//! back:
//!
//! ```text
//! $ http-post -v -i http://localhost:5000/api name=Ann age=30
//! POST /api HTTP/1.1
//! Host: localhost:5000
//! ...
//! ```
//!
//! [`run`] is both commands. Not here: TLS, redirects, proxies, cookies.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    time::{Duration, Instant},
};

use argh::{ArgsInfo, FromArgs};
use async_net::TcpStream;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    cli::{self, Exit, Period, UsageError},
    connect,
    http1::{
        response::Response,
        url::{self, Url},
    },
    serve::time::within,
};

/// What is asked for without arguments.
const EXAMPLE: (&str, [&str; 2]) = ("http://localhost:5000/api", ["name=Ann", "age=30"]);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that one read takes at most.
const READ_BYTES_MAX: usize = 64 << 10;

/// Asks a web server once, and prints the body of its answer. http-get sends the fields in the query
/// of the URL, http-post as a form in the body.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "[<options>] [<url> [<key=value>...]]",
    example = "{command_name}\n\
               {command_name} http://localhost:5000/api name=Ann 'motto=1 + 1 = 2'\n\
               {command_name} -v -i --time localhost:5000/api name=Ann",
    note = "Without a URL it asks http://localhost:5000/api with name=Ann age=30: start\n\
            api-server or raw-api-server to have it answered.\n\
            Fields are encoded here: write them as they are. There is no TLS, and no\n\
            redirect is followed. A flag beats its environment variable, and that beats\n\
            the default.",
    error_code(0, "the answer's status is 2xx"),
    error_code(1, "another status, or no whole answer; stderr says which"),
    error_code(2, "the command line or the environment is wrong"),
    error_code(4, "the answer's status is 4xx"),
    error_code(5, "the answer's status is 5xx"),
    error_code(69, "nobody can be reached there; stderr says why")
)]
struct Arguments {
    /// show on stderr every byte of the request
    #[argh(switch, short = 'v')]
    verbose: bool,
    /// show the head of the answer before its body, on stdout
    #[argh(switch, short = 'i')]
    include: bool,
    /// say on stderr after how many milliseconds the name was resolved, the connection was there, the
    /// first byte came, and all was done
    #[argh(switch)]
    time: bool,
    /// how long all of it may take; default 30s (TIMEOUT)
    #[argh(option, arg_name = "time")]
    timeout: Option<Period>,
    /// where to ask, as http://localhost:5000/api; http:// may be left out. Then the fields, each as
    /// name=Ann
    #[argh(positional, arg_name = "url, fields")]
    url_and_pairs: Vec<String>,
}

/// How the fields are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// In the query of a GET.
    Get,
    /// In the body of a POST.
    Post,
}

/// `http-get`. Blocks until the answer has come, or the time is over.
pub fn get(name: &str, args: &[String]) -> Exit {
    run(name, args, Method::Get)
}

/// `http-post`. Blocks until the answer has come, or the time is over.
pub fn post(name: &str, args: &[String]) -> Exit {
    run(name, args, Method::Post)
}

/// Either command. Blocks as they do.
pub fn run(name: &str, args: &[String], method: Method) -> Exit {
    let arguments: Arguments = match cli::parse(name, args) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let prepared = cli::setting(arguments.timeout, "TIMEOUT", Period(TIMEOUT))
        .and_then(|Period(timeout)| Ok((timeout, prepare(&arguments, method)?)));
    let (timeout, (url, request)) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return cli::usage(name, &error),
    };
    if arguments.verbose {
        let _ = io::stderr().write_all(request.as_bytes());
        let _ = io::stderr().write_all(if request.ends_with('\n') { b"" } else { b"\n" });
    }
    let mut times = Times::new();
    let asked = smol::block_on(within(
        timeout,
        exchange(&url, request.as_bytes(), arguments.include, &mut times),
    ));
    if arguments.time {
        cli::say(name, &times);
    }
    let host = &url.authority;
    match asked {
        Some(Ok(200..300) | Err(Failure::Closed(200..300))) => Exit::Done,
        Some(Ok(400..500) | Err(Failure::Closed(400..500))) => Exit::Refused,
        Some(Ok(500..600) | Err(Failure::Closed(500..600))) => Exit::ServerFailed,
        Some(Ok(status) | Err(Failure::Closed(status))) => {
            cli::fail(name, Exit::Failed, format_args!("{host} answers with status {status}"))
        }
        Some(Err(Failure::Unreachable(cause))) => cli::fail(
            name,
            Exit::Unreachable,
            format_args!("cannot reach {host}: {cause}; is the server running?"),
        ),
        Some(Err(Failure::Answer(cause))) => {
            cli::fail(name, Exit::Failed, format_args!("the answer of {host} is no good: {cause}"))
        }
        Some(Err(Failure::Output(error))) => cli::finish(name, Err(error)),
        None if times.connected.is_none() => {
            let timeout = Period(timeout);
            let message = format_args!("cannot reach {host} within {timeout}");
            cli::fail(name, Exit::Unreachable, message)
        }
        None => {
            let timeout = Period(timeout);
            let message = format_args!("no whole answer of {host} within {timeout}; see --timeout");
            cli::fail(name, Exit::Failed, message)
        }
    }
}

/// Reads the arguments: the URL to connect to, and the whole request as text.
fn prepare(arguments: &Arguments, method: Method) -> Result<(Url, String), UsageError> {
    let (url, pairs) = match arguments.url_and_pairs.split_first() {
        Some((url, pairs)) => (url.as_str(), pairs.to_vec()),
        None => (EXAMPLE.0, EXAMPLE.1.map(String::from).to_vec()),
    };
    let mut url = Url::parse(url).map_err(UsageError)?;
    let pair = |pair: &String| match pair.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(UsageError(format!("`{pair}` is no field; write it like name=Ann"))),
    };
    let fields = url::urlencoded(&pairs.iter().map(pair).collect::<Result<Vec<_>, _>>()?);
    let (word, more, body) = match method {
        Method::Get => {
            url.add(&fields);
            ("GET", String::new(), String::new())
        }
        Method::Post => {
            let (kind, length) = ("application/x-www-form-urlencoded", fields.len());
            ("POST", format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n"), fields)
        }
    };
    let request = format!(
        "{word} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: smolring/{}\r\nAccept: */*\r\n\
         {more}Connection: close\r\n\r\n{body}",
        url.target,
        url.authority,
        env!("CARGO_PKG_VERSION"),
    );
    Ok((url, request))
}

/// Why the answer could not be received or shown.
enum Failure {
    Unreachable(io::Error),
    Answer(String),
    Output(io::Error),
    /// The reader of the output is gone. The status of the answer is known.
    Closed(u16),
}

impl Failure {
    fn output(error: io::Error, status: u16) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed(status),
            _ => Self::Output(error),
        }
    }
}

/// Connects, sends and prints the answer as it comes. Returns its status.
async fn exchange(
    url: &Url,
    request: &[u8],
    shows_head: bool,
    times: &mut Times,
) -> Result<u16, Failure> {
    let mut stream = connected(url, times).await.map_err(Failure::Unreachable)?;
    // A server may answer and close before it has read everything: its answer counts.
    let sent = stream.write_all(request).await;
    let mut response = Response::default();
    let (mut space, mut body) = (vec![0; READ_BYTES_MAX], Vec::new());
    loop {
        let bytes = match stream.read(&mut space).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(Failure::Answer(sent.err().unwrap_or(error).to_string())),
        };
        times.first_byte.get_or_insert_with(Instant::now);
        let had_head = response.status > 0;
        let read = response.read(&space[..bytes], &mut body);
        let status = response.status;
        let head = if shows_head && !had_head && status > 0 { &response.head[..] } else { b"" };
        write_out(head, &body).map_err(|error| Failure::output(error, status))?;
        body.clear();
        if bytes == 0 {
            response.end().map_err(Failure::Answer)?;
        }
        if bytes == 0 || read.map_err(Failure::Answer)? {
            times.end = Some(Instant::now());
            return Ok(status);
        }
    }
}

async fn connected(url: &Url, times: &mut Times) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = async_net::resolve((url.host.as_str(), url.port)).await?;
    times.resolved = Some(Instant::now());
    let stream = connect::race(&addresses).await?;
    times.connected = Some(Instant::now());
    Ok(stream.into())
}

fn write_out(head: &[u8], body: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(head)?;
    stdout.write_all(body)?;
    stdout.flush()
}

/// When each step was done.
struct Times {
    began: Instant,
    resolved: Option<Instant>,
    connected: Option<Instant>,
    first_byte: Option<Instant>,
    end: Option<Instant>,
}

impl Times {
    fn new() -> Self {
        let began = Instant::now();
        Self { began, resolved: None, connected: None, first_byte: None, end: None }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, at) in [
            ("resolve", self.resolved),
            (", connect", self.connected),
            (", first byte", self.first_byte),
            (", total", self.end),
        ] {
            match at {
                Some(at) => {
                    let millis = (at - self.began).as_secs_f64() * 1e3;
                    write!(f, "{name} {millis:.3}ms")?;
                }
                None => write!(f, "{name} -")?,
            }
        }
        Ok(())
    }
}
