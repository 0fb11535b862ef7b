//! Lines and bars to SVG, by the plotting crate. Colours are fixed marks that the page's style turns for light and dark.
//!
//! Hostile numbers are normal input: what is not finite is left out, what lies outside the axes is drawn at their edge, and long lines
//! are thinned to what a screen can show.

use crate::text::harmless;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// Drawn at twice the size that it is shown in: the crate rounds to whole pixels.
const WIDTH: u32 = 1600;
const HEIGHT: u32 = 900;
const BAR_HEIGHT: u32 = 40;
const FONT: (&str, i32) = ("sans-serif", 26);
/// Points of a line that are drawn.
const MOST_POINTS: usize = 1600;
/// Numbers beyond this are drawn here.
const LARGEST: f64 = 1e12;
/// Bars of one plot.
const MOST_BARS: usize = 60;
/// Characters of a name that are shown.
const LONGEST_NAME: usize = 38;

/// Marks of the axes and of what is compared with, and their colours in light and dark.
const INK: (RGBColor, &str, &str) = (RGBColor(1, 1, 1), "#1a1a1a", "#e8e8e8");
const GRID: (RGBColor, &str, &str) = (RGBColor(2, 2, 2), "#e2e2e2", "#33363c");
const REFERENCE: (RGBColor, &str, &str) = (RGBColor(3, 3, 3), "#8a8a8a", "#9a9a9a");
/// Marks of the series, told apart by people who see colours differently (Okabe & Ito 2008), and their colours in light and dark.
const SERIES: [(RGBColor, &str, &str); 7] = [
    (RGBColor(4, 0, 0), "#0072b2", "#56b4e9"),
    (RGBColor(4, 0, 1), "#d55e00", "#f0803c"),
    (RGBColor(4, 0, 2), "#009e73", "#2cc79a"),
    (RGBColor(4, 0, 3), "#aa4f86", "#dd93bd"),
    (RGBColor(4, 0, 4), "#8a6d00", "#e6b800"),
    (RGBColor(4, 0, 5), "#5a5a5a", "#b5b5b5"),
    (RGBColor(4, 0, 6), "#3f51b5", "#9fa8ff"),
];

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    label: String,
    range: Option<(f64, f64)>,
}

impl Axis {
    /// An axis as wide as its numbers.
    pub fn new(label: &str) -> Self {
        Self { label: label.to_owned(), range: None }
    }

    /// With these ends.
    pub fn within(self, from: f64, to: f64) -> Self {
        Self { range: Some((from, to)), ..self }
    }

    fn over(&self, values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
        let found = values.filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let (from, to) = self.range.unwrap_or(found);
        if !(from.is_finite() && to.is_finite()) {
            return 0. ..1.;
        }
        let (from, to) = (from.clamp(-LARGEST, LARGEST), to.clamp(-LARGEST, LARGEST));
        // The crate divides by the width, and steps through it.
        let least = 1e-6 * (1. + from.abs().max(to.abs()));
        if to - from > least { from..to } else { from - least..from + least }
    }
}

/// How the points of a series are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// By straight lines.
    Line,
    /// By steps: a value holds until the next point.
    Step,
    /// By a thin grey line: something to compare with.
    Reference,
}

/// One line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is, for the legend.
    pub name: String,
    /// Points (x, y) in ascending order of x.
    pub points: Vec<(f64, f64)>,
    /// How they are joined.
    pub shape: Shape,
}

impl Series {
    /// A line through points (x, y) in ascending order of x.
    pub fn new(name: &str, points: Vec<(f64, f64)>, shape: Shape) -> Self {
        Self { name: name.to_owned(), points, shape }
    }

    /// A level to compare with, from one x to another.
    pub fn across(name: &str, level: f64, (from, to): (f64, f64)) -> Self {
        Self::new(name, vec![(from, level), (to, level)], Shape::Reference)
    }

    /// A moment to compare with, from one y to another.
    pub fn upright(name: &str, at: f64, (from, to): (f64, f64)) -> Self {
        Self::new(name, vec![(at, from), (at, to)], Shape::Reference)
    }

