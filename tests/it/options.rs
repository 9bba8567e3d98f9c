//! Every option that a help names, as a user types it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    process::{Child, Command, Stdio},
};

use crate::{cluster::until, up::applets};

/// A process that is killed if it has not ended.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs it, without input, and returns its exit code and what it has written to stderr.
fn ended(command: &mut Command) -> (Option<i32>, String) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Ending(command.spawn().unwrap());
    let status = until("it ends", || child.0.try_wait().unwrap());
    (status.code(), std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap())
}

fn smolring(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
    command.args(args);
    command
}

fn help(args: &[&str]) -> String {
    let output = smolring(&[args, &["--help"]].concat()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The environment variables in a help: `environment: NAME` or, alone in brackets, `(NAME)`.
fn variables(help: &str) -> BTreeSet<String> {
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let starts = ["environment: ", "("];
    let rests = starts.iter().flat_map(|start| help.split(start).skip(1));
    let is_upper = |c: char| c.is_ascii_uppercase() || c == '_';
    rests
        .filter_map(|rest| rest.split([')', ',', ' ']).next())
        .filter(|word| word.len() > 2 && word.chars().all(is_upper))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_wrong_option_is_one_line_with_the_command_that_helps() {
    for applet in applets() {
        for (word, why) in
            [("--no-such-option", "no option --no-such-option"), ("--hlep", "--help?")]
        {
            let (code, errors) = ended(&mut smolring(&[&applet, word]));
            assert_eq!(code, Some(2), "{applet}: {errors}");
            // A program with verbs misses one first.
            let is_client = applet == "ring-client";
            assert!(is_client || errors.contains(why), "{errors}");
            assert!(errors.ends_with(&format!("See `smolring {applet} --help`\n")), "{errors}");
            assert_eq!(errors.lines().count(), 1, "{errors}");
        }
        let by_help = smolring(&["help", &applet]).output().unwrap().stdout;
        assert_eq!(String::from_utf8(by_help).unwrap(), help(&[&applet]));
    }
}

#[test]
fn every_environment_variable_of_a_help_is_read() {
    let mut count = 0;
    for applet in applets() {
        let args = match applet.as_str() {
            "ring-client" => vec!["ring-client", "ping"],
            applet => vec![applet],
        };
        for variable in variables(&help(&args)) {
            // No option of any type takes what is not UTF-8.
            let value = OsStr::from_bytes(b"\xff");
            let (code, errors) = ended(smolring(&args).env(&variable, value));
            assert_eq!(code, Some(2), "{args:?} {variable}: {errors}");
            assert!(errors.contains(&format!("the environment has {variable}=")), "{errors}");
            count += 1;
        }
    }
    assert!(count > 140, "{count}");
}

#[test]
fn no_help_is_wider_than_a_terminal() {
    for applet in applets() {
        let help = help(&[&applet]);
        let (mut section, mut widest) = ("", "");
        for line in help.lines() {
            if !line.starts_with(' ') {
                section = line;
            }
            // Examples are to be copied, so they are not wrapped.
            if section != "Examples:" && line.chars().count() > widest.chars().count() {
                widest = line;
            }
        }
        assert!(widest.chars().count() <= 80, "{applet}: {widest}");
    }
}
