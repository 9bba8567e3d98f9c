//! `ring-client verify`.

mod judge;
mod sides;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use async_io::Timer;
use serde_json::{Value, json};

use self::{
    judge::{Difference, HeldByFolder, HeldByNode, differences},
    sides::{HashedFile, HashedFolder, ListedNode, Side, Sides, all},
};
use super::{
    mirror::folder_prefix,
    outcome::{Failure, Printed, printed_name},
    status::ask_health,
    verdict::AskedMember,
};
use crate::{
    cli::{self, Exit, counted},
    client::{
        connection::Timeouts, error::Error, failover::Client, human::shown, member::MemberState,
        node::Node, pages::Pages, verbs::Verify,
    },
    ring::name::Name,
};

/// Names that differ, or whose versions are compared, and that are in memory at a time.
const SUSPECTS_MAX: usize = 256;
/// How often names that differ are looked at again, since files may be on their way.
const ROUNDS: usize = 4;
/// The pause before each.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) async fn verify(
    called: &str,
    mut client: Client,
    timeouts: Timeouts,
    verb: Verify,
) -> Result<Exit, Failure> {
    let prefix = folder_prefix(verb.prefix.as_deref())?;
    let folder = match &verb.local {
        None => None,
        Some(dir) => Some(HashedFolder::open(PathBuf::from(dir), prefix.clone()).await?),
    };
    let members = client.ring().await?;
    let asked = ask_health(&members, timeouts).await;
    let mut work = Verifying {
        called,
        verb: &verb,
        timeouts,
        printed: Printed::default(),
        names: 0,
        differing: 0,
        problems: 0,
        suspects: Vec::new(),
    };
    let mut nodes = Vec::new();
    for asked in &asked {
        if let Some(problem) = problem(asked) {
            work.problem(asked.member.address, &problem);
        }
        if asked.member.is_alive() && asked.health.is_ok() {
            let address = asked.member.address;
            let pages = Pages::new(client_of(address, timeouts), prefix.clone(), true);
            nodes.push(ListedNode::of(address, pages));
        }
    }
    work.run(Sides { nodes, folder, last: None }).await;
    work.end(members.iter().filter(|it| it.state != MemberState::Left).count())
}

fn client_of(address: SocketAddr, timeouts: Timeouts) -> Client {
    let node = Node { host: address.ip().to_string(), port: address.port() };
    Client::new(vec![node], timeouts)
}

/// Why a member is not compared, or why it may differ.
fn problem(asked: &AskedMember) -> Option<String> {
    match (asked.member.state, &asked.health) {
        (MemberState::Left, Err(_)) => None,
        (MemberState::Alive, Err(why)) => {
            Some(format!("does not answer, and is not compared: {why}"))
        }
        (MemberState::Gone, Err(why)) => Some(format!("is gone, and is not compared: {why}")),
        (MemberState::Alive, Ok(health)) if health.ready == Some(false) => {
            Some("is not ready: it may lack files that others hold".into())
        }
        (MemberState::Alive, Ok(health)) if health.full == Some(true) => {
            Some("is full: some files of the ring are not there. See --max-store-bytes".into())
        }
        (MemberState::Alive, Ok(_)) => None,
        (state, Ok(_)) => {
            Some(format!("answers, and is not compared: the others count it as {}", state.word()))
        }
    }
}

struct Verifying<'a> {
    called: &'a str,
    verb: &'a Verify,
    timeouts: Timeouts,
    printed: Printed,
    names: usize,
    differing: usize,
    problems: usize,
    suspects: Vec<Suspect>,
}

/// A name that is looked at more closely.
struct Suspect {
    name: Name,
    folder: HeldByFolder,
    held: Vec<HeldByNode>,
    found: Vec<Difference>,
}

