//! A cache of small contents that were read, bounded in bytes.
//!
//! It has two generations: what is read enters the young one, or comes back to it; when the young one
//! has half of the bytes, it becomes the old one, and the old one is forgotten. So what is read often
//! stays, at no cost but a hash map.

use bytes::Bytes;

use crate::by_number::ByNumber;

/// What an entry costs beside its content.
const ENTRY_BYTES: usize = 80;

/// Contents by ticket.
#[derive(Debug)]
pub struct Cache {
    bytes_max: usize,
    young: ByNumber<u64, Bytes>,
    young_bytes: usize,
    old: ByNumber<u64, Bytes>,
}

impl Cache {
    /// A cache of at most this many bytes; 0: it keeps nothing.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, young: ByNumber::default(), young_bytes: 0, old: ByNumber::default() }
    }

    /// A content that is here.
    pub fn get(&mut self, ticket: u64) -> Option<Bytes> {
        if let Some(content) = self.young.get(&ticket) {
            return Some(content.clone());
        }
        let content = self.old.remove(&ticket)?;
        self.put(ticket, content.clone());
        Some(content)
    }

    /// Keeps a content that was read. It must not be a part of something larger.
    pub fn put(&mut self, ticket: u64, content: Bytes) {
        let bytes = content.len() + ENTRY_BYTES;
        if bytes > self.bytes_max / 8 {
            return;
        }
        if self.young_bytes + bytes > self.bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(ticket, content).is_none() {
            self.young_bytes += bytes;
        }
    }

    /// Forgets a content.
    pub fn remove(&mut self, ticket: u64) {
        self.old.remove(&ticket);
        if let Some(content) = self.young.remove(&ticket) {
            self.young_bytes -= content.len() + ENTRY_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_often_stays_and_the_bytes_are_bounded() {
        let mut cache = Cache::new(10_000);
        cache.put(0, Bytes::from_static(b"often"));
        for ticket in 1..1000 {
            cache.put(ticket, Bytes::from(vec![7; 100]));
            assert_eq!(cache.get(0).as_deref(), Some(b"often".as_slice()), "{ticket}");
            let held = cache.young.values().chain(cache.old.values());
            assert!(held.map(|it| it.len() + ENTRY_BYTES).sum::<usize>() <= 10_000);
        }
        assert_eq!(cache.get(1), None);
        assert!(cache.get(999).is_some());
        cache.remove(999);
        assert_eq!(cache.get(999), None);
        cache.put(5, Bytes::from(vec![7; 5000]));
        assert_eq!(cache.get(5), None, "one that is large would drive out all others");
    }
}
