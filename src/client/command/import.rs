//! `ring-client import`.

use std::{fs::File, io, ops::ControlFlow, os::fd::AsFd, path::PathBuf};

use serde_json::json;

use super::{
    ending::until_signal,
    mirror::{Telling, Words},
    outcome::Failure,
};
use crate::{
    cli::{self, Exit},
    client::{
        archive::{ArchiveError, ArchiveReader, Entry, EntryKind},
        compare::held,
        content::{Content, FileContent, Spool},
        error::Error,
        failover::Client,
        human::shown,
        pieces::{Feed, supply},
        progress,
        reply::Reply,
        requests::Held,
        tree::Skipped,
        verbs::Import,
    },
    ring::{limits::NAME_BYTES_MAX, name::Name, version::Version},
};

/// Bytes that are in memory while a content is kept in a file.
const KEPT_BYTES: usize = 64 << 10;

pub(super) async fn import(called: &str, client: Client, verb: Import) -> Result<Exit, Failure> {
    let what = shown(if verb.file == "-" { "stdin" } else { &verb.file });
    let open = || {
        let from = match verb.file.as_str() {
            "-" => File::from(io::stdin().as_fd().try_clone_to_owned()?),
            path => File::open(path)?,
        };
        let seekable = FileContent::rest_of(&from, &what)?;
        Ok((from, seekable))
    };
    let opened = open().map_err(|error: io::Error| {
        Failure::Ring(Error::File { path: what.clone(), cause: error.to_string() })
    });
    let (from, seekable) = opened?;
    let words = Words { act: "put", done: "put" };
    let telling = Telling::new(called, words, verb.json, false);
    let meter = telling.meter.clone();
    let mut import = Importing { telling, client, compares: true, seekable };
    let reader = ArchiveReader::new(from);
    let work = progress::show(&meter, !verb.json, import.all(reader, &verb.prefix));
    let ended = until_signal(async { Ok(work.await) }, || ()).await?;
    if let Err(error) = ended {
        import.telling.exit = Exit::Failed;
        match error {
            ArchiveError::Compressed(program) => {
                let unpack = format_args!("{program} -dc FILE | {called} import -");
                cli::say(called, format_args!("{what}: {error}: {unpack}"));
            }
            error => cli::say(called, format_args!("{what}: {error}")),
        }
    }
    import.telling.end()
}

struct Importing<'a> {
    telling: Telling<'a>,
    client: Client,
    /// Whether each file is compared before it is sent.
    compares: bool,
    /// The whole archive. `None`: it comes over a pipe.
    seekable: Option<FileContent>,
}

