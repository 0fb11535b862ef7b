//! One text's search: which variants to look at next, and what to make of what was seen.
//!
//! Token search takes turns: it probes single edits on top of the best variant, then makes the best of those that helped together, one, two,
//! three, … at once. Best-of-n draws sets of edits of any size. Both stop at the first variant that is not flagged.

use super::{Edit, Method, Outcome, Random, Seen, Settings};
use crate::{adversary::attack::apply, text::words};
use std::collections::BTreeSet;

/// Variants looked at in one turn.
const WIDTH: usize = 32;
/// How many of the helpful edits are made at once in one turn.
const TOGETHER: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// Edits by their number in the pool.
type Set = BTreeSet<usize>;

/// The state of one search.
pub(super) struct Search {
    text: String,
    pool: Vec<Edit>,
    random: Random,
    before: Seen,
    best: (Set, Seen),
    /// Edits not yet probed, in the order of their turn.
    untried: Vec<usize>,
    /// What each probed edit did to the score.
    gains: Vec<(f64, usize)>,
    /// What is being looked at.
    looking: Vec<Set>,
    probing: bool,
    /// Whether the best variant has changed since all edits were last to be probed.
    improved: bool,
    queries: usize,
    evaded_at: Option<usize>,
    limits: Limits,
}

/// The budget of this text.
struct Limits {
    queries: usize,
    edits: usize,
    surprisal: f64,
    method: Method,
}

impl Search {
    pub(super) fn new((number, text): (u64, &str), before: Seen, pool: Vec<Edit>, settings: &Settings) -> Self {
        let mut random = Random::new(settings.seed, number.wrapping_mul(256).wrapping_add(255));
        let untried = shuffled(pool.len(), &mut random);
        let limits = Limits {
            queries: settings.budget,
            edits: (words(text) as f64 * settings.max_edits + 1e-9).floor() as usize,
            surprisal: before.mean_surprisal_nats.unwrap_or(0.) + settings.max_surprisal,
            method: settings.method,
        };
        let best = (Set::new(), before);
        let (gains, looking) = (Vec::new(), Vec::new());
        let (probing, improved, queries, evaded_at) = (false, false, 0, None);
        let text = text.to_owned();
        Self { text, pool, random, before, best, untried, gains, looking, probing, improved, queries, evaded_at, limits }
    }

    /// The variants to look at next; none where the search is over.
    pub(super) fn candidates(&mut self) -> Vec<String> {
        let room = self.limits.queries.saturating_sub(self.queries).min(WIDTH);
        self.looking = match self.limits.method {
            _ if self.evaded_at.is_some() || room == 0 || self.limits.edits == 0 || self.pool.is_empty() => Vec::new(),
            Method::BestOfN => (0..room).map(|_| self.draw()).collect(),
            Method::TokenSearch => self.next_turn(room),
        };
        self.looking.iter().map(|set| self.variant(set)).collect()
    }

    fn variant(&self, set: &Set) -> String {
        apply(&self.text, set.iter().map(|&i| &self.pool[i]))
    }

    /// Edits of a random strength.
    fn draw(&mut self) -> Set {
        let wanted = 1 + self.random.below(self.limits.edits);
        let mut set = Set::new();
        // most draws fit; in a small pool some never will
        for _ in 0..4 * wanted {
            let edit = self.random.below(self.pool.len());
            if set.len() < wanted && self.fits(&set, edit) {
                set.insert(edit);
            }
        }
        set
    }

    /// Whether an edit changes nothing that the set changes already.
    fn fits(&self, set: &Set, edit: usize) -> bool {
        let at = &self.pool[edit].at;
        set.len() < self.limits.edits && !set.contains(&edit) && {
            // the pool is ordered by place, so only the neighbours can touch
            let clear = |&other: &usize| {
                let other = &self.pool[other].at;
                at.end < other.start || other.end < at.start
            };
            set.range(..edit).next_back().is_none_or(clear) && set.range(edit..).next().is_none_or(clear)
        }
    }

    fn next_turn(&mut self, room: usize) -> Vec<Set> {
        if std::mem::take(&mut self.probing) {
            let together = self.together(room);
            if !together.is_empty() {
                return together;
            }
        }
        self.probing = true;
        let mut sets = self.probes(room);
        if sets.is_empty() && std::mem::take(&mut self.improved) {
            // on top of what the first round found, other edits may help
            self.untried = shuffled(self.pool.len(), &mut self.random);
            sets = self.probes(room);
        }
        sets
    }

    /// The best variant with one edit more.
    fn probes(&mut self, room: usize) -> Vec<Set> {
        let mut sets = Vec::new();
        while sets.len() < room
            && let Some(edit) = self.untried.pop()
        {
            if self.fits(&self.best.0, edit) {
                let mut set = self.best.0.clone();
                set.insert(edit);
                sets.push(set);
            }
        }
        sets
    }

    /// The best variant with the 1, 2, 3, … most helpful edits of the last probes.
    fn together(&mut self, room: usize) -> Vec<Set> {
        let mut gains = std::mem::take(&mut self.gains);
        gains.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut set = self.best.0.clone();
        let (mut sets, mut added) = (Vec::new(), 0);
        for (_, edit) in gains.into_iter().filter(|(gain, _)| *gain < 0.) {
            if sets.len() < room && self.fits(&set, edit) {
                set.insert(edit);
                added += 1;
                if TOGETHER.contains(&added) {
                    sets.push(set.clone());
                }
            }
        }
        sets
    }

    /// Takes what was seen of the variants that were asked for.
    pub(super) fn learn(&mut self, seen: impl Iterator<Item = Seen>) {
        let base = self.best.1.score;
        let looking = std::mem::take(&mut self.looking);
        let parent = self.best.0.clone();
        for (set, seen) in looking.into_iter().zip(seen) {
            self.queries += 1;
            let (Some(score), Some(surprisal)) = (seen.score, seen.mean_surprisal_nats) else { continue };
            if surprisal > self.limits.surprisal {
                continue;
            }
            if self.probing
                && let (Some(base), Some(&edit)) = (base, set.difference(&parent).next())
            {
                self.gains.push((score - base, edit));
            }
            let evaded = !seen.flagged && self.evaded_at.is_none();
            if evaded {
                self.evaded_at = Some(self.queries);
            }
            let lower = self.best.1.score.is_none_or(|best| score < best);
            if evaded || (lower && self.evaded_at.is_none()) {
                self.best = (set, seen);
                self.improved = true;
            }
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        Outcome {
            text: self.variant(&self.best.0),
            before: self.before,
            after: self.best.1,
            edits: self.best.0.len(),
            words: words(&self.text),
            queries: self.queries,
            evaded_at: self.evaded_at,
        }
    }
}

/// The numbers below `count` in random order (Fisher & Yates).
fn shuffled(count: usize, random: &mut Random) -> Vec<usize> {
    let mut all: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        all.swap(i, random.below(i + 1));
    }
    all
}
