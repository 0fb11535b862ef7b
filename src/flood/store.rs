//! The state file: evidence, alarms and what else must outlive the process, in one embedded database.
//!
//! Takes what the monitor gives out and writes it in one durable commit; gives all of it back when it is opened. After a failed write the
//! file is opened anew by the next one. Must not mix evidence of two models, and must not trust what lies on disk.

use super::{Alarm, Changes, Monitor, Reference, RestoreError, Saved, Settings};
use crate::text::{StreamKey, StreamKeyError};
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, backends::FileBackend};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    rc::Rc,
};

/// About the file, the monitor's own state, and how far a run is.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Streams by key.
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
/// Entries against repetition: the running number of the first one to 8 bytes for each.
const SEEN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("seen");
/// Alarms as JSON by their number.
const ALARMS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("alarms");
/// The last alarm that each receiver has taken, by the receiver's name.
const DELIVERED: TableDefinition<'_, &str, u64> = TableDefinition::new("delivered");
/// Corrections by people, as JSON, by running number.
const FEEDBACK: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("feedback");

mod make;

const ABOUT: &str = "about";
const MONITOR: &str = "monitor";
const ROWS: &str = "rows";
/// Version of this layout.
const FORMAT: u32 = 1;
/// Pages of the file that are kept in memory, bytes: the state itself is in the monitor.
const CACHE: usize = 64 << 20;
/// Most alarms kept; the oldest are deleted.
pub const ALARMS_KEPT: u64 = 10_000;
/// Most corrections kept; the oldest are deleted.
const FEEDBACK_KEPT: u64 = 10_000;
/// Corrections given at once end with the first that makes them this long together, bytes.
const FEEDBACK_BYTES: usize = 4 << 20;

/// Which model and calibration the evidence in a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Name and hash of the model.
    pub model: String,
    /// Name of the calibration, and when it was made.
    pub calibration: String,
}

#[derive(Serialize, Deserialize)]
struct Label {
    format: u32,
    #[serde(flatten)]
    about: About,
}

/// One commit.
#[derive(Debug, Default, Clone)]
pub struct Write {
    /// What [`Monitor::drain_changes`] gave.
    pub changes: Changes,
    /// What [`Monitor::drain_alarms`] gave.
    pub alarms: Vec<Alarm>,
    /// Rows of a run that this evidence comes from, for a run that can go on.
    pub rows: Option<u64>,
}

/// An open state file. One process at a time.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    label: Vec<u8>,
    /// `None` after a failed write.
    database: Option<Database>,
    /// Whether the label was found to be ours: from then on another file is refused.
    known: bool,
}

/// What was in the file.
pub struct Opened {
    /// The file.
    pub store: Store,
    /// The monitor, where it left off.
    pub monitor: Monitor,
    /// The alarms that are kept, oldest first.
    pub alarms: Vec<Alarm>,
    /// [`Write::rows`] of the last commit.
    pub rows: u64,
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("another process uses the state file {path}; stop it, or name another file")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Something else lies there.
    #[error("{path} is no state file of this program ({reason}); name another file, it is left as it is")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// It belongs to another model, calibration or other alarm settings.
    #[error(
        "the state file {path} holds evidence of another kind: {difference}. Evidence of two kinds cannot be added up: start with what the \
         file was made with, or name a new file and begin anew"
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What differs, in words.
        difference: String,
    },
    /// It is damaged.
    #[error("the state file {path} is damaged: {reason}; restore a copy, or move it away and begin anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// It cannot be read or written now.
    #[error("the state file {path} cannot be used: {reason}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Any error of the database, as text: which of its many kinds it is changes nothing for us.
