//! Many messages through the facade while logging is killed and loses answers: what the facade says
//! about each is true.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::mpsc::{self, Receiver, channel},
    thread,
    time::Instant,
};

use rustix::process::Signal;

use super::{GRPC, HTTP, Place, entries, facade_of, sender::Sender};
use crate::{
    redis_server::RedisServer,
    served::PATIENCE,
    service::{LOGGING, Service},
    sim::{Rng, variable},
};

const CLIENTS: usize = 32;
const MESSAGES: usize = 2000;
const KILLS: u64 = 6;
/// Answers between a kill and the next start: each client can still have one.
const DOWN_MAX: u64 = 24;
/// Two attempts, the second soon: some messages need a third, which the client makes.
const HASTY: &[&str] = &["--attempts", "2", "--attempt-timeout", "200ms", "--retry-for", "600ms"];

/// A message, and what the facade last said about it.
struct Message {
    text: String,
    id: String,
    is_kept: bool,
}

/// How many answers have come.
struct Progress {
    answers: Receiver<()>,
    seen: u64,
}

impl Progress {
    /// Waits until there are so many in all.
    fn wait_for(&mut self, total: u64) {
        self.seen += self.answers.try_iter().count() as u64;
        while self.seen < total {
            let answer = self.answers.recv_timeout(PATIENCE);
            answer.unwrap_or_else(|error| panic!("after {} answers: {error}", self.seen));
            self.seen += 1;
        }
    }
}

/// Randomness that a seed repeats, as far as the timing of the processes allows.
fn chance() -> Rng {
    let seed = variable("SMOLRING_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    eprintln!("seed {seed}; SMOLRING_SEED={seed} kills after the same answers");
    Rng(seed)
}

/// Has clients post all messages, each on one connection, half of them over gRPC, while `disturb`
/// goes on. Returns the messages of each client.
fn under_fire(facade: &Service, disturb: impl FnOnce(Progress)) -> Vec<Vec<Message>> {
    let (answered, answers) = channel();
    let client = |number: usize, answered: mpsc::Sender<()>| {
        let mut sender = Sender::connect(facade.port, path(number));
        let mine = (number..MESSAGES).step_by(CLIENTS);
        let post = |message: usize| {
            let text = format!("message {message} of client {number}");
            let answer = sender.post(None, &text);
            let _ = answered.send(());
            Message { text, id: answer.id, is_kept: answer.failure.is_none() }
        };
        mine.map(post).collect()
    };
    thread::scope(|scope| {
        let client = &client;
        let start = |number| {
            let answered = answered.clone();
            scope.spawn(move || client(number, answered))
        };
        let clients: Vec<_> = (0..CLIENTS).map(start).collect();
        drop(answered);
        disturb(Progress { answers, seen: 0 });
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

fn path(client: usize) -> &'static str {
    if client.is_multiple_of(2) { HTTP } else { GRPC }
}

/// Sends each message that may not be kept again, as its answer says, until it is kept.
fn repeat(facade: &Service, messages: &mut [Vec<Message>]) {
    thread::scope(|scope| {
        for (messages, number) in messages.iter_mut().zip(0..) {
            scope.spawn(move || {
                let mut sender = Sender::connect(facade.port, path(number));
                for message in messages.iter_mut().filter(|it| !it.is_kept) {
                    let began = Instant::now();
                    while let Some(error) = sender.post(Some(&message.id), &message.text).failure {
                        assert!(began.elapsed() < PATIENCE, "{}: {error}", message.id);
                    }
                    message.is_kept = true;
                }
            });
        }
    });
}

/// What the facade has said is kept is in the log; what is in the log was sent with this id and
/// this text, and nothing is there twice.
fn is_true(messages: &[Vec<Message>], log: &[(String, String)]) {
    let sent: HashMap<_, _> = messages.iter().flatten().map(|it| (&it.id, &it.text)).collect();
    assert_eq!(sent.len(), MESSAGES, "an id was given twice");
    let mut places = HashMap::new();
    for ((id, text), place) in log.iter().zip(0..) {
        assert_eq!(sent.get(id), Some(&text), "{id} was not sent, or with another message");
        assert_eq!(places.insert(id, place), None, "{id} is there twice");
    }
    let kept = |it: &&Message| it.is_kept;
    for message in messages.iter().flatten().filter(kept) {
        assert!(places.contains_key(&message.id), "lost: {} {}", message.id, message.text);
    }
}

/// The messages that were kept at once are in the order in which their client sent them.
fn is_in_order(messages: &[Vec<Message>], log: &[(String, String)]) {
    let places: HashMap<_, _> = log.iter().zip(0..).map(|((id, _), place)| (id, place)).collect();
    for messages in messages {
        let kept = messages.iter().filter(|it| it.is_kept).map(|it| places[&it.id]);
        assert!(kept.is_sorted());
    }
}

/// Checks all that must hold of messages that were posted under fire. Repeats what may not be kept;
/// returns the log, which has all of them then.
fn holds(
    facade: &Service,
    mut messages: Vec<Vec<Message>>,
    logging: &Service,
) -> Vec<(String, String)> {
    let log = entries(logging);
    is_true(&messages, &log);
    is_in_order(&messages, &log);
    let open = messages.iter().flatten().filter(|it| !it.is_kept).count();
    eprintln!("{open} of {MESSAGES} messages were not kept at once");
    assert!((1..MESSAGES / 2).contains(&open), "the test shows nothing");
    repeat(facade, &mut messages);
    let all = entries(logging);
    is_true(&messages, &all);
    assert_eq!(all.len(), MESSAGES);
    assert!(all.starts_with(&log), "the order has changed");
    all
}

#[test]
fn every_message_once_while_logging_is_killed() {
    let mut chance = chance();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("log.redb");
    let args = ["--data", data.to_str().unwrap(), "--drop-replies", "0.1"];
    let place = Place::free();
    let mut logging = place.start(&args);
    let facade = facade_of(&[place], HASTY);
    let slot = &mut logging;
    let messages = under_fire(&facade, |mut progress| {
        // One in each part of the messages; some are left for after the last start.
        let part = (MESSAGES as u64 - 200) / KILLS;
        for kill in 0..KILLS {
            let total = chance.range(kill * part + 1, (kill + 1) * part - DOWN_MAX);
            progress.wait_for(total);
            slot.signal(Signal::KILL);
            slot.end();
            progress.wait_for(total + chance.range(0, DOWN_MAX));
            *slot = place.start(&args);
        }
    });
    let log = holds(&facade, messages, &logging);
    logging.kill();
    assert!(entries(&place.start(&args)) == log, "the log is another one after a restart");
}

#[test]
fn every_message_once_while_one_of_two_is_killed() {
    needs!("redis-server");
    let mut chance = chance();
    let redis = RedisServer::start();
    let url = redis.url();
    let args = ["--quiet", "--store", &url];
    let mut dies = Service::start(LOGGING, &args);
    let stays = Service::start(LOGGING, &[&args[..], &["--drop-replies", "0.1"]].concat());
    let facade = facade_of(&[Place::of(&dies), Place::of(&stays)], HASTY);
    let messages = under_fire(&facade, |mut progress| {
        progress.wait_for(chance.range(MESSAGES as u64 / 4, MESSAGES as u64 * 3 / 4));
        dies.signal(Signal::KILL);
        dies.end();
    });
    let log = holds(&facade, messages, &stays);
    let another = Service::start(LOGGING, &args);
    assert!(entries(&another) == log, "it is another log through another service");
}
