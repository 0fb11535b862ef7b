//! Where the command line meets the flood monitor: the monitor of a detector, its state file, and its company on a run over files.

use super::{Refused, settings::Watching};
use crate::{
    batch::{BatchError, Companion, part_of},
    detector::Detector,
    flood::{self, About, Alarm, AlarmEvent, Monitor, Opened, Reference, State, Store, StreamStatus, Write},
    service::Flood,
    text::{Document, StreamKey},
    verdict::Assessment,
};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

/// Alarms of one run that are kept for its end.
const MOST_ALARMS: usize = 100_000;
/// Streams that the summary shows.
const SHOWN: usize = 20;
/// Streams that are sorted for it.
const MOST_SORTED: u64 = 10_000;

/// What the service watches with; nothing where the model has no calibration.
pub(super) fn for_service(detector: &Detector, watching: &Watching, state: Option<&Path>) -> anyhow::Result<Option<Flood>> {
    let settings = flood::Settings { track_changes: state.is_some(), ..watching.settings.clone() };
    let alpha = settings.alpha;
    if !detector.calibration().is_calibrated() {
        if state.is_some() {
            return Err(Refused(
                "--state keeps evidence of floods, and without a calibration there is none; make one with `highwater calibrate`".into(),
            )
            .into());
        }
        return Ok(None);
    }
    let reference = reference(detector)?;
    Ok(Some(match state {
        Some(path) => {
            let Opened { store, monitor, alarms, .. } = Store::open(path, &about(detector), settings, reference)?;
            Flood { monitor, store: Some(store), alarms, alpha }
        }
        None => Flood { monitor: Monitor::new(settings, reference)?, store: None, alarms: Vec::new(), alpha },
    }))
}

fn reference(detector: &Detector) -> anyhow::Result<Reference> {
    Ok(Reference::new(detector.calibration().bin_rates(&flood::LEVELS))?)
}

/// What the evidence in a file depends on.
fn about(detector: &Detector) -> About {
    let (model, calibration) = (detector.model(), detector.calibration());
    About { model: format!("{}@{}", model.name, model.hash), calibration: format!("{} of {}", calibration.name, calibration.created) }
}

/// Watches the streams of a run over files.
pub(super) struct Along {
    monitor: Monitor,
    /// For a state file beside the output.
    settings: flood::Settings,
    reference: Reference,
    about: About,
    store: Option<(Store, PathBuf)>,
    alarms: Vec<Alarm>,
    not_kept: u64,
    /// Where the alarms go at the end.
    save_at: Option<PathBuf>,
}

impl Along {
    pub(super) fn new(detector: &Detector, watching: &Watching, save_at: Option<PathBuf>) -> anyhow::Result<Self> {
        if !detector.calibration().is_calibrated() {
            return Err(Refused("streams cannot be watched without a calibration; make one with `highwater calibrate`".into()).into());
        }
        let (settings, reference) = (flood::Settings { live: false, ..watching.settings.clone() }, reference(detector)?);
        let monitor = Monitor::new(settings.clone(), reference.clone())?;
        Ok(Self { monitor, settings, reference, about: about(detector), store: None, alarms: Vec::new(), not_kept: 0, save_at })
    }

    fn open(&mut self, beside: &Path) -> Result<u64, BatchError> {
        let settings = flood::Settings { track_changes: true, ..self.settings.clone() };
        let opened = Store::open(beside, &self.about, settings, self.reference.clone());
        let Opened { store, monitor, alarms, rows } = opened.map_err(|e| BatchError::Companion(e.to_string()))?;
        // alarms count from 1, and the store keeps the latest
        self.not_kept = alarms.first().map_or(0, |first| first.sequence - 1);
        (self.monitor, self.alarms) = (monitor, alarms);
        self.store = Some((store, beside.to_owned()));
        Ok(rows)
    }

    fn collect(&mut self) -> Vec<Alarm> {
        let new = self.monitor.drain_alarms();
        let room = MOST_ALARMS.saturating_sub(self.alarms.len());
        self.not_kept += new.len().saturating_sub(room) as u64;
        self.alarms.extend(new.iter().take(room).cloned());
        new
    }

    /// Writes the alarms where they were asked for, one JSON object a line; the file is there whole or not at all.
    pub(super) fn save_alarms(&mut self) -> Result<(), BatchError> {
        self.collect();
        let Some(path) = &self.save_at else { return Ok(()) };
        let part = part_of(path);
        let line = |out: &mut BufWriter<File>, alarm| {
            serde_json::to_writer(&mut *out, alarm).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"))
        };
        let write = || {
            let mut out = BufWriter::new(File::create(&part)?);
            self.alarms.iter().try_for_each(|alarm| line(&mut out, alarm))?;
            out.into_inner()?.sync_all()?;
            std::fs::rename(&part, path)
        };
        write().map_err(|source| BatchError::Write { path: path.display().to_string(), source })
    }

