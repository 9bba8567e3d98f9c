//! `ring-client`: puts files into a ring, gets and lists them, shows the ring and measures it.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("ring-client")
}
