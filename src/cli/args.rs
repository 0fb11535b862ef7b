//! What can be typed: flags, their environment twins and their help. Knows no meaning: settings stay text until all layers are merged.

use super::attack::Names;
use crate::calibration::KindOf;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint, builder::BoolishValueParser};
use std::path::PathBuf;

mod generate;
mod server;
pub(super) use generate::Generate;
pub(super) use server::Server;

/// Tells which texts a language model probably wrote.
///
/// Highwater reads each text with a GPT-2 model and asks how predictable it is. Text by machines is often more predictable than text
/// by people. The answer is `machine`, `human`, or `abstain` where the evidence does not carry a verdict, always with the numbers behind it.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, max_term_width = 110)]
#[command(
    after_help = "Every flag has a twin in the environment: --batch-tokens is HIGHWATER_BATCH_TOKENS. A flag wins over the environment, \
the environment over the file of --config, and that over the default.\nExit codes: 0 done, 1 some input was refused, 2 the run failed.\n\n\
Example: highwater score posts.jsonl -o scored.jsonl"
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command. Settings are optional text here, so that all faults of all layers can be told at once.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options (each also from the environment: --fpr is HIGHWATER_FPR)")]
pub(super) struct Common {
    /// The model: `embedded`, a directory, or a Hugging Face id [default: embedded]
    ///
    /// A directory is any GPT-2 checkpoint of Hugging Face: config.json, model.safetensors, tokenizer.json.
    #[arg(long, global = true, value_name = "MODEL", env = "HIGHWATER_MODEL", hide_env = true, value_hint = ValueHint::DirPath)]
    model: Option<String>,
    /// Where the model runs: auto, cpu, cuda or cuda:N [default: auto]
    ///
    /// `auto` takes CUDA if this machine has it, otherwise the CPU. A device that is asked for by name and missing is an error.
    #[arg(long, global = true, value_name = "DEVICE", env = "HIGHWATER_DEVICE", hide_env = true)]
    device: Option<String>,
    /// How precisely the model computes: auto, int8, fp32 or fp16 [default: auto]
    ///
    /// `auto` is int8 on the CPU and fp16 on CUDA.
    #[arg(long, global = true, value_name = "PRECISION", env = "HIGHWATER_PRECISION", hide_env = true)]
    precision: Option<String>,
    /// Undo look-alike letters and hidden characters before scoring: on or off [default: on]
    #[arg(long, global = true, value_name = "ON|OFF", env = "HIGHWATER_NORMALIZE", hide_env = true)]
    normalize: Option<String>,
    /// Flag a text when at most this share of human texts scores as high [default: 0.01]
    #[arg(long, global = true, value_name = "RATE", env = "HIGHWATER_FPR", hide_env = true)]
    fpr: Option<String>,
    /// Threads on the CPU; 0 is one per core [default: 0]
    #[arg(long, global = true, value_name = "N", env = "HIGHWATER_THREADS", hide_env = true)]
    threads: Option<String>,
    /// Tokens that one run of the model takes; 0 chooses for the device [default: 0]
    #[arg(long, global = true, value_name = "N", env = "HIGHWATER_BATCH_TOKENS", hide_env = true)]
    batch_tokens: Option<String>,
    /// The calibration to judge by [default: the model's own]
    #[arg(long, global = true, value_name = "FILE", env = "HIGHWATER_CALIBRATION", hide_env = true, value_hint = ValueHint::FilePath)]
    calibration: Option<String>,
    /// The ONNX Runtime library [default: searched for]
    #[arg(long, global = true, value_name = "FILE", env = "HIGHWATER_ONNXRUNTIME", hide_env = true, value_hint = ValueHint::FilePath)]
    onnxruntime: Option<String>,
    /// Read settings from a TOML file
    ///
    /// One `name = value` a line; the names are those of the flags without the dashes, such as `batch-tokens = 4096`.
    #[arg(long, global = true, value_name = "FILE", env = "HIGHWATER_CONFIG", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// Print errors only
    #[arg(short, long, global = true, env = "HIGHWATER_QUIET", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(super) quiet: bool,
    /// Print more about the run; give it twice for still more
    #[arg(short, long, global = true, action = ArgAction::Count, env = "HIGHWATER_VERBOSE", hide_env = true)]
    pub(super) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Score(Score),
    Explain(Explain),
    Serve(Serve),
    Evaluate(Evaluate),
    Calibrate(Calibrate),
    Generate(Box<Generate>),
    Attack(Attack),
    Simulate(super::simulate::Simulate),
    /// Show the model in use
    #[command(subcommand)]
    Model(Model),
    Completions(Completions),
}