struct Fault(String);

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Store {
    /// Opens a state file, or makes a new one, and restores what is in it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(path: &Path, about: &About, settings: Settings, reference: Reference) -> Result<Opened, StoreError> {
        let label = serde_json::to_vec(&Label { format: FORMAT, about: about.clone() })
            .map_err(|e| StoreError::Failed { path: path.to_owned(), reason: e.to_string() })?;
        let mut store = Self { path: path.to_owned(), label, database: None, known: false };
        store.make()?;
        store.reopen()?;
        store.check_label(about)?;
        store.known = true;
        // Pages that were damaged while nobody looked can make the database panic.
        let loaded = catch_unwind(AssertUnwindSafe(|| store.load(settings, reference)));
        let (monitor, alarms, rows) = loaded.unwrap_or_else(|_| Err(store.damaged("it cannot be read")))?;
        Ok(Opened { store, monitor, alarms, rows })
    }

    /// Writes one batch's evidence, durably. After an error nothing of it is in the file: call it again with the same.
    ///
    /// # Errors
    /// [`StoreError::Failed`], for example where the disk is full.
    pub fn commit(&mut self, write: &Write) -> Result<(), StoreError> {
        let rows = write.rows.map(u64::to_le_bytes);
        self.transact(|txn| {
            let Changes { keys, evicted, monitor, seen, seen_from, seen_keep_from } = &write.changes;
            let mut table = txn.open_table(KEYS)?;
            for (key, state) in keys {
                table.insert(key.as_str(), state.as_slice())?;
            }
            for key in evicted {
                table.remove(key.as_str())?;
            }
            if !seen.is_empty() {
                let entries: Vec<u8> = seen.iter().flat_map(|entry| entry.to_le_bytes()).collect();
                txn.open_table(SEEN)?.insert(seen_from, entries.as_slice())?;
            }
            forget_seen(txn, *seen_keep_from)?;
            let mut table = txn.open_table(ALARMS)?;
            for alarm in &write.alarms {
                table.insert(alarm.sequence, serde_json::to_vec(alarm)?.as_slice())?;
            }
            if let Some(newest) = write.alarms.last().map(|a| a.sequence) {
                table.retain_in(..=newest.saturating_sub(ALARMS_KEPT), |_, _| false)?;
            }
            let mut table = txn.open_table(META)?;
            if !monitor.is_empty() {
                table.insert(MONITOR, monitor.as_slice())?;
            }
            if let Some(rows) = &rows {
                table.insert(ROWS, rows.as_slice())?;
            }
            Ok(())
        })
    }

    /// How far each of these receivers is; one that is new begins at `newest`. Receivers that are not named are forgotten.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn receivers(&mut self, names: &[String], newest: u64) -> Result<Vec<u64>, StoreError> {
        self.transact(|txn| {
            let mut table = txn.open_table(DELIVERED)?;
            table.retain(|name, _| names.iter().any(|n| n == name))?;
            let mut places = Vec::new();
            for name in names {
                let place = table.get(name.as_str())?.map(|place| place.value());
                places.push(place.unwrap_or(newest));
                table.insert(name.as_str(), place.unwrap_or(newest))?;
            }
            Ok(places)
        })
    }

    /// Notes that a receiver has taken all alarms up to this one.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn delivered(&mut self, name: &str, sequence: u64) -> Result<(), StoreError> {
        self.transact(|txn| {
            txn.open_table(DELIVERED)?.insert(name, sequence)?;
            Ok(())
        })
    }

    /// Adds a correction, as one JSON object; gives its running number, from 1.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn add_feedback(&mut self, json: &[u8]) -> Result<u64, StoreError> {
        self.transact(|txn| {
            let mut table = txn.open_table(FEEDBACK)?;
            let number = table.last()?.map_or(0, |(last, _)| last.value()) + 1;
            table.insert(number, json)?;
            table.retain_in(..=number.saturating_sub(FEEDBACK_KEPT), |_, _| false)?;
            Ok(number)
        })
    }

    /// At most `limit` corrections after this number, oldest first, each as it was added; fewer where they are long, and at least one where
    /// there is one, so that who goes on after the last gets all.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn feedback(&mut self, after: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.attempt(|database| {
            let table = database.begin_read()?.open_table(FEEDBACK)?;
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for row in table.range(after.saturating_add(1)..)?.take(limit) {
                let (number, json) = row?;
                bytes += json.value().len();
                rows.push((number.value(), json.value().to_vec()));
                if bytes >= FEEDBACK_BYTES {
                    break;
                }
            }
            Ok(rows)
        })
    }

    fn transact<T>(&mut self, act: impl FnOnce(&redb::WriteTransaction) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.attempt(|database| {
            let mut txn = database.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            let result = act(&txn)?;
            txn.commit()?;
            Ok(result)
        })
    }

    /// Does something with the open file. After a fault the file is closed, and opened anew by the next attempt.
    fn attempt<T>(&mut self, act: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, StoreError> {
        if self.database.is_none() {
            self.reopen()?;
            self.check_same()?;
        }
        let Some(database) = &self.database else { return Err(self.failed("it is closed")) };
        let result = catch_unwind(AssertUnwindSafe(|| act(database)));
        let fault = match result {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(Fault(reason))) => reason,
            Err(_) => "the database panicked".to_owned(),
        };
        // Closing writes as well, and may fail or panic in the same way.
        let database = self.database.take();
        let _closed = catch_unwind(AssertUnwindSafe(|| drop(database)));
        Err(self.failed(fault))
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        let file = make::open_private(&self.path, false).map_err(|e| self.failed(e))?;
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Builder::new().set_cache_size(CACHE).set_check_integrity_on_open(true).create_with_backend(FileBackend::new(file)?)
        }));
        use redb::{DatabaseError as E, StorageError as S};
        self.database = Some(match opened {
            Ok(Ok(database)) => database,
            Ok(Err(E::DatabaseAlreadyOpen | E::LockProtocolMismatch)) => return Err(StoreError::InUse { path: self.path.clone() }),
            Ok(Err(E::Storage(S::Io(e)))) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(StoreError::Foreign { path: self.path.clone(), reason: e.to_string() });
            }
            Ok(Err(E::Storage(S::Io(e)))) if e.kind() != io::ErrorKind::UnexpectedEof => return Err(self.failed(e)),
            Ok(Err(e)) => return Err(self.damaged(e)),
            Err(_) => return Err(self.damaged("it cannot be read")),
        });
        Ok(())
    }

    /// After a fault, whether the file is still the one that was opened: another one lacks what was acknowledged before.
    fn check_same(&mut self) -> Result<(), StoreError> {
        let label = |database: &Database| -> Result<Option<Vec<u8>>, Fault> {
            Ok(database.begin_read()?.open_table(META)?.get(ABOUT)?.map(|label| label.value().to_vec()))
        };
        let found = self.database.as_ref().and_then(|database| label(database).ok().flatten());
        if !self.known || found.as_ref() == Some(&self.label) {
            return Ok(());
        }
        self.database = None;
        Err(self.failed("another file was put in its place; put it back, or start again to begin anew"))
    }

    /// Labels a new file; refuses one with another label.
    fn check_label(&mut self, about: &About) -> Result<(), StoreError> {
        // An empty label is one that is not there: the file is a database of somebody else, and is not written to.
        let found = self.attempt(|database| {
            let txn = database.begin_read()?;
            if txn.list_tables()?.next().is_none() {
                return Ok(None);
            }
            let Ok(table) = txn.open_table(META) else { return Ok(Some(Vec::new())) };
            Ok(Some(table.get(ABOUT)?.map(|label| label.value().to_vec()).unwrap_or_default()))
        })?;
        let Some(found) = found else { return self.make_tables() };
        let foreign = |reason: &str| StoreError::Foreign { path: self.path.clone(), reason: reason.to_owned() };
        let found: Label = serde_json::from_slice(&found).map_err(|_| foreign("a database without our label"))?;
        let was = |what: &str, before: &str, now: &str| {
            let difference = format!("{what} was {before} and is now {now}");
            Err(StoreError::Other { path: self.path.clone(), difference })
        };
        match found {
            Label { format, .. } if format != FORMAT => was("its format", &format.to_string(), &FORMAT.to_string()),
            Label { about: found, .. } if found.model != about.model => was("the model", &found.model, &about.model),
            Label { about: found, .. } if found.calibration != about.calibration => {
                was("the calibration", &found.calibration, &about.calibration)
            }
            Label { .. } => Ok(()),
        }
    }

    fn make_tables(&mut self) -> Result<(), StoreError> {
        let label = self.label.clone();
        self.transact(|txn| {
            txn.open_table(KEYS)?;
            txn.open_table(SEEN)?;
            txn.open_table(ALARMS)?;
            txn.open_table(DELIVERED)?;
            txn.open_table(FEEDBACK)?;
            txn.open_table(META)?.insert(ABOUT, label.as_slice())?;
            Ok(())
        })
    }

    fn load(&self, settings: Settings, reference: Reference) -> Result<(Monitor, Vec<Alarm>, u64), StoreError> {
        let Some(database) = &self.database else { return Err(self.failed("it is closed")) };
        let read = |fault: Fault| self.damaged(fault.0);
        let txn = database.begin_read().map_err(Fault::from).map_err(read)?;
        let meta = |name: &str| -> Result<Vec<u8>, Fault> {
            Ok(txn.open_table(META)?.get(name)?.map(|value| value.value().to_vec()).unwrap_or_default())
        };
        let rows = meta(ROWS).map_err(read)?.try_into().map_or(0, u64::from_le_bytes);
        let saved_monitor = meta(MONITOR).map_err(read)?;
        if saved_monitor.is_empty() {
            let fresh = Monitor::new(settings, reference).map_err(|e| self.failed(e))?;
            return Ok((fresh, Vec::new(), rows));
        }
        // The monitor takes plain iterators: a fault on the way is kept here and ends them.
        let fault = Rc::new(RefCell::new(None));
        let saved = saved(&txn, saved_monitor, &fault).map_err(read)?;
        let restored = Monitor::restore(settings, reference, saved);
        if let Some(reason) = fault.take() {
            return Err(self.damaged(reason));
        }
        let monitor = restored.map_err(|error| match error {
            RestoreError::Other { .. } => {
                let difference = "it was made with another calibration or base share (--base-share)".to_owned();
                StoreError::Other { path: self.path.clone(), difference }
            }
            RestoreError::Version { .. } => {
                let difference = "another version of this program wrote it, which bets in another way".to_owned();
                StoreError::Other { path: self.path.clone(), difference }
            }
            error => self.damaged(error),
        })?;
        let alarms = alarms(&txn).map_err(read)?;
        Ok((monitor, alarms, rows))
    }

    fn failed(&self, reason: impl ToString) -> StoreError {
        StoreError::Failed { path: self.path.clone(), reason: reason.to_string() }
    }

    fn damaged(&self, reason: impl ToString) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), reason: reason.to_string() }
    }
}

