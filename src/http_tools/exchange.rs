//! One request and its answer, over one connection.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use async_net::TcpStream;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    connect,
    http1::{response::Response, url::Url},
};

/// Bytes that one read takes at most.
const READ_BYTES_MAX: usize = 64 << 10;

/// Why the answer could not be received or shown.
pub(super) enum Failure {
    Unreachable(io::Error),
    Answer(String),
    Output(io::Error),
    /// The file that the answer goes to cannot be made or written.
    File(String),
    /// The reader of the output is gone. The status of the answer is known.
    Closed(u16),
}

/// An answer that has been shown, or leads elsewhere.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Where a redirect leads.
    pub(super) location: Option<String>,
}

/// What of an answer is shown, and where.
pub(super) struct Output {
    pub(super) shows_head: bool,
    /// Whether redirects are followed: then nothing of them is shown.
    pub(super) follows: bool,
    target: Target,
}

enum Target {
    Nowhere,
    Stdout,
    /// Made when there is something to write.
    Path(PathBuf),
    File(PathBuf, fs::File),
}

impl Output {
    /// To this file, or to stdout.
    pub(super) fn to(path: Option<&str>) -> Self {
        let target = match path {
            None | Some("-") => Target::Stdout,
            Some(path) => Target::Path(path.into()),
        };
        Self { shows_head: false, follows: false, target }
    }

    /// The answer is read and not shown.
    pub(super) fn none() -> Self {
        Self { shows_head: false, follows: false, target: Target::Nowhere }
    }

    fn write(&mut self, head: &[u8], body: &[u8], status: u16) -> Result<(), Failure> {
        let write = |to: &mut dyn io::Write| {
            to.write_all(head)?;
            to.write_all(body)?;
            to.flush()
        };
        let said = |path: &Path, error: io::Error| {
            Failure::File(format!("cannot write {}: {error}", path.display()))
        };
        if let Target::Path(path) = &self.target {
            let file = fs::File::create(path).map_err(|error| said(path, error))?;
            self.target = Target::File(path.clone(), file);
        }
        match &mut self.target {
            Target::Nowhere => Ok(()),
            Target::File(path, file) => write(file).map_err(|error| said(path, error)),
            _ => write(&mut io::stdout().lock()).map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Failure::Closed(status),
                _ => Failure::Output(error),
            }),
        }
    }
}

/// Connects, sends and shows the answer as it comes.
pub(super) async fn exchange(
    url: &Url,
    method: &str,
    request: &[u8],
    output: &mut Output,
    times: &mut Times,
) -> Result<Answer, Failure> {
    let mut stream = connected(url, times).await.map_err(Failure::Unreachable)?;
    // A server may answer and close before it has read everything: its answer counts.
    let sent = stream.write_all(request).await;
    let mut response = Response::to(method);
    let (mut space, mut body) = (vec![0; READ_BYTES_MAX], Vec::new());
    let mut location = None;
    loop {
        let bytes = match stream.read(&mut space).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(Failure::Answer(sent.err().unwrap_or(error).to_string())),
        };
        times.first_byte.get_or_insert_with(Instant::now);
        let had_head = response.status > 0;
        let read = response.read(&space[..bytes], &mut body);
        let status = response.status;
        let mut head: &[u8] = b"";
        if !had_head && status > 0 {
            if matches!(status, 301 | 302 | 303 | 307 | 308) {
                location = response.header("location");
            }
            if output.follows && location.is_some() {
                return Ok(Answer { status, location });
            }
            if output.shows_head {
                head = &response.head;
            }
        }
        if status > 0 {
            output.write(head, &body, status)?;
        }
        body.clear();
        if bytes == 0 {
            response.end().map_err(Failure::Answer)?;
        }
        if bytes == 0 || read.map_err(Failure::Answer)? {
            times.end = Some(Instant::now());
            return Ok(Answer { status, location });
        }
    }
}

async fn connected(url: &Url, times: &mut Times) -> io::Result<TcpStream> {
    times.first_byte = None;
    let addresses: Vec<SocketAddr> = async_net::resolve((url.host.as_str(), url.port)).await?;
    times.resolved = Some(Instant::now());
    let stream = connect::race(&addresses).await?;
    times.connected = Some(Instant::now());
    Ok(stream.into())
}

/// When each step was done; where redirects were followed, that of the last request.
pub(super) struct Times {
    began: Instant,
    resolved: Option<Instant>,
    pub(super) connected: Option<Instant>,
    first_byte: Option<Instant>,
    end: Option<Instant>,
}

impl Times {
    pub(super) fn new() -> Self {
        let began = Instant::now();
        Self { began, resolved: None, connected: None, first_byte: None, end: None }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