/// Score the texts in files, one answer per text
///
/// Answers keep the order of the documents. A row that cannot be read becomes an error row in its place, the run goes on, and the exit
/// code is 1. The extension of an input tells its format: .txt is one text, .jsonl, .csv and .parquet hold many; .gz and .zst are unpacked.
/// Standard input, and a file without an extension, is JSONL where it begins with `{`, and otherwise one text; --format says it outright.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  highwater score posts.jsonl -o scored.jsonl\n  zcat comments.txt.gz | highwater score --format lines")]
pub(super) struct Score {
    /// Files to score; `-`, or no file at all, is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) inputs: Vec<PathBuf>,
    /// Write the answers here; standard output otherwise
    #[arg(short, long, value_name = "FILE", env = "HIGHWATER_OUTPUT", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,
    /// Format of the inputs: text, lines, jsonl, csv or parquet [default: by extension]
    ///
    /// `text` is one text in the whole file, `lines` is one text per line.
    #[arg(long, value_name = "FORMAT", env = "HIGHWATER_FORMAT", hide_env = true)]
    format: Option<String>,
    /// Format of the answers: jsonl, csv or parquet [default: by the extension of --output, otherwise jsonl]
    #[arg(long, value_name = "FORMAT", env = "HIGHWATER_OUTPUT_FORMAT", hide_env = true)]
    output_format: Option<String>,
    /// Field or column with the text [default: text]
    #[arg(long, value_name = "NAME", env = "HIGHWATER_TEXT_FIELD", hide_env = true)]
    text_field: Option<String>,
    /// Field or column with the id [default: id]
    #[arg(long, value_name = "NAME", env = "HIGHWATER_ID_FIELD", hide_env = true)]
    id_field: Option<String>,
    /// Field or column with the stream keys [default: stream]
    #[arg(long, value_name = "NAME", env = "HIGHWATER_STREAM_FIELD", hide_env = true)]
    stream_field: Option<String>,
    /// Field or column with the time of posting [default: time]
    #[arg(long, value_name = "NAME", env = "HIGHWATER_TIME_FIELD", hide_env = true)]
    time_field: Option<String>,
    /// Add the scores of every token to each answer (JSONL only)
    #[arg(long, env = "HIGHWATER_TOKENS", hide_env = true, value_parser = BoolishValueParser::new())]
    tokens: bool,
    /// Go on with a run that was stopped; give the same inputs and options again
    #[arg(long, env = "HIGHWATER_RESUME", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(super) resume: bool,
    /// Overwrite the output if it exists
    #[arg(long, env = "HIGHWATER_FORCE", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(super) force: bool,
    /// Watch the streams for floods and write the alarms here, one JSON object a line
    #[arg(long, value_name = "FILE", env = "HIGHWATER_ALARMS", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) alarms: Option<PathBuf>,
    #[command(flatten)]
    watching: Watching,
}

/// How streams are watched for floods: the same for files and for the service.
#[derive(Debug, Args)]
struct Watching {
    /// Documents between two false flood alarms of one stream, on average and at least [default: 10000]
    #[arg(long, value_name = "DOCUMENTS", env = "HIGHWATER_ARL", hide_env = true)]
    arl: Option<String>,
    /// Share of machine text in a stream that is no flood, from 0 to 0.9 [default: 0]
    #[arg(long, value_name = "SHARE", env = "HIGHWATER_BASE_SHARE", hide_env = true)]
    base_share: Option<String>,
    /// Streams that are remembered; beyond them the one with the least evidence is forgotten [default: 1000000]
    #[arg(long, value_name = "N", env = "HIGHWATER_MAX_STREAMS", hide_env = true)]
    max_streams: Option<String>,
}

/// Show one text with its evidence, word by word
///
/// Each token is coloured by its rank: how many tokens the model held to be at least as likely in its place. Below the text stand the
/// statistics and the verdict in plain words. Without colour the ranks are shown by brackets.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  highwater explain post.txt\n  highwater explain post.txt --html report.html")]
pub(super) struct Explain {
    /// The text; `-`, or no file at all, is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) input: Option<PathBuf>,
    /// Write a self-contained web page instead
    #[arg(long, value_name = "FILE", env = "HIGHWATER_HTML", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) html: Option<PathBuf>,
}

