//! `echo-service`: says over HTTP what it was told.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("echo-service")
}
