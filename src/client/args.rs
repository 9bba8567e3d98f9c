//! The command line of `ring-client`: the options of all verbs, and the older ways to write it.

use argh::{ArgsInfo, FlagInfo, FlagInfoKind, FromArgs};

use super::{
    connection::Timeouts,
    node::{HOST_DEFAULT, Node, Nodes, PORT_DEFAULT},
    verbs::Verb,
};
use crate::cli::{self, Period, UsageError};

/// Puts files into a ring of smolring nodes, and gets them at every other node.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name} put index.html\n\
               {command_name} put site/ --node 127.0.1.1:4043 --node 127.0.1.1:4044\n\
               {command_name} get index.html -i 127.0.1.1 -p 4044 -o copy.html\n\
               {command_name} list img/ --long\n\
               {command_name} status\n\
               {command_name} -put index.html -i 127.0.1.1 -p 4043    (the old form)",
    note = "The options above may stand before or after the verb. After `--` nothing is an\n\
            option. `{command_name} VERB --help` tells more about a verb. Data goes to stdout,\n\
            everything else to stderr, with --json too.",
    error_code(0, "done"),
    error_code(1, "something failed; stderr says what. Of status: the ring is not well"),
    error_code(2, "the command line or the environment is wrong"),
    error_code(3, "no member of the ring has the name, or there is no such member"),
    error_code(69, "no node could be reached")
)]
pub(super) struct Options {
    /// host name or IP address of a node (default: 127.0.1.1, on macOS
    /// 127.0.0.1; environment: SMOLRING_NODE)
    #[argh(option, short = 'i', arg_name = "host")]
    ip: Option<String>,

    /// TCP port of that node (default: 4043; environment: SMOLRING_NODE)
    #[argh(option, short = 'p')]
    port: Option<u16>,

    /// a node to ask; repeat it, and the next one is asked when one is down or answers 503
    /// (default: 127.0.1.1:4043; environment: SMOLRING_NODE, several separated by commas)
    #[argh(option, arg_name = "host:port")]
    node: Vec<Node>,

    /// how long to wait while nothing moves: 500ms, 15s, 2m; a plain number is seconds
    /// (default: 15s; environment: SMOLRING_TIMEOUT)
    #[argh(option)]
    timeout: Option<Period>,

    #[argh(subcommand)]
    pub verb: Verb,
}

impl Options {
    /// The nodes to ask, in this order.
    pub fn nodes(&self) -> Result<Vec<Node>, UsageError> {
        let mut nodes = Vec::new();
        if self.ip.is_some() || self.port.is_some() {
            let host = self.ip.as_deref().unwrap_or(HOST_DEFAULT);
            let node = Node::at(host, self.port.unwrap_or(PORT_DEFAULT));
            nodes.push(node.map_err(|why| UsageError(format!("--ip and --port: {why}")))?);
        }
        nodes.extend(self.node.iter().cloned());
        let flag = (!nodes.is_empty()).then_some(Nodes(nodes));
        Ok(cli::setting(flag, "SMOLRING_NODE", Nodes(vec![Node::default()]))?.0)
    }

    /// How long to wait for a node.
    pub fn timeouts(&self) -> Result<Timeouts, UsageError> {
        let default = Period(Timeouts::default().silence);
        let Period(silence) = cli::setting(self.timeout, "SMOLRING_TIMEOUT", default)?;
        if silence.is_zero() {
            return Err(UsageError("--timeout must be longer than 0".into()));
        }
        Ok(Timeouts::new(silence))
    }
}

/// Brings a command line into the one order that argh understands: connection options, verb,
/// options of the verb, and the rest behind `--`.
///
/// `-put X`, `--put X`, `-get X` and `--get X` are the old forms of the verbs; `help VERB` is
/// `VERB --help`; `--key=value` is `--key value`.
pub(super) fn normalise(args: &[String]) -> Vec<String> {
    let known = Options::get_args_info();
    let verbs = || known.commands.iter().flat_map(|verb| verb.command.flags);
    let (mut connection, mut options, mut words) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = cli::split_values(args).into_iter();
    while let Some(arg) = rest.next() {
        let is_connection = takes_value(known.flags.iter(), &arg);
        match arg.as_str() {
            "--" => words.extend(rest.by_ref()),
            "-put" | "--put" | "-get" | "--get" if words.is_empty() => {
                words.push(arg.trim_start_matches('-').to_owned());
            }
            option if is_connection || takes_value(verbs(), option) => {
                let Some(value) = rest.next() else {
                    // Nothing may come after it: that would be taken for its value.
                    let verb = words.first().filter(|_| !is_connection).cloned();
                    return verb.into_iter().chain([arg]).collect();
                };
                let place = if is_connection { &mut connection } else { &mut options };
                place.extend([arg, value]);
            }
            option if option.starts_with('-') && option != "-" => options.push(arg),
            _ => words.push(arg),
        }
    }
    let mut help = options.iter().any(|option| option == "-h" || option == "--help");
    if words.first().is_some_and(|verb| verb == "help") {
        words.remove(0);
        help = true;
    }
    if help {
        words.truncate(1);
        words.push("--help".to_owned());
        return words;
    }
    let mut words = words.into_iter();
    let mut line = connection;
    line.extend(words.next());
    line.extend(options);
    if words.len() > 0 {
        line.push("--".to_owned());
    }
    line.extend(words);
    line
}