    /// The outline of a histogram: the share of `values` in each of `cells` equal cells of `within`; values outside count in the end cells.
    pub fn histogram(name: &str, values: &[f64], within: (f64, f64), cells: usize) -> Self {
        let (from, width) = (within.0, (within.1 - within.0) / cells.max(1) as f64);
        let mut counts = vec![0usize; cells.max(1)];
        let finite = values.iter().filter(|v| !v.is_nan());
        for value in finite.clone() {
            let cell = ((value - from) / width).clamp(0., (counts.len() - 1) as f64) as usize;
            counts[cell] += 1;
        }
        let total = finite.count().max(1) as f64;
        let mut points = vec![(from, 0.)];
        points.extend(counts.iter().enumerate().map(|(i, &n)| (from + i as f64 * width, n as f64 / total)));
        points.push((within.1, 0.));
        Self::new(name, points, Shape::Step)
    }

    /// The points as they are drawn.
    fn path(&self) -> Vec<(f64, f64)> {
        let finite: Vec<_> = self.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let kept = thinned(&finite);
        if self.shape != Shape::Step {
            return kept;
        }
        let corner = |pair: &[(f64, f64)]| [pair[0], (pair[1].0, pair[0].1)];
        kept.windows(2).flat_map(corner).chain(kept.last().copied()).collect()
    }
}

/// A plot of lines over one pair of axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// Its heading.
    pub title: String,
    /// The axis to the right.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// The lines; colours repeat after seven.
    pub series: Vec<Series>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is.
    pub name: String,
    /// How long it is; a bar that is not finite is named and not drawn.
    pub value: f64,
    /// Lower and upper end of its uncertainty.
    pub interval: Option<(f64, f64)>,
}

/// A plot of horizontal bars.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// Its heading.
    pub title: String,
    /// The axis of the values; starts at 0 where no ends are given.
    pub x: Axis,
    /// From top to bottom, at most 60.
    pub bars: Vec<Bar>,
    /// A value to compare with.
    pub reference: Option<f64>,
}

/// Why a page could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The plotting crate failed.
    #[error("cannot draw the plot `{title}`: {error}")]
    Draw {
        /// The plot.
        title: String,
        /// What it said.
        error: String,
    },
    /// More bars than can be read.
    #[error("the plot `{title}` has {found} bars, at most {MOST_BARS} can be read; split it")]
    TooMany {
        /// The plot.
        title: String,
        /// Its bars.
        found: usize,
    },
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(super) fn lines(plot: &Lines) -> Result<String, ReportError> {
    svg(&plot.title, HEIGHT, |root| draw_lines(plot, root))
}

pub(super) fn bars(plot: &Bars) -> Result<String, ReportError> {
    if plot.bars.len() > MOST_BARS {
        return Err(ReportError::TooMany { title: plot.title.clone(), found: plot.bars.len() });
    }
    // without any bar there is still an axis
    svg(&plot.title, 110 + BAR_HEIGHT * plot.bars.len().max(1) as u32, |root| draw_bars(plot, root))
}

/// The mark of each series, as it stands in the SVG.
pub(super) fn colours(series: &[Series]) -> Vec<String> {
    marks(series).into_iter().map(hex).collect()
}

/// The rules that give the marks their colours.
pub(super) fn style() -> String {
    let rule = |(mark, light, dark): &(RGBColor, &str, &str)| {
        let mark = hex(*mark);
        format!("svg [stroke=\"{mark}\"]{{stroke:light-dark({light},{dark})}}svg [fill=\"{mark}\"]{{fill:light-dark({light},{dark})}}")
    };
    [INK, GRID, REFERENCE].iter().chain(&SERIES).map(rule).collect()
}

