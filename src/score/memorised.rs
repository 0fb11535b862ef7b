//! Whether the model knows a text by heart: then its surprisal says nothing of who wrote it.

use crate::model::TokenScores;

/// Tokens of a stretch that is looked at: as many as a short text that gets a verdict.
const STRETCH: usize = 24;
/// A stretch is known by heart where its mean surprisal is below this, nats: the model bets better than even on every token. Text that is
/// only predictable, by people or machines, has 3 to 6 over a whole text with the embedded model, and no stretch below 1.
const BY_HEART: f64 = std::f64::consts::LN_2;
/// The share of a text that makes the whole of it.
const MOST_OF_IT: f64 = 0.5;

/// Whether at least half of the tokens stand in stretches of 24 tokens on which the model bets better than even, on average. False below
/// 24 tokens. Scripture, licences and slogans that stood in the training text often are like that.
pub fn memorised(tokens: &TokenScores) -> bool {
    let mut sums = Vec::with_capacity(tokens.len() + 1);
    sums.push(0.);
    for &s in &tokens.surprisal {
        sums.push(sums[sums.len() - 1] + f64::from(s));
    }
    let (mut known, mut end) = (0, 0);
    for start in 0..sums.len().saturating_sub(STRETCH) {
        if sums[start + STRETCH] - sums[start] < BY_HEART * STRETCH as f64 {
            known += start + STRETCH - end.max(start);
            end = start + STRETCH;
        }
    }
    known > 0 && known as f64 >= MOST_OF_IT * tokens.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(surprisal: Vec<f32>) -> bool {
        let n = surprisal.len();
        memorised(&TokenScores { surprisal, rank: vec![1; n], entropy: vec![1.; n], variance: vec![1.; n], ..TokenScores::default() })
    }

    #[test]
    fn half_of_the_text_by_heart_is_enough_and_less_is_not() {
        let text = |known: usize, new: usize| [vec![0.2; known], vec![4.; new]].concat();
        assert!(of(text(200, 0)) && of(text(100, 100)));
        assert!(!of(text(60, 140)) && !of(text(0, 200)));
        assert!(!of(text(23, 0)), "too short to say");
        assert!(!of(vec![]) && !of(vec![f32::NAN; 50]));
        assert!(!of((0..200).map(|i| if i % 3 == 0 { 5. } else { 0. }).collect()), "easy words between hard ones are not known by heart");
    }
}
