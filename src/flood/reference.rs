//! What the monitor knows of the calibration: plain numbers per length bin, and the bounds that follow from them.

use crate::stats::{self, BinRates, Detected, MOST_KINDS};
use std::collections::BTreeMap;

/// Levels q of p-values, by which bets tell them apart.
pub const LEVELS: [f64; 7] = [0.004, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5];
/// Places of the levels by which windows count: 0.01, 0.05, 0.2 and 0.5. A key has room for no more.
const COUNTED: [usize; 4] = [1, 3, 5, 6];
/// Most length bins.
pub(super) const MAX_BINS: usize = 12;
/// Cells that the levels cut p-values into.
pub(super) const CELLS: usize = LEVELS.len() + 1;
/// Cells that windows count.
pub(super) const WINDOW_CELLS: usize = COUNTED.len() + 1;

/// One number for each level.
pub(super) type PerLevel = [f64; LEVELS.len()];
/// One number for each level by which windows count.
pub(super) type PerCounted = [f64; COUNTED.len()];

/// The numbers of the levels by which windows count.
pub(super) fn counted(all: &PerLevel) -> PerCounted {
    COUNTED.map(|place| all[place])
}

/// The window's cell of a cell.
pub(super) fn window_cell(cell: usize) -> usize {
    COUNTED.partition_point(|&place| place < cell)
}

/// Per length bin: how many human documents the p-values come from, and how often machine texts have small ones, by each score.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    bins: Vec<BinRates>,
}

/// Why a reference cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// There is no calibration.
    #[error("streams need a calibration, this model has none; make one with `highwater calibrate`")]
    Empty,
    /// Too many bins.
    #[error("the reference has {0} length bins, at most {MAX_BINS} are taken")]
    TooMany(usize),
    /// Numbers that contradict one another.
    #[error(
        "length bin {0} of the reference: expected ascending lengths, human documents, counts of detections that rise with the level, and the same kinds as in the others, at most {MOST_KINDS}"
    )]
    Bin(usize),
}

impl Reference {
    /// Takes bins in ascending order of length, at least 1 and at most 12, with counts at [`LEVELS`]:
    /// `Reference::new(calibration.bin_rates(&flood::LEVELS))`.
    ///
    /// # Errors
    /// No bins (there is no calibration), too many, not ascending, or counts that do not fit together.
    pub fn new(bins: Vec<BinRates>) -> Result<Self, ReferenceError> {
        if bins.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if bins.len() > MAX_BINS {
            return Err(ReferenceError::TooMany(bins.len()));
        }
        let kinds = &bins[0].kinds;
        let counted = |d: &Detected| d.at.len() == LEVELS.len() && d.at.is_sorted() && d.at.iter().all(|&found| found <= d.texts);
        let fits = |b: &BinRates| {
            b.human > 0
                && counted(&b.machine)
                && b.kinds.len() <= MOST_KINDS
                && b.kinds.keys().eq(kinds.keys())
                && b.kinds.values().all(counted)
        };
        match bins.iter().enumerate().find(|(i, b)| !fits(b) || (*i > 0 && bins[i - 1].from_tokens >= b.from_tokens)) {
            Some((i, _)) => Err(ReferenceError::Bin(i)),
            None => Ok(Self { bins }),
        }
    }

    /// The bins, shortest first.
    pub fn bins(&self) -> &[BinRates] {
        &self.bins
    }

    /// Whether the rates of people's small p-values are promised over the community's mix of lengths alone, and not at each length.
    pub(super) fn is_few_shot(&self) -> bool {
        self.bins.iter().any(|bin| bin.few_shot)
    }

    /// The bins as bets take them: in a few-shot profile all have the machine texts of all, since what is staked must not depend on a length
    /// at which nothing is promised.
    pub(super) fn staked(&self) -> Vec<BinRates> {
        let mut bins = self.bins.clone();
        if self.is_few_shot() {
            let pooled = |view| {
                let all = self.bins.iter().map(|bin| detected(bin, view));
                all.fold(Detected { texts: 0, at: vec![0; LEVELS.len()] }, |sum, found| Detected {
                    texts: sum.texts + found.texts,
                    at: sum.at.iter().zip(&found.at).map(|(a, b)| a + b).collect(),
                })
            };
            let kinds: BTreeMap<String, Detected> = self.kinds().cloned().zip((1..).map(pooled)).collect();
            for bin in &mut bins {
                (bin.machine, bin.kinds) = (pooled(0), kinds.clone());
            }
        }
        bins
    }

    /// Scores that p-values come from: the one that gives the verdict, and that of each kind.
    pub(super) fn views(&self) -> usize {
        1 + self.kinds().count()
    }

