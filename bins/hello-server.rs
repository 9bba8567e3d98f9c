//! `hello-server`: answers `Hello, World!` to every request.

use smolring::{
    cli::{self, Exit},
    services::hello,
};

fn main() -> Exit {
    cli::start("hello-server", hello::run)
}
