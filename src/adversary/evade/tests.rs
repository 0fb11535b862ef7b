//! The search as promises: budgets are kept, runs repeat, and what can be evaded is.

use super::*;
use crate::{calibration::Calibration, detector::Options, model::Fake, verdict::Policy};

/// Flags what is plain lower case: the fake's calibration finds it predictable.
fn detector() -> Detector {
    let policy = Policy { fpr: 0.003, ..Policy::default() };
    Detector::new(Box::new(Fake::default()), Calibration::for_fake().into(), Options { policy, normalize: true }).unwrap()
}

const MACHINE: &str = "the people of the government believe that their neighbors really receive what they should because of the color \
which the children always wanted and finally the weather there is usually beautiful until the evening when all the friends come together";

fn settings(method: Method) -> Settings {
    let moves = vec![Attack::Misspelling, Attack::ArticleDeletion, Attack::UpperLower, Attack::AlternativeSpelling];
    Settings { budget: 100, max_edits: 0.5, max_surprisal: 2., method, moves, seed: 5 }
}

fn search(settings: &Settings) -> Outcome {
    evade(&[(3, MACHINE)], &mut detector(), None, settings).unwrap().remove(0)
}

#[test]
fn a_flag_is_lost_within_the_budgets() {
    for method in [Method::BestOfN, Method::TokenSearch] {
        let outcome = search(&settings(method));
        assert!(outcome.before.flagged, "{:?}", outcome.before);
        assert!(outcome.evaded_at.is_some() && !outcome.after.flagged, "{method:?}: {outcome:?}");
        assert!(outcome.after.score < outcome.before.score && outcome.text != MACHINE);
        let rise = outcome.after.mean_surprisal_nats.unwrap() - outcome.before.mean_surprisal_nats.unwrap();
        assert!(rise <= 2. && outcome.edits as f64 <= 0.5 * outcome.words as f64 && outcome.queries <= 100);
        let anew = detector().assess(&[Document::new(&outcome.text)]).unwrap();
        assert_eq!(Seen::of(&anew[0]), outcome.after, "the variant is what was looked at");
        assert_eq!(search(&settings(method)), outcome, "a run repeats");
    }
}

#[test]
fn budgets_that_allow_nothing_change_nothing() {
    let free = settings(Method::TokenSearch);
    for tight in [
        Settings { budget: 0, ..free.clone() },
        Settings { max_edits: 0., ..free.clone() },
        Settings { max_surprisal: -1e9, ..free.clone() },
        Settings { moves: Vec::new(), ..free.clone() },
    ] {
        let outcome = search(&tight);
        assert_eq!((outcome.text.as_str(), outcome.edits, outcome.evaded_at), (MACHINE, 0, None), "{tight:?}");
        assert!(outcome.queries <= tight.budget);
    }
    let one = search(&Settings { budget: 1, ..free });
    assert_eq!(one.queries, 1);
}

#[test]
fn a_small_edit_budget_is_kept() {
    for method in [Method::BestOfN, Method::TokenSearch] {
        let outcome = search(&Settings { max_edits: 0.1, ..settings(method) });
        assert!(outcome.edits <= outcome.words / 10, "{outcome:?}");
    }
}

#[test]
fn texts_do_not_depend_on_their_neighbours_and_those_without_a_flag_stay() {
    let settings = settings(Method::TokenSearch);
    let human = "It's 12:45 -- WHO (if ANYONE?) SAW 3 DOGS; 4 CATS & 5 BIRDS @ No. 7?!";
    let texts = [(0, human), (3, MACHINE), (4, ""), (5, MACHINE)];
    let all = evade(&texts, &mut detector(), None, &settings).unwrap();
    assert_eq!(all[1], search(&settings));
    assert_eq!((all[0].text.as_str(), all[0].queries), (human, 0));
    assert_eq!((all[2].text.as_str(), all[2].before.score), ("", None));
    let report = Report::of(&all, &settings);
    assert_eq!((report.texts, report.flagged, report.budgets.len()), (4, 2, 8));
    assert!(report.budgets.windows(2).all(|pair| pair[0].evaded <= pair[1].evaded));
    assert_eq!(report.budgets.last().map(|row| (row.queries, row.rate)), Some((100, Some(1.))));
    assert!(report.to_string().contains("2 flagged"), "{report}");
    assert!(Report::of(&[], &settings).to_string().contains("nothing to evade"));
}
