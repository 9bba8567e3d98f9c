//! `caller-service`: asks the echo service over HTTP, and answers also when that does not.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("caller-service")
}
