//! The command line of `ring-client`: the options of every verb.

use argh::{ArgsInfo, FromArgs};

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
               {command_name} get img/ css/ -o copy\n\
               {command_name} list img/ --long\n\
               {command_name} log index.html\n\
               {command_name} push site www --delete --dry-run\n\
               {command_name} export backup.tar\n\
               {command_name} status\n\
               {command_name} -put index.html -i 127.0.1.1 -p 4043    (the old form)",
    note = "The options above may stand before or after the verb. After `--` nothing is an\n\
            option. `{command_name} VERB --help` has the options of a verb. Data goes to stdout,\n\
            everything else to stderr, with --json too. What takes longer than half a second says\n\
            how far it is, in one line that goes away, if stderr is a terminal; not with --json.",
    error_code(0, "done"),
    error_code(1, "something failed; stderr says what. Of status and verify: not all is well"),
    error_code(2, "the command line or the environment is wrong"),
    error_code(3, "no member has the name or the version, or there is no such member"),
    error_code(6, "the newest version is not that of --if-version; nothing was written"),
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

    /// how long to wait while nothing moves, in either direction: 500ms, 15s, 2m; a plain number
    /// is seconds
    /// (default: 15s; environment: SMOLRING_TIMEOUT)
    #[argh(option)]
    timeout: Option<Period>,

    #[argh(subcommand)]
    pub verb: Verb,
}

/// Whether `ring-client` has such a verb.
pub fn is_verb(word: &str) -> bool {
    Options::get_subcommands().iter().any(|verb| verb.name == word)
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
        Ok(cli::setting(flag, "node", Nodes(vec![Node::default()]))?.0)
    }

    /// How long to wait for a node.
    pub fn timeouts(&self) -> Result<Timeouts, UsageError> {
        let default = Period(Timeouts::default().silence);
        let silence = cli::named_setting(self.timeout, "timeout", default)?;
        if silence.value.0.is_zero() {
            return Err(silence.wrong("is not longer than 0"));
        }
        Ok(Timeouts::new(silence.value.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Options {
        let args: Vec<String> = line.split(' ').map(String::from).collect();
        cli::parse("ring-client", &args).unwrap()
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
        assert!(matches!(options.verb, Verb::Get(get) if get.names == ["index.html"]));
    }

    #[test]
    fn wrong_nodes_and_times_are_usage_errors() {
        assert!(parsed("ring -i a:1").nodes().is_err());
        assert!(parsed("ring -p 0").nodes().is_err());
        assert!(parsed("ring --timeout 0").timeouts().is_err());
    }
}
