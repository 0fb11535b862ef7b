//! The other side: machine text to order, and attacks on the detector.
//!
//! Takes prompts and a language model; gives generated corpora with their provenance. Every choice is drawn from a seed, so that
//! a run repeats exactly. Must not print, and must not overwrite a file that it was not told to.

pub mod api;
pub mod attack;
mod beam;
mod corpus;
mod error;
pub mod evade;
pub mod flood;
mod output;
mod prompts;
mod random;
mod sampling;
mod writer;

pub use beam::Beams;
pub use corpus::{Length, Order, Progress, Row, Summary, Watch, describe, rows, run};
pub use error::AdversaryError;
pub use flood::Plan;
pub use output::{Format, Output};
pub use prompts::{Human, Prompt, first_words, humans, machines, prompts, texts};
pub use random::Random;
pub use sampling::{History, Penalties, Sampler, Sampling, greedy};
pub use writer::{Decoding, Desk, End, Request, Writing, Written, write};

#[cfg(test)]
mod tests;
