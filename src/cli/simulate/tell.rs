//! What was found, for people and as JSON.

use super::streams::{Found, Plan};
use serde_json::{Value, json};

/// Everything that is told.
pub(super) struct Facts<'a> {
    pub(super) found: &'a Found,
    pub(super) plan: &'a Plan,
    pub(super) calibration: &'a str,
    /// Rows that streams were drawn from.
    pub(super) human: usize,
    pub(super) machine: usize,
}

impl Facts<'_> {
    pub(super) fn text(&self) -> String {
        let (found, plan) = (self.found, self.plan);
        let Plan { runs, length, onset, .. } = *plan;
        let run_length = match found.run_length() {
            (Some(estimate), low, Some(high)) => format!("{estimate:.0} documents between two (95%: {low:.0} to {high:.0})"),
            (_, low, _) => format!("at least {low:.0} documents between two (95%)"),
        };
        let delay = |part| found.delay(part).map_or(format!("more than {}", length - onset), |delay| delay.to_string());
        let delays = match found.delays.len() {
            0 => "no stream without an alarm before it".to_owned(),
            counted => {
                let (median, most) = (delay(0.5), delay(0.9));
                format!("found in {} of the other {counted} streams; delay: median {median} documents, 90% within {most}", found.found())
            }
        };
        let percent = |part: usize| format!("{:.1}%", 100. * part as f64 / runs as f64);
        format!(
            "calibration {}; {} human and {} machine texts; {runs} streams of {length} documents, seed {}\n\
             \n\
             people alone       {} alarms in {} documents: {run_length}; promised {:.0} for people like the calibration's\n\
             before the flood   {} of {runs} streams had an alarm in their first {onset} documents\n\
             flood of {:.0}%{}{delays}\n\
             its share          interval right at all times in {}, at the end in {} of the streams (promised {:.0}%); mean estimate {:.0}%\n",
            self.calibration,
            self.human,
            self.machine,
            plan.seed,
            found.quiet_alarms,
            found.quiet_documents,
            plan.settings.arl,
            found.early,
            plan.share * 100.,
            " ".repeat(9usize.saturating_sub(format!("{:.0}", plan.share * 100.).len())),
            percent(found.covered_always),
            percent(found.covered_at_end),
            100. * (1. - plan.settings.alpha),
            100. * found.mean_estimate,
        )
    }

    pub(super) fn json(&self) -> Value {
        let (found, plan) = (self.found, self.plan);
        let (estimate, low, high) = found.run_length();
        let part = |count: usize| count as f64 / plan.runs as f64;
        json!({
            "calibration": self.calibration,
            "human_texts": self.human,
            "machine_texts": self.machine,
            "settings": {
                "share": plan.share, "onset": plan.onset, "length": plan.length, "runs": plan.runs, "seed": plan.seed,
                "arl": plan.settings.arl, "base_share": plan.settings.base_share, "alpha": plan.settings.alpha,
            },
            "null": {
                "documents": found.quiet_documents,
                "alarms": found.quiet_alarms,
                "average_run_length": {"low": low, "estimate": estimate, "high": high},
            },
            "flood": {
                "alarms_before_onset": found.early,
                "streams": found.delays.len(),
                "found": found.found(),
                "delay": {"median": found.delay(0.5), "p90": found.delay(0.9)},
            },
            "share": {
                "covered_at_all_times": part(found.covered_always),
                "covered_at_end": part(found.covered_at_end),
                "mean_estimate": found.mean_estimate,
            },
        })
    }
}
