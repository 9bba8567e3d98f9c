//! Several connections at once, each with a task of its own.

use std::{cell::RefCell, future::Future, ops::ControlFlow};

use smol::{LocalExecutor, lock::Mutex};

use super::{connection::Timeouts, failover::Client, node::Node};
use crate::serve::descriptors;

/// The most connections that an upload or a download uses; each has one file in memory.
const WORKERS_MAX: usize = 8;
/// Descriptors that are left to others meanwhile: to the runtime, and to a look-up of a name.
const SPARE_DESCRIPTORS: usize = 6;

/// Runs as many copies of `work` on this thread as are of use for so many files, until all have ended.
/// Each has descriptors for a connection and a file.
pub(super) async fn run<F: Future<Output = ()>>(files: usize, work: impl Fn() -> F) {
    let free = descriptors::free(2 * WORKERS_MAX + SPARE_DESCRIPTORS);
    let most = (free.saturating_sub(SPARE_DESCRIPTORS) / 2).clamp(1, WORKERS_MAX);
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = (0..files.min(most)).map(|_| executor.spawn(work())).collect();
    let all = async {
        for task in tasks {
            task.await;
        }
    };
    executor.run(all).await;
}

/// Gives `work` one after the other of what `next` finds, a few at a time, each time with a client
/// whose connection is kept. Ends when `next` finds nothing more or fails, or when `work` breaks
/// off, and what has begun has ended. `Err` is the error of `next`.
pub(super) async fn each<T, E>(
    nodes: &[Node],
    timeouts: Timeouts,
    next: impl AsyncFnMut() -> Result<Option<T>, E>,
    work: impl AsyncFn(&mut Client, T) -> ControlFlow<()>,
) -> Result<(), E> {
    // `None`: nothing more is to be begun.
    let (next, failure) = (Mutex::new(Some(next)), RefCell::new(Ok(())));
    run(usize::MAX, async || {
        let mut client = Client::new(nodes.to_vec(), timeouts);
        loop {
            let mut source = next.lock().await;
            let Some(find) = source.as_mut() else { return };
            let item = match find().await {
                Ok(Some(item)) => item,
                ended => {
                    *source = None;
                    *failure.borrow_mut() = ended.map(drop);
                    return;
                }
            };
            drop(source);
            if work(&mut client, item).await.is_break() {
                *next.lock().await = None;
            }
        }
    })
    .await;
    failure.into_inner()
}
