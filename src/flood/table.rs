//! Streams by their names, up to a limit, and which one is forgotten for a new one.

use super::stream::Stream;
use crate::text::StreamKey;
use hashbrown::HashTable;

/// Streams that are allocated together, so that growing copies none.
const CHUNK: usize = 4096;
/// Streams that are compared before one is forgotten, and the most that are looked at where these are all in a flood.
const COMPARED: usize = 16;
const LOOKED_AT: usize = 1024;

/// All streams. A stream keeps its slot until it is forgotten; slot 0 is never forgotten.
#[derive(Debug)]
pub(super) struct Table {
    slots: HashTable<u32>,
    chunks: Vec<Vec<Stream>>,
    len: usize,
    most: usize,
    seed: u64,
    hand: usize,
}

/// Where a new stream went.
#[derive(Debug, PartialEq)]
pub(super) enum Placed {
    /// Into a slot of its own.
    New(u32),
    /// Into the slot of one that was forgotten.
    Instead(u32, StreamKey),
    /// Nowhere: all that were looked at are in a flood.
    Refused,
}

impl Table {
    pub(super) fn new(most: usize, seed: u64) -> Self {
        Self { slots: HashTable::new(), chunks: Vec::new(), len: 0, most, seed, hand: 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn hash(&self, name: &str) -> u64 {
        hash64(self.seed, name.as_bytes())
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.find_hashed(self.hash(name), name)
    }

    /// [`Table::find`] for whoever knows the name's hash.
    pub(super) fn find_hashed(&self, hash: u64, name: &str) -> Option<u32> {
        self.slots.find(hash, |&slot| self.get(slot).name.as_str() == name).copied()
    }

    pub(super) fn get(&self, slot: u32) -> &Stream {
        &self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Stream {
        &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.chunks.iter().flatten()
    }

    /// Puts in a stream whose name is not there.
    pub(super) fn insert(&mut self, stream: Stream) -> Placed {
        if self.len < self.most {
            let slot = self.len as u32;
            if self.len.is_multiple_of(CHUNK) {
                self.chunks.push(Vec::with_capacity(CHUNK.min(self.most - self.len)));
            }
            if let Some(chunk) = self.chunks.last_mut() {
                chunk.push(stream);
            }
            self.len += 1;
            self.link(slot);
            return Placed::New(slot);
        }
        let Some(slot) = self.least() else { return Placed::Refused };
        self.unlink(slot);
        let forgotten = std::mem::replace(self.get_mut(slot), stream);
        self.link(slot);
        Placed::Instead(slot, forgotten.name)
    }

    /// The least informative of the next streams after the hand that are not in a flood.
    fn least(&mut self) -> Option<u32> {
        let (mut best, mut compared): (Option<(f64, u32)>, _) = (None, 0);
        for _ in 0..LOOKED_AT.min(self.len) {
            let slot = self.hand as u32;
            self.hand = if self.hand + 1 >= self.len { 1 } else { self.hand + 1 };
            let stream = self.get(slot);
            if stream.flags.flood {
                continue;
            }
            let information = stream.information();
            if best.is_none_or(|(least, _)| information < least) {
                best = Some((information, slot));
            }
            compared += 1;
            if compared == COMPARED {
                break;
            }
        }
        best.map(|(_, slot)| slot)
    }

    /// Makes room for this many more, as far as that many are kept.
    pub(super) fn reserve(&mut self, more: usize) {
        let (chunks, seed) = (&self.chunks, self.seed);
        self.slots.reserve(more.min(self.most - self.len), |slot| hash_of(chunks, seed, *slot));
    }

    fn link(&mut self, slot: u32) {
        let (chunks, seed) = (&self.chunks, self.seed);
        let hash = |slot: &u32| hash_of(chunks, seed, *slot);
        self.slots.insert_unique(hash(&slot), slot, hash);
    }

    fn unlink(&mut self, slot: u32) {
        let hash = hash64(self.seed, self.get(slot).name.as_str().as_bytes());
        if let Ok(entry) = self.slots.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
    }
}

fn hash_of(chunks: &[Vec<Stream>], seed: u64, slot: u32) -> u64 {
    hash64(seed, chunks[slot as usize / CHUNK][slot as usize % CHUNK].name.as_str().as_bytes())
}

/// 64 bits of `bytes`, by folded multiplication as in wyhash (Wang Yi 2019). Without the seed nobody can make two names collide.
pub(super) fn hash64(seed: u64, bytes: &[u8]) -> u64 {
    const SECRET: [u64; 3] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3];
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        (wide as u64) ^ ((wide >> 64) as u64)
    };
    let mut state = fold(seed ^ SECRET[0], SECRET[1]);
    let mut mix = |word: u64| state = fold(word ^ SECRET[1], state ^ SECRET[2]);
    let (words, rest) = bytes.as_chunks();
    words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
    if !rest.is_empty() {
        mix(rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
    }
    fold(state ^ SECRET[0], bytes.len() as u64 ^ SECRET[1] ^ seed)
}