/// Run the HTTP service
///
/// Prints the address when it is ready. On SIGTERM or Ctrl-C it takes no new requests, answers those it has taken, and ends; what it has no
/// time to answer is lost, and the exit code is 2.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  highwater serve --listen 127.0.0.1:8080\n  \
curl -d '{\"text\":\"Some post.\"}' http://127.0.0.1:8080/v1/assess")]
pub(super) struct Serve {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", env = "HIGHWATER_LISTEN", hide_env = true)]
    listen: Option<String>,
    /// Ask every client for this key; better set HIGHWATER_API_KEY, as other users of this machine can see flags
    #[arg(long, value_name = "KEY", env = "HIGHWATER_API_KEY", hide_env = true, hide_env_values = true)]
    api_key: Option<String>,
    /// Longest request body, bytes or with K, M, G [default: 4M]
    #[arg(long, value_name = "BYTES", env = "HIGHWATER_MAX_BODY", hide_env = true)]
    max_body: Option<String>,
    /// How much text may wait for the model, bytes or with K, M, G; more is refused at once [default: 8M]
    #[arg(long, value_name = "BYTES", env = "HIGHWATER_QUEUE", hide_env = true)]
    queue: Option<String>,
    /// How long to go on answering after SIGTERM or Ctrl-C, seconds; a second one ends it at once [default: 300]
    #[arg(long, value_name = "SECONDS", env = "HIGHWATER_DRAIN", hide_env = true)]
    drain: Option<String>,
    /// Keep the evidence of floods, the alarms and feedback in this file, so that they outlive the process
    #[arg(long, value_name = "FILE", env = "HIGHWATER_STATE", hide_env = true, value_hint = ValueHint::FilePath)]
    state: Option<String>,
    #[command(flatten)]
    watching: Watching,
    /// Post every alarm to this address; several with commas or by giving it again
    #[arg(long, value_name = "URL", env = "HIGHWATER_WEBHOOK", hide_env = true, value_delimiter = ',', hide_env_values = true)]
    webhook: Vec<String>,
    /// Sign what is posted with this secret; better set HIGHWATER_WEBHOOK_SECRET, as other users of this machine can see flags
    #[arg(long, value_name = "SECRET", env = "HIGHWATER_WEBHOOK_SECRET", hide_env = true, hide_env_values = true)]
    webhook_secret: Option<String>,
}

/// Measure how well labelled texts are told apart
///
/// The files hold JSONL rows with a `text` and a `label`, `human` or `machine`, and if they like `domain`, `generator`, `attack`, and `pair`,
/// which ties a human text to the machine texts and altered copies made from it. Prints AUROC, the shares of machine texts found at false-alarm
/// rates of 1% and 5%, and the human texts flagged, by file, domain, generator, attack and length, with intervals that count documents.
/// Rows that `calibrate --scored` wrote are taken as they are: their figures are by fits that have not seen their data set.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  highwater evaluate labelled.jsonl --report evaluation.html")]
pub(super) struct Evaluate {
    /// Files with labelled texts
    #[arg(value_name = "LABELLED.jsonl", required = true, value_hint = ValueHint::FilePath)]
    pub(super) inputs: Vec<PathBuf>,
    /// Write the figures here as JSON
    #[arg(long, value_name = "FILE", env = "HIGHWATER_JSON", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) json: Option<PathBuf>,
    /// Write the figures and plots here, as one self-contained page
    #[arg(long, value_name = "FILE.html", env = "HIGHWATER_REPORT", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) report: Option<PathBuf>,
}

