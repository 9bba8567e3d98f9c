//! What a node says when it cannot run, and what it costs when it has nothing to do.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::PoisonError,
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    cluster::{Client, Process, Ring, own_ip},
    up::DEFAULT_PORTS,
};

/// Runs a node that must refuse to: one line on stderr with these words, and this exit code.
fn refused(options: &[&str], variables: &[(&str, &str)], code: i32, words: &[&str]) {
    let mut node = Process::start(options, variables);
    let status = node.wait_for_exit();
    let lines = node.lines();
    let errors: Vec<_> = lines.iter().filter(|line| line.is_error).map(|it| &it.text).collect();
    let about = format!("{options:?} {variables:?}: {status}, {errors:#?}");
    println!("{about}");
    assert_eq!(status.code(), Some(code), "{about}");
    assert_eq!(errors.len(), 1, "{about}");
    assert!(errors[0].starts_with("ring-node: "), "{about}");
    for word in words {
        assert!(errors[0].contains(word), "{word:?} is missing in {about}");
    }
    assert!(!errors[0].contains(".. "), "{about}");
    assert!(lines.iter().all(|line| !line.text.is_empty()), "{about}");
}

#[test]
fn an_address_that_cannot_be_had_is_exit_1() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let own = ["--ip", "127.0.0.1", "--port", &port];
    refused(&own, &[], 1, &["already in use", &port, "--port"]);
    let variables = [("SMOLRING_IP", "127.0.0.1"), ("SMOLRING_PORT", port.as_str())];
    refused(&[], &variables, 1, &["already in use", &port]);
    // 192.0.2.0/24 is for documentation alone.
    refused(&["--ip", "192.0.2.1", "--port", "0"], &[], 1, &["192.0.2.1", "--ip"]);
    refused(&["--ip", "0.0.0.0", "--port", "0"], &[], 1, &["--advertise"]);
    let running = Process::start(&["--ip", "127.0.0.1", "--port", "0"], &[]);
    let port = running.address().port().to_string();
    refused(&["--ip", "127.0.0.1", "--port", &port], &[], 1, &["already in use", &port]);
}

#[test]
fn a_node_that_no_ring_takes_in_waits_and_says_why() {
    let ip = own_ip();
    let listener = || TcpListener::bind(format!("{ip}:0")).expect("there is a free port");
    let port_of = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    let waits = |port: u16, word: &str| {
        let port = port.to_string();
        let options = ["--ip", &ip, "--port", "0", "--prev-ip", &ip, "--prev-port", &port];
        let mut node = Process::start(&options, &[]);
        let member = format!("{ip}:{port}");
        node.wait_for("it waits", |line| {
            line.starts_with("waiting:") && line.contains(&member) && line.contains(word)
        });
        assert_eq!(node.client().put("a", b"x").status(), 503, "it is in no ring");
        node.signal(Signal::TERM);
        assert_eq!(node.wait_for_exit().code(), Some(0));
    };
    // Nothing listens: a port that was free a moment ago, at an address of this test alone.
    let free = port_of(&listener());
    waits(free, "refused");
    // A listener that takes connections and sends nothing.
    let mute = listener();
    waits(port_of(&mute), "no answer for 2s");
    // A server that is not a node.
    for (answer, word) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak as a node"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "does not speak as a node"),
        ("\0\n", "does not speak as a node"),
        ("", "connection"),
    ] {
        let other = listener();
        let port = port_of(&other);
        // The thread ends with the test process.
        thread::spawn(move || {
            for mut stream in other.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        waits(port, word);
    }
}

#[test]
fn a_wrong_option_or_variable_is_exit_2() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    for (options, words) in [
        (&["--port", "65536"][..], &["65536"][..]),
        (&["--port"], &["--port"]),
        (&["--prot", "1"], &["--prot"]),
        (&["extra"], &["extra"]),
        (&["--ip", "localhost"], &["localhost"]),
        (&["--check-interval", "soon"], &["soon", "500ms"]),
        (&["--check-timeout", "0"], &["--check-timeout", "10ms"]),
        (&["--request-timeout", "2h"], &["--request-timeout", "3600s"]),
        (&["--min-copies", "0"], &["--min-copies", "1"]),
        (&["--min-copies", "129"], &["--min-copies", "128"]),
        (&["--max-file-bytes", "2GiB"], &["--max-file-bytes", "256MiB"]),
        (&["--max-file-bytes", "lots"], &["lots", "64KiB"]),
        (&["--max-store-bytes", "-1"], &["-1"]),
        (&["--max-file-bytes", "2MiB", "--max-flight-bytes", "1MiB"], &["1MiB", "2MiB"]),
        (&["--prev-ip", "no such host"], &["no such host", "--prev-ip"]),
        (&["--prev-port", "0"], &["--prev-port", "65535"]),
        (&["--prev", "no such host"], &["no such host", "127.0.1.1:4043"]),
        (&["--prev", "127.0.1.1:4043", "--prev", "::1:x"], &["::1:x"]),
        (&["--prev"], &["--prev"]),
        (&["--ring", "my ring"], &["my ring", "64"]),
        (&["--ring", ""], &["64"]),
        (&["--forget-after", "0"], &["--forget-after", "10ms"]),
        (&["--forget-after", "2 months"], &["2 months", "30d"]),
        (&["--give-up-after", "366d"], &["--give-up-after"]),
        (&["--max-flight-bytes", "much"], &["much", "64KiB"]),
        (&["--advertise", "here"], &["here"]),
    ] {
        refused(options, &[], 2, &[words, &["--help"]].concat());
    }
    for (variable, value) in [
        ("SMOLRING_IP", "localhost"),
        ("SMOLRING_PORT", "http"),
        ("SMOLRING_PREV_PORT", "-1"),
        ("SMOLRING_PREV", "127.0.1.1:4043,"),
        ("SMOLRING_RING", "my/ring"),
        ("SMOLRING_ADVERTISE", "127.0.0.1"),
        ("SMOLRING_CHECK_INTERVAL", "1 week"),
        ("SMOLRING_FORGET_AFTER", "a month"),
        ("SMOLRING_GIVE_UP_AFTER", "never"),
        ("SMOLRING_MIN_COPIES", "two"),
        ("SMOLRING_MAX_FILE_BYTES", "1e9"),
        ("SMOLRING_MAX_FLIGHT_BYTES", "1e9"),
    ] {
        refused(&[], &[(variable, value)], 2, &[variable, value, "--help"]);
    }
}

