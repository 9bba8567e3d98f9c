//! What `logging-service` has acknowledged is in the log once and in order, whatever is killed; and
//! while the store is unavailable, the service says so and goes on.

use std::{
    collections::HashMap,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use smol::block_on;
use smolring::{
    grpc::{
        Channel, health,
        logging::{Empty, logging_service_client::LoggingServiceClient},
    },
    services::logging::limits::LISTS_MAX,
};
use tonic::{Code, body::Body, codegen::Service as _};

use crate::{
    logging::{logs, outcome, post, send},
    redis_server::RedisServer,
    served::{Client, PATIENCE, Reply, eventually},
    service::{LOGGING, Service, tool},
};

const CLIENTS: usize = 8;

/// Sends a message until it is acknowledged: to one service after another, with the same id.
fn deliver(ports: &[u16], id: &str, acknowledged: &AtomicUsize, is_over: &AtomicBool) -> bool {
    for port in ports.iter().cycle() {
        if is_over.load(SeqCst) {
            return false;
        }
        let Ok(mut client) = Client::try_connect(*port) else { continue };
        send(&mut client, id, id);
        match client.try_reply(true) {
            Ok(Reply { status: 200, body, .. }) => {
                assert!(!body.contains("conflict"), "{id} {body}");
                acknowledged.fetch_add(1, SeqCst);
                return true;
            }
            Ok(Reply { status: 503, .. }) | Err(_) => {}
            Ok(other) => panic!("{id}: {other:?}"),
        }
    }
    unreachable!("there are ports")
}

/// Ends the clients even if a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Lets clients deliver messages while `disturb` goes on, which is given a way to wait for more of them.
/// Returns the messages that each client got acknowledged, in its order.
fn under_fire(ports: &[u16], disturb: impl FnOnce(&dyn Fn(usize))) -> Vec<Vec<String>> {
    let (acknowledged, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let client = |number: usize| {
        let mut delivered = Vec::new();
        while !is_over.load(SeqCst) {
            let id = format!("{number}-{}", delivered.len());
            if deliver(ports, &id, &acknowledged, &is_over) {
                delivered.push(id);
            }
        }
        delivered
    };
    thread::scope(|scope| {
        let over = Over(&is_over);
        let client = &client;
        let clients: Vec<_> = (0..CLIENTS).map(|it| scope.spawn(move || client(it))).collect();
        disturb(&|more| {
            let enough = acknowledged.load(SeqCst) + more;
            eventually("messages", || acknowledged.load(SeqCst) >= enough);
        });
        drop(over);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

/// Each message is there once, and those of one client are in its order. One that was not
/// acknowledged may be there.
fn all_are_there_once(delivered: &[Vec<String>], log: &[String]) {
    let mut places = HashMap::new();
    for (place, msg) in log.iter().enumerate() {
        assert_eq!(places.insert(msg, place), None, "{msg} is there twice");
    }
    for messages in delivered {
        let found =
            messages.iter().map(|it| *places.get(it).unwrap_or_else(|| panic!("{it} is lost")));
        assert!(found.is_sorted());
    }
    let acknowledged: usize = delivered.iter().map(Vec::len).sum();
    assert!(acknowledged > 0 && log.len() <= acknowledged + delivered.len());
}

/// Starts a service again at a port that it had.
fn back_at(port: u16, args: &[&str]) -> Service {
    Service::start_at(LOGGING, port, args).expect("its port is still free")
}

#[test]
fn what_was_acknowledged_outlives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("log.redb");
    let args = ["--quiet", "--data", data.to_str().unwrap()];
    let mut service = Service::start_at_own_port(LOGGING, &args);
    let port = service.port;
    let slot = &mut service;
    let delivered = under_fire(&[port], |wait_for| {
        for _ in 0..4 {
            wait_for(100);
            slot.signal(Signal::KILL);
            slot.end();
            *slot = back_at(port, &args);
        }
        wait_for(100);
    });
    all_are_there_once(&delivered, &logs(&service));
    // And a graceful end.
    let before = logs(&service);
    service.signal(Signal::TERM);
    assert_eq!(service.end().1, Some(0));
    let service = back_at(port, &args);
    assert_eq!(logs(&service), before);
    assert_eq!(outcome(&post(&mut Client::connect(port), "0-0", "0-0")), "duplicate");
    assert_eq!(outcome(&post(&mut Client::connect(port), "0-0", "other")), "conflict");
}

#[test]
fn a_file_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("log.redb");
    let args = ["--port", "0", "--quiet", "--data", data.to_str().unwrap()];
    let service = Service::start(LOGGING, &args[2..]);
    let output = Command::new(LOGGING).args(args).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("is in use by another process"), "{error}");
    assert_eq!(outcome(&post(&mut Client::connect(service.port), "1", "x")), "logged");
    let names = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["log.redb"], "nothing lies beside it");
}

#[test]
fn lists_that_nobody_reads_hold_a_bounded_memory() {
    let service = Service::start(LOGGING, &["--quiet"]);
    let mut client = Client::connect(service.port);
    // More than a stream takes while nothing reads it, and less than a client's longest message.
    for id in 0..30 {
        post(&mut client, &id.to_string(), &"m".repeat(100_000));
    }
    let channel = || Channel::new(format!("127.0.0.1:{}", service.grpc_port()).parse().unwrap());
    let mut unread = channel();
    let mut other = LoggingServiceClient::new(channel());
    block_on(async {
        let mut lists = Vec::new();
        for _ in 0..LISTS_MAX {
            let ask = hyper::Request::post("/logging.LoggingService/GetLogs")
                .header("content-type", "application/grpc")
                .body(Body::new("\0\0\0\0\0".to_owned()));
            lists.push(unread.call(ask.unwrap()).await.unwrap());
        }
        let mut hasty = tonic::Request::new(Empty {});
        hasty.set_timeout(Duration::from_millis(300));
        assert_eq!(other.get_logs(hasty).await.unwrap_err().code(), Code::DeadlineExceeded);
        drop(lists);
        assert_eq!(other.get_logs(Empty {}).await.unwrap().into_inner().logs.len(), 30);
    });
}

#[test]
fn a_full_disk_is_told_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("log.redb");
    // As a disk that is full, a file may not grow any more; the soft limit can be taken back.
    let script = "ulimit -S -f 3000; exec \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", LOGGING, "--port", "0", "--quiet"]);
    let mut service = Service::of(command.arg("--data").arg(&data)).unwrap();
    let mut client = Client::connect(service.port);
    let msg = "m".repeat(300_000);
    let mut kept = 0;
    let refused = loop {
        let reply = post(&mut client, &kept.to_string(), &msg);
        if reply.status != 200 {
            break reply;
        }
        kept += 1;
        assert!(kept < 10, "the limit does not work");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    assert!(refused.body.contains("is full") && refused.body.contains("make room"), "{refused:?}");
    assert!(kept > 0);
    eventually("what is there is read", || service.get("/health").status == 200);
    assert_eq!(logs(&service), vec![msg.clone(); kept]);
    tool("prlimit", &["--pid", &service.id().to_string(), "--fsize=unlimited:"]);
    eventually("it goes on", || post(&mut client, &kept.to_string(), &msg).status == 200);
    assert_eq!(outcome(&post(&mut client, &kept.to_string(), &msg)), "duplicate");
    assert_eq!(outcome(&post(&mut client, "0", &msg)), "duplicate");
    assert!(service.is_up());
    service.kill();
    let service = Service::start(LOGGING, &["--quiet", "--data", data.to_str().unwrap()]);
    assert_eq!(logs(&service), vec![msg; kept + 1]);
}

