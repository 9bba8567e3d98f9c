//! `api-server`: answers a form's fields as JSON, over tide.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("api-server")
}
