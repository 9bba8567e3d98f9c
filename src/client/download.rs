//! Many GETs, a few at a time.

use std::{cell::RefCell, vec};

use super::{
    connection::Timeouts, error::Error, failover::Client, node::Node, requests::File, workers,
};
use crate::ring::name::Name;

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
    let files = names.len();
    let shared = DownloadShared { nodes, timeouts, waiting: RefCell::new(names.into_iter()), take };
    workers::run(files, || work(&shared)).await;
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
