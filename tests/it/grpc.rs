//! gRPC's transport: a service of this test on a real port, called through the crate's channel and
//! by raw bytes.

use std::{
    fs,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use prost::Message as _;
use smol::{
    future::{self, block_on},
    stream::{self, Stream, StreamExt},
};
use smolring::{
    grpc::{
        Channel, Server, health,
        logging::{
            self, Empty, LogEntry, LogList, LogRequest, LogResponse, TailRequest,
            logging_service_client::LoggingServiceClient,
            logging_service_server::{LoggingService, LoggingServiceServer},
        },
        reflection,
    },
    http::{Bound, Options, Trace},
};
use tonic::{Code, Request, Response, Status, codec::CompressionEncoding};

use crate::{
    relay::Relay,
    served::{PATIENCE, Served, quiet},
};

const LOG: &str = "/logging.LoggingService/LogMessage";
const TAIL: &str = "/logging.LoggingService/Tail";

type Client = LoggingServiceClient<Channel>;

/// Handles a call as its message says.
#[derive(Clone, Default)]
struct Obedient {
    calls: Arc<AtomicUsize>,
}

impl health::Readiness for Obedient {
    async fn is_ready(&self, service: &str) -> Option<bool> {
        (service == "calls").then(|| self.calls.load(SeqCst) > 0)
    }
}

#[tonic::async_trait]
impl LoggingService for Obedient {
    async fn log_message(
        &self,
        request: Request<LogRequest>,
    ) -> Result<Response<LogResponse>, Status> {
        self.calls.fetch_add(1, SeqCst);
        let trace = request.extensions().get::<Trace>().map(|it| it.request_id().to_owned());
        match request.get_ref().msg.as_str() {
            "sleep" => future::pending().await,
            "panic" => panic!("as it was told"),
            "fail" => Err(Status::failed_precondition("ünwilling")),
            "trace" => Ok(Response::new(LogResponse { detail: trace.unwrap(), outcome: 0 })),
            _ => Ok(Response::new(LogResponse { detail: "logged".into(), outcome: 1 })),
        }
    }

    async fn get_logs(&self, _: Request<Empty>) -> Result<Response<LogList>, Status> {
        Ok(Response::new(LogList { logs: vec!["x".repeat(1 << 20); 3] }))
    }

    type TailStream = Pin<Box<dyn Stream<Item = Result<LogEntry, Status>> + Send>>;

    /// As many entries as were asked for, and then nothing, for ever.
    async fn tail(
        &self,
        request: Request<TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let entries = 1..=request.get_ref().after();
        let entry = |position| Ok(LogEntry { position, id: "id".into(), msg: "msg".into() });
        let entries = stream::iter(entries.map(entry)).chain(stream::pending());
        Ok(Response::new(Box::pin(entries)))
    }
}

fn start(options: Options) -> (Served, Obedient) {
    let service = Obedient::default();
    let server = LoggingServiceServer::new(service.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(options.body_bytes_max);
    let server = Server::new().with(server).with(health::server(service.clone()));
    let server = server.also_as("LoggingService", "logging.LoggingService");
    let server = reflection::add(server, &[logging::FILE_DESCRIPTOR_SET]).unwrap();
    let bound = server.behind(Bound::new(options).unwrap());
    let mut app = tide::new();
    app.at("/ok").get(|_| async { Ok("ok") });
    (Served::start_bound(bound, app), service)
}

fn client(port: u16) -> Client {
    LoggingServiceClient::new(Channel::new(format!("127.0.0.1:{port}").parse().unwrap()))
}

fn message(msg: &str) -> LogRequest {
    LogRequest { id: "1".into(), msg: msg.into() }
}

fn within(timeout: Duration, msg: &str) -> Request<LogRequest> {
    let mut request = Request::new(message(msg));
    request.set_timeout(timeout);
    request
}

async fn code_of(client: &Client, msg: &str) -> Code {
    match client.clone().log_message(within(PATIENCE, msg)).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[test]
fn calls_are_answered_on_the_port_that_speaks_http() {
    needs!("curl");
    let (served, _) = start(Options { service: Some("test"), ..quiet() });
    let client = client(served.port);
    block_on(async {
        let answer = client.clone().log_message(within(PATIENCE, "hello")).await.unwrap();
        assert_eq!(answer.into_inner().detail, "logged");
        let error = client.clone().log_message(message("fail")).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::FailedPrecondition, "ünwilling"));
        let mut traced = Request::new(message("trace"));
        traced.metadata_mut().insert("x-request-id", "abc".parse().unwrap());
        let answer = client.clone().log_message(traced).await.unwrap();
        assert_eq!(answer.metadata().get("x-request-id").unwrap(), "abc");
        assert_eq!(answer.into_inner().detail, "abc");
        let list = client.clone().get_logs(Empty {}).await.unwrap().into_inner();
        assert_eq!(list.logs.iter().map(String::len).sum::<usize>(), 3 << 20);
    });
    assert!(served.is_alive(), "HTTP/1.1 on the same port");
    let h2c = crate::service::curl(&[
        "--http2-prior-knowledge",
        &format!("http://127.0.0.1:{}/ok", served.port),
    ]);
    assert_eq!(h2c, "ok");
}

#[test]
fn a_call_ends_at_its_deadline_and_others_go_on() {
    let (served, _) = start(quiet());
    let client = client(served.port);
    block_on(async {
        let mut sleeping = client.clone();
        let asleep = sleeping.log_message(within(Duration::from_millis(50), "sleep")).await;
        assert_eq!(asleep.unwrap_err().code(), Code::DeadlineExceeded);
        let mut request = Request::new(TailRequest { after: Some(2) });
        request.set_timeout(Duration::from_millis(100));
        let mut tail = client.clone().tail(request).await.unwrap().into_inner();
        assert_eq!(tail.message().await.unwrap().unwrap().position, 1);
        assert_eq!(tail.message().await.unwrap().unwrap().position, 2);
        assert_eq!(tail.message().await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(code_of(&client, "hello").await, Code::Ok);
    });
}

#[test]
fn the_server_keeps_the_deadline_if_the_client_does_not() {
    needs!("curl");
    let (served, _) = start(quiet());
    let timed = ["-H", "grpc-timeout: 50m"];
    let (head, trailers) = by_curl(served.port, LOG, &message_bytes("sleep"), &timed);
    assert!(head.contains("grpc-status: 4") || trailers.contains("grpc-status: 4"), "{head}");
    let (head, _) = by_curl(served.port, LOG, &message_bytes("x"), &["-H", "grpc-timeout: 5"]);
    assert!(head.contains("grpc-status: 3"), "{head}");
    // A stream ends as well, with trailers after what has come.
    let (_, trailers) = by_curl(served.port, TAIL, &[0, 0, 0, 0, 2, 8, 3], &timed);
    assert!(trailers.contains("grpc-status: 4"), "{trailers}");
    // A call without a deadline gets the server's.
    let (served, _) = start(Options { request_timeout: Duration::from_millis(100), ..quiet() });
    let error = block_on(client(served.port).log_message(message("sleep"))).unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
}

/// A message with the five bytes that come before it.
fn message_bytes(msg: &str) -> Vec<u8> {
    let length = msg.len() as u8;
    [&[0, 0, 0, 0, length + 5, 10, 1, b'1', 18, length][..], msg.as_bytes()].concat()
}

/// A call made with curl. Returns the headers of the answer, and its trailers.
fn by_curl(port: u16, path: &str, body: &[u8], more: &[&str]) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let (from, head) = (dir.path().join("body"), dir.path().join("head"));
    fs::write(&from, body).unwrap();
    let data = format!("@{}", from.display());
    let url = format!("http://127.0.0.1:{port}{path}");
    let out = dir.path().join("out");
    let args =
        ["--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers"];
    let (head_to, out_to) = (head.display().to_string(), out.display().to_string());
    let rest = ["--data-binary", &data, "-D", &head_to, "-o", &out_to, &url];
    crate::service::curl(&[&args, more, &rest].concat());
    let all = fs::read_to_string(&head).unwrap();
    let (head, trailers) = all.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), trailers.to_owned())
}

