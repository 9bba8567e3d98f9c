//! Leaving gracefully: what is under way is finished, others catch up with what only this node has,
//! and its predecessor links past it before it ends.

use super::{
    event::{Event, Output},
    node::{Node, Phase},
    version::Time,
    view::MemberState,
};

impl Node {
    pub(super) fn leave(&mut self, now: Time, out: &mut Vec<Output>) {
        if !matches!(self.phase, Phase::Joining | Phase::Member) {
            return;
        }
        self.refuse_waiting(out);
        let until = now + self.config.request_timeout;
        if self.phase == Phase::Member {
            return self.finish(now, until, out);
        }
        if self.rests > 0 && !self.index.is_empty() {
            // It was a member, and what it has acknowledged may be nowhere else: it goes back first.
            self.leaves_by.get_or_insert(until);
            self.joining.try_now(now);
        } else {
            self.end(out);
        }
    }

    /// Ends without a message: no ring depends on this node. A member that is just taking it in
    /// gets no answer when it tries its address; after a goodbye, it would look for what this node
    /// brings but never had.
    fn end(&mut self, out: &mut Vec<Output>) {
        self.abandon(out);
        self.phase = Phase::Left;
        out.push(Output::Left);
    }

    /// Takes nothing new, and finishes what it has begun.
    fn finish(&mut self, now: Time, until: Time, out: &mut Vec<Output>) {
        self.phase = Phase::Finishing { until };
        // What others cover is known when this CHECK comes back.
        (self.reports.held, self.reports.held_after) = (None, self.checks_made);
        self.reports.nobody_stays = None;
        self.begin_check(now, out);
        self.says_why_at = Some(now + self.config.check_interval / 2);
    }

    /// If leaving takes long, reports what it waits for.
    pub(super) fn say_why(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.says_why_at.take_if(|at| now >= *at).is_none()
            || !matches!(self.phase, Phase::Finishing { .. })
        {
            return;
        }
        let why = match (self.operations.len(), self.short_links.has_newcomer()) {
            (0, true) => "before it leaves: a newcomer is just being taken in".to_owned(),
            (0, false) => "before it leaves: others catch up with what only it has".to_owned(),
            (open, _) => format!("before it leaves: {open} operations are on their way"),
        };
        out.push(Output::Notify(Event::Waiting { why }));
    }

    /// Whether something that this node covers might be lost with it: there are others, and they
    /// are not known to cover it together; or another is just joining.
    fn is_needed(&self) -> bool {
        // What was collected in another circle says nothing about this one.
        let held = self.reports.held.as_ref().filter(|(circle, _)| *circle == self.circle);
        let held = held.map(|(_, held)| held);
        // This includes what a member brought in an earlier life, and has to follow itself.
        let others = self.view.brought().filter(|&(member, _)| {
            let covered = self.covers.of(member);
            !held.map_or(covered == 0, |held| held.has(member, covered))
        });
        // It may not yet cover what it brings itself: others cannot have followed that.
        let me = self.config.address;
        let is_unsure = !self.index.is_empty() && !self.covers.has(me, self.me.brings);
        let is_to_stay = self.live > 1 && self.reports.nobody_stays != Some(self.circle);
        self.short_links.has_newcomer() || (is_to_stay && (is_unsure || others.count() > 0))
    }

    /// The steps of leaving: answer what is in flight, let others catch up, say goodbye, wait until
    /// the predecessor links past this node.
    pub(super) fn step_out(&mut self, now: Time, out: &mut Vec<Output>) {
        if let Some(until) =
            self.leaves_by.filter(|&until| self.phase == Phase::Member || now >= until)
        {
            self.leaves_by = None;
            match self.phase {
                Phase::Member => self.finish(now, until, out),
                _ => self.end(out),
            }
        }
        if let Phase::Finishing { until } = self.phase
            && ((self.operations.is_empty() && self.storing.is_empty() && !self.is_needed())
                || now >= until)
        {
            self.abandon(out);
            self.phase = Phase::Leaving { until: now + self.config.check_timeout };
            self.me.state = MemberState::Left { since_ms: self.clocks.ring(now) };
            self.view.set(self.config.address, self.me);
            self.note_change(out);
            self.tend(now, out);
            let incoming: Vec<_> = self.links.keys().copied().collect();
            for link in incoming {
                self.tell(now, link, out);
            }
        }
        if let Phase::Leaving { until } = self.phase {
            let linked = self.links.keys().any(|&link| Some(link) != self.next_link());
            if self.live == 0 || !linked || now >= until {
                self.phase = Phase::Left;
                out.push(Output::Left);
            }
        }
    }
}
