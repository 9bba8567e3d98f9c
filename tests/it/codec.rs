//! The wire: what decodes, what is refused, and that nothing else can happen.

use proptest::{collection::vec, prelude::*};
use smolring::ring::{
    codec::{Decoder, Encode, LIST_BYTES_MAX, Reject},
    index::Digest,
    limits::{FILE_BYTES_CEILING, LINE_BYTES_MAX, MEMBERS_MAX, NAME_BYTES_MAX},
    line::Line,
    message::{
        Answer, Content, Envelope, FileRow, Info, Item, Message, Peer, Refusal, Report, Request,
        Role, Row, Status, Sync,
    },
    name::Name,
    release::Release,
    version::{Stamp, Version},
    view::{Cause, Member, MemberState},
};

mod messages;
mod parts;

use messages::{any_message, examples};

use crate::fuzz::{FILE_BYTES_MAX, assert_round_trip, decode_all, decoder, encode};

// ---- what decodes

#[test]
fn every_message_decodes_however_it_is_cut() {
    for message in examples() {
        let bytes = encode(&message);
        for cut in 1..=bytes.len() {
            let mut cuts = [cut, bytes.len()].into_iter();
            let got = decode_all(decoder(true), &bytes, || cuts.next().expect("two pieces"));
            assert_eq!(got, [Ok(message.clone())], "cut at {cut}");
        }
        assert_eq!(decode_all(decoder(true), &bytes, || 1), [Ok(message)]);
    }
}

#[test]
fn pipelined_requests_come_out_in_their_order() {
    let requests: Vec<_> = (0..1000)
        .map(|i| match i % 3 {
            0 => put(&format!("n{i}"), format!("PUT {i} len=3\n").as_bytes()),
            1 => Message::Request(Request::Get { name: name(&format!("n{i}")), version: None }),
            _ => Message::Request(Request::Ping),
        })
        .collect();
    let bytes: Vec<_> = requests.iter().flat_map(encode).collect();
    for piece in [bytes.len(), 1, 7, 4096] {
        let got = decode_all(decoder(false), &bytes, || piece);
        assert_eq!(got.into_iter().collect::<Result<Vec<_>, _>>().unwrap(), requests);
    }
}

#[test]
fn a_content_may_be_any_bytes_or_none() {
    let all: Vec<u8> = (0..=255).collect();
    for content in [&all[..], b"", b"\n", b"\r\n\r\n", b"QUIT\n", b"\0"] {
        assert_round_trip(&put("a", content));
    }
}

#[test]
fn names_may_be_written_bare_or_encoded() {
    for (wire, decoded) in [
        ("a%20b", "a b"),
        ("gr%C3%BC%C3%9Fe", "grüße"),
        ("grüße", "grüße"),
        ("%E6%97%A5%E6%9C%AC", "日本"),
        ("100%25", "100%"),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ("a%2fb", "a/b"),
        ("a=b", "a=b"),
        ("len%3D5", "len=5"),
        ("-._~/x", "-._~/x"),
    ] {
        let request = Message::Request(Request::Get { name: name(decoded), version: None });
        assert_eq!(refused_or(&format!("GET {wire}\n")), Ok(request.clone()), "{wire}");
        assert_round_trip(&request);
    }
    let longest = "é".repeat(NAME_BYTES_MAX / 2);
    assert_round_trip(&put(&longest, b"x"));
}

#[test]
fn lines_may_end_in_crlf_and_have_spare_words_and_empty_lines_between_them() {
    let stream = "\n\r\nPUT  a   len=2 colour=blue len=9 : len=7\r\nhi\r\n\r\n\nPING : hello\n\n";
    let ping = Message::Request(Request::Ping);
    assert_eq!(
        decode_all(decoder(false), stream.as_bytes(), || 1),
        [Ok(put("a", b"hi")), Ok(ping)]
    );
}

#[test]
fn a_line_of_the_greatest_length_decodes() {
    let padding = |bytes: usize| format!("PING : {}\n", "x".repeat(bytes - "PING : \n".len()));
    assert_eq!(refused_or(&padding(LINE_BYTES_MAX)), Ok(Message::Request(Request::Ping)));
    assert_closes(&padding(LINE_BYTES_MAX + 1));
}

