//! Whether a ring is healthy, by the answers of its members: pure, for `ring-client status`.

use std::{collections::BTreeMap, fmt};

use crate::client::{
    human::{self, CLOCK_OFF_MS_MAX},
    member::{Member, MemberState, flag},
    reply::Reply,
};

/// What a node reports about itself. `None`: it does not know, or is an older version that does not
/// send it.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    pub ready: Option<bool>,
    pub full: Option<bool>,
    pub files: Option<u64>,
    pub bytes: Option<u64>,
    pub digest: Option<String>,
    pub clock_ms: Option<i64>,
    /// How many live members it counts, and how many a PUT needs.
    members: Option<u64>,
    min_copies: Option<u64>,
}

impl Health {
    /// Reads an answer to INFO.
    pub fn read(reply: &Reply) -> Self {
        Self {
            ready: reply.key("ready").and_then(flag),
            full: reply.key("full").and_then(flag),
            files: reply.number("files").ok(),
            bytes: reply.number("bytes").ok(),
            digest: reply.key("digest").map(str::to_owned),
            clock_ms: reply.key("clock").and_then(|value| value.parse().ok()),
            members: reply.number("members").ok(),
            min_copies: reply.number("min-copies").ok(),
        }
    }
}

/// A member, and what it reports about itself, or why it does not answer.
pub(super) struct AskedMember {
    pub member: Member,
    pub health: Result<Health, String>,
}

impl AskedMember {
    fn digest(&self) -> Option<&str> {
        self.health.as_ref().ok()?.digest.as_deref()
    }
}

/// Whether all nodes that answer hold the same files.
pub(super) fn are_same(asked: &[AskedMember]) -> bool {
    let mut digests = asked.iter().filter_map(AskedMember::digest);
    let first = digests.next();
    digests.all(|digest| Some(digest) == first)
}

/// Whether the files of every node have changed, because files are being put.
pub(super) fn have_moved(before: &[AskedMember], after: &[AskedMember]) -> bool {
    before.iter().zip(after).all(|(before, after)| match (before.digest(), after.digest()) {
        (Some(before), Some(after)) => before != after,
        _ => true,
    })
}

/// The judgement of a ring.
#[derive(Debug)]
pub(super) struct Verdict {
    /// All in one line.
    pub line: String,
    /// What is wrong, one line per problem.
    pub problems: Vec<String>,
}

impl Verdict {
    /// Judges the members. `are_moving`: files are being put, so they need not be the same.
    /// `name` is what the command is called, for advice.
    pub fn of(asked: &[AskedMember], are_moving: bool, now_ms: u64, name: &str) -> Self {
        let counts = |it: &&AskedMember| it.member.state != MemberState::Left || it.health.is_ok();
        let all = asked.iter().filter(counts).count();
        let up: Vec<(&Member, &Health)> =
            asked.iter().filter_map(|it| Some((&it.member, it.health.as_ref().ok()?))).collect();
        let asker = asked.iter().find(|it| it.member.is_self).map(|it| it.member.address);
        let forget = asker.map_or_else(
            || format!("{name} forget"),
            |asker| format!("{name} forget --node {asker}"),
        );
        let mut problems: Vec<String> =
            asked.iter().filter_map(|it| presence_problem(it, now_ms, &forget)).collect();
        let live = asked.iter().filter(|it| it.member.is_alive()).count() as u64;
        for (member, health) in &up {
            problems.extend(member_problems(member.address, health, live));
        }
        let is_same = are_same(asked);
        if !is_same && !are_moving {
            problems.extend(differences(&up));
        }
        let needs_more = |(_, health): &(_, &Health)| health.min_copies.is_some_and(|it| it > live);
        if let Some(least) = up.iter().find(|it| needs_more(it)).and_then(|it| it.1.min_copies) {
            problems.push(format!("PUTs are refused: --min-copies is {least}"));
        }
        let nodes = if all == 1 { "node is" } else { "nodes are" };
        let line = match (problems.is_empty(), is_same, all) {
            (false, ..) => format!("Not well: {} of {all} {nodes} up.", up.len()),
            (true, false, _) => format!(
                "{all} of {all} {nodes} up, and all are ready. Files are being put right now, so \
                 what they hold was not compared."
            ),
            (true, true, 1) => format!("1 of 1 node is up, ready, and holds {}.", files(&up)),
            (true, true, _) => {
                format!(
                    "{all} of {all} {nodes} up, all are ready and hold the same {}.",
                    files(&up)
                )
            }
        };
        Self { line, problems }
    }

    pub fn is_well(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.line)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}

fn files(up: &[(&Member, &Health)]) -> String {
    match up.first().and_then(|(_, health)| health.files) {
        Some(1) => "1 file".into(),
        Some(files) => format!("{files} files"),
        None => "files".into(),
    }
}

/// A member that should answer and does not, or the other way round.
fn presence_problem(asked: &AskedMember, now_ms: u64, forget: &str) -> Option<String> {
    let address = asked.member.address;
    match (asked.member.state, &asked.health) {
        (MemberState::Alive, Ok(_)) | (MemberState::Left, Err(_)) => None,
        (MemberState::Alive, Err(why)) => Some(format!("{address} does not answer: {why}")),
        (MemberState::Gone, Err(why)) => {
            let gone = asked.member.since_ms.map_or_else(
                || "is gone".into(),
                |it| format!("has been gone for {}", human::span(now_ms.saturating_sub(it))),
            );
            Some(format!("{address} {gone}: {why}. If it will not come back: {forget} {address}"))
        }
        (state, Ok(_)) => Some(format!(
            "{address} answers, and yet the others count it as {}: the ring is split, or it is \
             just coming back",
            state.word()
        )),
    }
}