#[test]
fn what_is_too_much_is_named_and_costs_one_call() {
    let (served, service) = start(Options { body_bytes_max: 1000, ..quiet() });
    let client = client(served.port);
    block_on(async {
        assert_eq!(code_of(&client, &"x".repeat(900)).await, Code::Ok);
        assert_eq!(code_of(&client, &"x".repeat(1000)).await, Code::ResourceExhausted);
        assert_eq!(code_of(&client, &"x".repeat(3 << 20)).await, Code::ResourceExhausted);
        // A few bytes on the wire, and many when they are unpacked.
        let gzip = client.clone().send_compressed(CompressionEncoding::Gzip);
        assert_eq!(code_of(&gzip, &"x".repeat(900)).await, Code::Ok);
        assert_eq!(code_of(&gzip, &"x".repeat(100_000)).await, Code::ResourceExhausted);
        assert_eq!(service.calls.load(SeqCst), 2);
        assert_eq!(code_of(&client, "panic").await, Code::Internal);
        assert_eq!(code_of(&client, "hello").await, Code::Ok);
    });
}

#[test]
fn what_is_not_there_is_unimplemented() {
    needs!("curl");
    let (served, service) = start(quiet());
    for (url, status) in [
        ("/logging.LoggingService/Nothing", "12"),
        ("/logging.Other/LogMessage", "12"),
        ("/nothing", "12"),
        ("/LoggingService/LogMessage", "0"),
    ] {
        let (head, trailers) = by_curl(served.port, url, &message_bytes("hello"), &[]);
        assert!(format!("{head}\r\n{trailers}").contains(&format!("grpc-status: {status}\r\n")));
    }
    assert_eq!(service.calls.load(SeqCst), 1);
}

