//! `ring-client import`.

use std::{
    fs::File,
    io::{self, Read},
    ops::ControlFlow,
    path::PathBuf,
};

use serde_json::json;

use super::{
    mirror::{Telling, Words},
    outcome::Failure,
};
use crate::{
    cli::{self, Exit},
    client::{
        archive::{ArchiveError, ArchiveReader, Entry, EntryKind},
        error::Error,
        failover::Client,
        human::shown,
        requests::Held,
        tree::Skipped,
        verbs::Import,
    },
    ring::{limits::NAME_BYTES_MAX, name::Name},
};

pub(super) async fn import(
    called: &str,
    mut client: Client,
    verb: Import,
) -> Result<Exit, Failure> {
    let from: Box<dyn Read + Send> = match verb.file.as_str() {
        "-" => Box::new(io::stdin()),
        path => Box::new(File::open(path).map_err(|error| {
            Failure::Ring(Error::File { path: shown(path), cause: error.to_string() })
        })?),
    };
    let words = Words { act: "put", done: "put" };
    let mut telling = Telling::new(called, words, verb.json, false);
    let (mut reader, mut compares) = (ArchiveReader::new(from), true);
    loop {
        let (read, next) = smol::unblock(move || {
            let next = reader.next();
            (reader, next)
        })
        .await;
        reader = read;
        let Entry { path, kind } = match next {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                let what = shown(if verb.file == "-" { "stdin" } else { &verb.file });
                telling.exit = Exit::Failed;
                match error {
                    ArchiveError::Compressed(program) => {
                        let unpack = format_args!("{program} -dc FILE | {called} import -");
                        cli::say(called, format_args!("{what}: {error}: {unpack}"));
                    }
                    error => cli::say(called, format_args!("{what}: {error}")),
                }
                break;
            }
        };
        let (content, name) = match (kind, named(&path, &verb.prefix)) {
            (EntryKind::Folder, _) => continue,
            (EntryKind::Other(what), _) => {
                telling.skipped(&skipped(&path, &format!("it is {what}")), true);
                continue;
            }
            (EntryKind::File(_), Err(why)) => {
                telling.skipped(&skipped(&path, &why), true);
                continue;
            }
            (EntryKind::File(content), Ok(name)) => (content, name),
        };
        if put(&mut telling, &mut client, &name, &content, &mut compares).await.is_break() {
            break;
        }
    }
    telling.end()
}

/// Puts a file unless the node has its bytes.
async fn put(
    telling: &mut Telling<'_>,
    client: &mut Client,
    name: &Name,
    content: &[u8],
    compares: &mut bool,
) -> ControlFlow<()> {
    let held = match *compares {
        true => client.held(name, blake3::hash(content)).await,
        false => Ok(Held::Other),
    };
    match held {
        Ok(Held::Same(version)) => {
            telling.unchanged(name, json!({ "version": version.to_string() }));
            return ControlFlow::Continue(());
        }
        Ok(Held::Other) => {}
        Err(error @ Error::Unreachable { .. }) => return telling.failed(name, "put", &error),
        // The same would come of the next comparison, perhaps after a wait.
        Ok(Held::Unknown) | Err(_) => *compares = false,
    }
    match client.put(name, content).await {
        Ok(reply) => {
            let copies = reply.number("copies").ok();
            let more = json!({ "version": reply.key("version"), "copies": copies });
            telling.done(name, None, content.len() as u64, more);
            ControlFlow::Continue(())
        }
        Err(error) => telling.failed(name, "put", &error),
    }
}

/// The name that a path in an archive becomes.
fn named(path: &[u8], prefix: &str) -> Result<Name, String> {
    let path = std::str::from_utf8(path).map_err(|_| "its name is not UTF-8")?;
    if path.starts_with('/') {
        return Err("its name is absolute".into());
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    Name::new(&format!("{prefix}{}", parts.join("/"))).map_err(|bad| bad.to_string())
}

fn skipped(path: &[u8], why: &str) -> Skipped {
    let path = String::from_utf8_lossy(&path[..path.len().min(NAME_BYTES_MAX)]).into_owned();
    Skipped { path: PathBuf::from(path), name: None, why: why.to_owned(), is_special: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_an_archive_become_names_or_are_refused() {
        for (path, prefix, name) in [
            ("./a/b", "", "a/b"),
            ("a//b", "old/", "old/a/b"),
            ("a", "old-", "old-a"),
            ("a/./b", "", "a/b"),
        ] {
            assert_eq!(named(path.as_bytes(), prefix).unwrap().as_str(), name);
        }
        let refused = ["/etc/passwd", "../a", "a/../b", "", ".", "./", "a\nb", "..", "//a"];
        for path in refused {
            assert!(named(path.as_bytes(), "").is_err(), "{path:?}");
        }
        assert!(named(b"\xff", "").is_err() && named(b"../a", "old/").is_err());
        assert!(named(&[b'x'; 1025], "").is_err());
    }
}
