//! `raw-api-server`: answers a form's fields as JSON, with HTTP read by hand.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("raw-api-server")
}
