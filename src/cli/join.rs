//! Where the command line meets the model and its calibration: which one judges, and how a new one is made.

use super::settings::Setup;
use crate::{
    calibration::Calibration,
    detector::Detector,
    model::{self, ModelInfo, ModelSource},
};
use anyhow::Context;
use std::{path::Path, sync::Arc};

/// Loads the model and the calibration that fits it.
pub(super) fn detector(setup: &Setup) -> anyhow::Result<Detector> {
    let scorer = model::load(&setup.load)?;
    let calibration = calibration(setup, scorer.info())?;
    Ok(Detector::new(scorer, Arc::new(calibration), setup.detector)?)
}

/// Loads the model for its statistics alone.
pub(super) fn uncalibrated(setup: &Setup) -> anyhow::Result<Detector> {
    let scorer = model::load(&setup.load)?;
    let calibration = Calibration::none(&*scorer.info().hash);
    Ok(Detector::new(scorer, Arc::new(calibration), setup.detector)?)
}

/// The calibration that the user named, else the model's own, else none: then every text abstains as `uncalibrated`.
fn calibration(setup: &Setup, info: &ModelInfo) -> anyhow::Result<Calibration> {
    if let Some(path) = &setup.calibration {
        return read(path);
    }
    match &setup.load.source {
        ModelSource::Embedded => return Ok(Calibration::embedded()?),
        ModelSource::Directory(folder) if folder.join("calibration.json").is_file() => {
            let own = read(&folder.join("calibration.json"))?;
            if own.model_hash() == info.hash {
                return Ok(own);
            }
            tracing::warn!("{} was made with another model ({})", folder.join("calibration.json").display(), own.model_hash());
        }
        _ => {}
    }
    tracing::warn!(
        "{} has no calibration, so every text is answered `abstain`; make one with `highwater calibrate` and name it with --calibration",
        info.name
    );
    Ok(Calibration::none(&*info.hash))
}

fn read(path: &Path) -> anyhow::Result<Calibration> {
    Calibration::load(path).with_context(|| format!("cannot use the calibration {}", path.display()))
}

