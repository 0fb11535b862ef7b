//! Highwater says which texts a language model wrote, and when a stream is flooded by them.
//!
//! A text goes through the library from left to right, and the layout is that way:
//!
//! ```text
//! text ──> tokens ──> surprisal, rank, entropy, variance ──> statistics ──> score ──> p-value ──> verdict
//! text     model      model (ONNX Runtime)                   score          score     calibration verdict
//! ```
//!
//! One text, from the one door; [`model::load`] takes the place of the fake where a real model is wanted:
//!
//! ```
//! use highwater::{calibration::Calibration, detector::{Detector, Options}, model::Fake, text::Document};
//!
//! let (scorer, calibration) = (Box::new(Fake::default()), Calibration::for_fake());
//! let mut detector = Detector::new(scorer, calibration.into(), Options::default())?;
//! let assessments = detector.assess(&[Document::new("Some post that somebody, or something, wrote.")])?;
//! let one = &assessments[0];
//! println!("{:?}: p-value {:?} over {} tokens", one.verdict, one.p_value, one.tokens);
//! assert_eq!(one.tokens, 45);
//! # Ok::<(), highwater::detector::DetectorError>(())
//! ```
//!
//! | module | takes -> gives | may use | alone may name |
//! |---|---|---|---|
//! | [`stats`] | numbers -> p-values, e-values, e-processes, e-detectors, confidence sequences | | statrs |
//! | [`text`] | bytes -> `Document`, `StreamKey`, normalised text and what was changed | | compact_str, unicode_normalization, unicode_script, unicode_security, whatlang |
//! | [`model`] | text -> per-token scores; tokens -> what follows | | ort, ndarray, tokenizers, safetensors, prost, half, blake3 |
//! | [`score`] | per-token scores -> document statistics and one score | stats, model | |
//! | [`calibration`] | human and machine scores -> p-value, probability; load, save, fit | stats, score | |
//! | [`verdict`] | score and calibration -> `Assessment` | stats, score, calibration, text, model | |
//! | [`detector`] | the one door: `assess(&[Document]) -> Vec<Assessment>` | text, model, score, calibration, verdict | |
//! | [`flood`] | `observe(document, assessment, now) -> StreamStatus`; alarms, eviction, state as bytes and in a file | stats, text, verdict | hashbrown, redb |
//! | [`report`] | numbers -> one self-contained HTML page with plots | text | plotters |
//! | [`client`] | URL and bytes -> status and bytes, over HTTP and HTTPS | | ureq |
//! | [`adversary`] | prompts -> generated corpus, with its provenance; text -> attacked text | text, model, verdict, detector, client | chacha20 |
//! | [`batch`] | files in -> files out, constant memory, input order | text, verdict, detector | csv, flate2, parquet, zstd |
//! | [`service`] | HTTP: routes, wire types, worker, errors, metrics, page | text, verdict, flood, client, detector, model, calibration | axum, ring, tokio, hyper, hyper_util, http_body_util, futures_util, bytes, tower, tower_http, metrics, metrics_exporter_prometheus, utoipa |
//! | [`config`] | flags > env > file > defaults, one merge, all faults at once | | toml |
//! | [`cli`] | one file per subcommand | stats, text, model, score, calibration, verdict, detector, flood, batch, report, service, config, client, adversary | clap, clap_complete, anyhow, indicatif, anstream, anstyle, ctrlc, tracing_subscriber |
//!
//! `tests/layering.rs` reads this table: a module that names another one which its row does not list fails the test.

pub mod adversary;
pub mod batch;
pub mod calibration;
pub mod cli;
pub mod client;
pub mod config;
pub mod detector;
pub mod flood;
pub mod model;
pub mod report;
pub mod score;
pub mod service;
pub mod stats;
pub mod text;
pub mod verdict;
