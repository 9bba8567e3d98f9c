//! `smolring`: all commands in one binary.

use std::fmt::Write as _;

use super::{install, parent};
#[cfg(feature = "ring")]
use crate::client;
#[cfg(feature = "http")]
use crate::http_tools;
#[cfg(feature = "services")]
use crate::services;
use crate::{
    cli::{self, Exit, UsageError},
    serve::descriptors,
};

/// A command: what it is called, what it is for, and what it does.
type Applet = (&'static str, &'static str, fn(&str, &[String]) -> Exit);

const APPLETS: &[Applet] = &[
    #[cfg(feature = "ring")]
    ("up", "run a whole ring on this machine, to look at and to try", super::up::run),
    #[cfg(feature = "ring")]
    ("ring-node", "run one node of a ring", super::ring_node::run),
    #[cfg(feature = "ring")]
    ("ring-client", "put, get, compare and back up files; see how the ring is", client::run),
    #[cfg(feature = "services")]
    ("hello-server", "answer every HTTP request with a greeting", services::hello::run),
    #[cfg(feature = "services")]
    ("echo-service", "answer with the text of the request", services::echo::run),
    #[cfg(feature = "services")]
    (
        "caller-service",
        "ask the echo service, and answer even when it does not",
        services::caller::run,
    ),
    #[cfg(all(feature = "services", feature = "grpc"))]
    (
        "facade-service",
        "take messages, and send each on until it is kept, once",
        services::facade::run,
    ),
    #[cfg(feature = "services")]
    ("messages-service", "answer with one text, for the facade to show", services::messages::run),
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

/// What `smolring` alone does: these names are too common for links and programs of their own.
const OWN: &[Applet] = &[
    ("install", "make a link for each command, in a folder on your PATH", install_links),
    #[cfg(feature = "http")]
    (
        "healthcheck",
        "ask a server whether it is well, for images without a shell",
        http_tools::healthcheck,
    ),
];

/// Prints the names of all commands that links may have, one a line.
const LIST: &str = "--list";

/// The variables that set the format of the log of the command that these arguments are for.
pub fn log_variables(name: &str, args: &[String]) -> &'static [&'static str] {
    let applet = find(name).or_else(|| args.iter().find_map(|arg| find(arg)));
    match applet.map_or("", |(name, ..)| name) {
        "" | "up" | "ring-client" | "http-get" | "http-post" => &[],
        "ring-node" => &["SMOLRING_LOG_FORMAT"],
        _ => &["SMOLRING_LOG_FORMAT", "LOG_FORMAT"],
    }
}

/// Runs the command that the first argument names, or the one whose name this program was started
/// by: a link called `ring-node` is `ring-node`. Blocks as long as that command does.
pub fn run(name: &str, args: &[String]) -> Exit {
    if let Some((applet, _, run)) = find(name) {
        name_process(applet);
        return start(applet, *run, args);
    }
    let Some((first, rest)) = args.split_first() else {
        cli::say_text(name, help(name));
        return Exit::Usage;
    };
    if let Some((applet, _, run)) = find(first).or_else(|| find_own(first)) {
        return start(&format!("{name} {applet}"), *run, rest);
    }
    match (first.as_str(), rest) {
        ("help", [applet, ..]) if find(applet).or_else(|| find_own(applet)).is_some() => {
            run(name, &[applet.clone(), "--help".into()])
        }
        ("--help" | "-h" | "help", _) => cli::finish(name, cli::print(help(name))),
        (LIST, _) => {
            let names = names().map(|applet| format!("{applet}\n"));
            cli::finish(name, cli::print(names.collect::<String>()))
        }
        ("--version" | "-V", _) => {
            let version = env!("CARGO_PKG_VERSION");
            cli::finish(name, cli::print(format_args!("{name} {version}\n")))
        }
        (parent::FLAG, [pid, rest @ ..]) => child(name, pid, rest),
        (other, rest) => match other.strip_prefix(parent::FLAG).and_then(|it| it.strip_prefix('='))
        {
            Some(pid) => child(name, pid, rest),
            None => cli::usage(name, &unknown(other)),
        },
    }
}

/// Runs a command, if it can run at all.
fn start(name: &str, run: fn(&str, &[String]) -> Exit, args: &[String]) -> Exit {
    match descriptors::check() {
        Ok(()) => run(name, args),
        Err(why) => cli::fail(name, Exit::Failed, why),
    }
}

