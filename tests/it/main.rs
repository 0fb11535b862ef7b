//! Whole runs of the program, as a user sees them. One test binary.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calibrate;
mod checkpoint;
mod cli;
mod generate;
mod parity;
mod privacy;
mod score;
