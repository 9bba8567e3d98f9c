//! Which records of one log count, in the order of the log.

use super::table::SharedTable;

/// Places that are looked at before the lock is given up for a moment.
const PLACES_PER_TURN: usize = 4096;

/// The records of one log that count, by offset.
#[derive(Debug)]
pub struct Live {
    records: Vec<(u32, u64)>,
    next: usize,
}

impl Live {
    /// Collects them from the table.
    pub fn in_log(table: &SharedTable, number: u32) -> Self {
        let mut records = Vec::new();
        let mut from = 0;
        loop {
            let table = table.lock();
            let mut last = None;
            for (ticket, place) in table.places.range(from).take(PLACES_PER_TURN) {
                last = Some(ticket);
                if place.spot.log == number {
                    records.push((place.spot.offset, ticket));
                }
            }
            match last {
                Some(last) => from = last + 1,
                None => break,
            }
        }
        records.sort_unstable();
        Self { records, next: 0 }
    }

    /// The ticket of the record at this offset. Offsets are asked for in order.
    pub fn take(&mut self, offset: u32) -> Option<u64> {
        while self.records.get(self.next)?.0 < offset {
            self.next += 1;
        }
        let (found, ticket) = self.records[self.next];
        (found == offset).then_some(ticket)
    }

    /// The tickets of the records between two offsets.
    pub fn between(&self, from: u32, to: u32) -> impl Iterator<Item = u64> {
        let start = self.records.partition_point(|it| it.0 < from);
        let end = self.records.partition_point(|it| it.0 < to);
        self.records[start..end.max(start)].iter().map(|it| it.1)
    }
}
