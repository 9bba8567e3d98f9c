//! What the command lines of all binaries share: parsing, settings, exit codes, and output
//! that survives a closed pipe.
//!
//! Every option follows *flag > environment > default*: a flag is an `Option`, and [`setting()`]
//! or [`optional`] fills in what was not given. Help and versions go to stdout with exit code 0;
//! usage errors go to stderr with exit code 2.

mod exit;
mod grammar;
mod help;
mod near;
#[cfg(test)]
pub(crate) mod probe;
mod setting;
mod stderr;
mod units;

use std::{
    env,
    ffi::OsString,
    fmt::Display,
    io::{self, Write},
    path::Path,
};

use argh::{ArgsInfo, EarlyExit, FromArgs};

use self::grammar::{Grammar, Wanted};
pub use self::{
    exit::{Exit, UsageError},
    grammar::{Given, SharedOption},
    help::describe,
    setting::{Setting, named_setting, optional, setting, variable},
    stderr::{fail, say, say_text},
    units::{ByteSize, Period},
};
pub(crate) use self::{
    near::nearest,
    setting::{from_environment, wrong_variable},
};
/// The `main` of a binary: calls `run` with the name that the program was started by, or else
/// `fallback`, and with its arguments. `log_variables` tells which variables set the format of the lines
/// of the program that these arguments are for; none if it has no `--log-format`.
pub fn start(
    fallback: &str,
    log_variables: fn(&str, &[String]) -> &'static [&'static str],
    run: fn(&str, &[String]) -> Exit,
) -> Exit {
    let mut args = env::args_os();
    let program = args.next().unwrap_or_default();
    let name = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or(fallback);
    let args: Vec<OsString> = args.collect();
    let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    stderr::choose_form(&words, log_variables(name, &words));
    match args.iter().find(|arg| arg.to_str().is_none()) {
        None => run(name, &words),
        Some(bad) => {
            let message = format!("the argument {} is not UTF-8", bad.display());
            usage(name, &UsageError(message))
        }
    }
}

/// Parses `args` into `T`. When there is nothing left to do, `Err` has the exit code: the help
/// or the version was printed to stdout, or a usage error to stderr.
///
/// Options may stand anywhere before `--`, as `--key value`, `--key=value`, `-k value` or `-kvalue`.
pub fn parse<T: FromArgs + ArgsInfo>(name: &str, args: &[String]) -> Result<T, Exit> {
    parse_with(name, args, &[], "").map(|(options, _)| options)
}

/// Like [`parse`], with options that `T` does not have. `shared_help` has their lines in the help.
pub fn parse_with<T: FromArgs + ArgsInfo>(
    name: &str,
    args: &[String],
    shared: &[SharedOption],
    shared_help: &str,
) -> Result<(T, Given), Exit> {
    let grammar = Grammar::of::<T>(shared);
    let reading = grammar.read(args);
    #[cfg(test)]
    if probe::takes(&grammar, &reading) {
        return Err(Exit::Done);
    }
    let verb = reading.verb;
    match reading.wanted {
        Ok(Wanted::Run { words, given }) => match from_words(name, &words) {
            Ok(options) => Ok((options, given)),
            Err(error) => Err(usage_of(name, verb, &error)),
        },
        Ok(Wanted::Help) => Err(finish(name, print(help::text::<T>(name, verb, shared_help)))),
        Ok(Wanted::Version) => {
            Err(finish(name, print(format_args!("{name} {}\n", env!("CARGO_PKG_VERSION")))))
        }
        Err(error) => Err(usage_of(name, verb, &error)),
    }
}

/// Parses `args` into `T` on behalf of another program, which asks for no help.
pub fn read<T: FromArgs + ArgsInfo>(args: &[String]) -> Result<T, UsageError> {
    match Grammar::of::<T>(&[]).read(args).wanted? {
        Wanted::Run { words, .. } => from_words("", &words),
        Wanted::Help => Err(UsageError("--help is not possible here".into())),
        Wanted::Version => Err(UsageError("--version is not possible here".into())),
    }
}

/// The verb in these arguments, if `T` has it.
pub fn verb<T: ArgsInfo>(args: &[String]) -> Option<&'static str> {
    Grammar::of::<T>(&[]).read(args).verb
}

