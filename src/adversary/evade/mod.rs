//! The search against the detector: which few words to change so that a text is no longer flagged.
//!
//! Takes texts, a detector and a budget; gives for each the variant with the lowest score that stays within the budget of edits and of
//! surprisal, and after how many looks at the detector the flag was lost. Sees of the detector only what its users see.
//! Must not go over a budget, and must repeat exactly from its seed.

use super::{
    Random,
    attack::{Attack, Edit, Proposer},
};
use crate::{
    detector::{Detector, DetectorError},
    text::{Document, words},
    verdict::{Assessment, Verdict},
};
use serde::Serialize;
use std::str::FromStr;

mod report;
mod search;
#[cfg(test)]
mod tests;

pub use report::{Report, Row};

use search::Search;

/// Texts that are searched at the same time: their looks at the detector make one batch.
const TOGETHER: usize = 16;
/// Other words that are tried in one place.
const ALTERNATIVES: usize = 3;

/// How variants are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Independent random variants of any strength.
    BestOfN,
    /// One edit at a time is tried, and those that help are made together.
    TokenSearch,
}

impl FromStr for Method {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "best-of-n" => Ok(Self::BestOfN),
            "token-search" => Ok(Self::TokenSearch),
            _ => Err(format!("`{s}` is no method: best-of-n or token-search")),
        }
    }
}

/// What a search may do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// Variants of each text that the detector is asked about.
    pub budget: usize,
    /// Share of a text's words that may be changed.
    pub max_edits: f64,
    /// How much the mean surprisal may rise, nats per token.
    pub max_surprisal: f64,
    /// How variants are found.
    pub method: Method,
    /// The attacks whose single edits are tried; `paraphrase`, which has none, is left out.
    #[serde(serialize_with = "names")]
    pub moves: Vec<Attack>,
    /// Fixes every choice.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            budget: 200,
            max_edits: 0.15,
            max_surprisal: 0.5,
            method: Method::TokenSearch,
            moves: vec![Attack::Synonym, Attack::Misspelling, Attack::ArticleDeletion, Attack::AlternativeSpelling],
            seed: 0,
        }
    }
}

fn names<S: serde::Serializer>(attacks: &[Attack], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(attacks.iter().map(|attack| attack.name()))
}

/// What the detector says of a text, as far as a search cares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Seen {
    /// Raw score.
    pub score: Option<f64>,
    /// Its p-value.
    pub p_value: Option<f64>,
    /// Whether it is flagged.
    pub flagged: bool,
    /// Its verdict.
    pub verdict: Verdict,
    /// Mean surprisal, nats per token.
    pub mean_surprisal_nats: Option<f64>,
}

impl Seen {
    fn of(assessment: &Assessment) -> Self {
        Self {
            score: assessment.score,
            p_value: assessment.p_value,
            flagged: assessment.flagged,
            verdict: assessment.verdict,
            mean_surprisal_nats: assessment.statistics.as_ref().map(|s| s.mean_surprisal_nats),
        }
    }
}

/// What became of one text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The variant with the lowest score, or the text itself where none was lower or it was not flagged.
    #[serde(skip)]
    pub text: String,
    /// The text as it was.
    pub before: Seen,
    /// The variant.
    pub after: Seen,
    /// Words of the text that were changed.
    pub edits: usize,
    /// Words of the text.
    pub words: usize,
    /// Looks at the detector.
    pub queries: usize,
    /// The look at which the flag was lost; null where it was kept, or where there was none.
    pub evaded_at: Option<usize>,
}

/// Searches for variants of texts, each with its number in the run. Texts that are not flagged stay as they are.
///
/// # Errors
/// The model failed. Without a proposer the move `synonym` is left out.
pub fn evade(
    texts: &[(u64, &str)],
    detector: &mut Detector,
    mut proposer: Option<&mut Proposer>,
    settings: &Settings,
) -> Result<Vec<Outcome>, DetectorError> {
    let mut out = Vec::with_capacity(texts.len());
    for texts in texts.chunks(TOGETHER) {
        let documents: Vec<Document> = texts.iter().map(|(_, text)| Document::new(*text)).collect();
        let before: Vec<Seen> = detector.assess(&documents)?.iter().map(Seen::of).collect();
        let flagged: Vec<usize> = (0..texts.len()).filter(|&i| before[i].flagged).collect();
        let hunted: Vec<(u64, &str)> = flagged.iter().map(|&i| texts[i]).collect();
        let pools = pools(&hunted, detector, proposer.as_deref_mut(), settings)?;
        let searches = flagged.iter().zip(pools).map(|(&i, pool)| Search::new(texts[i], before[i], pool, settings));
        let mut found = run(searches.collect(), detector)?.into_iter();
        for (&(_, text), before) in texts.iter().zip(before) {
            let as_it_was =
                || Outcome { text: text.to_owned(), before, after: before, edits: 0, words: words(text), queries: 0, evaded_at: None };
            out.push(if before.flagged { found.next().unwrap_or_else(as_it_was) } else { as_it_was() });
        }
    }
    Ok(out)
}

/// Every single edit that may be tried on each text, by place.
fn pools(
    texts: &[(u64, &str)],
    detector: &mut Detector,
    proposer: Option<&mut Proposer>,
    settings: &Settings,
) -> Result<Vec<Vec<Edit>>, DetectorError> {
    let plain = |&(number, text): &(u64, &str)| {
        let mut random = Random::new(settings.seed, number.wrapping_mul(256).wrapping_add(254));
        settings.moves.iter().flat_map(|attack| attack.edits(text, 1., &mut random)).collect::<Vec<Edit>>()
    };
    let mut pools: Vec<Vec<Edit>> = texts.iter().map(plain).collect();
    if let Some(proposer) = proposer.filter(|_| settings.moves.contains(&Attack::Synonym)) {
        let only: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
        let words = proposer.with(detector.scorer()).alternatives(&only, ALTERNATIVES)?;
        pools.iter_mut().zip(words).for_each(|(pool, words)| pool.extend(words));
    }
    for pool in &mut pools {
        pool.sort_by_key(|edit| (edit.at.start, edit.at.end));
        pool.dedup();
    }
    Ok(pools)
}

/// Lets all searches look in turns until each is done.
fn run(mut searches: Vec<Search>, detector: &mut Detector) -> Result<Vec<Outcome>, DetectorError> {
    loop {
        let wanted: Vec<Vec<String>> = searches.iter_mut().map(Search::candidates).collect();
        let documents: Vec<Document> = wanted.iter().flatten().map(Document::new).collect();
        if documents.is_empty() {
            return Ok(searches.into_iter().map(Search::outcome).collect());
        }
        let mut seen = detector.assess(&documents)?.into_iter();
        for (search, wanted) in searches.iter_mut().zip(&wanted) {
            search.learn(seen.by_ref().take(wanted.len()).map(|assessment| Seen::of(&assessment)));
        }
    }
}
