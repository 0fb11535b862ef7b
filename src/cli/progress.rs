//! How far a run is, for people: a bar on standard error where it is a terminal, and Ctrl-C.

use crate::{
    adversary,
    batch::{Progress, Watch},
};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Draws the bar and passes Ctrl-C on.
pub(super) struct Bar {
    bar: ProgressBar,
    since: Instant,
    stop: Arc<AtomicBool>,
}

impl Bar {
    /// A bar that starts now, drawn where `shown` and standard error is a terminal.
    pub(super) fn start(shown: bool) -> anyhow::Result<Self> {
        let bar = if shown && io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(200));
        Ok(Self { bar, since: Instant::now(), stop: stop_on_ctrl_c()? })
    }

    /// From now on a bar of so many steps instead of a spinner.
    fn counting(&self, total: u64) {
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
            // The template is fixed and holds; a wrong one would only leave the spinner.
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3}%  {msg}  {eta_precise} left") {
                self.bar.set_style(style);
            }
        }
    }

    /// One step more of so many.
    pub(super) fn step(&self, total: u64) {
        self.counting(total);
        self.bar.inc(1);
    }

    /// Whether Ctrl-C was pressed.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Takes the bar away; gives the seconds since its start.
    pub(super) fn end(&self) -> f64 {
        self.bar.finish_and_clear();
        self.since.elapsed().as_secs_f64()
    }
}

impl Watch for Bar {
    fn progress(&self, progress: &Progress) {
        if self.bar.is_hidden() {
            return;
        }
        if let Some(total) = progress.total_bytes {
            self.counting(total);
        }
        self.bar.set_position(progress.bytes_read);
        self.bar.set_message(rates(progress, self.since.elapsed().as_secs_f64()));
    }

    fn cancelled(&self) -> bool {
        self.stopped()
    }
}

impl adversary::Watch for Bar {
    fn progress(&self, progress: &adversary::Progress) {
        if self.bar.is_hidden() {
            return;
        }
        self.counting(progress.total);
        self.bar.set_position(progress.resumed + progress.texts);
        self.bar.set_message(written(progress, self.since.elapsed().as_secs_f64()));
    }

    fn cancelled(&self) -> bool {
        self.stopped()
    }
}

/// Texts written so far and how fast they come.
pub(super) fn written(progress: &adversary::Progress, seconds: f64) -> String {
    let rate = if seconds > 0. { progress.tokens as f64 / seconds } else { 0. };
    format!("{} texts, {rate:.0} tokens/s", progress.resumed + progress.texts)
}

/// Documents so far and how fast they go.
pub(super) fn rates(progress: &Progress, seconds: f64) -> String {
    let per_second = |count: u64| if seconds > 0. { count as f64 / seconds } else { 0. };
    format!(
        "{} documents, {:.0} documents/s, {:.0} tokens/s",
        progress.resumed + progress.documents,
        per_second(progress.documents),
        per_second(progress.tokens)
    )
}

/// The first Ctrl-C asks the run to stop after the rows in work, the second one ends the process.
fn stop_on_ctrl_c() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        let _ = writeln!(io::stderr(), "\nstopping after the rows in work; press Ctrl-C again to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_count_this_run_and_name_all_documents() {
        let progress = Progress { documents: 50, tokens: 1000, resumed: 7, ..Progress::default() };
        assert_eq!(rates(&progress, 2.), "57 documents, 25 documents/s, 500 tokens/s");
        assert_eq!(rates(&progress, 0.), "57 documents, 0 documents/s, 0 tokens/s");
    }
}
