//! The command line: one file per subcommand. Standard output is data, standard error is for people.
//!
//! Exit codes: 0 done, 1 some input was refused, 2 the run failed or was not understood. A reader of the output that leaves is no failure.

mod args;
mod attack;
mod calibrate;
mod evaluate;
mod explain;
mod floods;
mod folds;
mod generate;
mod join;
mod model;
mod progress;
mod score;
mod serve;
mod settings;
mod simulate;

use crate::{adversary::AdversaryError, batch::BatchError, config::Faults, detector::DetectorError};
use args::{Cli, Command, Common, Completions, Model};
use clap::{ArgMatches, CommandFactory, FromArgMatches, parser::ValueSource};
use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};
use tracing_subscriber::filter::LevelFilter;

/// How a run ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything was answered.
    Done,
    /// Some rows were refused.
    Refused,
    /// Stopped before its end.
    Stopped,
}

/// Input or arguments that were understood and cannot be used: exit code 1.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Runs one command and returns the exit code. Prints errors itself.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = without_empty_twins(Cli::command()).try_get_matches_from(args).and_then(|m| Ok((Cli::from_arg_matches(&m)?, m)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // A help text that nobody reads any more is no failure.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    let matches = deepest(&matches);
    let level = loudness(matches, &cli.common);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(use_colour())
        .without_time()
        .with_target(false)
        .init();
    match dispatch(cli, matches) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(1),
        Ok(Outcome::Stopped) => ExitCode::from(2),
        Err(error) if reader_has_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}", report(&error));
            ExitCode::from(if was_refused(&error) { 1 } else { 2 })
        }
    }
}

/// An empty variable is how compose files say "not set".
fn without_empty_twins(command: clap::Command) -> clap::Command {
    let unset = |arg: clap::Arg| match arg.get_env() {
        Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => arg.env(None),
        _ => arg,
    };
    command.mut_args(unset).mut_subcommands(without_empty_twins)
}

fn dispatch(cli: Cli, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    match cli.command {
        Command::Score(args) => score::run(args, &cli.common, matches),
        Command::Explain(args) => explain::run(&args, &cli.common, matches),
        Command::Serve(_) => serve::run(&cli.common, matches),
        Command::Evaluate(args) => evaluate::run(&args, &cli.common, matches),
        Command::Calibrate(args) => calibrate::run(&args, &cli.common, matches),
        Command::Generate(args) => generate::run(&args, &cli.common, matches),
        Command::Attack(args) => attack::run(&args, &cli.common, matches),
        Command::Simulate(args) => simulate::run(&args, &cli.common, matches),
        Command::Model(Model::Info { json }) => model::info(json, &cli.common, matches),
        Command::Completions(args) => completions(&args),
    }
}

fn completions(args: &Completions) -> anyhow::Result<Outcome> {
    // clap_complete panics where it cannot write, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "highwater", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Outcome::Done)
}

/// The matches of the subcommand; those of global flags are there too.
fn deepest(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, below)) => deepest(below),
        None => matches,
    }
}

/// A flag wins over the environment, and -q over -v.
fn loudness(matches: &ArgMatches, common: &Common) -> LevelFilter {
    let quiet_flag = common.quiet && matches.value_source("quiet") == Some(ValueSource::CommandLine);
    let verbose_flag = common.verbose > 0 && matches.value_source("verbose") == Some(ValueSource::CommandLine);
    match common.verbose {
        _ if quiet_flag || common.quiet && !verbose_flag => LevelFilter::ERROR,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    }
}

/// Whether people are told more than errors.
fn chatty() -> bool {
    LevelFilter::current() > LevelFilter::ERROR
}

/// Says what a person at a terminal may not know: that the program waits for them.
fn tell_if_typed() -> io::Result<()> {
    if chatty() && io::stdin().is_terminal() {
        writeln!(io::stderr(), "reading standard input; end it with Ctrl-D")?;
    }
    Ok(())
}

/// Whether standard error takes colour (`NO_COLOR`, `CLICOLOR_FORCE` and the terminal decide).
fn use_colour() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

fn reader_has_gone(error: &anyhow::Error) -> bool {
    let gone = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error
        .chain()
        .any(|cause| matches!(cause.downcast_ref(), Some(BatchError::BrokenPipe)) || cause.downcast_ref::<io::Error>().is_some_and(gone))
}

fn was_refused(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let other_model = matches!(cause.downcast_ref(), Some(DetectorError::OtherModel { .. }));
        other_model
            || cause.is::<Refused>()
            || cause.is::<Faults>()
            || cause.downcast_ref().is_some_and(BatchError::refused)
            || cause.downcast_ref().is_some_and(AdversaryError::refused)
    })
}

/// `error:` and what happened, `caused by:` where that says more, and `try:` for messages that start that way.
fn report(error: &anyhow::Error) -> String {
    let mut told = String::new();
    let mut advice = String::new();
    for message in error.chain().map(ToString::to_string) {
        if let Some(text) = message.strip_prefix("try: ") {
            advice = format!("\n  try: {text}");
        } else if told.is_empty() {
            told = format!("error: {message}");
        } else if !told.contains(&message) {
            told = format!("{told}\n  caused by: {message}");
        }
    }
    // A file name may hold anything.
    crate::text::harmless(&format!("{told}{advice}")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn clap_finds_no_fault_in_the_definitions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_of_a_file_is_a_flag_with_its_environment_twin() {
        let mut root = Cli::command();
        root.build();
        let all: Vec<_> = root.get_subcommands().flat_map(clap::Command::get_arguments).collect();
        for key in crate::config::KEYS {
            let arg = all.iter().find(|a| a.get_long() == Some(key)).unwrap_or_else(|| panic!("no flag --{key}"));
            assert_eq!(arg.get_env().and_then(|e| e.to_str()), Some(crate::config::variable(key).as_str()), "{key}");
        }
        for arg in all.iter().filter(|a| !["help", "version"].contains(&a.get_id().as_str()) && !a.is_positional()) {
            assert!(arg.get_env().is_some(), "{arg} has no environment twin");
        }
    }

    #[test]
    fn a_report_names_each_cause_once_and_the_advice_last() {
        let error = anyhow!("disk full").context("cannot write a.json: disk full").context("try: another disk");
        assert_eq!(report(&error), "error: cannot write a.json: disk full\n  try: another disk");
        let error = anyhow!("no such file").context("cannot read a.json");
        assert_eq!(report(&error), "error: cannot read a.json\n  caused by: no such file");
    }

    #[test]
    fn hostile_names_do_not_drive_the_terminal() {
        assert!(!report(&anyhow!("cannot read \u{1b}[2Jx")).contains('\u{1b}'));
    }
}
