//! What can be typed after `highwater generate`.

use super::server::Server;
use clap::{Args, ValueHint, builder::BoolishValueParser};
use std::path::PathBuf;

/// Write texts with the model: a corpus whose every row says how it was made
///
/// Texts are drawn token by token from the model's probabilities, which the options below narrow or change; they do the same as those of
/// `transformers`, in the same order. The same options, model and --seed give the same texts, whatever the batch and the number of threads.
/// A text longer than the model's context goes on in windows that overlap by half.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
highwater generate -n 1000 --top-p 0.95 -o machine.jsonl\n  \
highwater generate --prompt \"The best pizza in town\" -n 5 --as text\n  \
highwater generate --backend openai --api-model gpt-4o-mini --prompt \"Write a hotel review\" -n 100 -o server.jsonl\n  \
highwater generate --prompt-words 8 --humans posts.jsonl -o pairs.jsonl\n  \
highwater generate --flood rate=20/s,share=0.4,onset=60s --humans posts.jsonl --to http://127.0.0.1:8080/v1/stream")]
pub(crate) struct Generate {
    /// How many texts [default: one for each prompt]
    #[arg(short = 'n', long, value_name = "N", env = "HIGHWATER_NSAMPLES", hide_env = true)]
    nsamples: Option<String>,
    /// What every text begins with
    #[arg(long, visible_alias = "prefix", value_name = "TEXT", env = "HIGHWATER_PROMPT", hide_env = true)]
    pub(crate) prompt: Option<String>,
    /// What texts begin with, taken in turn: one prompt a line, or JSONL rows with a `prompt` or a `text`
    #[arg(long, value_name = "FILE", env = "HIGHWATER_PROMPTS", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(crate) prompts: Option<PathBuf>,
    /// Begin with the first K words of each text of --humans, pair with it, and write as many tokens as it has
    #[arg(long, value_name = "K", env = "HIGHWATER_PROMPT_WORDS", hide_env = true)]
    prompt_words: Option<String>,
    /// Human texts: JSONL rows with a `text`, or one text a line
    #[arg(long, value_name = "FILE", env = "HIGHWATER_HUMANS", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(crate) humans: Option<PathBuf>,
    /// Most tokens to write [default: 256]
    #[arg(long, value_name = "N", env = "HIGHWATER_LENGTH", hide_env = true)]
    length: Option<String>,
    /// Draw the length of each text from the lengths of these texts: JSONL rows with a `text`, or one text a line
    #[arg(long, value_name = "FILE", env = "HIGHWATER_LENGTHS", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(crate) lengths: Option<PathBuf>,
    /// Whether texts hold what they begin with: on or off [default: on]
    #[arg(long, value_name = "ON|OFF", env = "HIGHWATER_INCLUDE_PREFIX", hide_env = true)]
    include_prefix: Option<String>,
    /// Key of all randomness; another seed gives other texts [default: 0]
    #[arg(long, value_name = "N", env = "HIGHWATER_SEED", hide_env = true)]
    seed: Option<String>,
    /// Texts in work at a time [default: 16]
    #[arg(long, alias = "batch-size", value_name = "N", env = "HIGHWATER_BATCH", hide_env = true)]
    batch: Option<String>,
    /// Above 1 flattens the model's probabilities, below 1 sharpens them [default: 1]
    #[arg(long, value_name = "T", allow_hyphen_values = true, env = "HIGHWATER_TEMPERATURE", hide_env = true)]
    temperature: Option<String>,
    /// Draw from the K most probable tokens only
    #[arg(long, value_name = "K", env = "HIGHWATER_TOP_K", hide_env = true)]
    top_k: Option<String>,
    /// Draw from the most probable tokens that together hold this probability only
    #[arg(long, value_name = "P", env = "HIGHWATER_TOP_P", hide_env = true)]
    top_p: Option<String>,
    /// Draw from tokens at least this share as probable as the most probable one only
    #[arg(long, value_name = "P", env = "HIGHWATER_MIN_P", hide_env = true)]
    min_p: Option<String>,
    /// Draw from the tokens of the most typical surprisal that together hold this probability only
    #[arg(long, value_name = "P", env = "HIGHWATER_TYPICAL_P", hide_env = true)]
    typical_p: Option<String>,
    /// Above 1 makes what was written before, or prompted, less probable
    #[arg(long, value_name = "X", env = "HIGHWATER_REPETITION_PENALTY", hide_env = true)]
    repetition_penalty: Option<String>,
    /// Taken off a token's logit for each time that it was written
    #[arg(long, value_name = "X", allow_hyphen_values = true, env = "HIGHWATER_FREQUENCY_PENALTY", hide_env = true)]
    frequency_penalty: Option<String>,
    /// Write no run of N tokens twice
    #[arg(long, value_name = "N", env = "HIGHWATER_NO_REPEAT_NGRAM", hide_env = true)]
    no_repeat_ngram: Option<String>,
    /// Take the most probable token every time
    #[arg(long, env = "HIGHWATER_GREEDY", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) greedy: bool,
    /// Search for the most probable text, keeping N at a time
    #[arg(long, value_name = "N", env = "HIGHWATER_BEAMS", hide_env = true)]
    beams: Option<String>,
    /// With --beams: above 0 favours longer texts, below 0 shorter ones [default: 1]
    #[arg(long, value_name = "X", allow_hyphen_values = true, env = "HIGHWATER_LENGTH_PENALTY", hide_env = true)]
    length_penalty: Option<String>,
    /// End a text before this; may be given several times
    #[arg(long, visible_alias = "truncate", value_name = "TEXT", env = "HIGHWATER_STOP", hide_env = true)]
    pub(crate) stop: Vec<String>,
    /// Never write the end-of-text token, so that every text is as long as --length says
    #[arg(long, env = "HIGHWATER_IGNORE_END", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) ignore_end: bool,
    /// Write to this file, or with --as files into this folder; standard output otherwise
    #[arg(short, long, value_name = "FILE", env = "HIGHWATER_OUTPUT", hide_env = true, value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,
    /// What to write: jsonl with all that is known, text with a line between texts, or files, one a text [default: jsonl]
    #[arg(long = "as", id = "as", value_name = "FORMAT", env = "HIGHWATER_AS", hide_env = true)]
    form: Option<String>,
    /// With --as text: the line after each text [default: ====================]
    #[arg(long, visible_alias = "sample-delim", value_name = "TEXT", env = "HIGHWATER_DELIMITER", hide_env = true)]
    pub(crate) delimiter: Option<String>,
    /// What the texts are about, for their rows
    #[arg(long, value_name = "NAME", env = "HIGHWATER_DOMAIN", hide_env = true)]
    pub(crate) domain: Option<String>,
    /// Go on with the output of a stopped run
    #[arg(long, env = "HIGHWATER_RESUME", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) resume: bool,
    /// Overwrite the output if it exists
    #[arg(long, env = "HIGHWATER_FORCE", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) force: bool,
    /// Post human and machine texts over time: rate=20/s,share=0.4,onset=60s and, if wanted, duration=120s,stream=KEY
    ///
    /// Before the onset all posts are human texts, after it the share is by the machine; posts arrive at random times at this rate on
    /// average. The duration is twice the onset unless said. Texts are written before the first one is posted.
    #[arg(long, value_name = "PLAN", env = "HIGHWATER_FLOOD", hide_env = true)]
    flood: Option<String>,
    /// With --flood: a service's /v1/stream, posted to as time goes by, or a file, written at once with times from 2026-01-01 on
    #[arg(long, value_name = "URL|FILE", env = "HIGHWATER_TO", hide_env = true)]
    pub(crate) to: Option<String>,
    /// With --flood: take machine texts from this file instead of writing them
    #[arg(long, value_name = "FILE", env = "HIGHWATER_MACHINES", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(crate) machines: Option<PathBuf>,
    /// With --flood: the service's key; better set HIGHWATER_API_KEY, as other users of this machine can see flags
    #[arg(long, value_name = "KEY", env = "HIGHWATER_API_KEY", hide_env = true, hide_env_values = true)]
    api_key: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}
