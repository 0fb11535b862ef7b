//! Query parameters that were asked for by name, and a clear refusal of all others.

use crate::service::error::ApiError;
use axum::extract::{Query, rejection::QueryRejection};

pub(crate) type Raw = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The parameters of one request that have not been taken yet.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn read(raw: Raw) -> Result<Self, ApiError> {
        raw.map(|Query(list)| Self(list)).map_err(|e| ApiError::Invalid(e.to_string()))
    }

    /// The value of this parameter; the last one where it is given several times.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let mut found = None;
        self.0.retain_mut(|(n, value)| {
            let ours = n == name;
            if ours {
                found = Some(std::mem::take(value));
            }
            !ours
        });
        found
    }

    /// A whole number of at most this much.
    pub(crate) fn number(&mut self, name: &str, most: u64) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if number <= most => Ok(Some(number)),
            _ => {
                let found = text.escape_debug().to_string();
                Err(ApiError::Invalid(format!("`{name}` is a whole number of at most {most}, found `{found:.40}`")))
            }
        }
    }

    /// True or false; false where it is not given.
    pub(crate) fn yes(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(ApiError::Invalid(format!("`{name}` is true or false, found `{:.40}`", other.escape_debug().to_string()))),
        }
    }

    /// Refuses what is left.
    pub(crate) fn finish(self, expected: &str) -> Result<(), ApiError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(ApiError::Invalid(format!("unknown parameter `{:.40}`, expected {expected}", name.escape_debug().to_string())))
            }
        }
    }
}