/// A key as it was told by [`StreamKey::as_str`]: unlike a sender's, it may be that of the whole stream.
pub fn stored_key(text: &str) -> Result<StreamKey, StreamKeyError> {
    let whole = StreamKey::whole();
    if text == whole.as_str() { Ok(whole) } else { StreamKey::new(text) }
}

/// Deletes the rows of which every entry has left the window.
fn forget_seen(txn: &redb::WriteTransaction, keep_from: u64) -> Result<(), Fault> {
    let mut table = txn.open_table(SEEN)?;
    loop {
        let first = table.first()?.map(|(from, entries)| (from.value(), entries.value().len() as u64 / 8));
        match first {
            Some((from, entries)) if from + entries <= keep_from => drop(table.remove(from)?),
            _ => return Ok(()),
        }
    }
}

/// Where an iterator that may not fail puts why it ended early.
type Early = Rc<RefCell<Option<String>>>;
type Keys = Box<dyn Iterator<Item = (StreamKey, Vec<u8>)>>;
type Seen = Box<dyn Iterator<Item = (u64, u64)>>;

fn saved(txn: &redb::ReadTransaction, monitor: Vec<u8>, fault: &Early) -> Result<Saved<Keys, Seen>, Fault> {
    let table = txn.open_table(KEYS)?;
    let most = usize::try_from(table.len()?).unwrap_or(usize::MAX);
    let keys = table.range_owned::<&str>(..)?;
    let in_keys = fault.clone();
    let keys = keys.map_while(move |row| {
        let row = row.map_err(|e| e.to_string()).and_then(|(key, state)| {
            let key = stored_key(key.value()).map_err(|e| e.to_string())?;
            Ok((key, state.value().to_vec()))
        });
        row.map_err(|reason| in_keys.replace(Some(reason))).ok()
    });
    // says how many there are
    let keys = keys.take(most);
    let seen = txn.open_table(SEEN)?.range_owned::<u64>(..)?;
    let in_seen = fault.clone();
    let seen = seen.map_while(move |row| {
        let row = row.map_err(|e| e.to_string()).and_then(|(from, entries)| {
            let (entries, rest) = entries.value().as_chunks::<8>();
            if rest.is_empty() {
                Ok((from.value()..).zip(entries.iter().map(|e| u64::from_le_bytes(*e))).collect::<Vec<_>>())
            } else {
                Err("half an entry".into())
            }
        });
        row.map_err(|reason: String| in_seen.replace(Some(reason))).ok()
    });
    Ok(Saved { monitor, keys: Box::new(keys), seen: Box::new(seen.flatten()) })
}

fn alarms(txn: &redb::ReadTransaction) -> Result<Vec<Alarm>, Fault> {
    let table = txn.open_table(ALARMS)?;
    table.range::<u64>(..)?.map(|row| Ok(serde_json::from_slice(row?.1.value())?)).collect()
}

#[cfg(test)]
mod tests;
