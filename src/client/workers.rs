//! Several connections at once, each with a task of its own.

use std::future::Future;

use smol::LocalExecutor;

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
