//! `raw-api-server`: answers a form's fields as JSON, with HTTP read by hand.

use smolring::{
    cli::{self, Exit},
    services::raw_api,
};

fn main() -> Exit {
    cli::start("raw-api-server", raw_api::run)
}
