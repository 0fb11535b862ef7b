//! Faults planted in small sources: each must be found, and what only looks like a fault must not be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{all_wrong_arrows, dependencies, table, wrong_shape, wrong_table};

const LIB: &str = "\
//! | module | takes -> gives | may use | alone may name |
//! |---|---|---|---|
//! | [`stats`] | numbers | | statrs |
//! | [`model`] | text | | ort, half |
//! | [`score`] | scores | stats, model | |
//! | [`service`] | HTTP | score | axum, metrics |
//! | [`cli`] | commands | stats, model, score, service | clap |
";

/// The faults found in one file of these contents.
fn faults(file: &str, text: &str) -> Vec<String> {
    all_wrong_arrows(&[(Path::new("src").join(file), text.to_owned())], &table(LIB))
}

#[track_caller]
fn found(file: &str, text: &str, expected: &str) {
    let faults = faults(file, text);
    assert!(matches!(faults.as_slice(), [one] if one.contains(expected)), "{text}\nexpected one fault with `{expected}`, found {faults:?}");
}

#[track_caller]
fn clean(file: &str, text: &str) {
    assert_eq!(faults(file, text), Vec::<String>::new(), "{text}");
}

#[test]
fn an_arrow_to_a_module_outside_the_row_is_found() {
    found("stats/mod.rs", "use crate::score::Score;", "the row of `stats` does not list `score`");
    found("score/mod.rs", "\n\nfn f() -> crate::service::Wire { g() }", "src/score/mod.rs:3: `crate::service::Wire`");
    found("score/mod.rs", "use crate::{stats::{A, B}, model as m, service::{wire::{C}}};", "`crate::service::wire::C`");
    found("score/a/b.rs", "use super::super::super::service as s;", "does not list `service`");
    found("score.rs", "use super::service;", "does not list `service`");
    found("score/mod.rs", "mod inner { use super::super::service; }", "does not list `service`");
    found("score/mod.rs", "fn f() { info!(x = %crate::service::X, \"…\"); }", "does not list `service`");
    found("score/mod.rs", "#[derive(crate::service::Wire)] struct A;", "does not list `service`");
    found("score/mod.rs", "macro_rules! m { () => { $crate::service::f() } }", "does not list `service`");
    found("score/mod.rs", "fn f(a: Vec<crate::service::A>) {}", "does not list `service`");
    found("score/mod.rs", "type T = <u8 as crate::service::A>::B;", "does not list `service`");
    found("score/mod.rs", "use crate::r#service::A;", "does not list `service`");
    found("lib.rs", "fn f() { crate::stats::f() }", "the row of `lib.rs` does not list `stats`");
}

#[test]
fn the_root_of_the_crate_is_no_way_round() {
    found("score/mod.rs", "use crate::*;", "leads to the root");
    found("score/mod.rs", "use crate as root;", "leads to the root");
    found("score/mod.rs", "use crate::{self as root};", "leads to the root");
    found("score.rs", "use super::*;", "leads to the root");
    found("score/mod.rs", "use crate::Reexported;", "leads to the root");
}

#[test]
fn a_crate_of_another_module_is_found() {
    found("score/mod.rs", "use ort::session::Session;", "only `model` may name the crate `ort`");
    found("score/mod.rs", "use ort as o;", "only `model` may name the crate `ort`");
    found("score/mod.rs", "use {std::fmt, ::ort};", "only `model` may name the crate `ort`");
    found("score/mod.rs", "extern crate ort;", "only `model` may name the crate `ort`");
    found("score/mod.rs", "fn f() -> ::half::f16 { g() }", "only `model` may name the crate `half`");
    found("score/mod.rs", "#[derive(clap::Parser)] struct A;", "only `cli` may name the crate `clap`");
    found("score/mod.rs", "fn f() { metrics::counter!(\"a\"); }", "only `service` may name the crate `metrics`");
}

#[test]
fn main_opens_one_door() {
    clean("main.rs", "fn main() -> std::process::ExitCode { highwater::cli::main() }");
    found("main.rs", "use highwater::score::Score;", "main.rs may use only `cli`");
    found("main.rs", "use highwater::*;", "main.rs may use only `cli`");
    found("main.rs", "use clap::Parser;", "only `cli` may name the crate `clap`");
}

