//! `http-post`: sends a form by hand.

use smolring::{
    cli::{self, Exit},
    http_tools,
};

fn main() -> Exit {
    cli::start("http-post", http_tools::post)
}
