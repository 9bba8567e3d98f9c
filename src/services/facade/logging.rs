//! The logging service, as the facade calls it, whether over HTTP or gRPC.

use std::fmt::Display;

use serde::Deserialize;

use super::failover::Checked;
use crate::{http::Trace, services::retry::Failed};

/// A logging service that can be called. Displayed, it is its address.
pub(super) trait LoggingClient: Checked + Display + Send + 'static {
    /// Sends a message to be kept. May be repeated with the same id.
    fn log(
        &self,
        id: &str,
        msg: &str,
        trace: Option<&Trace>,
    ) -> impl Future<Output = Result<Outcome, Failed>> + Send;

    /// All messages as one text, oldest first, with `between` between each two.
    fn logs(
        &self,
        between: &str,
        trace: Option<&Trace>,
    ) -> impl Future<Output = Result<String, Failed>> + Send;
}

/// What became of a message that was sent to the logging service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It is in the log now.
    #[default]
    Logged,
    /// It was in the log already.
    Duplicate,
    /// Another message is in the log with this id.
    Conflict,
}