impl Verifying<'_> {
    async fn run(&mut self, mut sides: Sides) {
        loop {
            let last = sides.last.clone();
            let mut lost = Vec::new();
            let side = sides.next(|node, error| lost.push((node, error))).await;
            for (node, error) in lost {
                self.problem(node, &not_compared(last.as_ref(), &error));
            }
            self.tell_skipped(&mut sides);
            let Some(side) = side else { break };
            self.take(side, sides.folder.is_some());
            if self.suspects.len() == SUSPECTS_MAX {
                self.settle(&sides).await;
            }
        }
        self.settle(&sides).await;
    }

    fn take(&mut self, side: Side, has_folder: bool) {
        self.names += 1;
        if side.is_same(has_folder) && !self.verb.versions {
            return;
        }
        let Side { name, folder, .. } = side;
        let folder = match folder {
            None => None,
            Some(HashedFile { hash: Ok(hash), .. }) => Some(hash),
            Some(HashedFile { hash: Err(error), .. }) => {
                self.problems += 1;
                return cli::say(self.called, error);
            }
        };
        self.suspects.push(Suspect { name, folder, held: Vec::new(), found: Vec::new() });
    }

    fn tell_skipped(&mut self, sides: &mut Sides) {
        let skipped = sides.folder.as_mut().map(|folder| std::mem::take(&mut folder.skipped));
        for skipped in skipped.into_iter().flatten().filter(|it| !it.is_special) {
            self.problems += 1;
            cli::say(self.called, skipped);
        }
    }

    /// Looks at the suspects until they differ no more or nothing changes, and tells of the others.
    async fn settle(&mut self, sides: &Sides) {
        let nodes: Vec<SocketAddr> = sides.nodes.iter().map(|listed| listed.node).collect();
        for round in 0..ROUNDS {
            if self.suspects.is_empty() {
                return;
            }
            if round > 0 {
                Timer::after(PAUSE).await;
            }
            let has_changed = self.look(&nodes, sides.folder.is_some()).await;
            self.suspects.retain(|suspect| !suspect.found.is_empty());
            if round > 0 && !has_changed {
                break;
            }
        }
        for suspect in std::mem::take(&mut self.suspects) {
            self.tell(&suspect);
        }
    }

    /// Asks all nodes for the versions of all suspects. Returns whether anything has changed.
    async fn look(&mut self, nodes: &[SocketAddr], has_folder: bool) -> bool {
        let names: Vec<Name> = self.suspects.iter().map(|it| it.name.clone()).collect();
        let (names, timeouts) = (&names, self.timeouts);
        let asked = all(nodes.iter().map(|node| async move {
            let mut client = client_of(*node, timeouts);
            let mut logs = Vec::with_capacity(names.len());
            for name in names {
                match client.log(name).await {
                    Ok(log) => logs.push(log),
                    Err(error) if error.status() == Some(404) => logs.push(Vec::new()),
                    Err(error) => return Err((*node, error)),
                }
            }
            Ok((*node, logs))
        }))
        .await;
        let mut held: Vec<Vec<HeldByNode>> = vec![Vec::new(); names.len()];
        for answer in asked {
            match answer {
                Ok((node, logs)) => {
                    for (held, versions) in held.iter_mut().zip(logs) {
                        held.push(HeldByNode { node, versions });
                    }
                }
                Err((node, error)) => self.problem(node, &not_compared(None, &error)),
            }
        }
        let mut has_changed = false;
        for (suspect, held) in self.suspects.iter_mut().zip(held) {
            has_changed |= suspect.held != held;
            let folder = has_folder.then_some(suspect.folder);
            suspect.found = differences(&held, folder, self.verb.versions);
            suspect.held = held;
        }
        has_changed
    }

    fn problem(&mut self, node: SocketAddr, problem: &str) {
        self.problems += 1;
        match self.verb.json {
            true => self.printed.json(&json!({ "node": node.to_string(), "problem": problem })),
            // It may quote what the node has sent.
            false => self.printed.line(format_args!("{node} {}", shown(problem))),
        }
    }

    fn tell(&mut self, suspect: &Suspect) {
        self.differing += 1;
        if self.verb.json {
            let found: Vec<_> = suspect.found.iter().map(|it| self.json(it)).collect();
            let name = suspect.name.as_str();
            return self.printed.json(&json!({ "name": name, "differences": found }));
        }
        let name = printed_name(&suspect.name);
        for difference in &suspect.found {
            let side = self.side(difference.node);
            self.printed.line(format_args!("{name}: {side} {}", difference.what));
        }
    }

    fn json(&self, difference: &Difference) -> Value {
        json!({
            "node": difference.node.map(|node| node.to_string()),
            "what": difference.what.word(),
            "text": difference.what.to_string(),
        })
    }

    fn side(&self, node: Option<SocketAddr>) -> String {
        let dir = || shown(self.verb.local.as_deref().unwrap_or_default());
        node.map_or_else(dir, |node| node.to_string())
    }

    fn end(mut self, nodes: usize) -> Result<Exit, Failure> {
        let is_equal = self.differing + self.problems == 0;
        let (names, nodes_in_words) = (counted(self.names, "name"), counted(nodes, "node"));
        if self.verb.json {
            self.printed.json(&json!({
                "equal": is_equal,
                "names": self.names,
                "differing": self.differing,
                "problems": self.problems,
                "nodes": nodes,
            }));
        } else if is_equal {
            let folder = self.verb.local.as_deref().map(shown);
            let folder = folder.map_or_else(String::new, |folder| format!(" and {folder}"));
            self.printed.line(format_args!("Equal: {names} on {nodes_in_words}{folder}."));
        } else {
            let problems = match self.problems {
                0 => String::new(),
                problems => format!("; {}", counted(problems, "problem")),
            };
            let differing = self.differing;
            self.printed.line(format_args!("Not equal: {differing} of {names} differ{problems}."));
        }
        self.printed.ended(if is_equal { Exit::Done } else { Exit::Failed })
    }
}

fn not_compared(last: Option<&Name>, error: &Error) -> String {
    let from = last.map_or_else(String::new, |last| format!(" after {}", shown(last.as_str())));
    format!("is not compared{from}: {}", error.cause())
}
