//! `facade-service`: takes messages over HTTP and hands each on until it is kept, once.

mod launch;

fn main() -> std::process::ExitCode {
    launch::smolring("facade-service")
}
