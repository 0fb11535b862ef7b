//! Against `transformers`: what its processors leave of a row of logits, and the texts that it finds by greedy and beam search.

use super::*;
use crate::model::{self, Device, Generator, LoadOptions, ModelError, ModelInfo, ModelSource, Precision, Step, Tokens};
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};

/// Worst difference of a probability.
const TOLERANCE: f64 = 1e-6;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[derive(Deserialize)]
struct Filters {
    rows: Vec<Vec<f32>>,
    cases: Vec<FilterCase>,
}

#[derive(Deserialize)]
struct FilterCase {
    name: String,
    row: usize,
    tokens: Vec<u32>,
    given: usize,
    options: Options,
    probabilities: Vec<(u32, f64)>,
}

/// Options by the names of `transformers`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    temperature: f32,
    top_k: usize,
    top_p: f64,
    min_p: f64,
    typical_p: f64,
    repetition_penalty: f32,
    frequency_penalty: f32,
    no_repeat_ngram_size: usize,
    num_beams: usize,
    length_penalty: f32,
}

impl Default for Options {
    fn default() -> Self {
        let (s, p) = (Sampling::default(), Penalties::default());
        Self {
            temperature: s.temperature,
            top_k: s.top_k,
            top_p: s.top_p,
            min_p: s.min_p,
            typical_p: s.typical_p,
            repetition_penalty: p.repetition,
            frequency_penalty: p.frequency,
            no_repeat_ngram_size: p.no_repeat_ngram,
            num_beams: 1,
            length_penalty: 1.,
        }
    }
}

impl Options {
    fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, min_p, typical_p, .. } = *self;
        Sampling { temperature, top_k, top_p, min_p, typical_p }
    }

    fn penalties(&self) -> Penalties {
        Penalties { repetition: self.repetition_penalty, frequency: self.frequency_penalty, no_repeat_ngram: self.no_repeat_ngram_size }
    }
}

#[test]
fn probabilities_are_those_of_transformers_for_every_option() {
    let filters: Filters = serde_json::from_slice(&std::fs::read(data("generation/filters.json")).unwrap()).unwrap();
    assert!(filters.cases.len() > 70);
    let mut worst = 0f64;
    for case in &filters.cases {
        let mut logits = filters.rows[case.row].clone();
        let history = History { tokens: &case.tokens, given: case.given, forbidden: None };
        case.options.penalties().apply(&mut logits, &history);
        let found: BTreeMap<u32, f64> = Sampler::default().distribution(&logits, &case.options.sampling()).into_iter().collect();
        let expected: BTreeMap<u32, f64> = case.probabilities.iter().copied().collect();
        let ids = |map: &BTreeMap<u32, f64>| map.keys().copied().collect::<Vec<_>>();
        assert_eq!(ids(&found), ids(&expected), "{}, row {}: other tokens are left", case.name, case.row);
        for (id, p) in &expected {
            let off = (found[id] - p).abs();
            assert!(off < TOLERANCE, "{}, row {}, token {id}: {}, expected {p}", case.name, case.row, found[id]);
            worst = worst.max(off);
        }
    }
    println!("worst difference of a probability over {} cases: {worst:.1e}", filters.cases.len());
}

#[derive(Deserialize)]
struct Texts {
    cases: Vec<TextCase>,
}

#[derive(Deserialize)]
struct TextCase {
    checkpoint: String,
    prompt: Vec<u32>,
    most: usize,
    end: Option<u32>,
    options: Options,
    tokens: Vec<u32>,
}

/// A generator with another end-of-text token, texts that show their tokens, and all logits that it gave.
struct Shown(Box<dyn Generator>, u32, Vec<f32>);

impl Generator for Shown {
    fn info(&self) -> &ModelInfo {
        self.0.info()
    }

