//! Nodes that are started: again one after the other while clients are at work, or all at once.

use std::{net::SocketAddr, thread, time::Instant};

use rustix::process::Signal;

use crate::{
    cluster::{Process, free_addresses, own_ip, settle},
    traffic::{Traffic, content},
};

/// Files that are there from the beginning.
const FILES: u64 = 1000;

/// How the nodes of a ring are told of each other.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// The same `--prev a --prev b --prev c` at every node.
    List,
    /// The same list, in the environment.
    Variable,
    /// As in the README: the first node is told of no other, the others of the first.
    First,
}

/// The command of a node, which is the same at each of its starts.
struct Start {
    form: Form,
    addresses: [SocketAddr; 3],
}

impl Start {
    fn new(form: Form) -> Self {
        Self { form, addresses: free_addresses(&own_ip()) }
    }

    fn start(&self, i: usize) -> Process {
        let own = self.addresses[i];
        let all = self.addresses.map(|address| address.to_string());
        let (ip, port) = (own.ip().to_string(), own.port().to_string());
        let first_port = self.addresses[0].port().to_string();
        let mut options = vec!["--ip", &ip, "--port", &port];
        let list = all.join(",");
        let mut variables = vec![];
        match self.form {
            Form::List => options.extend(all.iter().flat_map(|prev| ["--prev", prev])),
            Form::Variable => variables.push(("SMOLRING_PREV", list.as_str())),
            Form::First if i == 0 => {}
            Form::First => options.extend(["--prev-ip", &ip, "--prev-port", &first_port]),
        }
        let node = Process::start(&options, &variables);
        assert_eq!(node.address(), own);
        node
    }

    fn start_all(&self) -> Vec<Process> {
        let nodes: Vec<_> = (0..3).map(|i| self.start(i)).collect();
        settle(&nodes.iter().collect::<Vec<_>>(), &self.addresses);
        nodes
    }
}

fn roll(form: Form, signal: Signal) {
    let start = Start::new(form);
    let mut nodes = start.start_all();
    let addresses = start.addresses;
    let mut client = nodes[0].client();
    for number in 0..FILES {
        assert_eq!(client.put(&format!("old/{number}"), &content("old", number)).status(), 200);
    }
    let traffic = Traffic::during(&[&addresses], &addresses, |traffic| {
        for i in [0, 1, 2, 0, 1, 2, 0, 1, 2] {
            traffic.await_writes(50);
            let ended = Instant::now();
            nodes[i].signal(signal);
            let status = nodes[i].wait_for_exit();
            assert!(signal == Signal::KILL || status.success(), "{status}");
            nodes[i] = start.start(i);
            nodes[i].wait_until_ready(3);
            println!("{form:?}, {signal:?}: node {i} was back after {:.1?}", ended.elapsed());
        }
    });
    settle(&nodes.iter().collect::<Vec<_>>(), &addresses);
    for node in &nodes {
        traffic.must_be_at(node.address());
        let mut client = node.client();
        for number in 0..FILES {
            assert_eq!(client.get(&format!("old/{number}")), content("old", number));
        }
    }
}

#[test]
fn nodes_of_a_list_are_restarted_one_after_the_other_with_sigterm() {
    roll(Form::List, Signal::TERM);
}

#[test]
fn nodes_of_a_list_in_the_environment_are_killed_and_restarted_one_after_the_other() {
    roll(Form::Variable, Signal::KILL);
}

#[test]
fn a_first_node_without_prev_and_those_that_name_it_are_restarted_with_sigterm() {
    roll(Form::First, Signal::TERM);
}

#[test]
fn a_first_node_without_prev_and_those_that_name_it_are_killed_and_restarted() {
    roll(Form::First, Signal::KILL);
}

/// Starts nodes at these addresses in this order, each with these words in its options.
fn start_at(addresses: &[SocketAddr], order: &[usize], options: &[Vec<String>]) -> Vec<Process> {
    let mut nodes: Vec<_> = addresses.iter().map(|_| None).collect();
    for &i in order {
        let (ip, port) = (addresses[i].ip().to_string(), addresses[i].port().to_string());
        let mut all = vec!["--ip", &ip, "--port", &port];
        all.extend(options[i].iter().map(String::as_str));
        nodes[i] = Some(Process::start(&all, &[]));
    }
    nodes.into_iter().map(|node| node.expect("each was started")).collect()
}

fn prevs(names: &[String]) -> Vec<String> {
    names.iter().flat_map(|name| ["--prev".to_owned(), name.clone()]).collect()
}

#[test]
fn all_nodes_of_a_list_that_start_at_once_in_any_order_are_one_ring() {
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]];
    // Half of the rings have names that lead nowhere, or to the node itself in another form.
    let odd = |address: SocketAddr, turn: usize| match turn % 4 {
        0 => address.to_string(),
        1 => format!("localhost:{}", address.port()),
        2 => format!("127.0.0.1:{}", address.port()),
        _ => format!("localhost:{}", address.port()),
    };
    thread::scope(|scope| {
        for (turn, order) in orders.into_iter().enumerate() {
            scope.spawn(move || {
                let addresses = free_addresses::<3>(&own_ip());
                let mut names: Vec<_> = addresses.map(|address| odd(address, turn)).into();
                if turn == 3 {
                    names.insert(1, "no-such-host.invalid:4043".to_owned());
                }
                let begun = Instant::now();
                let nodes = start_at(&addresses, &order, &[(); 3].map(|()| prevs(&names)));
                settle(&nodes.iter().collect::<Vec<_>>(), &addresses);
                println!("{names:?}: one ring after {:.1?}", begun.elapsed());
            });
        }
    });
}

#[test]
fn nodes_that_name_each_other_in_a_circle_are_one_ring() {
    let addresses = free_addresses::<3>(&own_ip());
    let named = |i: usize| prevs(&[addresses[i].to_string()]);
    let nodes = start_at(&addresses, &[0, 1, 2], &[named(1), named(2), named(0)]);
    settle(&nodes.iter().collect::<Vec<_>>(), &addresses);
    let begun = nodes.iter().filter(|node| !node.lines_with("ready: ").is_empty()).count();
    assert_eq!(begun, 3);
}

#[test]
fn a_node_that_names_itself_by_another_name_says_so_once() {
    let [address] = free_addresses(&own_ip());
    let name = format!("localhost:{}", address.port());
    let nodes = start_at(&[address], &[0], &[prevs(&[name])]);
    let line = nodes[0].wait_for("who it is", |text| text.contains("is this node itself"));
    assert!(line.text.contains("localhost:"), "{}", line.text);
    // It is alone in its list, so it begins a ring.
    nodes[0].wait_until_ready(1);
    assert_eq!(nodes[0].lines_with("itself").len(), 1, "{:#?}", nodes[0].lines());
}