/// The shared options in a command line that has no others.
#[cfg(test)]
pub(crate) fn given(args: &[String], shared: &[SharedOption]) -> Result<Given, UsageError> {
    /// Has no options.
    #[derive(FromArgs, ArgsInfo)]
    struct Nothing {}
    match Grammar::of::<Nothing>(shared).read(args).wanted? {
        Wanted::Run { given, .. } => Ok(given),
        other => panic!("{other:?}"),
    }
}

/// Has argh parse what the grammar made of the arguments.
fn from_words<T: FromArgs>(name: &str, words: &[String]) -> Result<T, UsageError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    T::from_args(&[name], &words).map_err(|EarlyExit { output, .. }| UsageError(plain(&output)))
}

/// What argh says is wrong, in one line and in the words of all other usage errors.
fn plain(output: &str) -> String {
    let line = output.split_whitespace().collect::<Vec<_>>().join(" ");
    let of_value = |rest: &str| {
        let (option, rest) = rest.split_once("' with value '")?;
        let (value, cause) = rest.split_once("': ")?;
        Some(format!("{option} {value}: {}", plain_cause(cause)))
    };
    let missing = |rest: &str| {
        let names = rest.split(' ').map(|name| match name.starts_with('-') {
            true => name.to_owned(),
            false => format!("<{name}>"),
        });
        Some(format!("{} is missing", names.collect::<Vec<_>>().join(" and ")))
    };
    let after = |start: &str| line.strip_prefix(start);
    let said = after("Error parsing option '")
        .and_then(of_value)
        .or_else(|| after("Error parsing positional argument '").and_then(of_value))
        .or_else(|| after("Required positional arguments not provided: ").and_then(missing))
        .or_else(|| after("Required options not provided: ").and_then(missing))
        .or_else(|| {
            after("Unrecognized argument: ").map(|it| format!("`{it}` is one word too many"))
        });
    said.unwrap_or_else(|| line.trim_end_matches('.').to_owned())
}

/// The standard library's error texts about numbers, reworded for users.
pub(crate) fn plain_cause(cause: &str) -> &str {
    match cause {
        "invalid digit found in string" => "it is no whole number",
        "cannot parse integer from empty string" => "it is empty",
        "number too large to fit in target type" => "it is too large",
        "invalid IP address syntax" => "it is no IP address",
        "invalid socket address syntax" => "it is no address with a port, like 127.0.1.1:4043",
        other => other,
    }
}

/// A number with its noun: `1 file`, `2 files`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Writes to stdout and flushes. Blocks as long as stdout does; never panics.
pub fn print(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// Says what is wrong with the usage, where to read more, and returns the exit code for it.
pub fn usage(name: &str, error: &UsageError) -> Exit {
    usage_of(name, None, error)
}

/// Like [`usage`], for one verb of a command.
pub fn usage_of(name: &str, verb: Option<&str>, error: &UsageError) -> Exit {
    let (gap, verb) = verb.map_or(("", ""), |verb| (" ", verb));
    let stop = if error.0.ends_with('?') { "" } else { "." };
    fail(name, Exit::Usage, format_args!("{error}{stop} See `{name}{gap}{verb} --help`"))
}

/// The exit code after the last output to stdout. It is no failure if the reader, like `head`, has
/// closed the pipe.
pub fn finish(name: &str, printed: io::Result<()>) -> Exit {
    match printed {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => fail(name, Exit::Failed, format_args!("cannot write to stdout: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_argh_says_is_said_in_the_words_of_all() {
        for (output, line) in [
            (
                "Error parsing option '--port' with value 'x': invalid digit found in string\n",
                "--port x: it is no whole number",
            ),
            (
                "Error parsing positional argument 'member' with value 'x': no address\n",
                "member x: no address",
            ),
            ("Required positional arguments not provided:\n    name\n", "<name> is missing"),
            ("Required options not provided:\n    --a\n    --b\n", "--a and --b is missing"),
            ("Unrecognized argument: x\n", "`x` is one word too many"),
            ("Something else.\n", "Something else"),
        ] {
            assert_eq!(plain(output), line);
        }
    }
}
