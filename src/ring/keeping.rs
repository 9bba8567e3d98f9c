//! Keeping a file that has come: from a client, from another member on its way round, or by catching
//! up.

use super::{
    event::{Event, Output},
    limits::INCARNATION_MAX,
    message::{Item, Refusal, Status},
    name::Name,
    node::Node,
    table::Kept,
    version::Time,
};

impl Node {
    /// Keeps a file whose circle has closed.
    pub(super) fn keep_own(
        &mut self,
        name: &Name,
        item: Item,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        self.has_taken_part = true;
        match self.put_into_table(name, item, out) {
            Kept::New | Kept::Old => Ok(()),
            Kept::Full => Err(Refusal::new(Status::InsufficientStorage, self.why_full())),
        }
    }

    /// Keeps what another node sent, if it is newer than what is here.
    pub(super) fn keep(
        &mut self,
        now: Time,
        name: &Name,
        item: Item,
        out: &mut Vec<Output>,
    ) -> Result<Kept, Status> {
        if item.version.stamp.wall_ms() > INCARNATION_MAX {
            return Err(Status::Unavailable);
        }
        self.clock.observe(item.version.stamp, self.clocks.latest(now));
        match self.put_into_table(name, item, out) {
            Kept::Full => Err(Status::InsufficientStorage),
            kept => Ok(kept),
        }
    }

    fn put_into_table(&mut self, name: &Name, item: Item, out: &mut Vec<Output>) -> Kept {
        let (version, bytes) = (item.version, item.content.len());
        let was_full = !self.refused.is_empty();
        let kept = self.table.put(name, item);
        match kept {
            Kept::Full => self.refused.add(name, version, bytes),
            Kept::New | Kept::Old => self.refused.kept(name, version),
        }
        self.note_room(was_full, out);
        kept
    }

    /// Says so if this node has become full, or has room again.
    pub(super) fn note_room(&mut self, was_full: bool, out: &mut Vec<Output>) {
        let is_full = !self.refused.is_empty();
        if is_full != was_full {
            out.push(Output::Notify(if is_full { Event::Full } else { Event::Roomy }));
        }
    }
}
