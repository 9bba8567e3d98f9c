//! Work that may not take for ever.

use std::{future::Future, time::Duration};

use async_io::Timer;
use smol::future;

/// Lets `work` run for `limit` at most; `None`: it was not done by then. The timer costs nothing
/// where `work` is ready at once.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(limit).await;
        None
    };
    future::or(async { Some(work.await) }, late).await
}