/// The problems of a member that answers.
fn member_problems(
    address: std::net::SocketAddr,
    health: &Health,
    live: u64,
) -> impl Iterator<Item = String> {
    let lacks = || format!("{address} is not ready: it may lack files that others hold");
    let full = || format!("{address} is full: it takes no more files. See --max-store-bytes");
    let counts = |members| {
        format!("{address} counts {members} live members, and the node that was asked {live}")
    };
    let clock = |off| format!("{address} has a wrong clock: {}", human::clock(off));
    let is_off = |off: &i64| off.unsigned_abs() >= CLOCK_OFF_MS_MAX;
    [
        (health.ready == Some(false)).then(lacks),
        (health.full == Some(true)).then(full),
        health.members.filter(|&members| members != live).map(counts),
        health.clock_ms.filter(is_off).map(clock),
    ]
    .into_iter()
    .flatten()
}

/// The nodes that do not hold the same files as most.
fn differences(up: &[(&Member, &Health)]) -> Vec<String> {
    let mut groups: BTreeMap<&str, Vec<&(&Member, &Health)>> = BTreeMap::new();
    for it in up {
        if let Some(digest) = &it.1.digest {
            groups.entry(digest).or_default().push(it);
        }
    }
    // Of groups that are equally large, the one with the most files.
    let size = |group: &Vec<&(&Member, &Health)>| (group.len(), group[0].1.files);
    let Some(largest) = groups.values().max_by_key(|group| size(group)) else { return Vec::new() };
    let (model, held) = (largest[0].0.address, files(&[*largest[0]]));
    let others =
        up.iter().filter(|(_, it)| it.digest.is_some() && it.digest != largest[0].1.digest);
    let line = |it: &(&Member, &Health)| {
        let (address, holds) = (it.0.address, files(&[*it]));
        format!("{address} does not hold the same as {model}: {holds} here, {held} there")
    };
    others.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::line::Line;

    const NOW_MS: u64 = 10_000_000;

    /// A member, and its answer to INFO, or why it does not answer.
    fn asked(port: u16, state: &str, answer: Result<&str, &str>) -> AskedMember {
        let is_self = u8::from(port == 4043);
        let line = format!("127.0.1.1:{port} {state} incarnation=1 self={is_self} since=9820000");
        let member = Member::read(Line::new(&line)).unwrap();
        let reply = |keys| Reply { status: 200, line: format!("200 OK {keys}"), body: Vec::new() };
        let health = answer.map(|keys| Health::read(&reply(keys))).map_err(str::to_owned);
        AskedMember { member, health }
    }

    fn verdict(asked: &[AskedMember]) -> String {
        Verdict::of(asked, false, NOW_MS, "ring-client").to_string()
    }

    const WELL: &str = "ready=1 members=3 files=6 digest=aa min-copies=1 clock=-59999";

    #[test]
    fn a_ring_that_is_well_is_one_line() {
        let all = [4043, 4044, 4045].map(|port| asked(port, "alive", Ok(WELL)));
        assert_eq!(
            verdict(&all),
            "3 of 3 nodes are up, all are ready and hold the same 6 files.\n"
        );
        let left = asked(4046, "left", Err("refused"));
        let one = [asked(4043, "alive", Ok("ready=1 members=1 files=1 digest=aa")), left];
        assert_eq!(verdict(&one), "1 of 1 node is up, ready, and holds 1 file.\n");
    }

    #[test]
    fn each_problem_is_one_line() {
        let all = [
            asked(4043, "alive", Ok(WELL)),
            asked(4044, "alive", Ok("ready=0 full=1 members=2 files=5 digest=bb clock=-600000")),
            asked(4045, "alive", Err("no answer within 3.0s")),
            asked(4046, "gone", Err("refused")),
            asked(4047, "gone", Ok("ready=1 members=3 files=6 digest=aa min-copies=4")),
            asked(4048, "left", Err("refused")),
        ];
        assert_eq!(
            verdict(&all),
            "\
Not well: 3 of 5 nodes are up.
  127.0.1.1:4045 does not answer: no answer within 3.0s
  127.0.1.1:4046 has been gone for 3 min: refused. If it will not come back: ring-client forget --node 127.0.1.1:4043 127.0.1.1:4046
  127.0.1.1:4047 answers, and yet the others count it as gone: the ring is split, or it is just coming back
  127.0.1.1:4044 is not ready: it may lack files that others hold
  127.0.1.1:4044 is full: it takes no more files. See --max-store-bytes
  127.0.1.1:4044 counts 2 live members, and the node that was asked 3
  127.0.1.1:4044 has a wrong clock: 10 min behind
  127.0.1.1:4044 does not hold the same as 127.0.1.1:4043: 5 files here, 6 files there
  PUTs are refused: --min-copies is 4
"
        );
    }

    #[test]
    fn nodes_into_which_files_are_being_put_need_not_hold_the_same() {
        let both = |one, two| {
            [one, two].map(|digest| {
                asked(4043, "alive", Ok(&format!("ready=1 members=2 files=6 digest={digest}")))
            })
        };
        assert!(are_same(&both("a", "a")) && !are_same(&both("a", "b")));
        assert!(have_moved(&both("a", "b"), &both("c", "d")));
        assert!(!have_moved(&both("a", "b"), &both("a", "d")), "one is stuck");
        let moving = Verdict::of(&both("c", "d"), true, NOW_MS, "ring-client");
        assert!(moving.is_well() && moving.line.contains("Files are being put"), "{moving}");
        assert!(!Verdict::of(&both("a", "b"), false, NOW_MS, "ring-client").is_well());
    }
}
