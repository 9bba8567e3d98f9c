//! Files that come in pieces, and what a client writes and reads.

use smolring::ring::{
    codec::{Encode, Part, Parts, Reject},
    message::{
        Answer, Body, Condition, Envelope, FileRow, Item, ItemValue, Message, Peer, Request,
        Status, Sync,
    },
    version::Version,
    wire::reply::{Head, Reply, head},
};

use super::{examples, item, name};
use crate::fuzz::{FILE_BYTES_MAX, decode_all, decoder, encode};

/// What comes out of a stream that arrives in pieces of this size, chunks by their bytes.
fn parts_of(stream: &[u8], piece: usize) -> (Vec<Result<Part<'static>, Reject>>, Vec<u8>) {
    let mut parts = Parts::new(FILE_BYTES_MAX);
    parts.trust_peer();
    let (mut got, mut chunks, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            let (taken, part) = parts.next(&buffer);
            match part {
                None => {
                    buffer.drain(..taken);
                    break;
                }
                Some(Ok(Part::Chunk(chunk))) => chunks.extend_from_slice(chunk),
                Some(Ok(Part::Whole(message))) => got.push(Ok(Part::Whole(message))),
                Some(Ok(Part::Head { message, file_bytes })) => {
                    got.push(Ok(Part::Head { message, file_bytes }));
                }
                Some(Ok(Part::End { hash })) => got.push(Ok(Part::End { hash })),
                Some(Err(reject)) => got.push(Err(reject)),
            }
            buffer.drain(..taken);
        }
    }
    assert!(parts.is_between_messages() && parts.bytes_wanted() == 0 && buffer.is_empty());
    (got, chunks)
}

fn pulled(item: Item) -> Message {
    let message = Peer::Sync(Sync::Item { name: name("a"), item: Some(item) });
    Message::Peer(Envelope { stamp: smolring::ring::version::Stamp(7), message })
}

#[test]
fn a_file_comes_as_its_head_its_chunks_and_its_end() {
    for bytes in [0, 1, FILE_BYTES_MAX, 100_000] {
        let whole = item(bytes);
        let hash = whole.hash().unwrap();
        let value = ItemValue::File { hash, body: Body::Coming { bytes } };
        let head = pulled(Item { version: whole.version, value });
        let stream = [encode(&pulled(whole.clone())), b"PING\n".to_vec()].concat();
        for piece in [1, 97, 4096, usize::MAX] {
            let (got, chunks) = parts_of(&stream, piece);
            let expected = [
                Part::Head { message: head.clone(), file_bytes: bytes },
                Part::End { hash: Some(hash) },
                Part::Whole(Message::Request(Request::Ping)),
            ];
            assert_eq!(got, expected.map(Ok), "{bytes} bytes, {piece} at a time");
            let content = whole.body().unwrap().content();
            assert!(chunks == content[..], "{bytes} bytes, {piece} at a time");
        }
    }
}

#[test]
fn a_file_that_is_not_wanted_is_skipped_and_another_is_not_hashed() {
    let stream = [encode(&pulled(item(1000))), b"PING\n".to_vec()].concat();
    for (is_wanted, piece) in [(true, 1), (true, 97), (false, 1), (false, 97), (false, 5000)] {
        let mut parts = Parts::new(FILE_BYTES_MAX);
        parts.trust_peer();
        let (mut at, mut here, mut got) = (0, 0, Vec::new());
        while at < stream.len() {
            here = stream.len().min(here + piece);
            loop {
                let (taken, part) = parts.next(&stream[at..here]);
                at += taken;
                let Some(part) = part else { break };
                got.push(match part.unwrap() {
                    Part::Head { .. } if is_wanted => {
                        parts.leave_unhashed();
                        "head"
                    }
                    Part::Head { .. } => {
                        parts.skip_file();
                        "head"
                    }
                    Part::Chunk(_) => "chunk",
                    Part::End { hash: None } => "end",
                    Part::End { .. } => "a hash",
                    Part::Whole(_) => "whole",
                });
            }
        }
        got.dedup();
        match is_wanted {
            true => assert_eq!(got, ["head", "chunk", "end", "whole"], "{piece}"),
            false => assert_eq!(got, ["head", "whole"], "{piece}"),
        }
    }
}

#[test]
fn a_damaged_file_has_no_end_and_the_next_message_is_found() {
    let mut damaged = item(1000);
    damaged.complete(vec![b'x'; 1000].into());
    let stream = [encode(&pulled(damaged)), b"PING\n".to_vec()].concat();
    for piece in [1, 97, usize::MAX] {
        let (got, _) = parts_of(&stream, piece);
        let [Ok(Part::Head { .. }), Err(reject), Ok(Part::Whole(_))] = &got[..] else {
            panic!("{got:?}");
        };
        assert_eq!((reject.refusal.status, reject.close), (Status::BadRequest, false));
    }
}

#[test]
fn a_head_that_says_too_little_is_refused_before_its_file_is_there() {
    let mut parts = Parts::new(FILE_BYTES_MAX);
    parts.trust_peer();
    let line = b"SYNC ITEM a len=1000000\n";
    let (taken, part) = parts.next(line);
    assert!(taken == line.len() && matches!(part, Some(Err(Reject { close: false, .. }))));
    assert_eq!(parts.next(&vec![b'\n'; 1_000_000]), (1_000_000, None));
    assert!(parts.is_between_messages());
}

