//! `messages-service`: says one text.

use smolring::{
    cli::{self, Exit},
    services::messages,
};

fn main() -> Exit {
    cli::start("messages-service", messages::run)
}
