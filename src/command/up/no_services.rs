//! Replaces the services in builds without them.

use std::time::Duration;

use super::children::Children;

/// No services run.
#[derive(Default)]
pub(super) struct Services(());

impl Services {
    /// Always an error.
    pub(super) async fn start(_: &mut Children, _: Duration) -> Result<Self, String> {
        Err("this program is built without the services: build it with all features".into())
    }

    /// No label belongs to a service.
    pub(super) fn restart(&self, _: &str) -> Option<String> {
        None
    }

    /// An empty table.
    pub(super) fn table(&self, _: Option<usize>) -> String {
        String::new()
    }
}
