//! How a node speaks HTTP.

use super::settings::Settings;
use crate::{
    face::{self, FaceOptions},
    net::handle::MakeFace,
    serve::Lines,
};

/// What serves HTTP at the node's port, if anything does.
pub(super) fn make(settings: &Settings, lines: Lines) -> Option<MakeFace> {
    let options = FaceOptions {
        hosts: settings.hosts.clone(),
        is_read_only: settings.is_read_only_http,
        trusts_pages: settings.trusts_pages,
    };
    settings.speaks_http.then(|| face::make(options, lines))
}