    /// The kinds' names, in the order of their views.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &String> {
        self.bins.iter().take(1).flat_map(|bin| bin.kinds.keys())
    }

    /// The place of the bin of a document of `tokens` tokens; `None` below the smallest calibrated length.
    pub(super) fn bin(&self, tokens: usize) -> Option<usize> {
        self.bins.partition_point(|b| b.from_tokens <= tokens).checked_sub(1)
    }
}

/// What a reference promises of one bin at each of its levels: those of the bets, or those by which windows count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds<const N: usize = { LEVELS.len() }> {
    /// Rate of {p <= level} among human documents: on average over reference sets, and its bounds given this one.
    pub(super) human: [f64; N],
    pub(super) human_high: [f64; N],
    pub(super) human_low: [f64; N],
    /// The same among machine documents like those of the reference.
    pub(super) machine: [f64; N],
    pub(super) machine_high: [f64; N],
    pub(super) machine_low: [f64; N],
}

/// What was found by the score of a view: 0 is the one that gives the verdict.
pub(super) fn detected(bin: &BinRates, view: usize) -> &Detected {
    view.checked_sub(1).and_then(|kind| bin.kinds.values().nth(kind)).unwrap_or(&bin.machine)
}

/// Detection rates where there is no machine reference, to bet with: sqrt(level), an AUROC of 2/3.
pub(super) fn unknown_detection() -> PerLevel {
    LEVELS.map(f64::sqrt)
}

/// [`Bounds`] of windows.
pub(super) type WindowBounds = Bounds<{ COUNTED.len() }>;

impl Bounds {
    /// Bounds of which each holds with this confidence, over the reference sets of the bin, by the score of view `view`.
    ///
    /// Without a machine reference nothing bounds the detection rate: it may be anything from that of humans to 1.
    pub(super) fn of(bin: &BinRates, view: usize, each: f64) -> Self {
        let n = bin.human;
        let found = detected(bin, view);
        let (human, human_low, human_high) = match bin.few_shot {
            false => (
                LEVELS.map(|q| stats::mean_rate(n, q)),
                LEVELS.map(|q| stats::rate_lower_bound(n, q, each)),
                LEVELS.map(|q| stats::rate_upper_bound(n, q, each)),
            ),
            // such p-values are bounded from one side only
            true => (LEVELS, [0.; LEVELS.len()], LEVELS.map(|q| stats::few_rate_upper_bound(n, q, each))),
        };
        let unknown = found.texts == 0;
        let share = |d: &usize| *d as f64 / found.texts as f64;
        let (mut machine, mut machine_low, mut machine_high) = (unknown_detection(), human_low, [1.; LEVELS.len()]);
        for (j, d) in found.at.iter().enumerate().filter(|_| !unknown) {
            machine[j] = share(d);
            (machine_low[j], machine_high[j]) = stats::proportion_interval(*d, found.texts, 2. * each - 1.);
        }
        Self { human, human_high, human_low, machine, machine_high, machine_low }
    }

    /// Those at the levels by which windows count.
    pub(super) fn counted(&self) -> WindowBounds {
        Bounds {
            human: counted(&self.human),
            human_high: counted(&self.human_high),
            human_low: counted(&self.human_low),
            machine: counted(&self.machine),
            machine_high: counted(&self.machine_high),
            machine_low: counted(&self.machine_low),
        }
    }

    /// P(p <= level) at a share of machine text.
    pub(super) fn mixed(human: &PerLevel, machine: &PerLevel, share: f64) -> PerLevel {
        std::array::from_fn(|j| (1. - share) * human[j] + share * machine[j])
    }
}

impl WindowBounds {
    /// The average over the bins, each weighing as many documents as a window has of it; 0 of none.
    pub(super) fn averaged(bins: &[Self], documents: &[u16; MAX_BINS]) -> Self {
        let total = f64::from(documents.iter().map(|&n| u32::from(n)).sum::<u32>());
        let none = PerCounted::default();
        let mut mean = Self { human: none, human_high: none, human_low: none, machine: none, machine_high: none, machine_low: none };
        for (at, bin) in bins.iter().enumerate() {
            let weight = f64::from(documents[at]) / total.max(1.);
            let add = |mean: &mut PerCounted, bin: &PerCounted| mean.iter_mut().enumerate().for_each(|(j, mean)| *mean += weight * bin[j]);
            add(&mut mean.human, &bin.human);
            add(&mut mean.human_high, &bin.human_high);
            add(&mut mean.human_low, &bin.human_low);
            add(&mut mean.machine, &bin.machine);
            add(&mut mean.machine_high, &bin.machine_high);
            add(&mut mean.machine_low, &bin.machine_low);
        }
        mean
    }
}
