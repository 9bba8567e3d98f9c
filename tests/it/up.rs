//! `smolring up`, and `smolring` as all commands in one.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, symlink},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::{PoisonError, RwLock},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::cluster::{Client, Process, until};

/// A test that takes the first free port of a node reads; one that needs a port to stay free writes.
pub static DEFAULT_PORTS: RwLock<()> = RwLock::new(());

fn smolring(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    smolring(args).output().expect("smolring runs")
}

/// A running `smolring up` that has printed what to try now.
struct Up {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The addresses of its table.
    addresses: Vec<SocketAddr>,
    /// The commands of the table of services.
    curls: Vec<String>,
    /// The commands to try, without the last one.
    tries: Vec<String>,
    /// The process that the last one would kill.
    victim: Pid,
    /// The line that says what the check has found.
    summary: String,
}

impl Up {
    fn start(args: &[&str]) -> Self {
        Self::of(&mut smolring(&[&["up"], args].concat()))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (mut addresses, mut victim, mut curls) = (Vec::new(), None, Vec::new());
        let (mut tries, mut summary) = (Vec::new(), String::new());
        let mut line = String::new();
        while !line.starts_with("What happens") {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "up has ended early");
            if line.contains(" the same on ") {
                summary.clone_from(&line);
            }
            if line.starts_with("WS") {
                addresses.push(line.split_whitespace().nth(1).unwrap().parse().unwrap());
            }
            curls.extend(line.find(" curl ").map(|at| line[at..].trim().to_owned()));
            if let Some(pid) = line.trim().strip_prefix("kill -9 ") {
                victim = Pid::from_raw(pid.parse().unwrap());
            } else if line.starts_with("  ") {
                tries.push(line.trim().to_owned());
            }
        }
        Self { child, stdout, addresses, curls, tries, victim: victim.unwrap(), summary }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads until there was a line with each of these parts, in any order, and returns them.
    fn wait_for_lines<const N: usize>(&mut self, parts: [&str; N]) -> [String; N] {
        let mut found = parts.map(|_| String::new());
        while found.iter().any(String::is_empty) {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "not all said: {parts:?}");
            for (found, part) in found.iter_mut().zip(parts) {
                if found.is_empty() && line.contains(part) {
                    found.clone_from(&line);
                }
            }
        }
        found
    }

    fn all_nodes_have_ended(&self) {
        until("no node listens any more", || {
            let gone = |it: &SocketAddr| std::net::TcpStream::connect(it).is_err();
            self.addresses.iter().all(gone).then_some(())
        });
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn up_once_checks_all_copies_and_ends() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    // The nodes get none of these: all would listen at one address, or be in another ring.
    let foreign = [
        ("SMOLRING_IP", "127.0.0.9"),
        ("SMOLRING_PORT", "1"),
        ("SMOLRING_PREV", "127.0.0.1:1"),
        ("SMOLRING_PREV_IP", "127.0.0.1"),
        ("SMOLRING_PREV_PORT", "1"),
        ("SMOLRING_RING", "another"),
        ("SMOLRING_ADVERTISE", "127.0.0.9:1"),
        ("SMOLRING_LOG_FORMAT", "json"),
    ];
    let output = smolring(&["up", "--once", "--nodes", "4"]).envs(foreign).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "there is no progress bar where there is no terminal");
    let rows: Vec<Vec<&str>> = (text.lines().filter(|line| line.starts_with("WS")))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 4, "{text}");
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row[2], "5", "{text}");
        assert_eq!(row[4], rows[(i + 1) % 4][1], "next is the next: {text}");
    }
    assert!(text.ends_with("5 files are the same on 4 of 4 nodes.\n"), "{text}");
}

