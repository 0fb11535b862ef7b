//! Kinds of machine text: for each a score that is fitted on its machine texts alone, and its reference, over the same length bins.
//!
//! One score for all generators is a compromise: what gives an assistant's even prose away is not what gives away a sample from a base
//! model. A single text gains nothing by several scores, since their p-values would have to be corrected for one another; a stream does.

use super::{
    Bin,
    bins::MIN_MACHINE,
    fit::{FitError, FitOptions, Sample, bins_of, cross_fit, fit_score},
};
use crate::score::ScoreModel;
use serde::{Deserialize, Serialize};

/// Which data sets' machine texts are of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindOf {
    /// Its name in answers.
    pub name: String,
    /// Its data sets.
    pub families: Vec<String>,
}

/// A kind of machine text, its score, and what that score gives for human texts and for the kind's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Its name in answers.
    pub name: String,
    /// The data sets whose machine texts it was fitted on.
    pub families: Vec<String>,
    /// Whether only profiles read it: all of its data sets are apart, made to stand in for machines, and people of a community that the
    /// calibration has not seen can be taken for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_profiles_only: bool,
    pub(super) score: ScoreModel,
    pub(super) bins: Vec<Bin>,
}

impl KindOf {
    /// The human samples, and the machine samples of this kind.
    pub(super) fn among<'a>(&self, samples: &[&'a Sample]) -> Vec<&'a Sample> {
        samples.iter().filter(|s| !s.machine || self.families.contains(&s.family)).copied().collect()
    }

    /// The error, told of this kind.
    fn named(&self, error: FitError) -> FitError {
        match error {
            FitError::Alike { class, texts, documents } => {
                FitError::Alike { class: format!("{class} of the kind {}", self.name), texts, documents }
            }
            other => other,
        }
    }

    /// Whether all of its data sets are apart.
    pub(super) fn is_apart(&self, options: &FitOptions) -> bool {
        self.families.iter().all(|family| options.apart.contains(family))
    }

    /// Fits the kind's score and its reference over bins that begin at `starts`.
    pub(super) fn fit(&self, samples: &[&Sample], starts: &[usize], options: &FitOptions) -> Result<Kind, FitError> {
        let samples = self.among(samples);
        let found = samples.iter().filter(|s| s.machine).count();
        if found < MIN_MACHINE {
            return Err(FitError::SmallKind { name: self.name.clone(), found });
        }
        let score = ScoreModel::Fitted(fit_score(&samples, options.ridge)?);
        let crossed = cross_fit(&samples, starts, options).map_err(|error| self.named(error))?;
        let (name, families) = (self.name.clone(), self.families.clone());
        Ok(Kind { name, families, in_profiles_only: self.is_apart(options), score, bins: bins_of(starts, &crossed) })
    }
}

impl Kind {
    /// What it was fitted on.
    pub fn of(&self) -> KindOf {
        KindOf { name: self.name.clone(), families: self.families.clone() }
    }

    /// Its length bins, the same as the calibration's.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }
}

#[cfg(test)]
mod tests;