#[test]
fn what_is_no_call_is_told_so_by_its_status() {
    needs!("curl");
    let (served, service) = start(quiet());
    let status = |path: &str, args: &[&str]| {
        let url = format!("http://127.0.0.1:{}{path}", served.port);
        let all = [&["-o", "/dev/null", "-w", "%{http_code}"], args, &[&url]].concat();
        crate::service::curl(&all)
    };
    let h2 = "--http2-prior-knowledge";
    for (path, content_type, expected) in [
        (LOG, "application/json", "415"),
        (LOG, "application/grpcx", "415"),
        (LOG, "application/grpc-web", "415"),
        (LOG, "text/plain; application/grpc", "415"),
        (LOG, "", "415"),
        (LOG, "Application/GRPC", "200"),
        (LOG, "application/grpc+proto", "200"),
        (LOG, "application/grpc ; x=y", "200"),
        ("/LoggingService/LogMessage", "application/json", "415"),
        ("/grpc.health.v1.Health/Check", "application/json", "415"),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "a/b", "415"),
        ("/nothing", "application/json", "404"),
        ("/logging.LoggingServiceX/LogMessage", "application/json", "404"),
    ] {
        let header = format!("content-type: {content_type}");
        let args = [h2, "-H", &header, "--data-binary", "x"];
        assert_eq!(status(path, &args), expected, "{path} {content_type}");
    }
    let grpc = "content-type: application/grpc";
    assert_eq!(status(LOG, &[h2, "-H", grpc]), "405");
    assert_eq!(status(LOG, &["-d", "x"]), "415");
    assert_eq!(status(LOG, &["-d", "x", "-H", grpc]), "505");
    assert_eq!(status("/ok", &[h2]), "200");
    assert_eq!(service.calls.load(SeqCst), 0);
}

/// A question for reflection, with bytes that it does not know.
#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(string, optional, tag = "3")]
    file_by_filename: Option<String>,
    #[prost(string, optional, tag = "4")]
    file_containing_symbol: Option<String>,
    #[prost(string, optional, tag = "6")]
    all_extension_numbers_of_type: Option<String>,
    #[prost(bytes = "vec", tag = "1000")]
    unknown: Vec<u8>,
}

type Told = tonic_reflection::pb::v1::ServerReflectionResponse;

