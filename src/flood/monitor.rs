//! The monitor: the one owner of all streams' states.

use super::{
    Alarm, AlarmEvent, AlarmKind, Counters, Rate, Reference, Settings, SettingsError, Severity, Share, StreamStatus,
    bets::{Bets, Factors, Place},
    dedup, judge,
    sameness::{Background, Sight, Watch},
    stream::{Stream, Times},
    table::{Placed, Table},
};
use crate::{
    text::{Document, StreamKey},
    verdict::Assessment,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// The slot of the whole stream.
pub(super) const WHOLE: u32 = 0;
/// A calibration mismatch is looked for after so many documents with a p-value, again and again.
const MISMATCH_EVERY: u32 = 64;
/// Watches that are compared before one ends for another.
const COMPARED: usize = 16;
/// Documents with a p-value after an alarm that are too few to estimate a share by.
const FRESH: u32 = 32;

/// Watches streams. One owner, no locks; documents are to be observed in the order of their arrival.
///
/// ```
/// use highwater::{
///     calibration::Calibration, detector::{Detector, Options}, flood::{LEVELS, Monitor, Reference, Settings}, model::Fake,
///     text::{Document, StreamKey},
/// };
///
/// let calibration = Calibration::for_fake();
/// let reference = Reference::new(calibration.bin_rates(&LEVELS))?;
/// let mut monitor = Monitor::new(Settings::default(), reference)?;
/// let mut detector = Detector::new(Box::new(Fake::default()), calibration.into(), Options::default())?;
/// let streams = vec![StreamKey::new("forum-7")?];
/// let post = Document { streams, ..Document::new("Some post that somebody, or something, wrote.") };
/// let assessments = detector.assess(std::slice::from_ref(&post))?;
/// let statuses = monitor.observe(&post, &assessments[0], jiff::Timestamp::UNIX_EPOCH);
/// assert_eq!(statuses[0].documents, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Monitor {
    pub(super) settings: Settings,
    pub(super) bets: Arc<Bets>,
    pub(super) table: Table,
    pub(super) seen: dedup::Window,
    pub(super) watches: BTreeMap<u32, Watch>,
    /// The slot from which on watches are next compared.
    hand: u32,
    pub(super) background: Background,
    pub(super) alarms: Vec<Alarm>,
    /// Where the latest document's keys are, in its order.
    latest: Vec<Option<u32>>,
    /// Number of the latest alarm.
    pub(super) sequence: u64,
    pub(super) changed: Vec<u32>,
    pub(super) evicted: Vec<StreamKey>,
    pub(super) counters: Counters,
    /// Values of the detector at which a stream becomes suspicious: half-way to an alarm by logarithms, and near it.
    half_way: f64,
    near: f64,
}

/// A document with all that streams take from it.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    sight: Sight<'a>,
    times: Times,
    flagged: bool,
    /// Where the evidence lies, and the factors of the bets on it; `None` without evidence.
    evidence: Option<(Place, Factors)>,
}

/// A detector that crossed its threshold; times in microseconds since 1970.
struct Crossing {
    event: AlarmEvent,
    since: i64,
    at: i64,
    log_sr: f64,
}

impl Monitor {
    /// Longest id that an alarm names among its examples, bytes. Documents with longer ones count all the same.
    pub const LONGEST_ID: usize = 512;

    /// A monitor that has seen nothing.
    ///
    /// # Errors
    /// A setting that cannot be meant.
    pub fn new(settings: Settings, reference: Reference) -> Result<Self, SettingsError> {
        settings.check()?;
        let bets = Arc::new(Bets::new(&settings, reference));
        Ok(Self::empty(settings, bets))
    }

    /// Another one that has seen nothing, with the same settings and reference; quick, since the bets are made once.
    pub fn anew(&self) -> Self {
        Self::empty(self.settings.clone(), self.bets.clone())
    }

    fn empty(settings: Settings, bets: Arc<Bets>) -> Self {
        let mut monitor = Self {
            bets,
            table: Table::new(settings.max_keys, settings.seed),
            seen: dedup::Window::new(settings.dedup_window),
            watches: BTreeMap::new(),
            hand: 0,
            background: Background::default(),
            alarms: Vec::new(),
            latest: Vec::new(),
            sequence: 0,
            changed: Vec::new(),
            evicted: Vec::new(),
            counters: Counters::default(),
            half_way: settings.arl.sqrt(),
            near: settings.arl * f64::exp(-1.5),
            settings,
        };
        // The first in takes slot 0.
        monitor.insert(Stream::new(StreamKey::whole()));
        monitor
    }

    /// Counts one document in each of its keys and in the whole stream, and says how each given key stands afterwards, in the order given.
    ///
    /// `now` is the time of arrival; the document's own time, where it has one, is used for rates. Evidence is counted in the order of
    /// arrival, whatever the times say. An id that was seen before in a key within the window changes nothing there.
    pub fn observe(&mut self, document: &Document, assessment: &Assessment, now: Timestamp) -> Vec<StreamStatus> {
        self.count(document, assessment, now);
        let status = |(key, slot): (&StreamKey, &Option<u32>)| match slot {
            // another key of the same document may have taken its place
            Some(slot) if self.table.get(*slot).name == *key => self.describe(self.table.get(*slot), self.watches.get(slot)),
            _ => self.status(key).unwrap_or_else(|| self.describe(&Stream::new(key.clone()), None)),
        };
        document.streams.iter().zip(&self.latest).map(status).collect()
    }