/// Fit a calibration from texts whose writers are known
///
/// The files hold JSONL rows with a `text`. Where rows have a `label`, --human takes those with `human` and --machine those with
/// `machine`, so a mixed file can be given to both. Without machine texts the calibration still gives p-values, but no probability. Rows that
/// --scored wrote are taken as they are, without scoring: other kinds, or a few files more, take seconds.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  highwater calibrate --human ours.jsonl --machine generated.jsonl -o calibration.json --profile our-forum"
)]
pub(super) struct Calibrate {
    /// Files with texts by people
    #[arg(long, required = true, num_args = 1.., value_name = "FILE", env = "HIGHWATER_HUMAN", hide_env = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) human: Vec<PathBuf>,
    /// Files with texts by machines
    #[arg(long, num_args = 1.., value_name = "FILE", env = "HIGHWATER_MACHINE", hide_env = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) machine: Vec<PathBuf>,
    /// Write the calibration here
    #[arg(short, long, value_name = "FILE", env = "HIGHWATER_OUTPUT", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) output: PathBuf,
    /// Overwrite the calibration if it exists
    #[arg(long, env = "HIGHWATER_FORCE", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(super) force: bool,
    /// Score each text by branches that were tuned without it: DIR/fold-0/branches.safetensors and so on
    ///
    /// For makers of a model with branches. DIR/folds.json says of each text which fold held it out; models/README.md has its form.
    #[arg(long, value_name = "DIR", env = "HIGHWATER_FOLDS", hide_env = true, hide_short_help = true, value_hint = ValueHint::DirPath)]
    pub(super) folds: Option<PathBuf>,
    /// A kind of machine text that gets a score of its own, for streams: its name, and the files of --machine that hold it, without endings
    ///
    /// Floods are mostly of one kind, and the score made for it finds them sooner. Verdicts on single texts do not look at it.
    /// Give it up to four times; in the environment a `;` stands between several.
    #[arg(long = "kind", value_name = "NAME=FILE[,FILE…]", value_parser = kind_of, value_delimiter = ';', env = "HIGHWATER_KIND", hide_env = true)]
    #[arg(hide_short_help = true)]
    pub(super) kinds: Vec<KindOf>,
    /// Files of --machine, without endings, that only the scores of their --kind are fitted on, and not the one that gives verdicts
    ///
    /// For texts that are unlike what most machines write, such as those of a Markov chain: in one score for all they do more harm than good.
    /// A kind of nothing but such files is watched for with a profile only: people of a community not seen before can be taken for it.
    #[arg(long, value_name = "FILE[,FILE…]", value_delimiter = ',', env = "HIGHWATER_APART", hide_env = true, hide_short_help = true)]
    pub(super) apart: Vec<String>,
    /// Its name in answers [default: the file's name without its ending]
    #[arg(long, alias = "name", value_name = "NAME", env = "HIGHWATER_PROFILE", hide_env = true)]
    pub(super) profile: Option<String>,
    /// The calibration that a profile leans on: `embedded` or a file [default: that of --calibration, or the model's own]
    #[arg(long, value_name = "embedded|FILE", env = "HIGHWATER_BASE", hide_env = true, conflicts_with = "machine")]
    pub(super) base: Option<String>,
    /// Write each text's statistics here, with its score and p-value by a fit without its file, as JSONL
    ///
    /// `highwater simulate` reads it, and shows by it how soon a flood of a new kind is found; `calibrate` reads it in place of the texts.
    #[arg(long, value_name = "FILE", env = "HIGHWATER_SCORED", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) scored: Option<PathBuf>,
    /// Write what the fit can do here, as JSON
    #[arg(long, value_name = "FILE", env = "HIGHWATER_JSON", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) json: Option<PathBuf>,
    /// Write what the fit can do here, as a page
    #[arg(long, value_name = "FILE", env = "HIGHWATER_REPORT", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) report: Option<PathBuf>,
}

/// `base-model=gpt2,opt`: the kind and its data sets.
fn kind_of(s: &str) -> Result<KindOf, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let parsed = s
        .split_once('=')
        .map(|(name, families)| KindOf { name: name.to_owned(), families: families.split(',').map(str::to_owned).collect() });
    let sound = |kind: &KindOf| {
        (1..=40).contains(&kind.name.len()) && kind.name.chars().all(plain) && kind.families.iter().all(|family| !family.is_empty())
    };
    parsed.filter(sound).ok_or_else(|| {
        format!("`{s}` is no kind such as base-model=gpt2,opt: a name of up to 40 letters, digits and -_. and the files of --machine without endings")
    })
}

