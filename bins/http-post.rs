//! `http-post`: sends a form by hand.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("http-post")
}
