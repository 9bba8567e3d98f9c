//! Messages to test the codec with: one of each kind, and any.

use std::{collections::BTreeMap, net::SocketAddr};

use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::*,
    sample::select,
};
use smolring::ring::{
    coverage::{Covers, Lacks},
    index::{BUCKETS, Digest},
    message::{
        Carried, Check, Condition, Content, Envelope, Failed, FileRow, ForwardGet, ForwardPut,
        Greeting, Item, Keep, Message, Offer, OpId, Peer, PullOf, Report, Request, Role, Status,
        Sync,
    },
    name::Name,
    release::Release,
    version::{Stamp, Version},
    view::{Cause, Member, MemberState, View, ViewHash},
};

use super::{item, name};
use crate::fuzz::FILE_BYTES_MAX;

/// One of each kind, plain and with everything that it may have.
pub(super) fn examples() -> Vec<Message> {
    let op = OpId { creator: "127.0.1.1:4043".parse().unwrap(), count: 7 };
    let mut view = View::default();
    let (gone, left) = ("[2001:db8::1]:80".parse().unwrap(), "127.0.1.9:4043".parse().unwrap());
    let within = ViewHash(0xab);
    let alive =
        Member { brings: 8, from: 7, within, lost: 6, keeps: true, ..Member::alive(3, u128::MAX) };
    view.set(op.creator, alive);
    let state = MemberState::Gone { since_ms: 5, cause: Cause::Restarted };
    view.set(gone, Member { state, brings: 1, ..Member::alive(4, 0) });
    view.set(left, Member { state: MemberState::Left { since_ms: 6 }, ..Member::alive(5, 1) });
    let mut covers = Covers::default();
    covers.add(op.creator, 8);
    covers.add(gone, u64::MAX);
    let (name, item, digest) = (name("img/ä b%.png"), item(20), Digest(1 << 100));
    let (hash, version) = (ViewHash(0xab), item.version);
    let put = ForwardPut {
        op,
        view: hash,
        name: name.clone(),
        version,
        copies: 1,
        instead: None,
        newest: None,
        refused: None,
        offer: None,
        carried: Carried::Content(item.clone()),
    };
    let last = ForwardPut {
        instead: Some(Version { stamp: Stamp(3), node: op.creator }),
        newest: Some(Version { stamp: Stamp(u64::MAX), node: gone }),
        refused: Some((Status::Unavailable, gone)),
        offer: Some(u64::MAX),
        carried: Carried::Known,
        ..put.clone()
    };
    let delete = ForwardPut { carried: Carried::Tombstone, ..last.clone() };
    let (lacks, wanted, found) = (None, None, None);
    let get = ForwardGet { op, view: hash, name: name.clone(), hops: 2, lacks, wanted, found };
    let lacks = Some(Lacks { bits: 1 << 127, pairs: u64::MAX });
    let found = ForwardGet { lacks, found: Some(item.clone()), ..get.clone() };
    let tombstone = Item::tombstone(version);
    let (none, pending) = (Failed::default(), Failed::Some([Stamp(2), Stamp(3)].into()));
    let keep = Keep {
        op,
        view: hash,
        hops: 1,
        refused: None,
        failed: none,
        pending: Failed::default(),
        waits: Vec::new(),
    };
    let not_yet = Keep { pending, waits: vec![1700, 0], ..keep.clone() };
    let failed = Failed::Some([Stamp(1), Stamp(u64::MAX)].into());
    let refused = Some((Status::InsufficientStorage, gone));
    let not_kept = Keep { refused, failed, ..keep.clone() };
    let nothing_kept = Keep { failed: Failed::All, ..not_kept.clone() };
    let wanted = Some(version);
    let deleted = ForwardGet { wanted, found: Some(tombstone.clone()), ..get.clone() };
    let row = |bytes| FileRow { name: name.clone(), version, bytes, hash: None };
    let report = Report {
        clock_ms: 9,
        ready: true,
        full: true,
        files: 1,
        bytes: 2,
        leaving: false,
        digest: Some(Digest(3)),
        started_ms: Some(7),
        round_trip_us: Some(350),
        release: Some(Release { major: 1, minor: 2, patch: 3 }),
    };
    let older =
        Report { digest: None, started_ms: None, round_trip_us: None, release: None, ..report };
    let check = Check {
        op,
        digest,
        history: Digest(1),
        hops: 1,
        view: view.clone(),
        covers: covers.clone(),
        held: covers.clone(),
        reports: [(op.creator, report), (left, Report { ready: false, leaving: true, ..older })]
            .into(),
    };
    let plain = Greeting {
        node: op.creator,
        role: Role::Newcomer,
        protocol: 2,
        ring: "smolring".into(),
        clock_ms: 0,
        knew: 0,
        view: View::default(),
        covers: Covers::default(),
    };
    let greeting = Greeting {
        role: Role::Visitor,
        ring: "a-ring".into(),
        clock_ms: 1_700_000_000_000,
        knew: 8,
        view: view.clone(),
        covers,
        ..plain.clone()
    };
    let refuse = |is_joining, reason: &str| {
        let reason = reason.to_owned();
        Peer::Refuse { node: op.creator, is_joining, reason }
    };
    let requests = [
        Request::Put {
            name: name.clone(),
            content: (0..=255).collect::<Vec<u8>>().into(),
            only_if: Some(Condition::Newest(version)),
        },
        Request::Put { name: name.clone(), content: Content::default(), only_if: None },
        Request::Get { name: name.clone(), version: None },
        Request::Get { name: name.clone(), version: Some(version) },
        Request::Pull { name: name.clone(), of: PullOf::Version(version), from: u64::MAX },
        Request::Pull { name: name.clone(), of: PullOf::Offer(op), from: 0 },
        Request::Delete { name: name.clone(), only_if: None },
        Request::Delete { name: name.clone(), only_if: Some(Condition::Absent) },
        Request::Log { name: name.clone() },
        Request::Trace { version: None },
        Request::Trace { version: Some(version) },
        Request::List { prefix: "img/".into(), after: "img/a b".into(), limit: 10, hashes: true },
        Request::Ring,
        Request::Ping,
        Request::Info,
        Request::Forget { address: gone },
        Request::Quit,
    ];
    let offer = Offer { op, view: hash, name: name.clone(), bytes: usize::MAX, at: gone };
    let peers = [
        Peer::Offer(Box::new(offer)),
        Peer::Meet(Box::new(plain)),
        Peer::Meet(Box::new(Greeting { role: Role::Member, ..greeting.clone() })),
        Peer::Meet(Box::new(greeting)),
        refuse(true, ""),
        refuse(false, "no : really, node=[::1]:1"),
        Peer::Check(Box::new(check)),
        Peer::Checked { op, view: None },
        Peer::Checked { op, view: Some(view) },
        Peer::ForwardPut(Box::new(put)),
        Peer::ForwardPut(Box::new(last)),
        Peer::ForwardPut(Box::new(delete)),
        Peer::ForwardGet(Box::new(get)),
        Peer::ForwardGet(Box::new(found)),
        Peer::ForwardGet(Box::new(deleted)),
        Peer::Keep(Box::new(keep)),
        Peer::Keep(Box::new(not_kept)),
        Peer::Keep(Box::new(not_yet)),
        Peer::Keep(Box::new(nothing_kept)),
        Peer::Sync(Sync::Buckets),
        Peer::Sync(Sync::Digests { digests: vec![digest; BUCKETS] }),
        Peer::Sync(Sync::Names { bucket: 0, after: None }),
        Peer::Sync(Sync::Names { bucket: 255, after: Some(name.clone()) }),
        Peer::Sync(Sync::Listed { bucket: 9, more: false, files: Vec::new() }),
        Peer::Sync(Sync::Listed { bucket: 9, more: true, files: vec![row(Some(5))] }),
        Peer::Sync(Sync::Listed { bucket: 9, more: true, files: vec![row(None)] }),
        Peer::Sync(Sync::Pull { name: name.clone(), version }),
        Peer::Sync(Sync::Item { name: name.clone(), item: None }),
        Peer::Sync(Sync::Item { name: name.clone(), item: Some(tombstone) }),
        Peer::Sync(Sync::Item { name, item: Some(item) }),
    ];
    let stamps = [0, 1, u64::MAX].into_iter().cycle();
    let peers = peers
        .into_iter()
        .zip(stamps)
        .map(|(message, stamp)| Message::Peer(Envelope { stamp: Stamp(stamp), message }));
    requests.map(Message::Request).into_iter().chain(peers).collect()
}

