//! `ring-client log`.

use std::{
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::outcome::{Failure, print, print_json, valid};
use crate::{
    cli::Exit,
    client::{error::Error, failover::Client, verbs::Log},
    ring::{message::FileRow, version::Version},
    timestamp::Timestamp,
};

/// Digits of a hash that are shown to people.
const HASH_DIGITS: usize = 12;

pub(super) async fn log(mut client: Client, verb: Log) -> Result<Exit, Failure> {
    let name = valid(&verb.name)?;
    let rows = match client.log(&name).await {
        Err(Error::Status { status: 404, .. }) => return Err(Failure::Missing(name)),
        rows => rows?,
    };
    match verb.json {
        true => {
            let versions: Vec<_> = rows.iter().zip(1..).map(json).collect();
            print_json(&json!({ "name": name.as_str(), "versions": versions }))?;
        }
        false => print(table(&rows))?,
    }
    Ok(Exit::Done)
}

fn json((row, number): (&FileRow, usize)) -> Value {
    json!({
        "number": number,
        "version": row.version.to_string(),
        "at_ms": row.version.stamp.wall_ms(),
        "node": row.version.node.to_string(),
        "deleted": row.bytes.is_none(),
        "bytes": row.bytes,
        "blake3": row.hash.map(|hash| hash.to_string()),
    })
}

fn table(rows: &[FileRow]) -> String {
    let node_width = |row: &FileRow| row.version.node.to_string().len();
    let node_width = rows.iter().map(node_width).max().unwrap_or_default();
    let mut table = String::new();
    for (FileRow { version, bytes, hash, .. }, number) in rows.iter().zip(1..) {
        let (at, node) = (written_at(version), version.node.to_string());
        let bytes = bytes.map_or_else(|| "deleted".to_owned(), |bytes| bytes.to_string());
        let hash = hash.map_or_else(|| "-".into(), |it| it.to_hex()[..HASH_DIGITS].to_owned());
        let _ = writeln!(
            table,
            "{number:>2}  {at}  {node:node_width$}  {bytes:>12}  {version}  {hash}"
        );
    }
    table
}

/// When a version was written, by the ring's time.
fn written_at(version: &Version) -> Timestamp {
    // What no clock of these days can show is shown as the end of its range.
    const LATEST_MS: u64 = 253_402_300_799_999;
    Timestamp(UNIX_EPOCH + Duration::from_millis(version.stamp.wall_ms().min(LATEST_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::name::Name;

    #[test]
    fn each_version_is_one_line() {
        let row = |version: &str, bytes, hash| FileRow {
            name: Name::new("x").unwrap(),
            version: version.parse().unwrap(),
            bytes,
            hash,
        };
        let rows = [
            row("01a21de07a850001@127.0.1.1:4043", None, None),
            row("01a21de07a850000@[::1]:4043", Some(5), Some(blake3::hash(b"alice"))),
            row("ffffffffffffffff@[::1]:4043", Some(5), None),
        ];
        let lines = table(&rows);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines[0],
            " 1  2026-11-27T16:39:40.421Z  127.0.1.1:4043       deleted  \
             01a21de07a850001@127.0.1.1:4043  -"
        );
        assert!(lines[1].contains("  [::1]:4043                 5  01a21de07a850000@"));
        let hash = blake3::hash(b"alice").to_string();
        assert!(lines[1].ends_with(&format!("  {}", &hash[..12])), "{}", lines[1]);
        assert!(lines[2].contains("9999-12-31"), "{}", lines[2]);
    }
}