/// The answers to a stream of questions, each short, in one call.
async fn reflected(
    port: u16,
    version: &str,
    questions: impl Stream<Item = Question> + Send + 'static,
) -> Result<Vec<Told>, Status> {
    let channel = Channel::new(format!("127.0.0.1:{port}").parse().unwrap());
    let mut client = tonic::client::Grpc::new(channel);
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let codec = tonic_prost::ProstCodec::<Question, Told>::default();
    let request = Request::new(questions);
    let answers = client.streaming(request, path.parse().unwrap(), codec).await?;
    answers.into_inner().try_collect().await
}

#[test]
fn reflection_finds_whatever_has_a_name() {
    let (served, _) = start(quiet());
    let ask = |question| {
        let answers = reflected(served.port, "v1alpha", stream::once(question));
        block_on(answers).unwrap().remove(0).message_response.unwrap()
    };
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse::{
        AllExtensionNumbersResponse, ErrorResponse, FileDescriptorResponse,
    };
    let reflection = "grpc.reflection.v1alpha.ServerReflection";
    for symbol in [
        "logging.LoggingService",
        "logging.LoggingService.Tail",
        "LoggingService",
        "LoggingService.Tail",
        "logging.LogEntry",
        ".logging.LogEntry.position",
        "logging.TailRequest._after",
        "logging.Outcome",
        "logging.OUTCOME_LOGGED",
        "logging.Outcome.OUTCOME_LOGGED",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1.ServerReflectionRequest.message_request",
        reflection,
        "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflectionResponse.message_response",
    ] {
        let question =
            Question { file_containing_symbol: Some(symbol.into()), ..Question::default() };
        let FileDescriptorResponse(files) = ask(question) else { panic!("{symbol} is not found") };
        let file = prost_types::FileDescriptorProto::decode(&*files.file_descriptor_proto[0]);
        let (package, files) = (file.unwrap().package().to_owned(), files.file_descriptor_proto);
        assert!(symbol.trim_start_matches('.').starts_with(&package), "{symbol} in {package}");
        assert_eq!(files.len(), if package.is_empty() { 2 } else { 1 }, "{symbol}");
    }
    for symbol in ["", "logging", "logging.Nothing", "OUTCOME_LOGGED", "logging.LogEntry.nothing"] {
        let question =
            Question { file_containing_symbol: Some(symbol.into()), ..Question::default() };
        assert!(matches!(ask(question), ErrorResponse(_)), "{symbol}");
    }
    let extensions = |of: &str| {
        let of = Some(of.to_owned());
        ask(Question { all_extension_numbers_of_type: of, ..Question::default() })
    };
    assert!(matches!(extensions("logging.LogEntry"), AllExtensionNumbersResponse(_)));
    assert!(matches!(extensions("logging.Nothing"), ErrorResponse(_)));
}

#[test]
fn a_stream_of_messages_is_bounded_by_what_is_held() {
    // A server holds 128 MiB at most.
    const MESSAGES: usize = 160;
    let (served, _) = start(quiet());
    let question = Question {
        file_by_filename: Some("nothing".into()),
        unknown: vec![0; 1 << 20],
        ..Question::default()
    };
    let questions = stream::repeat(question).take(MESSAGES);
    let answers = block_on(reflected(served.port, "v1", questions)).unwrap();
    assert_eq!(answers.len(), MESSAGES);
}

#[test]
fn a_server_that_comes_back_is_found_again_without_a_second_call() {
    let (served, _) = start(quiet());
    let port = served.port;
    let client = client(port);
    block_on(async {
        assert_eq!(code_of(&client, "hello").await, Code::Ok);
        served.reasons.send("SIGTERM").await.unwrap();
        served.end.recv_timeout(PATIENCE).unwrap().unwrap();
        let error = client.clone().log_message(message("hello")).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().contains("connection refused"), "{error}");
        let (_served, service) = start(Options { port, ..quiet() });
        assert_eq!(code_of(&client, "hello").await, Code::Ok);
        assert_eq!(service.calls.load(SeqCst), 1);
    });
}

