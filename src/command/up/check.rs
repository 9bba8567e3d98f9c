//! Whether every node has every file, byte for byte.

use std::fmt::Write as _;

use smol::unblock;

use crate::client::{Client, Error, Node, Source, Timeouts, shown};

/// Reads every file from every node and compares it with its source. Returns what is wrong.
pub(super) async fn read_back(
    nodes: &[Node],
    sources: &[Source],
    mut step: impl FnMut(),
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut clients: Vec<_> =
        nodes.iter().map(|node| Client::new(vec![node.clone()], Timeouts::default())).collect();
    for source in sources {
        let read = source.clone();
        let expected = match unblock(move || read.read()).await {
            Ok(expected) => expected,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        for (client, node) in clients.iter_mut().zip(nodes) {
            let name = shown(source.name.as_str());
            match client.get(&source.name).await {
                Ok(file) if file.content == expected => {}
                Ok(_) => wrong.push(format!("{name} is not the same at {node}")),
                Err(error) => wrong.push(format!("{name} cannot be read at {node}: {error}")),
            }
            step();
        }
    }
    wrong
}

/// Node, address, files, bytes and next node, as a table. The last column is left out where the
/// terminal is too narrow for it.
pub(super) async fn table(nodes: &[Node], columns: Option<usize>) -> Result<String, String> {
    let mut rows = vec![["node", "address", "files", "bytes", "next"].map(String::from)];
    let mut first = Client::new(nodes.to_vec(), Timeouts::default());
    let members = first.ring().await.map_err(|error| error.to_string())?;
    let live: Vec<_> = members.iter().filter(|member| member.is_alive()).collect();
    for (member, next) in live.iter().zip(live.iter().cycle().skip(1)) {
        let host = member.address.ip().to_string();
        let node = Node { host, port: member.address.port() };
        let (files, bytes) = stored(node).await.map_err(|error| error.to_string())?;
        let (address, next) = (member.address.to_string(), next.address.to_string());
        rows.push([member.label.clone(), address, files.to_string(), bytes.to_string(), next]);
    }
    Ok(laid_out(&rows, columns))
}

/// How many files a node has, and how many bytes these have, by its own list.
async fn stored(node: Node) -> Result<(usize, u64), Error> {
    let mut client = Client::new(vec![node], Timeouts::default());
    let (mut files, mut bytes, mut after) = (0, 0, None);
    loop {
        let page = client.list("", after.as_ref()).await?;
        files += page.entries.len();
        bytes += page.entries.iter().map(|entry| entry.bytes).sum::<u64>();
        after = page.entries.into_iter().next_back().map(|entry| entry.name);
        if !page.more {
            return Ok((files, bytes));
        }
    }
}

fn laid_out(rows: &[[String; 5]], columns: Option<usize>) -> String {
    let wide = rows.iter().map(|[.., next]| 48 + next.len()).max().unwrap_or_default();
    let has_next = columns.is_none_or(|columns| columns >= wide);
    let mut text = String::new();
    for [label, address, files, bytes, next] in rows {
        let _ = write!(text, "{label:5} {address:<22} {files:>6} {bytes:>10}");
        let _ = match has_next {
            true => writeln!(text, "  {next}"),
            false => writeln!(text),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_a_narrow_table() {
        let rows = [
            ["node", "address", "files", "bytes", "next"].map(String::from),
            ["WS1", "127.0.1.1:4043", "5", "2237", "127.0.1.1:4044"].map(String::from),
        ];
        let wide = "\
node  address                 files      bytes  next
WS1   127.0.1.1:4043              5       2237  127.0.1.1:4044
";
        assert_eq!(laid_out(&rows, None), wide);
        assert_eq!(laid_out(&rows, Some(62)), wide);
        let narrow = "\
node  address                 files      bytes
WS1   127.0.1.1:4043              5       2237
";
        assert_eq!(laid_out(&rows, Some(61)), narrow);
    }
}
