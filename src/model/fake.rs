//! A scorer without weights, for tests: every byte is a token, its surprisal a fixed function of the byte and the one before.

use super::{ModelError, ModelInfo, Scorer, TokenScores, Tokens};

/// Length of a text's pooled vector.
const WIDTH: usize = 8;

/// A scorer without weights: deterministic, instant, and a batch of N equals N singles.
///
/// Lower-case ASCII letters and spaces are predictable (surprisal near 1), everything else is not (near 5), so a test can write
/// "machine" and "human" texts by hand. A text's pooled vector holds the share of its bytes of each residue modulo the width.
#[derive(Debug)]
pub struct Fake {
    info: ModelInfo,
    fail_on: Option<u8>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            info: ModelInfo {
                name: "fake".into(),
                hash: "0000000000000000".into(),
                parameters: 0,
                vocabulary: 256,
                context: 1024,
                layers: 0,
                width: WIDTH,
                device: "cpu".into(),
                precision: "fp32".into(),
                runtime: "none".into(),
                branches: None,
            },
            fail_on: None,
        }
    }
}

impl Fake {
    /// A fake whose `score` fails on every batch that holds this byte.
    pub fn failing_on(byte: u8) -> Self {
        Self { fail_on: Some(byte), ..Self::default() }
    }
}

impl Scorer for Fake {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError> {
        Ok(Tokens { ids: text.bytes().map(u32::from).collect(), offsets: (0..text.len() as u32).map(|i| (i, i + 1)).collect() })
    }

    fn score(&mut self, texts: &[&[u32]]) -> Result<Vec<TokenScores>, ModelError> {
        if let Some(byte) = self.fail_on
            && texts.iter().any(|t| t.contains(&u32::from(byte)))
        {
            return Err(ModelError::Run(format!("the fake was told to fail on byte {byte}")));
        }
        Ok(texts.iter().map(|ids| score_one(ids)).collect())
    }
}

fn score_one(ids: &[u32]) -> TokenScores {
    let mut out = TokenScores::default();
    let mut before = 0;
    if !ids.is_empty() {
        out.pooled = vec![0.; WIDTH];
    }
    for &id in ids {
        out.pooled[id as usize % WIDTH] += 1. / ids.len() as f32;
        let plain = id == 32 || (97..=122).contains(&id);
        let jitter = ((id * 31 + before * 17) % 64) as f32 / 64.;
        let surprisal = if plain { 0.5 + jitter } else { 4.5 + jitter };
        out.surprisal.push(surprisal);
        out.rank.push(1 + (surprisal.exp() as u32).min(255));
        out.entropy.push(2.0 + jitter / 2.);
        out.variance.push(3.0 + jitter);
        before = id;
    }
    out
}
