//! The flood monitor in the service: what the worker's thread observes with and makes durable, and the routes that read it.
//!
//! [`Floods`] is owned by the worker; routes ask it by message, or read the [`Board`] of alarms, which has no lock on the monitor.

mod alarms;
mod board;
mod feedback;
mod parameters;
mod reads;
mod webhooks;

pub(super) use alarms::alarms;
pub(super) use board::{Board, Published};
pub(super) use feedback::{Correction, feedback, take_feedback};
pub(super) use reads::{stream, streams};

use webhooks::Webhooks;

use super::{
    LoadError,
    error::ApiError,
    metrics::{Metric, Metrics},
    state::Service,
    worker::Observer,
};
use crate::{
    flood::{Alarm, Counters, Monitor, Store, StoreError, StreamStatus, Write},
    text::Document,
    verdict::Assessment,
};
use jiff::Timestamp;
use std::{sync::Arc, time::Instant};

/// What the service watches streams with.
pub struct Flood {
    /// The monitor.
    pub monitor: Monitor,
    /// Its state file; without one, evidence and alarms end with the process.
    pub store: Option<Store>,
    /// Alarms of earlier runs, oldest first.
    pub alarms: Vec<Alarm>,
    /// False-discovery rate of `GET /v1/streams?flood=true`.
    pub alpha: f64,
}

/// The monitor and its file, owned by the worker.
pub(crate) struct Floods {
    monitor: Monitor,
    store: Option<Store>,
    /// What could not be written yet. Its alarms have been told to nobody, its documents were answered with errors.
    unwritten: Option<Write>,
    counted: Counters,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    webhooks: Option<Webhooks>,
    alpha: f64,
    clock: fn() -> Timestamp,
}

impl Floods {
    /// Takes over, puts the alarms of earlier runs up, and starts the thread that sends them to webhooks.
    pub(crate) fn new(flood: Flood, service: &Arc<Service>) -> Result<Self, LoadError> {
        let Flood { monitor, mut store, alarms, alpha } = flood;
        let (board, metrics) = (service.board.clone(), service.metrics.clone());
        board.publish(alarms.iter().map(Published::of));
        let webhooks = match service.settings.webhooks.is_empty() {
            true => None,
            false => Some(Webhooks::start(service, store.as_mut())?),
        };
        let counted = monitor.counters();
        metrics.set(Metric::Streams, counted.keys as f64);
        metrics.set(Metric::StreamsInFlood, counted.flooded as f64);
        Ok(Self { monitor, store, unwritten: None, counted, board, metrics, webhooks, alpha, clock: Timestamp::now })
    }

    /// The first `limit` streams that are above the base share, with a controlled false-discovery rate.
    pub(crate) fn in_flood(&self, limit: usize) -> Vec<StreamStatus> {
        self.monitor.floods(self.alpha, limit)
    }

    /// The monitor, to be read.
    pub(crate) fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// The state file, for what has one.
    pub(crate) fn store(&mut self) -> Option<&mut Store> {
        self.store.as_mut()
    }

    /// Writes what there is to write, then tells of its alarms: never the other way round, or a restart would raise them again.
    fn write(&mut self, write: Write) -> Result<(), ApiError> {
        if let Some(store) = &mut self.store {
            let start = Instant::now();
            let written = store.commit(&write);
            self.metrics.record(Metric::StateWriteSeconds, Vec::new(), start.elapsed().as_secs_f64());
            if let Err(error) = written {
                self.unwritten = Some(write);
                return Err(self.unavailable(&error));
            }
        }
        self.board.publish(write.alarms.iter().map(Published::of));
        for alarm in &write.alarms {
            tracing::warn!(key = alarm.key.as_str(), event = ?alarm.event, sequence = alarm.sequence, documents = alarm.documents, "alarm");
        }
        if let (false, Some(webhooks)) = (write.alarms.is_empty(), &self.webhooks) {
            webhooks.wake();
        }
        Ok(())
    }

    /// Notes that a webhook has taken the alarms up to this one.
    pub(crate) fn delivered(&mut self, name: &str, sequence: u64) {
        if let Some(Err(error)) = self.store.as_mut().map(|store| store.delivered(name, sequence)) {
            tracing::warn!("{error}; alarm {sequence} may be delivered to a webhook once more");
        }
    }

    fn unavailable(&self, error: &StoreError) -> ApiError {
        tracing::error!("{error}; documents are refused until it can be written, it is tried again every second");
        self.metrics.count(Metric::StateWriteFailures, 1);
        ApiError::StateUnavailable("evidence cannot be written to the state file now, so no document is taken; try again later".into())
    }

    /// Adds what happened since the last call to the metrics.
    fn count(&mut self) {
        let (now, before) = (self.monitor.counters(), self.counted);
        self.metrics.count(Metric::Observed, now.documents - before.documents);
        self.metrics.count(Metric::Repeated, now.repeated - before.repeated);
        self.metrics.count(Metric::Evictions, now.evicted - before.evicted);
        self.metrics.count(Metric::KeysRefused, now.refused - before.refused);
        self.metrics.count_labelled(Metric::Alarms, vec![("event", "raised".into())], now.raised - before.raised);
        self.metrics.count_labelled(Metric::Alarms, vec![("event", "cleared".into())], now.cleared - before.cleared);
        self.metrics.set(Metric::Streams, now.keys as f64);
        self.metrics.set(Metric::StreamsInFlood, now.flooded as f64);
        self.counted = now;
    }
}

impl Observer for Floods {
    fn observe(&mut self, batch: &[(&Document, &Assessment)]) -> Result<Vec<Vec<StreamStatus>>, ApiError> {
        let now = (self.clock)();
        let streams = batch.iter().map(|(document, assessment)| self.monitor.observe(document, assessment, now)).collect();
        self.count();
        // Empty where nobody keeps them: the monitor notes changes only for a store.
        let write = Write { changes: self.monitor.drain_changes(), alarms: self.monitor.drain_alarms(), rows: None };
        self.write(write)?;
        Ok(streams)
    }

    fn ready(&mut self) -> Result<(), ApiError> {
        match self.unwritten.take() {
            None => Ok(()),
            Some(write) => {
                self.write(write)?;
                tracing::warn!("the state file can be written again");
                Ok(())
            }
        }
    }

    fn floods(&mut self) -> Option<&mut Floods> {
        Some(self)
    }

    fn end(&mut self) {
        let places = self.webhooks.take().map(Webhooks::end).unwrap_or_default();
        places.iter().for_each(|(name, sequence)| self.delivered(name, *sequence));
    }
}