/// Any message, in any state.
pub(super) fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![request().prop_map(Message::Request), envelope().prop_map(Message::Peer)]
}

fn request() -> impl Strategy<Value = Request> {
    let content = vec(any::<u8>(), 0..FILE_BYTES_MAX).prop_map(Content::from);
    prop_oneof![
        (any_name(), content, condition()).prop_map(|(name, content, only_if)| Request::Put {
            name,
            content,
            only_if
        }),
        (any_name(), option::of(any_version()))
            .prop_map(|(name, version)| Request::Get { name, version }),
        (any_name(), pull_of(), any::<u64>()).prop_map(|(name, of, from)| Request::Pull {
            name,
            of,
            from
        }),
        (any_name(), condition()).prop_map(|(name, only_if)| Request::Delete { name, only_if }),
        any_name().prop_map(|name| Request::Log { name }),
        option::of(any_version()).prop_map(|version| Request::Trace { version }),
        ("\\PC{0,50}", "\\PC{0,50}", 0_usize..=1000, any::<bool>()).prop_map(
            |(prefix, after, limit, hashes)| Request::List { prefix, after, limit, hashes }
        ),
        any_address().prop_map(|address| Request::Forget { address }),
        select(vec![Request::Ring, Request::Ping, Request::Info, Request::Quit]),
    ]
}

