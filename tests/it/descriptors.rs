//! Processes that may have few files and connections open.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use crate::{
    cluster::{self, Process},
    served::Client,
    service::{FACADE, LOGGING, Service},
};

/// A command that may have so many open.
fn with(descriptors: u32, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let limit = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
    command.args(["-c", &limit, program]).args(args).stdin(Stdio::null());
    command
}

fn smolring(descriptors: u32, args: &[&str]) -> Output {
    with(descriptors, env!("CARGO_BIN_EXE_smolring"), args).output().unwrap()
}

const NODE: &str = env!("CARGO_BIN_EXE_ring-node");
const FEW: u32 = 24;

#[test]
fn with_too_few_every_command_says_so_in_one_line() {
    for descriptors in [4, 5, 7, 9, 12, 14] {
        for command in crate::up::applets() {
            let output = smolring(descriptors, &[&command]);
            let said = String::from_utf8(output.stderr).unwrap();
            let (code, lines) = (output.status.code(), said.lines().count());
            assert_eq!((code, lines), (Some(1), 1), "{command} with {descriptors}: {said}");
            let is_said = said.contains(&format!("may have {descriptors} files"))
                && said.contains("ulimit -n");
            assert!(is_said && output.stdout.is_empty(), "{said}");
        }
    }
    assert!(smolring(FEW, &["http-get", "--version"]).status.success());
}

#[test]
fn a_node_closes_idle_clients_for_new_ones_and_for_its_ring() {
    let first = Process::of(&mut with(FEW, NODE, &["--ip", "127.0.0.1", "--port", "0"]), &[]);
    let mut clients = Vec::new();
    let mut ask = |node: &Process| {
        for _ in 0..2 * FEW {
            let mut client = cluster::Client::connect(node.address()).unwrap();
            assert_eq!(client.ask("PING").status(), 200);
            clients.push(client);
        }
    };
    ask(&first);
    let address = first.address().to_string();
    let options = ["--ip", "127.0.0.1", "--port", "0", "--prev", &address];
    let second = Process::of(&mut with(FEW, NODE, &options), &[]);
    let members = [first.address(), second.address()];
    second.wait_for_list(&members);
    ask(&second);
    ask(&first);
    for node in [&first, &second] {
        let answer = node.client().put("file", b"bytes");
        assert_eq!((answer.status(), answer.key("copies")), (200, Some("2")), "{}", answer.line);
    }
}

#[test]
fn a_service_closes_idle_connections_for_new_ones() {
    for program in ["hello-server", "logging-service"] {
        let args = [program, "--ip", "127.0.0.1", "--port", "0"];
        let mut command = with(FEW, env!("CARGO_BIN_EXE_smolring"), &args);
        let mut service = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut first = String::new();
        let mut stdout = BufReader::new(service.0.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        let port = first.trim().rsplit([' ', ':']).next().unwrap().parse().unwrap();
        let mut clients = Vec::new();
        for number in 0..2 * FEW {
            let mut client = Client::connect(port);
            let status = client.get("/health").status;
            assert!([200, 404].contains(&status), "{program}, client {number}: {status}");
            clients.push(client);
        }
    }
}

#[test]
fn a_service_that_calls_others_has_descriptors_left_for_that() {
    let logging = Service::start(LOGGING, &[]);
    let (url, grpc) = (logging.url(""), format!("127.0.0.1:{}", logging.grpc_port()));
    let args = ["--port", "0", "--logging-url", &url, "--logging-grpc", &grpc];
    let facade = Service::of(&mut with(FEW, FACADE, &args)).expect("it starts");
    let mut clients = Vec::new();
    for number in 0..2 * FEW {
        let mut client = Client::connect(facade.port);
        let path = if number % 2 == 0 { "/message" } else { "/grpc_message" };
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: 11\r\n\r\n{{\"msg\":\"x\"}}"
        ));
        let reply = client.reply();
        assert_eq!(reply.status, 200, "client {number}: {}", reply.body);
        clients.push(client);
    }
}

#[test]
fn many_files_are_put_and_got_over_fewer_connections() {
    let ring = cluster::Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path).to_str().unwrap().to_owned();
    std::fs::create_dir(at("in")).unwrap();
    for number in 0..50 {
        std::fs::write(at(&format!("in/{number}")), "x").unwrap();
    }
    let client = |args: &[&str]| {
        let output = smolring(18, &[&["ring-client"], args, &["--node", &node]].concat());
        let said = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap()).concat();
        assert!(output.status.success(), "{said}");
        said.lines().last().unwrap().to_owned()
    };
    assert_eq!(client(&["put", &at("in")]), "50 files put, 50 bytes");
    assert_eq!(client(&["get", "--prefix", "", "-o", &at("out")]), "50 files got, 50 bytes");
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
