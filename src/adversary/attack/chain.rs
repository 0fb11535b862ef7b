//! Attacks one after the other, from left to right, on texts of a run. What a text becomes depends on the seed and on its own number in the
//! run: not on the texts beside it, nor on how they come in batches.

use super::{Attack, Edit, Rate, Rewriter, apply};
use crate::{adversary::Random, model::ModelError};

/// Attacks with their rates.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Each with the share of its places that it changes.
    links: Vec<(Attack, f64)>,
    seed: u64,
}

/// An attacked text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What the text became.
    pub text: String,
    /// How many places each attack changed.
    pub edits: Vec<usize>,
}

/// Attacks of one chain: more would share their random numbers with the next text.
const MOST: usize = 16;

impl Chain {
    /// At most 16 attacks, and at least one; `None` otherwise.
    pub fn new(attacks: &[Attack], rate: Rate, seed: u64) -> Option<Self> {
        let links: Vec<_> = attacks.iter().map(|attack| (*attack, attack.share(rate))).collect();
        (1..=MOST).contains(&links.len()).then_some(Self { links, seed })
    }

    /// The attacks by name, with commas.
    pub fn name(&self) -> String {
        self.links.iter().map(|(attack, _)| attack.name()).collect::<Vec<_>>().join(",")
    }

    /// What fixes its choices.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The share of places that each attack changes.
    pub fn shares(&self) -> Vec<f64> {
        self.links.iter().map(|(_, share)| *share).collect()
    }

    /// Whether one of the attacks asks a language model.
    pub fn needs_model(&self) -> bool {
        self.links.iter().any(|(attack, _)| attack.needs_model())
    }

    /// Attacks texts, each with its number in the run.
    ///
    /// # Errors
    /// The model failed, or one is needed and there is none.
    pub fn run(&self, texts: &[(u64, &str)], mut rewriter: Option<&mut Rewriter<'_>>) -> Result<Vec<Variant>, ModelError> {
        let mut variants: Vec<Variant> = texts.iter().map(|(_, text)| Variant { text: (*text).to_owned(), edits: Vec::new() }).collect();
        for (place, &(attack, share)) in self.links.iter().enumerate() {
            let mut random: Vec<Random> = texts.iter().map(|(number, _)| self.random(*number, place, attack)).collect();
            let before: Vec<&str> = variants.iter().map(|variant| variant.text.as_str()).collect();
            let edits: Vec<Vec<Edit>> = match (attack, &mut rewriter) {
                (Attack::Synonym, Some(rewriter)) => rewriter.synonyms(&before, share, &mut random)?,
                (Attack::Paraphrase, Some(rewriter)) => rewriter.paraphrases(&before, share, &mut random)?,
                (Attack::Synonym | Attack::Paraphrase, None) => {
                    return Err(ModelError::Unsupported(format!("the attack {attack} asks a language model, and none is loaded")));
                }
                _ => before.iter().zip(&mut random).map(|(text, random)| attack.edits(text, share, random)).collect(),
            };
            for (variant, edits) in variants.iter_mut().zip(edits) {
                variant.text = apply(&variant.text, &edits);
                variant.edits.push(edits.len());
            }
        }
        Ok(variants)
    }

    /// A stream of its own for each text, place in the chain, and attack.
    fn random(&self, number: u64, place: usize, attack: Attack) -> Random {
        let (place, attack) = (place as u64, attack as u64);
        Random::new(self.seed, number.wrapping_mul(256).wrapping_add(16 * place + attack))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 3] = ["The cat sat on the mat. It saw 12 dogs.", "", "A neighbor of the color 42 said: the end."];

    fn run(attacks: &[Attack], numbers: &[u64]) -> Vec<Variant> {
        let chain = Chain::new(attacks, Rate::Share(0.5), 9).unwrap();
        let texts: Vec<_> = numbers.iter().map(|&n| (n, TEXTS[n as usize])).collect();
        chain.run(&texts, None).unwrap()
    }

    #[test]
    fn a_text_s_variant_does_not_depend_on_its_batch() {
        let attacks = [Attack::Homoglyph, Attack::Whitespace, Attack::Number];
        let all = run(&attacks, &[0, 1, 2]);
        let mut reversed = run(&attacks, &[2, 1, 0]);
        reversed.reverse();
        assert_eq!(all, reversed);
        assert_eq!(all[2], run(&attacks, &[2])[0]);
        let chain = |seed| Chain::new(&attacks, Rate::Share(0.5), seed).unwrap().run(&[(0, TEXTS[0])], None).unwrap();
        assert_eq!(chain(9)[0], all[0]);
        assert_ne!(chain(10), chain(9));
    }

    #[test]
    fn attacks_are_made_from_left_to_right() {
        let both = run(&[Attack::ArticleDeletion, Attack::UpperLower], &[0]);
        let first = run(&[Attack::ArticleDeletion], &[0]);
        assert_eq!(both[0].text.to_lowercase(), first[0].text.to_lowercase());
        assert_eq!((both[0].edits.len(), both[0].edits[0]), (2, first[0].edits[0]));
        let chain = Chain::new(&[Attack::Homoglyph, Attack::Number], Rate::Usual, 0).unwrap();
        assert_eq!((chain.name().as_str(), chain.shares()), ("homoglyph,number", vec![1., 0.5]));
    }

    #[test]
    fn a_chain_has_an_end_and_says_what_it_lacks() {
        assert_eq!(Chain::new(&[], Rate::Usual, 0), None);
        assert_eq!(Chain::new(&[Attack::Number; 17], Rate::Usual, 0), None);
        let chain = Chain::new(&[Attack::Synonym], Rate::Usual, 0).unwrap();
        assert!(chain.needs_model());
        assert!(chain.run(&[(0, "a text")], None).unwrap_err().to_string().contains("synonym"));
    }
}
