//! What can be typed after `highwater generate --backend openai`: which server writes, and how it is asked.

use clap::{Args, ValueHint, builder::BoolishValueParser};
use std::path::PathBuf;

/// Options of a server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of `--backend openai` (a server that speaks the OpenAI protocol)")]
pub(crate) struct Server {
    /// What writes: model or openai [default: model]
    #[arg(long, value_name = "NAME", env = "HIGHWATER_BACKEND", hide_env = true)]
    pub(crate) backend: Option<String>,
    /// The server's address up to the version [default: https://api.openai.com/v1]
    #[arg(long, value_name = "URL", env = "HIGHWATER_BASE_URL", hide_env = true, value_hint = ValueHint::Url)]
    pub(crate) base_url: Option<String>,
    /// Which of its models
    #[arg(long, value_name = "NAME", env = "HIGHWATER_API_MODEL", hide_env = true)]
    pub(crate) api_model: Option<String>,
    /// Its protocol: chat or completions [default: chat]
    #[arg(long, value_name = "PROTOCOL", env = "HIGHWATER_API", hide_env = true)]
    pub(crate) api: Option<String>,
    /// The environment variable that holds the key [default: OPENAI_API_KEY]
    #[arg(long, value_name = "NAME", env = "HIGHWATER_API_KEY_ENV", hide_env = true)]
    pub(crate) api_key_env: Option<String>,
    /// Send no key
    #[arg(long, env = "HIGHWATER_NO_API_KEY", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) no_api_key: bool,
    /// What the server is told before everything else
    #[arg(long, value_name = "TEXT", env = "HIGHWATER_INSTRUCTION", hide_env = true)]
    pub(crate) instruction: Option<String>,
    /// Texts that show what is wanted, sent with every prompt: JSONL rows with a `text` and, if wanted, a `prompt`
    #[arg(long, num_args = 1.., value_name = "FILE", env = "HIGHWATER_EXAMPLES", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(crate) examples: Vec<PathBuf>,
    /// Requests at a time [default: 8]
    #[arg(long, value_name = "N", env = "HIGHWATER_PARALLEL", hide_env = true)]
    pub(crate) parallel: Option<usize>,
    /// Requests a minute at most
    #[arg(long, value_name = "N", env = "HIGHWATER_REQUESTS_PER_MINUTE", hide_env = true)]
    pub(crate) requests_per_minute: Option<f64>,
    /// Attempts for one text, with longer and longer waits between them [default: 6]
    #[arg(long, value_name = "N", env = "HIGHWATER_ATTEMPTS", hide_env = true)]
    pub(crate) attempts: Option<u32>,
    /// Seconds that one attempt may take [default: 120]
    #[arg(long, value_name = "SECONDS", env = "HIGHWATER_API_TIMEOUT", hide_env = true)]
    pub(crate) api_timeout: Option<f64>,
    /// Ask for answers piece by piece
    #[arg(long, env = "HIGHWATER_API_STREAM", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(crate) api_stream: bool,
    /// Price of a million tokens that are sent, to tell the cost
    #[arg(long, value_name = "PRICE", env = "HIGHWATER_PRICE_IN", hide_env = true)]
    pub(crate) price_in: Option<f64>,
    /// Price of a million tokens that are written
    #[arg(long, value_name = "PRICE", env = "HIGHWATER_PRICE_OUT", hide_env = true)]
    pub(crate) price_out: Option<f64>,
}

impl Server {
    /// Whether anything but the backend was said.
    pub(crate) fn said(&self) -> bool {
        let texts = [&self.base_url, &self.api_model, &self.api, &self.api_key_env, &self.instruction].iter().any(|text| text.is_some());
        let numbers = [self.requests_per_minute, self.api_timeout, self.price_in, self.price_out].iter().any(Option::is_some);
        let rest = self.parallel.is_some() || self.attempts.is_some() || !self.examples.is_empty();
        texts || numbers || rest || self.no_api_key || self.api_stream
    }
}
