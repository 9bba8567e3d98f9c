//! The requests of a client as functions, and the types of their answers.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    connection::Connection,
    error::Error,
    member::Member,
    reply::{Reply, text_line},
};
use crate::ring::{
    limits::{LINE_BYTES_MAX, NAME_BYTES_MAX},
    line::{BadKey, Line},
    name::{Name, encode},
    version::Version,
};

/// A file as a node sent it; its hash was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
    /// The version of this write.
    pub version: Version,
}

/// A line of a LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// The name of the file.
    pub name: Name,
    /// Its size.
    pub bytes: u64,
    /// The version of this write.
    pub version: Version,
}

/// One answer to LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Sorted by name.
    pub entries: Vec<ListedFile>,
    /// Whether names follow after the last one.
    pub more: bool,
}

/// The answer to a PING.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The node that answered.
    pub node: String,
    /// From before the request was written until the answer was read.
    pub round_trip: Duration,
}

impl Connection {
    /// Stores a file in the ring. The answer has the keys `version` and `copies`.
    pub async fn put(&mut self, name: &Name, content: &[u8]) -> Result<Reply, Error> {
        let line = format!("PUT {} len={}\n", name.wire(), content.len());
        self.succeed(&line, content).await
    }

    /// Fetches a file and checks its hash. Status 404: no member has it.
    pub async fn get(&mut self, name: &Name) -> Result<File, Error> {
        let reply = self.succeed(&format!("GET {}\n", name.wire()), &[]).await?;
        let version = self.key(&reply, "version")?.parse();
        let version = version.map_err(|()| self.bad(BadKey("version").to_string()))?;
        let hash = blake3::hash(&reply.body).to_hex();
        if !hash.eq_ignore_ascii_case(self.key(&reply, "blake3")?) {
            return Err(self.bad("the content does not have the hash that it should have".into()));
        }
        Ok(File { content: reply.body, version })
    }

    /// One page of the names that begin with `prefix` and come after `after`.
    pub async fn list(&mut self, prefix: &str, after: Option<&Name>) -> Result<Page, Error> {
        let beyond = |after: &Name| after.as_str() > prefix && !after.as_str().starts_with(prefix);
        if prefix.len() > NAME_BYTES_MAX || after.is_some_and(beyond) {
            return Ok(Page { entries: Vec::new(), more: false });
        }
        let after = after.filter(|after| after.as_str() >= prefix);
        let mut line = "LIST".to_owned();
        if let Some(after) = after {
            line += &format!(" after={}", after.wire());
        }
        let wanted = format!(" prefix={}\n", encode(prefix));
        // Two long names do not fit one line. Then the node lists all names, and the first one
        // without the prefix ends the list, because it is sorted.
        let narrow = !prefix.is_empty() && line.len() + wanted.len() <= LINE_BYTES_MAX;
        line += if narrow { &wanted } else { "\n" };
        let reply = self.succeed(&line, &[]).await?;
        let parsed = lines(&reply.body).map(|line| entry(line?)).collect::<Result<_, _>>();
        let mut entries: Vec<ListedFile> = parsed.map_err(|what| self.bad(what))?;
        let mut more = self.number(&reply, "more")? != 0;
        let before = after.into_iter().chain(entries.iter().map(|entry| &entry.name));
        if !before.is_sorted_by(|a, b| a < b) || (more && entries.is_empty()) {
            return Err(self.bad("a list of names that is out of order".into()));
        }
        if !narrow {
            let wanted = entries.partition_point(|entry| entry.name.as_str().starts_with(prefix));
            more &= wanted == entries.len();
            entries.truncate(wanted);
        }
        Ok(Page { entries, more })
    }

    /// The members that the node knows: live ones first, in the order of the ring.
    pub async fn ring(&mut self) -> Result<Vec<Member>, Error> {
        let reply = self.succeed("RING\n", &[]).await?;
        let members = lines(&reply.body).map(|line| Member::read(line?)).collect::<Result<_, _>>();
        members.map_err(|what| self.bad(what))
    }

    /// Measures the time to the node and back.
    pub async fn ping(&mut self) -> Result<Pong, Error> {
        let begun = Instant::now();
        let reply = self.succeed("PING\n", &[]).await?;
        let round_trip = begun.elapsed();
        Ok(Pong { node: self.key(&reply, "node")?.to_owned(), round_trip })
    }

    /// What the node says about itself and its limits, as keys of the answer.
    pub async fn info(&mut self) -> Result<Reply, Error> {
        self.succeed("INFO\n", &[]).await
    }

    /// Lets the ring forget a member that is gone. Status 404: it knows no such member; 400: it is
    /// alive.
    pub async fn forget(&mut self, member: SocketAddr) -> Result<Reply, Error> {
        self.succeed(&format!("FORGET {member}\n"), &[]).await
    }

    /// Like [`request`](Self::request), with every status but 200 an error.
    async fn succeed(&mut self, line: &str, content: &[u8]) -> Result<Reply, Error> {
        let reply = self.request(line, content).await?;
        if reply.status == 200 {
            return Ok(reply);
        }
        let text = reply.line.split_once(' ').map_or("", |(_, text)| text).replacen(" : ", ": ", 1);
        Err(Error::Status { node: self.node.clone(), status: reply.status, text })
    }

    fn key<'a>(&self, reply: &'a Reply, key: &'static str) -> Result<&'a str, Error> {
        reply.key(key).ok_or_else(|| self.bad(BadKey(key).to_string()))
    }

    fn number(&self, reply: &Reply, key: &'static str) -> Result<u64, Error> {
        reply.number(key).map_err(|bad| self.bad(bad.to_string()))
    }
}

fn lines(body: &[u8]) -> impl Iterator<Item = Result<Line<'_>, String>> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| text_line(line).map(Line::new).map_err(str::to_owned))
}

fn entry(line: Line<'_>) -> Result<ListedFile, String> {
    let name = Name::from_wire(line.word(0).unwrap_or_default()).map_err(|bad| bad.to_string())?;
    let bytes = line.number("len").map_err(|bad| bad.to_string())?;
    let version = line.key("version").and_then(|version| version.parse().ok());
    let version = version.ok_or_else(|| BadKey("version").to_string())?;
    Ok(ListedFile { name, bytes, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let version = "0000000000001234@127.0.1.1:4043";
        let line = format!("a%20b.txt len=7 version={version}");
        let read = entry(Line::new(&line)).unwrap();
        assert_eq!((read.name.as_str(), read.bytes), ("a b.txt", 7));
        assert_eq!(read.version.to_string(), version);
        for bad in ["", "../x len=1 version=x", "x len=1", "x version=0000000000001234@1.2.3.4:5"] {
            assert!(entry(Line::new(bad)).is_err(), "{bad}");
        }
    }
}
