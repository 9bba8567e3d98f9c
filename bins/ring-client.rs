//! `ring-client`: puts files into a ring, gets and lists them, shows the ring and measures it.

use smolring::{
    cli::{self, Exit},
    client,
};

fn main() -> Exit {
    cli::start("ring-client", client::run)
}
