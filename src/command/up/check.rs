//! Whether every node has every file, byte for byte.

use std::fmt::Write as _;

use smol::unblock;

use crate::client::{Client, Node, Source, Timeouts};

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
            let name = &source.name;
            match client.get(name).await {
                Ok(file) if file.content == expected => {}
                Ok(_) => wrong.push(format!("{name} is not the same at {node}")),
                Err(error) => wrong.push(format!("{name} cannot be read at {node}: {error}")),
            }
            step();
        }
    }
    wrong
}

/// Node, address, files, bytes and next node, as a table.
pub(super) async fn table(nodes: &[Node]) -> Result<String, String> {
    let mut text =
        format!("{:5} {:<22} {:>6} {:>10}  {}\n", "node", "address", "files", "bytes", "next");
    let mut first = Client::new(nodes.to_vec(), Timeouts::default());
    let members = first.ring().await.map_err(|error| error.to_string())?;
    let live: Vec<_> = members.iter().filter(|member| member.is_alive()).collect();
    for (member, next) in live.iter().zip(live.iter().cycle().skip(1)) {
        let host = member.address.ip().to_string();
        let node = Node { host, port: member.address.port() };
        let mut client = Client::new(vec![node], Timeouts::default());
        let (mut files, mut bytes, mut after) = (0, 0, None);
        loop {
            let page = client.list("", after.as_ref()).await.map_err(|error| error.to_string())?;
            files += page.entries.len();
            bytes += page.entries.iter().map(|entry| entry.bytes).sum::<u64>();
            after = page.entries.into_iter().next_back().map(|entry| entry.name);
            if !page.more {
                break;
            }
        }
        let (label, address) = (&member.label, member.address.to_string());
        let _ = writeln!(text, "{label:5} {address:<22} {files:>6} {bytes:>10}  {}", next.address);
    }
    Ok(text)
}
