//! `smolring`: all commands in one binary.

use std::fmt::Write as _;

use super::parent;
use crate::cli::{self, Exit, UsageError};
#[cfg(feature = "ring")]
use crate::client;
#[cfg(feature = "http")]
use crate::http_tools;
#[cfg(feature = "services")]
use crate::services;

/// A command: what it is called, what it is for, and what it does.
type Applet = (&'static str, &'static str, fn(&str, &[String]) -> Exit);

const APPLETS: &[Applet] = &[
    #[cfg(feature = "ring")]
    ("up", "run a whole ring on this machine, to look at and to try", super::up::run),
    #[cfg(feature = "ring")]
    ("ring-node", "run one node of a ring", super::ring_node::run),
    #[cfg(feature = "ring")]
    ("ring-client", "put, get and list files, show the ring and measure it", client::run),
    #[cfg(feature = "services")]
    ("hello-server", "say hello to everyone over HTTP", services::hello::run),
    #[cfg(feature = "services")]
    ("echo-service", "say over HTTP what it was told", services::echo::run),
    #[cfg(feature = "services")]
    (
        "caller-service",
        "ask the echo service, and answer also when it does not",
        services::caller::run,
    ),
    #[cfg(all(feature = "services", feature = "grpc"))]
    (
        "facade-service",
        "take messages, and hand each on until it is kept once",
        services::facade::run,
    ),
    #[cfg(feature = "services")]
    ("messages-service", "say one text, for the facade to show", services::messages::run),
    #[cfg(all(feature = "services", feature = "grpc"))]
    ("logging-service", "keep every message once, in order", services::logging::run),
    #[cfg(feature = "services")]
    ("api-server", "answer a form's fields as JSON", services::api::run),
    #[cfg(feature = "services")]
    ("raw-api-server", "the same, with HTTP read by hand", services::raw_api::run),
    #[cfg(feature = "http")]
    ("http-get", "send a GET request by hand, and show the answer", http_tools::get),
    #[cfg(feature = "http")]
    ("http-post", "send a form by hand, and show the answer", http_tools::post),
];

/// Runs the command that the first argument names, or the one whose name this program was started
/// by: a link called `ring-node` is `ring-node`. Blocks as long as that command does.
pub fn run(name: &str, args: &[String]) -> Exit {
    if let Some((applet, _, run)) = find(name) {
        name_process(applet);
        return run(applet, args);
    }
    match args.split_first() {
        Some((first, rest)) if first == parent::FLAG => child(name, rest),
        Some((first, rest)) => match find(first) {
            Some((applet, _, run)) => run(&format!("{name} {applet}"), rest),
            None if ["--help", "-h", "help"].contains(&first.as_str()) => {
                cli::finish(name, cli::print(help(name)))
            }
            None if ["--version", "-V"].contains(&first.as_str()) => {
                let version = env!("CARGO_PKG_VERSION");
                cli::finish(name, cli::print(format_args!("{name} {version}\n")))
            }
            None => {
                let message = format!("there is no command {first:?}");
                cli::usage(name, &UsageError(message))
            }
        },
        None => {
            cli::say(name, help(name));
            Exit::Usage
        }
    }
}

/// Runs a command that ends with the process that started it.
fn child(name: &str, args: &[String]) -> Exit {
    let wrong = || UsageError(format!("{} needs a process id and a command", parent::FLAG));
    let Some((pid, rest)) = args.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return cli::usage(name, &wrong());
    };
    match pid.parse() {
        Ok(pid) if parent::end_with(pid) => run(name, rest),
        Ok(_) => cli::fail(name, Exit::Failed, "the process that started this one has ended"),
        Err(_) => cli::usage(name, &wrong()),
    }
}

/// Has `ps` and `pgrep` show the command's name: the system shows that of the program's file.
#[cfg(target_os = "linux")]
fn name_process(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// Nothing like it elsewhere.
#[cfg(not(target_os = "linux"))]
fn name_process(_: &str) {}

fn find(name: &str) -> Option<&'static Applet> {
    APPLETS.iter().find(|(applet, ..)| *applet == name)
}

fn help(name: &str) -> String {
    let mut text = format!(
        "Usage: {name} <command> [<args>]\n\n\
         A ring of tiny web servers: put a file into any node, get it from every node.\n\n\
         Commands:\n"
    );
    for (applet, purpose, _) in APPLETS {
        let _ = writeln!(text, "  {applet:<18}{purpose}");
    }
    let _ = writeln!(
        text,
        "\n`{name} <command> --help` has the options of each. `{name} {} <pid> <command>` ends\n\
         with the process that started it, if that is <pid> (Linux only).",
        parent::FLAG
    );
    text
}