fn pull_of() -> impl Strategy<Value = PullOf> {
    prop_oneof![any_version().prop_map(PullOf::Version), any_op().prop_map(PullOf::Offer)]
}

fn condition() -> impl Strategy<Value = Option<Condition>> {
    let some = prop_oneof![any_version().prop_map(Condition::Newest), Just(Condition::Absent)];
    option::of(some)
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let stamp = prop_oneof![Just(0), any::<u64>()].prop_map(Stamp);
    (stamp, peer()).prop_map(|(stamp, message)| Envelope { stamp, message })
}

fn peer() -> impl Strategy<Value = Peer> {
    let refuse = (any_address(), any::<bool>(), "([!-~é][ -~é日]{0,40})?")
        .prop_map(|(node, is_joining, reason)| Peer::Refuse { node, is_joining, reason });
    prop_oneof![
        greeting().prop_map(|it| Peer::Meet(Box::new(it))),
        refuse,
        check().prop_map(|it| Peer::Check(Box::new(it))),
        (any_op(), option::of(any_view())).prop_map(|(op, view)| Peer::Checked { op, view }),
        put().prop_map(|it| Peer::ForwardPut(Box::new(it))),
        get().prop_map(|it| Peer::ForwardGet(Box::new(it))),
        keep().prop_map(|it| Peer::Keep(Box::new(it))),
        offer().prop_map(|it| Peer::Offer(Box::new(it))),
        sync().prop_map(Peer::Sync),
    ]
}

fn greeting() -> impl Strategy<Value = Greeting> {
    let role = select(Role::WORDS.map(|(role, _)| role).to_vec());
    let view = any_view().prop_flat_map(|view| (covers_of(&view), Just(view)));
    let numbers = any::<[u64; 3]>();
    (any_address(), role, "[a-z0-9][a-z0-9.-]{0,20}", numbers, view).prop_map(
        |(node, role, ring, [protocol, clock_ms, knew], (covers, view))| {
            let ring = ring.into();
            Greeting { node, role, protocol, ring, clock_ms, knew, view, covers }
        },
    )
}

