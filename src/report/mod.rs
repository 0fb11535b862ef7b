//! Numbers to one self-contained HTML page: headings, text, tables, and plots in SVG. Nothing is loaded and nothing runs; it can be read
//! in light and in dark, and every text is escaped. Reads no file and writes none: the caller does.
//!
//! Only this module names the plotting crate.

use crate::text::harmless;
use std::fmt::Write;

mod plot;
pub use plot::{Axis, Bar, Bars, Lines, ReportError, Series, Shape};

const STYLE: &str = ":root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;background:light-dark(#fff,#16181c);color:light-dark(#1a1a1a,#e8e8e8)}\
figure{margin:1.5rem 0}figcaption{font-size:.9rem}figure svg{display:block;width:100%;height:auto}.key{margin-right:1.2rem;white-space:nowrap}\
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;font-size:.9rem}th,td{padding:.15rem .7rem .15rem 0;text-align:left;vertical-align:top}\
thead th{border-bottom:1px solid light-dark(#999,#777)}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}";

/// A page in the making. Parts appear in the order of the calls.
///
/// ```
/// use highwater::report::{Axis, Bar, Bars, Lines, Page, Series, Shape};
///
/// let mut page = Page::new("Two streams");
/// page.text("The evidence for a flood over time.");
/// let points = (0..200).map(|i| (f64::from(i), (f64::from(i) - 100.).max(0.) / 20.)).collect();
/// let alarm = Series::across("alarm", 4., (0., 200.));
/// page.lines(&Lines {
///     title: "Evidence".into(),
///     x: Axis::new("documents"),
///     y: Axis::new("log10 of the e-process").within(0., 5.),
///     series: vec![Series::new("forum-7", points, Shape::Step), alarm],
/// })?;
/// let bar = Bar { name: "tweets".into(), value: 0.012, interval: Some((0.008, 0.017)) };
/// page.bars(&Bars { title: "False alarms".into(), x: Axis::new("rate"), bars: vec![bar], reference: Some(0.01) })?;
/// page.table(&["stream", "delay"], &[vec!["forum-7", "38"]]);
/// assert!(page.html().contains("<svg"));
/// # Ok::<(), highwater::report::ReportError>(())
/// ```
#[derive(Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty page of this title.
    pub fn new(title: &str) -> Self {
        Self { title: escape(title), body: String::new() }
    }

    /// A heading between parts.
    pub fn heading(&mut self, text: &str) {
        self.push(format_args!("<h2>{}</h2>\n", escape(text)));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.push(format_args!("<p>{}</p>\n", escape(text)));
    }

    /// A table. The first column holds names, whatever they begin with; other cells that are numbers, alone or with a unit or an interval,
    /// stand to the right.
    pub fn table<S: AsRef<str>>(&mut self, head: &[&str], rows: &[Vec<S>]) {
        self.body.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
        for name in head {
            self.push(format_args!("<th scope=\"col\">{}</th>", escape(name)));
        }
        self.body.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.body.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let cell = cell.as_ref();
                let number = column > 0 && cell.starts_with(|c: char| c.is_ascii_digit() || "-+.".contains(c));
                let class = if number { " class=\"n\"" } else { "" };
                self.push(format_args!("<td{class}>{}</td>", escape(cell)));
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div>\n");
    }

    /// A plot of lines over one pair of axes.
    pub fn lines(&mut self, lines: &Lines) -> Result<(), ReportError> {
        let svg = plot::lines(lines)?;
        let keys: Vec<_> = lines.series.iter().map(|s| plot::cut(&s.name)).zip(plot::colours(&lines.series)).collect();
        self.figure(&lines.title, &svg, &keys);
        Ok(())
    }

    /// A plot of horizontal bars, one below the other in their order.
    pub fn bars(&mut self, bars: &Bars) -> Result<(), ReportError> {
        let svg = plot::bars(bars)?;
        self.figure(&bars.title, &svg, &[]);
        Ok(())
    }

    /// The whole page.
    pub fn html(&self) -> String {
        let (title, body, style) = (&self.title, &self.body, plot::style());
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} - Highwater</title>\n\
             <style>{STYLE}{style}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
        )
    }

    /// A plot, its title, and its legend of names and colours. What is inside an image is not read aloud, so only the plot is one.
    fn figure(&mut self, title: &str, svg: &str, keys: &[(String, String)]) {
        let title = escape(title);
        self.push(format_args!(
            "<figure>\n<figcaption><strong>{title}</strong></figcaption>\n<div role=\"img\" aria-label=\"{title}\">{svg}</div>\n"
        ));
        if !keys.is_empty() {
            self.body.push_str("<figcaption>");
            for (name, colour) in keys {
                let name = escape(name);
                self.push(format_args!(
                    "<span class=\"key\"><svg style=\"display:inline;width:1.2em\" viewBox=\"0 0 12 8\"><rect width=\"12\" height=\"8\" \
                     fill=\"{colour}\"/></svg> {name}</span> "
                ));
            }
            self.body.push_str("</figcaption>\n");
        }
        self.body.push_str("</figure>\n");
    }

    fn push(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(what);
    }
}

/// A text as HTML shows it, in an element or in a quoted attribute; what hides from the eye is spelt out.
pub fn escape(text: &str) -> String {
    let text = harmless(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests;
