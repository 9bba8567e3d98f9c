//! `smolring`: all commands in one.

use smolring::{
    cli::{self, Exit},
    command,
};

fn main() -> Exit {
    cli::start("smolring", command::log_variables, command::applet)
}
