//! What the disk thread does between batches: the heads of logs, and compaction.
//!
//! Compaction copies what counts of a log to the newest one, when half of it counts no more, and then
//! removes it (Rosenblum and Ousterhout's log-structured file system calls it cleaning). A copy says
//! which record it replaces, so after a power loss in the middle each version is found once. A death is
//! copied as long as there is the log in which the dead record is. A log is removed when the copies and
//! all deaths that wait are synced: so a record that was dead does not come back, whatever else was
//! dropped meanwhile.

use std::io;

use super::{
    engine::{Engine, LogState, heads_name, log_name},
    heads::HeadsWriter,
    limits::COMPACTION_STEP_BYTES,
    live::Live,
    record::{HEADER_BYTES, RecordKind, RecordValue, Spot},
    scan::Window,
    table::{OpenLog, Place},
};
use crate::ring::item::Ticket;

/// Work under way.
#[derive(Default, Debug)]
pub struct Background {
    task: Option<Task>,
    /// The log with which it failed last: others have their turn first.
    failed: u32,
}

#[derive(Debug)]
enum Task {
    Heads(Box<HeadsWriter>),
    Compaction(Compaction),
}

/// A log that is being compacted.
#[derive(Debug)]
struct Compaction {
    number: u32,
    log: OpenLog,
    live: Live,
    at: u32,
}

/// A record that is copied.
struct Move {
    ticket: u64,
    from: Place,
    kind: RecordKind,
    content: Vec<u8>,
}

impl Background {
    /// Whether there is something to do.
    pub fn has_work(&self, engine: &Engine) -> bool {
        self.task.is_some()
            || [with_rest, to_compact, without_heads].iter().any(|it| it(engine, 0).is_some())
    }

    /// Does a little of it. Returns how many bytes were read for it. Tickets of records that turned out
    /// to be damaged are added to `damaged`. After an error the work begins anew.
    pub fn step(&mut self, engine: &mut Engine, damaged: &mut Vec<Ticket>) -> io::Result<usize> {
        let result = self.try_step(engine, damaged);
        if result.is_err() {
            self.task = None;
        }
        result
    }

    fn try_step(&mut self, engine: &mut Engine, damaged: &mut Vec<Ticket>) -> io::Result<usize> {
        // One that cannot be cut off does not hold up the rest of the work.
        if let Some(number) = with_rest(engine, self.failed)
            && number != self.failed
        {
            self.failed = number;
            engine.cut_rest(number)?;
        }
        if self.task.is_none() {
            self.task = if let Some(number) = to_compact(engine, self.failed) {
                Some(Task::Compaction(Compaction::begin(engine, number)))
            } else if let Some(number) = without_heads(engine, self.failed) {
                self.failed = number;
                // The dead are not in it, so their deaths must not be lost.
                engine.write_deaths()?;
                Some(Task::Heads(Box::new(HeadsWriter::begin(engine, number)?)))
            } else {
                None
            };
        }
        let (bytes, is_done) = match &mut self.task {
            None => {
                self.failed = 0;
                return Ok(0);
            }
            Some(Task::Compaction(compaction)) => {
                self.failed = compaction.number;
                compaction.step(engine, damaged)?
            }
            Some(Task::Heads(writer)) => {
                self.failed = writer.number();
                let (bytes, is_done) = writer.step(engine)?;
                if is_done && let Some(log) = engine.logs.get_mut(&writer.number()) {
                    log.has_heads = true;
                }
                (bytes, is_done)
            }
        };
        self.failed = 0;
        if is_done {
            self.task = None;
        }
        Ok(bytes)
    }
}

/// Writes the deaths that wait, and then the heads of the newest log, in which the dead are not: so that
/// the store opens quickly. Nothing is written any more.
pub fn write_last_heads(engine: &mut Engine) -> io::Result<()> {
    engine.write_deaths()?;
    let Some(number) = engine.active.filter(|number| !engine.logs[number].has_heads) else {
        return Ok(());
    };
    let mut writer = HeadsWriter::begin(engine, number)?;
    while !writer.step(engine)?.1 {}
    Ok(())
}

/// The first log after this one for which that holds, or the first of all.
fn next_log(engine: &Engine, after: u32, holds: impl Fn(u32, &LogState) -> bool) -> Option<u32> {
    let mut found = engine.logs.iter().filter(|(number, log)| holds(**number, log));
    let first = found.next().map(|(number, _)| *number)?;
    let mut all = std::iter::once(first).chain(found.map(|(number, _)| *number));
    Some(all.find(|number| *number > after).unwrap_or(first))
}

/// A log with more in its file than what counts.
fn with_rest(engine: &Engine, after: u32) -> Option<u32> {
    next_log(engine, after, |_, log| log.has_rest)
}

