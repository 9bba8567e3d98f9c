//! Clients that write and read all the time, and know what they must find.
//!
//! A writer has names of its own and counts its writes of them up; what was acknowledged is noted.
//! A reader looks at the note, then asks: a node that answers 200 or 404 must not answer anything
//! older than the note.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::cluster::{Answer, Client, until};

/// Names that each writer writes again and again.
const NAMES: usize = 8;
/// Once in this many writes, a writer writes a new name.
const NEW_EVERY: u64 = 16;
/// The pause between two requests of a client, so that the nodes have the cores.
const REST: Duration = Duration::from_millis(2);
/// A write that takes longer is counted as a pause.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// What is in a file: its name, the number of the write, and more that depends on the number.
pub fn content(name: &str, number: u64) -> Vec<u8> {
    let filling = [b'a' + (number % 26) as u8].repeat((number % 700) as usize);
    [format!("{name} {number}\n").into_bytes(), filling].concat()
}

/// The number of the write that this answer to a GET has; 0 if there is no such file.
pub fn number_of(name: &str, answer: &Answer) -> Result<u64, String> {
    if answer.status() == 404 {
        return Ok(0);
    }
    let line = answer.body.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let words = std::str::from_utf8(line).unwrap_or_default().strip_prefix(name);
    let number = words.and_then(|rest| rest.trim().parse().ok());
    match number.filter(|&number| content(name, number) == answer.body) {
        Some(number) if answer.status() == 200 => Ok(number),
        _ => Err(format!("GET {name}: {}: not as it was written", answer.line)),
    }
}

/// Clients at work, and what they have seen.
pub struct Traffic {
    done: AtomicBool,
    begun: Instant,
    writers: usize,
    /// The number of the last acknowledged write of each name.
    acked: Vec<AtomicU64>,
    /// Files that were written once, and acknowledged.
    kept: Mutex<Vec<(String, u64)>>,
    writes: AtomicUsize,
    reads: AtomicUsize,
    unavailable: AtomicUsize,
    pauses: Mutex<Vec<Duration>>,
    wrong: Mutex<Vec<String>>,
}

impl Traffic {
    /// Runs `work` with a writer for each of these lists of nodes, which goes to the next of its
    /// list where one does not answer, and a reader at each of these nodes. Panics if a reader has
    /// seen what it must not see.
    pub fn during(
        writers: &[&[SocketAddr]],
        readers: &[SocketAddr],
        work: impl FnOnce(&Traffic),
    ) -> Self {
        let traffic = Self {
            done: AtomicBool::new(false),
            begun: Instant::now(),
            writers: writers.len(),
            acked: (0..writers.len() * NAMES).map(|_| AtomicU64::new(0)).collect(),
            kept: Mutex::default(),
            writes: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            unavailable: AtomicUsize::new(0),
            pauses: Mutex::default(),
            wrong: Mutex::default(),
        };
        thread::scope(|scope| {
            let traffic = &traffic;
            for (me, nodes) in writers.iter().enumerate() {
                scope.spawn(move || traffic.write(me, nodes));
            }
            for &node in readers {
                scope.spawn(move || traffic.read(node));
            }
            let _ends_with_us = Finally(&traffic.done);
            traffic.await_writes(1);
            work(traffic);
        });
        traffic.must_be_right();
        println!("{}", traffic.figures());
        traffic
    }

    /// Waits until this many more writes are acknowledged.
    pub fn await_writes(&self, more: usize) {
        let before = self.writes.load(SeqCst);
        until("writes are acknowledged", || {
            self.must_be_right();
            (self.writes.load(SeqCst) >= before + more).then_some(())
        });
    }

    /// Writes so far that were acknowledged.
    pub fn writes(&self) -> usize {
        self.writes.load(SeqCst)
    }

    /// Everything that was acknowledged is at this node.
    pub fn must_be_at(&self, node: SocketAddr) {
        let mut client = Client::connect(node).expect("it connects");
        let kept = self.kept.lock().unwrap().clone();
        let last = self.acked.iter().enumerate();
        let last = last.map(|(slot, acked)| (name(slot), acked.load(SeqCst)));
        for (name, acked) in last.chain(kept) {
            let answer = client.ask(&format!("GET {name}"));
            let number = number_of(&name, &answer).expect("it is whole");
            assert!(number >= acked, "{node}: {name} is {number}, and {acked} was acknowledged");
        }
    }

