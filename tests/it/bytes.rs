//! Raw bytes against a node: split, pipelined, lying, endless, and never read.

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use crate::cluster::{Answer, Client, DEADLINE, Process, Ring};

/// The body of the page that a `nc` user sees is of no interest here; the first line is.
fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&byte| byte == b'\n').next().unwrap_or_default()).into()
}

/// The parts that are the same in every answer.
fn gist(answer: &Answer) -> (String, Vec<u8>) {
    let changes = ["version=", "digest=", "files=", "bytes="];
    let words =
        answer.line.split(' ').filter(|word| !changes.iter().any(|it| word.starts_with(it)));
    (words.collect::<Vec<_>>().join(" "), answer.body.clone())
}

#[test]
fn a_request_may_be_split_at_every_byte() {
    let ring = Ring::start(2, &[]);
    let mut client = ring.nodes[0].client();
    client.put("there", b"bytes");
    let requests: [&[u8]; 12] = [
        b"PUT split%20name len=12 key=value\r\nhello\nworld\n",
        b"PUT empty len=0\n",
        b"PUT without-length\n",
        b"PUT ../up len=4\nPING",
        b"GET there\n",
        b"GET not/there\r\n",
        b"LIST prefix=th after=a limit=2\n",
        b"RING\n",
        b"PING\n",
        b"INFO\n",
        b"HELLO world\n",
        b"QUIT\n",
    ];
    for request in requests {
        client = ring.nodes[0].client();
        client.send(request);
        let whole = gist(&client.answer());
        // All splits of one request at once, and a round trip between the two parts of each.
        let mut clients: Vec<_> = (1..request.len()).map(|_| ring.nodes[0].client()).collect();
        for (client, at) in clients.iter_mut().zip(1..) {
            client.send(&request[..at]);
        }
        ring.nodes[0].client().ask("PING");
        for (client, at) in clients.iter_mut().zip(1..) {
            client.send(&request[at..]);
        }
        for (client, at) in clients.iter_mut().zip(1..) {
            let text = String::from_utf8_lossy(request);
            assert_eq!(gist(&client.answer()), whole, "{text:?} split at {at}");
        }
    }
    let mut client = ring.nodes[1].client();
    assert_eq!(client.get("split%20name"), b"hello\nworld\n");
    assert_eq!(client.get("empty"), b"");
}

#[test]
fn one_byte_at_a_time() {
    let ring = Ring::start(2, &[]);
    let mut client = ring.nodes[0].client();
    for byte in b"\r\n\nPUT slow len=3\nabcGET slow\nPING\n" {
        client.send([*byte]);
    }
    assert_eq!(client.answer().key("copies"), Some("2"));
    assert_eq!(client.answer().body, b"abc");
    assert!(client.answer().line.starts_with("200 OK node="));
}

