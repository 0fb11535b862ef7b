//! The numbers of an assessment with what they mean, and its verdict in plain words.

use crate::verdict::{AbstainReason, Assessment, Verdict};

/// One line of the table.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) meaning: &'static str,
}

/// The table, top to bottom.
pub(super) fn facts(a: &Assessment, invalid_utf8: u32) -> Vec<Fact> {
    let mut facts = vec![
        fact("tokens", a.tokens.to_string(), "pieces of text that count: no repetition, no link, no markup, no part of a letter"),
        fact("words", a.words.to_string(), "runs between white space"),
    ];
    if let Some(s) = &a.statistics {
        facts.extend([
            fact("mean surprisal", nats(s.mean_surprisal_nats), "how unexpected a token is on average; low is typical of machines"),
            fact("perplexity", format!("{:.1}", s.perplexity), "the same as a number of equally likely choices"),
            fact(
                "mean log rank",
                format!("{:.2}", s.mean_log_rank),
                "how far down the model's list of guesses; low is typical of machines",
            ),
            fact("lrr", number(s.lrr), "surprisal by log rank; high is typical of machines"),
            fact("mean entropy", nats(s.mean_entropy_nats), "how unsure the model was before each token"),
            fact("discrepancy", number(s.discrepancy), "less surprising than the model's own choice would be; high is typical of machines"),
            fact("surprisal spread", nats(s.surprisal_std), "standard deviation; people vary more"),
        ]);
        let ratio = s.log_likelihood_ratio_excess;
        facts.extend(ratio.map(|r| {
            fact(
                "branch ratio",
                nats(r),
                "likelier by a model of machines' posts than by one of people's, beyond what the place leads to expect",
            )
        }));
    }
    let hidden = a.normalization;
    let changes = [
        ("look-alike letters", hidden.homoglyphs, "letters of another script in place of Latin ones; undone before scoring"),
        ("zero-width", hidden.zero_width, "invisible characters; removed before scoring"),
        ("compatibility forms", hidden.compatibility, "such as full-width letters; made plain before scoring"),
        ("letter case", hidden.case, "letters of a text in capitals, or without any; given the usual case before scoring"),
        ("control characters", hidden.control, "removed before scoring"),
        ("invalid UTF-8", invalid_utf8, "places whose bytes are no text"),
    ];
    facts.extend(changes.into_iter().filter(|(_, n, _)| *n > 0).map(|(name, n, meaning)| fact(name, n.to_string(), meaning)));
    facts.extend([
        fact("score", number(a.score), "one number from all of these; larger is more like a machine"),
        fact("p-value", a.p_value.map_or_else(dash, small), "share of texts by people that score at least this high"),
        fact("machine probability", a.machine_probability.map_or_else(dash, small), "where machine and human texts are equally many"),
    ]);
    facts
}

/// A p-value is not the chance to be wrong.
const MOSTLY: &str = " Where few posts are by machines, most of those flagged are by people.";

/// A few sentences that a moderator can act on.
pub(super) fn verdict(a: &Assessment, fpr: f64) -> String {
    let people = a.p_value.map_or_else(String::new, |p| format!(" Of 1000 texts by people, {} as high.", per_thousand(p)));
    let judged = match (a.verdict, a.abstain_reason) {
        (Verdict::Machine, _) => format!("Scores like a machine's text (flagged at a false-positive rate of {fpr}).{people}{MOSTLY}"),
        (Verdict::Human, _) if a.machine_probability.is_none() => format!("Scores like most texts by people.{people}"),
        (Verdict::Human, _) => format!("Scores like a person's text: those by machines seldom score this low.{people}"),
        (Verdict::Abstain, reason) => format!("Cannot tell: {}.{people}", reason.map_or("no reason was given", why)),
    };
    let note = if a.flagged && a.verdict == Verdict::Abstain { " It is flagged all the same, as its score is that rare." } else { "" };
    format!("{judged}{note}")
}

fn why(reason: AbstainReason) -> &'static str {
    match reason {
        AbstainReason::Empty => "there is no text",
        AbstainReason::TooShort => "the text is too short for a verdict of its own",
        AbstainReason::UnsupportedLanguage => "the text is not in a language that the model was trained on",
        AbstainReason::NotProse => "the text has hardly a word in it, is code, a table or numbers, or the same few words over and over",
        AbstainReason::Memorised => "the model knows most of the text by heart",
        AbstainReason::Uncalibrated => "this model has no calibration that says how texts of this length score",
        AbstainReason::Unscorable => "the model's numbers for this text cannot be used",
        AbstainReason::Uncertain => "both people and machines often write texts that score like this",
    }
}

