//! `ring-client ring`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::outcome::{Failure, now_ms, print, print_json};
use crate::{
    cli::Exit,
    client::{
        failover::Client,
        human,
        member::{Member, MemberState},
        verbs::Ring,
    },
};

/// The columns of the table, and whether each is aligned to the right.
const COLUMNS: [(&str, bool); 8] = [
    ("ADDRESS", false),
    ("NODE", false),
    ("STATE", false),
    ("READY", false),
    ("FULL", false),
    ("FILES", true),
    ("BYTES", true),
    ("CLOCK", true),
];

pub(super) async fn ring(mut client: Client, verb: Ring) -> Result<Exit, Failure> {
    let members = client.ring().await?;
    match verb.json {
        true => print_json(&json!({ "members": members.iter().map(json).collect::<Vec<_>>() }))?,
        false => print(format_args!("{}\n{}", circle(&members), table(&members, now_ms())))?,
    }
    Ok(Exit::Done)
}

/// What is known about a member; null if it is not known.
pub(super) fn json(member: &Member) -> Value {
    json!({
        "address": member.address.to_string(),
        "state": member.state.word(),
        "label": Some(&member.label).filter(|label| !label.is_empty()),
        "incarnation": member.incarnation,
        "self": member.is_self,
        "since_ms": member.since_ms,
        "ready": member.ready,
        "full": member.full,
        "files": member.files,
        "bytes": member.bytes,
        "clock_ms": member.clock_ms,
    })
}

/// The live members as a node prints them: `A(WS1) -> B(WS2) -> (WS1)`.
fn circle(members: &[Member]) -> String {
    let live: Vec<&Member> = members.iter().filter(|member| member.is_alive()).collect();
    let shown = live.iter().map(|member| format!("{}({})", member.address, member.label));
    let mut circle = shown.collect::<Vec<_>>().join(" -> ");
    if let [first, _, ..] = live.as_slice() {
        let _ = write!(circle, " -> ({})", first.label);
    }
    circle
}

fn table(members: &[Member], now_ms: u64) -> String {
    let heads = COLUMNS.map(|(head, _)| head.to_owned());
    let rows: Vec<_> = members.iter().map(|member| row(member, now_ms)).collect();
    let all = || std::iter::once(&heads).chain(&rows);
    let widths: Vec<_> = (0..COLUMNS.len())
        .map(|column| all().map(|row| row[column].len()).max().unwrap_or_default())
        .collect();
    let mut table = String::new();
    for (row, member) in all().zip(std::iter::once(None).chain(members.iter().map(Some))) {
        for ((cell, width), (_, is_right)) in row.iter().zip(&widths).zip(COLUMNS) {
            let _ = match is_right {
                true => write!(table, "{cell:>width$}  "),
                false => write!(table, "{cell:width$}  "),
            };
        }
        if member.is_some_and(|member| member.is_self) {
            table += "(asked)";
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    table
}

fn row(member: &Member, now_ms: u64) -> [String; COLUMNS.len()] {
    let unknown = || "-".to_owned();
    let flag = |flag: Option<bool>| {
        flag.map_or_else(unknown, |flag| if flag { "yes" } else { "no" }.to_owned())
    };
    let number = |number: Option<u64>| number.map_or_else(unknown, |number| number.to_string());
    let state = match (member.state, member.since_ms) {
        (state, None) => state.word().to_owned(),
        (MemberState::Alive, Some(since)) => {
            format!("alive for {}", human::span(now_ms.saturating_sub(since)))
        }
        (state, Some(since)) => format!("{} {}", state.word(), human::ago(since, now_ms)),
    };
    [
        member.address.to_string(),
        Some(member.label.clone()).filter(|label| !label.is_empty()).unwrap_or_else(unknown),
        state,
        flag(member.ready),
        flag(member.full),
        number(member.files),
        number(member.bytes),
        member.clock_ms.map_or_else(unknown, human::clock),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::line::Line;

    const NOW_MS: u64 = 10_000_000;

    fn members(lines: &[&str]) -> Vec<Member> {
        lines.iter().map(|line| Member::read(Line::new(line)).unwrap()).collect()
    }

    #[test]
    fn the_circle_is_shown_as_the_nodes_show_it() {
        let lines = [
            "127.0.1.1:4043 alive label=WS1 incarnation=1 self=1",
            "127.0.1.1:4044 alive label=WS2 incarnation=1 self=0",
            "127.0.1.1:4045 gone incarnation=1 since=9",
        ];
        assert_eq!(circle(&members(&lines[..1])), "127.0.1.1:4043(WS1)");
        assert_eq!(circle(&members(&lines)), "127.0.1.1:4043(WS1) -> 127.0.1.1:4044(WS2) -> (WS1)");
    }

    #[test]
    fn the_table_has_times_for_people_and_dashes_for_what_is_not_known() {
        let table = table(
            &members(&[
                "127.0.1.1:4043 alive label=WS1 incarnation=1 self=1 since=2800000 ready=1 full=0 \
                 files=6 bytes=2237 clock=+200",
                "127.0.1.1:4044 alive label=WS2 incarnation=1 self=0 since=9995000 ready=0 full=1 \
                 files=12 bytes=104857600 clock=-600000",
                "127.0.1.1:4046 alive label=WS3 incarnation=1 self=0",
                "127.0.1.1:4045 gone incarnation=1 since=9820000",
                "[::1]:4045 left incarnation=1 since=2800000",
            ]),
            NOW_MS,
        );
        let shown = "\
ADDRESS         NODE  STATE           READY  FULL  FILES      BYTES          CLOCK
127.0.1.1:4043  WS1   alive for 2 h   yes    no        6       2237         +0.2 s  (asked)
127.0.1.1:4044  WS2   alive for 5 s   no     yes      12  104857600  10 min behind
127.0.1.1:4046  WS3   alive           -      -         -          -              -
127.0.1.1:4045  -     gone 3 min ago  -      -         -          -              -
[::1]:4045      -     left 2 h ago    -      -         -          -              -
";
        assert_eq!(table, shown);
    }

    #[test]
    fn what_is_not_known_is_null_in_json() {
        let member = &members(&["127.0.1.1:4045 gone incarnation=1 since=9"])[0];
        let json = json(member);
        assert_eq!((json["state"].as_str(), json["since_ms"].as_u64()), (Some("gone"), Some(9)));
        assert!(json["label"].is_null() && json["ready"].is_null() && json["clock_ms"].is_null());
    }
}
