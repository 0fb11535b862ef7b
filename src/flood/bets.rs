//! The bets of all streams, computed once: by which factor each piece of evidence grows after a p-value of each cell, in each length bin.
//!
//! Bets look at the length before the p-value is known: little is staked on short texts, where machine texts hardly differ.
//!
//! A calibration whose machine texts are of several kinds has a score for each beside the pooled one. Each bet looks at the p-value of one
//! score, its view, and has mean at most 1 by the bound of that p-value alone; what is compared with a threshold is the mean over all bets, so
//! that views may depend on one another in any way. A flood is of one kind, mostly: the score made for it finds what is lost in the pooled one.

use super::{
    Settings,
    reference::{Bounds, CELLS, LEVELS, PerLevel, Reference, WindowBounds, counted, detected, unknown_detection, window_cell},
};
use crate::{
    stats::{self, BinRates, MOST_KINDS, factors, likelihood_gains, mean_upper_bound, reference_shapes},
    verdict::Assessment,
};
use std::ops::Range;

/// Bets that are mixed with equal weights.
pub(super) const BETS: usize = 12;
/// Bets that the e-process goes by.
pub(super) const KEPT: usize = 5;
/// Views at most: the pooled score, and that of each kind.
pub(super) const VIEWS: usize = 1 + MOST_KINDS;
/// Places of the bets that the e-process goes by, by the number of views: of each view, and of those on middling shares first.
const KEPT_AT: [[usize; KEPT]; VIEWS] = [[1, 3, 7, 9, 5], [1, 3, 7, 9, 2], [1, 2, 5, 9, 6], [1, 4, 7, 10, 2], [1, 5, 7, 9, 11]];
/// Texts of a weak direction have p <= q as often as q to this power: an AUROC of 0.59.
const WEAK: f64 = 0.7;
/// Error of a weak direction's bound, as a part of another's. With a tenth its bets are too small to find much, with as much the others find
/// floods later.
const WEAK_PART: f64 = 0.5;
/// A bet on at least this share of machine text is a fast one, unless its direction is weak.
const FAST: f64 = 0.25;
/// How far from the expected human rates towards their upper bounds bets place the people they bet against: on the way they lose little if
/// the rates are as expected, and need not be made much smaller for the bound.
const CAUTION: f64 = 0.55;

/// Factors for one cell of one bin.
pub(super) type Factors = [f32; BETS];
/// Those of the bets that the e-process goes by.
pub(super) type Kept = [f32; KEPT];

/// Where the evidence of one document lies: its length bin, and the cell of its p-value by each score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bin: usize,
    /// [`NOWHERE`] for a score that gave no p-value.
    cells: [u8; VIEWS],
}

/// The cell of a p-value that is not there.
const NOWHERE: u8 = u8::MAX;

impl Place {
    /// The cell by the pooled score.
    pub(super) fn cell(self) -> usize {
        self.cells[0].into()
    }

    /// The cell by each score, in the order of the views; `None` where it gave no p-value.
    pub(super) fn cells(self) -> impl Iterator<Item = Option<usize>> {
        self.cells.into_iter().map(|cell| (cell != NOWHERE).then(|| cell.into()))
    }

    /// Whether p is at most 0.05 by the score of this view.
    pub(super) fn is_low(self, view: u8) -> bool {
        usize::from(self.cells[usize::from(view)]) < LEVELS.partition_point(|&level| level <= 0.05)
    }
}

/// What a bet is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Aim {
    direction: Direction,
    /// Of machine text.
    share: f64,
}

/// How often the machine texts of a flood have small p-values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Direction {
    /// As often as those of the reference.
    Reference,
    /// As if nothing were known of them.
    Unknown,
    /// Hardly more often than people's.
    Weak,
}

impl Direction {
    fn detection(self, reference: &PerLevel) -> PerLevel {
        match self {
            Self::Reference => *reference,
            Self::Unknown => unknown_detection(),
            Self::Weak => LEVELS.map(|q| q.powf(WEAK)),
        }
    }
}

/// The bets on the p-values of one score.
#[derive(Debug)]
struct View {
    /// Its bets' factors, by bin and cell; 1 in the places of other views' bets.
    forward: Vec<[Factors; CELLS]>,
    /// Logarithms of the factors against "the flood goes on".
    back: Vec<[f64; CELLS]>,
    /// The places of its bets.
    bets: Range<usize>,
    /// Bounds of the rates by its score: all of a bin hold together with the confidence of the settings.
    bounds: Vec<WindowBounds>,
}

