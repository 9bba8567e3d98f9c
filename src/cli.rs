//! What the command lines of all binaries share: parsing, settings, exit codes, and output
//! that survives a closed pipe.
//!
//! Every option follows *flag > environment > default*: a flag is an `Option`, and [`setting`]
//! or [`optional`] fills in what was not given. Help and versions go to stdout with exit code 0;
//! usage errors go to stderr with exit code 2.

use std::{
    env,
    ffi::OsString,
    fmt::{self, Display},
    io::{self, Write},
    path::Path,
    process::{ExitCode, Termination},
    str::FromStr,
    time::Duration,
};

use argh::{EarlyExit, FromArgs};

/// How a command ended. `main` can return it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done = 0,
    /// Something failed; stderr says what.
    Failed = 1,
    /// The command line or an environment variable is wrong.
    Usage = 2,
    /// No member of the ring has the name.
    NotFound = 3,
    /// The server says that the request is wrong: a status of 4xx.
    Refused = 4,
    /// The server says that it has failed: a status of 5xx.
    ServerFailed = 5,
    /// No node or server answered at all (`EX_UNAVAILABLE` of sysexits).
    Unreachable = 69,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// What is wrong with the command line or the environment, in words that help to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The `main` of a binary: calls `run` with the name that the program was started by, or else
/// `fallback`, and with its arguments.
pub fn start(fallback: &str, run: fn(&str, &[String]) -> Exit) -> Exit {
    let mut args = env::args_os();
    let program = args.next().unwrap_or_default();
    let name = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or(fallback);
    match args.map(OsString::into_string).collect::<Result<Vec<_>, _>>() {
        Ok(args) => run(name, &args),
        Err(bad) => {
            let message = format!("the argument {} is not UTF-8", bad.display());
            usage(name, &UsageError(message))
        }
    }
}

/// Parses `args` into `T`. When there is nothing left to do, `Err` has the exit code: the help
/// or the version was printed to stdout, or a usage error to stderr.
///
/// `--key=value` is taken as `--key value`, and `--version` anywhere before `--` is answered.
pub fn parse<T: FromArgs>(name: &str, args: &[String]) -> Result<T, Exit> {
    parse_with(name, args, "")
}

/// Like [`parse`], with `more` lines for the options in the help: of those that are taken out of
/// the arguments before.
pub fn parse_with<T: FromArgs>(name: &str, args: &[String], more: &str) -> Result<T, Exit> {
    let args = split_values(args);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args.iter().take_while(|arg| **arg != "--").any(|arg| *arg == "--version") {
        return Err(finish(name, print(format_args!("{name} {}\n", env!("CARGO_PKG_VERSION")))));
    }
    T::from_args(&[name], &args).map_err(|early| match early {
        EarlyExit { output, status: Ok(()) } => finish(name, print(with_more(&output, more))),
        EarlyExit { output, status: Err(()) } => {
            let message: Vec<&str> = output.split_whitespace().collect();
            usage(name, &UsageError(message.join(" ").trim_end_matches('.').to_owned()))
        }
    })
}

/// Splits `--key=value` into two arguments, up to `--`.
pub fn split_values(args: &[String]) -> Vec<String> {
    let mut split = Vec::with_capacity(args.len());
    let mut rest = args.iter();
    for arg in rest.by_ref() {
        match arg.split_once('=') {
            Some((key, value)) if key.starts_with("--") => {
                split.extend([key.to_owned(), value.to_owned()]);
            }
            _ => split.push(arg.clone()),
        }
        if arg == "--" {
            break;
        }
    }
    split.extend(rest.cloned());
    split
}

/// The value of an option: the flag, else the environment variable, else the default.
///
/// An empty variable counts as not set; a value that does not parse is a usage error that names
/// the variable.
pub fn setting<T>(flag: Option<T>, variable: &str, default: T) -> Result<T, UsageError>
where
    T: FromStr<Err: Display>,
{
    Ok(optional(flag, variable)?.unwrap_or(default))
}

/// Like [`setting`], for an option that has no default.
pub fn optional<T>(flag: Option<T>, variable: &str) -> Result<Option<T>, UsageError>
where
    T: FromStr<Err: Display>,
{
    merge(flag, variable, env::var_os(variable))
}

fn merge<T>(
    flag: Option<T>,
    variable: &str,
    value: Option<OsString>,
) -> Result<Option<T>, UsageError>
where
    T: FromStr<Err: Display>,
{
    let value = match (flag, value) {
        (Some(flag), _) => return Ok(Some(flag)),
        (None, Some(value)) if !value.is_empty() => value,
        _ => return Ok(None),
    };
    let wrong = |cause: &dyn Display| {
        let value = value.display();
        UsageError(format!("the environment has {variable}={value}, which is wrong: {cause}"))
    };
    let text = value.to_str().ok_or_else(|| wrong(&"it is not UTF-8"))?;
    text.parse().map(Some).map_err(|cause| wrong(&cause))
}

