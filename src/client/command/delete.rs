//! `ring-client delete`.

use std::{cell::RefCell, collections::BTreeSet, ops::ControlFlow, vec};

use serde_json::{Value, json};

use super::{
    outcome::{Failure, Printed, exit_of, printed_name, worse},
    wanted::{Wanted, nothing_begins_with},
};
use crate::{
    cli::{self, Exit, UsageError},
    client::{
        connection::Timeouts, error::Error, failover::Client, human::shown, node::Node,
        pages::Pages, reply::Reply, verbs::Delete, workers,
    },
    ring::name::Name,
};

pub(super) async fn delete(
    called: &str,
    nodes: &[Node],
    timeouts: Timeouts,
    verb: Delete,
) -> Result<Exit, Failure> {
    let wanted = Wanted::of(&verb.names, &verb.prefix)?;
    if let [name] = &wanted.names[..]
        && wanted.is_lone()
    {
        let only_if = verb.if_version.map(|it| it.0);
        let result = Client::new(nodes.to_vec(), timeouts).delete(name, only_if).await;
        return Told { called, is_lone: true, is_json: verb.json, ..Told::default() }
            .tell_one(name, result);
    }
    if verb.if_version.is_some() {
        return Err(UsageError("--if-version is for one file".into()).into());
    }
    let told = Told { called, is_json: verb.json, ..Told::default() };
    let told = RefCell::new(told);
    let client = || Client::new(nodes.to_vec(), timeouts);
    let mut names = Names::of(wanted, client);
    let listed = workers::each(
        nodes,
        timeouts,
        async || names.next(|prefix| told.borrow_mut().is_empty(prefix)).await,
        async |client, name: Name| {
            let result = client.delete(&name, None).await;
            let is_hopeless = matches!(result, Err(Error::Unreachable { .. }));
            told.borrow_mut().tell(&name, result);
            if is_hopeless { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    )
    .await;
    let mut told = told.into_inner();
    if let Err(error) = listed {
        told.exit = worse(told.exit, exit_of(&error));
        cli::say(called, format_args!("the other files were not deleted: {error}"));
    }
    if !verb.json {
        told.printed.line(told.summary());
    }
    told.printed.ended(told.exit)
}

/// The names to delete, one at a time, each once.
struct Names<C> {
    names: vec::IntoIter<Name>,
    /// Those that were given as such.
    given: BTreeSet<Name>,
    prefixes: vec::IntoIter<String>,
    client: C,
    /// The prefix that is being listed, and whether it has had a name.
    listed: Option<(Pages, String, bool)>,
    /// Those before it.
    done: Vec<String>,
}

impl<C: Fn() -> Client> Names<C> {
    fn of(wanted: Wanted, client: C) -> Self {
        let given: BTreeSet<_> = wanted.names.into_iter().collect();
        Self {
            names: given.iter().cloned().collect::<Vec<_>>().into_iter(),
            given,
            prefixes: wanted.prefixes.into_iter(),
            client,
            listed: None,
            done: Vec::new(),
        }
    }

    /// `is_empty` is told of each prefix that stands for no name.
    async fn next(&mut self, is_empty: impl Fn(&str)) -> Result<Option<Name>, Error> {
        if let Some(name) = self.names.next() {
            return Ok(Some(name));
        }
        loop {
            let Some((pages, prefix, has_names)) = &mut self.listed else {
                let Some(prefix) = self.prefixes.next() else { return Ok(None) };
                let pages = Pages::new((self.client)(), prefix.clone(), false);
                self.listed = Some((pages, prefix, false));
                continue;
            };
            match pages.next().await? {
                Some(file) => {
                    *has_names = true;
                    let is_again = self.given.contains(&file.name)
                        || self.done.iter().any(|it| file.name.as_str().starts_with(it));
                    if !is_again {
                        return Ok(Some(file.name));
                    }
                }
                None => {
                    if !*has_names && !self.done.iter().any(|it| prefix.starts_with(it)) {
                        is_empty(prefix);
                    }
                    self.done.extend(self.listed.take().map(|(_, prefix, _)| prefix));
                }
            }
        }
    }
}

/// What has been said so far, and what became of all files.
#[derive(Default)]
struct Told<'a> {
    called: &'a str,
    is_lone: bool,
    is_json: bool,
    deleted: usize,
    missing: usize,
    failed: usize,
    exit: Exit,
    printed: Printed,
}

impl Told<'_> {
    fn tell_one(mut self, name: &Name, result: Result<Reply, Error>) -> Result<Exit, Failure> {
        self.tell(name, result);
        self.printed.ended(self.exit)
    }

    fn tell(&mut self, name: &Name, result: Result<Reply, Error>) {
        if self.is_json {
            self.printed.json(&json(name, &result));
        }
        match result {
            Ok(reply) => {
                self.deleted += 1;
                match (self.is_json, self.is_lone) {
                    (true, _) => {}
                    (false, true) => self.printed.line(shown(&reply.line)),
                    (false, false) => {
                        self.printed.line(format_args!(
                            "{}  {}",
                            printed_name(name),
                            shown(&reply.line)
                        ));
                    }
                }
            }
            Err(error) => {
                let (exit, name) = (exit_of(&error), shown(name.as_str()));
                match exit {
                    Exit::NotFound => self.missing += 1,
                    _ => self.failed += 1,
                }
                // Several workers find that no node can be reached; that is said once.
                if (self.exit, exit) != (Exit::Unreachable, Exit::Unreachable) {
                    cli::say(self.called, why_not(self.called, &name, &error));
                }
                self.exit = worse(self.exit, exit);
            }
        }
    }

    fn is_empty(&mut self, prefix: &str) {
        self.exit = worse(self.exit, Exit::NotFound);
        cli::say(self.called, nothing_begins_with(prefix));
    }

    /// In one line: `2 files deleted; 1 not there; 1 not deleted`.
    fn summary(&self) -> String {
        let mut line = format!("{} deleted", cli::counted(self.deleted, "file"));
        for (count, what) in [(self.missing, "not there"), (self.failed, "not deleted")] {
            if count > 0 {
                line += &format!("; {count} {what}");
            }
        }
        line
    }
}

fn why_not(called: &str, name: &str, error: &Error) -> String {
    match error.status() {
        Some(404) => format!(
            "404: there is no file {name}. `{called} log {name}` shows whether it was deleted"
        ),
        _ if error.outcome_unknown() => {
            format!(
                "whether {name} was deleted is unknown: {error}. Delete it again, which is safe"
            )
        }
        _ => format!("{name} was not deleted: {error}"),
    }
}

fn json(name: &Name, result: &Result<Reply, Error>) -> Value {
    let name = name.as_str();
    match result {
        Ok(reply) => json!({
            "name": name,
            "outcome": "deleted",
            "version": reply.key("version"),
            "copies": reply.number("copies").ok(),
        }),
        Err(error) => json!({
            "name": name,
            "outcome": match error.status() {
                Some(404) => "missing",
                _ if error.outcome_unknown() => "unknown",
                _ => "failed",
            },
            "status": error.status(),
            "error": error.to_string(),
        }),
    }
}
