//! Tests: large contents between files and nodes that answer as a test says.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    connection::Timeouts,
    content::{self, Content},
    error::Error,
    failover::Client,
    local::READS_MAX,
    meter::Meter,
    node::Node,
    pieces::supply,
    reply::Reply,
    requests::Fetched,
    sink::{Filling, Of, Sink},
};
use crate::ring::name::Name;

const VERSION: &str = "0000000000000001@127.0.0.1:1";
/// More than the buffers of two sockets hold.
const LARGE: usize = 32 << 20;

/// A node that reads the line of one request over each connection, and then does as the test says. It
/// is told how many connections there were before.
fn node(act: impl Fn(usize, String, TcpStream) + Send + 'static) -> (Node, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let connections = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut line = String::new();
            // One byte at a time, so that nothing beyond the line is taken.
            BufReader::with_capacity(1, &stream).read_line(&mut line).unwrap();
            act(connections.fetch_add(1, Ordering::SeqCst), line, stream);
        }
    });
    (Node { host: "127.0.0.1".into(), port }, count)
}

/// Bytes that differ from place to place.
fn bytes(count: usize) -> Vec<u8> {
    (0..count as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn name() -> Name {
    Name::new("file").unwrap()
}

fn client(nodes: &[&Node], silence: Duration) -> Client {
    Client::new(nodes.iter().map(|node| (*node).clone()).collect(), Timeouts::new(silence))
}

const PATIENT: Duration = Duration::from_secs(20);

fn put(client: &mut Client, content: &mut Content<'_>, meter: &Meter) -> Result<Reply, Error> {
    smol::block_on(client.put_content(&name(), content, None, meter))
}

/// A file in a folder of its own.
fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// Reads to the end of the stream, in parts of odd sizes.
fn rest(mut stream: &TcpStream, most: usize) -> Vec<u8> {
    let (mut all, mut part) = (Vec::new(), vec![0; 60_013]);
    while all.len() < most {
        let room = part.len().min(most - all.len());
        match stream.read(&mut part[..room]) {
            Ok(read) if read > 0 => all.extend_from_slice(&part[..read]),
            _ => break,
        }
    }
    all
}

fn head(content: &[u8]) -> String {
    format!("200 OK len={} version={VERSION} blake3={}\n", content.len(), blake3::hash(content))
}

/// A sink in memory.
struct Heap {
    bytes: Arc<Mutex<Vec<u8>>>,
    begins_again: bool,
    pause: Duration,
}

impl Sink for Heap {
    type Failure = io::Error;

    fn begin(&mut self, of: &Of) -> io::Result<()> {
        assert_eq!(of.version.to_string(), VERSION);
        self.bytes.lock().unwrap().clear();
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        thread::sleep(self.pause);
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn can_begin_again(&self) -> bool {
        self.begins_again
    }
}

/// Gets the file. Returns what came of it, all that was written, and what was counted.
fn get(
    client: &mut Client,
    begins_again: bool,
    pause: Duration,
) -> (Result<Fetched, Error>, Vec<u8>, u64) {
    let (written, meter) = (Arc::default(), Meter::default());
    let mut filling = Filling::new(Heap { bytes: Arc::clone(&written), begins_again, pause });
    let got = smol::block_on(client.get_into(&name(), None, &mut filling, &meter));
    drop(filling);
    let written = Arc::into_inner(written).unwrap().into_inner().unwrap();
    (got.map(Result::unwrap), written, meter.state().bytes)
}

#[test]
fn a_large_content_goes_out_and_comes_in_in_odd_pieces() {
    let content = bytes(1_234_567);
    let (_folder, path) = file(&content);
    let sent = content.clone();
    let (taker, _) = node(move |_, line, mut stream| {
        assert_eq!(line, "PUT file len=1234567\n");
        assert!(rest(&stream, sent.len()) == sent);
        stream.write_all(b"200 OK copies=1\n").unwrap();
        // Over the same connection.
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(b"200 OK node=127.0.0.1:1\n").unwrap();
    });
    let (mut client_, meter) = (client(&[&taker], PATIENT), Meter::of_one("file"));
    let mut opened = content::open(&path).unwrap();
    assert_eq!(put(&mut client_, &mut opened, &meter).unwrap().number("copies"), Ok(1));
    assert_eq!((meter.state().bytes, meter.state().bytes_total), (1_234_567, Some(1_234_567)));
    smol::block_on(client_.ping()).unwrap();

    let given = content.clone();
    let (giver, _) = node(move |_, _, mut stream| {
        stream.set_nodelay(true).unwrap();
        stream.write_all(head(&given).as_bytes()).unwrap();
        given.chunks(70_001).for_each(|part| stream.write_all(part).unwrap());
        stream.write_all(b"404 NOT FOUND\n").unwrap();
        rest(&stream, usize::MAX);
    });
    let mut client = client(&[&giver], PATIENT);
    let (got, written, counted) = get(&mut client, true, Duration::ZERO);
    assert!(matches!(got, Ok(Fetched::Large(of)) if of.hash == blake3::hash(&content)));
    assert!(written == content);
    assert_eq!(counted, content.len() as u64);
    let next = smol::block_on(client.ping()).unwrap_err();
    assert_eq!(next.status(), Some(404), "what follows is the next answer");
}

#[test]
fn an_early_refusal_ends_the_sending_of_a_file() {
    let (folder, path) = file(b"");
    File::options().write(true).open(&path).unwrap().set_len(4 << 30).unwrap();
    let (node, _) = node(|_, line, mut stream| {
        assert_eq!(line, "PUT file len=4294967296\n");
        stream.write_all(b"413 CONTENT TOO LARGE : at most 5 bytes\n").unwrap();
        thread::sleep(Duration::from_secs(30));
    });
    let (begun, meter) = (Instant::now(), Meter::default());
    let mut opened = content::open(&path).unwrap();
    let refused = put(&mut client(&[&node], PATIENT), &mut opened, &meter).unwrap_err();
    assert_eq!(refused.status(), Some(413));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(meter.state().bytes, 0, "what was counted is taken back");
    drop(folder);
}

#[test]
fn a_wrong_hash_is_found_and_another_node_asked_where_that_is_possible() {
    let content = bytes(400_000);
    let mut damaged = content.clone();
    damaged[399_999] ^= 1;
    let said = head(&content);
    let (wrong, _) = node(move |_, _, mut stream| {
        stream.write_all(said.as_bytes()).unwrap();
        stream.write_all(&damaged).unwrap();
        rest(&stream, usize::MAX);
    });
    let given = content.clone();
    let (right, count) = node(move |_, _, mut stream| {
        stream.write_all(head(&given).as_bytes()).unwrap();
        stream.write_all(&given).unwrap();
        rest(&stream, usize::MAX);
    });
    let (got, _, counted) = get(&mut client(&[&wrong], PATIENT), true, Duration::ZERO);
    assert!(matches!(got, Err(Error::BadAnswer { .. })), "{got:?}");
    assert_eq!(counted, 0);
    let (got, written, _) = get(&mut client(&[&wrong, &right], PATIENT), true, Duration::ZERO);
    assert!(got.is_ok() && written == content);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // What was written to a pipe cannot be taken back.
    let (got, ..) = get(&mut client(&[&wrong, &right], PATIENT), false, Duration::ZERO);
    let why = got.unwrap_err().to_string();
    assert!(why.contains("hash") && why.contains("cannot be taken back"), "{why}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn silence_ends_a_transfer_and_slowness_does_not() {
    let brief = Duration::from_millis(400);
    let content = bytes(700_000);
    let given = content.clone();
    let (slow, _) = node(move |_, _, mut stream| {
        stream.write_all(head(&given).as_bytes()).unwrap();
        for part in given.chunks(100_000) {
            thread::sleep(Duration::from_millis(100));
            stream.write_all(part).unwrap();
        }
        rest(&stream, usize::MAX);
    });
    let (got, written, _) = get(&mut client(&[&slow], brief), true, Duration::ZERO);
    assert!(got.is_ok() && written == content);
    // What this side needs to write it is no silence of the node: here the pieces that are ahead.
    let pause = Duration::from_millis(500);
    let (got, written, _) = get(&mut client(&[&slow], brief), false, pause);
    assert!(got.is_ok() && written == content);

    let given = content.clone();
    let (silent, _) = node(move |_, _, mut stream| {
        stream.write_all(head(&given).as_bytes()).unwrap();
        stream.write_all(&given[..300_000]).unwrap();
        thread::sleep(Duration::from_secs(3));
    });
    let begun = Instant::now();
    let (got, _, counted) = get(&mut client(&[&silent], brief), true, Duration::ZERO);
    assert!(matches!(got, Err(Error::TimedOut { .. })), "{got:?}");
    assert!(begun.elapsed() < Duration::from_secs(2) && counted == 0);

    let (_folder, path) = file(&bytes(LARGE));
    let (deaf, _) = node(|_, _, stream| {
        rest(&stream, 100_000);
        thread::sleep(Duration::from_secs(30));
    });
    let mut opened = content::open(&path).unwrap();
    let result = put(&mut client(&[&deaf], brief), &mut opened, &Meter::default());
    assert!(matches!(result, Err(Error::TimedOut { .. })), "{result:?}");
}

/// A file that changes while it is sent, so many times.
fn changing(times: usize, change: impl Fn(&File) + Send + 'static) -> Result<Reply, Error> {
    let (_folder, path) = file(&bytes(LARGE));
    let changed = path.clone();
    let (node, count) = node(move |count, line, mut stream| {
        let length = line.trim_end().strip_prefix("PUT file len=").unwrap().parse().unwrap();
        let mut all = rest(&stream, 100_000);
        if count < times {
            change(&File::options().write(true).open(&changed).unwrap());
        }
        all.extend(rest(&stream, length - all.len()));
        if count < times {
            assert!(all.len() < length, "a file that has changed was sent as a whole");
        } else {
            assert!(all == fs::read(&changed).unwrap(), "not the file as it is now");
            stream.write_all(b"200 OK copies=1\n").unwrap();
        }
    });
    let (mut opened, meter) = (content::open(&path).unwrap(), Meter::default());
    let result = put(&mut client(&[&node], PATIENT), &mut opened, &meter);
    let attempts = count.load(Ordering::SeqCst);
    assert_eq!(attempts, (times + 1).min(READS_MAX));
    result
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_not_stored() {
    let shrink = |file: &File| file.set_len(5 << 20).unwrap();
    let grow = |file: &File| file.set_len(LARGE as u64 + 5).unwrap();
    let change = |mut file: &File| file.write_all(b"changed").unwrap();
    changing(1, shrink).unwrap();
    changing(1, grow).unwrap();
    changing(2, change).unwrap();
    let given_up = changing(9, change).unwrap_err();
    assert!(matches!(given_up, Error::Changed { .. }), "{given_up}");
    assert!(!given_up.outcome_unknown());
}

/// Reads a part of what comes, and breaks the connection.
fn breaking(_: usize, _: String, stream: TcpStream) {
    rest(&stream, 1_000_000);
}

/// Takes all.
fn taking(_: usize, line: String, mut stream: TcpStream) {
    let length: usize = line.trim_end().strip_prefix("PUT file len=").unwrap().parse().unwrap();
    let is_right = rest(&stream, length) == bytes(length);
    let answer = if is_right { "200 OK copies=1\n" } else { "400 BAD REQUEST : other bytes\n" };
    stream.write_all(answer.as_bytes()).unwrap();
}

#[test]
fn a_large_file_goes_to_the_next_node_from_its_start() {
    let (_folder, path) = file(&bytes(LARGE));
    let ((broken, _), (good, _)) = (node(breaking), node(taking));
    let (mut opened, meter) = (content::open(&path).unwrap(), Meter::default());
    let reply = put(&mut client(&[&broken, &good], PATIENT), &mut opened, &meter).unwrap();
    assert_eq!(reply.number("copies"), Ok(1));
    assert_eq!(meter.state().bytes, LARGE as u64);
}

#[test]
fn what_comes_over_a_pipe_goes_to_one_node() {
    let once = |length: usize, fails: bool| {
        let (supply, feed) = supply(length as u64);
        let (content, mut at) = (bytes(length), 0);
        thread::spawn(move || {
            let read = |part: &mut [u8]| {
                part.copy_from_slice(&content[at..at + part.len()]);
                at += part.len();
                Ok(())
            };
            let cut = Error::File { path: "it".into(), cause: "it is cut".into() };
            feed.run(read, || if fails { Err(cut) } else { Ok(()) });
        });
        Content::Once(Some(supply))
    };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = Node { host: "127.0.0.1".into(), port: nobody };
    let ((broken, _), (good, count)) = (node(breaking), node(taking));
    // Where no connection is made, nothing has been sent.
    let mut client_ = client(&[&nobody, &good], PATIENT);
    put(&mut client_, &mut once(LARGE, false), &Meter::default()).unwrap();
    let mut client_ = client(&[&broken, &good], PATIENT);
    let error = put(&mut client_, &mut once(LARGE, false), &Meter::default()).unwrap_err();
    assert!(error.to_string().contains("over a pipe") && error.outcome_unknown(), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // The last bytes are not sent where something is wrong.
    let mut client_ = client(&[&good], PATIENT);
    let error = put(&mut client_, &mut once(LARGE, true), &Meter::default()).unwrap_err();
    assert!(error.to_string().contains("it is cut"), "{error}");
}

#[test]
fn what_cannot_be_taken_back_is_followed_by_the_rest() {
    let content = bytes(2_000_000);
    let given = content.clone();
    let (node, count) = node(move |count, line, mut stream| {
        let asked = if count == 0 { String::new() } else { format!(" version={VERSION}") };
        assert_eq!(line, format!("GET file{asked}\n"));
        let ends = [300_000, 299_000, 1_500_000, 2_000_000][count.min(3)];
        stream.write_all(head(&given).as_bytes()).unwrap();
        let _ = stream.write_all(&given[..ends]);
        if count == 3 {
            rest(&stream, usize::MAX);
        }
    });
    // The second attempt comes no further than the first.
    let nodes = [&node, &node];
    let (got, written, counted) = get(&mut client(&nodes, PATIENT), false, Duration::ZERO);
    assert!(got.is_ok(), "{got:?}");
    assert!(written == content, "{} bytes", written.len());
    assert_eq!((count.load(Ordering::SeqCst), counted), (4, 2_000_000));
}