/// Writes to stdout and flushes. Blocks as long as stdout does; never panics.
pub fn print(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// Writes one line to stderr. If that fails there is nobody left to tell.
pub fn say(name: &str, message: impl Display) {
    let _ = writeln!(io::stderr(), "{name}: {message}");
}

/// Says why a command failed and returns its exit code.
pub fn fail(name: &str, exit: Exit, message: impl Display) -> Exit {
    say(name, message);
    exit
}

/// Says what is wrong with the usage, where to read more, and returns the exit code for it.
pub fn usage(name: &str, error: &UsageError) -> Exit {
    fail(name, Exit::Usage, format_args!("{error}. See `{name} --help`"))
}

/// The exit code after the last output to stdout. A reader that has seen enough and went away,
/// like `head`, is no failure.
pub fn finish(name: &str, printed: io::Result<()>) -> Exit {
    match printed {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => fail(name, Exit::Failed, format_args!("cannot write to stdout: {error}")),
    }
}

/// argh does not know of `--version`, so the help gets its line here, above the one for `--help`,
/// and `more` lines before it. A command with none of its own has options nevertheless.
fn with_more(help: &str, more: &str) -> String {
    const VERSION: &str = "  --version         print the version and exit\n";
    let position = help.lines().take_while(|line| !line.contains("display usage information"));
    let at: usize = position.map(|line| line.len() + 1).sum();
    if at >= help.len() {
        return help.to_owned();
    }
    let (before, after) = help.split_at(at);
    let before = match before.split_once('\n') {
        Some((usage, rest)) if !usage.contains('[') => format!("{usage} [<options>]\n{rest}"),
        _ => before.to_owned(),
    };
    format!("{before}{more}{VERSION}{after}")
}

/// A span of time on the command line: `1s`, `500ms`, `2.5s`, `2m`, `1h`, `30d`. A plain number
/// is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no span of time; write it like 500ms, 1s, 2.5s, 2m or 30d");
        let (number, unit) = number_and_unit(text);
        let scale = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        Duration::try_from_secs_f64(number * scale).map(Self).map_err(|_| wrong())
    }
}

impl Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A number of bytes on the command line: `1000`, `64KiB`, `16MiB`, `1.5GiB`, or in powers of
/// ten `64kB`, `16MB`, `1GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no size; write it like 1000, 64KiB, 16MiB or 1GiB");
        let (number, unit) = number_and_unit(text);
        let scale: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(scale).map(Self).ok_or_else(wrong);
        }
        // Below 2^53 every whole number of bytes is exact in an f64.
        let bytes = number.parse::<f64>().map_err(|_| wrong())? * scale as f64;
        let exact = bytes.fract() == 0.0 && bytes < (1u64 << 53) as f64;
        exact.then_some(Self(bytes as u64)).ok_or_else(wrong)
    }
}

impl Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.into_iter().find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Digits and points in front, the rest behind: no sign and no exponent gets through.
fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        for (text, millis) in [
            ("1s", 1000),
            ("500ms", 500),
            ("2.5s", 2500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
            ("3", 3000),
            ("0.25", 250),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_millis(millis))), "{text}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "1 s",
            "1e3",
            "inf",
            "NaN",
            "1.2.3s",
            "5w",
            "1S",
            "9".repeat(40).as_str(),
        ] {
            let error = text.parse::<Period>().unwrap_err();
            assert!(error.contains(text) && error.contains("500ms"), "{error}");
        }
        assert_eq!(Period(Duration::from_millis(2500)).to_string(), "2.5s");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1000", 1000),
            ("0", 0),
            ("7B", 7),
            ("64KiB", 65_536),
            ("16MiB", 16 << 20),
            ("1.5GiB", 3 << 29),
            ("64kB", 64_000),
            ("2MB", 2_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in
            ["", "KiB", "-1", "1 KiB", "1K", "0.3", "1e3", "18446744073709551616", "99999999999GiB"]
        {
            assert!(text.parse::<ByteSize>().unwrap_err().contains("64KiB"), "{text}");
        }
        for text in ["1000", "64KiB", "16MiB", "1GiB", "0"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_flag_beats_the_environment_and_a_bad_variable_is_named() {
        let merged =
            |flag, value: Option<&str>| merge::<u16>(flag, "X_PORT", value.map(Into::into));
        assert_eq!(merged(Some(1), Some("2")), Ok(Some(1)));
        assert_eq!(merged(Some(1), Some("bad")), Ok(Some(1)));
        assert_eq!(merged(None, Some("2")), Ok(Some(2)));
        assert_eq!(merged(None, Some("")), Ok(None));
        assert_eq!(merged(None, None), Ok(None));
        assert!(merged(None, Some("bad")).unwrap_err().0.contains("X_PORT=bad"));
        assert_eq!(setting(None, "SMOLRING_NO_SUCH_VARIABLE", 7), Ok(7));
    }

    #[test]
    fn values_are_split_from_their_keys_up_to_the_double_dash() {
        let args = ["--a=b", "-c=d", "e=f", "--g", "--h==", "--", "--i=j"].map(String::from);
        let split = split_values(&args);
        assert_eq!(split, ["--a", "b", "-c=d", "e=f", "--g", "--h", "=", "--", "--i=j"]);
    }

    #[test]
    fn the_help_shows_the_version_option() {
        let help = "Usage: x\n\nOptions:\n  -h, --help        display usage information\n";
        assert!(with_more(help, "").contains("exit\n  -h, --help"));
        assert!(with_more(help, "  --more\n").contains("Options:\n  --more\n  --version"));
        assert_eq!(with_more("Usage: x\n", "more"), "Usage: x\n");
    }
}
