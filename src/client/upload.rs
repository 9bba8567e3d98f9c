//! Many PUTs, a few at a time.

use std::{cell::RefCell, vec};

use smol::LocalExecutor;

use super::{
    connection::Timeouts, error::Error, failover::Client, files::Source, node::Node, reply::Reply,
};

/// The most connections that an upload uses; each has one file in memory.
const UPLOADS_AT_ONCE: usize = 8;

/// What the workers share.
struct UploadShared<'a, R> {
    nodes: &'a [Node],
    timeouts: Timeouts,
    waiting: RefCell<vec::IntoIter<Source>>,
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
    report: impl FnMut(&Source, Result<Reply, Error>),
) -> usize {
    let workers = sources.len().min(UPLOADS_AT_ONCE);
    let waiting = RefCell::new(sources.into_iter());
    let shared = UploadShared { nodes, timeouts, waiting, report: RefCell::new(report) };
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = (0..workers).map(|_| executor.spawn(work(&shared))).collect();
    executor
        .run(async {
            for task in tasks {
                task.await;
            }
        })
        .await;
    drop(executor);
    shared.waiting.into_inner().len()
}

async fn work<R: FnMut(&Source, Result<Reply, Error>)>(shared: &UploadShared<'_, R>) {
    let mut client = Client::new(shared.nodes.to_vec(), shared.timeouts);
    loop {
        let Some(source) = shared.waiting.borrow_mut().next() else { return };
        let (source, content) = smol::unblock(move || {
            let content = source.read();
            (source, content)
        })
        .await;
        let result = match content {
            Ok(content) => client.put(&source.name, &content).await,
            Err(error) => Err(error),
        };
        let hopeless = matches!(result, Err(Error::Unreachable { .. }));
        (shared.report.borrow_mut())(&source, result);
        if hopeless {
            return;
        }
    }
}
