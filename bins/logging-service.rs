//! `logging-service`: keeps every message once, in order.

use smolring::{
    cli::{self, Exit},
    services::logging,
};

fn main() -> Exit {
    cli::start("logging-service", logging::run)
}