#[test]
fn a_thousand_requests_in_one_write_are_answered_in_order() {
    let ring = Ring::start(3, &[]);
    let mut client = ring.nodes[0].client();
    // Some are answered at once, some only after a way round the ring.
    let mut bytes = Vec::new();
    for i in 0..1000 {
        match i % 4 {
            0 => write!(bytes, "PUT p/{i} len={}\nfile number {i}", 12 + digits(i)).unwrap(),
            1 => writeln!(bytes, "GET p/{}", i - 1).unwrap(),
            2 => writeln!(bytes, "GET missing/{i}").unwrap(),
            _ => writeln!(bytes, "NONSENSE{i}").unwrap(),
        }
    }
    client.send(&bytes);
    for i in 0..1000 {
        let answer = client.answer();
        match i % 4 {
            0 => assert_eq!(answer.key("copies"), Some("3"), "{i}: {}", answer.line),
            1 => assert_eq!(answer.text(), format!("file number {}", i - 1)),
            2 => assert!(answer.line.ends_with(&format!(" missing/{i}")), "{i}: {}", answer.line),
            _ => assert!(answer.line.contains(&format!("NONSENSE{i}\"")), "{i}: {}", answer.line),
        }
    }
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

#[test]
fn contents_and_names_come_back_byte_for_byte() {
    let ring = Ring::start(3, &[]);
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let long = "x".repeat(1024);
    let files: [(&str, &str, &[u8]); 10] = [
        ("all", "all", &all),
        ("empty", "empty", b""),
        ("a%20b%2Bc", "a%20b%2Bc", b"spaces"),
        ("gr\u{fc}\u{df}e/\u{65e5}\u{672c}", "gr%C3%BC%C3%9Fe/%E6%97%A5%E6%9C%AC", b"unicode"),
        ("100%25", "100%25", b"percent"),
        ("50%zz", "50%25zz", b"a lone percent"),
        ("%61", "a", b"needlessly encoded"),
        ("a=b", "a%3Db", b"looks like a key"),
        ("len%3D5", "len%3D5", b"looks like the length"),
        (&long, &long, b"long"),
    ];
    for (i, (name, _, content)) in files.iter().enumerate() {
        let answer = ring.nodes[i % 3].client().put(name, content);
        assert_eq!((answer.status(), answer.key("copies")), (200, Some("3")), "{}", answer.line);
    }
    for node in &ring.nodes {
        let mut client = node.client();
        for (name, wire, content) in files {
            assert_eq!(client.get(name), content, "{name}");
            assert_eq!(client.get(wire), content, "{wire}");
        }
        let listing = client.ask("LIST");
        let listed: Vec<_> = listing.text().lines().filter_map(|it| it.split(' ').next()).collect();
        let mut expected: Vec<_> = files.iter().map(|file| file.1).collect();
        expected.sort_unstable_by_key(|name| percent_decoded(name));
        assert_eq!(listed, expected);
    }
}

#[test]
fn a_list_has_the_hashes_where_they_are_asked_for() {
    let ring = Ring::start(2, &[]);
    let mut client = ring.nodes[0].client();
    for (name, content) in [("a", &b"one"[..]), ("a%20b", b""), ("b", b"three")] {
        assert_eq!(client.put(name, content).status(), 200);
    }
    let mut client = ring.nodes[1].client();
    let hashed = client.ask("LIST prefix=a hashes=1");
    let expected = [("a", b"one".as_slice()), ("a%20b", b"")].map(|(name, content)| {
        let (len, hash) = (content.len(), blake3::hash(content));
        (format!("{name} len={len} version="), format!(" blake3={hash}"))
    });
    for (line, (begin, end)) in hashed.text().lines().zip(&expected) {
        assert!(line.starts_with(begin) && line.ends_with(end), "{line}");
    }
    assert_eq!(hashed.key("count"), Some("2"), "{}", hashed.line);
    let plain = client.ask("LIST prefix=a hashes=0");
    assert!(!plain.text().contains("blake3"), "{}", plain.text());
    let without: String =
        hashed.text().lines().map(|it| it.rsplit_once(' ').unwrap().0.to_owned() + "\n").collect();
    assert_eq!(plain.text(), without);
}

fn percent_decoded(name: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(name).collect()
}

/// What is refused, and whether the connection stays: PROTOCOL.md has the table.
#[test]
fn what_is_no_request_is_refused_and_only_closes_where_the_next_cannot_be_found() {
    let ring = Ring::start(2, &[]);
    let node = &ring.nodes[0];
    let (stays, closes) = (true, false);
    for (bytes, status, stays) in [
        (&b"HELLO\n"[..], 400, stays),
        (b"put a len=1\nx", 400, stays),
        (b"HELLO len=5\nPING\n", 400, stays),
        (b"\x01\x02 \x03\n", 400, stays),
        (b" : \n", 400, stays),
        (b"GET\n", 400, stays),
        (b"GET /etc/passwd\n", 400, stays),
        (b"GET a/../b\n", 400, stays),
        (b"GET a%00b\n", 400, stays),
        (b"GET a%ffb\n", 400, stays),
        (b"LIST limit=-1\n", 400, stays),
        (b"LIST prefix=%ff\n", 400, stays),
        (b"GET a len=5\nPING\n", 413, stays),
        (b"PUT ../a len=5\nPING\n", 400, stays),
        (b"PUT len=5\nPING\n", 400, stays),
        (b"PUT a\n", 411, stays),
        (b"PUT a len=-1\n", 400, closes),
        (b"PUT a len=+1\n", 400, closes),
        (b"PUT a len=0x10\n", 400, closes),
        (b"PUT a len=1e3\n", 400, closes),
        (b"PUT a len=18446744073709551616\n", 400, closes),
        (b"GET \xff\xfe\n", 400, closes),
    ] {
        let text = String::from_utf8_lossy(bytes);
        let mut client = node.client();
        client.send(bytes);
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{text:?}: {}", answer.line);
        assert!(answer.line.contains(" : "), "it says what to do: {}", answer.line);
        // The content of what was refused is skipped: the PING in it is not a request.
        client.send("PING\nINFO\n");
        if stays {
            assert!(client.answer().line.starts_with("200 OK node="), "after {text:?}");
            assert!(client.answer().key("digest").is_some(), "after {text:?}");
        } else {
            assert_eq!(client.rest(), b"", "after {text:?}");
        }
    }
    // A content that is too large, or far too large, is refused before a byte of it is there.
    for len in [(16 << 20) + 1, u64::MAX] {
        let mut client = node.client();
        let answer = client.ask(&format!("PUT film len={len}"));
        assert_eq!(answer.status(), 413, "{}", answer.line);
    }
    assert_eq!(node.client().ask("INFO").key("files"), Some("0"));
}

#[test]
fn a_length_that_lies_stores_nothing_wrong() {
    let ring = Ring::start(2, &[]);
    let node = &ring.nodes[0];
    // Too long: the other end goes away before all is there.
    let mut client = node.client();
    client.send("PUT half len=10\nhello");
    client.finish();
    assert_eq!(client.rest(), b"");
    // The same with a reset in place of an end.
    let mut client = node.client();
    client.send("PING\nPUT half len=300000\n");
    client.send([0; 200_000]);
    drop(client);
    // Too short: the rest is taken for the next request, and refused.
    let mut client = node.client();
    client.send("PUT short len=3\nabcdef\nPING\n");
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.answer().status(), 400);
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.get("short"), b"abc");
    assert_eq!(client.ask("GET half").status(), 404);
    assert_eq!(client.ask("INFO").key("files"), Some("1"));
}