impl Importing<'_> {
    /// Puts all files, one after the other, as far as the archive can be read.
    async fn all(
        &mut self,
        mut reader: ArchiveReader<File>,
        prefix: &str,
    ) -> Result<(), ArchiveError> {
        loop {
            let (read, next) = smol::unblock(move || {
                let next = reader.next();
                (reader, next)
            })
            .await;
            reader = read;
            let Some(Entry { path, kind }) = next? else { return Ok(()) };
            let name = match (&kind, named(&path, prefix)) {
                (EntryKind::Folder, _) => continue,
                (EntryKind::Other(what), _) => {
                    self.telling.skipped(&skipped(&path, &format!("it is {what}")), true);
                    continue;
                }
                (_, Err(why)) => {
                    self.telling.skipped(&skipped(&path, &why), true);
                    continue;
                }
                (_, Ok(name)) => name,
            };
            let part = |archive: &FileContent, bytes| {
                archive.part(reader.position(), bytes, &shown(name.as_str()))
            };
            let mut content = match kind {
                EntryKind::File(content) => Content::Whole(content.into()),
                EntryKind::Large(bytes) => {
                    match self.seekable.as_ref().and_then(|archive| part(archive, bytes)) {
                        Some(part) => Content::File(part),
                        None => {
                            let flow;
                            (reader, flow) = self.put_from_pipe(&name, bytes, reader).await?;
                            if flow.is_break() {
                                return Ok(());
                            }
                            continue;
                        }
                    }
                }
                EntryKind::Folder | EntryKind::Other(_) => continue,
            };
            if self.put(&name, &mut content).await.is_break() {
                return Ok(());
            }
        }
    }

    /// Puts a file unless the node has its bytes.
    async fn put(&mut self, name: &Name, content: &mut Content<'_>) -> ControlFlow<()> {
        let held = match self.compares {
            true => held(&mut self.client, name, content).await,
            false => Ok(Held::Other),
        };
        match held {
            Ok(Held::Same(version)) => return self.unchanged(name, version),
            Ok(Held::Other) => {}
            Err(
                error @ (Error::Unreachable { .. } | Error::File { .. } | Error::Changed { .. }),
            ) => return self.telling.failed(name, "put", &error),
            // The same would come of the next comparison, perhaps after a wait.
            Ok(Held::Unknown) | Err(_) => self.compares = false,
        }
        self.send(name, content).await
    }

    /// Puts a large file that comes once. Where the node has one of the same size, it has to be read
    /// before it is known whether it is sent, so it is kept in a file meanwhile.
    async fn put_from_pipe(
        &mut self,
        name: &Name,
        bytes: u64,
        reader: ArchiveReader<File>,
    ) -> Result<(ArchiveReader<File>, ControlFlow<()>), ArchiveError> {
        let listed = match self.compares {
            true => self.client.listed(name).await,
            false => Ok(None),
        };
        let same_size = match listed {
            Ok(row) => row.is_some_and(|row| row.bytes.map(|it| it as u64) == Some(bytes)),
            Err(error @ Error::Unreachable { .. }) => {
                return Ok((reader, self.telling.failed(name, "put", &error)));
            }
            Err(_) => {
                self.compares = false;
                false
            }
        };
        if same_size {
            let kept = smol::unblock(move || keep(reader, bytes)).await;
            let (reader, kept) = kept?;
            let flow = self.put(name, &mut Content::File(kept)).await;
            return Ok((reader, flow));
        }
        let (supply, feed) = supply(bytes);
        let reading = smol::unblock(move || read(reader, feed));
        let mut content = Content::Once(Some(supply));
        let result = self.client.put_content(name, &mut content, None, &self.telling.meter).await;
        // Where not all of it was taken, the rest is passed over.
        drop(content);
        let reader = reading.await?;
        Ok((reader, self.tell(name, bytes, result)))
    }

    async fn send(&mut self, name: &Name, content: &mut Content<'_>) -> ControlFlow<()> {
        let result = self.client.put_content(name, content, None, &self.telling.meter).await;
        self.tell(name, content.bytes(), result)
    }

    fn tell(&mut self, name: &Name, bytes: u64, result: Result<Reply, Error>) -> ControlFlow<()> {
        match result {
            Ok(reply) => {
                let copies = reply.number("copies").ok();
                let more = json!({ "version": reply.key("version"), "copies": copies });
                self.telling.done(name, None, bytes, more);
                ControlFlow::Continue(())
            }
            Err(error) => self.telling.failed(name, "put", &error),
        }
    }

    fn unchanged(&mut self, name: &Name, version: Version) -> ControlFlow<()> {
        self.telling.unchanged(name, json!({ "version": version.to_string() }));
        ControlFlow::Continue(())
    }
}

/// Reads the content of a large file as it is sent. Blocks.
fn read(mut reader: ArchiveReader<File>, feed: Feed) -> Result<ArchiveReader<File>, ArchiveError> {
    let mut result = Ok(());
    let next = |part: &mut [u8]| {
        result = reader.content(part);
        // It is also what the import ends with.
        let why = |error: &ArchiveError| Error::File {
            path: "the archive".into(),
            cause: error.to_string(),
        };
        result.as_ref().map_err(why).copied()
    };
    feed.run(next, || Ok(()));
    result.map(|()| reader)
}

/// Reads the content of a large file into a file that is gone when it is closed. Blocks.
fn keep(
    mut reader: ArchiveReader<File>,
    bytes: u64,
) -> Result<(ArchiveReader<File>, FileContent), ArchiveError> {
    let (mut spool, mut left) = (Spool::new()?, bytes);
    let mut buffer = vec![0; KEPT_BYTES];
    while left > 0 {
        let part = &mut buffer[..left.min(KEPT_BYTES as u64) as usize];
        reader.content(part)?;
        spool.write(part)?;
        left -= part.len() as u64;
    }
    Ok((reader, spool.finish("the archive")?))
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