/// A log that can be compacted with profit. One that says how much of the log before it counts has to
/// stay until the rest of that is cut off.
fn to_compact(engine: &Engine, after: u32) -> Option<u32> {
    next_log(engine, after, |number, log| {
        let (dead, bytes) = (log.dead_bytes(), u64::from(log.bytes));
        let is_worth_it =
            log.is_suspect || 2 * dead >= bytes || dead + u64::from(HEADER_BYTES) >= bytes;
        let before = engine.logs.range(..number).next_back();
        let is_needed = before.is_some_and(|(_, log)| log.has_rest);
        Some(number) != engine.active && is_worth_it && !is_needed
    })
}

/// A log that is complete, of which the heads are not written.
fn without_heads(engine: &Engine, after: u32) -> Option<u32> {
    next_log(engine, after, |number, log| Some(number) != engine.active && !log.has_heads)
}

impl Compaction {
    fn begin(engine: &Engine, number: u32) -> Self {
        let log = engine.table.lock().logs[&number].clone();
        let live = Live::in_log(&engine.table, number);
        Self { number, log, live, at: HEADER_BYTES }
    }

    /// Copies what counts of one piece of the log.
    fn step(
        &mut self,
        engine: &mut Engine,
        damaged: &mut Vec<Ticket>,
    ) -> io::Result<(usize, bool)> {
        let end = engine.logs[&self.number].bytes;
        let start = self.at;
        let (mut moves, mut deaths, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        let log = self.log.clone();
        let mut window = Window::new(&*log.file, u64::from(end));
        while self.at < end && ((self.at - start) as usize) < COMPACTION_STEP_BYTES {
            self.take(engine, &mut window, end, &mut moves, &mut deaths, &mut lost)?;
        }
        let is_done = self.at >= end;
        // What the steps before have not found is not there.
        engine.lose(self.number, &lost, damaged);
        if let Err(error) = engine.copy(self.number, moves, &deaths, is_done) {
            self.at = start;
            return Err(error);
        }
        if is_done {
            engine.remove_log(self.number)?;
        }
        Ok((((self.at - start) as usize).max(1), is_done))
    }

    fn take(
        &mut self,
        engine: &Engine,
        window: &mut Window<'_>,
        end: u32,
        moves: &mut Vec<Move>,
        deaths: &mut Vec<Spot>,
        lost: &mut Vec<u64>,
    ) -> io::Result<()> {
        let (offset, key) = (self.at, self.log.key);
        let head = window.head(offset, &key)?;
        let whole = |bytes: &usize| u64::from(offset) + *bytes as u64 <= u64::from(end);
        let length = head.as_ref().map(|(head, bytes)| bytes + head.content_bytes() as usize);
        let (Some((head, head_bytes)), Some(length)) = (head, length.filter(whole)) else {
            self.at = window.next_head(offset + 1, &key)?.unwrap_or(end);
            lost.extend(self.live.between(offset, self.at));
            return Ok(());
        };
        self.at = offset + length as u32;
        deaths.extend(head.moved_from);
        let value = match head.kind {
            RecordKind::Deaths(spots) => {
                deaths.extend(spots);
                return Ok(());
            }
            RecordKind::Version { value, .. } => value,
        };
        let Some(ticket) = self.live.take(offset) else { return Ok(()) };
        let from = Place { spot: Spot { log: self.number, offset }, bytes: length as u32 };
        if engine.table.lock().places.get(ticket) != Some(from) {
            return Ok(());
        }
        let content = &window.at(u64::from(offset), length)?[head_bytes..];
        match value {
            RecordValue::Small { hash, .. } if blake3::hash(content) != hash => lost.push(ticket),
            _ => moves.push(Move { ticket, from, kind: head.kind, content: content.to_vec() }),
        }
        Ok(())
    }
}

impl Engine {
    /// Copies records to the newest log, with the deaths that are still needed.
    fn copy(
        &mut self,
        source: u32,
        moves: Vec<Move>,
        deaths: &[Spot],
        is_last: bool,
    ) -> io::Result<()> {
        let mut deaths: Vec<Spot> = deaths.to_vec();
        deaths.retain(|it| it.log != source && self.logs.contains_key(&it.log));
        let waits = is_last && self.deaths_waiting() > 0;
        if moves.is_empty() && deaths.is_empty() && !waits {
            return Ok(());
        }
        let mut batch = self.begin()?;
        self.push_deaths(&mut batch, &deaths);
        if is_last {
            self.push_deaths_waiting(&mut batch);
        }
        let mut moved = Vec::with_capacity(moves.len());
        for Move { ticket, from, kind, content } in moves {
            let place = self.push(&batch, Some(from.spot), kind, &content);
            moved.push((ticket, from, place));
        }
        self.end(batch, true)?;
        if is_last {
            self.deaths_are_written();
        }
        let mut table = self.table.lock();
        for (ticket, from, place) in moved {
            table.places.insert(ticket, place);
            let mut add = |number: u32, bytes: i64| {
                let log = self.logs.get_mut(&number).expect("it is here until it is removed");
                log.live_bytes = log.live_bytes.wrapping_add_signed(bytes);
            };
            add(from.spot.log, -i64::from(from.bytes));
            add(place.spot.log, i64::from(place.bytes));
        }
        Ok(())
    }

