//! When to ask: a turn for each request, and longer and longer waits after failures. Time and chance are arguments.

use super::Random;
use std::time::{Duration, Instant};

/// Time that passes, and may be waited for.
pub trait Clock {
    /// Since some moment of the past.
    fn now(&self) -> Duration;

    /// Waits; false where the run was stopped meanwhile.
    fn sleep(&self, wait: Duration) -> bool;
}

/// The real time. `stopped` ends a wait early.
pub struct Monotonic<S> {
    since: Instant,
    stopped: S,
}

impl<S: Fn() -> bool> Monotonic<S> {
    /// Counts from now on.
    pub fn new(stopped: S) -> Self {
        Self { since: Instant::now(), stopped }
    }
}

/// How often a wait asks whether the run was stopped.
const ASK: Duration = Duration::from_millis(100);

impl<S: Fn() -> bool> Clock for Monotonic<S> {
    fn now(&self) -> Duration {
        self.since.elapsed()
    }

    fn sleep(&self, wait: Duration) -> bool {
        let until = self.now().saturating_add(wait);
        loop {
            if (self.stopped)() {
                return false;
            }
            match until.checked_sub(self.now()).filter(|left| !left.is_zero()) {
                Some(left) => std::thread::sleep(left.min(ASK)),
                None => return true,
            }
        }
    }
}

/// Spreads requests evenly over time.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    next: Duration,
}

impl Pace {
    pub(super) fn new(per_minute: Option<f64>) -> Self {
        let every = per_minute.map_or(Duration::ZERO, |n| Duration::from_secs_f64(60. / n));
        Self { every, next: Duration::ZERO }
    }

    /// How long the next request has to wait.
    pub(super) fn turn(&mut self, now: Duration) -> Duration {
        let turn = self.next.max(now);
        self.next = turn + self.every;
        turn - now
    }
}

/// The first wait, and the longest.
const FIRST: f64 = 0.5;
const LONGEST: f64 = 60.;
/// A server that asks to wait longer is not waited for, seconds.
const PATIENCE: u64 = 600;

/// How long to wait after failure number `attempt`, from 1: twice as long each time, half of it by chance, so that many askers do not come
/// back at once; never shorter than the server asks. `None` where it asks for more than anyone waits.
pub(super) fn backoff(attempt: u32, asked: Option<u64>, random: &mut Random) -> Option<Duration> {
    let asked = asked.unwrap_or(0);
    if asked > PATIENCE {
        return None;
    }
    let longest = (FIRST * 2_f64.powi(attempt.saturating_sub(1).min(30) as i32)).min(LONGEST);
    let chosen = longest * (0.5 + 0.5 * random.uniform());
    Some(Duration::from_secs(asked) + Duration::from_secs_f64(chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_honour_the_server() {
        let wait = |attempt, asked| backoff(attempt, asked, &mut Random::new(1, 0)).map(|wait| wait.as_secs_f64());
        for (attempt, longest) in [(1, 0.5), (2, 1.), (3, 2.), (8, 60.), (40, 60.)] {
            let wait = wait(attempt, None).unwrap();
            assert!(wait >= longest / 2. && wait <= longest, "{attempt}: {wait}");
        }
        assert!(wait(1, Some(20)).unwrap() >= 20.);
        assert_eq!(wait(1, Some(601)), None);
        assert_ne!(wait(5, None), backoff(5, None, &mut Random::new(1, 1)).map(|wait| wait.as_secs_f64()));
    }

    #[test]
    fn turns_are_spread() {
        let mut pace = Pace::new(Some(60.));
        let at = Duration::from_secs;
        assert_eq!([pace.turn(at(10)), pace.turn(at(10)), pace.turn(at(10))], [at(0), at(1), at(2)]);
        assert_eq!(pace.turn(at(20)), at(0));
        let mut free = Pace::new(None);
        assert_eq!([free.turn(at(1)), free.turn(at(1))], [at(0), at(0)]);
    }

    #[test]
    fn a_stopped_wait_ends() {
        assert!(!Monotonic::new(|| true).sleep(Duration::from_secs(1000)));
        assert!(Monotonic::new(|| false).sleep(Duration::ZERO));
    }
}
