//! The one door: documents in, assessments out. Owns the model; knows no file and no socket.

use crate::{
    calibration::{Calibration, SHORTEST},
    model::{ModelError, ModelInfo, Scorer, TokenScores, Tokens},
    score::repeated,
    text::{self, Document, Normalized},
    verdict::{Assessment, Evidence, Policy, TokenScore},
};
use std::{
    num::NonZero,
    sync::Arc,
    time::{Duration, Instant},
};

/// Scores, calibrates and judges documents.
pub struct Detector {
    scorer: Box<dyn Scorer>,
    calibration: Arc<Calibration>,
    options: Options,
    name: String,
    model_time: Duration,
}

/// How a detector works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Verdict thresholds.
    pub policy: Policy,
    /// Whether texts are normalised before scoring.
    pub normalize: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { policy: Policy::default(), normalize: true }
    }
}

/// Why documents could not be assessed.
#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    /// The calibration was made with another model.
    #[error(
        "calibration {calibration} was made with model {expected}, but {found} is loaded; make one for this model with `highwater calibrate`"
    )]
    OtherModel {
        /// The calibration's name.
        calibration: String,
        /// Hash of the calibration's model.
        expected: String,
        /// Hash of the loaded model.
        found: String,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Tokens that are read of a text in a language that gets no verdict: its statistics are shown, but nothing comes of them, and another script
/// takes four times as many tokens as English.
const UNJUDGED_TOKENS: usize = 1024;

/// One document on its way: normalised and tokenised.
struct Prepared {
    normalized: Normalized,
    tokens: Tokens,
    unsupported_language: bool,
    not_prose: bool,
}

impl Prepared {
    /// The scores that statistics are made of: without what the text repeats of itself, without the pieces of characters that the tokenizer
    /// splits, and without what is no word (`text::asides`). The second time and the later pieces are no surprise, nor is markup: a refrain, a few
    /// words in another script, or HTML would pass for a machine's; and a link is a surprise whoever puts it there. And those without line
    /// breaks: the branches are tuned on texts that have none, and tell there only how much of the base each has forgotten.
    /// Line breaks with less between them than a p-value takes are no text.
    fn counted(&self, scores: &TokenScores) -> (TokenScores, TokenScores) {
        let repeated = repeated(&self.tokens.ids);
        let asides = self.asides();
        let is = |marks: &[bool], at: usize| marks.get(at).copied().unwrap_or_default();
        let counts = |at: &usize| !self.is_piece(*at) && !is(&repeated, *at) && !is(&asides, *at);
        let places: Vec<usize> = (0..scores.len()).filter(counts).collect();
        let in_line: Vec<usize> = places.iter().copied().filter(|&at| !self.breaks_line(at)).collect();
        (scores.only(if in_line.len() < SHORTEST { &in_line } else { &places }), scores.only(&in_line))
    }

    /// Whether this token shares a character with the one before or after it.
    fn is_piece(&self, token: usize) -> bool {
        let offsets = &self.tokens.offsets;
        let overlap = |first: usize| offsets.get(first).zip(offsets.get(first + 1)).is_some_and(|(a, b)| b.0 < a.1);
        overlap(token) || token > 0 && overlap(token - 1)
    }

    /// For each token, whether it has a byte of what is no word.
    fn asides(&self) -> Vec<bool> {
        let mut asides = text::asides(&self.normalized.text).into_iter().peekable();
        let mut is_one = |&(start, end): &(u32, u32)| {
            while asides.next_if(|aside| aside.end <= start as usize).is_some() {}
            asides.peek().is_some_and(|aside| aside.start < end as usize)
        };
        self.tokens.offsets.iter().map(&mut is_one).collect()
    }

    /// Whether this token holds a line break.
    fn breaks_line(&self, token: usize) -> bool {
        let bytes = |&(start, end): &(u32, u32)| self.normalized.text.as_bytes().get(start as usize..end as usize);
        let bytes = self.tokens.offsets.get(token).and_then(bytes).unwrap_or_default();
        bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
    }
}

impl Detector {
    /// Joins a model and the calibration that was made with it.
    pub fn new(scorer: Box<dyn Scorer>, calibration: Arc<Calibration>, options: Options) -> Result<Self, DetectorError> {
        let info = scorer.info();
        if calibration.model_hash() != info.hash {
            return Err(DetectorError::OtherModel {
                calibration: calibration.name.clone(),
                expected: calibration.model_hash().to_owned(),
                found: info.hash.clone(),
            });
        }
        let name = format!("{}@{}", info.name, info.hash);
        Ok(Self { scorer, calibration, options, name, model_time: Duration::ZERO })
    }

    /// The loaded model.
    pub fn model(&self) -> &ModelInfo {
        self.scorer.info()
    }

    /// The model itself, for those who ask more of it than an assessment.
    pub fn scorer(&mut self) -> &mut dyn Scorer {
        &mut *self.scorer
    }

    /// The calibration in use.
    pub fn calibration(&self) -> &Arc<Calibration> {
        &self.calibration
    }

    /// How this detector works.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Assesses documents, one answer each, in order. A batch of N equals N singles.
    pub fn assess(&mut self, documents: &[Document]) -> Result<Vec<Assessment>, DetectorError> {
        let prepared = self.prepare(documents)?;
        let ids: Vec<&[u32]> = prepared.iter().map(|p| p.tokens.ids.as_slice()).collect();
        let start = Instant::now();
        let scores = self.scorer.score(&ids);
        self.model_time += start.elapsed();
        let scores = scores?;
        Ok(documents.iter().zip(&prepared).zip(scores).map(|((d, p), s)| self.judge(d, p, s)).collect())
    }

    /// How long the model itself has run since this was last asked, failures included: what is not overhead.
    pub fn take_model_time(&mut self) -> Duration {
        std::mem::take(&mut self.model_time)
    }

    /// Normalises and tokenises on all cores: the model waits for it.
    fn prepare(&self, documents: &[Document]) -> Result<Vec<Prepared>, ModelError> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let share = documents.len().div_ceil(threads).max(16);
        let (scorer, normalize) = (&*self.scorer, self.options.normalize);
        if documents.len() <= share {
            return documents.iter().map(|d| prepare_one(scorer, d, normalize)).collect();
        }
        let parts = std::thread::scope(|scope| {
            let work = |part| scope.spawn(move || part_of(scorer, part, normalize));
            let handles: Vec<_> = documents.chunks(share).map(work).collect();
            handles.into_iter().map(|h| h.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect::<Result<Vec<_>, _>>()
        })?;
        Ok(parts.into_iter().flatten().collect())
    }

    fn judge(&self, document: &Document, prepared: &Prepared, scores: TokenScores) -> Assessment {
        let (tokens, in_line) = prepared.counted(&scores);
        let evidence = Evidence {
            document,
            normalization: text::Normalization { invalid_utf8: document.invalid_utf8, ..prepared.normalized.counts },
            tokens: &tokens,
            in_line: &in_line,
            empty: prepared.tokens.ids.is_empty(),
            unsupported_language: prepared.unsupported_language,
            not_prose: prepared.not_prose,
        };
        let mut assessment = self.options.policy.judge(&evidence, &self.calibration, &self.name);
        if document.with_tokens {
            assessment.token_scores = Some(token_scores(document, prepared, &scores));
        }
        assessment.embedding = scores.pooled;
        assessment
    }
}

fn part_of(scorer: &dyn Scorer, documents: &[Document], normalize: bool) -> Result<Vec<Prepared>, ModelError> {
    documents.iter().map(|d| prepare_one(scorer, d, normalize)).collect()
}

fn prepare_one(scorer: &dyn Scorer, document: &Document, normalize: bool) -> Result<Prepared, ModelError> {
    let normalized = text::normalize(&document.text, normalize);
    let mut tokens = if normalized.text.trim().is_empty() { Tokens::default() } else { scorer.tokenize(&normalized.text)? };
    let unsupported_language = text::unsupported_language(&normalized.text).is_some();
    if unsupported_language && !document.with_tokens {
        tokens.ids.truncate(UNJUDGED_TOKENS);
        tokens.offsets.truncate(UNJUDGED_TOKENS);
    }
    // of fewer tokens there is no evidence in any case, and that they are few says it better
    let not_prose = tokens.ids.len() >= SHORTEST && text::not_prose(&normalized.text);
    Ok(Prepared { normalized, tokens, unsupported_language, not_prose })
}

fn token_scores(document: &Document, prepared: &Prepared, scores: &TokenScores) -> Vec<TokenScore> {
    let one = |(i, &(start, end)): (usize, &(u32, u32))| {
        let range = prepared.normalized.original(start as usize..end as usize);
        TokenScore {
            text: document.text.get(range.clone()).unwrap_or_default().to_owned(),
            start: range.start,
            end: range.end,
            surprisal_nats: scores.surprisal[i],
            rank: scores.rank[i],
            entropy_nats: scores.entropy[i],
        }
    };
    prepared.tokens.offsets.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fake;

    #[test]
    fn the_ratio_of_the_branches_takes_no_token_with_a_line_break() {
        // a text's branches say 3 nats by people and 1 by machines, 9 and 0 at a line break
        let branched = |text: &str| {
            let fake = Fake::default();
            let prepared = prepare_one(&fake, &Document::new(text), true).unwrap();
            let at = |break_: f32, other| prepared.tokens.ids.iter().map(|&id| if id == 10 { break_ } else { other }).collect();
            let zeros = || vec![0.; prepared.tokens.ids.len()];
            let scores = TokenScores {
                human_surprisal: at(9., 3.),
                machine_surprisal: at(0., 1.),
                ratio_excess: at(7., 0.5),
                surprisal: zeros(),
                rank: vec![1; prepared.tokens.ids.len()],
                entropy: zeros(),
                variance: zeros(),
                ..TokenScores::default()
            };
            let detector = Detector::new(Box::new(fake), Calibration::for_fake().into(), Options::default()).unwrap();
            detector.judge(&Document::new(text), &prepared, scores).statistics.unwrap()
        };
        for text in ["one line of it", "two\nlines of it", "é\n\n\nlines\r\nof it"] {
            let found = branched(text);
            let of_branches = [found.log_likelihood_ratio, found.log_likelihood_ratio_std, found.log_likelihood_ratio_excess];
            assert_eq!(of_branches, [Some(2.), Some(0.), Some(0.5)], "{text:?}");
        }
    }

    #[test]
    fn what_says_nothing_of_who_wrote_it_does_not_count() {
        // one token a byte, and the two bytes of é share its place
        let counted = |text: &str| {
            let mut prepared = prepare_one(&Fake::default(), &Document::new(text), true).unwrap();
            for (at, c) in text.char_indices().filter(|(_, c)| c.len_utf8() > 1) {
                prepared.tokens.offsets[at..at + c.len_utf8()].fill((at as u32, (at + c.len_utf8()) as u32));
            }
            let scores = TokenScores { surprisal: (0..text.len()).map(|at| at as f32).collect(), ..TokenScores::default() };
            prepared.counted(&scores).0.surprisal
        };
        assert_eq!(counted("éé, a café!"), [4., 5., 6., 7., 8., 9., 10., 13.]);
        assert_eq!(counted("Go to www.a.example now"), [0., 1., 2., 3., 4., 5., 19., 20., 21., 22.]);
        assert_eq!(counted("<a href='www.b.org'>Go</a> there"), [20., 21., 26., 27., 28., 29., 30., 31.]);
        assert_eq!(counted("éé, a caf"), [4., 5., 6., 7., 8., 9., 10.], "however few are left");
        assert_eq!(counted("é\né\né\né\né\né\né\né\n, a"), [24., 25., 26.], "line breaks with hardly a word between them");
        assert_eq!(
            counted("one and only, and no other. And: one and only, and no other."),
            counted("one and only, and no other. And: "),
            "it comes again"
        );
    }

    #[test]
    fn a_long_text_that_gets_no_verdict_is_read_in_part() {
        let read = |text: &str, with_tokens| {
            let document = Document { with_tokens, ..Document::new(text) };
            let Tokens { ids, offsets } = prepare_one(&Fake::default(), &document, true).unwrap().tokens;
            assert_eq!(ids.len(), offsets.len());
            ids.len()
        };
        // one token a byte
        let foreign = "Это написано по-русски, и читать это до конца незачем. ".repeat(30);
        assert_eq!((read(&foreign, false), read(&foreign, true)), (UNJUDGED_TOKENS, foreign.trim_end().len()), "unless all are asked for");
        let english = "This is written in English, and all of it is read. ".repeat(30);
        assert_eq!(read(&english, false), english.trim_end().len());
    }

    #[test]
    fn an_assessment_carries_the_models_mean_state_and_never_tells_it() {
        let mut detector = Detector::new(Box::new(Fake::default()), Calibration::for_fake().into(), Options::default()).unwrap();
        let found = detector.assess(&[Document::new("aab"), Document::new(" ")]).unwrap();
        // bytes 97, 97, 98 by their residue modulo 8
        let expected = [0., 2. / 3., 1. / 3., 0., 0., 0., 0., 0.];
        assert!(found[0].embedding.iter().zip(expected).all(|(got, want)| (got - want).abs() < 1e-6), "{:?}", found[0].embedding);
        assert_eq!((found[0].embedding.len(), found[1].embedding.len()), (8, 0));
        assert!(!serde_json::to_string(&found[0]).unwrap().contains("embedding"));
    }
}