fn check() -> impl Strategy<Value = Check> {
    let body = any_view().prop_flat_map(|view| {
        let reports = reports_of(&view);
        (covers_of(&view), covers_of(&view), reports, Just(view))
    });
    (any_op(), [any_digest(), any_digest()], any::<usize>(), body).prop_map(
        |(op, [digest, history], hops, (covers, held, reports, view))| Check {
            op,
            digest,
            history,
            hops,
            view,
            covers,
            held,
            reports,
        },
    )
}

fn put() -> impl Strategy<Value = ForwardPut> {
    let status = select(vec![Status::Unavailable, Status::InsufficientStorage]);
    let refused = option::of((status, any_address()));
    let head = (any_op(), any::<u64>(), any_name(), any::<usize>());
    let more = (option::of(any_version()), refused, option::of(any::<u64>()));
    (head, more, any_item(), any::<bool>()).prop_map(
        |((op, view, name, copies), (newest, refused, offer), item, is_last)| {
            let (view, version) = (ViewHash(view), item.version);
            let carried = match item.body() {
                None => Carried::Tombstone,
                Some(_) if is_last => Carried::Known,
                Some(_) => Carried::Content(item),
            };
            let instead = newest.filter(|_| is_last);
            ForwardPut { op, view, name, version, copies, instead, newest, refused, offer, carried }
        },
    )
}

fn offer() -> impl Strategy<Value = Offer> {
    (any_op(), any::<u64>(), any_name(), any::<usize>(), any_address())
        .prop_map(|(op, view, name, bytes, at)| Offer { op, view: ViewHash(view), name, bytes, at })
}

fn keep() -> impl Strategy<Value = Keep> {
    let failed = || {
        prop_oneof![
            Just(Failed::All),
            btree_set(any::<u64>().prop_map(Stamp), 0..5).prop_map(Failed::Some),
        ]
    };
    let status = select(vec![Status::Unavailable, Status::InsufficientStorage]);
    let refused = option::of((status, any_address()));
    let waits = vec(any::<u32>(), 0..5);
    (any_op(), any::<u64>(), any::<usize>(), refused, failed(), failed(), waits).prop_map(
        |(op, view, hops, refused, failed, pending, waits)| Keep {
            op,
            view: ViewHash(view),
            hops,
            refused,
            failed,
            pending,
            waits,
        },
    )
}

fn get() -> impl Strategy<Value = ForwardGet> {
    let lacks = any::<(u128, u64)>().prop_map(|(bits, pairs)| Lacks { bits, pairs });
    let head = (any_op(), any::<u64>(), any_name(), any::<usize>());
    (head, option::of(lacks), option::of(any_version()), option::of(any_item())).prop_map(
        |((op, view, name, hops), lacks, wanted, found)| ForwardGet {
            op,
            view: ViewHash(view),
            name,
            hops,
            lacks,
            wanted,
            found,
        },
    )
}

/// What is covered for some members of a view.
fn covers_of(view: &View) -> impl Strategy<Value = Covers> + use<> {
    let members: Vec<_> = view.members().map(|(member, _)| member).collect();
    let numbers = vec(option::of(1..=u64::MAX), members.len());
    numbers.prop_map(move |numbers| {
        let mut covers = Covers::default();
        for (&member, number) in members.iter().zip(numbers) {
            number.map(|number| covers.add(member, number));
        }
        covers
    })
}

