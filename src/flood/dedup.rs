//! The window against repetition: which (key, document id) pairs were seen lately, as 64-bit hashes.
//!
//! A sender that repeats a document is not believed twice. Two pairs share a hash with probability 2^-64 for whoever does not know the seed.

use super::table::hash64;
use hashbrown::{HashTable, hash_table::Entry};
use std::collections::VecDeque;

/// The latest pairs.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The pairs' hashes, which are their own place: a sender does not know the seed.
    known: HashTable<u64>,
    order: VecDeque<u64>,
    most: usize,
    /// Running number of the first in `order`.
    first: u64,
    /// Running number of the first that was not drained.
    drained: u64,
}

impl Window {
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Continues with these, oldest first.
    pub(super) fn restore(most: usize, first: u64, seen: impl Iterator<Item = u64>) -> Self {
        let mut window = Self { first, ..Self::new(most) };
        for hash in seen {
            window.push(hash);
        }
        window.drained = window.next();
        window
    }

    /// Whether the pair of a key's seeded hash and an id is new; it is remembered.
    pub(super) fn is_new(&mut self, key: u64, id: &str) -> bool {
        self.most == 0 || self.push(hash64(key, id.as_bytes()))
    }

    /// Entries since the last call, the running number of the first, and that of the oldest that still counts.
    pub(super) fn drain(&mut self) -> (Vec<u64>, u64, u64) {
        let from = self.drained.max(self.first);
        let fresh = self.order.range((from - self.first) as usize..).copied().collect();
        self.drained = self.next();
        (fresh, from, self.first)
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    fn next(&self) -> u64 {
        self.first + self.order.len() as u64
    }

    fn push(&mut self, hash: u64) -> bool {
        if self.most == 0 {
            return false;
        }
        let Entry::Vacant(place) = self.known.entry(hash, |&other| other == hash, |&other| other) else { return false };
        place.insert(hash);
        self.order.push_back(hash);
        if self.order.len() > self.most
            && let Some(old) = self.order.pop_front()
        {
            if let Ok(entry) = self.known.find_entry(old, |&other| other == old) {
                entry.remove();
            }
            self.first += 1;
        }
        true
    }
}
