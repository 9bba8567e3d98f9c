//! A node that was built without HTTP.

use super::settings::Settings;
use crate::{net::handle::MakeFace, serve::Lines};

/// Nothing serves HTTP: it is answered 501.
pub(super) fn make(_: &Settings, _: Lines) -> Option<MakeFace> {
    None
}
