//! What a service manager hands over and is told: `LISTEN_FDS` and `NOTIFY_SOCKET`.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;

use crate::{
    cluster::{Client as NodeClient, Process, own_ip},
    hello::{BINARY, Hello},
    options::ended,
    served::{Client, PATIENCE},
    service::{LOGGING, Service, tool},
};

/// Plays the part of systemd: opens a socket of each kind, and becomes the program.
const MANAGER: &str = "\
import os, socket, sys
kinds, program = sys.argv[1].split(), sys.argv[2:]
for number, kind in enumerate(kinds):
    family, place = socket.AF_INET, ('127.0.0.1', 0)
    if kind == 'tcp6': family, place = socket.AF_INET6, ('::1', 0)
    if kind[0] in '/@': family, place = socket.AF_UNIX, kind.replace('@', '\\0')
    s = socket.socket(family, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
    s.bind(place)
    if kind not in ('udp', 'deaf'): s.listen()
    os.dup2(s.fileno(), 20 + number)
for number, kind in enumerate(kinds):
    os.dup2(20 + number, 3 + number, True)
os.environ.update(LISTEN_FDS=str(len(kinds)), LISTEN_PID=str(os.getpid()))
os.execv(program[0], program)
";

/// A program that is started with sockets of these kinds.
fn with_sockets(kinds: &str, program: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", MANAGER, kinds, program]);
    command
}

fn ask(mut stream: UnixStream, request: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn at_path(path: &Path, request: &str) -> String {
    ask(UnixStream::connect(path).unwrap(), request)
}

const LAST: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[test]
fn all_sockets_are_served_and_what_cannot_be_is_said() {
    needs!("python3");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hello.sock");
    let kinds = format!("tcp udp {} tcp deaf @{}-h", path.display(), path.display());
    for threads in ["1", "2"] {
        let _ = std::fs::remove_file(&path);
        let mut command = with_sockets(&kinds, BINARY);
        let mut hello = Hello::of(command.args(["--threads", threads]).stderr(Stdio::piped()));
        assert_eq!(Client::connect(hello.port).get("/").status, 200);
        assert_eq!(hello.line(), format!("Also listening on unix:{}", path.display()));
        let other = hello.line();
        let other = other.strip_prefix("Also listening on 127.0.0.1:").unwrap().parse().unwrap();
        assert_eq!(Client::connect(other).get("/").status, 200);
        assert_eq!(hello.line(), format!("Also listening on unix:@{}-h", path.display()));
        hello.line();
        hello.line();
        assert!(at_path(&path, LAST).ends_with("Hello, World!"));
        let line = hello.line();
        assert!(line.contains(" GET / 200 13 ") && line.ends_with(" unix:"), "{line}");
        let name = SocketAddr::from_abstract_name(format!("{}-h", path.display())).unwrap();
        assert!(ask(UnixStream::connect_addr(&name).unwrap(), LAST).ends_with("Hello, World!"));
        hello.signal(Signal::TERM);
        let errors = hello.errors();
        let said: Vec<&str> = errors.lines().collect();
        assert_eq!(
            said,
            [
                "hello-server: socket 4 of LISTEN_FDS is not served: it is of UDP",
                "hello-server: socket 7 of LISTEN_FDS is not served: it does not listen; with \
                 systemd, set Accept=no"
            ]
        );
        assert_eq!(hello.end().1, Some(0));
    }
    for program in [BINARY, env!("CARGO_BIN_EXE_ring-node")] {
        let (code, errors) = ended(with_sockets("udp", program).args(["--port", "0"]));
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("socket 3 of LISTEN_FDS is not served: it is of UDP"), "{errors}");
    }
}

#[test]
fn a_service_with_two_ports_takes_two_and_serves_the_others() {
    needs!("python3", "curl");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.sock");
    let kinds = format!("tcp tcp {}", path.display());
    let service = Service::of(&mut with_sockets(&kinds, LOGGING)).unwrap();
    assert_ne!(service.grpc_port(), 50051);
    for port in [service.port, service.grpc_port()] {
        assert_eq!(Client::connect(port).get("/logs").body, "[]");
    }
    let path = path.to_str().unwrap();
    assert_eq!(tool("curl", &["-s", "--unix-socket", path, "http://localhost/logs"]), "[]");
    let body = r#"{"id":"1","msg":"x"}"#;
    tool("curl", &["-s", "--unix-socket", path, "-d", body, "http://localhost/log"]);
    assert_eq!(Client::connect(service.port).get("/logs").body, r#"["x"]"#);
}

#[test]
fn a_server_may_have_sockets_of_unix_alone() {
    needs!("python3", "curl");
    let folder = tempfile::tempdir().unwrap();
    for name in ["hello-server", "raw-api-server"] {
        let path = folder.path().join(name);
        let program = Path::new(BINARY).with_file_name(name);
        let mut command = with_sockets(path.to_str().unwrap(), program.to_str().unwrap());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut lines = String::new();
        while !lines.contains("Try ") {
            assert!(std::io::BufRead::read_line(&mut out, &mut lines).unwrap() > 0, "{lines}");
        }
        let shown = path.display();
        let start = format!("Server listening on unix:{shown}\nTry curl --unix-socket {shown} ");
        assert!(lines.starts_with(&start), "{lines}");
        let health = LAST.replace("/ ", "/health ");
        assert!(at_path(&path, &health).starts_with("HTTP/1.1 200 OK"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_node_serves_all_sockets_and_tells_how_far_it_is() {
    needs!("python3");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let name = format!("smolring-test-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 100];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).trim().to_owned()
    };
    let kinds = format!("udp tcp {}", path.display());
    let mut command = with_sockets(&kinds, env!("CARGO_BIN_EXE_ring-node"));
    let notify = format!("@{name}");
    let mut node = Process::of(&mut command, &[("NOTIFY_SOCKET", &notify)]);
    node.wait_for("what it does not serve", |line| line.contains("socket 3 of LISTEN_FDS"));
    let line = node.wait_for("its address", |line| line.starts_with("listening on 127.0.0.1:"));
    assert!(line.text.ends_with(" and on 1 other socket"), "{line:?}");
    let address: std::net::SocketAddr = line.text.split(' ').nth(2).unwrap().parse().unwrap();
    assert_eq!(told(), "READY=1");
    assert_eq!(NodeClient::connect(address).unwrap().put("a", b"b").status(), 200);
    assert!(at_path(&path, "GET a\nQUIT\n").contains("200 OK len=1 "));
    node.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(node.wait_for_exit().code(), Some(0));
}

#[test]
fn a_manager_that_cannot_be_told_is_named_and_the_server_goes_on() {
    for place in ["/nowhere/notify", "@nobody-listens-here"] {
        let mut command = Command::new(BINARY);
        let mut hello = Hello::of(command.args(["--port", "0"]).env("NOTIFY_SOCKET", place));
        assert_eq!(Client::connect(hello.port).get("/").status, 200);
        let line = hello.line();
        assert!(line.starts_with("Cannot tell the service manager at NOTIFY_SOCKET: "), "{line}");
        let args = ["--ip", &own_ip(), "--port", "0"];
        let node = Process::start(&args, &[("NOTIFY_SOCKET", place)]);
        node.wait_for("what it cannot do", |line| {
            line.starts_with("cannot tell the service manager at NOTIFY_SOCKET: ")
        });
        assert_eq!(node.client().ask("PING").status(), 200);
    }
}

#[test]
fn every_address_is_both_families_whatever_the_default_of_the_system() {
    needs!("unshare", "ip", "curl");
    if TcpListener::bind("[::1]:0").is_err() || !rustix::process::geteuid().is_root() {
        return;
    }
    for args in ["", "--ip ::"] {
        let script = format!(
            "ip link set lo up; echo 1 > /proc/sys/net/ipv6/bindv6only || exit 0; \
             \"$0\" --port 3000 {args} & server=$!; \
             for url in http://127.0.0.1:3000 http://[::1]:3000; do \
             curl -gs --retry 20 --retry-delay 1 --retry-connrefused --max-time 20 $url || echo no; done; \
             kill $server; wait $server"
        );
        let out = tool("unshare", &["--net", "sh", "-c", &script, BINARY]);
        let greeted = out.matches("Hello, World!").count();
        assert_eq!(greeted, 2, "{args}: {out}");
    }
}