#[test]
fn several_share_one_redis_and_one_of_them_is_killed() {
    needs!("redis-server");
    let server = RedisServer::start();
    let args = ["--quiet", "--store", &server.url()];
    let stays = Service::start(LOGGING, &args);
    let mut dies = Service::start_at_own_port(LOGGING, &args);
    let (port, slot) = (dies.port, &mut dies);
    let delivered = under_fire(&[stays.port, port], |wait_for| {
        for _ in 0..3 {
            wait_for(100);
            slot.signal(Signal::KILL);
            slot.end();
            wait_for(100);
            *slot = back_at(port, &args);
        }
        wait_for(100);
    });
    let log = logs(&stays);
    all_are_there_once(&delivered, &log);
    assert_eq!(logs(&dies), log, "a position is the same everywhere");
}

#[test]
fn of_the_same_id_through_two_processes_one_is_the_first() {
    needs!("redis-server");
    let server = RedisServer::start();
    let args = ["--quiet", "--store", &server.url()];
    let services = [Service::start(LOGGING, &args), Service::start(LOGGING, &args)];
    for round in 0..20 {
        let id = format!("round-{round}");
        let outcomes: Vec<String> = thread::scope(|scope| {
            let send = |number: usize| {
                let (port, id) = (services[number % 2].port, &id);
                scope.spawn(move || outcome(&post(&mut Client::connect(port), id, "x")))
            };
            let clients: Vec<_> = (0..16).map(send).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let count = |what| outcomes.iter().filter(|it| *it == what).count();
        assert_eq!((count("logged"), count("duplicate")), (1, 15), "{outcomes:?}");
    }
    services.iter().for_each(|service| assert_eq!(logs(service).len(), 20));
}

/// Checks that the service soon says that Redis is unavailable.
fn is_unavailable(service: &Service, id: &str) {
    let asks: [&dyn Fn() -> Reply; 4] = [
        &|| post(&mut Client::connect(service.port), id, "x"),
        &|| service.get("/logs"),
        &|| service.get("/logs?follow"),
        &|| service.get("/health"),
    ];
    for ask in asks {
        let began = Instant::now();
        let reply = ask();
        assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{reply:?}");
        let error: Value = serde_json::from_str(&reply.body).unwrap();
        assert!(error["error"].as_str().unwrap().contains("Redis at 127.0.0.1:"), "{error}");
    }
    for path in ["/health", "/ready"] {
        let why: Value = serde_json::from_str(&service.get(path).body).unwrap();
        assert_eq!(why["status"], "unavailable", "{path}: {why}");
    }
    let channel = Channel::new(format!("127.0.0.1:{}", service.grpc_port()).parse().unwrap());
    assert!(!block_on(health::is_serving(channel, "")).unwrap(), "gRPC says so too");
}

#[test]
fn it_outlives_its_redis() {
    needs!("redis-server");
    let server = RedisServer::start();
    let mut service = Service::start(LOGGING, &["--quiet", "--store", &server.url()]);
    let mut client = Client::connect(service.port);
    assert_eq!(outcome(&post(&mut client, "1", "x")), "logged");
    let port = server.port;
    drop(server);
    is_unavailable(&service, "2");
    let server = RedisServer::start_at(port).expect("its port is still free");
    eventually("it goes on", || post(&mut client, "2", "x").status == 200);
    assert_eq!(logs(&service), ["x"]);
    assert!(service.is_up());

    server.signal(Signal::STOP);
    is_unavailable(&service, "3");
    // Many at once wait no longer than one does.
    let began = Instant::now();
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(service.port)).collect();
    for (client, id) in clients.iter_mut().zip(10..) {
        send(client, &id.to_string(), "x");
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.reply().status, 503));
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    server.signal(Signal::CONT);
    eventually("it goes on", || post(&mut client, "3", "x").status == 200);
    assert_ne!(outcome(&post(&mut client, "3", "x")), "logged");
    assert!(service.is_up());
}

#[test]
fn it_starts_before_its_redis() {
    needs!("redis-server");
    let server = RedisServer::start();
    let (port, url) = (server.port, server.url());
    drop(server);
    let service = Service::start(LOGGING, &["--quiet", "--store", &url]);
    is_unavailable(&service, "1");
    let _server = RedisServer::start_at(port).expect("its port is still free");
    let mut client = Client::connect(service.port);
    eventually("it goes on", || post(&mut client, "1", "x").status == 200);
}
