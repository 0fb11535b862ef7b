//! Seeded streams of drawn documents, and what the monitor made of them. Pure: the same plan and rows give the same result.

use crate::{
    flood::{Monitor, Reference, Settings, SettingsError, Share},
    stats::{poisson_bounds, random::Random},
    text::{Document, StreamKey},
    verdict::Assessment,
};
use jiff::Timestamp;

/// Streams whose evidence is kept over time.
const TRACED: usize = 5;

/// What is simulated.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) settings: Settings,
    pub(super) reference: Reference,
    pub(super) share: f64,
    pub(super) onset: usize,
    pub(super) length: usize,
    pub(super) runs: usize,
    pub(super) seed: u64,
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Documents of one long stream of people alone, and alarms in it; after each it begins anew.
    pub(super) quiet_documents: u64,
    pub(super) quiet_alarms: u64,
    /// Streams with a flood that had an alarm before it.
    pub(super) early: usize,
    /// Documents from the onset to the alarm of the others, ascending; `None` where there was none.
    pub(super) delays: Vec<Option<usize>>,
    /// Streams whose share interval, counted from the onset on, held the true share at all times, and at the end.
    pub(super) covered_always: usize,
    pub(super) covered_at_end: usize,
    /// Mean of the share estimates at the end.
    pub(super) mean_estimate: f64,
    /// Logarithm of the e-SR after each document, of the first streams.
    pub(super) traces: Vec<Vec<f64>>,
}

/// One stream with a flood.
struct Flooded {
    early: bool,
    delay: Option<usize>,
    always: bool,
    last: Share,
    trace: Vec<f64>,
}

impl Plan {
    pub(super) fn monitor(&self) -> Result<Monitor, SettingsError> {
        Monitor::new(self.settings.clone(), self.reference.clone())
    }

    /// `None` once `stopped`.
    pub(super) fn run(
        &self,
        human: &[Assessment],
        machine: &[Assessment],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Found>, SettingsError> {
        let quiet_arl = Settings { arl: 1e15, ..self.settings.clone() };
        let (monitor, share_monitor) = (self.monitor()?, Monitor::new(quiet_arl, self.reference.clone())?);
        let mut people = monitor.anew();
        let mut found = Found { quiet_documents: (self.runs * self.length) as u64, ..Found::default() };
        for run in 0..self.runs {
            if stopped() {
                return Ok(None);
            }
            let mut random = Random(self.seed.wrapping_add((run as u64).wrapping_mul(0xD1B5_4A32_D192_ED03)));
            for t in 0..self.length {
                if alarm(&mut people, drawn(human, &mut random), run * self.length + t) {
                    found.quiet_alarms += 1;
                    people = monitor.anew();
                }
            }
            let flooded = self.flooded((&monitor, &share_monitor), (human, machine), &mut random);
            found.early += usize::from(flooded.early);
            if !flooded.early {
                found.delays.push(flooded.delay);
            }
            found.covered_always += usize::from(flooded.always);
            found.covered_at_end += usize::from(holds(flooded.last, self.share));
            found.mean_estimate += flooded.last.estimate / self.runs as f64;
            if run < TRACED {
                found.traces.push(flooded.trace);
            }
        }
        found.delays.sort_by_key(|delay| delay.unwrap_or(usize::MAX));
        Ok(Some(found))
    }

    /// A stream with a flood, watched by two fresh monitors: one for alarms, and one that has none for the share.
    fn flooded(
        &self,
        (alarms, shares): (&Monitor, &Monitor),
        (human, machine): (&[Assessment], &[Assessment]),
        random: &mut Random,
    ) -> Flooded {
        let (mut monitor, mut share_monitor) = (alarms.anew(), shares.anew());
        let mut found =
            Flooded { early: false, delay: None, always: true, last: Share { low: 0., estimate: 0., high: 1. }, trace: Vec::new() };
        for t in 0..self.length {
            let flood = t >= self.onset;
            let from = if flood && random.uniform() < self.share { machine } else { human };
            let assessment = drawn(from, random);
            let alarmed = alarm(&mut monitor, assessment, t);
            found.early |= alarmed && !flood;
            if alarmed && flood {
                found.delay.get_or_insert(t - self.onset + 1);
            }
            if let Some(status) = monitor.status(&StreamKey::whole()) {
                found.trace.push(status.log_sr);
            }
            if flood {
                share_monitor.count(&Document::default(), assessment, Timestamp::UNIX_EPOCH);
                let share = share_monitor.status(&StreamKey::whole()).map_or(found.last, |status| status.share);
                found.always &= holds(share, self.share);
                found.last = share;
            }
        }
        found
    }
}

impl Found {
    /// Documents between two alarms of people alone, with its 95% interval for these very texts, drawn again and again, where runs between alarms
    /// are taken as exponential, which is nearly so; no alarm gives a lower bound alone.
    pub(super) fn run_length(&self) -> (Option<f64>, f64, Option<f64>) {
        let (alarms, documents) = (self.quiet_alarms, self.quiet_documents as f64);
        let (few, many) = poisson_bounds(alarms, 0.95);
        let some = |x: f64| (alarms > 0).then_some(x);
        (some(documents / alarms as f64), documents / many, some(documents / few))
    }

    /// The delay that this part of the streams stays below or at; `None` where it is longer than the streams.
    pub(super) fn delay(&self, part: f64) -> Option<usize> {
        let place = ((self.delays.len() as f64 * part).ceil() as usize).saturating_sub(1);
        self.delays.get(place).copied().flatten()
    }

