//! Every message exactly once, with real processes: a facade, and logging services that come late,
//! lose their answers and are killed.

use std::thread;

use rustix::process::Signal;
use smol::block_on;
use smolring::grpc::{
    Channel,
    logging::{LogRequest, Outcome, TailRequest, logging_service_client::LoggingServiceClient},
};
use tonic::Request;

use self::sender::Sender;
use crate::{
    logging::{logs, outcome, post},
    served::{Client, PATIENCE},
    service::{FACADE, LOGGING, Service, own_port},
};

mod fire;
mod sender;

const HTTP: &str = "/message";
const GRPC: &str = "/grpc_message";

/// The address of a logging service, which stays the same after a restart.
#[derive(Clone, Copy)]
struct Place {
    http: u16,
    grpc: u16,
}

impl Place {
    fn of(service: &Service) -> Self {
        Self { http: service.port, grpc: service.grpc_port() }
    }

    /// One where nothing listens.
    fn free() -> Self {
        Self { http: own_port(), grpc: own_port() }
    }

    /// Starts a logging service here.
    fn start(self, args: &[&str]) -> Service {
        let grpc = self.grpc.to_string();
        let args = [&["--quiet", "--grpc-port", &grpc], args].concat();
        Service::start_at(LOGGING, self.http, &args).expect("its ports are free")
    }
}

/// A facade with logging services at these places.
fn facade_of(places: &[Place], args: &[&str]) -> Service {
    let mut all = vec!["--quiet".to_owned()];
    all.extend(args.iter().map(|arg| arg.to_string()));
    for Place { http, grpc } in places {
        all.push(format!("--logging-url=http://127.0.0.1:{http}"));
        all.push(format!("--logging-grpc=127.0.0.1:{grpc}"));
    }
    Service::start(FACADE, &all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn grpc_client(service: &Service) -> LoggingServiceClient<Channel> {
    let endpoint = format!("127.0.0.1:{}", service.grpc_port());
    LoggingServiceClient::new(Channel::new(endpoint.parse().unwrap()))
}

/// The whole log in its order, which has no gap: (id, message).
fn entries(service: &Service) -> Vec<(String, String)> {
    let list = logs(service);
    let mut request = Request::new(TailRequest { after: Some(0) });
    request.set_timeout(PATIENCE);
    let entries: Vec<_> = block_on(async {
        let mut tail = grpc_client(service).tail(request).await.unwrap().into_inner();
        let mut entries = Vec::new();
        for position in 1..=list.len() {
            let entry = tail.message().await.unwrap().expect("another entry");
            assert_eq!(entry.position, position as u64, "there is a gap");
            entries.push((entry.id, entry.msg));
        }
        entries
    });
    assert!(entries.iter().map(|(_, msg)| msg).eq(&list), "the two ways to read it differ");
    entries
}

/// A message is posted while logging is down; logging starts when three attempts have failed.
fn a_post_waits_for_logging(path: &'static str, at: fn(Place) -> (String, u16)) {
    let place = Place::free();
    let mut facade = facade_of(&[place], &[]);
    let port = facade.port;
    let client = thread::spawn(move || Sender::connect(port, path).post(None, "retry"));
    let mut next_failed = || {
        let line = facade.line();
        assert!(line.contains("; next in "), "{line}");
        line
    };
    let mut failed = vec![next_failed(), next_failed(), next_failed()];
    let mut logging = place.start(&[]);
    let answer = client.join().unwrap();
    assert_eq!(answer.failure, None);
    let id = answer.id;
    assert_eq!(logging.line(), format!("[LOGGED] {id}"));
    assert_eq!(entries(&logging), [(id.clone(), "retry".into())]);
    logging.signal(Signal::TERM);
    let (rest, _) = logging.end();
    assert!(!rest.contains("[LOGGED]") && !rest.contains("[DUPLICATE]"), "{rest}");

    facade.signal(Signal::TERM);
    let (rest, _) = facade.end();
    let (at, port) = at(place);
    let cause = format!("connection refused: nobody listens at 127.0.0.1:{port}; next in ");
    for (line, number) in failed.iter().zip(1..) {
        let words = format!("POST {path} id={id} attempt {number} of 5 at {at} failed: {cause}");
        assert!(line.starts_with(&words) && line.ends_with(" ms"), "{line} is not {words}");
    }
    failed.extend(rest.lines().filter(|line| line.contains(" attempt ")).map(String::from));
    assert!(failed.len() < 5, "the last attempt has failed too: {failed:?}");
}

#[test]
fn a_post_waits_for_logging_over_http() {
    a_post_waits_for_logging(HTTP, |Place { http, .. }| (format!("http://127.0.0.1:{http}"), http));
}

#[test]
fn a_post_waits_for_logging_over_grpc() {
    a_post_waits_for_logging(GRPC, |Place { grpc, .. }| (format!("grpc://127.0.0.1:{grpc}"), grpc));
}

#[test]
fn the_same_id_by_hand_is_one_entry_over_both() {
    let mut service = Service::start(LOGGING, &["--quiet"]);
    let mut http = Client::connect(service.port);
    let client = grpc_client(&service);
    let call = |id: &str, msg: &str| {
        let mut request = Request::new(LogRequest { id: id.into(), msg: msg.into() });
        request.set_timeout(PATIENCE);
        let answer = block_on(client.clone().log_message(request)).unwrap().into_inner();
        assert_eq!(answer.detail, "logged");
        answer.outcome()
    };
    assert_eq!(outcome(&post(&mut http, "by-http", "hello")), "logged");
    assert_eq!(outcome(&post(&mut http, "by-http", "hello")), "duplicate");
    assert_eq!(call("by-grpc", "hello"), Outcome::Logged);
    assert_eq!(call("by-grpc", "hello"), Outcome::Duplicate);
    assert_eq!(call("by-http", "hello"), Outcome::Duplicate);
    assert_eq!(outcome(&post(&mut http, "by-grpc", "hello")), "duplicate");
    let once = |id: &str| (id.to_owned(), "hello".to_owned());
    assert_eq!(entries(&service), [once("by-http"), once("by-grpc")]);
    for line in [
        "[LOGGED] by-http",
        "[DUPLICATE] by-http",
        "[LOGGED] by-grpc",
        "[DUPLICATE] by-grpc",
        "[DUPLICATE] by-http",
        "[DUPLICATE] by-grpc",
    ] {
        assert_eq!(service.line(), line);
    }
}
