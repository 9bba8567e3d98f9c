//! The command line of `ring-client`: its verbs and options, and the older ways to write them.

use argh::FromArgs;

use super::{
    bench::Bench,
    connection::Timeouts,
    node::{HOST_DEFAULT, Node, Nodes, PORT_DEFAULT},
};
use crate::cli::{self, Period, UsageError};

/// Options that say how to reach the ring. They may stand before or after the verb.
const CONNECTION: &[&str] = &["-i", "--ip", "-p", "--port", "--node", "--timeout"];

/// All other options that a value follows.
const VALUED: &[&str] = &[
    "-o",
    "--output",
    "--name",
    "--count",
    "-c",
    "--clients",
    "-P",
    "--pipeline",
    "-d",
    "--size",
    "--seconds",
    "--mode",
    "--names",
];

/// Puts files into a ring of smolring nodes, and gets them at every other node.
#[derive(FromArgs, Debug)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name} put index.html\n\
               {command_name} put site/ --node 127.0.1.1:4043 --node 127.0.1.1:4044\n\
               {command_name} get index.html -i 127.0.1.1 -p 4044 -o copy.html\n\
               {command_name} list img/ --long\n\
               {command_name} -put index.html -i 127.0.1.1 -p 4043    (the old form)",
    note = "The options above may stand before or after the verb. After `--` nothing is an\n\
            option. `{command_name} VERB --help` tells more about a verb. Data goes to stdout,\n\
            everything else to stderr.",
    error_code(0, "done"),
    error_code(1, "something failed; stderr says what"),
    error_code(2, "the command line or the environment is wrong"),
    error_code(3, "no member of the ring has the name"),
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

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub(super) enum Verb {
    Put(Put),
    Get(Get),
    List(List),
    Ring(Ring),
    Ping(Ping),
    Info(Info),
    Bench(Bench),
}

/// Puts files and folders into the ring.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "put",
    help_triggers("-h", "--help"),
    example = "{command_name} index.html\n\
               {command_name} index.html --name start.html\n\
               {command_name} site/ robots.txt\n\
               date | {command_name} - --name now.txt",
    note = "A file gets its base name; the files of a folder get their paths below that folder.\n\
            Links are followed; devices and circles of links are skipped.\n\
            \n\
            The answer is printed: `200 OK version=... copies=K` says that K live members hold the\n\
            file. With a folder or several paths each answer stands behind its name, and the files\n\
            are put a few at a time.\n\
            \n\
            A put is safe to repeat. When a node breaks off or answers 503, the next --node is\n\
            asked. After 504 the outcome is unknown: put again, or look with `list --long`.\n\
            \n\
            --ip, --port, --node and --timeout are told in the help without a verb."
)]
pub(super) struct Put {
    /// the name in the ring, for one file (default: the file's base name; needed for stdin)
    #[argh(option)]
    pub name: Option<String>,

    /// files and folders, or - for stdin
    #[argh(positional, arg_name = "path")]
    pub paths: Vec<String>,
}

/// Gets a file from the ring and checks its hash.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "get",
    help_triggers("-h", "--help"),
    example = "{command_name} index.html\n\
               {command_name} img/logo.png -o logo.png",
    note = "With -o the file is written aside and renamed when it is whole, so that a get that\n\
            fails leaves nothing half. Exit code 3: no member has the name.\n\
            \n\
            --ip, --port, --node and --timeout are told in the help without a verb."
)]
pub(super) struct Get {
    /// the file or folder to write to; - is stdout (default: stdout)
    #[argh(option, short = 'o', arg_name = "file")]
    pub output: Option<String>,

    /// the name of the file in the ring
    #[argh(positional)]
    pub name: String,
}

/// Lists the names in the ring, sorted, one a line.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "list",
    help_triggers("-h", "--help"),
    note = "The prefix may end anywhere in a name.\n\
            --ip, --port, --node and --timeout are told in the help without a verb.",
    example = "{command_name}\n\
               {command_name} img/ --long"
)]
pub(super) struct List {
    /// show the size in bytes and the version in front of each name
    #[argh(switch, short = 'l')]
    pub long: bool,

    /// only names that begin with this (default: all)
    #[argh(positional, default = "String::new()")]
    pub prefix: String,
}

/// Shows the servers of the ring, and which members are gone.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "ring",
    help_triggers("-h", "--help"),
    note = "The first line has the live servers in their order, as the node that was asked knows\n\
            it: 127.0.1.1:4043(WS1) -> 127.0.1.1:4044(WS2) -> (WS1). Then come all members that\n\
            it knows, the gone ones too.\n\
            \n\
            --ip, --port, --node and --timeout are told in the help without a verb."
)]
pub(super) struct Ring {}

/// Measures the time to a node and back.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "ping",
    help_triggers("-h", "--help"),
    example = "{command_name} --count 10",
    note = "The time to connect is not part of it.\n\
            --ip, --port, --node and --timeout are told in the help without a verb."
)]
pub(super) struct Ping {
    /// how many round trips to make, one after the other (default: 1)
    #[argh(option, default = "1")]
    pub count: u32,
}

/// Shows a node's ring, store and limits, one key=value a line.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "info",
    help_triggers("-h", "--help"),
    note = "PROTOCOL.md says what the keys mean.\n\
            --ip, --port, --node and --timeout are told in the help without a verb."
)]
pub(super) struct Info {}

/// Brings a command line into the one order that argh understands: connection options, verb,
/// options of the verb, and the rest behind `--`.
///
/// `-put X`, `--put X`, `-get X` and `--get X` are the old forms of the verbs; `help VERB` is
/// `VERB --help`; `--key=value` is `--key value`.
pub(super) fn normalise(args: &[String]) -> Vec<String> {
    let (mut connection, mut options, mut words) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = cli::split_values(args).into_iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--" => words.extend(rest.by_ref()),
            "-put" | "--put" | "-get" | "--get" if words.is_empty() => {
                words.push(arg.trim_start_matches('-').to_owned());
            }
            option if CONNECTION.contains(&option) => {
                connection.push(arg);
                connection.extend(rest.next());
            }
            option if VALUED.contains(&option) => {
                options.push(arg);
                options.extend(rest.next());
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
            ("list -p", "-p list"),
            ("ring", "ring"),
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
    fn wrong_nodes_and_times_are_usage_errors() {
        assert!(parsed("ring -i a:1").nodes().is_err());
        assert!(parsed("ring -p 0").nodes().is_err());
        assert!(parsed("ring --timeout 0").timeouts().is_err());
    }
}