    /// These records of a log cannot be read.
    fn lose(&mut self, number: u32, tickets: &[u64], damaged: &mut Vec<Ticket>) {
        let mut table = self.table.lock();
        for ticket in tickets {
            // One that was discarded meanwhile is no loss.
            let Some(place) = table.places.get(*ticket) else { continue };
            if place.spot.log != number {
                continue;
            }
            table.damage(*ticket);
            table.places.remove(*ticket);
            let log = self.logs.get_mut(&number).expect("it is here until it is removed");
            log.live_bytes -= u64::from(place.bytes);
            damaged.push(Ticket(*ticket));
        }
    }

    /// Removes a log of which nothing counts any more.
    fn remove_log(&mut self, number: u32) -> io::Result<()> {
        let folder = self.log_folder();
        for name in [heads_name(number), log_name(number)] {
            match self.disk.remove(&folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Until then it may come back after a power loss, and deaths of its records are needed.
        self.disk.sync_folder(&folder)?;
        self.logs.remove(&number);
        self.table.lock().logs.remove(&number);
        self.logs.values_mut().for_each(|log| {
            log.deaths.remove(&number);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{
        Durability, ReadError,
        tests::{
            rig::Rig,
            sim::{Fault, SimDisk},
        },
    };

    #[test]
    fn a_log_stays_until_the_rest_of_the_one_before_it_is_cut_off() {
        let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
        for stamp in 1..=3 {
            rig.put(&(1..=5).map(|number| (number, stamp, Some(290))).collect::<Vec<_>>());
        }
        (1..=5).for_each(|number| rig.discard(number, 2));
        assert_eq!(rig.engine.active, Some(3));
        assert_eq!(to_compact(&rig.engine, 0), Some(2));
        rig.engine.logs.get_mut(&1).unwrap().has_rest = true;
        assert_eq!(to_compact(&rig.engine, 0), None);
        assert!(rig.work());
        assert!(!rig.engine.logs.contains_key(&2));
    }

    #[test]
    fn damage_that_is_found_while_copying_is_reported_and_not_copied() {
        // In the content of a record, and in its head.
        for at in [200, 20] {
            let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
            rig.put(&[(1, 1, Some(250)), (2, 1, Some(250)), (3, 1, Some(250)), (4, 1, Some(250))]);
            rig.put(&[(5, 1, Some(250))]);
            rig.put(&[(6, 1, Some(10))]);
            (3..6).for_each(|number| rig.discard(number, 1));
            let path = rig.engine.log_folder().join(log_name(1));
            let files = rig.disk.files();
            let mut bytes = files.into_iter().find(|it| it.0 == path).unwrap().1;
            let place = rig.place((2, 1));
            bytes[place.spot.offset as usize + at] ^= 1;
            rig.disk.tamper(&path, Some(bytes));
            let mut damaged = Vec::new();
            let mut compaction = Compaction::begin(&rig.engine, 1);
            compaction.step(&mut rig.engine, &mut damaged).unwrap();
            let ticket = rig.tickets.remove(&(2, 1)).unwrap();
            assert_eq!(damaged, [ticket]);
            assert!(matches!(rig.read(ticket), Err(ReadError::Damaged)));
            assert!(!rig.engine.logs.contains_key(&1));
            rig.engine.discard(ticket);
            assert!(matches!(rig.read(ticket), Err(ReadError::Gone)));
            rig.promises.forget((2, 1));
            assert!(rig.close());
            let rig = rig.restart(0, Durability::Sync);
            rig.check();
            assert!(!rig.tickets.contains_key(&(2, 1)));
        }
    }

    #[test]
    fn a_copy_that_is_dropped_leaves_word_of_what_it_replaced() {
        let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
        rig.put(&[(1, 1, Some(250)), (2, 1, Some(250)), (3, 1, Some(250)), (4, 1, Some(250))]);
        rig.put(&[(5, 1, Some(250))]);
        rig.put(&[(6, 1, Some(10))]);
        assert_eq!(rig.engine.active, Some(2));
        (2..6).for_each(|number| rig.discard(number, 1));
        // Its records are copied, but it stays: neither of its files can be removed.
        let mut compaction = Compaction::begin(&rig.engine, 1);
        rig.disk.set_fault(Fault::Once(rig.disk.operations() + 3, io::ErrorKind::Other));
        compaction.step(&mut rig.engine, &mut Vec::new()).unwrap_err();
        assert!(rig.engine.logs.contains_key(&1));
        rig.discard(1, 1);
        rig.put(&[(7, 1, Some(250)), (8, 1, Some(250)), (9, 1, Some(250)), (10, 1, Some(250))]);
        rig.put(&[(11, 1, Some(250))]);
        assert_eq!(rig.engine.active, Some(3));
        Compaction::begin(&rig.engine, 2).step(&mut rig.engine, &mut Vec::new()).unwrap();
        assert_eq!(rig.engine.logs.keys().collect::<Vec<_>>(), [&1, &3]);
        rig.restart(0, Durability::Sync).check();
    }
}
