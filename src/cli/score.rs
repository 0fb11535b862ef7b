//! `highwater score`: documents in files to assessments in a file.

use super::{
    Outcome,
    args::{Common, Score},
    calibrate::unwritable,
    chatty,
    floods::Along,
    join,
    progress::{Bar, rates},
    settings::{Rows, Setup, Watching, layers},
    tell_if_typed,
};
use crate::batch::{self, Input, Job, Limits, Output, Summary, part_of, same_file};
use clap::ArgMatches;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

pub(super) fn run(mut args: Score, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    args.output = args.output.filter(|output| output != Path::new("-"));
    let mut merge = layers(matches, common)?;
    let (setup, rows, watching) = (Setup::take(&mut merge), Rows::take(&mut merge), Watching::take(&mut merge));
    if args.resume && args.force {
        merge.fault("--resume goes on with what is there and --force throws it away; choose one");
    }
    if args.resume && args.output.is_none() {
        merge.fault("--resume goes on with a file; name it with --output");
    }
    let alarms = args.alarms.clone();
    if let Some(fault) = alarms.as_ref().and_then(|path| alarms_fault(path, &args)) {
        merge.fault(format!("--alarms: {fault}"));
    }
    merge.finish()?;
    let watched = rows.stream_field_named || alarms.is_some() || watching.asked_for;
    let mut job = job(args, rows);
    if job.inputs.contains(&Input::Stdin) {
        tell_if_typed()?;
    }
    let mut detector = join::detector(&setup)?;
    if detector.model().device == "cpu" {
        job.limits = Limits::for_cpu();
    }
    let mut along = if watched { Some(Along::new(&detector, &watching, alarms)?) } else { None };
    let bar = Bar::start(chatty())?;
    let result = match &mut along {
        Some(along) => batch::run_along(&job, &mut detector, &bar, along),
        None => batch::run(&job, &mut detector, &bar),
    };
    let seconds = bar.end();
    let summary = result?;
    if chatty() {
        writeln!(io::stderr(), "{}", tell(&summary, &job.output, seconds))?;
    }
    if let Some(along) = &mut along {
        if summary.cancelled {
            along.save_alarms()?;
        }
        if chatty() {
            writeln!(io::stderr(), "{}", crate::text::harmless(&along.tell()))?;
        }
    }
    Ok(match summary {
        Summary { cancelled: true, .. } => Outcome::Stopped,
        Summary { errors: 0, .. } => Outcome::Done,
        _ => Outcome::Refused,
    })
}

/// Why the alarms cannot go there. Only a stopped run that goes on may find its own.
fn alarms_fault(path: &Path, args: &Score) -> Option<String> {
    let part = args.output.as_deref().map(part_of);
    let others: Vec<&Path> = args.inputs.iter().chain(&args.output).chain(&part).map(PathBuf::as_path).collect();
    // of a run that has ended the output says it better
    let ended = || args.output.as_ref().is_some_and(|output| output.is_file());
    let goes_on = args.resume && (part.as_ref().is_some_and(|part| part.exists()) || ended());
    let exists = || format!("{} exists already; name another file, or overwrite it with --force", path.display());
    let first = part_of(path);
    let lost = || {
        let taken = others.iter().any(|other| same_file(other, &first));
        taken.then(|| {
            format!("{} is read or written by this run already, and alarms are written there first; name another file", first.display())
        })
    };
    unwritable(path, &others).or_else(lost).or_else(|| (path.exists() && !args.force && !goes_on).then(exists))
}

fn job(args: Score, rows: Rows) -> Job {
    let inputs = if args.inputs.is_empty() { vec![PathBuf::from("-")] } else { args.inputs };
    let inputs = inputs.into_iter().map(|p| if p == Path::new("-") { Input::Stdin } else { Input::Path(p) });
    Job {
        inputs: inputs.collect(),
        input_format: rows.input_format,
        output: args.output.map_or(Output::Stdout, Output::Path),
        output_format: rows.output_format,
        fields: rows.fields,
        with_tokens: rows.with_tokens,
        resume: args.resume,
        force: args.force,
        ..Job::default()
    }
}

/// One line at the end, for people.
fn tell(summary: &Summary, output: &Output, seconds: f64) -> String {
    let rates = rates(&summary.progress, seconds);
    let work = format!("{} tokens in {seconds:.2} s", summary.progress.tokens);
    let verdicts = format!("{} machine, {} human, {} abstain", summary.machine, summary.human, summary.abstain);
    let errors = match summary.errors {
        0 => String::new(),
        1 => "; 1 row was refused".to_owned(),
        n => format!("; {n} rows were refused"),
    };
    let line = format!("{rates} ({work}): {verdicts}; {} flagged{errors}", summary.flagged);
    match output {
        _ if !summary.cancelled => line,
        Output::Path(_) => format!("{line}\nstopped; the rows so far are whole: run the same command with --resume to go on"),
        Output::Stdout => format!("{line}\nstopped; the rows so far are whole. With --output FILE a stopped run can go on by --resume"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_and_a_stopped_run_says_how_to_go_on() {
        let mut summary = Summary { flagged: 2, machine: 2, human: 3, abstain: 1, errors: 1, ..Summary::default() };
        summary.progress.documents = 7;
        let line = tell(&summary, &Output::Stdout, 1.);
        assert_eq!(
            line,
            "7 documents, 7 documents/s, 0 tokens/s (0 tokens in 1.00 s): 2 machine, 3 human, 1 abstain; 2 flagged; 1 row was refused"
        );
        summary.cancelled = true;
        assert!(tell(&summary, &Output::Path("out.jsonl".into()), 1.).contains("with --resume"));
    }
}
