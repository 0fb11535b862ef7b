//! `highwater evaluate`: labelled texts to how well the detector tells them apart: a table, JSON, and a page with plots.
//!
//! A file that is not wholly understood is refused, as in `calibrate`: figures from half of the data would look like figures from all of it.

use super::{
    Outcome, Refused,
    args::{Common, Evaluate},
    calibrate, chatty, join,
    progress::Bar,
    settings::{Setup, layers},
};
use anyhow::Context;
use clap::ArgMatches;
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

mod measure;
mod page;
mod rows;
mod slices;
mod table;

pub(super) fn run(args: &Evaluate, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let mut merge = layers(matches, common)?;
    let setup = Setup::take(&mut merge);
    merge.finish()?;
    let total = calibrate::bytes(&args.inputs, args.json.iter().chain(&args.report))?;
    let mut reading = rows::Reading::new(join::detector(&setup)?, Bar::start(chatty())?, total);
    for path in &args.inputs {
        reading.file(path)?;
    }
    let Some((rows, detector)) = reading.finish()? else { return Ok(Outcome::Stopped) };
    if rows.is_empty() {
        return Err(Refused("there is no row to evaluate; give JSONL rows with a `text` and a `label`".into()).into());
    }
    if chatty() {
        writeln!(io::stderr(), "{} texts scored; drawing {} samples for the intervals", rows.len(), measure::SAMPLES)?;
    }
    let evaluation = measure::evaluation(&rows, &detector);
    if let Some(path) = &args.json {
        write(path, |out| Ok(serde_json::to_writer_pretty(out, &evaluation)?))?;
    }
    if let Some(path) = &args.report {
        let html = page::render(&evaluation, &rows)?;
        write(path, |out| Ok(out.write_all(html.as_bytes())?))?;
    }
    io::stdout().write_all(table::render(&evaluation)?.as_bytes())?;
    Ok(Outcome::Done)
}

/// Writes a whole file; the error names it.
pub(super) fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let named = || format!("cannot write {}", path.display());
    let mut out = io::BufWriter::new(File::create(path).with_context(named)?);
    fill(&mut out).and_then(|()| Ok(out.flush()?)).with_context(named)
}