    fn end_of_text(&self) -> u32 {
        self.1
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError> {
        self.0.tokenize(text)
    }

    fn detokenize(&self, ids: &[u32]) -> Result<String, ModelError> {
        Ok(ids.iter().map(|id| format!("{id} ")).collect())
    }

    fn length(&self, sequence: usize) -> usize {
        self.0.length(sequence)
    }

    fn extend(&mut self, steps: &[Step<'_>], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        self.0.extend(steps, logits)?;
        self.2.extend_from_slice(logits);
        Ok(())
    }

    fn forget(&mut self, sequence: usize) {
        self.0.forget(sequence);
    }

    fn copy(&mut self, moves: &[(usize, usize)]) -> Result<(), ModelError> {
        self.0.copy(moves)
    }
}

fn options(checkpoint: &str) -> LoadOptions {
    let source = ModelSource::Directory(data("parity").join(checkpoint));
    LoadOptions { source, device: Device::Cpu, precision: Precision::Fp32, cache: None, ..LoadOptions::default() }
}

/// One request, one text.
struct One(Option<Request>, Option<Written>);

impl Desk for One {
    fn take(&mut self, _: &dyn Generator) -> Result<Option<Request>, AdversaryError> {
        Ok(self.0.take())
    }

    fn done(&mut self, written: Written) -> Result<(), AdversaryError> {
        self.1 = Some(written);
        Ok(())
    }
}

#[test]
fn greedy_and_beam_search_find_the_tokens_of_transformers() {
    let texts: Texts = serde_json::from_slice(&std::fs::read(data("generation/texts.json")).unwrap()).unwrap();
    assert!(texts.cases.len() > 50 && texts.cases.iter().filter(|c| c.tokens.len() < c.most).count() > 5);
    let mut loaded: Option<(String, Shown)> = None;
    for case in &texts.cases {
        if loaded.as_ref().is_none_or(|(name, _)| *name != case.checkpoint) {
            loaded = Some((case.checkpoint.clone(), Shown(model::load_generator(&options(&case.checkpoint)).unwrap(), 0, Vec::new())));
        }
        let (_, generator) = loaded.as_mut().unwrap();
        generator.1 = case.prompt[0];
        let beams = Beams { width: case.options.num_beams, length_penalty: case.options.length_penalty };
        let decoding = if beams.width > 1 { Decoding::Beam(beams) } else { Decoding::Greedy };
        let writing = Writing { decoding, penalties: case.options.penalties(), stop_at_end: case.end.is_some(), ..Writing::default() };
        let request = Request { prompt: case.prompt[1..].to_vec(), most: case.most, ..Request::default() };
        let mut desk = One(Some(request), None);
        assert!(write(generator, &writing, &mut desk).unwrap());
        let found = desk.1.unwrap();
        let ended = case.end.is_some_and(|end| case.tokens.last() == Some(&end));
        let expected = &case.tokens[..case.tokens.len() - usize::from(ended)];
        let expected: String = expected.iter().map(|id| format!("{id} ")).collect();
        assert_eq!(found.text, expected, "{}, {:?}", case.checkpoint, case.options);
        assert_eq!(found.end == End::EndOfText, ended, "{}, {:?}", case.checkpoint, case.options);
    }
}

/// The context is 64 tokens, so that the text goes through several windows.
#[test]
fn a_text_is_drawn_from_what_the_scorer_says_of_it() {
    let mut generator = Shown(model::load_generator(&options("plain")).unwrap(), 0, Vec::new());
    generator.1 = generator.0.end_of_text();
    let prompt: Vec<u32> = generator.tokenize("The people who run a forum").unwrap().ids;
    let mut desk = One(Some(Request { prompt: prompt.clone(), most: 200, fewest: 200, number: 4 }), None);
    assert!(write(&mut generator, &Writing { seed: 2, ..Writing::default() }, &mut desk).unwrap());
    let new: Vec<u32> = desk.1.unwrap().text.split_whitespace().map(|id| id.parse().unwrap()).collect();
    let all = [&prompt[..], &new].concat();
    let scores = model::load(&options("plain")).unwrap().score(&[&all]).unwrap().remove(0);
    let vocabulary = generator.info().vocabulary;
    assert_eq!((new.len(), generator.2.len()), (200, 200 * vocabulary));
    for (i, (row, &id)) in generator.2.chunks_exact(vocabulary).zip(&new).enumerate() {
        let top = row.iter().copied().fold(f32::MIN, f32::max);
        let z: f64 = row.iter().map(|v| f64::from(v - top).exp()).sum();
        let surprisal = z.ln() - f64::from(row[id as usize] - top);
        let scored = f64::from(scores.surprisal[prompt.len() + i]);
        assert!((surprisal - scored).abs() < 1e-4, "token {i}: drawn at {surprisal} nats, scored at {scored}");
    }
}