#[test]
fn up_says_first_where_a_browser_sees_the_site_and_opens_the_ring() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    let (site, tools) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(site.path().join("index.html"), "<title>mine</title>").unwrap();
    let dir = site.path().to_str().unwrap();
    let first_line = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = smolring(args);
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{out}{err}");
        (out.lines().next().unwrap().to_owned(), err)
    };
    let (line, err) = first_line(&["up", dir, "--once", "--nodes=1", "--open"], &[]);
    let url = line.split_once("/ is the site, ").map(|(url, _)| url.to_owned());
    let url = url.unwrap_or_else(|| panic!("{line}"));
    assert!(url.starts_with("http://127."), "{line}");
    assert_eq!(line, format!("{url}/ is the site, {url}/_ring/ the ring"));
    assert!(err.contains("--open: there is no desktop here"), "{err}");
    fs::remove_file(site.path().join("index.html")).unwrap();
    let (line, _) = first_line(&["up", dir, "--once", "--nodes=1"], &[]);
    assert!(line.ends_with("/ shows the ring"), "{line}");
    let (line, _) = first_line(&["up", "--once", "--nodes=1", "--", "--no-http"], &[]);
    assert!(line.starts_with("node "), "{line}");

    let opener = tools.path().join("xdg-open");
    fs::write(&opener, "#!/bin/sh\necho \"$1\" >\"$0.opened\"\n").unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let desktop = [("PATH", path.as_str()), ("DISPLAY", ":0")];
    let (line, _) = first_line(&["up", dir, "--once", "--nodes=1", "--open"], &desktop);
    let opened = tools.path().join("xdg-open.opened");
    let opened =
        until("it is opened", || fs::read_to_string(&opened).ok().filter(|it| !it.is_empty()));
    assert_eq!(opened.trim(), line.replace("/ shows the ring", "/_ring/"));
}

#[test]
fn up_needs_no_file_and_no_folder() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    let nowhere = tempfile::tempdir().unwrap();
    let output = smolring(&["up", "--once", "--nodes=1"]).current_dir(&nowhere).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.ends_with("5 files are in the ring, and its node has them.\n"), "{text}");
}

#[test]
fn what_cannot_be_put_is_skipped_and_counted_and_the_ring_stays() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("fits.html"), vec![b'x'; 1 << 20]).unwrap();
    fs::write(at("large"), vec![b'x'; (1 << 20) + 1]).unwrap();
    fs::write(at("line\nfeed"), "x").unwrap();
    symlink("/proc/self/mem", at("unreadable")).unwrap();
    let dir = folder.path().to_str().unwrap();
    let mut command = smolring(&["up", dir, "--", "--max-file-bytes=1MiB"]);
    let mut up = Up::of(command.stderr(Stdio::piped()));
    let name = Client::connect(up.addresses[0]).unwrap().get("fits.html");
    assert_eq!(name.len(), 1 << 20);
    assert!(up.tries[0].contains("get fits.html"), "{:?}", up.tries);
    assert_eq!(up.summary, "1 file is the same on 3 of 3 nodes; 3 were skipped.\n");
    // A node that is started again has the same options.
    kill_process(up.victim, Signal::KILL).unwrap();
    let [ended] = up.wait_for_lines(["To bring it back:"]);
    assert!(ended.contains(" --max-file-bytes=1MiB"), "{ended}");
    up.signal(Signal::INT);
    up.wait_for_lines([
        "received SIGINT, ending 2 processes; another one, a second later, does not wait",
    ]);
    assert_eq!(up.child.wait().unwrap().code(), Some(0));
    let mut errors = String::new();
    up.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors.lines().count(), 3, "{errors}");
    for (name, why) in [
        ("large", "it is larger than 1MiB; to raise that: `-- --max-file-bytes SIZE`"),
        ("line\\nfeed", "the name has a control character in it"),
        ("unreadable", "error"),
    ] {
        let is_said = |line: &str| line.contains(name) && line.contains(why);
        assert!(errors.lines().any(is_said), "{name}: {errors}");
    }
}

#[test]
fn a_killed_node_is_shown_nothing_is_lost_and_a_closed_terminal_ends_all() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    let mut up = Up::start(&[]);
    let index = fs::read("test_files/index.html").unwrap();
    kill_process(up.victim, Signal::KILL).unwrap();
    let [ended, _] = up.wait_for_lines(["To bring it back:", "(WS2) -> (WS1)"]);
    let dead: SocketAddr = ended.split(' ').next().unwrap().parse().unwrap();
    for address in up.addresses.iter().filter(|it| **it != dead) {
        assert_eq!(Client::connect(*address).unwrap().get("index.html"), index);
    }
    up.signal(Signal::HUP);
    assert_eq!(up.child.wait().unwrap().code(), Some(0));
    up.all_nodes_have_ended();
    let mut rest = String::new();
    up.stdout.read_to_string(&mut rest).unwrap();
}

