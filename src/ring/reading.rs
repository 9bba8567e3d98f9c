//! What a node holds of a name, and the answer to a GET with that.

use super::{
    index::IndexEntry,
    item::Item,
    message::{Answer, Refusal, Status},
    name::Name,
    node::Node,
    version::Version,
};

impl Node {
    /// What this node holds of a name: the newest version, or the one that is wanted.
    pub(super) fn held(&self, name: &Name, wanted: Option<Version>) -> Option<Item> {
        let held = match wanted {
            Some(version) => self.index.version(name, version),
            None => self.index.get(name),
        };
        held.as_ref().map(IndexEntry::item)
    }

    /// What a GET that goes round brings of a version that this node holds: a large content stays here,
    /// and is pulled by those that lack it.
    pub(super) fn travelling(&self, item: Item) -> Item {
        match self.goes_apart(item.len()) {
            true => item.apart(self.config.address),
            false => item,
        }
    }

    /// The answer to a GET for which this was found.
    pub(super) fn found(
        &self,
        name: &Name,
        wanted: Option<Version>,
        found: Option<Item>,
    ) -> Answer {
        match (found, wanted) {
            (Some(item), _) if item.body().is_some() => Answer::Found(item),
            (Some(_), None) => {
                let name = name.wire();
                let reason = format!("{name} was deleted; LOG {name} shows what there was");
                Answer::Refused(Refusal::new(Status::NotFound, reason))
            }
            (Some(_), Some(version)) => {
                let reason = format!("{version} is the deletion of {}", name.wire());
                Answer::Refused(Refusal::new(Status::NotFound, reason))
            }
            (None, Some(version)) => {
                let reason = format!("no member has {version} of {}", name.wire());
                Answer::Refused(Refusal::new(Status::NotFound, reason))
            }
            (None, None) => self.not_found(name),
        }
    }

    /// There is no such file, unless this node knows of one that it had no room for.
    pub(super) fn not_found(&self, name: &Name) -> Answer {
        let refusal = match self.refused.get(name).is_some() || !self.refused.is_complete() {
            true => Refusal::new(
                Status::Unavailable,
                format!("{}: it had no room for {}", self.why_full().1, name.wire()),
            ),
            false => Refusal::new(Status::NotFound, format!("no member has {}", name.wire())),
        };
        Answer::Refused(refusal)
    }
}