    /// [`Monitor::observe`] without the answers, which is faster.
    pub fn count(&mut self, document: &Document, assessment: &Assessment, now: Timestamp) {
        let sight = Sight { text: &document.text, id: document.id.as_deref(), hidden: &assessment.embedding };
        let times = Times::new(document.time, now, self.settings.live);
        let evidence = self.bets.place(assessment).map(|place| (place, self.bets.forward(place)));
        let arrival = Arrival { sight, times, flagged: assessment.flagged, evidence };
        self.counters.documents += 1;
        self.background.see(sight.hidden);
        self.latest.clear();
        let mut news = false;
        for (i, key) in document.streams.iter().enumerate() {
            let hash = self.table.hash(key.as_str());
            let mut slot = None;
            if !document.streams[..i].contains(key) && self.is_new(hash, sight.id) {
                news = true;
                slot = self.table.find_hashed(hash, key.as_str()).or_else(|| self.insert(Stream::new(key.clone())));
                if let Some(slot) = slot {
                    self.arrive(slot, arrival);
                }
            }
            self.latest.push(slot);
        }
        if news || document.streams.is_empty() && self.is_new(self.table.hash(StreamKey::whole().as_str()), sight.id) {
            self.arrive(WHOLE, arrival);
        } else {
            self.counters.repeated += 1;
        }
    }

    fn is_new(&mut self, key: u64, id: Option<&str>) -> bool {
        // an empty one names nothing
        id.is_none_or(|id| id.is_empty() || self.seen.is_new(key, id))
    }

    fn arrive(&mut self, slot: u32, arrival: Arrival<'_>) {
        let stream = self.table.get_mut(slot);
        let late = stream.arrive(arrival.times, arrival.flagged);
        let weighed = arrival.evidence.map(|(place, factors)| (stream.weigh(place, &factors, &self.bets), place));
        let (in_flood, watched) = (stream.flags.flood, stream.flags.watched);
        if self.settings.track_changes && !std::mem::replace(&mut stream.flags.changed, true) {
            self.changed.push(slot);
        }
        if slot == WHOLE {
            self.counters.late += u64::from(late);
        }
        let Some((level, place)) = weighed else { return };
        if watched || in_flood || self.is_suspicious(slot, level) {
            self.look(slot, arrival, place);
        }
        if in_flood && level >= self.settings.clear_arl {
            self.clear(slot, arrival, level);
        } else if !in_flood && level >= self.settings.arl {
            self.raise(slot, arrival, level);
        }
        self.check_calibration(slot);
    }

    /// The slot of a new stream; `None` where there is no room.
    pub(super) fn insert(&mut self, mut stream: Stream) -> Option<u32> {
        stream.flags.trusted = self.settings.trusted.contains(&stream.name);
        match self.table.insert(stream) {
            Placed::New(slot) => Some(slot),
            Placed::Instead(slot, forgotten) => {
                self.counters.evicted += 1;
                self.watches.remove(&slot);
                if self.settings.track_changes {
                    self.evicted.push(forgotten);
                }
                Some(slot)
            }
            Placed::Refused => {
                self.counters.refused += 1;
                None
            }
        }
    }

    /// Half-way to an alarm, or near it by bets on small shares.
    fn is_suspicious(&self, slot: u32, level: f64) -> bool {
        level >= self.half_way && (level >= self.near || self.table.get(slot).fast_sr(&self.bets) >= self.half_way)
    }

    /// Looks closely at a stream while it is suspicious, with room for so many.
    fn look(&mut self, slot: u32, arrival: Arrival<'_>, place: Place) {
        let stream = self.table.get(slot);
        let view = stream.view(&self.bets);
        let calm = stream.fast_sr(&self.bets) < self.half_way.sqrt() && stream.log_sr() < self.settings.arl.ln() - 3.;
        if calm && !stream.flags.flood {
            self.table.get_mut(slot).flags.watched = false;
            self.watches.remove(&slot);
            return;
        }
        if !self.watches.contains_key(&slot) {
            if self.watches.len() >= self.settings.max_watched && !self.make_room(slot) {
                return;
            }
            self.watches.insert(slot, Watch::new(arrival.times.at));
            self.table.get_mut(slot).flags.watched = true;
        }
        if let Some(watch) = self.watches.get_mut(&slot) {
            watch.count(place);
            if place.is_low(view) {
                watch.suspect(arrival.sight, &self.background);
            }
        }
    }