/// What some members of a view say of themselves.
fn reports_of(view: &View) -> impl Strategy<Value = BTreeMap<SocketAddr, Report>> + use<> {
    let members: Vec<_> = view.members().map(|(member, _)| member).collect();
    let report = any::<(u64, bool, bool, usize, usize)>().prop_map(
        |(clock_ms, ready, full, files, bytes)| Report {
            clock_ms,
            ready,
            full,
            files,
            bytes,
            leaving: files % 2 == 1,
            digest: (files % 2 == 1).then_some(Digest(clock_ms.into())),
            started_ms: (files % 3 == 1).then_some(clock_ms),
            round_trip_us: (files % 5 == 1).then_some(bytes as u32),
            release: (files % 7 == 1).then_some(Release { major: 1, minor: 0, patch: 9 }),
        },
    );
    vec(option::of(report), members.len()).prop_map(move |reports| {
        let all = members.iter().zip(reports);
        all.filter_map(|(&member, report)| Some((member, report?))).collect()
    })
}

fn sync() -> impl Strategy<Value = Sync> {
    let key = (any_name(), any_version());
    let files = btree_map(key, option::of(any::<usize>()), 0..8).prop_map(|files| {
        let row = |((name, version), bytes)| FileRow { name, version, bytes, hash: None };
        files.into_iter().map(row)
    });
    prop_oneof![
        Just(Sync::Buckets),
        vec(any_digest(), BUCKETS).prop_map(|digests| Sync::Digests { digests }),
        (any::<u8>(), option::of(any_name()))
            .prop_map(|(bucket, after)| Sync::Names { bucket, after }),
        (any::<u8>(), any::<bool>(), files).prop_map(|(bucket, more, files)| Sync::Listed {
            bucket,
            more,
            files: files.collect()
        }),
        (any_name(), any_version()).prop_map(|(name, version)| Sync::Pull { name, version }),
        (any_name(), option::of(any_item())).prop_map(|(name, item)| Sync::Item { name, item }),
    ]
}

fn any_name() -> impl Strategy<Value = Name> {
    "\\PC{1,40}".prop_filter_map("no name", |text| Name::new(&text).ok())
}

fn any_op() -> impl Strategy<Value = OpId> {
    (any_address(), any::<u64>()).prop_map(|(creator, count)| OpId { creator, count })
}

fn any_version() -> impl Strategy<Value = Version> {
    (any::<u64>(), any_address()).prop_map(|(stamp, node)| Version { stamp: Stamp(stamp), node })
}

fn any_digest() -> impl Strategy<Value = Digest> {
    any::<u128>().prop_map(Digest)
}

fn any_item() -> impl Strategy<Value = Item> {
    let content = option::of(vec(any::<u8>(), 0..500));
    (any_version(), content, option::of(any_address())).prop_map(
        |(version, content, apart)| match (content, apart) {
            (Some(content), None) => Item::file(version, content.into()),
            (Some(content), Some(at)) => Item::file(version, content.into()).apart(at),
            (None, _) => Item::tombstone(version),
        },
    )
}

fn any_view() -> impl Strategy<Value = View> {
    let cause = select(Cause::WORDS.map(|(cause, ..)| cause).to_vec());
    let state = prop_oneof![
        Just(MemberState::Alive),
        (any::<u64>(), cause).prop_map(|(since_ms, cause)| MemberState::Gone { since_ms, cause }),
        any::<u64>().prop_map(|since_ms| MemberState::Left { since_ms }),
    ];
    let number = || prop_oneof![Just(0), any::<u64>()];
    let brings = (number(), number(), number(), number());
    let member = (any::<u64>(), state, any::<u128>(), brings).prop_map(
        |(incarnation, state, position, (brings, from, within, lost))| {
            let within = ViewHash(within);
            let keeps = lost % 2 == 1;
            Member { incarnation, state, position, brings, from, within, lost, keeps }
        },
    );
    vec((any_address(), member), 0..12).prop_map(|members| {
        let mut view = View::default();
        for (address, member) in members {
            view.set(address, member);
        }
        view
    })
}

/// Without the flow label, which the text of an address does not have.
fn any_address() -> impl Strategy<Value = SocketAddr> {
    any::<SocketAddr>().prop_map(|address| (address.ip(), address.port()).into())
}
