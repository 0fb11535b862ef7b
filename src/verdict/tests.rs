//! Every verdict and every reason to abstain, and the documented JSON field by field.

use super::*;
use crate::model::Fake;
use crate::model::Scorer;
use serde_json::{Value, json};

const HUMAN: &str = "HUMAN WRITES 1234 LOUD THINGS, 5678 TIMES";
const MACHINE: &str = "the machine writes plain lower case letters and nothing else";

fn judge_with(document: &Document, calibration: &Calibration, unsupported_language: bool) -> Assessment {
    let mut fake = Fake::default();
    let ids = fake.tokenize(&document.text).unwrap().ids;
    let tokens = fake.score(&[&ids]).unwrap().remove(0);
    let (normalization, empty) = (Normalization::default(), document.text.is_empty());
    let evidence = Evidence { document, normalization, tokens: &tokens, in_line: &tokens, empty, unsupported_language, not_prose: false };
    Policy::default().judge(&evidence, calibration, "fake@0000000000000000")
}

fn judge(text: &str) -> Assessment {
    judge_with(&Document::new(text), &Calibration::for_fake(), false)
}

#[test]
fn the_three_verdicts() {
    let machine = judge(MACHINE);
    assert_eq!((machine.verdict, machine.abstain_reason, machine.flagged), (Verdict::Machine, None, true));
    assert!(machine.p_value.unwrap() <= 0.01 && machine.machine_probability.unwrap() > 0.9);

    let human = judge(HUMAN);
    assert_eq!((human.verdict, human.abstain_reason, human.flagged), (Verdict::Human, None, false));
    assert!(human.p_value.unwrap() > 0.5 && human.machine_probability.unwrap() < 0.1);

    let between = judge("half OF it is THIS and half OF IT THAT way");
    assert_eq!((between.verdict, between.abstain_reason), (Verdict::Abstain, Some(AbstainReason::Uncertain)));
    assert!(!between.flagged && between.p_value.is_some() && between.machine_probability.is_some());
}

#[test]
fn abstentions_keep_only_what_may_be_believed() {
    let short = judge("a short machine post");
    assert_eq!(short.abstain_reason, Some(AbstainReason::TooShort));
    assert!(short.flagged && short.p_value.unwrap() <= 0.01, "a short post is still evidence for its stream");
    assert_eq!(short.verdict, Verdict::Abstain);

    let shorter = judge("tiny");
    assert_eq!((shorter.abstain_reason, shorter.p_value, shorter.flagged), (Some(AbstainReason::TooShort), None, false));
    assert!(shorter.score.is_some() && shorter.statistics.is_some());

    let empty = judge("");
    assert_eq!((empty.abstain_reason, empty.score, empty.p_value), (Some(AbstainReason::Empty), None, None));
    assert_eq!((empty.statistics, empty.flagged), (None, false));

    let foreign = judge_with(&Document::new(MACHINE), &Calibration::for_fake(), true);
    assert_eq!(foreign.abstain_reason, Some(AbstainReason::UnsupportedLanguage));
    assert_eq!((foreign.p_value, foreign.machine_probability, foreign.flagged), (None, None, false));
    assert!(foreign.score.is_some());

    let nothing = TokenScores::default();
    let (document, normalization) = (Document::new("😭"), Normalization::default());
    let evidence = Evidence {
        document: &document,
        normalization,
        tokens: &nothing,
        in_line: &nothing,
        empty: false,
        unsupported_language: false,
        not_prose: false,
    };
    let uncounted = Policy::default().judge(&evidence, &Calibration::for_fake(), "m");
    assert_eq!((uncounted.abstain_reason, uncounted.p_value, uncounted.tokens), (Some(AbstainReason::TooShort), None, 0));

    let by_heart = TokenScores {
        surprisal: vec![0.1; 50],
        rank: vec![1; 50],
        entropy: vec![0.2; 50],
        variance: vec![0.2; 50],
        ..TokenScores::default()
    };
    let document = Document::new(MACHINE);
    for (not_prose, reason) in [(false, AbstainReason::Memorised), (true, AbstainReason::NotProse)] {
        let normalization = Normalization::default();
        let evidence = Evidence {
            document: &document,
            normalization,
            tokens: &by_heart,
            in_line: &by_heart,
            empty: false,
            unsupported_language: false,
            not_prose,
        };
        let found = Policy::default().judge(&evidence, &Calibration::for_fake(), "m");
        assert_eq!((found.abstain_reason, found.p_value, found.flagged), (Some(reason), None, false));
        assert!(found.score.is_some());
    }

    let none = judge_with(&Document::new(MACHINE), &Calibration::none("x"), false);
    assert_eq!((none.abstain_reason, none.p_value, none.flagged), (Some(AbstainReason::Uncalibrated), None, false));
    assert_eq!(none.score, none.statistics.unwrap().discrepancy);
}

#[test]
fn a_number_that_is_not_finite_is_no_verdict() {
    let tokens = TokenScores {
        surprisal: vec![f32::NAN; 50],
        rank: vec![1; 50],
        entropy: vec![1.; 50],
        variance: vec![1.; 50],
        ..TokenScores::default()
    };
    let document = Document::new(MACHINE);
    let evidence = Evidence {
        document: &document,
        normalization: Normalization::default(),
        tokens: &tokens,
        in_line: &tokens,
        empty: false,
        unsupported_language: false,
        not_prose: false,
    };
    let found = Policy::default().judge(&evidence, &Calibration::for_fake(), "m");
    assert_eq!((found.verdict, found.abstain_reason, found.score), (Verdict::Abstain, Some(AbstainReason::Unscorable), None));
}

