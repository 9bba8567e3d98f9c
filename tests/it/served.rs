//! An application served on a real socket by a thread of this process, and a client that speaks
//! in bytes.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use smol::channel::Sender;
use smolring::{
    http::{Bound, Error, Options},
    services::raw_api::{self, Routes},
};

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server. It ends with the test process, or when it is told to.
pub struct Served {
    pub port: u16,
    pub reasons: Sender<&'static str>,
    pub end: Receiver<Result<(), Error>>,
}

/// Options for a server that prints nothing.
pub fn quiet() -> Options {
    Options { ip: Some(Ipv4Addr::LOCALHOST.into()), port: 0, is_quiet: true, ..Options::default() }
}

impl Served {
    pub fn start(options: Options, app: tide::Server<()>) -> Self {
        Self::start_bound(Bound::new(options).unwrap(), app)
    }

    pub fn start_bound(bound: Bound, app: tide::Server<()>) -> Self {
        let port = bound.address().port();
        let (reasons, stream) = smol::channel::unbounded();
        let (ended, end) = channel();
        thread::spawn(move || ended.send(bound.serve(app, "", Box::pin(stream))));
        Self { port, reasons, end }
    }

    /// Serves routes of the server that reads HTTP by hand.
    pub fn start_raw(options: Options, routes: Routes) -> Self {
        let bound = Bound::new(options).unwrap();
        let port = bound.address().port();
        let (reasons, stream) = smol::channel::unbounded();
        let (ended, end) = channel();
        thread::spawn(move || ended.send(raw_api::serve(bound, routes, "", Box::pin(stream))));
        Self { port, reasons, end }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// Sends bytes on a connection of their own and returns all that comes back until it is
    /// closed by the server.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.client();
        client.send(request);
        client.rest()
    }

    /// Asks for `/` as a well-behaved client would.
    pub fn is_alive(&self) -> bool {
        self.ask("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").contains("200 OK")
    }
}

/// One connection.
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// An answer, with the names of its headers in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

impl Client {
    pub fn connect(port: u16) -> Self {
        Self::try_connect(port).unwrap()
    }

    pub fn try_connect(port: u16) -> io::Result<Self> {
        Self::connect_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    pub fn connect_to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A server that has refused already may not take the rest.
        let _ = self.stream().write_all(bytes.as_ref());
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream().write_all(bytes.as_ref())
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        self.reply()
    }

    pub fn end_of_requests(&self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer, to anything but HEAD.
    pub fn reply(&mut self) -> Reply {
        self.try_reply(true).unwrap()
    }

    /// The next answer, to HEAD.
    pub fn reply_to_head(&mut self) -> Reply {
        self.try_reply(false).unwrap()
    }

    pub fn try_reply(&mut self, has_body: bool) -> io::Result<Reply> {
        let line = self.line()?;
        let bad = || io::Error::new(ErrorKind::InvalidData, format!("no status line: {line:?}"));
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok()).ok_or_else(bad)?;
        let mut reply = Reply { status, headers: Vec::new(), body: String::new() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            reply.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        if !has_body || status == 100 {
            return Ok(reply);
        }
        let mut body = Vec::new();
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let length = usize::from_str_radix(&self.line()?, 16).map_err(|_| bad())?;
                let mut chunk = vec![0; length];
                self.reader.read_exact(&mut chunk)?;
                self.line()?;
                body.extend(chunk);
                if length == 0 {
                    break;
                }
            }
        } else {
            let length = reply.header("content-length").and_then(|it| it.parse().ok());
            body.resize(length.unwrap_or(0), 0);
            self.reader.read_exact(&mut body)?;
        }
        reply.body = String::from_utf8_lossy(&body).into_owned();
        Ok(reply)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Everything until the server closes the connection.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("not closed: {error}; {:?}", String::from_utf8_lossy(&rest)),
        }
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Whether nothing comes for this long.
    pub fn is_silent(&mut self, time: Duration) -> bool {
        self.stream().set_read_timeout(Some(time)).unwrap();
        let silent = matches!(
            self.reader.fill_buf(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        );
        self.stream().set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }
}

/// The statuses of all answers in a stream of them.
pub fn statuses(answers: &str) -> Vec<u16> {
    let lines = answers.split("HTTP/1.").skip(1);
    lines.filter_map(|line| line.get(2..5)?.parse().ok()).collect()
}

/// Waits until a condition holds.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not in time");
        thread::yield_now();
    }
}
