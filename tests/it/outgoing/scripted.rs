//! A server that sends what a test tells it to, right or wrong.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

/// No test waits longer than this for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Scripted {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Mutex<Receiver<usize>>,
}

/// A request as it came, its body put together.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Scripted {
    /// Plays `script` for each connection, with its number from 0, on threads that end with the
    /// test process.
    pub fn new(script: impl Fn(usize, &mut Visitor) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", script)
    }

    pub fn at(address: &str, script: impl Fn(usize, &mut Visitor) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (tell, ended) = channel();
        let (counter, seen, script) = (connections.clone(), requests.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = counter.fetch_add(1, SeqCst);
                let (seen, script, tell) = (seen.clone(), script.clone(), tell.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let mut visitor = Visitor { stream: BufReader::new(stream), seen };
                    script(number, &mut visitor);
                    drop(visitor);
                    let _ = tell.send(number);
                });
            }
        });
        Self { address, connections, requests, ended: Mutex::new(ended) }
    }

    /// One that gives every request this answer.
    pub fn always(answer: &'static str) -> Self {
        Self::new(move |_, visitor| while visitor.answer(answer).is_some() {})
    }

    /// One that sends this to every request, and closes.
    pub fn once(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::new(move |_, visitor| {
            visitor.request();
            visitor.say(&answer);
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The first words of all requests so far.
    pub fn methods(&self) -> Vec<String> {
        let word = |it: &Request| it.head.split(' ').next().unwrap_or_default().to_owned();
        self.requests().iter().map(word).collect()
    }

    /// Waits until a connection has been closed from this side, and returns which.
    pub fn wait_for_end(&self) -> usize {
        self.ended.lock().unwrap().recv_timeout(PATIENCE).expect("a connection ends")
    }
}

pub struct Visitor {
    stream: BufReader<TcpStream>,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Visitor {
    /// The next request. `None`: the client has gone.
    pub fn request(&mut self) -> Option<Request> {
        let request = self.read().ok()?;
        self.seen.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Reads a request and answers it.
    pub fn answer(&mut self, answer: impl AsRef<[u8]>) -> Option<Request> {
        let request = self.request()?;
        self.say(answer);
        Some(request)
    }

    pub fn say(&mut self, words: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(words.as_ref());
    }

    /// Sends no more, and keeps the connection open.
    pub fn hush(&mut self) {
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// Waits until the client has sent something, and leaves it unread: if the connection is
    /// closed now, it is reset.
    pub fn wait_for_bytes(&mut self) {
        let _ = self.stream.get_ref().peek(&mut [0]);
    }

    /// Whether the client closes the connection, and sends nothing before that.
    pub fn sees_the_end(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// Sends a byte at a time until the client has gone.
    pub fn drip(&mut self, pause: Duration) {
        self.stream.get_ref().set_read_timeout(Some(pause)).unwrap();
        while !matches!(self.stream.read(&mut [0]), Ok(0)) {
            if self.stream.get_mut().write_all(b"x").is_err() {
                return;
            }
        }
    }

    fn read(&mut self) -> io::Result<Request> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let of = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = lines.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
            Some(value.trim().to_owned())
        };
        let mut body = Vec::new();
        if of("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                self.stream.read_line(&mut line)?;
                let bytes = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                (&mut self.stream).take(bytes).read_to_end(&mut body)?;
                self.stream.read_line(&mut line)?;
                if bytes == 0 {
                    break;
                }
            }
        } else if let Some(bytes) = of("content-length") {
            body.resize(bytes.parse().map_err(io::Error::other)?, 0);
            self.stream.read_exact(&mut body)?;
        }
        Ok(Request { head, body })
    }
}