#[test]
fn the_threshold_itself_is_flagged_and_nothing_above_it() {
    let reading =
        |p: f64| Reading { score: 0., p_value: Some(p), kinds: BTreeMap::new(), machine_tail: Some(0.5), machine_probability: None };
    let policy = Policy { fpr: 0.02, miss_rate: 0.1 };
    assert_eq!(policy.decide(&reading(0.02)).0, Verdict::Machine);
    assert_eq!(policy.decide(&reading(0.020_001)), (Verdict::Abstain, Some(AbstainReason::Uncertain)));
}

#[test]
fn without_a_machine_reference_only_typical_human_texts_are_human() {
    let decide = |p| {
        Policy::default().decide(&Reading {
            score: 0.,
            p_value: Some(p),
            kinds: BTreeMap::new(),
            machine_tail: None,
            machine_probability: None,
        })
    };
    assert_eq!(decide(0.6).0, Verdict::Human);
    assert_eq!(decide(0.5), (Verdict::Abstain, Some(AbstainReason::Uncertain)));
    assert_eq!(decide(0.005).0, Verdict::Machine);
}

/// Names at every level of `value`, in the dotted form `statistics.rank_fractions.top_10`.
fn names(value: &Value, at: &str, out: &mut Vec<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        names(inner, &path, out);
        out.push(path);
    }
}

/// The example of the documented contract, field by field.
#[test]
fn the_json_has_the_documented_names() {
    let documented = json!({"id":"a1","stream":"forum-7","verdict":"machine","flagged":true,"score":2.41,"p_value":0.0031,
        "machine_probability":0.97,"tokens":187,"words":140,
        "statistics":{"mean_surprisal_nats":2.91,"perplexity":18.4,"mean_log_rank":1.02,"lrr":2.85,"mean_entropy_nats":3.02,
            "discrepancy":3.9,"surprisal_std":2.2,"rank_fractions":{"top_10":0.78,"top_100":0.15,"top_1000":0.05,"rest":0.02}},
        "normalization":{"homoglyphs":0,"zero_width":0,"control":0},"model":"highwater-…","calibration":"…"});
    let document = Document { id: Some("a1".into()), streams: vec![StreamKey::new("forum-7").unwrap()], ..Document::new(MACHINE) };
    let found = serde_json::to_value(judge_with(&document, &Calibration::for_fake(), false)).unwrap();
    let of = |value: &Value| {
        let mut out = Vec::new();
        names(value, "", &mut out);
        out
    };
    let (documented, found_names) = (of(&documented), of(&found));
    let missing: Vec<_> = documented.iter().filter(|n| !found_names.contains(n)).collect();
    let added: Vec<_> = found_names.iter().filter(|n| !documented.contains(n)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    let allowed = ["surprisal_", "log_likelihood_ratio", "high_entropy_fraction"].map(|n| format!("statistics.{n}"));
    assert!(
        added.iter().all(|n| allowed.iter().any(|a| n.starts_with(a)) || n.starts_with("normalization.") || n.starts_with("kind_p_values")),
        "added: {added:?}"
    );
    assert_eq!((&found["verdict"], &found["stream"], &found["id"]), (&json!("machine"), &json!("forum-7"), &json!("a1")));
    assert!(found["tokens"].is_u64() && found["words"].is_u64() && found["score"].is_f64() && found["flagged"].is_boolean());
}

#[test]
fn several_streams_are_a_list_and_abstention_has_its_reason() {
    let streams = ["a", "b"].map(|k| StreamKey::new(k).unwrap()).to_vec();
    let document = Document { streams, ..Document::new("") };
    let found = serde_json::to_value(judge_with(&document, &Calibration::for_fake(), false)).unwrap();
    assert_eq!(found["stream"], json!(["a", "b"]));
    assert_eq!((&found["verdict"], &found["abstain_reason"]), (&json!("abstain"), &json!("empty")));
    assert!(found["score"].is_null() && found["statistics"].is_null() && found.get("score").is_some());
    assert!(found.get("id").is_none());
    let reasons = [AbstainReason::TooShort, AbstainReason::UnsupportedLanguage, AbstainReason::Uncalibrated];
    assert_eq!(serde_json::to_value(reasons).unwrap(), json!(["too_short", "unsupported_language", "uncalibrated"]));
}

/// A kind's score that calls everything machine changes no verdict, and is silent where there is no p-value.
#[test]
fn kinds_decide_nothing_about_a_single_text() {
    let usual = Calibration::for_fake();
    let mut json = serde_json::to_value(&usual).unwrap();
    for score in json["kinds"][0]["bins"][0]["human"].as_array_mut().unwrap() {
        *score = json!(score.as_f64().unwrap() - 100.);
    }
    let eager = Calibration::parse(json.to_string().as_bytes(), "eager").unwrap();
    for text in [MACHINE, HUMAN, "a short text it is", ""] {
        let (before, after) = [&usual, &eager].map(|c| judge_with(&Document::new(text), c, false)).into();
        assert_eq!(Assessment { kind_p_values: before.kind_p_values.clone(), ..after.clone() }, before);
        let expected = before.p_value.map(|_| 0.001);
        assert_eq!(after.kind_p_values.get("fake").copied(), expected, "{text}");
    }
}