#[test]
fn the_first_node_needs_no_option_and_answers_on_localhost() {
    let _ports = DEFAULT_PORTS.read().unwrap_or_else(PoisonError::into_inner);
    let node = Process::start(&[], &[]);
    let address = node.address();
    println!("{address}");
    assert!(address.port() >= 4043);
    let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    let mut client = Client::connect(localhost).expect("it also listens on 127.0.0.1");
    assert_eq!(client.ask("PING").key("node"), Some(address.to_string().as_str()));
    // A second one takes the next port, and may name the first by any address that it answers on.
    let port = address.port().to_string();
    let second = Process::start(&["--prev-ip", "localhost", "-p", &port], &[]);
    second.wait_for_list(&[address, second.address()]);
    node.wait_for_list(&[address, second.address()]);
}

#[test]
fn members_are_named_by_option_or_variable_and_the_node_itself_may_be_among_them() {
    let ip = own_ip();
    let first = Process::start(&["--ip", &ip, "--port", "0", "--ring", "r", "--bootstrap"], &[]);
    let at_first = first.address().to_string();
    let port = TcpListener::bind(format!("{ip}:0")).and_then(|it| it.local_addr()).unwrap().port();
    let own = format!("{ip}:{port}");
    let options = ["--ip", &ip, "--port", &port.to_string(), "--ring", "r"];
    let named = [&options[..], &["--prev", &own, "--prev", &at_first]].concat();
    let mut second = Process::start(&named, &[]);
    let both = [first.address(), second.address()];
    second.wait_for_list(&both);
    first.wait_for_list(&both);
    second.kill();
    first.wait_for_list(&both[..1]);
    let second = Process::start(&options, &[("SMOLRING_PREV", &format!("{own}, {at_first}"))]);
    second.wait_for_list(&both);
}

#[test]
fn a_node_that_knows_several_members_waits_for_one_of_them_and_says_so() {
    let ip = own_ip();
    let free = || TcpListener::bind(format!("{ip}:0")).and_then(|it| it.local_addr()).unwrap();
    let (first, other) = (free(), free());
    let (at_first, at_other) = (first.to_string(), other.to_string());
    let options = ["--ip", &ip, "--port", "0", "--prev", &at_first, "--prev", &at_other];
    let second = Process::start(&options, &[]);
    let refused = format!("{at_first}: connection refused");
    second.wait_for("it waits", |line| line.starts_with("waiting:") && line.contains(&refused));
    let port = first.port().to_string();
    let first = Process::start(&["--ip", &ip, "--port", &port, "--bootstrap"], &[]);
    let both = [first.address(), second.address()];
    first.wait_for_list(&both);
    second.wait_for_list(&both);
}

#[test]
fn an_idle_node_costs_next_to_nothing() {
    const WATCHED: Duration = Duration::from_secs(10);
    let ring = Ring::start(3, &[]);
    ring.nodes[0].client().put("a", b"file");
    let before: Vec<_> = ring.nodes.iter().map(Process::cpu_ticks).collect();
    // Nothing must happen: that can only be tested by waiting.
    let mut quiet = ring.nodes[0].client();
    quiet.stream.get_ref().set_read_timeout(Some(WATCHED)).expect("it is a socket");
    assert!(quiet.try_answer().is_err(), "a node does not speak unless it is asked");
    for (node, before) in ring.nodes.iter().zip(before) {
        let (Some(before), Some(now)) = (before, node.cpu_ticks()) else { return };
        let percent = (now - before) as f64 / WATCHED.as_secs_f64();
        let mib = node.resident_bytes().unwrap_or_default() as f64 / f64::from(1 << 20);
        println!("idle: {percent:.2} % of a core, {mib:.1} MiB");
        assert!(percent < 2.0, "{percent} % of a core");
        assert!(mib < 16.0, "{mib} MiB");
    }
}
