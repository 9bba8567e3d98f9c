//! What a signal does to a verb that is at work.

use smol::future;

use super::outcome::Failure;
use crate::serve::signals::EndSignals;

/// Works until a signal comes that ends the process; `end` is called then. What was sent of a content
/// is not whole, so no node keeps it.
pub(super) async fn until_signal<T>(
    work: impl Future<Output = Result<T, Failure>>,
    end: impl FnOnce(),
) -> Result<T, Failure> {
    let Ok(mut signals) = EndSignals::listen() else { return work.await };
    let interrupted = async {
        let signal = signals.next().await;
        end();
        Err(Failure::Interrupted(signal))
    };
    future::or(work, interrupted).await
}
