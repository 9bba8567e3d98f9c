//! Settings: *flag > environment > default*, and which of them an error is about.
//!
//! The variable of an option is its name with `SMOLRING_` in front: `--grpc-port` is
//! `SMOLRING_GRPC_PORT`. An environment is shared by many programs, and Kubernetes sets
//! `SMOLRING_PORT=tcp://10.96.0.12:4043` for a Service that is called smolring: such a value is
//! skipped.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Display,
    str::FromStr,
};

use super::{UsageError, plain_cause, stderr::say_line};

/// The environment variable of an option.
pub fn variable(option: &str) -> String {
    format!("SMOLRING_{}", option.to_uppercase().replace('-', "_"))
}

/// The value of an option, and what to change in order to change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// `--port`, or the variable that it was taken from.
    pub name: String,
    /// What the variable contains, if it was one.
    text: Option<String>,
}

impl<T: Display> Setting<T> {
    /// An error about the value. `why` goes on after it: `is not between 1 and 5`.
    pub fn wrong(&self, why: impl Display) -> UsageError {
        let Self { value, name, text } = self;
        UsageError(match text {
            Some(text) => format!("the environment has {name}={text}, which {why}"),
            None => format!("{name} {value} {why}"),
        })
    }
}

/// The value of an option: the flag, else the environment variable, else the default. `option` is
/// the name without the dashes.
///
/// An empty variable counts as not set; a value that does not parse is a usage error that names
/// the variable.
pub fn setting<T>(flag: Option<T>, option: &str, default: T) -> Result<T, UsageError>
where
    T: FromStr<Err: Display>,
{
    Ok(optional(flag, option)?.unwrap_or(default))
}

/// Like [`setting`], for an option that has no default.
pub fn optional<T>(flag: Option<T>, option: &str) -> Result<Option<T>, UsageError>
where
    T: FromStr<Err: Display>,
{
    Ok(merge(flag, option, from_environment)?.map(|it| it.value))
}

/// Like [`setting`], for an option whose value is checked further.
pub fn named_setting<T>(flag: Option<T>, option: &str, default: T) -> Result<Setting<T>, UsageError>
where
    T: FromStr<Err: Display>,
{
    let set = merge(flag, option, from_environment)?;
    Ok(set.unwrap_or_else(|| of_option(option, default)))
}

/// The value of a variable, if there is one that was meant for this program. Says on stderr that it
/// skips one that was not.
pub(crate) fn from_environment(variable: &str) -> Option<OsString> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    if !is_of_kubernetes(variable, &value) {
        return Some(value);
    }
    let value = value.display().to_string();
    say_line(&format!(
        "{variable}={value} is skipped: it looks like what Kubernetes sets for a Service"
    ));
    None
}

/// The error about a variable whose value does not parse.
pub(crate) fn wrong_variable(name: &str, value: &OsStr, cause: impl Display) -> UsageError {
    let value = value.display();
    UsageError(format!("the environment has {name}={value}, which is wrong: {cause}"))
}

/// Whether a value is the address of a service, where a port is expected.
fn is_of_kubernetes(variable: &str, value: &OsStr) -> bool {
    let starts = ["tcp://", "udp://", "sctp://"];
    variable.ends_with("PORT")
        && value.to_str().is_some_and(|value| starts.iter().any(|it| value.starts_with(it)))
}

fn of_option<T>(option: &str, value: T) -> Setting<T> {
    Setting { value, name: format!("--{option}"), text: None }
}

fn merge<T>(
    flag: Option<T>,
    option: &str,
    value_of: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Setting<T>>, UsageError>
where
    T: FromStr<Err: Display>,
{
    if let Some(flag) = flag {
        return Ok(Some(of_option(option, flag)));
    }
    let name = variable(option);
    let Some(text) = value_of(&name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let wrong = |cause: &str| wrong_variable(&name, &text, cause);
    let text = text.to_str().ok_or_else(|| wrong("it is not UTF-8"))?;
    let value = text.parse();
    let value = value.map_err(|cause: T::Err| wrong(plain_cause(&cause.to_string())))?;
    Ok(Some(Setting { value, text: Some(text.into()), name }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_environment_and_a_bad_variable_is_named() {
        let merged = |flag, value: Option<&str>| {
            let value_of = |name: &str| value.filter(|_| name == "SMOLRING_X_PORT").map(Into::into);
            let set = merge::<u16>(flag, "x-port", value_of)?;
            Ok::<_, UsageError>(set.map(|it| (it.value, it.name)))
        };
        let of = |value, name: &str| Ok(Some((value, name.to_owned())));
        assert_eq!(merged(Some(1), Some("2")), of(1, "--x-port"));
        assert_eq!(merged(Some(1), Some("bad")), of(1, "--x-port"));
        assert_eq!(merged(None, Some("2")), of(2, "SMOLRING_X_PORT"));
        assert_eq!(merged(None, Some("")), Ok(None));
        assert_eq!(merged(None, None), Ok(None));
        assert!(merged(None, Some("bad")).unwrap_err().0.contains("SMOLRING_X_PORT=bad"));
        assert_eq!(setting(None, "no-such-option", 7), Ok(7));
    }

    #[test]
    fn an_error_about_a_value_names_what_has_set_it() {
        let wrong = |set: Option<Setting<u16>>| set.unwrap().wrong("is odd").0;
        let value_of = |_: &str| Some("7".into());
        assert_eq!(wrong(merge(Some(7), "x", value_of).unwrap()), "--x 7 is odd");
        let of_variable = "the environment has SMOLRING_X=7, which is odd";
        assert_eq!(wrong(merge(None, "x", value_of).unwrap()), of_variable);
    }

    #[test]
    fn the_address_of_a_service_is_no_port() {
        for (variable, value, is_skipped) in [
            ("SMOLRING_PORT", "tcp://10.96.0.12:4043", true),
            ("SMOLRING_GRPC_PORT", "udp://[fd00::1]:50051", true),
            ("SMOLRING_PORT", "4043", false),
            ("SMOLRING_PORT", "", false),
            ("SMOLRING_STORE", "tcp://10.96.0.12:4043", false),
        ] {
            assert_eq!(is_of_kubernetes(variable, value.as_ref()), is_skipped, "{value}");
        }
    }
}
