//! Names of attacks with commas between them, each checked, and told what it is near to where it is none.

use crate::adversary::attack::Attack;
use clap::{
    Arg, Command, Error,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use std::ffi::OsStr;

/// What stands for the search, beside the attacks.
const EVADE: &str = "evade";

/// A list of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Names(Vec<String>);

impl Names {
    /// Parses attacks, and `evade`.
    pub(in crate::cli) fn of_attacks() -> Parser {
        Parser(PossibleValuesParser::new(Attack::ALL.map(Attack::name).into_iter().chain([EVADE])))
    }

    /// Parses what `evade` may try: `paraphrase` has no single edits.
    pub(in crate::cli) fn of_moves() -> Parser {
        Parser(PossibleValuesParser::new(Attack::ALL.into_iter().filter(|attack| *attack != Attack::Paraphrase).map(Attack::name)))
    }

    /// The attacks among them, in order.
    pub(super) fn attacks(&self) -> Vec<Attack> {
        self.0.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether `evade` is among them.
    pub(super) fn evade(&self) -> bool {
        self.0.iter().any(|name| name == EVADE)
    }
}

/// Splits at commas and checks each name.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Parser(PossibleValuesParser);

impl TypedValueParser for Parser {
    type Value = Names;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Names, Error> {
        let names = value.to_string_lossy();
        names.split(',').map(|name| self.0.parse_ref(command, arg, OsStr::new(name.trim()))).collect::<Result<_, _>>().map(Names)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}
