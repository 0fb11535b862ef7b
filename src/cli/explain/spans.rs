//! A text cut at its tokens: every byte once, in order, whatever the offsets say.

use crate::verdict::TokenScore;

/// How far down the model's list of guesses a token stood (GLTR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bucket {
    Top10,
    Top100,
    Top1000,
    Rest,
}

impl Bucket {
    pub(super) const ALL: [Self; 4] = [Self::Top10, Self::Top100, Self::Top1000, Self::Rest];

    pub(super) fn of(rank: u32) -> Self {
        match rank {
            0..=10 => Self::Top10,
            11..=100 => Self::Top100,
            101..=1000 => Self::Top1000,
            _ => Self::Rest,
        }
    }

    /// The ranks in it, for a legend.
    pub(super) fn ranks(self) -> &'static str {
        match self {
            Self::Top10 => "1-10",
            Self::Top100 => "11-100",
            Self::Top1000 => "101-1000",
            Self::Rest => "over 1000",
        }
    }
}

/// A stretch of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span<'a> {
    pub(super) text: &'a str,
    /// `None` for what no token covers: removed characters, white space.
    pub(super) score: Option<Scored>,
}

/// The scores of a stretch: of its token, or of all the tokens of one character.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scored {
    /// The largest rank.
    pub(super) rank: u32,
    /// The sum of surprisals, nats.
    pub(super) surprisal: f32,
    /// The entropy before the first token, nats.
    pub(super) entropy: f32,
}

/// Cuts `text` at the tokens. The texts of the spans joined are `text`.
pub(super) fn cut<'a>(text: &'a str, tokens: &[TokenScore]) -> Vec<Span<'a>> {
    let mut spans: Vec<Span<'a>> = Vec::with_capacity(tokens.len() + 1);
    let mut at = 0;
    for token in tokens {
        let start = token.start.max(at);
        match (text.get(at..start), text.get(start..token.end)) {
            (Some(gap), Some(covered)) if !covered.is_empty() => {
                if !gap.is_empty() {
                    spans.push(Span { text: gap, score: None });
                }
                let score = Scored { rank: token.rank, surprisal: token.surprisal_nats, entropy: token.entropy_nats };
                spans.push(Span { text: covered, score: Some(score) });
                at = token.end;
            }
            // Nothing new is covered: a further token of the same character.
            _ => {
                if let Some(score) = spans.last_mut().and_then(|span| span.score.as_mut()) {
                    score.rank = score.rank.max(token.rank);
                    score.surprisal += token.surprisal_nats;
                }
            }
        }
    }
    if let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        spans.push(Span { text: rest, score: None });
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::cli::explain) fn token(start: usize, end: usize, rank: u32) -> TokenScore {
        TokenScore { text: String::new(), start, end, surprisal_nats: 1., rank, entropy_nats: 2. }
    }

    #[test]
    fn gaps_stay_and_the_tokens_of_one_character_are_one_span() {
        let text = "ab \u{200b}é!";
        let spans = cut(text, &[token(0, 2, 5), token(6, 8, 20), token(6, 8, 2000)]);
        let texts: Vec<_> = spans.iter().map(|s| (s.text, s.score.map(|s| (s.rank, s.surprisal)))).collect();
        assert_eq!(texts, [("ab", Some((5, 1.))), (" \u{200b}", None), ("é", Some((2000, 2.))), ("!", None)]);
    }

    #[test]
    fn buckets_meet_where_the_contract_says() {
        let buckets = [1, 10, 11, 100, 101, 1000, 1001, u32::MAX].map(Bucket::of);
        use Bucket::*;
        assert_eq!(buckets, [Top10, Top10, Top100, Top100, Top1000, Top1000, Rest, Rest]);
    }

    proptest! {
        #[test]
        fn every_byte_is_shown_once_whatever_the_offsets(text in "\\PC{0,12}", cuts in prop::collection::vec((0usize..40, 0usize..40), 0..8)) {
            let tokens: Vec<_> = cuts.into_iter().map(|(start, end)| token(start, end, 1)).collect();
            let joined: String = cut(&text, &tokens).iter().map(|s| s.text).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
