//! Many PUTs, a few at a time.

use std::{
    cell::{Cell, RefCell},
    vec,
};

use super::{
    connection::Timeouts, error::Error, failover::Client, files::Source, node::Node, reply::Reply,
    requests::Held, workers,
};
use crate::ring::{message::Condition, version::Version};

/// Which files an upload sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All.
    All,
    /// Those that the node which is asked does not hold with the same bytes. Where it does not say,
    /// because it is not ready, is full, or is too old, the file is sent.
    Changed,
    /// All, each where this is so.
    If(Condition),
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// It was put.
    Put {
        /// The answer.
        reply: Reply,
        /// Its size.
        bytes: u64,
    },
    /// The ring has the same bytes under this name, in this version; nothing was sent.
    Unchanged(Version),
}

/// What the workers share.
struct UploadShared<'a, R> {
    nodes: &'a [Node],
    timeouts: Timeouts,
    waiting: RefCell<vec::IntoIter<Source>>,
    /// Whether each file is compared before it is sent.
    compares: Cell<bool>,
    only_if: Option<Condition>,
    report: RefCell<R>,
}

/// Puts files over a few connections at once and reports each one when it is done, in no
/// particular order.
///
/// A file that fails is reported and the others go on; only when no node can be reached at all
/// is the rest given up. Returns how many files were not tried. `report` must not block for long.
pub async fn upload(
    nodes: &[Node],
    timeouts: Timeouts,
    sources: Vec<Source>,
    selection: Selection,
    report: impl FnMut(&Source, Result<Uploaded, Error>),
) -> usize {
    let files = sources.len();
    let waiting = RefCell::new(sources.into_iter());
    let (compares, report) = (Cell::new(selection == Selection::Changed), RefCell::new(report));
    let only_if = match selection {
        Selection::If(condition) => Some(condition),
        Selection::All | Selection::Changed => None,
    };
    let shared = UploadShared { nodes, timeouts, waiting, compares, only_if, report };
    workers::run(files, || work(&shared)).await;
    shared.waiting.into_inner().len()
}

async fn work<R: FnMut(&Source, Result<Uploaded, Error>)>(shared: &UploadShared<'_, R>) {
    let mut client = Client::new(shared.nodes.to_vec(), shared.timeouts);
    loop {
        let Some(source) = shared.waiting.borrow_mut().next() else { return };
        let compares = shared.compares.get();
        let (source, content) = smol::unblock(move || {
            let content = source.read().map(|content| {
                let hash = compares.then(|| blake3::hash(&content));
                (content, hash)
            });
            (source, content)
        })
        .await;
        let result = match content {
            Ok((content, hash)) => put(shared, &mut client, &source, &content, hash).await,
            Err(error) => Err(error),
        };
        let hopeless = matches!(result, Err(Error::Unreachable { .. }));
        (shared.report.borrow_mut())(&source, result);
        if hopeless {
            return;
        }
    }
}

async fn put<R>(
    shared: &UploadShared<'_, R>,
    client: &mut Client,
    source: &Source,
    content: &[u8],
    hash: Option<blake3::Hash>,
) -> Result<Uploaded, Error> {
    if let Some(hash) = hash {
        match client.held(&source.name, hash).await {
            Ok(Held::Same(version)) => return Ok(Uploaded::Unchanged(version)),
            Ok(Held::Other) => {}
            Err(error @ Error::Unreachable { .. }) => return Err(error),
            // The same would come of the next comparison, perhaps after a wait.
            Ok(Held::Unknown) | Err(_) => shared.compares.set(false),
        }
    }
    let bytes = content.len() as u64;
    let reply = match shared.only_if {
        None => client.put(&source.name, content).await?,
        Some(condition) => client.put_if(&source.name, content, condition).await?,
    };
    Ok(Uploaded::Put { reply, bytes })
}