#[test]
fn each_command_that_is_shown_does_what_it_says() {
    needs!("pgrep");
    // The port of a node that has ended is not to be taken by another test.
    let _alone = DEFAULT_PORTS.write().unwrap_or_else(PoisonError::into_inner);
    let mut up = Up::start(&[]);
    let shell = |command: &str| crate::service::tool("sh", &["-c", command]);
    let said: Vec<String> = up.tries.iter().map(|command| shell(command)).collect();
    assert_eq!(said[0].as_bytes(), fs::read("test_files/index.html").unwrap(), "{:?}", up.tries);
    assert!(said[1].starts_with("200 OK ") && said[1].ends_with(" copies=3\n"), "{said:?}");
    assert!(said[2].starts_with("3 of 3 nodes are up, "), "{said:?}");

    // Returns the address of the node that has ended, and the command that brings it back.
    let ended = |up: &mut Up| {
        let [ended] = up.wait_for_lines(["To bring it back: "]);
        let dead: SocketAddr = ended.split(' ').next().unwrap().parse().unwrap();
        let again = ended.rsplit("bring it back: ").next().unwrap().trim().to_owned();
        assert!(again.contains(" --ring up-") && !again.contains("--bootstrap"), "{again}");
        let named = |it: &SocketAddr| again.contains(&format!(" --prev {it}"));
        for address in &up.addresses {
            assert_eq!(named(address), *address != dead, "all others live: {again}");
        }
        (dead, again)
    };
    let pids = shell(&format!("pgrep -P {} -f ring-node", up.child.id()));
    shell(&format!("kill -9 {}", up.victim.as_raw_nonzero()));
    let (dead, again) = ended(&mut up);
    let back = Process::of(Command::new("sh").args(["-c", &format!("exec {again}")]), &[]);
    assert_eq!(back.address(), dead);
    back.wait_for_list(&up.addresses);
    let victim = up.victim.as_raw_nonzero().to_string();
    let other = pids.lines().find(|pid| **pid != victim).unwrap();
    shell(&format!("kill -9 {other}"));
    let (other, again) = ended(&mut up);
    assert!(other != dead && again.contains(&dead.to_string()), "{again}");
    let other_back = Process::of(Command::new("sh").args(["-c", &format!("exec {again}")]), &[]);
    other_back.wait_for_list(&up.addresses);
    let mut client = other_back.client();
    until("it has the files", || (client.ask("INFO").key("files") == Some("6")).then_some(()));
}

#[test]
fn commands_to_paste_are_safe_for_any_name_and_any_place_of_the_program() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    let temporary = tempfile::tempdir().unwrap();
    let place = temporary.path().join("it's a place");
    fs::create_dir(&place).unwrap();
    let program = place.join("smolring");
    symlink(env!("CARGO_BIN_EXE_smolring"), &program).unwrap();
    let shell = |command: &str| crate::service::tool("sh", &["-c", command]);
    for (names, proposed) in [
        (&["it's.html", "a"][..], "it's.html"),
        (&["-v.html", "a"], "-v.html"),
        (&["$(touch x) `touch y` \\.html"], "$(touch x) `touch y` \\.html"),
        (&["photo\u{202e}lmth.html", "~ & a"], "~ & a"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("my site");
        fs::create_dir(&site).unwrap();
        names.iter().for_each(|name| fs::write(site.join(name), proposed).unwrap());
        let up = Up::of(Command::new(&program).args(["up", "--nodes", "1"]).arg(&site));
        let said: Vec<String> = up.tries.iter().map(|command| shell(command)).collect();
        assert_eq!(said[0], proposed, "{:?}", up.tries);
        assert!(said[1].starts_with("200 OK "), "{said:?}");
        assert!(said[2].starts_with("1 of 1 node"), "{said:?}");
    }
    // Nothing is proposed that is not there, be it a file or a program.
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(&program);
    std::os::unix::process::CommandExt::arg0(&mut command, "no-such-program");
    let up = Up::of(command.args(["up", "--nodes", "1"]).arg(empty.path()));
    assert_eq!(up.tries.len(), 2, "{:?}", up.tries);
    assert!(shell(&up.tries[0]).starts_with("200 OK "), "{:?}", up.tries);
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    let mut up = Up::start(&[]);
    // A stopped node cannot leave gracefully.
    kill_process(up.victim, Signal::STOP).unwrap();
    up.signal(Signal::INT);
    up.wait_for_lines(["has not ended yet"]);
    assert!(up.child.try_wait().unwrap().is_none(), "it waits for the stopped one");
    up.signal(Signal::INT);
    assert_eq!(up.child.wait().unwrap().code(), Some(1));
    up.all_nodes_have_ended();
}

#[test]
fn nodes_do_not_outlive_an_up_that_was_killed() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    if !cfg!(target_os = "linux") {
        return;
    }
    let mut up = Up::start(&[]);
    up.signal(Signal::KILL);
    up.child.wait().unwrap();
    up.all_nodes_have_ended();
    until("the node's process has ended", || test_kill_process(up.victim).err());
}