/// Runs a command that ends with the process that started it.
fn child(name: &str, pid: &str, rest: &[String]) -> Exit {
    match pid.parse() {
        Ok(_) if rest.is_empty() => cli::usage(name, &parent::usage()),
        Ok(pid) if parent::end_with(pid) => run(name, rest),
        Ok(_) => cli::fail(name, Exit::Failed, "the process that started this one has ended"),
        Err(_) => cli::usage(name, &parent::usage()),
    }
}

/// Makes `ps` and `pgrep` show the command's name: by default they show that of the program's file.
#[cfg(target_os = "linux")]
fn name_process(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// Other systems have nothing like it.
#[cfg(not(target_os = "linux"))]
fn name_process(_: &str) {}

/// The names of all commands that links may have.
fn names() -> impl Iterator<Item = &'static str> {
    APPLETS.iter().map(|(applet, ..)| *applet)
}

fn install_links(name: &str, args: &[String]) -> Exit {
    install::run(name, args, names())
}

fn find_own(name: &str) -> Option<&'static Applet> {
    OWN.iter().find(|(applet, ..)| *applet == name)
}

fn find(name: &str) -> Option<&'static Applet> {
    APPLETS.iter().find(|(applet, ..)| *applet == name)
}

/// Reports that there is no such command or option, and what may have been meant.
fn unknown(word: &str) -> UsageError {
    if word == parent::FLAG {
        return parent::usage();
    }
    let (kind, options) = match word.starts_with('-') {
        true => ("option", &["--help", "--version", LIST, parent::FLAG][..]),
        false => ("command", &["help"][..]),
    };
    let applets = names().chain(OWN.iter().map(|(applet, ..)| *applet));
    // Users try a verb of the client alone.
    #[cfg(feature = "ring")]
    if client::is_verb(word) {
        return UsageError(format!("there is no command {word}; did you mean ring-client {word}?"));
    }
    let near = cli::nearest(word, applets.chain(options.iter().copied()));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    UsageError(format!("there is no {kind} {word}{hint}"))
}

