//! Many GETs, a few at a time.

use std::{cell::RefCell, vec};

use smol::LocalExecutor;

use super::{
    connection::Timeouts, error::Error, failover::Client, node::Node, requests::File,
    upload::connections_max,
};
use crate::ring::name::Name;

/// The most connections that a download uses; each has one file in memory.
const DOWNLOADS_AT_ONCE: usize = 8;

/// What the workers share.
struct DownloadShared<'a, T> {
    nodes: &'a [Node],
    timeouts: Timeouts,
    waiting: RefCell<vec::IntoIter<Name>>,
    take: T,
}

/// Gets files over a few connections at once, and gives each to `take` as it arrives, in no
/// particular order. The next is asked for over that connection when `take` has ended.
///
/// A file that fails is given as its error and the others go on; only when no node can be reached at
/// all is the rest given up. Returns how many files were not tried.
pub async fn download(
    nodes: &[Node],
    timeouts: Timeouts,
    names: Vec<Name>,
    take: impl AsyncFn(Name, Result<File, Error>),
) -> usize {
    let workers = names.len().min(DOWNLOADS_AT_ONCE).min(connections_max());
    let shared = DownloadShared { nodes, timeouts, waiting: RefCell::new(names.into_iter()), take };
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

async fn work<T: AsyncFn(Name, Result<File, Error>)>(shared: &DownloadShared<'_, T>) {
    let mut client = Client::new(shared.nodes.to_vec(), shared.timeouts);
    loop {
        let Some(name) = shared.waiting.borrow_mut().next() else { return };
        let result = client.get(&name).await;
        let hopeless = matches!(result, Err(Error::Unreachable { .. }));
        (shared.take)(name, result).await;
        if hopeless {
            return;
        }
    }
}