/// Everything that follows from the settings and the reference.
#[derive(Debug)]
pub(super) struct Bets {
    reference: Reference,
    /// Bounds by the pooled score for share intervals: an interval takes three, which fail together with probability below alpha / 2.
    pub(super) share_bounds: Vec<WindowBounds>,
    views: Vec<View>,
    /// Names of the kinds, in the order of their views.
    kinds: Vec<String>,
    /// Weights of the bets on large shares, with the sum 1.
    fast: Factors,
    /// Where rates are promised over all lengths together: the cell of a p-value of 1, for texts of a length at which a kind has none.
    instead: Option<usize>,
}

impl Bets {
    pub(super) fn new(settings: &Settings, reference: Reference) -> Self {
        let views = reference.views();
        let bounds_of = |bins: &[BinRates], view, each| bins.iter().map(|bin| Bounds::of(bin, view, each)).collect::<Vec<_>>();
        let for_windows = |all: Vec<Bounds>| all.iter().map(Bounds::counted).collect();
        let staked = reference.staked();
        // half of the error for human rates, half for machine rates
        let each = 1. - error(settings, views, Direction::Reference) / (2 * LEVELS.len()) as f64;
        let view = |view: usize| {
            let stakes = bounds_of(&staked, view, each);
            let bins = || staked.iter().zip(&stakes).map(|(bin, b)| (bin, b, detected(bin, view).texts > 0));
            let bet = |(bin, b, known): (&BinRates, &Bounds, bool)| {
                // a kind that has hardly any texts of this length: its score was made from others
                if view > 0 && !known { [[1.; BETS]; CELLS] } else { forward((bin, b), settings, (views, view)) }
            };
            let (forward, back) = (bins().map(bet).collect(), bins().map(|(_, b, known)| back(b, known, settings)).collect());
            View { forward, back, bets: places(views, view), bounds: for_windows(bounds_of(reference.bins(), view, each)) }
        };
        let share_bounds = for_windows(bounds_of(reference.bins(), 0, 1. - settings.alpha / 8.));
        let kinds = reference.kinds().cloned().collect();
        let aims: Vec<Aim> = (0..views).flat_map(|view| aims(views, view)).collect();
        let is_fast = |bet: &usize| aims[*bet].share >= FAST && aims[*bet].direction != Direction::Weak;
        let weight = 1. / (0..BETS).filter(is_fast).count() as f32;
        let fast = std::array::from_fn(|bet| if is_fast(&bet) { weight } else { 0. });
        let instead = reference.is_few_shot().then_some(CELLS - 1);
        Self { views: (0..views).map(view).collect(), kinds, reference, share_bounds, fast, instead }
    }

    pub(super) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Where a document lies; `None` where it carries no evidence.
    pub(super) fn place(&self, assessment: &Assessment) -> Option<Place> {
        let cell = |p: f64| (0. ..=1.).contains(&p).then(|| stats::cell(&LEVELS, p) as u8);
        let mut cells = [NOWHERE; VIEWS];
        cells[0] = assessment.p_value.and_then(cell)?;
        for (name, &p) in &assessment.kind_p_values {
            if let Some(kind) = self.kinds.iter().position(|kind| kind == name) {
                cells[1 + kind] = cell(p).unwrap_or(NOWHERE);
            }
        }
        Some(Place { bin: self.reference.bin(assessment.tokens)?, cells })
    }

    pub(super) fn forward(&self, place: Place) -> Factors {
        let mut all = self.views[0].forward[place.bin][place.cell()];
        for (view, cell) in self.views.iter().zip(place.cells()).skip(1) {
            if let Some(cell) = cell.or(self.instead) {
                let factors = &view.forward[place.bin][cell];
                all.iter_mut().enumerate().for_each(|(bet, all)| *all *= factors[bet]);
            }
        }
        all
    }

    /// Bounds of the rates by the score of this view, by bin.
    pub(super) fn bounds(&self, view: u8) -> &[WindowBounds] {
        &self.views[usize::from(view)].bounds
    }

    /// The factors that the e-process goes by.
    pub(super) fn kept(&self, factors: &Factors) -> Kept {
        KEPT_AT[self.views.len() - 1].map(|place| factors[place])
    }

