//! Another implementation of gRPC: Python's grpcio calls the crate's services, and is called by
//! them.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

use crate::service::{FACADE, LOGGING, MESSAGES, Service, curl, tool};

fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    command.arg(folder.join(script)).env("PYTHONPATH", stubs());
    command
}

/// What grpcio's generator makes from the proto file, once.
fn stubs() -> &'static OsString {
    static STUBS: OnceLock<OsString> = OnceLock::new();
    STUBS.get_or_init(|| {
        let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("python-stubs");
        fs::create_dir_all(&out).unwrap();
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
        let [proto, shown] = [&proto, &out].map(|it| it.to_str().unwrap().to_owned());
        let (code, calls) = (format!("--python_out={shown}"), format!("--grpc_python_out={shown}"));
        tool("python3", &["-m", "grpc_tools.protoc", "-I", &proto, &code, &calls, "logging.proto"]);
        out.into()
    })
}

/// A logging service of grpcio. It is killed when it is dropped.
struct Logging {
    child: Child,
    out: BufReader<ChildStdout>,
    place: String,
}

impl Logging {
    fn start() -> Self {
        let mut command = python("logging_server.py");
        let mut child = command.arg("0").stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let place = line(&mut out).strip_prefix("listening on ").expect("it listens").into();
        Self { child, out, place }
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(out: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line.trim_end().into()
}

/// It starts no thread of another runtime.
fn runs_on_smol(service: &Service) {
    let names = service.thread_names();
    assert!(names.iter().any(|name| name.trim() == "async-io"), "{names:?}");
    let foreign = |name: &String| name.contains("tokio") || name.contains("async-std");
    assert!(!names.iter().any(foreign), "{names:?}");
}

#[test]
fn our_facade_hands_messages_to_a_logging_service_of_grpcio() {
    needs!("curl", "python3 grpc grpc_tools grpc_health grpc_reflection");
    let mut logging = Logging::start();
    let messages = Service::start(MESSAGES, &["--quiet"]);
    let messages = messages.url("");
    let args = ["--quiet", "--logging-grpc", &logging.place, "--messages-url", &messages];
    let facade = Service::start(FACADE, &args);
    let url = facade.url("/grpc_message");
    let posted = |msg: &str, more: &[&str]| -> Value {
        let args = [&["-d", msg][..], more, &[&url]].concat();
        serde_json::from_str(&curl(&args)).unwrap()
    };
    assert_eq!(curl(&[&url]), r#"{"combined":"not implemented yet"}"#);
    let answer = posted(r#"{"msg":"erste 😀"}"#, &[]);
    assert_eq!(answer["message"], "erste 😀");
    let id = answer["message_id"].as_str().unwrap();
    assert_eq!(line(&mut logging.out), format!("[LOGGED] {id} -> erste 😀"));
    for said in ["[LOGGED] key -> zweite", "[DUPLICATE] key"] {
        let answer = posted(r#"{"msg":"zweite"}"#, &["-H", "Idempotency-Key: key"]);
        assert_eq!(answer["message_id"], "key");
        assert_eq!(line(&mut logging.out), said);
    }
    assert_eq!(curl(&[&url]), r#"{"combined":"erste 😀 zweite not implemented yet"}"#);
    runs_on_smol(&facade);
}

#[test]
fn grpcio_finds_all_that_it_expects_at_our_logging_service() {
    needs!("python3 grpc grpc_tools grpc_health grpc_reflection");
    let logging = Service::start(LOGGING, &["--quiet"]);
    let silent = Service::start(LOGGING, &["--quiet", "--drop-replies", "1"]);
    let ports = [logging.grpc_port(), logging.port, silent.grpc_port()];
    let output = python("logging_client.py").args(ports.map(|it| it.to_string())).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"all\n", "{errors}");
    runs_on_smol(&logging);
}
