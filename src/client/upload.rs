//! Many PUTs, a few at a time.

use std::{
    cell::{Cell, RefCell},
    vec,
};

use super::{
    compare::held, connection::Timeouts, content::Content, error::Error, failover::Client,
    files::Source, meter::Meter, node::Node, reply::Reply, requests::Held, workers,
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
    meter: &'a Meter,
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
    upload_counted(nodes, timeouts, sources, selection, &Meter::default(), report).await
}

/// The same, with what moves counted.
pub(super) async fn upload_counted(
    nodes: &[Node],
    timeouts: Timeouts,
    sources: Vec<Source>,
    selection: Selection,
    meter: &Meter,
    report: impl FnMut(&Source, Result<Uploaded, Error>),
) -> usize {
    let files = sources.len();
    let waiting = RefCell::new(sources.into_iter());
    let (compares, report) = (Cell::new(selection == Selection::Changed), RefCell::new(report));
    let only_if = match selection {
        Selection::If(condition) => Some(condition),
        Selection::All | Selection::Changed => None,
    };
    let shared = UploadShared { nodes, timeouts, waiting, compares, only_if, meter, report };
    workers::run(files, || work(&shared)).await;
    shared.waiting.into_inner().len()
}

async fn work<R: FnMut(&Source, Result<Uploaded, Error>)>(shared: &UploadShared<'_, R>) {
    let mut client = Client::new(shared.nodes.to_vec(), shared.timeouts);
    loop {
        let Some(source) = shared.waiting.borrow_mut().next() else { return };
        let (source, content) = smol::unblock(move || {
            let content = source.open();
            (source, content)
        })
        .await;
        let result = match content {
            Ok(mut content) => put(shared, &mut client, &source, &mut content).await,
            Err(error) => Err(error),
        };
        shared.meter.file_done();
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
    content: &mut Content<'_>,
) -> Result<Uploaded, Error> {
    let bytes = content.bytes();
    let result = try_put(shared, client, source, content).await;
    if !matches!(result, Ok(Uploaded::Put { .. })) {
        shared.meter.spared(bytes);
    }
    result
}

async fn try_put<R>(
    shared: &UploadShared<'_, R>,
    client: &mut Client,
    source: &Source,
    content: &mut Content<'_>,
) -> Result<Uploaded, Error> {
    if shared.compares.get() {
        match held(client, &source.name, content).await {
            Ok(Held::Same(version)) => return Ok(Uploaded::Unchanged(version)),
            Ok(Held::Other) => {}
            Err(error)
                if matches!(
                    error,
                    Error::Unreachable { .. } | Error::File { .. } | Error::Changed { .. }
                ) =>
            {
                return Err(error);
            }
            // The same would come of the next comparison, perhaps after a wait.
            Ok(Held::Unknown) | Err(_) => shared.compares.set(false),
        }
    }
    let reply = client.put_content(&source.name, content, shared.only_if, shared.meter).await?;
    Ok(Uploaded::Put { reply, bytes: content.bytes() })
}
