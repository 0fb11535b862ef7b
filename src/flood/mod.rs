//! Assessments in the order of arrival to the state of each stream: how much evidence there is of a flood, and alarms with a promise.
//!
//! Takes no clock and no socket: the time of arrival is an argument, and what must be kept is handed out as bytes, which `store` puts into
//! a file.

mod alarm;
mod bets;
mod dedup;
mod encode;
mod judge;
mod lists;
mod monitor;
mod reference;
mod sameness;
mod settings;
mod status;
mod store;
mod stream;
mod table;
pub use alarm::{Alarm, AlarmEvent, AlarmKind, Severity};
pub use encode::RestoreError;
#[doc(hidden)]
pub use encode::parse_any;
pub use lists::{Changes, Counters, Saved};
pub use monitor::Monitor;
pub use reference::{LEVELS, Reference, ReferenceError};
pub use settings::{Settings, SettingsError};
pub use status::{Rate, Share, State, StreamStatus};
pub use store::{ALARMS_KEPT, About, Opened, Store, StoreError, Write, stored_key};

#[cfg(test)]
mod tests;
