//! `ring-client push`.

use std::{cell::RefCell, ops::ControlFlow, path::Path};

use serde_json::json;

use super::{
    ending::until_signal,
    mirror::{Telling, Words, folder_prefix},
    outcome::Failure,
};
use crate::{
    cli::Exit,
    client::{
        connection::Timeouts,
        content,
        error::Error,
        failover::Client,
        local::{self, Local},
        merged::{Merged, Sides},
        meter::Meter,
        node::Node,
        pages::Pages,
        progress,
        reply::Reply,
        requests::ListedFile,
        tree::{LocalFile, in_one_line},
        verbs::Push,
        workers,
    },
    ring::message::Condition,
};

pub(super) async fn push(
    called: &str,
    nodes: &[Node],
    timeouts: Timeouts,
    verb: Push,
) -> Result<Exit, Failure> {
    let prefix = folder_prefix(verb.prefix.as_deref())?;
    let dir = Path::new(&verb.dir);
    if !local::has_files(dir)? && verb.delete && !verb.force {
        return Err(Failure::Unsafe(format!(
            "{} has no file that could be put, and --delete would delete all that the ring has. If \
             that is wanted, add --force",
            in_one_line(dir)
        )));
    }
    let list = Pages::new(Client::new(nodes.to_vec(), timeouts), prefix.clone(), true);
    let mut both = Merged::of(Local::open(dir.to_owned(), prefix).await?, list);
    let words = Words { act: "put", done: "put" };
    let telling = Telling::new(called, words, verb.json, verb.dry_run);
    let meter = telling.meter.clone();
    let push = Pushing { verb: &verb, meter: meter.clone(), telling: RefCell::new(telling) };
    let listed = workers::each(
        nodes,
        timeouts,
        async || both.next().await,
        async |client, sides| push.one(client, sides).await,
    );
    let work = progress::show(&meter, !verb.json, listed);
    let listed = until_signal(async { Ok(work.await) }, || ()).await?;
    let mut telling = push.telling.into_inner();
    if let Err(error) = listed {
        telling.cut_short(&error);
    }
    telling.end()
}

struct Pushing<'a> {
    verb: &'a Push,
    meter: Meter,
    telling: RefCell<Telling<'a>>,
}

impl Pushing<'_> {
    async fn one(&self, client: &mut Client, sides: Sides) -> ControlFlow<()> {
        match sides {
            Sides::Local(file) => self.put(client, &file, None).await,
            Sides::Both(file, listed) => self.put(client, &file, Some(&listed)).await,
            Sides::Ring { file, is_hidden: false } if self.verb.delete => {
                self.delete(client, &file).await
            }
            Sides::Ring { .. } | Sides::Leftover(_) => ControlFlow::Continue(()),
            Sides::Skipped(skipped) => {
                let is_error = !(skipped.is_special && self.verb.skip_special);
                self.telling.borrow_mut().skipped(&skipped, is_error);
                ControlFlow::Continue(())
            }
        }
    }

    /// Puts a file unless the ring has its bytes.
    async fn put(
        &self,
        client: &mut Client,
        file: &LocalFile,
        listed: Option<&ListedFile>,
    ) -> ControlFlow<()> {
        let name = &file.name;
        let put = async {
            if let Some(ListedFile { bytes, hash: Some(hash), version, .. }) = listed {
                let (path, bytes) = (file.path.clone(), *bytes);
                if smol::unblock(move || local::hash(&path, bytes)).await? == Some(*hash) {
                    return Ok(Done::Unchanged(version.to_string()));
                }
            }
            if self.verb.dry_run {
                return Ok(Done::Put(file.bytes, None));
            }
            let path = file.path.clone();
            let mut content = smol::unblock(move || content::open(&path)).await?;
            let reply = client.put_content(name, &mut content, None, &self.meter).await?;
            Ok(Done::Put(content.bytes(), Some(reply)))
        };
        let result: Result<Done, Error> = put.await;
        let mut telling = self.telling.borrow_mut();
        match result {
            Ok(Done::Unchanged(version)) => telling.unchanged(name, json!({ "version": version })),
            Ok(Done::Put(bytes, reply)) => {
                let version = reply.as_ref().and_then(|it| it.key("version"));
                let copies = reply.as_ref().and_then(|it| it.number("copies").ok());
                let more = json!({ "version": version, "copies": copies });
                telling.done(name, Some(listed.is_none()), bytes, more);
            }
            Err(error) => return telling.failed(name, "put", &error),
        }
        ControlFlow::Continue(())
    }

    /// Deletes what the folder has not, unless it is another version by now.
    async fn delete(&self, client: &mut Client, file: &ListedFile) -> ControlFlow<()> {
        let ListedFile { name, version, .. } = file;
        let reply = match self.verb.dry_run {
            true => Ok(None),
            false => client.delete(name, Some(Condition::Newest(*version))).await.map(Some),
        };
        let mut telling = self.telling.borrow_mut();
        match reply {
            // Another client has deleted it.
            Err(error) if error.status() == Some(404) => telling.deleted(name, json!({})),
            Err(error) => return telling.failed(name, "deleted", &error),
            Ok(reply) => {
                let version = reply.as_ref().and_then(|it| it.key("version"));
                let copies = reply.as_ref().and_then(|it| it.number("copies").ok());
                telling.deleted(name, json!({ "version": version, "copies": copies }));
            }
        }
        ControlFlow::Continue(())
    }
}

/// What became of a file.
enum Done {
    /// The ring has its bytes, in this version.
    Unchanged(String),
    /// So many bytes were put, with this answer; or would be.
    Put(u64, Option<Reply>),
}
