//! What a text repeats of itself: the model has read it before and finds it no surprise, whoever wrote it.

use std::collections::HashSet;

/// Tokens in a run that is looked for again: as many as a short text that gets a verdict. Machines say shorter ones twice more often than people
/// do, which is evidence; longer ones come from copying as well.
const RUN: usize = 24;

/// For each token, whether it stands in a run of 24 that stood in the text before: a quotation, a refrain, a text pasted twice, a loop.
pub fn repeated(ids: &[u32]) -> Vec<bool> {
    let (mut seen, mut repeated) = (HashSet::new(), vec![false; ids.len()]);
    for (start, run) in ids.windows(RUN).enumerate() {
        if !seen.insert(run) {
            repeated[start..start + RUN].fill(true);
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(ids: &[u32]) -> Vec<u32> {
        ids.iter().zip(repeated(ids)).filter(|(_, repeated)| !repeated).map(|(id, _)| *id).collect()
    }

    #[test]
    fn what_stood_before_counts_once() {
        let text: Vec<u32> = (0..40).collect();
        let other: Vec<u32> = (100..130).collect();
        assert_eq!(left(&text), text);
        assert_eq!(left(&text.repeat(8)), text);
        assert_eq!(left(&[&text[..], &other, &text[5..29]].concat()), [&text[..], &other].concat(), "a quotation");
        assert_eq!(left(&[&text[..], &other, &text[5..28]].concat()).len(), 93, "a token less is too few");
        assert_eq!(left(&[1; 40]), [1], "a loop is one turn of it");
        assert_eq!(left(&[1, 2].repeat(20)), [1, 2]);
        assert!(left(&[]).is_empty());
    }
}