    /// What happened, for people: streams that had an alarm or are in a flood first, then those with most evidence.
    pub(super) fn tell(&mut self) -> String {
        self.collect();
        let mut raised: HashMap<&StreamKey, u64> = HashMap::new();
        self.alarms.iter().filter(|a| a.event == AlarmEvent::Raised).for_each(|a| *raised.entry(&a.key).or_default() += 1);
        let mut streams = self.streams();
        let count = self.monitor.counters().keys.saturating_sub(1);
        let alarms = |s: &StreamStatus| raised.get(&s.key).copied().unwrap_or(0);
        streams.sort_by(|a, b| alarms(b).cmp(&alarms(a)).then(b.log_e.total_cmp(&a.log_e)).then(a.key.cmp(&b.key)));
        let total: u64 = raised.values().sum();
        let mut text = format!("{count} streams, {total} alarms (* is all of them together)");
        if self.not_kept > 0 {
            let _infallible = write!(text, " ({} more were not kept)", self.not_kept);
        }
        let shown = streams.len().min(SHOWN);
        for s in &streams[..shown] {
            let name: String = s.key.as_str().chars().take(40).collect();
            let state = if s.state == State::Flood { "flood" } else { "quiet" };
            let share = [s.share.low, s.share.estimate, s.share.high].map(|share| format!("{:.0}%", 100. * share));
            let mismatch = if s.calibration_mismatch { "; calibration does not fit" } else { "" };
            let _infallible = write!(
                text,
                "\n  {name:<40} {state}  {:>8} documents  {:>4} machine ({} to {})  {} alarms{mismatch}",
                s.documents,
                share[1],
                share[0],
                share[2],
                alarms(s)
            );
        }
        // The whole stream is a line of its own.
        if count + 1 > shown as u64 {
            let _infallible = write!(text, "\n  and {} more", count + 1 - shown as u64);
        }
        text.push_str(&not_counted(self.monitor.counters().repeated));
        text
    }

    /// The streams that the summary may show: all, or where there are too many, those that had an alarm.
    fn streams(&self) -> Vec<StreamStatus> {
        if self.monitor.counters().keys <= MOST_SORTED {
            return self.monitor.streams(None, None, MOST_SORTED as usize);
        }
        let keys: BTreeSet<&StreamKey> = self.alarms.iter().map(|alarm| &alarm.key).collect();
        keys.into_iter().filter_map(|key| self.monitor.status(key)).collect()
    }
}

/// Inputs whose rows are each numbered from 1 repeat every id, and look like one.
fn not_counted(repeated: u64) -> String {
    match repeated {
        0 => String::new(),
        1 => "\n1 document was not counted because its id was repeated: a stream counts an id once".to_owned(),
        n => format!("\n{n} documents were not counted because their ids were repeated: a stream counts an id once"),
    }
}

impl Companion for Along {
    fn description(&self) -> Option<String> {
        Some(format!(
            "average run length {}, base share {}, {} streams",
            self.settings.arl, self.settings.base_share, self.settings.max_keys
        ))
    }

    fn begin(&mut self, beside: Option<&Path>) -> Result<(), BatchError> {
        let Some(beside) = beside else { return Ok(()) };
        match std::fs::remove_file(beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BatchError::Companion(format!("cannot begin anew: {}: {error}", beside.display())));
            }
            _ => {}
        }
        self.open(beside).map(drop)
    }

    fn resume(&mut self, beside: &Path) -> Result<u64, BatchError> {
        self.open(beside)
    }

    fn answer(&mut self, document: &Document, assessment: &Assessment) -> Option<Value> {
        // Files tell of the past: a document arrives when it was posted.
        let now = document.time.unwrap_or_else(Timestamp::now);
        let streams = self.monitor.observe(document, assessment, now);
        // Numbers and text can always be written.
        if streams.is_empty() { None } else { serde_json::to_value(streams).ok() }
    }

    fn keeps(&self) -> bool {
        self.store.is_some()
    }

    fn written(&mut self, rows: u64) -> Result<(), BatchError> {
        let alarms = self.collect();
        let Some((store, _)) = &mut self.store else { return Ok(()) };
        let write = Write { changes: self.monitor.drain_changes(), alarms, rows: Some(rows) };
        store.commit(&write).map_err(|e| BatchError::Companion(e.to_string()))
    }

    fn finish(&mut self) -> Result<(), BatchError> {
        self.save_alarms()
    }

    fn complete(&mut self) {
        let Some((store, path)) = self.store.take() else { return };
        drop(store);
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "could not remove the evidence of the finished run");
        }
    }
}