    /// Stops looking at the least suspicious of the next few streams, if it is less so than this one.
    fn make_room(&mut self, slot: u32) -> bool {
        let level = |slot: u32| {
            let stream = self.table.get(slot);
            if stream.flags.flood { f64::INFINITY } else { stream.log_sr() }
        };
        let (before, after) = (self.watches.range(..self.hand), self.watches.range(self.hand..));
        let next: Vec<(f64, u32)> = after.chain(before).take(COMPARED).map(|(&other, _)| (level(other), other)).collect();
        self.hand = next.last().map_or(0, |(_, last)| last + 1);
        let least = next.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, other)) = least.filter(|(least, _)| *least < level(slot)) else { return false };
        self.watches.remove(&other);
        self.table.get_mut(other).flags.watched = false;
        true
    }

    fn raise(&mut self, slot: u32, arrival: Arrival<'_>, level: f64) {
        let since = self.watches.get(&slot).map_or(arrival.times.at, |watch| watch.since);
        self.alarm(slot, Crossing { event: AlarmEvent::Raised, since, at: arrival.times.now, log_sr: level.ln() });
        self.table.get_mut(slot).raise(arrival.times, &self.bets);
        self.counters.raised += 1;
        self.counters.flooded += 1;
    }

    fn clear(&mut self, slot: u32, arrival: Arrival<'_>, level: f64) {
        let since = self.table.get(slot).since;
        self.alarm(slot, Crossing { event: AlarmEvent::Cleared, since, at: arrival.times.now, log_sr: level.ln() });
        let stream = self.table.get_mut(slot);
        stream.clear(arrival.times);
        stream.flags.watched = false;
        self.watches.remove(&slot);
        self.counters.cleared += 1;
        self.counters.flooded = self.counters.flooded.saturating_sub(1);
    }

    fn alarm(&mut self, slot: u32, Crossing { event, since, at, log_sr }: Crossing) {
        let stream = self.table.get(slot);
        let watch = self.watches.get(&slot);
        let machine_per_minute = |share: f64| (stream.gap_lately > 0.).then(|| share * per_minute(stream.gap_lately));
        let view = stream.view(&self.bets);
        let share = match watch {
            Some(watch) => judge::window_estimate(watch.window(view), &self.bets, view),
            None => judge::window_estimate(&stream.older, &self.bets, 0),
        };
        self.sequence += 1;
        self.alarms.push(Alarm {
            sequence: self.sequence,
            event,
            key: stream.name.clone(),
            at: timestamp(at),
            since: timestamp(since),
            kind: watch.map_or(AlarmKind::BroadRise, |watch| watch.kind(&self.background)),
            found_by: usize::from(view).checked_sub(1).and_then(|kind| self.bets.reference().kinds().nth(kind).cloned()),
            severity: Severity { machine_per_minute: machine_per_minute(share), share },
            documents: stream.documents,
            log_sr,
            near_duplicate_share: watch.and_then(Watch::near_duplicate_share),
            examples: watch.map(Watch::examples).unwrap_or_default(),
        });
    }

    fn check_calibration(&mut self, slot: u32) {
        let stream = self.table.get_mut(slot);
        if stream.older.len().is_multiple_of(MISMATCH_EVERY) {
            stream.flags.mismatch |= judge::mismatch(&stream.older, &self.bets, stream.flags.trusted);
        }
    }

    /// How one stream stands; `StreamKey::whole()` is the whole stream.
    pub fn status(&self, key: &StreamKey) -> Option<StreamStatus> {
        let slot = self.table.find(key.as_str())?;
        Some(self.describe(self.table.get(slot), self.watches.get(&slot)))
    }

    /// Shares are counted anew from an alarm on; while hardly a document is counted, the estimate is that of the alarm.
    fn share(&self, stream: &Stream, watch: Option<&Watch>) -> Share {
        let share = judge::share(&stream.older, &self.bets, self.settings.alpha);
        let fresh = watch.filter(|_| stream.flags.flood && stream.older.len() < FRESH);
        let Some(watch) = fresh else { return share };
        let view = stream.view(&self.bets);
        let estimate = judge::window_estimate(watch.window(view), &self.bets, view);
        Share { estimate: estimate.clamp(share.low, share.high), ..share }
    }

    pub(super) fn describe(&self, stream: &Stream, watch: Option<&Watch>) -> StreamStatus {
        let detector = if stream.flags.flood { f64::from(stream.back) } else { stream.log_sr() };
        StreamStatus {
            key: stream.name.clone(),
            state: stream.state(),
            log_e: stream.log_e(),
            documents: stream.documents,
            share: self.share(stream, watch),
            flagged: stream.flagged.into(),
            log_sr: detector.max(0.),
            rate: Rate {
                per_minute: per_minute(stream.gap_lately),
                usual_per_minute: per_minute(stream.gap_usually),
                log_surge: f64::from(stream.surge.max(0.)),
            },
            near_duplicate_share: watch.and_then(Watch::near_duplicate_share),
            kind: watch.filter(|_| stream.flags.flood).and_then(Watch::latest),
            since: timestamp(stream.since),
            late: stream.late.into(),
            calibration_mismatch: stream.flags.mismatch,
        }
    }
}

/// Arrivals a minute from the gap between them, seconds; 0 while it is not known, at most 60 million.
fn per_minute(gap: f32) -> f64 {
    if gap > 0. { (60. / f64::from(gap)).min(6e7) } else { 0. }
}

/// Microseconds since 1970, within what can be written.
fn timestamp(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
