//! What a search came to over all texts: the share of flags that were lost, by how often the detector was looked at.

use super::{Outcome, Settings};
use serde::Serialize;
use std::fmt::{self, Display};

/// One budget and how far it went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// Looks at the detector for each text.
    pub queries: usize,
    /// Texts that had lost their flag by then.
    pub evaded: usize,
    /// Their share of the flagged texts; null where none was flagged.
    pub rate: Option<f64>,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What the search was allowed.
    pub settings: Settings,
    /// Texts.
    pub texts: usize,
    /// Texts that were flagged before.
    pub flagged: usize,
    /// Success by budget.
    pub budgets: Vec<Row>,
    /// Looks at the detector in all.
    pub queries: usize,
    /// Of the texts that lost their flag: the mean share of changed words.
    pub mean_edit_share: Option<f64>,
    /// Of the same: how much their mean surprisal rose, nats per token, on average.
    pub mean_surprisal_rise_nats: Option<f64>,
}

impl Report {
    /// Sums up outcomes.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, settings: &Settings) -> Self {
        let outcomes: Vec<&Outcome> = outcomes.into_iter().collect();
        let flagged = outcomes.iter().filter(|o| o.before.flagged).count();
        let budgets = budgets(settings.budget).into_iter().map(|queries| {
            let evaded = outcomes.iter().filter(|o| o.evaded_at.is_some_and(|at| at <= queries)).count();
            Row { queries, evaded, rate: (flagged > 0).then(|| evaded as f64 / flagged as f64) }
        });
        let evaded: Vec<_> = outcomes.iter().filter(|o| o.evaded_at.is_some()).collect();
        let mean =
            |of: &dyn Fn(&Outcome) -> f64| (!evaded.is_empty()).then(|| evaded.iter().map(|o| of(o)).sum::<f64>() / evaded.len() as f64);
        let rise = |o: &Outcome| o.after.mean_surprisal_nats.unwrap_or(0.) - o.before.mean_surprisal_nats.unwrap_or(0.);
        Self {
            texts: outcomes.len(),
            flagged,
            budgets: budgets.collect(),
            queries: outcomes.iter().map(|o| o.queries).sum(),
            mean_edit_share: mean(&|o| o.edits as f64 / o.words.max(1) as f64),
            mean_surprisal_rise_nats: mean(&rise),
            settings: settings.clone(),
        }
    }
}

/// 1, 2, 4, … and the budget itself.
fn budgets(most: usize) -> Vec<usize> {
    let mut all: Vec<usize> = std::iter::successors(Some(1_usize), |n| n.checked_mul(2)).take_while(|n| *n < most).collect();
    all.push(most);
    all
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} texts, {} flagged, {} looks at the detector", self.texts, self.flagged, self.queries)?;
        if self.flagged == 0 {
            return write!(f, "nothing to evade: no text was flagged");
        }
        writeln!(f, "{:>8} {:>8} {:>8}", "looks", "evaded", "rate")?;
        for row in &self.budgets {
            writeln!(f, "{:>8} {:>8} {:>7.1}%", row.queries, row.evaded, 100. * row.rate.unwrap_or(0.))?;
        }
        match (self.mean_edit_share, self.mean_surprisal_rise_nats) {
            (Some(edits), Some(rise)) => {
                write!(f, "those that evaded: {:.1}% of words changed, mean surprisal {rise:+.3} nats a token", 100. * edits)
            }
            _ => write!(f, "none evaded"),
        }
    }
}
