//! Whole runs of the program, as a user sees them. One test binary.

mod cli;
