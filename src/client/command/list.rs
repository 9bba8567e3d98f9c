//! `ring-client list`.

use std::fmt::Write as _;

use serde_json::json;

use super::outcome::{Failure, print_as_it_is, print_json, printed_name};
use crate::{
    cli::Exit,
    client::{failover::Client, verbs::List},
};

pub(super) async fn list(mut client: Client, verb: List) -> Result<Exit, Failure> {
    let (mut after, mut files) = (None, Vec::new());
    loop {
        let page = client.list(&verb.prefix, after.as_ref()).await?;
        let mut text = String::new();
        for entry in &page.entries {
            let (name, bytes, version) = (&entry.name, entry.bytes, &entry.version);
            if verb.json {
                let version = version.to_string();
                files.push(json!({ "name": name.as_str(), "bytes": bytes, "version": version }));
                continue;
            }
            if verb.long {
                let _ = write!(text, "{bytes:>12}  {version}  ");
            }
            let _ = writeln!(text, "{}", printed_name(name));
        }
        print_as_it_is(text)?;
        if !page.more {
            break;
        }
        after = page.entries.into_iter().next_back().map(|entry| entry.name);
    }
    if verb.json {
        print_json(&json!({ "files": files }))?;
    }
    Ok(Exit::Done)
}
