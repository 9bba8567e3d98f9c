//! Which files of the ring are meant by names and prefixes.

use std::collections::BTreeSet;

use super::outcome::{Failure, valid};
use crate::{
    cli::{self, Exit, UsageError},
    client::{failover::Client, human::shown},
    ring::name::Name,
};

/// The files that are meant.
pub(super) struct Wanted {
    pub names: Vec<Name>,
    /// All files whose names begin so.
    pub prefixes: Vec<String>,
}

/// What was found.
pub(super) struct Found {
    pub names: Vec<Name>,
    /// Of all together. `None`: it is not known.
    pub bytes: Option<u64>,
}

impl Wanted {
    /// `words` are names, and beginnings that end in /.
    pub fn of(words: &[String], prefixes: &[String]) -> Result<Self, UsageError> {
        let mut wanted = Self { names: Vec::new(), prefixes: prefixes.to_vec() };
        for word in words {
            match word.strip_suffix('/') {
                Some(folder) => {
                    valid(folder)?;
                    wanted.prefixes.push(word.clone());
                }
                None => wanted.names.push(valid(word)?),
            }
        }
        if wanted.names.is_empty() && wanted.prefixes.is_empty() {
            return Err(UsageError("<name> is missing; --prefix '' is all files".into()));
        }
        Ok(wanted)
    }

    /// Whether one file is meant, by its name.
    pub fn is_lone(&self) -> bool {
        self.names.len() == 1 && self.prefixes.is_empty()
    }

    /// The names of all, each once. Of a beginning that no name has, it is said that there is none.
    pub async fn names(&self, called: &str, client: &mut Client) -> Result<(Found, Exit), Failure> {
        let (mut names, mut exit, mut bytes) = (self.names.clone(), Exit::Done, 0);
        for prefix in &self.prefixes {
            let (before, mut after) = (names.len(), None);
            loop {
                let page = client.list(prefix, after.as_ref()).await?;
                bytes += page.entries.iter().map(|entry| entry.bytes).sum::<u64>();
                names.extend(page.entries.into_iter().map(|entry| entry.name));
                if !page.more {
                    break;
                }
                after = names.last().cloned();
            }
            if names.len() == before {
                exit = Exit::NotFound;
                cli::say(called, nothing_begins_with(prefix));
            }
        }
        let mut seen = BTreeSet::new();
        let before = names.len();
        names.retain(|name| seen.insert(name.clone()));
        let is_known = self.names.is_empty() && names.len() == before;
        Ok((Found { names, bytes: is_known.then_some(bytes) }, exit))
    }
}

/// Says that a prefix stands for no file.
pub(super) fn nothing_begins_with(prefix: &str) -> String {
    match prefix {
        "" => "the ring has no files".into(),
        prefix => format!("404: no name begins with {}", shown(prefix)),
    }
}
