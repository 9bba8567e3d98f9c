//! `ring-client trace`, and what `put --trace` prints.

use std::{fmt::Write as _, iter};

use serde_json::{Value, json};

use super::outcome::{Failure, print, print_json, printed_name};
use crate::{
    cli::Exit,
    client::{connection::Timeouts, error::Error, failover::Client, node::Node, verbs::Trace},
    ring::{
        message::{Hop, WriteTrace},
        version::Version,
    },
};

pub(super) async fn trace(mut client: Client, verb: Trace) -> Result<Exit, Failure> {
    let traces = client.traces(None).await?;
    match verb.json {
        true => {
            let writes: Vec<_> = traces.iter().map(as_json).collect();
            print_json(&json!({ "writes": writes }))?;
        }
        false => {
            let tables: Vec<_> = traces.iter().map(table).collect();
            print(tables.join("\n"))?;
        }
    }
    Ok(Exit::Done)
}

/// Where the time of a write went, by the node that it was asked of; `None`: that node does not know.
pub(super) async fn of_write(
    version: Version,
    timeouts: Timeouts,
) -> Result<Option<WriteTrace>, Error> {
    let node = Node { host: version.node.ip().to_string(), port: version.node.port() };
    let traces = Client::new(vec![node], timeouts).traces(Some(version)).await?;
    Ok(traces.into_iter().next())
}

/// A write for people.
pub(super) fn table(trace: &WriteTrace) -> String {
    let WriteTrace { name, version, round_us, keep_us, hops } = trace;
    let mut text = format!("{}  {version}\n", printed_name(name));
    let members = match hops.len() {
        0 => "once round a ring that has changed since".to_owned(),
        count => format!("once round {count} nodes"),
    };
    let _ = writeln!(text, "{:>12}  {members}", time(Some(*round_us)));
    if let Some(keep_us) = keep_us {
        let _ = writeln!(text, "{:>12}  until it was on all their disks", time(Some(*keep_us)));
    }
    if hops.is_empty() {
        return text;
    }
    let rows = hops.iter().zip(hops.iter().cycle().skip(1));
    let rows = rows.map(|(hop, next)| {
        let (link, wait) = (time(hop.link_us), time(hop.wait_us));
        [hop.member.to_string(), next.member.to_string(), link, wait]
    });
    let head = ["from", "to", "link", "disk"].map(str::to_owned);
    let rows: Vec<_> = iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (from, to) = (width(0), width(1));
    for row in &rows {
        let [a, b, link, wait] = row;
        let _ = writeln!(text, "  {a:from$}  {b:to$}  {link:>10}  {wait:>10}");
    }
    text
}

/// A time in milliseconds.
fn time(micros: Option<u64>) -> String {
    micros.map_or_else(|| "-".into(), |micros| format!("{}.{:03} ms", micros / 1000, micros % 1000))
}

/// A write for programs.
pub(super) fn as_json(trace: &WriteTrace) -> Value {
    let hop = |Hop { member, link_us, wait_us }: &Hop| json!({ "member": member.to_string(), "link_us": link_us, "disk_us": wait_us });
    json!({
        "name": trace.name.as_str(),
        "version": trace.version.to_string(),
        "round_us": trace.round_us,
        "keep_us": trace.keep_us,
        "hops": trace.hops.iter().map(hop).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::name::Name;

    #[test]
    fn a_write_is_a_table_of_its_hops() {
        let hop = |member: &str, link_us, wait_us| Hop {
            member: member.parse().unwrap(),
            link_us,
            wait_us,
        };
        let trace = WriteTrace {
            name: Name::new("a").unwrap(),
            version: "00000000000000ff@127.0.1.1:4043".parse().unwrap(),
            round_us: 412,
            keep_us: Some(1830),
            hops: vec![hop("127.0.1.1:4043", Some(190), None), hop("[::1]:4044", None, Some(1700))],
        };
        let expected = "a  00000000000000ff@127.0.1.1:4043
    0.412 ms  once round 2 nodes
    1.830 ms  until it was on all their disks
  from            to                    link        disk
  127.0.1.1:4043  [::1]:4044        0.190 ms           -
  [::1]:4044      127.0.1.1:4043           -    1.700 ms
";
        assert_eq!(table(&trace), expected);
        let changed = WriteTrace { keep_us: None, hops: Vec::new(), ..trace };
        assert!(table(&changed).ends_with("once round a ring that has changed since\n"));
    }
}