fn svg(title: &str, height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, ReportError> {
    let mut out = String::new();
    let drawn = {
        let root = SVGBackend::with_string(&mut out, (WIDTH, height)).into_drawing_area();
        draw(&root).and_then(|()| Ok(root.present()?))
    };
    drawn.map_err(|error| ReportError::Draw { title: title.to_owned(), error: error.to_string() })?;
    Ok(out)
}

fn draw_lines(plot: &Lines, root: &Area<'_>) -> Drawn {
    let paths: Vec<_> = plot.series.iter().map(Series::path).collect();
    let x = plot.x.over(paths.iter().flatten().map(|p| p.0));
    let y = plot.y.over(paths.iter().flatten().map(|p| p.1));
    let mut chart =
        ChartBuilder::on(root).margin(20).x_label_area_size(90).y_label_area_size(120).build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.0)
        .axis_style(INK.0)
        .x_desc(harmless(&plot.x.label))
        .y_desc(harmless(&plot.y.label))
        .label_style(FONT.into_font().color(&INK.0))
        .axis_desc_style(FONT.into_font().color(&INK.0))
        .draw()?;
    let inside = |(a, b): (f64, f64)| (a.clamp(x.start, x.end), b.clamp(y.start, y.end));
    for ((series, path), mark) in plot.series.iter().zip(paths).zip(marks(&plot.series)) {
        let width = if series.shape == Shape::Reference { 2 } else { 4 };
        chart.draw_series(LineSeries::new(path.into_iter().map(inside), mark.stroke_width(width)))?;
    }
    Ok(())
}

fn draw_bars(plot: &Bars, root: &Area<'_>) -> Drawn {
    let ends = |bar: &Bar| [Some(bar.value), bar.interval.map(|i| i.0), bar.interval.map(|i| i.1)].into_iter().flatten();
    let values = plot.bars.iter().flat_map(ends).chain(plot.reference).chain([0.]);
    let x = plot.x.over(values);
    let (start, rows) = (x.start, plot.bars.len().max(1) as f64);
    let mut chart =
        ChartBuilder::on(root).margin(20).x_label_area_size(80).y_label_area_size(480).build_cartesian_2d(x.clone(), 0. ..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.0)
        .axis_style(INK.0)
        .x_desc(harmless(&plot.x.label))
        .label_style(FONT.into_font().color(&INK.0))
        .axis_desc_style(FONT.into_font().color(&INK.0))
        .draw()?;
    let inside = |v: f64| v.clamp(x.start, x.end);
    for (i, bar) in plot.bars.iter().enumerate() {
        let middle = rows - i as f64 - 0.5;
        let (left, top) = chart.backend_coord(&(start, middle));
        let anchored = FONT.into_font().color(&INK.0).pos(Pos::new(HPos::Right, VPos::Center));
        root.draw(&Text::new(cut(&bar.name), (left - 15, top), anchored))?;
        if bar.value.is_finite() {
            let corners = [(inside(0.), middle - 0.3), (inside(bar.value), middle + 0.3)];
            chart.draw_series([Rectangle::new(corners, SERIES[0].0.filled())])?;
        }
        if let Some((low, high)) = bar.interval.filter(|i| i.0.is_finite() && i.1.is_finite()) {
            let ends = [(inside(low), middle), (inside(high), middle)];
            chart.draw_series([PathElement::new(ends, INK.0.stroke_width(4))])?;
        }
    }
    if let Some(at) = plot.reference.filter(|at| at.is_finite()) {
        chart.draw_series([PathElement::new([(inside(at), 0.), (inside(at), rows)], SERIES[1].0.stroke_width(3))])?;
    }
    Ok(())
}

fn marks(series: &[Series]) -> Vec<RGBColor> {
    let mut next = 0;
    let mut mark = |s: &Series| match s.shape {
        Shape::Reference => REFERENCE.0,
        _ => {
            next += 1;
            SERIES[(next - 1) % SERIES.len()].0
        }
    };
    series.iter().map(&mut mark).collect()
}

fn hex(RGBColor(r, g, b): RGBColor) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// The lowest and the highest point of each stretch, so that no peak is lost, in at most [`MOST_POINTS`] stretches.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 2 * MOST_POINTS {
        return points.to_vec();
    }
    let ends = |stretch: &[(f64, f64)]| {
        let at = |better: fn(f64, f64) -> bool| {
            (1..stretch.len()).fold(0, |best, i| if better(stretch[i].1, stretch[best].1) { i } else { best })
        };
        let (low, high) = (at(|a, b| a < b), at(|a, b| a > b));
        [stretch[low.min(high)], stretch[low.max(high)]]
    };
    let last = points.last().copied();
    points.chunks(points.len().div_ceil(MOST_POINTS)).flat_map(ends).chain(last).collect()
}

/// A name as long as it can be shown; those of a user's data have any length.
pub(super) fn cut(name: &str) -> String {
    let name = harmless(name);
    match name.char_indices().nth(LONGEST_NAME) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.into_owned(),
    }
}
