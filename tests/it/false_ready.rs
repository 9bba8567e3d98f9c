//! A member that was stopped does not know what it missed: it must not answer as if it did.

use std::{
    collections::VecDeque,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    cluster::{Client, Ring, until},
    traffic::{content, number_of},
};

const NAME: &str = "again/0";
const CONNECTIONS: usize = 16;
const STOP: Duration = Duration::from_secs(3);
/// Of these, a member that comes back too often stays out for a while after the last.
const ROUNDS: usize = 4;
const REST: Duration = Duration::from_millis(1);

/// Connections with questions on them that are not answered yet, and what the answer must be at least.
struct Hammer {
    connections: Vec<(Client, VecDeque<u64>)>,
    answered: [usize; 2],
}

impl Hammer {
    /// Asks on the n-th connection, when this write has been acknowledged: for the name that is
    /// written again and again, and for the one that is new.
    fn ask(&mut self, n: usize, acked: u64) {
        let (client, asked) = &mut self.connections[n % CONNECTIONS];
        client.send(format!("GET {NAME}\nGET new/{acked}\n"));
        asked.push_back(acked);
    }

    /// Takes all answers.
    fn take(&mut self) {
        for (client, asked) in &mut self.connections {
            while let Some(acked) = asked.pop_front() {
                for name in [NAME, &format!("new/{acked}")] {
                    let answer = client.answer();
                    if answer.status() == 503 {
                        self.answered[1] += 1;
                        continue;
                    }
                    let number = number_of(name, &answer).expect("it is whole");
                    let what = "and this was acknowledged before";
                    assert!(number >= acked, "{name}: it answers {number}, {what}: {acked}");
                    self.answered[0] += 1;
                }
            }
        }
    }
}

/// Stops a member for a while, again and again, while the others write.
fn stop_again_and_again(ring: &Ring) {
    let mut writers = [ring.nodes[0].client(), ring.nodes[2].client()];
    let mut number = 0;
    let mut write = || {
        number += 1;
        let new = format!("new/{number}");
        let mut put = |name| {
            let answer = writers[number as usize % 2].put(name, &content(name, number));
            answer.status() == 200
        };
        (put(NAME) && put(&new)).then_some(number)
    };
    for round in 0..ROUNDS {
        let connect = |_| (ring.nodes[1].client(), VecDeque::new());
        let connections = (0..CONNECTIONS).map(connect).collect();
        let mut hammer = Hammer { connections, answered: [0; 2] };
        let mut acked = write().expect("all is well");
        (0..CONNECTIONS).for_each(|n| hammer.ask(n, acked));
        hammer.take();
        ring.nodes[1].signal(Signal::STOP);
        let (stopped, before) = (Instant::now(), acked);
        // The others go on without it: once for long, then only just.
        while acked == before || (round == 0 && stopped.elapsed() < STOP) {
            acked = write().unwrap_or(acked);
            if acked % 16 == 0 {
                hammer.ask(acked as usize / 16, acked);
            }
            // So that the nodes have the cores.
            thread::park_timeout(REST);
        }
        (0..CONNECTIONS).for_each(|n| hammer.ask(n, acked));
        ring.nodes[1].signal(Signal::CONT);
        let continued = Instant::now();
        hammer.take();
        let at_once = (hammer.answered, continued.elapsed());
        let mut info = ring.nodes[1].client();
        until("it is ready again", || {
            acked = write().unwrap_or(acked);
            (0..CONNECTIONS).for_each(|n| hammer.ask(n, acked));
            hammer.take();
            let info = info.ask("INFO");
            (info.key("ready") == Some("1") && info.key("members") == Some("3")).then_some(())
        });
        println!(
            "{} writes while it was stopped; at once it answered {:?} (files, 503), within {:.0?}; \
             by the time it was ready, {:.0?} later, {:?}",
            acked - before,
            at_once.0,
            at_once.1,
            continued.elapsed(),
            hammer.answered
        );
    }
    ring.settle();
}

#[test]
fn a_member_that_was_stopped_never_answers_what_is_older_than_an_acknowledged_write() {
    let rings = [(); 3].map(|()| Ring::start(3, &[]));
    thread::scope(|scope| {
        for ring in &rings {
            scope.spawn(|| stop_again_and_again(ring));
        }
    });
}
