//! `hello-server`: answers `Hello, World!` to every request.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("hello-server")
}
