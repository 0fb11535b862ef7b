//! What is asked of all streams at once, and what is handed out for keeping.

use super::{
    Alarm, Monitor, State, StreamStatus,
    encode::{self, MonitorBytes, RestoreError},
    monitor::WHOLE,
    reference::Reference,
    settings::Settings,
    stream::Stream,
};
use crate::{stats, text::StreamKey};
use std::collections::BinaryHeap;

/// What changed since the last call. Write all of it in one transaction, together with the alarms of [`Monitor::drain_alarms`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// State of each key that changed: replace what is stored under the key. Versioned bytes, at most 512 for each.
    pub keys: Vec<(StreamKey, Vec<u8>)>,
    /// Keys that were forgotten: delete what is stored under the key. A key is never in both lists.
    pub evicted: Vec<StreamKey>,
    /// State of the monitor itself (version, fingerprint, counters, number of the latest alarm): replace the one stored.
    pub monitor: Vec<u8>,
    /// New entries of the window against repetition, oldest first; entry i has the running number `seen_from + i`.
    pub seen: Vec<u64>,
    /// Running number of `seen[0]`, from 0.
    pub seen_from: u64,
    /// Entries with running numbers below this have left the window: delete them.
    pub seen_keep_from: u64,
}

/// What was saved.
pub struct Saved<K, S> {
    /// `Changes::monitor` as stored last.
    pub monitor: Vec<u8>,
    /// Each stored key with its bytes, in any order.
    pub keys: K,
    /// Entries of the window with their running numbers, oldest first; those that have left the window are passed over.
    pub seen: S,
}

/// Running totals since the monitor was first made; restored with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Documents observed, repetitions included.
    pub documents: u64,
    /// Documents that counted nowhere, being repetitions.
    pub repeated: u64,
    /// Documents whose time was late or in the future.
    pub late: u64,
    /// Keys forgotten because of the limit.
    pub evicted: u64,
    /// Documents that a new key could not take, because all keys that were looked at are in a flood.
    pub refused: u64,
    /// Alarms raised.
    pub raised: u64,
    /// Alarms cleared.
    pub cleared: u64,
    /// Keys now, the whole stream included.
    pub keys: u64,
    /// Keys now in a flood.
    pub flooded: u64,
}

impl Monitor {
    /// At most `limit` streams in the order of their keys, from the one after `after`; the whole stream is among them. With `state`, those in it.
    pub fn streams(&self, state: Option<State>, after: Option<&StreamKey>, limit: usize) -> Vec<StreamStatus> {
        let mut first: BinaryHeap<&StreamKey> = BinaryHeap::new();
        let wanted = |stream: &Stream| after.is_none_or(|after| stream.name > *after) && state.is_none_or(|state| stream.state() == state);
        for stream in self.table.iter().filter(|stream| wanted(stream)) {
            if first.len() < limit {
                first.push(&stream.name);
            } else if first.peek().is_some_and(|last| stream.name < **last) {
                first.pop();
                first.push(&stream.name);
            }
        }
        first.into_sorted_vec().into_iter().filter_map(|key| self.status(key)).collect()
    }

    /// Streams that are above the base share, with a false-discovery rate of at most `alpha` over all keys, under any dependence: e-BH on
    /// `log_e`, largest first, and of these the first `limit`. The whole stream is not among them; streams that were forgotten count, since
    /// those with most evidence are the ones that are kept.
    pub fn floods(&self, alpha: f64, limit: usize) -> Vec<StreamStatus> {
        let least = (1. / alpha).ln();
        let candidates = self.table.iter().skip(1).map(|stream| (stream.log_e(), stream)).filter(|(log_e, _)| *log_e >= least);
        let (log_e, streams): (Vec<f64>, Vec<&Stream>) = candidates.unzip();
        let forgotten = usize::try_from(self.counters.evicted).unwrap_or(usize::MAX);
        let rejected = stats::e_bh(&log_e, (self.table.len() - 1).saturating_add(forgotten), alpha);
        rejected.into_iter().take(limit).filter_map(|i| self.status(&streams[i].name)).collect()
    }

    /// Alarms since the last call, oldest first. They are kept until asked for: call it after each batch.
    pub fn drain_alarms(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.alarms)
    }

    /// What changed since the last call, for one durable commit; costs what changed, not what there is. Takes
    /// [`Settings::track_changes`].
    pub fn drain_changes(&mut self) -> Changes {
        let changed = std::mem::take(&mut self.changed);
        let keys = changed.iter().map(|&slot| {
            let stream = self.table.get_mut(slot);
            stream.flags.changed = false;
            (stream.name.clone(), encode::stream(stream))
        });
        let keys = keys.collect();
        let mut evicted = std::mem::take(&mut self.evicted);
        evicted.retain(|key| self.table.find(key.as_str()).is_none());
        let (seen, seen_from, seen_keep_from) = self.seen.drain();
        Changes { keys, evicted, monitor: self.monitor_bytes().encode(), seen, seen_from, seen_keep_from }
    }

    /// Running totals for metrics.
    pub fn counters(&self) -> Counters {
        Counters { keys: self.table.len() as u64, ..self.counters }
    }

    fn monitor_bytes(&self) -> MonitorBytes {
        MonitorBytes {
            fingerprint: self.fingerprint(),
            seed: self.settings.seed,
            sequence: self.sequence,
            seen_first: self.seen.first(),
            counters: self.counters,
        }
    }

    /// What saved evidence rests on: the reference, and the settings that bets are made from. Thresholds may change between runs.
    fn fingerprint(&self) -> u64 {
        let Settings { base_share, confidence, .. } = self.settings;
        encode::fingerprint(self.bets.reference(), &[base_share, confidence, self.settings.clear_at()])
    }

    /// Continues from what was saved. Suspicious documents of watched streams are not saved: examples and sameness begin anew.
    ///
    /// # Errors
    /// A setting that cannot be meant, bytes that this version did not write, or state of another reference or base share
    /// ([`RestoreError::Other`]).
    pub fn restore<K, S>(settings: Settings, reference: Reference, saved: Saved<K, S>) -> Result<Self, RestoreError>
    where
        K: IntoIterator<Item = (StreamKey, Vec<u8>)>,
        S: IntoIterator<Item = (u64, u64)>,
    {
        let bytes = MonitorBytes::parse(&saved.monitor)?;
        let mut monitor = Self::new(Settings { seed: bytes.seed, ..settings }, reference)?;
        let expected = monitor.fingerprint();
        if bytes.fingerprint != expected {
            return Err(RestoreError::Other { expected, found: bytes.fingerprint });
        }
        monitor.sequence = bytes.sequence;
        let keys = saved.keys.into_iter();
        monitor.table.reserve(keys.size_hint().1.unwrap_or(0));
        for (key, bytes) in keys {
            let stream = encode::parse_stream(key, &bytes, monitor.bets.reference())?;
            match monitor.table.find(stream.name.as_str()) {
                Some(WHOLE) => *monitor.table.get_mut(WHOLE) = stream,
                Some(_) => return Err(RestoreError::Twice(stream.name)),
                None => drop(monitor.insert(stream)),
            }
        }
        // a row of the file goes as a whole: its first entries may have left the window before
        let seen = saved.seen.into_iter().filter(|(number, _)| *number >= bytes.seen_first).map(|(_, hash)| hash);
        monitor.seen = super::dedup::Window::restore(monitor.settings.dedup_window, bytes.seen_first, seen);
        let flooded = monitor.table.iter().filter(|stream| stream.flags.flood).count() as u64;
        monitor.counters = Counters { flooded, ..bytes.counters };
        Ok(monitor)
    }
}
