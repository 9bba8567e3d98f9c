//! The one table of verbs: which there are, what each may bring, and how it is read.

use super::{
    check, forward, keep,
    line::Line,
    meet, offer,
    peer::{self, Peer},
    refusal::{Reject, Status},
    request::{self, Request},
    sync::{self, Sync},
};
use Brings::{File, List, Members, Nothing, Upload};

/// A verb of the protocol.
#[derive(Debug)]
pub(super) struct Verb {
    /// The first word of its line.
    pub word: &'static str,
    /// The second, of verbs that have several kinds.
    kind: &'static str,
    pub brings: Brings,
    pub read: Read,
}

/// What may follow the line of a verb, and therefore how large its `len=` may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Brings {
    Nothing,
    /// A file that a client wants kept.
    Upload,
    /// A file, from a node.
    File,
    /// A list, from a node.
    List,
    /// A list of members. It is taken on every connection, because MEET, the first message of a
    /// node, brings one.
    Members,
}

/// How a message is read, and which side sends it. A message that brings a file is read from its
/// line alone, before the file is there; one that brings a list is read once the list is whole.
#[derive(Debug)]
pub(super) enum Read {
    /// A client sends it.
    Request(fn(Line<'_>) -> Result<Request, Reject>),
    /// A node sends it.
    Peer(fn(Line<'_>, &[u8]) -> Result<Peer, Reject>),
}

static VERBS: &[Verb] = &[
    // From clients, in the order in which a refusal names them.
    ask("PUT", Upload, request::put),
    ask("GET", Nothing, request::get),
    ask("PULL", Nothing, request::pull),
    ask("DELETE", Nothing, request::delete),
    ask("LOG", Nothing, request::log),
    ask("LIST", Nothing, request::list),
    ask("RING", Nothing, |_| Ok(Request::Ring)),
    ask("PING", Nothing, |_| Ok(Request::Ping)),
    ask("INFO", Nothing, |_| Ok(Request::Info)),
    ask("TRACE", Nothing, request::trace),
    ask("FORGET", Nothing, request::forget),
    ask("QUIT", Nothing, |_| Ok(Request::Quit)),
    // Between nodes.
    tell("FORWARD", "PUT", File, |line, _| Ok(Peer::ForwardPut(forward::put(line)?.into()))),
    tell("FORWARD", "DELETE", Nothing, |line, _| {
        Ok(Peer::ForwardPut(forward::delete(line)?.into()))
    }),
    tell("FORWARD", "GET", File, |line, _| Ok(Peer::ForwardGet(forward::get(line)?.into()))),
    tell("OFFER", "", Nothing, |line, _| Ok(Peer::Offer(offer::offer(line)?.into()))),
    tell("KEEP", "", Nothing, |line, _| Ok(Peer::Keep(keep::keep(line)?.into()))),
    tell("MEET", "", Members, |line, body| Ok(Peer::Meet(meet::meet(line, body)?.into()))),
    tell("REFUSE", "", Nothing, |line, _| peer::refuse(line)),
    tell("CHECK", "", Members, |line, body| Ok(Peer::Check(check::check(line, body)?.into()))),
    tell("CHECKED", "", Members, |line, body| {
        check::checked(line, body).map(|(op, view)| Peer::Checked { op, view })
    }),
    tell("SYNC", "BUCKETS", Nothing, |_, _| Ok(Peer::Sync(Sync::Buckets))),
    tell("SYNC", "DIGESTS", List, |_, body| sync::digests(body).map(Peer::Sync)),
    tell("SYNC", "NAMES", Nothing, |line, _| sync::names(line).map(Peer::Sync)),
    tell("SYNC", "LISTED", List, |line, body| sync::listed(line, body).map(Peer::Sync)),
    tell("SYNC", "PULL", Nothing, |line, _| sync::pull(line).map(Peer::Sync)),
    tell("SYNC", "ITEM", File, |line, _| sync::file(line).map(Peer::Sync)),
];

const fn ask(
    word: &'static str,
    brings: Brings,
    read: fn(Line<'_>) -> Result<Request, Reject>,
) -> Verb {
    Verb { word, kind: "", brings, read: Read::Request(read) }
}

const fn tell(
    word: &'static str,
    kind: &'static str,
    brings: Brings,
    read: fn(Line<'_>, &[u8]) -> Result<Peer, Reject>,
) -> Verb {
    Verb { word, kind, brings, read: Read::Peer(read) }
}

/// The verb that a line begins with.
pub(super) fn find(line: Line<'_>) -> Result<&'static Verb, Reject> {
    let word = line.word(0).unwrap_or_default();
    let is_kind = |kind: &str| kind.is_empty() || line.word(1) == Some(kind);
    let verb = VERBS.iter().find(|verb| verb.word == word && is_kind(verb.kind));
    verb.ok_or_else(|| unknown(word))
}

/// Whether a line that begins like this is that of a client's upload.
pub(super) fn is_upload(line: &[u8]) -> bool {
    let after = |verb: &Verb| line.strip_prefix(verb.word.as_bytes());
    let mut uploads = VERBS.iter().filter(|verb| verb.brings == Upload);
    uploads.any(|verb| after(verb).is_some_and(|rest| rest.starts_with(b" ")))
}

fn unknown(word: &str) -> Reject {
    let word: String = word.chars().take(32).collect();
    let asked = VERBS.iter().filter(|verb| matches!(verb.read, Read::Request(_)));
    let asked: Vec<_> = asked.map(|verb| verb.word).collect();
    let (last, others) = asked.split_last().expect("clients can ask something");
    let (others, is_known) = (others.join(", "), VERBS.iter().any(|verb| verb.word == word));
    let reason = if is_known {
        format!("{word} has no such message")
    } else {
        format!("the verb {word:?} is unknown; ask with {others} or {last}")
    };
    Reject::stay(Status::BadRequest, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_verb_hides_another() {
        for verb in VERBS {
            let line = format!("{} {}", verb.word, verb.kind);
            let found = find(Line::new(&line)).unwrap();
            assert_eq!((found.word, found.kind), (verb.word, verb.kind));
        }
    }

    #[test]
    fn a_refusal_names_what_a_client_can_ask() {
        let reason = |line| find(Line::new(line)).expect_err(line).refusal.reason;
        let unknown = reason("put a");
        assert!(
            unknown.starts_with("the verb \"put\" is unknown; ask with PUT, GET, "),
            "{unknown}"
        );
        assert!(unknown.ends_with(" or QUIT") && !unknown.contains("MEET"), "{unknown}");
        assert_eq!(reason("SYNC NOTHING"), "SYNC has no such message");
    }
}
