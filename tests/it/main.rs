//! Whole runs of the program, as a user sees them. One test binary.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attack;
mod calibrate;
mod checkpoint;
mod cli;
mod evaluate;
mod explain;
mod generate;
mod parity;
mod privacy;
mod robust;
mod score;
mod served;
mod state;