#[test]
fn what_only_looks_like_a_fault_is_none() {
    clean("score/mod.rs", "use crate::{stats::A, model::{B, C as D,},};");
    clean(
        "score/mod.rs",
        "//! See [`crate::service`].\n/* use ort; */ // crate::service::A\nconst A: &str = \"use ort::A; crate::service\";",
    );
    clean("score/mod.rs", "const A: &str = r#\"crate::service::A\"#; fn f<'ort>(a: &'ort u8) {}");
    clean("score/a.rs", "use super::b; use self::c::d; pub(in crate::score) fn f() {} pub(crate) fn g() {}");
    clean("score/a.rs", "fn f() { let half = 1.0; half.sqrt(); a::half::b(); Vec::<u8>::new(); }");
    clean("score/a.rs", "mod inner { use super::super::b; }");
    clean("model/mod.rs", "use ort::{session::Session, value}; use std::fmt; use serde_json::Value;");
}

#[test]
fn code_for_tests_is_free_and_only_that() {
    clean("score/mod.rs", "#[cfg(test)] mod tests { use crate::service::A; }");
    clean("score/mod.rs", "#[cfg(test)]\n#[allow(unused)]\nuse crate::{service::A};");
    clean("score/mod.rs", "#[cfg(test)] pub(crate) fn f() -> crate::service::A { crate::service::g() }");
    found("score/mod.rs", "#[cfg(test)] mod tests; use crate::service::A;", "does not list `service`");
    found("score/mod.rs", "#[cfg(test)] fn f() {} fn g() { crate::service::h() }", "does not list `service`");
    let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    let tests = file("src/score/tests.rs", "use crate::service::A;");
    let declared = [file("src/score/mod.rs", "#[cfg(test)]\nmod tests;"), tests.clone()];
    assert_eq!(all_wrong_arrows(&declared, &table(LIB)), Vec::<String>::new());
    let undeclared = [file("src/score/mod.rs", "mod tests;"), tests];
    assert_eq!(all_wrong_arrows(&undeclared, &table(LIB)).len(), 1);
}

#[test]
fn the_table_itself_is_checked() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let modules = set(&["stats", "model", "score", "service", "cli"]);
    let crates = dependencies("[dependencies]\nstatrs = \"1\"\nort = \"1\"\nhalf = \"1\"\naxum = \"1\"\nmetrics = \"1\"\nclap = \"1\"");
    assert_eq!(wrong_table(&table(LIB), &modules, &crates), Vec::<String>::new());
    let faults = |lib: &str, modules: &BTreeSet<String>, crates: &BTreeSet<String>| wrong_table(&table(lib), modules, crates).join("\n");
    let with = |names: &BTreeSet<String>, more: &str| names.iter().cloned().chain([more.to_owned()]).collect::<BTreeSet<_>>();
    assert!(faults(LIB, &with(&modules, "misc"), &crates).contains("src/misc has no row"));
    assert!(faults(LIB, &set(&["stats"]), &crates).contains("has a row `cli`"));
    assert!(faults(LIB, &modules, &with(&crates, "left_pad")).contains("`left_pad` is in no row"));
    assert!(faults(LIB, &modules, &set(&["ort"])).contains("`clap`, which is no dependency"));
    assert!(faults(&LIB.replace("| numbers | |", "| numbers | cli |"), &modules, &crates).contains("not a row above it"));
    assert!(faults(&LIB.replace("| clap |", "| clap, ort |"), &modules, &crates).contains("belongs to `cli` and to `model`"));
}

#[test]
fn long_and_silent_files_are_found() {
    let path = Path::new("src/a.rs");
    let file = |opening: usize, lines: usize| "//! a\n".repeat(opening) + &"x\n".repeat(lines - opening);
    assert_eq!(wrong_shape(path, &file(8, 500)), Vec::<String>::new());
    assert!(wrong_shape(path, &file(1, 501))[0].contains("501 lines"));
    assert!(wrong_shape(path, &file(0, 5))[0].contains("opens without"));
    assert!(wrong_shape(path, &file(9, 20))[0].contains("9 lines of `//!`"));
    assert!(wrong_shape(Path::new("src/main.rs"), &file(1, 41))[0].contains("at most 40"));
}
