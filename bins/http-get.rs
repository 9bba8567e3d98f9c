//! `http-get`: sends a GET request by hand.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("http-get")
}