#[test]
fn a_call_that_was_on_its_way_when_the_connection_broke_is_not_repeated() {
    // Takes what comes, and hangs up when the call is there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let calls = thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
        let mut seen = Vec::new();
        let mut space = [0; 4096];
        while !seen.windows(5).any(|it| it == b"hello") {
            let bytes = stream.read(&mut space).unwrap();
            assert!(bytes > 0, "nothing was sent");
            seen.extend_from_slice(&space[..bytes]);
        }
        drop(stream);
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let error = block_on(client(port).log_message(message("hello"))).unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("connection lost"), "{error}");
    let again = calls.join().unwrap().accept();
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_shutdown_finishes_calls_and_ends_streams() {
    let (served, service) = start(quiet());
    let client = client(served.port);
    block_on(async {
        let mut tail =
            client.clone().tail(TailRequest { after: Some(1) }).await.unwrap().into_inner();
        assert_eq!(tail.message().await.unwrap().unwrap().position, 1);
        served.reasons.send("SIGTERM").await.unwrap();
        let error = tail.message().await.unwrap_err();
        let told = (Code::Unavailable, "the server is shutting down");
        assert_eq!((error.code(), error.message()), told);
    });
    served.end.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(service.calls.load(SeqCst), 0);
}

#[test]
fn health_is_asked_when_it_is_asked_for() {
    let (served, _) = start(quiet());
    let channel = Channel::new(format!("127.0.0.1:{}", served.port).parse().unwrap());
    block_on(async {
        let is_serving = |service| health::is_serving(channel.clone(), service);
        assert!(!is_serving("calls").await.unwrap());
        assert_eq!(is_serving("other").await.unwrap_err().code(), Code::NotFound);
        assert_eq!(code_of(&client(served.port), "hello").await, Code::Ok);
        assert!(is_serving("calls").await.unwrap());
    });
}

#[test]
fn a_server_that_says_nothing_is_left_at_the_deadline_of_the_client() {
    // Connections are accepted by the kernel, and nothing reads them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap().port());
    let asked = async { client.clone().log_message(within(Duration::from_millis(100), "x")).await };
    assert_eq!(block_on(asked).unwrap_err().code(), Code::DeadlineExceeded);
}

#[test]
fn many_calls_share_one_connection() {
    let (served, service) = start(quiet());
    let client = client(served.port);
    let calls = (0..64).map(|_| {
        let client = client.clone();
        smol::spawn(async move {
            for _ in 0..20 {
                assert_eq!(code_of(&client, "hello").await, Code::Ok);
            }
        })
    });
    let calls: Vec<_> = calls.collect();
    block_on(async {
        for call in calls {
            call.await;
        }
    });
    assert_eq!(service.calls.load(SeqCst), 64 * 20);
}

#[test]
fn a_connection_that_has_gone_silent_costs_one_deadline() {
    let (served, _) = start(quiet());
    let relay = Relay::to(served.port);
    let client = client(relay.address.port());
    let short = Duration::from_millis(300);
    block_on(async {
        let call = async |timeout| client.clone().log_message(within(timeout, "hello")).await;
        call(PATIENCE).await.unwrap();
        relay.silence();
        assert_eq!(call(short).await.unwrap_err().code(), Code::DeadlineExceeded);
        call(PATIENCE).await.unwrap();
        assert_eq!(relay.connections(), 2);
        // In the middle of an answer as well.
        let mut request = Request::new(TailRequest { after: Some(1) });
        request.set_timeout(short);
        let mut tail = client.clone().tail(request).await.unwrap().into_inner();
        tail.message().await.unwrap().unwrap();
        relay.silence();
        assert_eq!(tail.message().await.unwrap_err().code(), Code::DeadlineExceeded);
        call(PATIENCE).await.unwrap();
        assert_eq!(relay.connections(), 3);
    });
}

#[test]
fn a_slow_call_is_not_taken_for_a_silent_connection() {
    let (served, _) = start(quiet());
    let relay = Relay::to(served.port);
    let client = client(relay.address.port());
    block_on(async {
        let mut sleeping = client.clone();
        let slow = sleeping.log_message(within(Duration::from_millis(300), "sleep"));
        let others = async {
            loop {
                assert_eq!(code_of(&client, "hello").await, Code::Ok);
            }
        };
        let late = async { Err(slow.await.unwrap_err()) };
        let error: Result<(), Status> = future::or(late, others).await;
        assert_eq!(error.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(code_of(&client, "hello").await, Code::Ok);
    });
    assert_eq!(relay.connections(), 1);
}
