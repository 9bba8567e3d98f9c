//! Slow lines between nodes: a large file takes longer than a node would wait for a dead one.

use std::{thread, time::Instant};

use tempfile::TempDir;

use crate::{
    cluster::{Process, own_ip, until},
    lines::Line,
};

const MIB: usize = 1 << 20;

/// Two nodes that reach each other only over lines of this many Mbit/s, and keep files in these folders.
fn two_nodes(mbit_per_second: usize, folders: Option<&TempDir>) -> [Process; 2] {
    let ip = own_ip();
    let folders = [0, 1].map(|i| folders.map(|it| it.path().join(i.to_string())));
    let folders = folders.map(|it| it.map(|it| it.display().to_string()));
    let lines = [(); 2].map(|()| Line::new(&ip, mbit_per_second * 1_000_000 / 8));
    let prev = lines[0].near.port().to_string();
    let mut nodes = Vec::new();
    for line in &lines {
        let advertise = line.near.to_string();
        let mut options = vec!["--ip", &ip, "--port", "0", "--advertise", &advertise];
        if !nodes.is_empty() {
            options.extend(["--prev-ip", &ip, "--prev-port", &prev]);
        }
        if let Some(folder) = &folders[nodes.len()] {
            options.extend(["--data", folder]);
        }
        let node = Process::start(&options, &[]);
        line.leads_to(node.address());
        nodes.push(node);
    }
    for node in &nodes {
        node.wait_for_list(&lines.each_ref().map(|line| line.near));
        until("it is ready", || (node.client().ask("INFO").key("ready")? == "1").then_some(()));
    }
    nodes.try_into().ok().expect("two were started")
}

fn deaths(nodes: &[Process]) -> Vec<String> {
    let lines = nodes.iter().flat_map(Process::lines).map(|line| line.text);
    lines.filter(|text| text.contains("is gone") || text.contains("broke")).collect()
}

fn put_over_a_slow_line(mbit_per_second: usize, folders: Option<&TempDir>) {
    let nodes = two_nodes(mbit_per_second, folders);
    let film = vec![7; 16 * MIB];
    let mut client = nodes[0].client();
    let begun = Instant::now();
    let answer = client.put("film", &film);
    println!("{mbit_per_second} Mbit/s: {:?}: {}", begun.elapsed(), answer.line);
    assert_eq!(deaths(&nodes), [""; 0], "nobody died of a large file");
    assert_eq!((answer.status(), answer.key("copies")), (200, Some("2")), "{}", answer.line);
    assert!(nodes[1].client().get("film") == film);
}

#[test]
fn nobody_is_called_dead_while_a_large_file_is_on_a_slow_line() {
    let nodes = two_nodes(10, None);
    let mut client = nodes[0].client();
    client.send(format!("PUT film len={}\n", 16 * MIB));
    client.send(vec![7; 16 * MIB]);
    let mut other = nodes[1].client();
    thread::spawn(move || client.try_answer());
    until("the file is there", || (other.ask("INFO").key("files")? == "1").then_some(()));
    assert_eq!(deaths(&nodes), [""; 0]);
}

#[test]
fn a_large_file_is_put_over_ten_megabit() {
    put_over_a_slow_line(10, None);
}

#[test]
fn a_large_file_is_put_over_five_megabit() {
    put_over_a_slow_line(5, None);
}

#[test]
fn a_large_file_is_put_over_five_megabit_from_disk_to_disk() {
    put_over_a_slow_line(5, Some(&TempDir::new().unwrap()));
}