#[test]
fn services_are_wired_and_each_command_of_their_table_works() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    // The children get none of these: they would not start, or not be understood.
    let mut command = smolring(&["up", "--services"]);
    let foreign = [("LOG_FORMAT", "json"), ("PORT", "1"), ("SMOLRING_MAX_URL_BYTES", "16")];
    command.envs(foreign).env("DATABASE_PASSWORD", "secret");
    let mut up = Up::of(&mut command);
    let children = crate::service::tool("pgrep", &["-P", &up.child.id().to_string()]);
    assert_eq!(children.lines().count(), 10);
    for child in children.lines() {
        let environment = fs::read(format!("/proc/{child}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        assert!(environment.contains("PATH=") && !environment.contains("secret"), "{environment}");
    }
    let shell = |command: &str| crate::service::tool("sh", &["-c", command]);
    let answers: Vec<String> =
        up.curls.iter().map(|curl| shell(&format!("{curl} --silent --max-time 20"))).collect();
    assert_eq!(answers.len(), 8, "{:?}", up.curls);
    for part in [
        "Hello, World!",
        r#"{"echo":"hello"}"#,
        r#"{"service_a":{"echo":"hello"},"service_b":"ok"}"#,
        "not implemented yet",
        r#""message":"hello"}"#,
    ] {
        assert!(answers.iter().any(|answer| answer.contains(part)), "{part}: {answers:?}");
    }
    up.wait_for_lines(["facade-service   | ", "[LOGGED] ", "caller-service   | "]);
    let combined = |path: &str| {
        let curl = up.curls.iter().find(|it| it.ends_with(path)).unwrap();
        shell(&format!("curl --silent --max-time 20 {}", curl.rsplit(' ').next().unwrap()))
    };
    assert_eq!(combined("/message"), r#"{"combined":"hello, hello | not implemented yet"}"#);
    assert_eq!(combined("/grpc_message"), r#"{"combined":"hello hello not implemented yet"}"#);
    up.signal(Signal::INT);
    assert_eq!(up.child.wait().unwrap().code(), Some(0));
    up.all_nodes_have_ended();
    let url = up.curls[0].rsplit("//").next().unwrap();
    assert!(std::net::TcpStream::connect(url).is_err(), "{url} is still there");
}

#[test]
fn a_killed_service_is_shown_and_comes_back_by_the_command_that_is_shown() {
    needs!("curl", "pgrep");
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    let mut up = Up::start(&["--services"]);
    let pid =
        crate::service::tool("pgrep", &["-P", &up.child.id().to_string(), "-f", "logging-service"]);
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let [ended] = up.wait_for_lines(["To bring it back:"]);
    assert!(ended.starts_with("logging-service  | "), "{ended}");
    assert!(ended.contains("Z ended, signal: 9 (SIGKILL). To bring it back: "), "{ended}");
    let again = ended.rsplit("bring it back: ").next().unwrap();
    let words: Vec<&str> = again.split_whitespace().collect();
    let mut command = Command::new(words[0]);
    let back = crate::service::Service::of(command.args(&words[1..])).expect("it comes back");
    let post = up.curls.iter().find(|it| it.ends_with("/grpc_message")).unwrap();
    let answer = crate::service::tool("sh", &["-c", &format!("{post} --silent --max-time 20")]);
    assert!(answer.contains("message_id"), "{answer}");
    assert_eq!(back.get("/logs").body, r#"["hello"]"#);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["up", "no-such-folder"][..],
        &["up", "--nodes", "0"],
        &["up", "--nodes", "many"],
        &["up", "--nodes", "129"],
        &["up", "--", "--max-file-bytes", "1GiB"],
        &["up", "--", "--port", "4043"],
        &["frobnicate"],
        &[],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

/// The names of all commands, by the help.
pub fn applets() -> Vec<String> {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert_eq!(names.len(), 13, "{help}");
    names
}

#[test]
fn every_command_is_an_applet_by_its_name_and_by_a_link_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for applet in applets() {
        // Both are the same command, so they differ in nothing but their names.
        let by_word = run(&[&applet, "--help"]);
        assert!(by_word.status.success());
        let link = folder.path().join(&applet);
        symlink(env!("CARGO_BIN_EXE_smolring"), &link).unwrap();
        let by_link = Command::new(link).arg("--help").output().unwrap();
        assert!(by_link.status.success());
        // Where lines are wrapped depends on the names.
        let text = |output: Output| {
            let text = String::from_utf8(output.stdout).unwrap();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let by_word = text(by_word).replace(&format!("smolring {applet}"), &applet);
        assert_eq!(by_word, text(by_link));
    }
}
