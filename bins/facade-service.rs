//! `facade-service`: takes messages over HTTP and hands each on until it is kept, once.

use smolring::{
    cli::{self, Exit},
    services::facade,
};

fn main() -> Exit {
    cli::start("facade-service", facade::run)
}
