//! The monitor: the one owner of all streams' states.

/// Watches streams. One owner, no locks; `observe` is to be called in the order of arrival.
pub struct Monitor {}

impl Monitor {
    /// A monitor that has seen nothing.
    ///
    /// # Errors
    /// A setting that cannot be meant.
    pub fn new(settings: Settings, reference: Reference) -> Result<Self, SettingsError>;

    /// Counts one document in each of its keys and in the whole stream, and says how each given key stands afterwards, in the order given.
    ///
    /// `now` is the time of arrival; the document's own time, where it has one, is used for rates. An id that was seen before in a key
    /// within the window changes nothing there.
    pub fn observe(&mut self, document: &Document, assessment: &Assessment, now: Timestamp) -> Vec<StreamStatus>;

    /// [`Monitor::observe`] without the answers: several times as fast.
    pub fn count(&mut self, document: &Document, assessment: &Assessment, now: Timestamp);

    /// One stream; `StreamKey::whole()` is the whole stream.
    pub fn status(&self, key: &StreamKey) -> Option<StreamStatus>;

    /// At most `limit` streams in the order of their keys, from the one after `after`; the whole stream is among them.
    pub fn streams(&self, after: Option<&StreamKey>, limit: usize) -> Vec<StreamStatus>;

    /// Streams that are above the base share with a false-discovery rate of at most `alpha` over all keys, under any dependence (e-BH on
    /// `log_e`); largest e-value first. The whole stream is not among them.
    pub fn floods(&self, alpha: f64) -> Vec<StreamStatus>;

    /// Alarms since the last call, oldest first. They are kept until asked for: call it after each batch.
    pub fn drain_alarms(&mut self) -> Vec<Alarm>;

    /// What changed since the last call, for one durable commit; costs what changed, not what there is.
    pub fn drain_changes(&mut self) -> Changes;

    /// Continues from what was saved.
    ///
    /// # Errors
    /// Bytes that this version did not write, or that belong to other settings or another reference ([`RestoreError::Other`]).
    pub fn restore(settings: Settings, reference: Reference, saved: Saved) -> Result<Self, RestoreError>;

    /// Running totals for metrics.
    pub fn counters(&self) -> Counters;
}

/// What changed since the last call. Write all of it in one transaction, together with the alarms of [`Monitor::drain_alarms`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// State of each key that changed: replace what is stored under the key. Versioned bytes, at most 512 for each.
    pub keys: Vec<(StreamKey, Vec<u8>)>,
    /// Keys that were forgotten: delete what is stored under the key. A key is never in both lists.
    pub evicted: Vec<StreamKey>,
    /// State of the monitor itself (version, fingerprint, counters, next alarm number): replace the one stored. Empty where nothing changed.
    pub monitor: Vec<u8>,
    /// New entries of the window against repetition, oldest first; entry i has the running number `seen_from + i`.
    pub seen: Vec<u64>,
    /// Running number of `seen[0]`, from 0.
    pub seen_from: u64,
    /// Entries with running numbers below this have left the window: delete them.
    pub seen_keep_from: u64,
}

/// What was saved, in any order of keys.
pub struct Saved {
    /// `Changes::monitor` as stored last.
    pub monitor: Vec<u8>,
    /// Each stored key with its bytes.
    pub keys: Box<dyn Iterator<Item = (StreamKey, Vec<u8>)>>,
    /// Entries of the window, oldest first.
    pub seen: Box<dyn Iterator<Item = u64>>,
}

/// Running totals since the monitor was made; restored with it.
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
    /// New keys that were refused because every key that could be forgotten is in a flood.
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