    /// The longest time that a write took.
    pub fn longest_pause(&self) -> Duration {
        self.pauses.lock().unwrap().iter().max().copied().unwrap_or_default()
    }

    fn figures(&self) -> String {
        let pauses = self.pauses.lock().unwrap();
        let (sum, most) = (pauses.iter().sum::<Duration>(), pauses.iter().max());
        let (took, writers) = (self.begun.elapsed(), self.writers);
        let share = 100.0 * sum.as_secs_f64() / (took.as_secs_f64() * writers.max(1) as f64);
        format!(
            "{took:.1?}: {} writes, {} reads, {} times unavailable; {} pauses over {PAUSE_MIN:?}, \
             {share:.1} % of the time of {writers} writers, the longest {:.0?}",
            self.writes.load(SeqCst),
            self.reads.load(SeqCst),
            self.unavailable.load(SeqCst),
            pauses.len(),
            most.copied().unwrap_or_default(),
        )
    }

    fn must_be_right(&self) {
        let wrong = self.wrong.lock().unwrap();
        assert!(
            wrong.is_empty(),
            "{} wrong answers: {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(20)]
        );
    }

    fn is_wrong(&self, node: SocketAddr, what: String) {
        let at = self.begun.elapsed();
        self.wrong.lock().unwrap().push(format!("{at:.3?}: {node}: {what}"));
    }

    fn write(&self, me: usize, nodes: &[SocketAddr]) {
        let (mut client, mut turn) = (None, me);
        for number in 1.. {
            let slot = me * NAMES + number as usize % NAMES;
            let is_new = number % NEW_EVERY == 0;
            let name = if is_new { format!("new/{me}/{number}") } else { name(slot) };
            let begun = Instant::now();
            while !self.try_write(&mut client, nodes[turn % nodes.len()], &name, number) {
                if self.done.load(SeqCst) {
                    return;
                }
                turn += usize::from(client.is_none());
                thread::park_timeout(REST);
            }
            let took = begun.elapsed();
            if took > PAUSE_MIN {
                self.pauses.lock().unwrap().push(took);
            }
            match is_new {
                true => self.kept.lock().unwrap().push((name, number)),
                false => self.acked[slot].store(number, SeqCst),
            }
            self.writes.fetch_add(1, SeqCst);
            if self.done.load(SeqCst) {
                return;
            }
            thread::park_timeout(REST);
        }
    }

    /// Whether the write was acknowledged. If not, the client is to go elsewhere.
    fn try_write(
        &self,
        client: &mut Option<Client>,
        node: SocketAddr,
        name: &str,
        number: u64,
    ) -> bool {
        let Some(mut open) = client.take().or_else(|| Client::connect(node).ok()) else {
            return false;
        };
        let Ok(answer) = open.try_put(name, &content(name, number)) else { return false };
        match answer.status() {
            200 => *client = Some(open),
            503 | 504 => {}
            _ => self.is_wrong(node, format!("PUT {name}: {}", answer.line)),
        }
        answer.status() == 200
    }

    fn read(&self, node: SocketAddr) {
        let mut client: Option<Client> = None;
        for turn in 0.. {
            if self.done.load(SeqCst) {
                return;
            }
            let slot = turn % self.acked.len();
            let (name, acked) = (name(slot), self.acked[slot].load(SeqCst));
            let Some(mut open) = client.take().or_else(|| Client::connect(node).ok()) else {
                thread::park_timeout(REST);
                continue;
            };
            let asked = open.try_send(format!("GET {name}\n"));
            let Ok(answer) = asked.and_then(|()| open.try_answer()) else { continue };
            client = Some(open);
            match answer.status() {
                200 | 404 => match number_of(&name, &answer) {
                    Ok(number) if number < acked => {
                        let what = format!("{name} is {number}, {acked} was acknowledged before");
                        self.is_wrong(node, format!("{what}: {}", answer.line));
                    }
                    Ok(_) => drop(self.reads.fetch_add(1, SeqCst)),
                    Err(why) => self.is_wrong(node, why),
                },
                503 | 504 => drop(self.unavailable.fetch_add(1, SeqCst)),
                _ => self.is_wrong(node, format!("GET {name}: {}", answer.line)),
            }
            thread::park_timeout(REST);
        }
    }
}

fn name(slot: usize) -> String {
    format!("again/{slot}")
}

/// Sets a flag when it goes out of scope, also in a panic.
struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