fn fact(name: &'static str, value: String, meaning: &'static str) -> Fact {
    Fact { name, value, meaning }
}

fn dash() -> String {
    "-".into()
}

fn nats(value: f64) -> String {
    format!("{value:.2} nats")
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(dash, |v| format!("{v:.2}"))
}

/// A share, more digits where it is small.
fn small(value: f64) -> String {
    if value >= 0.0001 { format!("{value:.4}") } else { format!("{value:.1e}") }
}

/// How many of 1000 texts score so, with the verb.
fn per_thousand(p: f64) -> String {
    match (p * 1000.).round() as u32 {
        _ if p * 1000. < 0.95 => "fewer than 1 scores".into(),
        1 => "about 1 scores".into(),
        1000.. => "nearly all score".into(),
        n => format!("about {n} score"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calibration::Calibration,
        detector::{Detector, Options},
        model::Fake,
        text::Document,
    };

    fn assessed(text: &str) -> Assessment {
        let mut detector = Detector::new(Box::new(Fake::default()), Calibration::for_fake().into(), Options::default()).unwrap();
        detector.assess(&[Document::new(text)]).unwrap().remove(0)
    }

    #[test]
    fn every_verdict_is_a_sentence_that_says_why() {
        assert!(verdict(&assessed(""), 0.01).starts_with("Cannot tell: there is no text."));
        assert!(verdict(&assessed("abc def ghi"), 0.01).starts_with("Cannot tell: the text is too short"));
        let long = assessed("plain words of a long text that is long enough to be judged by anyone");
        let machine = Assessment { verdict: Verdict::Machine, abstain_reason: None, flagged: true, p_value: Some(0.0031), ..long };
        assert_eq!(
            verdict(&machine, 0.01),
            "Scores like a machine's text (flagged at a false-positive rate of 0.01). Of 1000 texts by people, about 3 score as high. Where few \
             posts are by machines, most of those flagged are by people."
        );
        let human = Assessment { verdict: Verdict::Human, flagged: false, p_value: Some(0.5), ..machine };
        assert!(verdict(&human, 0.01).starts_with("Scores like a person's text: those by machines seldom"));
        let alone = Assessment { machine_probability: None, ..human.clone() };
        assert!(verdict(&alone, 0.01).starts_with("Scores like most texts by people."), "no machine text was ever compared with");
        let rare = Assessment { verdict: Verdict::Abstain, abstain_reason: Some(AbstainReason::TooShort), flagged: true, ..human };
        assert!(verdict(&rare, 0.01).ends_with("It is flagged all the same, as its score is that rare."));
    }

    #[test]
    fn every_count_of_people_is_a_whole_sentence() {
        let rare = Assessment { verdict: Verdict::Abstain, abstain_reason: Some(AbstainReason::Uncertain), ..assessed("some text") };
        for (p, told) in [
            (0.0003, "fewer than 1 scores"),
            (0.00094, "fewer than 1 scores"),
            (0.00096, "about 1 scores"),
            (0.0014, "about 1 scores"),
            (0.002, "about 2 score"),
            (0.5, "about 500 score"),
            (0.9994, "about 999 score"),
            (1., "nearly all score"),
        ] {
            let found = verdict(&Assessment { p_value: Some(p), ..rare.clone() }, 0.01);
            assert!(found.contains(&format!(" Of 1000 texts by people, {told} as high.")), "{p}: {found}");
        }
    }

    #[test]
    fn the_table_names_what_was_hidden_and_nothing_else() {
        let mut a = assessed("some text");
        let names = |a: &Assessment, invalid| facts(a, invalid).iter().map(|f| f.name).collect::<Vec<_>>();
        assert!(!names(&a, 0).contains(&"zero-width") && names(&a, 0).contains(&"perplexity"));
        a.normalization.zero_width = 3;
        assert!(names(&a, 2).contains(&"zero-width") && names(&a, 2).contains(&"invalid UTF-8"));
    }
}
