//! Messages to test the codec with: one of each kind, and any.

use std::net::SocketAddr;

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use smolring::ring::{
    message::{
        Check, Content, ForwardGet, ForwardPut, Item, Message, OpId, Peer, Request, Status, Sync,
    },
    name::Name,
    table::{BUCKETS, Digest},
    version::{Stamp, Version},
    view::{Member, State, View, ViewHash},
};

use super::{item, name};
use crate::fuzz::FILE_BYTES_MAX;

/// One of each kind, plain and with everything that it may have.
pub(super) fn examples() -> Vec<Message> {
    let op = OpId { creator: "127.0.1.1:4043".parse().unwrap(), count: 7 };
    let mut view = View::default();
    let alive = Member { incarnation: 3, state: State::Alive, position: u128::MAX };
    let gone = Member { incarnation: 4, state: State::Gone { since_ms: 5 }, position: 0 };
    view.set(op.creator, alive);
    view.set("[2001:db8::1]:80".parse().unwrap(), gone);
    let (name, item, digest) = (name("img/ä b%.png"), item(20), Digest(1 << 100));
    let (hash, version) = (ViewHash(0xab), item.version);
    let put = ForwardPut {
        op,
        view: hash,
        name: name.clone(),
        version,
        copies: 1,
        refused: None,
        item: Some(item.clone()),
    };
    let last = ForwardPut { refused: Some(Status::Unavailable), item: None, ..put.clone() };
    let get = ForwardGet { op, view: hash, name: name.clone(), hops: 2, found: None };
    let found = ForwardGet { found: Some(item.clone()), ..get.clone() };
    let check = Check { op, digest, ready: true, same: false, hops: 1, view: view.clone() };
    let requests = [
        Request::Put { name: name.clone(), content: (0..=255).collect::<Vec<u8>>().into() },
        Request::Put { name: name.clone(), content: Content::default() },
        Request::Get { name: name.clone() },
        Request::List { prefix: "img/".into(), after: "img/a b".into(), limit: 10 },
        Request::Ring,
        Request::Ping,
        Request::Info,
        Request::Quit,
    ];
    let peers = [
        Peer::Meet { node: op.creator, join: true, view: View::default() },
        Peer::Meet { node: op.creator, join: false, view: view.clone() },
        Peer::Check(check),
        Peer::Checked { op, ready: true, view: None },
        Peer::Checked { op, ready: false, view: Some(view) },
        Peer::ForwardPut(put),
        Peer::ForwardPut(last),
        Peer::ForwardGet(get),
        Peer::ForwardGet(found),
        Peer::Sync(Sync::Buckets),
        Peer::Sync(Sync::Digests { ready: true, digests: vec![digest; BUCKETS] }),
        Peer::Sync(Sync::Names { bucket: 0, after: None }),
        Peer::Sync(Sync::Names { bucket: 255, after: Some(name.clone()) }),
        Peer::Sync(Sync::Listed { bucket: 9, more: false, files: Vec::new() }),
        Peer::Sync(Sync::Listed { bucket: 9, more: true, files: vec![(name.clone(), 5, version)] }),
        Peer::Sync(Sync::Pull { name: name.clone() }),
        Peer::Sync(Sync::Item { name: name.clone(), item: None }),
        Peer::Sync(Sync::Item { name, item: Some(item) }),
    ];
    requests.map(Message::Request).into_iter().chain(peers.map(Message::Peer)).collect()
}

/// Any message, in any state.
pub(super) fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![request().prop_map(Message::Request), peer().prop_map(Message::Peer)]
}

fn request() -> impl Strategy<Value = Request> {
    let content = vec(any::<u8>(), 0..FILE_BYTES_MAX).prop_map(Content::from);
    prop_oneof![
        (any_name(), content).prop_map(|(name, content)| Request::Put { name, content }),
        any_name().prop_map(|name| Request::Get { name }),
        ("\\PC{0,50}", "\\PC{0,50}", 0_usize..=1000)
            .prop_map(|(prefix, after, limit)| Request::List { prefix, after, limit }),
        proptest::sample::select(vec![Request::Ring, Request::Ping, Request::Info, Request::Quit]),
    ]
}

