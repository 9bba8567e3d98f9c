use argh::FromArgs;

use super::*;

/// Asks.
#[derive(FromArgs, ArgsInfo)]
struct Tool {
    /// where
    #[argh(option, short = 'p')]
    _port: Option<u16>,
    /// whom
    #[argh(option)]
    _node: Vec<String>,
    #[argh(subcommand)]
    _verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(dead_code, reason = "only the options are of interest")]
enum Verb {
    Get(Get),
    List(List),
    Put(Put),
}

/// Gets.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "get")]
struct Get {
    /// file
    #[argh(option, short = 'o', arg_name = "file")]
    _output: Option<String>,
    /// name
    #[argh(positional)]
    _name: String,
}

/// Lists.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
struct List {
    /// more
    #[argh(switch, short = 'l')]
    _long: bool,
    /// all
    #[argh(switch, short = 'a')]
    _all: bool,
}

/// Puts.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "put")]
struct Put {
    /// name
    #[argh(option)]
    _name: Option<String>,
    /// files
    #[argh(positional)]
    _paths: Vec<String>,
}

const SHARED: &[SharedOption] = &[
    SharedOption { name: "threads", short: None, value: Some("n") },
    SharedOption { name: "quiet", short: None, value: None },
];

fn read(line: &str) -> Reading {
    let args: Vec<String> = line.split_whitespace().map(String::from).collect();
    Grammar::of::<Tool>(SHARED).read(&args)
}

/// What argh is given.
fn words(line: &str) -> String {
    match read(line).wanted {
        Ok(Wanted::Run { words, .. }) => words.join(" "),
        other => panic!("{line}: {other:?}"),
    }
}

fn wrong(line: &str) -> String {
    read(line).wanted.expect_err(line).0
}

#[test]
fn each_form_of_a_line_becomes_one() {
    for (line, expected) in [
        ("get f -o x -p 1", "--port 1 get --output x -- f"),
        ("-p1 get -ox f", "--port 1 get --output x -- f"),
        ("get -o=x f -p=1", "--port 1 get --output x -- f"),
        ("--output=x --port=1 get f", "--port 1 get --output x -- f"),
        ("get f --output=-x", "get --output -x -- f"),
        ("get f --output=", "get --output  -- f"),
        ("get f -o -1", "get --output -1 -- f"),
        ("get f -o -", "get --output - -- f"),
        ("get --node a --node b f", "--node a --node b get -- f"),
        ("-p 1 -put a b", "--port 1 put -- a b"),
        ("--put a -p 1", "--port 1 put -- a"),
        ("--get=f --port=1", "--port 1 get -- f"),
        ("put -- -p -- --name", "put -- -p -- --name"),
        ("-- get -o", "get -- -o"),
        ("put -", "put -- -"),
        ("put get", "put -- get"),
        ("-l list", "list --long"),
        ("list -la", "list --long --all"),
        ("list --long --long", "list --long --long"),
        ("list", "list"),
    ] {
        assert_eq!(words(line), expected, "{line}");
    }
}

#[test]
fn shared_options_are_taken_out() {
    let Ok(Wanted::Run { words, given }) = read("--threads=2 list --quiet").wanted else {
        panic!("it is a line to run");
    };
    assert_eq!(words, ["list"]);
    assert_eq!(given, Given::from([("quiet", "1".into()), ("threads", "2".into())]));
}

#[test]
fn what_is_wrong_is_named_and_what_was_meant_is_guessed() {
    for (line, parts) in [
        ("get f -o", ["-o needs a value: -o <file>", ""]),
        ("get f --output", ["--output needs a value: --output <file>", ""]),
        ("get f -o --node a", ["-o needs a value", ""]),
        ("get f -o -- x", ["-o needs a value", "--output=<file>"]),
        ("put f --name", ["--name needs a value", ""]),
        ("list --node", ["--node needs a value", ""]),
        ("list --threads", ["--threads needs a value", ""]),
        ("list --long=yes", ["--long takes no value", ""]),
        ("list -l=yes", ["-l takes no value", ""]),
        ("list --quiet=1", ["--quiet takes no value", ""]),
        ("list --help=1", ["--help takes no value", ""]),
        ("list -p 1 --port 2", ["--port is given twice", ""]),
        ("list --threads 1 --threads 1", ["--threads is given twice", ""]),
        ("get f --ouput x", ["`get` has no option --ouput", "did you mean --output?"]),
        ("get f -output x", ["no option -output", "did you mean --output?"]),
        ("get f --hlep", ["no option --hlep", "did you mean --help?"]),
        ("get f --long", ["`get` has no option --long", "only `list` has it"]),
        ("get f -l", ["`get` has no option -l", "only `list` has it"]),
        ("get f --what", ["`get` has no option --what", ""]),
        ("get f -x", ["`get` has no option -x", ""]),
        ("lst", ["there is no verb `lst`", "did you mean `list`?"]),
        ("frobnicate", ["there is no verb `frobnicate`", ""]),
        ("", ["a verb is missing, one of get, list, put", ""]),
        ("-p 1", ["a verb is missing", ""]),
    ] {
        let why = wrong(line);
        assert!(parts.iter().all(|part| why.contains(part)), "{line}: {why}");
        assert_eq!(why.contains("did you mean"), parts[1].contains("did you mean"), "{why}");
    }
}

#[test]
fn help_and_version_need_nothing_else() {
    for (line, verb, wanted) in [
        ("--help", None, Wanted::Help),
        ("help", None, Wanted::Help),
        ("help get", Some("get"), Wanted::Help),
        ("get -h", Some("get"), Wanted::Help),
        ("-p 1 put x --name --help", Some("put"), Wanted::Help),
        ("get --what -o --help", Some("get"), Wanted::Help),
        ("--version", None, Wanted::Version),
        ("list -V", Some("list"), Wanted::Version),
    ] {
        let reading = read(line);
        assert_eq!(reading.verb, verb, "{line}");
        assert_eq!(reading.wanted, Ok(wanted), "{line}");
    }
    assert_eq!(words("put -- --help"), "put -- --help");
}
