//! Lines to stderr: text, or JSON where the lines of the log are JSON, so that one reader can read
//! both.
//!
//! Something may have to be said before the command line is understood, or because it cannot be. So
//! [`choose_form`] looks for the format by itself, and before anything else.

use std::{
    env,
    fmt::Display,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use super::Exit;
use crate::{
    printable::{JsonText, Printable},
    timestamp::Timestamp,
};

const OPTION: &str = "--log-format";
const JSON: &str = "json";

/// Whether each line is an object of JSON with `time` and `message`.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Makes the lines JSON if the arguments ask for that, or else the first of these variables that is
/// set. There are none of a program that has no such option; then its lines are text.
pub(super) fn choose_form(args: &[String], variables: &[&str]) {
    if !variables.is_empty() {
        let value_of = |name: &&str| env::var_os(name).and_then(|it| it.into_string().ok());
        let of_variables = variables.iter().filter_map(value_of).find(|it| !it.is_empty());
        let is_json =
            of_arguments(args).map_or(of_variables.is_some_and(|it| it == JSON), |it| it == JSON);
        IS_JSON.store(is_json, Ordering::Relaxed);
    }
}

/// The format that the arguments name.
fn of_arguments(args: &[String]) -> Option<&str> {
    let options = args.split(|arg| arg == "--").next().unwrap_or_default();
    let at = options.iter().position(|arg| arg.starts_with(OPTION))?;
    match options[at].strip_prefix(OPTION)? {
        "" => options.get(at + 1).map(String::as_str),
        rest => rest.strip_prefix('='),
    }
}

/// Writes one line to stderr. What would end the line or change a terminal is escaped. A failure of the
/// writing cannot be reported anywhere.
pub fn say(name: &str, message: impl Display) {
    say_line(&format!("{name}: {message}"));
}

/// The same, without the name of the program.
pub(super) fn say_line(line: &str) {
    let _ = match IS_JSON.load(Ordering::Relaxed) {
        false => writeln!(io::stderr(), "{}", Printable(line)),
        true => {
            let (time, message) = (Timestamp::now(), JsonText(line));
            writeln!(io::stderr(), r#"{{"time":"{time}","message":{message}}}"#)
        }
    };
}

/// Writes a text of several lines that this program has made.
pub fn say_text(name: &str, text: impl Display) {
    let _ = writeln!(io::stderr(), "{name}: {text}");
}

/// Says why a command failed and returns its exit code.
pub fn fail(name: &str, exit: Exit, message: impl Display) -> Exit {
    say(name, message);
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_name_the_format_even_where_they_are_wrong() {
        for (args, format) in [
            (&["--log-format", "json"][..], Some("json")),
            (&["--prot", "1", "--log-format=json"], Some("json")),
            (&["--log-format", "text", "--port", "x"], Some("text")),
            (&["--log-format"], None),
            (&["--log-formats=json"], None),
            (&["--", "--log-format=json"], None),
            (&[], None),
        ] {
            let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
            assert_eq!(of_arguments(&args), format, "{args:?}");
        }
    }
}