/// Make attacked copies of texts, to see what a detector withstands
///
/// The attacks are those of the RAID benchmark under its names, `letter_case` and `links`; several, with commas, are made one after the other on
/// the same text. `evade` is another thing: it searches for the few edits after which a text is no longer flagged. Rows keep all the fields of
/// JSONL and CSV files (not those of Parquet), with the text under `text` and its id under `id`; `attack`, `base_id`, `seed` and what was
/// changed are added. Of several files, `pair` begins with the number of its file. The same seed and input give the same output, whatever
/// the machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  highwater attack homoglyph,whitespace posts.jsonl -o attacked.jsonl --seed 7\n  \
highwater attack --each number,misspelling,upper_lower posts.jsonl --rate raid --pairs -o attacked.jsonl\n  \
highwater attack evade posts.jsonl -o evaded.jsonl --budget 200 --max-edits 0.1 --max-surprisal 0.3")]
pub(super) struct Attack {
    /// The attacks, with commas between them, or `evade`
    #[arg(value_name = "KIND[,KIND…]", value_parser = Names::of_attacks())]
    pub(super) kinds: Names,
    /// Files with texts, as `score` reads them; `-`, or no file at all, is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) inputs: Vec<PathBuf>,
    /// Write the rows here, as JSONL; standard output otherwise
    #[arg(short, long, value_name = "FILE", env = "HIGHWATER_OUTPUT", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,
    /// Share of the places that are changed, from 0 to 1, or `raid` for that benchmark's shares [default: 0.5; homoglyph and letter_case: 1]
    #[arg(long, value_name = "SHARE", env = "HIGHWATER_RATE", hide_env = true)]
    pub(super) rate: Option<String>,
    /// Key of all randomness; another seed gives other variants [default: 0]
    #[arg(long, value_name = "N", env = "HIGHWATER_SEED", hide_env = true)]
    seed: Option<String>,
    /// Write each original beside its variants
    #[arg(long, env = "HIGHWATER_PAIRS", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(super) pairs: bool,
    /// Make one variant for each attack, instead of all attacks on one text
    #[arg(long, env = "HIGHWATER_EACH", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(super) each: bool,
    /// Format of the inputs: text, lines, jsonl, csv or parquet [default: by extension]
    #[arg(long, value_name = "FORMAT", env = "HIGHWATER_FORMAT", hide_env = true)]
    format: Option<String>,
    /// Field or column with the text [default: text]
    #[arg(long, value_name = "NAME", env = "HIGHWATER_TEXT_FIELD", hide_env = true)]
    text_field: Option<String>,
    /// Field or column with the id [default: id]
    #[arg(long, value_name = "NAME", env = "HIGHWATER_ID_FIELD", hide_env = true)]
    id_field: Option<String>,
    /// Overwrite the output if it exists
    #[arg(long, env = "HIGHWATER_FORCE", hide_env = true, value_parser = BoolishValueParser::new())]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) evade: Evade,
}

/// Options of `attack evade`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of `evade`")]
pub(super) struct Evade {
    /// Variants of each text that the detector is asked about [default: 200]
    #[arg(long, value_name = "N", env = "HIGHWATER_BUDGET", hide_env = true)]
    pub(super) budget: Option<usize>,
    /// Share of a text's words that may be changed [default: 0.15]
    #[arg(long, value_name = "SHARE", env = "HIGHWATER_MAX_EDITS", hide_env = true)]
    pub(super) max_edits: Option<f64>,
    /// How much the mean surprisal may rise, nats per token [default: 0.5]
    #[arg(long, value_name = "NATS", env = "HIGHWATER_MAX_SURPRISAL", hide_env = true, allow_negative_numbers = true)]
    pub(super) max_surprisal: Option<f64>,
    /// How variants are found: token-search or best-of-n [default: token-search]
    #[arg(long, value_name = "METHOD", env = "HIGHWATER_METHOD", hide_env = true)]
    pub(super) method: Option<String>,
    /// Attacks whose single edits are tried [default: synonym,misspelling,article_deletion,alternative_spelling]
    #[arg(long, value_name = "KIND[,KIND…]", value_parser = Names::of_moves(), env = "HIGHWATER_MOVES", hide_env = true)]
    pub(super) moves: Option<Names>,
    /// Write the report here as JSON too
    #[arg(long, value_name = "FILE", env = "HIGHWATER_JSON", hide_env = true, value_hint = ValueHint::FilePath)]
    pub(super) json: Option<PathBuf>,
}

/// About models.
#[derive(Debug, Subcommand)]
pub(super) enum Model {
    /// Show the model, its device, its calibration and its limits
    #[command(after_help = "Example:\n  highwater model info --model ./my-gpt2")]
    Info {
        /// Print JSON instead of a table
        #[arg(long, env = "HIGHWATER_JSON", hide_env = true, value_parser = BoolishValueParser::new())]
        json: bool,
    },
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  highwater completions bash > ~/.local/share/bash-completion/completions/highwater")]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}
