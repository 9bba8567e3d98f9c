//! Loads a store on this machine, from one thread:
//!
//!     ring-load PROTOCOL fill|put|get PORT CLIENTS PIPELINE SECONDS
//!     ring-load ring file PORT BYTES
//!
//! PROTOCOL is ring, redis, memcached, nats or etcd. Each client has a connection of its own, sends
//! PIPELINE requests in one write, and goes on when it has all answers. `fill` puts each name once.
//! Every answer is checked: a write has to be on all three members, and what is got is compared.
//! Prints the number of requests, the seconds that they took, and the 50th and 99th percentile of
//! the time from a write to the last of its answers, in microseconds.

mod etcd;
mod text;

use std::{
    env,
    error::Error,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{sync::Barrier, task::LocalSet};

pub type Outcome<T> = Result<T, Box<dyn Error>>;

const NAMES: usize = 1000;
pub const CONTENT_BYTES: usize = 1024;

/// What each client does.
pub struct Job {
    pub port: u16,
    pub is_put: bool,
    is_fill: bool,
    pub pipeline: usize,
    clients: usize,
    seconds: Duration,
    start: Barrier,
}

impl Job {
    /// When all clients are connected: what this one asks for, until the time is up.
    pub async fn start(&self, client: usize) -> Turn<'_> {
        self.start.wait().await;
        let ends = Instant::now() + self.seconds;
        Turn { job: self, ends, number: client * NAMES / self.clients, count: 0, times: Vec::new() }
    }
}

pub struct Turn<'a> {
    job: &'a Job,
    ends: Instant,
    number: usize,
    count: usize,
    times: Vec<Duration>,
}

impl Turn<'_> {
    pub fn goes_on(&self) -> bool {
        if self.job.is_fill { self.count < NAMES } else { Instant::now() < self.ends }
    }

    /// The number of a name: one after the other, each client from another one on.
    pub fn next_name(&mut self) -> usize {
        self.count += 1;
        self.number = (self.number + 1) % NAMES;
        self.number
    }

    pub fn answered(&mut self, asked: Instant) {
        self.times.push(asked.elapsed());
    }

    pub fn end(self) -> (usize, Vec<Duration>) {
        (self.count, self.times)
    }
}

pub fn name(number: usize) -> String {
    format!("bench/{number:06}")
}

/// What is put: the number of its name, a number that is new each time, and this.
pub const CONTENT: [u8; CONTENT_BYTES] = {
    let mut content = [0; CONTENT_BYTES];
    let mut place = 0;
    while place < CONTENT_BYTES {
        content[place] = (place as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
        place += 1;
    }
    content
};

pub fn fill(content: &mut [u8; CONTENT_BYTES], number: usize, count: usize) {
    content[..8].copy_from_slice(&(number as u64).to_le_bytes());
    content[8..16].copy_from_slice(&(count as u64).to_le_bytes());
}

/// Whether this was put under that name.
pub fn is_content(content: &[u8], number: usize) -> bool {
    content.len() == CONTENT_BYTES
        && content[..8] == (number as u64).to_le_bytes()
        && content[16..] == CONTENT[16..]
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (count, seconds, mut times) = match words[..] {
        ["ring", "file", port, bytes] => {
            let began = Instant::now();
            text::put_file(port.parse()?, bytes.parse()?).await?;
            (1, began.elapsed(), vec![began.elapsed()])
        }
        [protocol, verb @ ("fill" | "put" | "get"), port, clients, pipeline, seconds] => {
            let clients = clients.parse()?;
            let job = Job {
                port: port.parse()?,
                is_put: verb != "get",
                is_fill: verb == "fill",
                pipeline: pipeline.parse()?,
                clients,
                seconds: Duration::from_secs(seconds.parse()?),
                start: Barrier::new(clients + 1),
            };
            LocalSet::new().run_until(load(protocol, job)).await?
        }
        _ => Err("ring-load PROTOCOL fill|put|get PORT CLIENTS PIPELINE SECONDS")?,
    };
    times.sort_unstable();
    let percentile = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
    println!("{count} {} {:.1} {:.1}", seconds.as_secs_f64(), percentile(50), percentile(99));
    Ok(())
}

async fn load(protocol: &str, job: Job) -> Outcome<(usize, Duration, Vec<Duration>)> {
    let text = text::Protocol::of(protocol);
    if text.is_none() && protocol != "etcd" {
        Err("PROTOCOL is ring, redis, memcached, nats or etcd")?;
    }
    let job = Rc::new(job);
    let clients: Vec<_> = (0..job.clients)
        .map(|client| {
            let job = job.clone();
            tokio::task::spawn_local(async move {
                let done = match text {
                    Some(protocol) => text::client(protocol, &job, client).await,
                    None => etcd::client(&job, client).await,
                };
                // The others might wait for this one for ever.
                done.unwrap_or_else(|error| {
                    eprintln!("ring-load: {error}");
                    std::process::exit(1)
                })
            })
        })
        .collect();
    job.start.wait().await;
    let began = Instant::now();
    let (mut count, mut times) = (0, Vec::new());
    for client in clients {
        let (its_count, its_times) = client.await?;
        count += its_count;
        times.extend(its_times);
    }
    Ok((count, began.elapsed(), times))
}