#[test]
fn a_list_has_limits_of_its_own() {
    let list = |line: &str| match refused_or(line) {
        Ok(Message::Request(Request::List { prefix, after, limit, hashes })) => {
            (prefix, after, limit, hashes)
        }
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(list("LIST\n"), (String::new(), String::new(), 1000, false));
    assert_eq!(list("LIST limit=9999999\n").2, 1000);
    assert_eq!(list("LIST limit=0 after=b prefix=a%20/\n"), ("a /".into(), "b".into(), 0, false));
    assert!(list("LIST hashes=1\n").3 && !list("LIST hashes=yes\n").3);
}

// ---- what is refused

/// The decoder must then close, and take nothing more, because it is lost.
#[test]
fn a_line_that_hides_where_the_next_begins_closes() {
    for len in [
        "",
        "-1",
        "+5",
        "0x5",
        "5.0",
        "1e3",
        "5,",
        "５",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        assert_closes(&format!("PUT a len={len}\nhelloPING\n"));
    }
    assert_closes("PUT a\u{0} len=x\n");
    assert_closes(&"x".repeat(LINE_BYTES_MAX));
    assert_closes(&"x".repeat(10 * LINE_BYTES_MAX));
    let stream = b"GET \xff\xfe\nPING\n";
    let got = decode_all(decoder(false), stream, || 1);
    assert!(matches!(&got[..], [Err(Reject { close: true, .. })]), "{got:?}");
}

#[test]
fn what_is_refused_is_skipped_with_its_content_and_the_next_is_found() {
    let content = "PUT a len=1\nx".repeat(50);
    let len = content.len();
    assert!(len > FILE_BYTES_MAX);
    for (line, status) in [
        (format!("PUT a len={len}"), Status::ContentTooLarge),
        (format!("GET a len={len}"), Status::ContentTooLarge),
        (format!("PUT ../a len={len}"), Status::BadRequest),
        (format!("PUT len={len}"), Status::BadRequest),
        (format!("PUT len={len} a"), Status::BadRequest),
        (format!("PUT /a len={len}"), Status::BadRequest),
        (format!("PUT %00 len={len}"), Status::BadRequest),
        (format!("PUT {} len={len}", "x".repeat(NAME_BYTES_MAX + 1)), Status::BadRequest),
        (format!("put a len={len}"), Status::BadRequest),
        (format!("{} len={len}", "X".repeat(4000)), Status::BadRequest),
        (format!("FORWARD PUT a len={len}"), Status::ContentTooLarge),
        (format!("SYNC ITEM a len={len}"), Status::ContentTooLarge),
    ] {
        let stream = format!("{line}\n{content}PING\n");
        for piece in [usize::MAX, 1, 100] {
            let got = decode_all(decoder(false), stream.as_bytes(), || piece);
            let [Err(Reject { refusal, close: false }), Ok(next)] = &got[..] else {
                panic!("{line}: {got:?}");
            };
            assert_eq!(refusal.status, status, "{line}");
            assert_eq!(*next, Message::Request(Request::Ping));
            assert_is_one_line(&Answer::Refused(refusal.clone()));
        }
    }
}

#[test]
fn requests_that_are_none_are_refused_and_the_connection_stays() {
    for (line, status) in [
        ("PUT a", Status::LengthRequired),
        ("PUT", Status::BadRequest),
        ("PUT a : len=5", Status::LengthRequired),
        ("GET", Status::BadRequest),
        ("GET /", Status::BadRequest),
        ("GET a//b", Status::BadRequest),
        ("GET a/../../b", Status::BadRequest),
        ("GET %2e%2e/a", Status::BadRequest),
        ("GET %ff", Status::BadRequest),
        ("GET %0d%0aQUIT", Status::BadRequest),
        ("GET : a", Status::BadRequest),
        ("get a", Status::BadRequest),
        ("LIST limit=-1", Status::BadRequest),
        ("LIST limit=", Status::BadRequest),
        ("LIST prefix=%ff", Status::BadRequest),
        ("FORGET", Status::BadRequest),
        ("FORGET a", Status::BadRequest),
        ("FORGET 127.0.1.1", Status::BadRequest),
        ("DROP TABLE", Status::BadRequest),
        ("\u{0}\u{1b}[2J", Status::BadRequest),
        ("=", Status::BadRequest),
        (" : ", Status::BadRequest),
        (" ", Status::BadRequest),
        ("200 OK", Status::BadRequest),
        ("SYNC", Status::BadRequest),
        ("FORWARD DELETE a", Status::BadRequest),
    ] {
        let got = decode_all(decoder(false), format!("{line}\nPING\n").as_bytes(), || 3);
        let [Err(Reject { refusal, close: false }), Ok(_)] = &got[..] else {
            panic!("{line:?}: {got:?}");
        };
        assert_eq!(refusal.status, status, "{line:?}");
        assert_is_one_line(&Answer::Refused(refusal.clone()));
    }
}

#[test]
fn a_length_that_lies_only_harms_its_own_connection() {
    // Too short: the rest of the content is taken for a line. Too long: more is waited for.
    let got = decode_all(decoder(false), b"PUT a len=2\nhello\nPING\n", || 1);
    assert_eq!(got[0], Ok(put("a", b"he")));
    assert!(matches!(&got[1..], [Err(Reject { close: false, .. }), Ok(_)]), "{got:?}");
    let mut decoder = decoder(false);
    assert_eq!(decoder.decode(b"PUT a len=10\nhello"), (18, None));
    assert_eq!(decoder.bytes_wanted(), 5);
    assert!(!decoder.is_between_messages());
}

/// Announced bytes cost nothing before they are there, so this may say anything.
#[test]
fn a_huge_length_is_no_reservation() {
    let huge = format!("PUT a len={}\n", u64::MAX);
    let got = decode_all(decoder(false), huge.as_bytes(), || 1);
    assert!(matches!(&got[..], [Err(Reject { close: false, .. })]), "{got:?}");
    assert_eq!(decode_all(Decoder::new(usize::MAX), huge.as_bytes(), || 1), []);
    let mut skipping = decoder(false);
    skipping.decode(huge.as_bytes());
    assert_eq!(skipping.decode(&[b'\n'; 1000]), (1000, None));
}

#[test]
fn files_between_nodes_need_a_decoder_that_trusts() {
    let message = Peer::Sync(Sync::Item { name: name("a"), item: Some(item(400)) });
    let message = Message::Peer(Envelope { stamp: Stamp(0), message });
    let bytes = encode(&message);
    assert_eq!(decode_all(decoder(true), &bytes, || 9), [Ok(message)]);
    let got = decode_all(decoder(false), &bytes, || 9);
    assert!(matches!(&got[..], [Err(Reject { close: false, .. })]), "{got:?}");
    let version = "version=00000000000000ff@127.0.1.1:4043";
    let file = format!("a {version} blake3={} op=127.0.1.1:4043/1 view=1 copies=1", "0".repeat(64));
    for (head, limit) in [
        ("MEET node=127.0.1.1:4043", LIST_BYTES_MAX),
        ("CHECK", LIST_BYTES_MAX),
        ("SYNC LISTED", LIST_BYTES_MAX),
        (&format!("SYNC ITEM {file}"), FILE_BYTES_CEILING),
        (&format!("FORWARD PUT {file}"), FILE_BYTES_CEILING),
    ] {
        let wants = |len| {
            let mut decoder = decoder(true);
            decoder.decode(format!("{head} len={len}\n").as_bytes());
            decoder.bytes_wanted()
        };
        assert_eq!((wants(limit), wants(limit + 1)), (limit, 0), "{head}");
    }
}

/// Keys and words that a later version adds must not break this one.
#[test]
fn what_is_unknown_is_ignored() {
    let body = "127.0.1.1:4043 alive incarnation=1 position=0 colour=red covered=1\n\
        127.0.1.1:4044 gone since=5 incarnation=1 position=0 cause=tired x\n";
    let head = "MEET colour=red node=127.0.1.1:4043 as=guest protocol=3";
    let line = format!("{head} len={}\n{body}", body.len());
    let got = decode_all(decoder(false), line.as_bytes(), || 7);
    let [Ok(Message::Peer(Envelope { stamp, message: Peer::Meet(greeting) }))] = &got[..] else {
        panic!("{got:?}");
    };
    assert_eq!((*stamp, greeting.role, greeting.protocol), (Stamp(0), Role::Member, 3));
    assert_eq!((&*greeting.ring, greeting.clock_ms, greeting.knew), ("smolring", 0, 0));
    let gone = greeting.view.get("127.0.1.1:4044".parse().unwrap()).unwrap();
    assert_eq!(gone.state, MemberState::Gone { since_ms: 5, cause: Cause::Unknown });
}

#[test]
fn nonsense_from_a_node_is_refused() {
    const OP: &str = "op=127.0.1.1:4043/1";
    const VERSION: &str = "version=00000000000000ff@127.0.1.1:4043";
    let hash = blake3::hash(b"hello");
    let member = "127.0.1.1:4043 alive incarnation=1 position=0";
    let crowd: String = (0..=MEMBERS_MAX)
        .map(|i| format!("127.0.1.1:{} alive incarnation=1 position=0\n", 1000 + i))
        .collect();
    let meet = "MEET node=127.0.1.1:4043";
    for (line, body) in [
        ("MEET", ""),
        ("MEET node=127.0.1.1", ""),
        ("MEET node=localhost:4043", ""),
        ("MEET node=127.0.1.1:65536", ""),
        ("MEET node=127.0.1.1:4043 protocol=two", ""),
        ("MEET node=127.0.1.1:4043 clock=-5", ""),
        ("MEET node=127.0.1.1:4043 clock=18446744073709551616", ""),
        ("MEET node=127.0.1.1:4043 knew=", ""),
        ("MEET node=127.0.1.1:4043 ring=", ""),
        ("MEET node=127.0.1.1:4043 ring=%41", ""),
        ("MEET node=127.0.1.1:4043 stamp=5", ""),
        ("REFUSE joining=1", ""),
        ("REFUSE node=127.0.1.1:4043", ""),
        ("REFUSE node=127.0.1.1:4043 joining=2", ""),
        (meet, "hello"),
        (meet, "\u{0}"),
        (meet, "127.0.1.1:4043 asleep incarnation=1 position=0"),
        (meet, "127.0.1.1:4043 alive position=0"),
        (meet, "127.0.1.1:4043 alive incarnation=1"),
        (meet, "127.0.1.1:4043 alive incarnation=-1 position=0"),
        (meet, "127.0.1.1:4043 alive incarnation=99999999999999999999 position=0"),
        (meet, "127.0.1.1:4043 alive incarnation=1 position=xyz"),
        (meet, "127.0.1.1:4043 alive incarnation=1 position=100000000000000000000000000000000"),
        (meet, "127.0.1.1:4043 gone incarnation=1 position=0"),
        (meet, "127.0.1.1:4043 left incarnation=1 position=0"),
        (meet, "127.0.1.1:4043 alive incarnation=1 position=0 brings=x"),
        (meet, "127.0.1.1:4043 alive incarnation=1 position=0 lost=-1"),
        (meet, "127.0.1.1:4043 alive incarnation=1 position=0 from=x"),
        (meet, "127.0.1.1:4043 alive incarnation=1 position=0 within=10000000000000000"),
        (meet, "127.0.1.1:4043 alive incarnation=1 position=0 covered=all"),
        (meet, &crowd),
        ("CHECK", member),
        (&format!("CHECK {OP} digest=0"), member),
        (&format!("CHECK {OP} digest=g hops=0"), member),
        (&format!("CHECK {OP} digest= hops=0"), member),
        (&format!("CHECK {OP} digest=0 hops=-1"), member),
        (&format!("CHECK {OP} digest=0 hops=0"), "nobody"),
        (&format!("CHECK {OP} digest=0 hops=0"), &format!("{member} held=1e3")),
        (&format!("CHECK {OP} digest=0 hops=0"), &format!("{member} clock=1")),
        (
            &format!("CHECK {OP} digest=0 hops=0"),
            &format!("{member} clock=1 ready=yes full=0 files=1 bytes=1"),
        ),
        (&format!("CHECK {OP} digest=0 hops=0 stamp=x"), member),
        ("CHECK op=/1 digest=0 hops=0", member),
        ("CHECK op=127.0.1.1:4043/ digest=0 hops=0", member),
        ("CHECK op=127.0.1.1:4043 digest=0 hops=0", member),
        ("CHECKED", ""),
        (&format!("CHECKED {OP}"), "nobody"),
        (&format!("FORWARD PUT a {OP} view=1 copies=1"), ""),
        (&format!("FORWARD PUT a {OP} view=1 copies=1 version=1@127.0.1.1:4043"), ""),
        (&format!("FORWARD PUT a {OP} view=10000000000000000 copies=1 {VERSION}"), ""),
        (&format!("FORWARD PUT a {OP} view=x copies=1 {VERSION}"), ""),
        (&format!("FORWARD PUT a {OP} view=1 copies=many {VERSION}"), ""),
        (&format!("FORWARD PUT a {OP} view=1 copies=1 {VERSION} refused=200"), ""),
        (&format!("FORWARD PUT a {OP} view=1 copies=1 {VERSION} refused=507"), ""),
        (&format!("FORWARD PUT a {OP} view=1 copies=1 {VERSION} refused=507 by=x"), ""),
        (&format!("FORWARD PUT a {OP} view=1 copies=1 {VERSION} newest=1"), ""),
        (&format!("FORWARD PUT ../a {OP} view=1 copies=1 {VERSION}"), ""),
        (&format!("FORWARD PUT a {OP} view=1 copies=1 {VERSION}"), "hello"),
        (&format!("FORWARD PUT a {OP} view=1 copies=1 {VERSION} blake3=12"), "hello"),
        (&format!("FORWARD PUT a {OP} view=1 copies=1 {VERSION} blake3={hash}"), "hallo"),
        (&format!("FORWARD GET a {OP} view=1 hops=0 blake3={hash}"), "hello"),
        (&format!("FORWARD GET a {OP} view=1"), ""),
        (&format!("FORWARD GET a {OP} view=1 hops=0 lacks=1"), ""),
        (&format!("FORWARD GET a {OP} view=1 hops=0 lacks=g of=1"), ""),
        (&format!("FORWARD GET a {OP} view=1 hops=0 lacks=1 of=10000000000000000"), ""),
        ("FORWARD PUT", ""),
        ("SYNC DIGESTS", ""),
        ("SYNC DIGESTS", "0123456789abcdef"),
        ("SYNC NAMES", ""),
        ("SYNC NAMES bucket=256", ""),
        ("SYNC NAMES bucket=+5", ""),
        ("SYNC NAMES bucket=1 after=/", ""),
        ("SYNC LISTED bucket=1", ""),
        ("SYNC LISTED bucket=1 more=0", "a len=1"),
        ("SYNC LISTED bucket=1 more=0", &format!("a len=x {VERSION}")),
        ("SYNC LISTED bucket=1 more=0", &format!("../a len=1 {VERSION}")),
        ("SYNC PULL", ""),
        (&format!("SYNC ITEM a {VERSION}"), "hello"),
        ("SYNC NOTHING", ""),
    ] {
        let len = if body.is_empty() { String::new() } else { format!(" len={}", body.len()) };
        let got = decode_all(decoder(true), format!("{line}{len}\n{body}PING\n").as_bytes(), || 50);
        let [Err(Reject { refusal, close: false }), Ok(_)] = &got[..] else {
            panic!("{line}: {got:?}");
        };
        assert_eq!(refusal.status, Status::BadRequest, "{line}");
        assert_is_one_line(&Answer::Refused(refusal.clone()));
    }
    let list = [b"MEET node=127.0.1.1:4043 len=1\n".as_slice(), b"\xff"].concat();
    assert!(decode_all(decoder(true), &list, || 1)[0].is_err(), "a list is UTF-8");
}

// ---- answers

#[test]
fn answers_read_as_the_protocol_says() {
    let me = "127.0.1.1:4043".parse().unwrap();
    let version = Version { stamp: Stamp(255), node: me };
    let hash = blake3::hash(b"hello");
    let found = Item::file(version, "hello".into());
    let row = |text, bytes, hash| FileRow { name: name(text), version, bytes, hash };
    let files = vec![row("a b", Some(3), Some(hash)), row("é", Some(0), None)];
    let versions = vec![row("a b", None, None), row("a b", Some(3), Some(hash))];
    let info = Info {
        me,
        ring: "a-ring".into(),
        state: "member",
        started_ms: 1,
        clock_off_ms: -2,
        ready: true,
        full: false,
        members: 3,
        files: 2,
        bytes: 300,
        digest: Digest(10),
        max_file_bytes: 7,
        max_store_bytes: 8,
        keep_versions: 3,
        tombstone_ttl: std::time::Duration::from_secs(60),
        min_copies: 2,
        request_timeout: std::time::Duration::from_secs(10),
    };
    let report = Report {
        clock_ms: 9,
        ready: true,
        full: false,
        files: 1,
        bytes: 2,
        leaving: false,
        digest: None,
        started_ms: Some(3),
        round_trip_us: Some(410),
        release: Some(Release { major: 1, minor: 2, patch: 3 }),
    };
    let row = |address: &str, state, report, clock_off_ms| {
        let member = Member { state, brings: 7, ..Member::alive(4, 9) };
        Row { address: address.parse().unwrap(), member, report, clock_off_ms }
    };
    let members = vec![
        row("[::1]:4045", MemberState::Alive, None, None),
        row("127.0.1.1:4043", MemberState::Alive, Some(report), Some(31_000)),
        row("127.0.1.1:4044", MemberState::Gone { since_ms: 6, cause: Cause::Silent }, None, None),
        row("127.0.1.1:4046", MemberState::Left { since_ms: 7 }, None, None),
    ];
    for (answer, wire) in [
        (
            Answer::Stored { version, copies: 3 },
            "200 OK version=00000000000000ff@127.0.1.1:4043 copies=3\n".to_owned(),
        ),
        (
            Answer::Found(found),
            format!("200 OK len=5 version=00000000000000ff@127.0.1.1:4043 blake3={hash}\nhello"),
        ),
        (
            Answer::Log { versions },
            "200 OK len=180 count=2\n\
             a%20b deleted=1 version=00000000000000ff@127.0.1.1:4043\n\
             a%20b len=3 version=00000000000000ff@127.0.1.1:4043 blake3=HASH\n"
                .replace("HASH", &hash.to_string()),
        ),
        (
            Answer::Listing { files, more: true },
            "200 OK len=177 count=2 more=1\n\
             a%20b len=3 version=00000000000000ff@127.0.1.1:4043 blake3=HASH\n\
             %C3%A9 len=0 version=00000000000000ff@127.0.1.1:4043\n"
                .replace("HASH", &hash.to_string()),
        ),
        (
            Answer::Ring { members, me },
            "200 OK len=306 members=2\n\
             [::1]:4045 alive label=WS1 incarnation=4 self=0 keeps=memory\n\
             127.0.1.1:4043 alive label=WS2 incarnation=4 self=1 ready=1 full=0 files=1 bytes=2 \
             started=3 round-trip=410 version=1.2.3 keeps=memory clock=+31000\n\
             127.0.1.1:4044 gone incarnation=4 since=6 cause=silent\n\
             127.0.1.1:4046 left incarnation=4 since=7\n"
                .into(),
        ),
        (Answer::Pong { me }, "200 OK node=127.0.1.1:4043\n".into()),
        (
            Answer::Info(Box::new(info)),
            format!(
                "200 OK node=127.0.1.1:4043 ring=a-ring protocol=3 version={} state=member \
                 started=1 clock=-2 ready=1 full=0 members=3 files=2 bytes=300 digest=0000000000000000000000000000000a max-line-bytes=4096 \
                 max-name-bytes=1024 max-file-bytes=7 max-store-bytes=8 keep-versions=3 tombstone-ttl=60 min-copies=2 \
                 request-timeout-ms=10000\n",
                env!("CARGO_PKG_VERSION")
            ),
        ),
        (
            Answer::Forgotten { address: me },
            "200 OK : 127.0.1.1:4043 is not sought any more\n".into(),
        ),
        (Answer::Bye, "200 OK : bye\n".into()),
        (
            Answer::Refused(Refusal::new(Status::NotFound, "no\nsuch\r : file")),
            "404 NOT FOUND : no?such? : file\n".into(),
        ),
    ] {
        let mut out = Vec::new();
        let content = answer.encode(&mut out).cloned().unwrap_or_default();
        out.extend_from_slice(&content);
        assert_eq!(String::from_utf8(out).unwrap(), wire);
        let (head, body) = wire.split_once('\n').unwrap();
        let len = Line::new(head).number("len").unwrap_or(0);
        assert_eq!(len, body.len() as u64, "{head}");
    }
}

// ---- properties

proptest! {
    #[test]
    fn messages_of_any_kind_survive_any_cuts(
        messages in vec(any_message(), 1..8),
        cuts in vec(1_usize..600, 1..50),
    ) {
        let bytes: Vec<_> = messages.iter().flat_map(encode).collect();
        let mut cuts = cuts.iter().copied().cycle();
        let got = decode_all(decoder(true), &bytes, || cuts.next().expect("it is a cycle"));
        prop_assert_eq!(got.into_iter().collect::<Result<Vec<_>, _>>().unwrap(), messages);
    }

    #[test]
    fn a_head_never_makes_the_decoder_wait_for_more_than_the_limit(
        head in "(PUT|GET|LIST|MEET|CHECK|FORWARD|SYNC|SYNC ITEM|X)( [a-z%/.]{0,5}){0,3}",
        len in any::<u64>().prop_flat_map(|len| (0..64_u32).prop_map(move |shift| len >> shift)),
        is_peer in any::<bool>(),
    ) {
        let mut decoder = decoder(is_peer);
        let head = format!("{head} len={len}\n");
        let (taken, _) = decoder.decode(head.as_bytes());
        prop_assert_eq!(taken, head.len());
        let limit = if is_peer { FILE_BYTES_CEILING } else { LIST_BYTES_MAX };
        prop_assert!(decoder.bytes_wanted() <= limit);
    }
}

#[test]
fn a_content_is_checked_in_whatever_pieces_it_comes() {
    const VERSION: &str = "version=00000000000000ff@127.0.1.1:4043";
    let mut file = vec![7; 3000];
    let hash = blake3::hash(&file);
    let line = format!("SYNC ITEM a {VERSION} blake3={hash} len=3000\n");
    for pieces in [1, 64, 1000, 1 << 20] {
        for (damaged, is_whole) in [(None, true), (Some(0), false), (Some(2999), false)] {
            let at = damaged.unwrap_or_default();
            file[at] = if is_whole { 7 } else { 8 };
            let stream = [line.as_bytes(), &file, b"PING\n"].concat();
            let got = decode_all(decoder(true), &stream, || pieces);
            assert!(got.len() == 2 && got[0].is_ok() == is_whole, "{pieces}: {got:?}");
            file[at] = 7;
        }
    }
}

// ---- helpers

fn item(bytes: usize) -> Item {
    let content = Content::from(vec![b'\n'; bytes]);
    let version = Version { stamp: Stamp(0xff), node: "127.0.1.1:4043".parse().unwrap() };
    Item::file(version, content)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn put(name: &str, content: &[u8]) -> Message {
    let content = content.to_vec().into();
    Message::Request(Request::Put { name: self::name(name), content, only_if: None })
}

/// The one message of a client that is in `stream`.
fn refused_or(stream: &str) -> Result<Message, Reject> {
    let mut got = decode_all(decoder(false), stream.as_bytes(), || 5);
    assert_eq!(got.len(), 1, "{got:?}");
    got.remove(0)
}

/// The first line closes, and nothing more comes out.
fn assert_closes(stream: &str) {
    let reject = refused_or(stream).expect_err(stream);
    assert!(reject.close, "{stream}");
    assert_eq!(reject.refusal.status, Status::BadRequest);
    assert_is_one_line(&Answer::Refused(reject.refusal));
}

fn assert_is_one_line(answer: &Answer) {
    let mut out = Vec::new();
    assert_eq!(answer.encode(&mut out), None);
    assert_eq!(out.iter().position(|byte| byte.is_ascii_control()), Some(out.len() - 1));
    assert!(out.len() <= LINE_BYTES_MAX);
}
