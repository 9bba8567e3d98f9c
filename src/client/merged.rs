//! A folder and the ring side by side, name by name. A page of each is in memory.

use super::{
    error::Error,
    local::Local,
    pages::Pages,
    requests::ListedFile,
    tree::{Found, LocalFile, Skipped},
};

/// What there is of a name.
#[derive(Debug)]
pub(super) enum Sides {
    /// A file in the folder alone.
    Local(LocalFile),
    /// A file in the ring alone.
    Ring {
        /// The file.
        file: ListedFile,
        /// Whether the folder has something in its place that cannot be put or read.
        is_hidden: bool,
    },
    /// A file on both sides, the same or not.
    Both(LocalFile, ListedFile),
    /// What the folder has, and cannot be put.
    Skipped(Skipped),
    /// A temporary file of an interrupted run, by its name with the prefix.
    Leftover(String),
}

/// Both sides.
pub(super) struct Merged {
    local: Local,
    ring: Pages,
    next_local: Option<Found>,
    next_ring: Option<ListedFile>,
    /// Names that cannot be put and with which the next name of the ring begins: so there are few.
    hidden: Vec<String>,
}

impl Merged {
    /// Both must have the same prefix.
    pub fn of(local: Local, ring: Pages) -> Self {
        Self { local, ring, next_local: None, next_ring: None, hidden: Vec::new() }
    }

    /// What there is of the next name. `None`: that was all.
    pub async fn next(&mut self) -> Result<Option<Sides>, Error> {
        if self.next_local.is_none() {
            self.next_local = self.local.next().await;
        }
        if self.next_ring.is_none() {
            self.next_ring = self.ring.next().await?;
        }
        Ok(match (self.next_local.take(), self.next_ring.take()) {
            (None, None) => None,
            (Some(found), None) => Some(take_local(found)),
            (None, Some(file)) => Some(self.take_ring(file)),
            (Some(Found::File(local)), Some(ring)) if local.name == ring.name => {
                Some(Sides::Both(local, ring))
            }
            (Some(found), Some(ring)) => {
                let is_local_first = match &found {
                    Found::File(local) => local.name < ring.name,
                    // It must be known before the names at and below it.
                    Found::Skipped(skipped) => {
                        skipped.name.as_deref().is_none_or(|it| it <= ring.name.as_str())
                    }
                    Found::Leftover(_) => true,
                };
                if is_local_first {
                    self.hide(&found, &ring);
                    self.next_ring = Some(ring);
                    Some(take_local(found))
                } else {
                    self.next_local = Some(found);
                    Some(self.take_ring(ring))
                }
            }
        })
    }

    /// Remembers what cannot be put if the ring has something in its place or below it. All names of
    /// the ring that begin so come next.
    fn hide(&mut self, found: &Found, next: &ListedFile) {
        if let Found::Skipped(Skipped { name: Some(name), .. }) = found
            && next.name.as_str().starts_with(name.as_str())
        {
            self.hidden.push(name.clone());
        }
    }

    fn take_ring(&mut self, file: ListedFile) -> Sides {
        let name = file.name.as_str();
        self.hidden.retain(|hidden| name.starts_with(hidden.as_str()));
        let is_in = |hidden: &String| {
            let rest = &name[hidden.len()..];
            rest.is_empty() || rest.starts_with('/')
        };
        let is_hidden = self.hidden.iter().any(is_in);
        Sides::Ring { file, is_hidden }
    }
}

fn take_local(found: Found) -> Sides {
    match found {
        Found::File(file) => Sides::Local(file),
        Found::Leftover(name) => Sides::Leftover(name),
        Found::Skipped(skipped) => Sides::Skipped(skipped),
    }
}
