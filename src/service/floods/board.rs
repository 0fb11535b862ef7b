//! The alarms so far, for whoever reads them: the worker puts them up, every reader keeps a place of its own, nobody waits for anybody.
//!
//! Bounded: the oldest are taken down, and a reader who comes too late is told what is missing.

use crate::flood::Alarm;
use std::{
    collections::VecDeque,
    sync::{PoisonError, RwLock},
};
use tokio::sync::watch;

/// Alarms kept, in memory and in the state file.
pub(crate) const KEPT: usize = 10_000;

/// One alarm, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// Running number, from 1.
    pub(crate) seq: u64,
    /// The alarm as one line of JSON.
    pub(crate) json: bytes::Bytes,
}

/// The alarms so far.
#[derive(Debug)]
pub(crate) struct Board {
    alarms: RwLock<VecDeque<Published>>,
    newest: watch::Sender<u64>,
}

impl Default for Board {
    fn default() -> Self {
        Self { alarms: RwLock::default(), newest: watch::Sender::new(0) }
    }
}

impl Published {
    pub(crate) fn of(alarm: &Alarm) -> Self {
        // An alarm holds numbers and text only, which always can be written.
        Self { seq: alarm.sequence, json: serde_json::to_vec(alarm).unwrap_or_default().into() }
    }
}

impl Board {
    /// Puts alarms up, in their order.
    pub(crate) fn publish(&self, alarms: impl IntoIterator<Item = Published>) {
        let mut shelf = self.alarms.write().unwrap_or_else(PoisonError::into_inner);
        shelf.extend(alarms);
        let too_many = shelf.len().saturating_sub(KEPT);
        shelf.drain(..too_many);
        let newest = shelf.back().map_or(0, |a| a.seq);
        drop(shelf);
        // Readers wake when there is something new, and at the end of loading.
        self.newest.send_if_modified(|seen| std::mem::replace(seen, newest) != newest);
    }

    /// At most `limit` alarms after this number, oldest first.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<Published> {
        let shelf = self.alarms.read().unwrap_or_else(PoisonError::into_inner);
        let from = shelf.partition_point(|a| a.seq <= seq);
        shelf.range(from..).take(limit).cloned().collect()
    }

    /// Number of the oldest alarm that is still here.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.alarms.read().unwrap_or_else(PoisonError::into_inner).front().map(|a| a.seq)
    }

    /// Number of the newest alarm; 0 before the first. Never below one that [`Self::after`] gave.
    pub(crate) fn newest(&self) -> u64 {
        self.alarms.read().unwrap_or_else(PoisonError::into_inner).back().map_or(0, |a| a.seq)
    }

    /// To wait for news.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
