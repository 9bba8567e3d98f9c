//! `ring-node`: one node of a ring.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("ring-node")
}