    /// Streams without an early alarm whose flood was found.
    pub(super) fn found(&self) -> usize {
        self.delays.iter().flatten().count()
    }
}

/// Whether this document raises the alarm. One document a second, which no number here depends on.
fn alarm(monitor: &mut Monitor, assessment: &Assessment, second: usize) -> bool {
    let now = Timestamp::from_second(second as i64).unwrap_or(Timestamp::UNIX_EPOCH);
    monitor.count(&Document::default(), assessment, now);
    monitor.drain_alarms().iter().any(|alarm| alarm.event == crate::flood::AlarmEvent::Raised)
}

fn drawn<'a>(from: &'a [Assessment], random: &mut Random) -> &'a Assessment {
    &from[random.below(from.len())]
}

fn holds(share: Share, truth: f64) -> bool {
    (share.low..=share.high).contains(&truth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{BinRates, Detected};

    fn plan(share: f64) -> Plan {
        let machine = Detected { texts: 500, at: vec![200, 240, 300, 340, 380, 420, 480] };
        let bin = BinRates { from_tokens: 8, human: 2000, few_shot: false, machine, kinds: Default::default() };
        let settings = Settings { max_keys: 16, dedup_window: 0, ..Settings::default() };
        let reference = Reference::new(vec![bin]).unwrap();
        Plan { settings, reference, share, onset: 100, length: 400, runs: 20, seed: 1 }
    }

    fn rows(power: f64) -> Vec<Assessment> {
        (1..1000).map(|i| Assessment::evidence(100, Some((f64::from(i) / 1000.).powf(power)), false)).collect()
    }

    #[test]
    fn floods_are_found_and_the_same_seed_finds_the_same() {
        let (human, machine) = (rows(1.), rows(6.));
        let found = plan(1.).run(&human, &machine, &|| false).unwrap().unwrap();
        assert_eq!((found.early, found.found(), found.covered_at_end), (0, 20, 20));
        assert!(found.delay(0.5).unwrap() <= 12 && found.delay(0.9) >= found.delay(0.5), "{:?}", found.delays);
        assert_eq!(found.run_length().0, None, "no alarm without a flood");
        assert!(found.run_length().1 > 2000., "{:?}", found.run_length());
        assert!(found.mean_estimate > 0.8, "{}", found.mean_estimate);
        assert_eq!(found, plan(1.).run(&human, &machine, &|| false).unwrap().unwrap());
        assert!(found != Plan { seed: 2, ..plan(1.) }.run(&human, &machine, &|| false).unwrap().unwrap());
        let none = plan(1.).run(&human, &human, &|| false).unwrap().unwrap();
        assert_eq!((none.found(), none.delay(0.5)), (0, None));
    }

    /// Twice in a hundred documents on average, p = 0.0001: the evidence outlives the length of a stream.
    #[test]
    fn streams_of_people_go_on_until_an_alarm() {
        let rows: Vec<Assessment> = (0..50).map(|i| Assessment::evidence(100, Some(if i == 0 { 0.0001 } else { 0.3 }), false)).collect();
        let alarms = |length, runs| {
            let plan = Plan { onset: length - 1, length, runs, ..plan(1.) };
            plan.run(&rows, &rows, &|| false).unwrap().unwrap().quiet_alarms
        };
        let (long, short) = (alarms(20_000, 1), alarms(20, 1000));
        assert!(long > 0 && short.abs_diff(long) <= long / 2 + 2, "{long} alarms in one stream, {short} in pieces of it");
    }

    #[test]
    fn a_simulation_ends_when_it_is_told_to() {
        let asked = std::cell::Cell::new(0);
        let stopped = || asked.replace(asked.get() + 1) == 3;
        assert_eq!(plan(1.).run(&rows(1.), &rows(6.), &stopped).unwrap(), None);
        assert_eq!(asked.get(), 4);
    }

    #[test]
    fn the_page_shows_evidence_and_delays() {
        let plan = plan(1.);
        let found = plan.run(&rows(1.), &rows(6.), &|| false).unwrap().unwrap();
        let facts = super::super::tell::Facts { found: &found, plan: &plan, calibration: "<made up>", human: 999, machine: 999 };
        let (page, text, json) = (facts.page().unwrap(), facts.text(), facts.json());
        assert!(page.matches("<svg").count() >= 2 && page.contains("&lt;made up&gt;") && page.contains("onset"));
        assert!(text.contains("found in 20 of the other 20 streams") && text.contains("promised 10000"), "{text}");
        assert_eq!(json["flood"]["delay"]["median"].as_u64(), found.delay(0.5).map(|d| d as u64));
        assert!(json["null"]["average_run_length"]["estimate"].is_null());
    }

    #[test]
    fn false_alarms_are_counted_on_streams_of_people() {
        let found = plan(0.5).run(&rows(6.), &rows(6.), &|| false).unwrap().unwrap();
        let (estimate, low, high) = found.run_length();
        assert_eq!((found.early, found.delays.len()), (20, 0));
        let facts = super::super::tell::Facts { found: &found, plan: &plan(0.5), calibration: "", human: 999, machine: 999 };
        assert!(facts.text().contains("no stream without an alarm before"), "{}", facts.text());
        assert!(low < estimate.unwrap() && estimate < high && estimate.unwrap() < 20., "{:?}", found.run_length());
    }
}