/// Whether `arg` is one of these options, and a value follows it.
fn takes_value<'a>(mut options: impl Iterator<Item = &'a FlagInfo<'a>>, arg: &str) -> bool {
    options.any(|it| {
        let is_short = || {
            it.short
                .is_some_and(|short| arg.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4])))
        };
        matches!(it.kind, FlagInfoKind::Option { .. }) && (it.long == arg || is_short())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(line: &str) -> String {
        let args: Vec<String> = line.split(' ').map(String::from).collect();
        normalise(&args).join(" ")
    }

    fn parsed(line: &str) -> Options {
        let args: Vec<String> = line.split(' ').map(String::from).collect();
        cli::parse("ring-client", &normalise(&args)).unwrap()
    }

    #[test]
    fn old_and_new_forms_become_one() {
        for (line, expected) in [
            ("-put a/index.html -i 127.0.1.1 -p 4043", "-i 127.0.1.1 -p 4043 put -- a/index.html"),
            ("--put f --ip h --port 1", "--ip h --port 1 put -- f"),
            ("-i h -p 1 -get f", "-i h -p 1 get -- f"),
            ("--get=f --port=1", "--port 1 get -- f"),
            ("get f -o -i -p 1", "-p 1 get -o -i -- f"),
            ("put --name -get - --node a:1", "--node a:1 put --name -get -- -"),
            ("get --timeout 1s -- -p", "--timeout 1s get -- -p"),
            ("-- get -o", "get -- -o"),
            ("--long list", "list --long"),
            ("list -p", "-p"),
            ("ring", "ring"),
            ("get f -o", "get -o"),
            ("ring --node", "--node"),
            ("help", "--help"),
            ("help get", "get --help"),
            ("-p 1 put x --help", "put --help"),
            ("--version", "--version"),
        ] {
            assert_eq!(normal(line), expected, "{line}");
        }
        assert!(normalise(&[]).is_empty());
    }

    #[test]
    fn the_old_forms_are_parsed_to_the_letter() {
        let options = parsed("-put test_files/index.html -i 127.0.1.1 -p 4043");
        assert_eq!(options.nodes().unwrap()[0].to_string(), "127.0.1.1:4043");
        assert!(matches!(options.verb, Verb::Put(put) if put.paths == ["test_files/index.html"]));
        let options = parsed("-get index.html -i ::1 -p 4044 --node [::1]:1 --timeout 2");
        let nodes = options.nodes().unwrap();
        assert_eq!(
            nodes.iter().map(Node::to_string).collect::<Vec<_>>(),
            ["[::1]:4044", "[::1]:1"]
        );
        assert_eq!(options.timeouts().unwrap().silence.as_secs(), 2);
        assert!(matches!(options.verb, Verb::Get(get) if get.name == "index.html"));
    }

    #[test]
    fn every_option_takes_its_value_in_both_forms_and_not_without_one() {
        let known = Options::get_args_info();
        let value = |option: &FlagInfo<'_>| if option.long == "--mode" { "get" } else { "1" };
        let parse = |line: &[&str]| {
            let args: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
            cli::parse::<Options>("ring-client", &normalise(&args)).map(|it| format!("{it:?}"))
        };
        let mut tried = 0;
        for verb in &known.commands {
            let positional =
                if verb.command.positionals.is_empty() { vec![] } else { vec!["127.0.1.1:1"] };
            let own = verb.command.flags.iter();
            for option in known.flags.iter().chain(own).filter(|it| it.long != "--help") {
                let long = option.long;
                let short = option.short.map(|short| format!("-{short}"));
                let with = |words: &[&str]| parse(&[&[verb.name], &positional[..], words].concat());
                let before = |words: &[&str]| parse(&[words, &[verb.name], &positional].concat());
                if option.kind == FlagInfoKind::Switch {
                    assert!(with(&[long]).is_ok() && before(&[long]) == with(&[long]), "{long}");
                    continue;
                }
                let value = value(option);
                let parsed = with(&[long, value]);
                assert!(parsed.is_ok(), "{} {long} {value}", verb.name);
                assert_eq!(with(&[&format!("{long}={value}")]), parsed);
                assert_eq!(before(&[long, value]), parsed);
                assert_eq!(before(&[&format!("{long}={value}")]), parsed);
                for option in [Some(long), short.as_deref()].into_iter().flatten() {
                    assert_eq!(with(&[option, value]), parsed);
                    assert_eq!(with(&[option]), Err(cli::Exit::Usage), "{} {option}", verb.name);
                }
                tried += 1;
            }
        }
        assert!(tried > 40, "{tried}");
    }

    #[test]
    fn no_word_is_an_option_of_one_verb_and_a_switch_of_another() {
        let known = Options::get_args_info();
        let all = || known.commands.iter().flat_map(|it| it.command.flags).chain(known.flags);
        for switch in all().filter(|it| it.kind == FlagInfoKind::Switch) {
            let short = switch.short.map(|short| format!("-{short}"));
            assert!(!takes_value(all(), switch.long), "{}", switch.long);
            assert!(!short.is_some_and(|short| takes_value(all(), &short)), "{}", switch.long);
        }
    }

    #[test]
    fn wrong_nodes_and_times_are_usage_errors() {
        assert!(parsed("ring -i a:1").nodes().is_err());
        assert!(parsed("ring -p 0").nodes().is_err());
        assert!(parsed("ring --timeout 0").timeouts().is_err());
    }
}
