//! `logging-service`: keeps every message once, in order.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("logging-service")
}
