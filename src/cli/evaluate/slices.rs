//! Which rows are compared with which: by file, domain, generator, attack and length. A human document counts once in a comparison.

use super::rows::Row;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

/// Comparisons of one kind that are made; hostile data may name as many generators as it has rows.
const MOST: usize = 60;
/// Bands of length, words.
const BANDS: [(usize, usize, &str); 5] = [
    (0, 9, "under 10 words"),
    (10, 29, "10-29 words"),
    (30, 79, "30-79 words"),
    (80, 199, "80-199 words"),
    (200, usize::MAX, "200 words or more"),
];

/// Rows to compare, human documents once each.
pub(super) struct Slice<'a> {
    pub(super) name: String,
    pub(super) rows: Vec<&'a Row>,
}

/// One way to cut the rows.
pub(super) struct Cut<'a> {
    pub(super) slices: Vec<Slice<'a>>,
    /// Slices left out because there are more than can be told.
    pub(super) dropped: usize,
}

/// All rows.
pub(super) fn overall(rows: &[Row]) -> Slice<'_> {
    Slice { name: "all".into(), rows: once(rows.iter()) }
}

/// Each file's machine texts against its human ones.
pub(super) fn by_file(rows: &[Row]) -> Cut<'_> {
    same(rows, |row| Some(row.file.clone()))
}

/// Each domain's machine texts against its human ones, over all files.
pub(super) fn by_domain(rows: &[Row]) -> Cut<'_> {
    same(rows, |row| row.domain.clone())
}

/// Each band of length.
pub(super) fn by_length(rows: &[Row]) -> Cut<'_> {
    let band = |row: &Row| BANDS.iter().find(|(from, to, _)| (*from..=*to).contains(&row.words));
    let mut cut = same(rows, |row| band(row).map(|band| band.2.to_owned()));
    let place = |slice: &Slice<'_>| BANDS.iter().position(|band| band.2 == slice.name);
    cut.slices.sort_by_key(place);
    cut
}

/// Each generator's texts against the human texts of the files that it occurs in.
pub(super) fn by_generator(rows: &[Row]) -> Cut<'_> {
    against_files(rows, |row| row.generator.clone())
}

/// Each attack's machine texts, and those without one, against the human texts of the files that it occurs in. Only files with attacks.
pub(super) fn by_attack(rows: &[Row]) -> Cut<'_> {
    let attacked: HashSet<&str> = rows.iter().filter(|r| r.attack.is_some()).map(|r| r.file.as_str()).collect();
    against_files(rows, |row| attacked.contains(row.file.as_str()).then(|| row.attack.clone().unwrap_or_else(|| "none".into())))
}

fn same<'a>(rows: &'a [Row], key: impl Fn(&Row) -> Option<String>) -> Cut<'a> {
    let mut by: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if let Some(key) = key(row) {
            by.entry(key).or_default().push(row);
        }
    }
    largest(by.into_iter().map(|(name, rows)| Slice { name, rows: once(rows.into_iter()) }).collect())
}

fn against_files<'a>(rows: &'a [Row], key: impl Fn(&Row) -> Option<String>) -> Cut<'a> {
    let mut by: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    let mut humans: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in rows {
        if !row.machine {
            humans.entry(&row.file).or_default().push(row);
        } else if let Some(key) = key(row) {
            by.entry(key).or_default().push(row);
        }
    }
    let slice = |(name, machine): (String, Vec<&'a Row>)| {
        let files: BTreeSet<&str> = machine.iter().map(|r| r.file.as_str()).collect();
        let human = files.into_iter().filter_map(|file| humans.get(file)).flatten().copied();
        Slice { name, rows: once(human.chain(machine.iter().copied())) }
    };
    largest(by.into_iter().map(slice).collect())
}

/// Each human document once, its unattacked form where there is one; every machine text.
fn once<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'a Row> {
    let (mut human, mut machine): (Vec<&Row>, Vec<&Row>) = (Vec::new(), Vec::new());
    rows.for_each(|row| if row.machine { machine.push(row) } else { human.push(row) });
    human.sort_by_key(|row| row.attack.is_some());
    let mut seen = HashSet::new();
    human.retain(|row| seen.insert(row.group));
    human.into_iter().chain(machine).collect()
}

fn largest(mut slices: Vec<Slice<'_>>) -> Cut<'_> {
    let dropped = slices.len().saturating_sub(MOST);
    if dropped > 0 {
        slices.sort_by_key(|slice| Reverse(slice.rows.len()));
        slices.truncate(MOST);
        slices.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Cut { slices, dropped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::evaluate::measure::tests::row;

    fn names(cut: &Cut<'_>) -> Vec<(String, usize, usize)> {
        let count = |slice: &Slice<'_>, machine| slice.rows.iter().filter(|r| r.machine == machine).count();
        cut.slices.iter().map(|s| (s.name.clone(), count(s, false), count(s, true))).collect()
    }

    #[test]
    fn a_human_document_counts_once_and_unattacked() {
        let mut rows = vec![row(1, false, 0.), row(1, false, 1.), row(2, false, 2.), row(1, true, 3.), row(1, true, 4.)];
        rows[0].attack = Some("upper".into());
        let found = overall(&rows);
        let scores: Vec<_> = found.rows.iter().filter_map(|r| r.score).collect();
        assert_eq!(scores, [1., 2., 3., 4.]);
    }

    #[test]
    fn a_generator_meets_the_humans_of_its_files() {
        let mut rows = vec![row(1, false, 0.), row(2, false, 0.), row(3, true, 1.), row(4, true, 1.)];
        rows[1].file = "b".into();
        rows[2].generator = Some("gpt2".into());
        rows[3].generator = Some("gpt4".into());
        rows[3].file = "b".into();
        rows[3].attack = Some("x".into());
        assert_eq!(names(&by_generator(&rows)), [("gpt2".into(), 1, 1), ("gpt4".into(), 1, 1)]);
        assert_eq!(names(&by_attack(&rows)), [("x".into(), 1, 1)], "a file without attacks is not compared");
        assert_eq!(names(&by_file(&rows)), [("b".into(), 1, 1), ("f".into(), 1, 1)]);
    }

    #[test]
    fn lengths_rise_and_names_are_bounded() {
        let mut rows: Vec<Row> = (0..100).map(|i| row(i, true, 0.)).collect();
        for (i, row) in rows.iter_mut().enumerate() {
            row.words = 300 - 3 * i;
            row.generator = Some(format!("g{i:02}"));
        }
        let found: Vec<_> = by_length(&rows).slices.into_iter().map(|s| s.name).collect();
        assert_eq!(found, BANDS.map(|b| b.2));
        let cut = by_generator(&rows);
        assert_eq!((cut.slices.len(), cut.dropped), (60, 40));
    }
}
