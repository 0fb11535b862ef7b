//! What was found as one self-contained page: the evidence of a few streams over time, and how soon floods were found.

use super::tell::Facts;
use crate::report::{Axis, Lines, Page, ReportError, Series, Shape};

impl Facts<'_> {
    pub(super) fn page(&self) -> Result<String, ReportError> {
        let mut page = Page::new("How the flood alarm works on these texts");
        for line in self.text().lines().filter(|line| !line.is_empty()) {
            page.text(line);
        }
        page.heading("The evidence of a few streams");
        page.lines(&self.evidence())?;
        page.text(
            "Each line is one stream. The alarm is raised where the evidence reaches the upper level; then the detector for the end of the \
             flood takes over, which starts at 0.",
        );
        page.heading("How soon floods were found");
        page.lines(&self.delays())?;
        Ok(page.html())
    }

    fn evidence(&self) -> Lines {
        let (plan, last) = (self.plan, self.plan.length as f64);
        let threshold = plan.settings.arl.ln();
        let points = |trace: &Vec<f64>| trace.iter().enumerate().map(|(t, log_sr)| (t as f64 + 1., *log_sr)).collect();
        let line = |(i, trace)| Series::new(&format!("stream {}", i + 1), points(trace), Shape::Line);
        let mut series: Vec<Series> = self.found.traces.iter().enumerate().map(line).collect();
        series.push(Series::across("alarm", threshold, (0., last)));
        series.push(Series::upright("onset", plan.onset as f64, (0., threshold)));
        Lines {
            title: "Evidence for a flood".into(),
            x: Axis::new("documents"),
            y: Axis::new("ln of the e-SR detector").within(0., threshold * 1.1),
            series,
        }
    }

    fn delays(&self) -> Lines {
        let all = self.found.delays.len().max(1) as f64;
        let found = self.found.delays.iter().flatten().enumerate();
        let points = [(0., 0.)].into_iter().chain(found.map(|(i, &delay)| (delay as f64, (i + 1) as f64 / all))).collect();
        Lines {
            title: "Part of the floods that were found".into(),
            x: Axis::new("documents since the onset"),
            y: Axis::new("part of the streams without an earlier alarm").within(0., 1.),
            series: vec![Series::new("found", points, Shape::Step)],
        }
    }
}