    /// Logarithm of the factor against "the flood goes on", by the score of the view that found it.
    pub(super) fn back(&self, place: Place, view: u8) -> f64 {
        let view = usize::from(view);
        self.views[view].back[place.bin].get(usize::from(place.cells[view])).copied().unwrap_or(0.)
    }

    /// The view whose bets have won most.
    pub(super) fn loudest(&self, won: &Factors) -> u8 {
        let sum = |view: &View| won[view.bets.clone()].iter().sum::<f32>();
        let loudest = self.views.iter().map(sum).enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        loudest.map_or(0, |(view, _)| view as u8)
    }

    /// The mean of the bets on large shares.
    pub(super) fn fast(&self, won: &Factors) -> f64 {
        won.iter().zip(&self.fast).map(|(&won, &weight)| f64::from(won) * f64::from(weight)).sum()
    }
}

/// What the bets of one view are made for, with so many views. The pooled score alone has two directions for shares from large to small. Where there
/// are kinds, each view goes by its machine texts, and the last bet of the pooled score is on a flood that hardly any score finds. With four kinds,
/// the pooled score has four bets and each kind two.
fn aims(views: usize, view: usize) -> Vec<Aim> {
    let shares: &[f64] = match (views, view) {
        (1 | 2, _) => &[0.9, 0.5, 0.25, 0.12, 0.06, 0.03],
        (3, _) => &[0.9, 0.35, 0.12, 0.04],
        (4, _) => &[0.9, 0.3, 0.1],
        (_, 0) => &[0.9, 0.3, 0.1, 0.03],
        _ => &[0.9, 0.25],
    };
    let all = |direction| shares.iter().map(move |&share| Aim { direction, share });
    if views == 1 {
        return all(Direction::Reference).chain(all(Direction::Unknown)).collect();
    }
    let mut out: Vec<Aim> = all(Direction::Reference).collect();
    if let (0, Some(last)) = (view, out.last_mut()) {
        *last = Aim { direction: Direction::Weak, share: shares[0] };
    }
    out
}

/// The places of one view's bets among all.
fn places(views: usize, view: usize) -> Range<usize> {
    let start = (0..view).map(|view| aims(views, view).len()).sum();
    start..start + aims(views, view).len()
}

/// With how much probability, over the reference sets, the bound may fail that bets in this direction rest on: those of all views hold together
/// with the confidence of the settings.
fn error(settings: &Settings, views: usize, direction: Direction) -> f64 {
    let part = if direction == Direction::Weak { WEAK_PART } else { 1. };
    let parts = if views == 1 { 2. } else { views as f64 + WEAK_PART };
    (1. - settings.confidence) * part / parts
}

/// Bets against "at most the base share", in one bin by the score of one view (STATISTICS 4).
///
/// A direction is the likelihood ratio E of the cells, of machine texts against people, made smaller until its mean under the null is at most 1
/// by the reference (`stats::mean_upper_bound`). The likelihood ratio of a share s is 1 - s + s E, which keeps the mean at most 1: so one bound
/// holds for the bets on all shares. STATISTICS 4 mixes levels as bets of their own; here one bet uses all levels at once, which needs a
/// quarter of the memory and finds a flood sooner. The pooled score has a second direction, since the reference's generators are not the flood's.
/// What is tolerated by the base share is taken to be found no more often, by each score, than the texts of that score's reference.
fn forward((bin, b): (&BinRates, &Bounds), settings: &Settings, (views, view): (usize, usize)) -> [Factors; CELLS] {
    let base = settings.base_share;
    let people: PerLevel = std::array::from_fn(|j| b.human[j] + CAUTION * (b.human_high[j] - b.human[j]));
    let null = Bounds::mixed(&people, &b.machine, base);
    let shapes = reference_shapes(bin.human, &LEVELS, bin.few_shot);
    let mut all = [[1f32; BETS]; CELLS];
    for (bet, Aim { direction, share }) in places(views, view).zip(aims(views, view)) {
        let detection = direction.detection(&b.machine);
        let machine: PerLevel = std::array::from_fn(|j| detection[j].max(null[j]));
        let gains = likelihood_gains(&machine, &null, true);
        let error = error(settings, views, direction);
        let human_mean = |error: f64| mean_upper_bound(&shapes, &gains, 1. - error);
        let mean = if base > 0. {
            let tolerated = gains[CELLS - 1] / factors(&gains, &b.machine_high)[CELLS - 1];
            (1. - base) * human_mean(error / 2.) + base * tolerated
        } else {
            human_mean(error)
        };
        for (cell, gain) in gains.iter().enumerate() {
            all[cell][bet] = rounded_down(1. - share + share * gain / mean);
        }
    }
    all
}

