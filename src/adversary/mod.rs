//! The other side: machine text to order, and attacks on the detector.
//!
//! Takes prompts and a language model; gives generated corpora with their provenance. Every choice is drawn from a seed, so that
//! a run repeats exactly. Must not print, and must not overwrite a file that it was not told to.

pub mod api;
pub mod attack;
pub mod evade;
mod random;

pub use random::Random;