#[test]
fn a_line_without_an_end_is_refused_while_it_comes() {
    let ring = Ring::start(2, &[]);
    let node = &ring.nodes[0];
    let mut client = node.client();
    // The node may close before it has taken all of it.
    let _ = client.try_send(vec![b'a'; 1 << 20]);
    let answer = client.answer();
    assert_eq!(answer.status(), 400, "{}", answer.line);
    assert!(answer.line.contains("4096"), "{}", answer.line);
    assert_eq!(client.rest(), b"");
    // The longest line that is one: 4,096 bytes with its LF.
    let mut client = node.client();
    let ping = |bytes: usize| format!("PING {}\n", "x".repeat(bytes - 6));
    assert_eq!(client.ask(ping(4096).trim_end()).status(), 200);
    assert_eq!(client.ask(ping(4097).trim_end()).status(), 400);
    assert_eq!(client.rest(), b"");
}

#[test]
fn half_a_put_and_then_silence_is_408_and_a_slow_reader_is_no_such_case() {
    let ring = Ring::start(2, &[]);
    let node = &ring.nodes[0];
    let begun = Instant::now();
    // Half a file; half a line after a whole request; half of what is to be skipped.
    let halves = ["PUT half len=10\nhello", "PING\nPUT ha", "PUT ../half len=9\nskip"];
    let mut clients = halves.map(|half| {
        let mut client = node.client();
        client.send(half);
        client
    });
    let mut idle = node.client();
    assert_eq!(idle.ask("PING").status(), 200);
    // More answers than fit on their way, with half a request behind those that were read.
    idle.put("large", &vec![7; 1 << 20]);
    let mut slow = node.client();
    slow.send("GET large\n".repeat(30) + "GET la");
    for (client, first) in clients.iter_mut().zip([None, Some(200), Some(400)]) {
        if let Some(first) = first {
            assert_eq!(client.answer().status(), first);
        }
    }
    // The slow one takes an answer a second, and so goes on for longer than half a PUT may take.
    clients[0].stream.get_ref().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut read = 0;
    let answer = loop {
        match clients[0].try_answer() {
            Ok(answer) => break answer,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert_eq!(slow.answer().body.len(), 1 << 20);
                read += 1;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(begun.elapsed() < DEADLINE, "there must be an answer");
    };
    println!("{:?}: {}", begun.elapsed(), answer.line);
    assert_eq!(answer.status(), 408, "{}", answer.line);
    for client in &mut clients[1..] {
        assert_eq!(client.answer().status(), 408);
        assert_eq!(client.rest(), b"");
    }
    for _ in read..30 {
        assert_eq!(slow.answer().body.len(), 1 << 20);
    }
    slow.send("rge\n");
    assert_eq!(slow.answer().body.len(), 1 << 20, "half a request may wait behind answers");
    assert_eq!(idle.ask("GET half").status(), 404, "who waits between requests is not closed");
    assert_eq!(idle.ask("INFO").key("files"), Some("1"));
}

#[test]
fn a_browser_and_a_user_of_nc_are_answered() {
    let ring = Ring::start(2, &[]);
    let node = &ring.nodes[0];
    node.client().put("x", b"content\n");
    let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for request in [last, "HEAD /a%20b HTTP/1.0\n\n"] {
        let mut client = node.client();
        client.send(request);
        let answer = client.rest();
        assert!(answer.starts_with(b"HTTP/1."), "{}", first_line(&answer));
        assert!(answer.windows(4).any(|it| it == b"\r\n\r\n"));
    }
    // As `printf 'GET x\n' | nc` does it: send, say that this was all, and read.
    for (request, end) in [("GET x\n", "content\n"), ("GET y\n", "no member has y\n")] {
        let mut client = ring.nodes[1].client();
        client.send(request);
        client.finish();
        let answer = client.rest();
        assert!(answer.ends_with(end.as_bytes()), "{}", String::from_utf8_lossy(&answer));
    }
    needs!("nc");
    let answer = nc(node.address(), b"PUT y len=3\nabcGET y\nQUIT\n");
    assert!(first_line(&answer).contains("copies=2"), "{}", first_line(&answer));
    assert!(answer.ends_with(b"abc200 OK : bye\n"), "{}", String::from_utf8_lossy(&answer));
}

/// What the real `nc` prints.
fn nc(to: SocketAddr, input: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("nc")
        .args([to.ip().to_string(), to.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// Memory is read where the system tells it.
fn grown_mib(node: &Process, before: Option<u64>) -> f64 {
    let (before, now) = (before.unwrap_or_default(), node.resident_bytes().unwrap_or_default());
    now.saturating_sub(before) as f64 / f64::from(1 << 20)
}

#[test]
fn a_thousand_idle_connections_cost_little() {
    let ring = Ring::start(2, &[]);
    let node = &ring.nodes[0];
    let before = node.resident_bytes();
    let mut idle: Vec<_> = (0..1000).map(|_| node.client()).collect();
    // Half of them have been used, and half of those for a large file.
    for (i, client) in idle.iter_mut().enumerate().step_by(2) {
        let size = if i % 4 == 0 { 200_000 } else { 10 };
        assert_eq!(client.put("same", &vec![1; size]).status(), 200);
    }
    let grown = grown_mib(node, before);
    println!("1,000 idle connections: {grown:.1} MiB more");
    assert!(grown < 32.0, "{grown} MiB");
    let begun = Instant::now();
    let mut client = node.client();
    for i in 0..200 {
        assert_eq!(client.put("served", i.to_string().as_bytes()).key("copies"), Some("2"));
    }
    println!("200 PUTs meanwhile: {:?}", begun.elapsed());
    for client in &mut idle {
        assert_eq!(client.ask("PING").status(), 200);
    }
}

#[test]
fn who_never_reads_the_answers_blocks_nobody_and_costs_no_memory() {
    let ring = Ring::start(3, &[]);
    let node = &ring.nodes[0];
    let mut client = node.client();
    client.put("large", &vec![7; 1 << 20]);
    for i in 0..1000 {
        client.put(&format!("names/{i:0>200}"), b"");
    }
    client.put("copied", &[7; 16 << 10]);
    let before = node.resident_bytes();
    for request in ["GET large\n", "GET copied\n", "LIST\n", "RING\n"] {
        let mut deaf: Vec<_> = (0..4).map(|_| node.client()).collect();
        for client in &mut deaf {
            // As much as the node takes, until it takes no more.
            client.stream.get_ref().set_nonblocking(true).expect("it is a socket");
            let _ = client.try_send(request.repeat((1 << 20) / request.len()));
        }
        let begun = Instant::now();
        let answer = client.put("served", request.as_bytes());
        assert_eq!(answer.key("copies"), Some("3"), "{}", answer.line);
        let grown = grown_mib(node, before);
        println!("{request:?} unread: {grown:.1} MiB more, a PUT in {:?}", begun.elapsed());
        assert!(grown < 64.0, "{grown} MiB for {request:?}");
    }
    assert_eq!(client.members().len(), 3, "nobody died of it");
}

#[test]
fn who_reads_slowly_gets_everything() {
    let ring = Ring::start(2, &[]);
    let mut client = ring.nodes[0].client();
    let file: Vec<u8> = (0..1 << 20).map(|i: u32| i.wrapping_mul(2_654_435_761) as u8).collect();
    client.put("large", &file);
    let mut slow = ring.nodes[0].client();
    const REQUESTS: usize = 40;
    // Sent on a thread: neither side has room for all of it unless the other goes on.
    let mut sender = slow.stream.get_ref().try_clone().expect("it is a socket");
    let requests = "GET large\nLIST\nGET nothing\n".repeat(REQUESTS);
    let sending = thread::spawn(move || sender.write_all(requests.as_bytes()));
    for _ in 0..REQUESTS {
        assert!(slow.answer().body == file);
        assert_eq!(slow.answer().key("count"), Some("1"));
        assert_eq!(slow.answer().status(), 404);
    }
    sending.join().unwrap().unwrap();
}

#[test]
fn many_connections_that_come_and_go_leave_nothing_behind() {
    let ring = Ring::start(2, &[]);
    let node = &ring.nodes[0];
    let before = node.resident_bytes();
    let end = Instant::now() + DEADLINE;
    for i in 0..3000 {
        let mut client = Client::connect(node.address()).expect("it connects");
        match i % 3 {
            0 => drop(client),
            1 => client.send("PUT half len=100\nhello"),
            _ => assert_eq!(client.ask("PING").status(), 200),
        }
        assert!(Instant::now() < end, "3,000 connections in {DEADLINE:?}");
    }
    let grown = grown_mib(node, before);
    println!("3,000 connections that have ended: {grown:.1} MiB more");
    assert!(grown < 16.0, "{grown} MiB");
    assert_eq!(node.client().ask("INFO").key("files"), Some("0"));
}