/// The bet against "at least the clearing share": P(p <= q) >= (1 - s) q- + s beta-. Without a machine reference the detection rate is
/// guessed, and the promise of the clearing is as good as the guess. By the levels of windows: each costs a bound.
fn back(b: &Bounds, known: bool, settings: &Settings) -> [f64; CELLS] {
    let machine_low = if known { b.machine_low } else { b.machine };
    let null = counted(&Bounds::mixed(&b.human_low, &machine_low, settings.clear_at()));
    let quiet = counted(&Bounds::mixed(&b.human, &b.machine, settings.base_share));
    let factors = factors(&likelihood_gains(&quiet, &null, false), &null);
    std::array::from_fn(|cell| factors[window_cell(cell)].ln())
}

/// A factor in f32 that makes up for the two roundings of every update, each at most 2^-24 of the value: evidence is never rounded up.
fn rounded_down(factor: f64) -> f32 {
    (factor * (1. - 1. / f64::from(1 << 22))) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{BinRates, Detected, random::Random};

    /// A reference of one bin with so many kinds, each found more often than the one before.
    fn reference(human: usize, kinds: usize) -> Reference {
        let machine = |n: usize| {
            let at = |q: f64| (500. * q.powf(0.8 - 0.2 * n as f64)) as usize;
            Detected { texts: 500, at: LEVELS.map(at).to_vec() }
        };
        let kinds = (1..=kinds).map(|n| (format!("kind {n}"), machine(n))).collect();
        Reference::new(vec![BinRates { from_tokens: 8, human, few_shot: false, machine: machine(0), kinds }]).unwrap()
    }

    /// A human rate of {p <= level} at each level, drawn from what a reference set of `n` scores leaves open: order statistics of uniforms.
    fn rates(random: &mut Random, n: usize) -> PerLevel {
        let mut uniforms: Vec<f64> = (0..n).map(|_| random.uniform()).collect();
        uniforms.sort_unstable_by(f64::total_cmp);
        LEVELS.map(|q| uniforms[(q * (n + 1) as f64) as usize - 1])
    }

    /// All bets of a view have a mean of at most 1 together, with the error that each direction is given and not with much less.
    #[test]
    fn bets_have_a_mean_of_at_most_1_with_the_confidence_that_is_promised() {
        let (human, draws) = (300, 20_000);
        for kinds in 0..VIEWS {
            let bets = Bets::new(&Settings::default(), reference(human, kinds));
            let mut random = Random(5);
            let drawn: Vec<Vec<f64>> = (0..draws).map(|_| stats::cells(&rates(&mut random, human)).collect()).collect();
            let mut betting = [0; BETS];
            for (view, own) in bets.views.iter().enumerate() {
                let rows = own.forward[0];
                let mean = |p: &[f64], bet: usize| (0..CELLS).map(|cell| p[cell] * f64::from(rows[cell][bet])).sum::<f64>();
                (0..BETS).for_each(|bet| betting[bet] += usize::from(rows.iter().any(|row| row[bet] != 1.)));
                assert!((0..BETS).all(|bet| own.bets.contains(&bet) == rows.iter().any(|row| row[bet] != 1.)), "view {view}");
                let above = drawn.iter().filter(|p| own.bets.clone().any(|bet| mean(p, bet) > 1. + 1e-9)).count();
                let directions: &[Direction] = match (kinds, view) {
                    (0, _) => &[Direction::Reference, Direction::Unknown],
                    (_, 0) => &[Direction::Reference, Direction::Weak],
                    _ => &[Direction::Reference],
                };
                let promised: f64 = directions.iter().map(|&d| error(&Settings::default(), kinds + 1, d) * draws as f64).sum();
                let noise = 4. * promised.sqrt();
                println!("{kinds} kinds, view {view}: above 1 in {above} of {draws}, promised {promised}");
                assert!((above as f64) < promised + noise, "{kinds} kinds, view {view}: {above} of {draws}, promised {promised}");
                assert!(above as f64 > 0.6 * promised - noise, "{kinds} kinds, view {view}: {above} of {draws} waste {promised}");
            }
            assert_eq!(betting, [1; BETS], "each bet looks at one score");
        }
    }
}
