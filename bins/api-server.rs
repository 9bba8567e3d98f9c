//! `api-server`: answers a form's fields as JSON, over tide.

use smolring::{
    cli::{self, Exit},
    services::api,
};

fn main() -> Exit {
    cli::start("api-server", api::run)
}
