//! What a page holds and what it never holds.

use super::*;

fn page() -> Page {
    let mut page = Page::new("<title> & more");
    page.heading("a <b>");
    page.text("it's \u{202E}hidden");
    page.table(&["na<me", "n"], &[vec!["<i>", "3.1%"]]);
    page
}

fn plot(series: Vec<Series>) -> Result<String, ReportError> {
    let mut page = page();
    page.lines(&Lines { title: "<roc>".into(), x: Axis::new("a<b"), y: Axis::new("share").within(0., 1.), series })?;
    Ok(page.html())
}

#[test]
fn every_text_is_escaped_and_nothing_is_loaded() {
    let mut page = page();
    let bar = Bar { name: "<script>x</script>".into(), value: 0.5, interval: Some((0.4, 0.6)) };
    page.bars(&Bars { title: "<bars>".into(), x: Axis::new("<x>"), bars: vec![bar], reference: Some(0.1) }).unwrap();
    page.lines(&Lines {
        title: "<lines>".into(),
        x: Axis::new("<x>"),
        y: Axis::new("<y>"),
        series: vec![Series::new("<name>", vec![(0., 0.), (1., 1.)], Shape::Line)],
    })
    .unwrap();
    let html = page.html();
    for bad in ["<script", "<b>", "<i>", "<x>", "<y>", "<name>", "<bars>", "<lines>", "\u{202E}", "src=", "href=", "url("] {
        assert!(!html.contains(bad), "{bad} in\n{html}");
    }
    for good in ["&lt;script&gt;", "&lt;name&gt;", "it&#39;s", "<td class=\"n\">3.1%</td>", "light-dark("] {
        assert!(html.contains(good), "{good} not in\n{html}");
    }
}

/// Every colour of the SVG has its rule, so that the plot can be read in light and in dark.
#[test]
fn every_mark_has_its_colours() {
    let series = (0..9).map(|i| Series::new(&i.to_string(), vec![(0., 0.), (1., f64::from(i))], Shape::Step)).collect();
    let html = plot(series).unwrap();
    let body = html.split("</style>").nth(1).unwrap();
    let marks = body.match_indices("=\"#").map(|(at, _)| &body[at + 2..at + 9]);
    for mark in marks {
        assert!(html.contains(&format!("[stroke=\"{mark}\"]")), "{mark} has no rule");
    }
}

#[test]
fn hostile_numbers_make_a_plot_all_the_same() {
    let cases = [
        vec![],
        vec![(f64::NAN, 1.)],
        vec![(0., f64::INFINITY), (1., 1.)],
        vec![(2., 2.)],
        vec![(0., -f64::MAX), (1., f64::MAX)],
        vec![(3., 1.), (3., 1.), (3., 1.)],
    ];
    for points in cases {
        let mut page = page();
        let series = vec![Series::new("s", points.clone(), Shape::Step)];
        page.lines(&Lines { title: "t".into(), x: Axis::new("x"), y: Axis::new("y"), series }).unwrap();
        assert!(!page.html().contains("NaN"), "{points:?}");
        let bars = points.iter().map(|p| Bar { name: "b".into(), value: p.1, interval: Some(*p) }).collect();
        page.bars(&Bars { title: "t".into(), x: Axis::new("x"), bars, reference: Some(f64::NAN) }).unwrap();
    }
    let bars = (0..61).map(|_| Bar { name: String::new(), value: 1., interval: None }).collect();
    let found = page().bars(&Bars { title: "t".into(), x: Axis::new("x"), bars, reference: None }).unwrap_err();
    assert!(found.to_string().contains("61 bars"), "{found}");
}

#[test]
fn a_long_line_is_thinned_and_keeps_its_peak() {
    let mut points: Vec<_> = (0..1_000_000).map(|i| (f64::from(i), 0.)).collect();
    points[123_456].1 = 1.;
    let html = plot(vec![Series::new("peak", points, Shape::Line)]).unwrap();
    let line = html.lines().find(|l| l.contains("stroke-width=\"4\"")).unwrap();
    assert!(html.len() < 100_000, "{} bytes", html.len());
    let heights: Vec<&str> = line.split("points=\"").nth(1).unwrap().split(' ').filter_map(|p| p.split(',').nth(1)).collect();
    assert!(heights.contains(&"20"), "the peak is at the top of the plot");
}

#[test]
fn a_histogram_gives_shares_and_keeps_what_lies_outside() {
    let found = Series::histogram("h", &[-9., 0.1, 0.6, 0.7, f64::NAN], (0., 1.), 2);
    assert_eq!(found.points, [(0., 0.), (0., 0.5), (0.5, 0.5), (1., 0.)]);
    let empty = Series::histogram("h", &[], (0., 1.), 0);
    assert_eq!(empty.points, [(0., 0.), (0., 0.), (1., 0.)]);
}

/// Bands of length and names that begin with a digit are no numbers.
#[test]
fn the_first_column_holds_names() {
    let mut page = Page::new("t");
    page.table(&["", "n"], &[vec!["80-199 words", "12"]]);
    assert!(page.html().contains("<tr><td>80-199 words</td><td class=\"n\">12</td></tr>"), "{}", page.html());
}

#[test]
fn a_legend_is_read_aloud_and_no_wider_than_the_page() {
    let html = plot(vec![Series::new(&"x".repeat(1000), vec![(0., 0.), (1., 1.)], Shape::Line)]).unwrap();
    assert!(!html.contains(&"x".repeat(39)), "{html}");
    let (picture, rest) = html.split("role=\"img\"").nth(1).unwrap().split_once("</div>").unwrap();
    let name = format!("{}…</span>", "x".repeat(38));
    assert!(picture.contains("<svg") && !picture.contains(&name) && rest.contains(&name), "{html}");
}

#[test]
fn a_plot_without_bars_has_room_for_its_axis() {
    let height = |bars: Vec<Bar>| {
        let mut page = Page::new("t");
        page.bars(&Bars { title: "t".into(), x: Axis::new("x"), bars, reference: None }).unwrap();
        page.html().split("<svg ").nth(1).and_then(|svg| svg.split("height=\"").nth(1)).and_then(|h| h.split('"').next()).map(str::to_owned)
    };
    assert_eq!(height(Vec::new()), height(vec![Bar { name: "b".into(), value: 1., interval: None }]));
}
