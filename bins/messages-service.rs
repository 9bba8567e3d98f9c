//! `messages-service`: says one text.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("messages-service")
}
