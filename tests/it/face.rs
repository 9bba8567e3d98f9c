//! A node as a web server: files, folders, conditions, ranges and writes over HTTP, at the port that speaks
//! the line protocol too.

mod folders;
mod hostile;
mod kills;
mod limits;
mod mirrors;
mod nginx;
mod own;
mod port;
mod reads;
mod writes;

use std::net::SocketAddr;

use crate::{
    cluster::{Process, own_ip},
    served::{Client, Reply},
};

/// A node that is alone in its ring.
struct Site {
    node: Process,
    address: SocketAddr,
}

impl Site {
    fn start(options: &[&str]) -> Self {
        let ip = own_ip();
        let own = ["--ip", &ip, "--port", "0", "--bootstrap"];
        let node = Process::start(&[&own, options].concat(), &[]);
        node.wait_until_ready(1);
        let address = node.address();
        Self { node, address }
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let site = Self::start(&[]);
        for (name, content) in files {
            assert_eq!(site.node.client().put(name, content.as_bytes()).status(), 200);
        }
        site
    }

    fn client(&self) -> Client {
        Client::connect_to(self.address).unwrap()
    }

    fn ask(&self, method: &str, target: &str, headers: &[&str]) -> Reply {
        ask(self.address, method, target, headers, "")
    }

    fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[])
    }

    /// The status of an answer, of which only the head is read.
    fn get_status(&self, target: &str) -> u16 {
        let mut client = self.client();
        client.send(request(self.address, "GET", target, &[], ""));
        client.reply_to_head().status
    }

    fn put(&self, target: &str, headers: &[&str], body: &str) -> Reply {
        ask(self.address, "PUT", target, headers, body)
    }
}

/// One request on a connection of its own.
fn ask(node: SocketAddr, method: &str, target: &str, headers: &[&str], body: &str) -> Reply {
    let mut client = Client::connect_to(node).unwrap();
    client.send(request(node, method, target, headers, body));
    client.try_reply(method != "HEAD").unwrap()
}

fn request(node: SocketAddr, method: &str, target: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|it| it.to_lowercase().starts_with("host:")) {
        text += &format!("Host: {node}\r\n");
    }
    if method == "PUT" || !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    headers.iter().for_each(|header| text += &format!("{header}\r\n"));
    text + "\r\n" + body
}

/// BLAKE3 of a content, as a tag.
fn tag(content: &str) -> String {
    format!("\"{}\"", blake3::hash(content.as_bytes()).to_hex())
}
