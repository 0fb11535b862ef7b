//! `highwater attack evade`: what few edits take a flag away, and how often that works.

use super::{Names, Run, args, join};
use crate::{
    adversary::{
        attack::{Attack, Proposer},
        evade::{Method, Outcome, Report, Settings, evade},
    },
    cli::settings::Setup,
    config::Merge,
    model,
};
use anyhow::Context;
use serde_json::json;
use std::path::Path;

/// The search's settings; faults go into the merge.
pub(super) fn settings(args: &args::Evade, seed: u64, merge: &mut Merge) -> Settings {
    let usual = Settings::default();
    let share = args.max_edits.unwrap_or(usual.max_edits);
    if !(0. ..=1.).contains(&share) {
        merge.fault(format!("--max-edits: `{share}` is no share from 0 to 1"));
    }
    let surprisal = args.max_surprisal.unwrap_or(usual.max_surprisal);
    if !surprisal.is_finite() {
        merge.fault("--max-surprisal takes a number of nats per token, such as 0.3");
    }
    let method = args.method.as_deref().map_or(Ok(usual.method), str::parse::<Method>);
    let method = method.map_err(|fault| merge.fault(format!("--method: {fault}"))).unwrap_or(usual.method);
    let budget = args.budget.unwrap_or(usual.budget);
    if budget == 0 {
        merge.fault("--budget takes at least 1");
    }
    let moves = args.moves.as_ref().map_or(usual.moves, Names::attacks);
    Settings { budget, max_edits: share, max_surprisal: surprisal, method, moves, seed }
}

/// Searches all texts; gives the report for people, and writes it as JSON where asked to.
pub(super) fn run(run: &mut Run, setup: &Setup, settings: &Settings, json: Option<&Path>) -> anyhow::Result<String> {
    let mut detector = join::detector(setup)?;
    let mut proposer = match settings.moves.contains(&Attack::Synonym) {
        true => Some(Proposer::new(model::load_generator(&setup.load)?)?),
        false => None,
    };
    let mut outcomes: Vec<Outcome> = Vec::new();
    loop {
        let chunk = run.chunk(true)?;
        if chunk.is_empty() {
            break;
        }
        let texts = run.texts(&chunk);
        let found = evade(&texts, &mut detector, proposer.as_mut(), settings)?;
        let mut each = found.iter();
        run.write(chunk, |base| {
            let Some(outcome) = each.next() else { return Vec::new() };
            let model = format!("{}@{}", detector.model().name, detector.model().hash);
            vec![base.variant(
                "evade",
                &outcome.text,
                [
                    ("seed", json!(settings.seed)),
                    ("evade", json!(outcome)),
                    ("attack_model", json!(model)),
                    ("calibration", json!(detector.calibration().name)),
                ],
            )]
        })?;
        outcomes.extend(found.into_iter().map(|outcome| Outcome { text: String::new(), ..outcome }));
    }
    let report = Report::of(&outcomes, settings);
    if let Some(path) = json {
        let text = format!("{}\n", serde_json::to_string_pretty(&report)?);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(report.to_string())
}
