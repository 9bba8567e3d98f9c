//! `http-get`: sends a GET request by hand.

use smolring::{
    cli::{self, Exit},
    http_tools,
};

fn main() -> Exit {
    cli::start("http-get", http_tools::get)
}