fn peer() -> impl Strategy<Value = Peer> {
    let check = (any_op(), any_digest(), any::<[bool; 2]>(), any::<usize>(), any_view()).prop_map(
        |(op, digest, [ready, same], hops, view)| Check { op, digest, ready, same, hops, view },
    );
    let circle = any::<u64>().prop_map(ViewHash);
    let refused = option::of(proptest::sample::select(vec![
        Status::Unavailable,
        Status::InsufficientStorage,
    ]));
    let put = (any_op(), circle, any_name(), any::<usize>(), refused, any_item(), any::<bool>());
    let put = put.prop_map(|(op, view, name, copies, refused, item, is_last)| {
        let version = item.version;
        let item = (!is_last).then_some(item);
        ForwardPut { op, view, name, version, copies, refused, item }
    });
    let circle = any::<u64>().prop_map(ViewHash);
    let get = (any_op(), circle, any_name(), any::<usize>(), option::of(any_item()))
        .prop_map(|(op, view, name, hops, found)| ForwardGet { op, view, name, hops, found });
    prop_oneof![
        (any::<SocketAddr>(), any::<bool>(), any_view())
            .prop_map(|(node, join, view)| Peer::Meet { node: plain(node), join, view }),
        check.prop_map(Peer::Check),
        (any_op(), any::<bool>(), option::of(any_view()))
            .prop_map(|(op, ready, view)| Peer::Checked { op, ready, view }),
        put.prop_map(Peer::ForwardPut),
        get.prop_map(Peer::ForwardGet),
        sync().prop_map(Peer::Sync),
    ]
}

fn sync() -> impl Strategy<Value = Sync> {
    let files = btree_map(any_name(), (any::<usize>(), any_version()), 0..8)
        .prop_map(|files| files.into_iter().map(|(name, (len, version))| (name, len, version)));
    prop_oneof![
        Just(Sync::Buckets),
        (any::<bool>(), vec(any_digest(), BUCKETS))
            .prop_map(|(ready, digests)| Sync::Digests { ready, digests }),
        (any::<u8>(), option::of(any_name()))
            .prop_map(|(bucket, after)| Sync::Names { bucket, after }),
        (any::<u8>(), any::<bool>(), files).prop_map(|(bucket, more, files)| Sync::Listed {
            bucket,
            more,
            files: files.collect()
        }),
        any_name().prop_map(|name| Sync::Pull { name }),
        (any_name(), option::of(any_item())).prop_map(|(name, item)| Sync::Item { name, item }),
    ]
}

fn any_name() -> impl Strategy<Value = Name> {
    "\\PC{1,40}".prop_filter_map("no name", |text| Name::new(&text).ok())
}

fn any_op() -> impl Strategy<Value = OpId> {
    any::<(SocketAddr, u64)>().prop_map(|(creator, count)| OpId { creator: plain(creator), count })
}

fn any_version() -> impl Strategy<Value = Version> {
    any::<(u64, SocketAddr)>()
        .prop_map(|(stamp, node)| Version { stamp: Stamp(stamp), node: plain(node) })
}

fn any_digest() -> impl Strategy<Value = Digest> {
    any::<u128>().prop_map(Digest)
}

fn any_item() -> impl Strategy<Value = Item> {
    (any_version(), vec(any::<u8>(), 0..500)).prop_map(|(version, content)| Item {
        version,
        hash: blake3::hash(&content),
        content: content.into(),
    })
}

fn any_view() -> impl Strategy<Value = View> {
    let state = prop_oneof![
        Just(State::Alive),
        any::<u64>().prop_map(|since_ms| State::Gone { since_ms }),
    ];
    let member = (any::<u64>(), state, any::<u128>())
        .prop_map(|(incarnation, state, position)| Member { incarnation, state, position });
    vec((any::<SocketAddr>(), member), 0..12).prop_map(|members| {
        let mut view = View::default();
        for (address, member) in members {
            view.set(plain(address), member);
        }
        view
    })
}

/// Without the flow label, which the text of an address does not have.
fn plain(address: SocketAddr) -> SocketAddr {
    (address.ip(), address.port()).into()
}
