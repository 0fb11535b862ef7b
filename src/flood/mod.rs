//! Assessments in the order of arrival to the state of each stream: how much evidence there is of a flood, and alarms with a promise.
//!
//! Takes no clock, no socket and no file: the time of arrival is an argument, and what must be kept is handed out as bytes.

mod alarm;
mod monitor;
mod reference;
mod settings;
mod status;
pub use alarm::{Alarm, AlarmEvent, AlarmKind, Severity};
pub use monitor::{Changes, Counters, Monitor, Saved};
pub use reference::{LEVELS, Reference, ReferenceError};
pub use settings::{Settings, SettingsError};
pub use status::{Rate, Share, State, StreamStatus};
