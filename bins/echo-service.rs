//! `echo-service`: says over HTTP what it was told.

use smolring::{
    cli::{self, Exit},
    services::echo,
};

fn main() -> Exit {
    cli::start("echo-service", echo::run)
}