fn help(name: &str) -> String {
    let mut text = format!(
        "Usage: {name} <command> [<args>]\n\n\
         A ring of tiny web servers: put a file into any node, get it from every node.\n\n\
         Commands:\n"
    );
    let list = |text: &mut String, applets: &[Applet]| {
        for (applet, purpose, _) in applets {
            let _ = writeln!(text, "  {applet:<18}{purpose}");
        }
    };
    list(&mut text, APPLETS);
    text.push_str("\nOf this program alone:\n");
    list(&mut text, OWN);
    let _ = writeln!(
        text,
        "\n`{name} <command> --help` has the options of each; `{name} {LIST}` has the\n\
         names alone, one a line. A link to this program that has the name of a\n\
         command is that command. With\n\
         `{name} {} <pid> <command>` a command ends when the\n\
         process <pid> does, if that has started it (Linux only).",
        parent::FLAG
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::probe::{Probed, Wanted, probe};

    type Run = fn(&str, &[String]) -> Exit;

    /// Every option of every program, with the arguments that stand before it.
    fn each_option(mut check: impl FnMut(&str, Run, &[&str], &str, Option<char>, bool)) -> usize {
        let mut count = 0;
        for (name, _, run) in APPLETS.iter().chain(OWN) {
            let Probed { grammar, .. } = probe(*run, &[]).expect("it reads its arguments");
            let verbs = grammar.verbs();
            for (verb, rule) in grammar.all() {
                // Options of the program are those of each verb.
                let verbs: Vec<_> = match (verb, verbs.is_empty()) {
                    (Some(verb), _) => vec![verb],
                    (None, false) => verbs.clone(),
                    (None, true) => vec![""],
                };
                for verb in verbs {
                    let before: Vec<_> =
                        Some(verb).filter(|it| !it.is_empty()).into_iter().collect();
                    check(name, *run, &before, rule.long, rule.short, rule.value.is_some());
                    count += 1;
                }
            }
        }
        count
    }

    fn read(run: Run, before: &[&str], words: &[&str]) -> Result<Wanted, String> {
        let args = [before, words].concat();
        let probed = probe(run, &args).expect("it reads its arguments");
        probed.reading.wanted.map_err(|error| error.0)
    }

    #[test]
    fn every_option_of_every_program_is_taken_in_each_form() {
        let tried = each_option(|name, run, before, long, short, takes_value| {
            let long = format!("--{long}");
            let short = short.map(|short| format!("-{short}"));
            let value = if takes_value { &["v"][..] } else { &[] };
            let expected = read(run, before, &[&[long.as_str()], value].concat());
            assert!(matches!(expected, Ok(Wanted::Run { .. })), "{name} {before:?} {long}");
            let attached = |option: &str, value: &str| vec![format!("{option}{value}")];
            let apart = |option: &str| {
                let words = [&[option], value].concat();
                words.into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            let mut forms: Vec<Vec<String>> = short.iter().map(|short| apart(short)).collect();
            if takes_value {
                forms.push(attached(&long, "=v"));
                forms.extend(short.iter().map(|short| attached(short, "v")));
            }
            for form in forms {
                let form: Vec<&str> = form.iter().map(String::as_str).collect();
                assert_eq!(read(run, before, &form), expected, "{name} {before:?} {form:?}");
                // An option may stand before the verb.
                assert_eq!(read(run, &form, before), expected, "{name} {form:?} {before:?}");
            }
            // After `--` it is a word.
            let behind = read(run, before, &["--", &long]);
            assert_ne!(behind, expected, "{name} {before:?} -- {long}");
        });
        assert!(tried > 200, "{tried}");
    }

    #[test]
    fn every_option_that_lacks_its_value_or_has_one_too_many_is_refused() {
        each_option(|name, run, before, long, short, takes_value| {
            let long = format!("--{long}");
            let short = short.map(|short| format!("-{short}"));
            for option in [Some(&long), short.as_ref()].into_iter().flatten() {
                let refused = |words: &[&str], why: &str| {
                    let error = read(run, before, words).expect_err(name);
                    assert!(error.contains(why), "{name} {before:?} {words:?}: {error}");
                    assert_eq!(error.lines().count(), 1, "{error}");
                };
                match takes_value {
                    true => {
                        let why = format!("{option} needs a value");
                        refused(&[option], &why);
                        refused(&[option, "--no-such-option"], &why);
                        refused(&[option, "--", "word"], &why);
                    }
                    false => {
                        refused(&[&format!("{option}=yes")], &format!("{option} takes no value"))
                    }
                }
            }
            // One letter too many is a typing error that is recognised.
            let why = format!("did you mean {long}?");
            let error = read(run, before, &[&format!("{long}x")]).expect_err(name);
            assert!(error.contains(&why), "{name} {before:?}: {error}");
        });
    }

    #[test]
    fn no_option_is_a_switch_of_another_verb_or_taken_for_a_verb() {
        for (name, _, run) in APPLETS.iter().chain(OWN) {
            let Probed { grammar, .. } = probe(*run, &[]).expect("it reads its arguments");
            let all = grammar.all();
            for (_, rule) in &all {
                // Where a verb has the same name, the option is meant.
                let dashed = format!("--{}", rule.long);
                let Probed { reading, .. } = probe(*run, &[&dashed]).expect("it reads it");
                assert_eq!(reading.verb, None, "{name} {dashed}");
                for (_, other) in &all {
                    let is_same = rule.long == other.long
                        || rule.short.is_some() && rule.short == other.short;
                    let (one, two) = (rule.value.is_some(), other.value.is_some());
                    assert!(!is_same || one == two, "{name}: {} {}", rule.long, other.long);
                }
            }
        }
    }

    #[test]
    fn the_commands_that_have_a_log_are_those_with_an_option_for_its_format() {
        for (name, _, run) in APPLETS.iter().chain(OWN) {
            let Probed { grammar, .. } = probe(*run, &[]).expect("it reads its arguments");
            let has_option = grammar.all().iter().any(|(_, rule)| rule.long == "log-format");
            for args in [&[*name][..], &[parent::FLAG, "7", name], &["--end-with-parent=7", name]] {
                let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
                assert_eq!(!log_variables("smolring", &args).is_empty(), has_option, "{args:?}");
            }
            assert_eq!(!log_variables(name, &[]).is_empty(), has_option, "{name}");
        }
        assert!(log_variables("smolring", &["ring-client".into(), "ring-node".into()]).is_empty());
    }

    #[test]
    fn what_is_no_command_may_be_near_to_one() {
        for (word, hint) in [
            ("ring-cleint", "; did you mean ring-client?"),
            ("ring_node", "; did you mean ring-node?"),
            ("status", "; did you mean ring-client status?"),
            ("--hlep", "; did you mean --help?"),
            ("watch", ""),
            ("frobnicate", ""),
        ] {
            let UsageError(error) = unknown(word);
            assert!(error.ends_with(&format!("{word}{hint}")), "{error}");
        }
    }
}
