//! Every option that a help names, as a user types it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::{BufRead, BufReader},
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
pub fn ended(command: &mut Command) -> (Option<i32>, String) {
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
        .flat_map(|rest| rest.split(')').next().unwrap_or_default().split([',', ' ']))
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
fn no_variable_is_read_but_those_of_this_program_and_three_usual_ones() {
    let usual = ["PORT", "REQUEST_TIMEOUT", "LOG_FORMAT"];
    // Names that mean something else to others are no business of ours.
    let mut foreign = BTreeSet::from(["LISTEN_IP", "NODE", "IP"].map(String::from));
    for applet in applets() {
        for variable in variables(&help(&[&applet])) {
            let own = variable.strip_prefix("SMOLRING_");
            assert!(own.is_some() || usual.contains(&&*variable), "{applet} reads {variable}");
            foreign.extend(own.filter(|own| !usual.contains(own)).map(str::to_owned));
        }
    }
    for applet in applets() {
        let args = match applet.as_str() {
            // It starts others.
            "up" => continue,
            "ring-client" => vec!["ring-client", "ping", "--node", "127.0.0.1:1"],
            "http-get" | "http-post" => vec![&applet, "http://127.0.0.1:1"],
            "ring-node" => vec!["ring-node", "--port", "0", "--ip", "127.0.0.1"],
            applet => vec![applet, "--port", "0"],
        };
        let mut command = smolring(&args);
        command.envs(foreign.iter().map(|name| (name, "tcp://10.96.0.12:4043")));
        if args[1] == "--port" {
            let command = command.env("SMOLRING_GRPC_PORT", "0").stdout(Stdio::piped());
            let mut child = Ending(command.spawn().unwrap());
            let mut line = String::new();
            BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert!(line.contains("listening on "), "{applet}: {line}");
        } else {
            let (code, errors) = ended(&mut command);
            assert_eq!(code, Some(69), "{applet}: {errors}");
        }
    }
}

#[test]
fn what_kubernetes_sets_for_a_service_is_skipped_with_a_word() {
    let value = "tcp://10.96.0.12:4043";
    let all = ["SMOLRING_PORT", "SMOLRING_GRPC_PORT", "SMOLRING_PREV_PORT"];
    for (applet, read, other) in [
        ("ring-node", &["SMOLRING_PORT", "SMOLRING_PREV_PORT"][..], "SMOLRING_ADVERTISE"),
        ("hello-server", &["SMOLRING_PORT"], "SMOLRING_THREADS"),
        ("logging-service", &["SMOLRING_PORT", "SMOLRING_GRPC_PORT"], "SMOLRING_STORE"),
    ] {
        let mut command = smolring(&[applet]);
        let (code, errors) = ended(command.envs(all.map(|name| (name, value))).env(other, "x"));
        assert_eq!(code, Some(2), "{applet}: {errors}");
        // Only this one is wrong.
        assert!(errors.lines().last().unwrap().contains(&format!("{other}=x")), "{errors}");
        for name in read {
            assert!(errors.contains(&format!("{name}={value} is skipped: ")), "{applet}: {errors}");
        }
    }
}

#[test]
fn a_variable_that_is_skipped_does_nothing_to_a_terminal() {
    let mut command = smolring(&["hello-server"]);
    command.env("SMOLRING_PORT", "tcp://\n\u{1b}[31m\u{202e}").env("SMOLRING_THREADS", "x");
    let (_, errors) = ended(&mut command);
    assert!(errors.contains("tcp://\\n\\u{1b}[31m\\u{202e} is skipped"), "{errors:?}");
    assert_eq!(errors.lines().count(), 2, "{errors:?}");
}

#[test]
fn an_error_about_a_variable_names_the_variable() {
    for (args, variable, value, why) in [
        (&["ring-node"][..], "SMOLRING_MIN_COPIES", "0", "is not between 1 and"),
        (&["ring-node"], "SMOLRING_CHECK_TIMEOUT", "2h", "is not between 10ms and"),
        (&["ring-node"], "SMOLRING_GRACE", "2h", "is over 3600s"),
        (&["ring-node"], "SMOLRING_MAX_FILE_BYTES", "1GiB", "is over 256MiB"),
        (&["ring-node"], "SMOLRING_MAX_FLIGHT_BYTES", "1MiB", "less than --max-file-bytes 16MiB"),
        (&["ring-client", "ping"], "SMOLRING_TIMEOUT", "0s", "is not longer than 0"),
        (&["echo-service"], "SMOLRING_DELAY", "30s", "before --request-timeout 30s"),
        (&["caller-service"], "SMOLRING_TIMEOUT", "1ms", "is less than 10ms"),
        (&["facade-service"], "SMOLRING_ATTEMPTS", "6", "is not between 1 and 5"),
        (&["facade-service"], "SMOLRING_ATTEMPT_TIMEOUT", "15s", "before --retry-for 15s"),
        (&["facade-service"], "SMOLRING_RETRY_FOR", "30s", "before --request-timeout 30s"),
        (&["hello-server"], "SMOLRING_THREADS", "0", "0 is not between 1 and 256"),
        (&["hello-server"], "PORT", "70000", "it is too large"),
    ] {
        let (code, errors) = ended(smolring(args).env(variable, value));
        assert_eq!(code, Some(2), "{args:?} {variable}: {errors}");
        let is_named = errors.contains(&format!("the environment has {variable}={value}, "));
        assert!(is_named && errors.contains(why), "{args:?} {variable}: {errors}");
        assert!(!errors.contains(": --"), "{errors}");
    }
    let (_, errors) = ended(smolring(&["ring-node"]).env("SMOLRING_PREV_IP", "a:1"));
    assert!(errors.contains(": SMOLRING_PREV_IP and SMOLRING_PREV_PORT: "), "{errors}");
    let mut facade = smolring(&["facade-service"]);
    let (_, errors) = ended(facade.env("REQUEST_TIMEOUT", "15s"));
    assert!(
        errors.contains("--retry-for 15s would never pass before REQUEST_TIMEOUT 15s"),
        "{errors}"
    );
    let urls = ["http://127.0.0.1:1"; 100].join(",");
    let (_, errors) = ended(smolring(&["facade-service"]).env("SMOLRING_LOGGING_URL", urls));
    assert!(errors.contains("100 times SMOLRING_LOGGING_URL: "), "{errors}");
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
