//! `caller-service`: asks the echo service over HTTP, and answers also when that does not.

use smolring::{
    cli::{self, Exit},
    services::caller,
};

fn main() -> Exit {
    cli::start("caller-service", caller::run)
}