#[test]
fn every_message_with_a_file_has_a_head_and_no_other_has() {
    for message in examples() {
        let bytes = encode(&message);
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
        let (line, content) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 1..]);
        let has_file = ["PUT", "FORWARD", "SYNC ITEM"].iter().any(|it| line.starts_with(it))
            && line.contains(" len=");
        let (got, chunks) = parts_of(&bytes, 50);
        assert_eq!(matches!(got[0], Ok(Part::Head { .. })), has_file, "{line}");
        assert!(!has_file || chunks == content, "{line}");
    }
}

#[test]
fn what_a_client_writes_is_as_the_protocol_says() {
    let list = |prefix: &str, after: &str, limit, hashes| {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        Request::List { prefix, after, limit, hashes }
    };
    let name = name("a b");
    let version: Version = "00000000000000ff@127.0.1.1:4043".parse().unwrap();
    let put = |only_if| Request::Put { name: name.clone(), content: "hi".into(), only_if };
    for (request, wire) in [
        (put(None), "PUT a%20b len=2\nhi"),
        (put(Some(Condition::Absent)), "PUT a%20b len=2 if-version=none\nhi"),
        (
            put(Some(Condition::Newest(version))),
            "PUT a%20b len=2 if-version=00000000000000ff@127.0.1.1:4043\nhi",
        ),
        (Request::Get { name: name.clone(), version: None }, "GET a%20b\n"),
        (
            Request::Get { name: name.clone(), version: Some(version) },
            "GET a%20b version=00000000000000ff@127.0.1.1:4043\n",
        ),
        (Request::Delete { name: name.clone(), only_if: None }, "DELETE a%20b\n"),
        (
            Request::Delete { name: name.clone(), only_if: Some(Condition::Newest(version)) },
            "DELETE a%20b if-version=00000000000000ff@127.0.1.1:4043\n",
        ),
        (Request::Log { name: name.clone() }, "LOG a%20b\n"),
        (Request::Trace { version: None }, "TRACE\n"),
        (
            Request::Trace { version: Some(version) },
            "TRACE version=00000000000000ff@127.0.1.1:4043\n",
        ),
        (list("", "", 1000, false), "LIST\n"),
        (list("img/", "b c", 5, true), "LIST after=b%20c prefix=img/ limit=5 hashes=1\n"),
        (Request::Ring, "RING\n"),
        (Request::Ping, "PING\n"),
        (Request::Info, "INFO\n"),
        (Request::Forget { address: "[::1]:4043".parse().unwrap() }, "FORGET [::1]:4043\n"),
        (Request::Quit, "QUIT\n"),
    ] {
        let mut out = Vec::new();
        let content = request.encode(&mut out).cloned().unwrap_or_default();
        out.extend_from_slice(&content);
        assert_eq!(String::from_utf8(out).unwrap(), wire);
        let Message::Request(read) = whole(wire) else { panic!("{wire}") };
        assert_eq!(read, request, "{wire}");
    }
}

#[test]
fn a_client_reads_what_a_node_answers() {
    let whole = item(20);
    let (version, hash) = (whole.version, whole.hash());
    let found = reply(&Answer::Found(whole.clone()));
    let content = whole.body().unwrap().content();
    assert_eq!((found.version_of_file(), &found.body[..]), (Ok(version), &content[..]));
    let mut damaged = whole.clone();
    damaged.complete("other".into());
    assert!(reply(&Answer::Found(damaged)).version_of_file().is_err());
    let row = |text, bytes, hash| FileRow { name: name(text), version, bytes, hash };
    let files = vec![row("a b", Some(3), hash), row("é", Some(0), None)];
    let versions = vec![row("a b", None, None), row("a b", Some(3), hash)];
    let log = reply(&Answer::Log { versions: versions.clone() });
    assert_eq!((log.files(), log.number("count")), (Ok(versions), Ok(2)));
    let listing = reply(&Answer::Listing { files: files.clone(), more: true });
    assert_eq!((listing.files(), listing.number("more")), (Ok(files), Ok(1)));
    let stored = reply(&Answer::Stored { version, copies: 3 });
    assert_eq!((stored.status, stored.number("copies")), (200, Ok(3)));
    assert_eq!(stored.key("version"), Some(&version.to_string()[..]));
    assert_eq!(reply(&Answer::Bye).text(), "bye");
}

/// The one message in this.
fn whole(wire: &str) -> Message {
    let [Ok(message)] = &decode_all(decoder(false), wire.as_bytes(), || 5)[..] else {
        panic!("{wire}");
    };
    message.clone()
}

/// An answer, written by a node and read by a client.
fn reply(answer: &Answer) -> Reply {
    let mut bytes = Vec::new();
    let content = answer.encode(&mut bytes).cloned().unwrap_or_default();
    bytes.extend_from_slice(&content);
    let Head { status, line_bytes, body_bytes } = head(&bytes).unwrap().unwrap();
    assert_eq!(bytes.len(), line_bytes + body_bytes);
    let line = String::from_utf8(bytes[..line_bytes - 1].to_vec()).unwrap();
    Reply { status, line, body: bytes[line_bytes..].to_vec() }
}
