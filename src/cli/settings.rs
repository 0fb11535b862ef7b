//! From what was typed, the environment and the file to typed settings. Knows what each value means; every fault is told at once.

use super::{Refused, args::Common};
use crate::{
    batch::{Fields, InputFormat, OutputFormat},
    client,
    config::{self, Layer, Merge, Origin},
    detector, flood,
    model::{BranchSource, Device, LoadOptions, ModelSource, Precision},
    service::{ApiKey, Settings, Timeouts, Webhook},
    verdict::Policy,
};
use clap::{ArgMatches, parser::ValueSource};
use std::{
    hash::{BuildHasher, RandomState},
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

/// What every command that loads a model needs.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) load: LoadOptions,
    pub(super) detector: detector::Options,
    /// The calibration that the user named.
    pub(super) calibration: Option<PathBuf>,
}

/// How streams are watched.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) settings: flood::Settings,
    /// Whether the user said anything about it.
    pub(super) asked_for: bool,
}

/// What `score` reads and writes, as far as it may stand in a file.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) input_format: Option<InputFormat>,
    pub(super) output_format: Option<OutputFormat>,
    pub(super) fields: Fields,
    pub(super) with_tokens: bool,
    /// Whether the user named the field with the stream keys: then streams are watched.
    pub(super) stream_field_named: bool,
}

/// The layers of this run: flags and environment from `matches`, and the file of `--config`.
pub(super) fn layers(matches: &ArgMatches, common: &Common) -> anyhow::Result<Merge> {
    let (mut flags, mut env) = (Layer::new(Origin::Flag), Layer::new(Origin::Env));
    for key in config::KEYS {
        let id = key.replace('-', "_");
        let Ok(Some(values)) = matches.try_get_raw(&id) else { continue };
        // What may be given several times is a list with commas everywhere else.
        let value = values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",");
        match matches.value_source(&id) {
            Some(ValueSource::CommandLine) => flags.set(key, value),
            // An empty variable is how compose files say "not set".
            Some(ValueSource::EnvVariable) if !value.is_empty() => env.set(key, value),
            _ => {}
        }
    }
    let merge = Merge::default().below(flags).below(env);
    let Some(path) = &common.config else { return Ok(merge) };
    let unreadable = |error| Refused(format!("cannot read the configuration file {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(merge.below_file(path.clone(), &text))
}

impl Setup {
    /// Takes the common settings out of the merge.
    pub(super) fn take(merge: &mut Merge) -> Self {
        let defaults = LoadOptions::default();
        let load = LoadOptions {
            source: merge.take("model", ModelSource::from_str).unwrap_or(defaults.source),
            device: merge.take("device", Device::from_str).unwrap_or(defaults.device),
            precision: merge.take("precision", Precision::from_str).unwrap_or(defaults.precision),
            threads: merge.take("threads", |s| whole(s, 1024)).unwrap_or(defaults.threads),
            batch_tokens: merge.take("batch-tokens", |s| whole(s, 1 << 24)).unwrap_or(defaults.batch_tokens),
            onnxruntime: merge.take("onnxruntime", |s| Ok(PathBuf::from(s))),
            branches: defaults.branches,
            cache: defaults.cache,
        };
        let policy = Policy::default();
        let policy = Policy { fpr: merge.take("fpr", rate).unwrap_or(policy.fpr), ..policy };
        let normalize = merge.take("normalize", on_off).unwrap_or(true);
        let calibration = merge.take("calibration", existing_file);
        Self { load, detector: detector::Options { policy, normalize }, calibration }
    }

    /// The same with other branches for the model, which are used once and not worth a file of converted weights.
    pub(super) fn with_branches(&self, file: PathBuf) -> Self {
        Self { load: LoadOptions { branches: BranchSource::File(file), cache: None, ..self.load.clone() }, ..self.clone() }
    }
}

impl Rows {
    /// Takes the settings of `score` out of the merge.
    pub(super) fn take(merge: &mut Merge) -> Self {
        let names = Fields::default();
        let stream = merge.take("stream-field", field);
        Self {
            stream_field_named: stream.is_some(),
            input_format: merge.take("format", input_format),
            output_format: merge.take("output-format", output_format),
            fields: Fields {
                text: merge.take("text-field", field).unwrap_or(names.text),
                id: merge.take("id-field", field).unwrap_or(names.id),
                stream: stream.unwrap_or(names.stream),
                time: merge.take("time-field", field).unwrap_or(names.time),
            },
            with_tokens: merge.take("tokens", on_off).unwrap_or(false),
        }
    }
}

impl Watching {
    /// Takes the settings of the flood monitor out of the merge.
    pub(super) fn take(merge: &mut Merge) -> Self {
        let defaults = flood::Settings::default();
        let arl = merge.take("arl", |s| number(s, "documents", 2.0..=1e15));
        let base_share = merge.take("base-share", |s| number(s, "a share", 0.0..=0.9));
        let max_keys = merge
            .take("max-streams", |s| whole(s, 100_000_000).and_then(|n| if n < 16 { Err(format!("`{n}` is below 16")) } else { Ok(n) }));
        let asked_for = arl.is_some() || base_share.is_some() || max_keys.is_some();
        let settings = flood::Settings {
            arl: arl.unwrap_or(defaults.arl),
            base_share: base_share.unwrap_or(defaults.base_share),
            max_keys: max_keys.unwrap_or(defaults.max_keys),
            // A sender who knew it could make keys collide.
            seed: RandomState::new().hash_one(0),
            ..defaults
        };
        Self { settings, asked_for }
    }
}

/// Takes the settings of `serve` out of the merge.
pub(super) fn service(merge: &mut Merge) -> Settings {
    let defaults = Settings::default();
    let seconds = |s: &str| whole(s, 86_400).and_then(|n| if n == 0 { Err("at least one second".into()) } else { Ok(n as u64) });
    let drain = merge.take("drain", seconds);
    let secret = merge.take("webhook-secret", |s| Ok(s.to_owned()));
    let webhooks = merge.take("webhook", webhooks).unwrap_or_default();
    if secret.is_some() && webhooks.is_empty() {
        merge.fault("--webhook-secret signs what is sent to --webhook URL, and there is none");
    }
    Settings {
        webhooks: webhooks.into_iter().map(|url| Webhook { url, secret: secret.clone() }).collect(),
        listen: merge.take("listen", address).unwrap_or(defaults.listen),
        api_key: merge.take("api-key", api_key),
        max_body: merge.take("max-body", bytes).unwrap_or(defaults.max_body),
        queue_bytes: merge.take("queue", bytes).unwrap_or(defaults.queue_bytes),
        timeouts: Timeouts { drain: drain.map_or(defaults.timeouts.drain, Duration::from_secs), ..defaults.timeouts },
        ..defaults
    }
}

/// Addresses with commas between them.
fn webhooks(s: &str) -> Result<Vec<String>, String> {
    let urls: Vec<_> = s.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect();
    urls.iter().try_for_each(|url| client::check_url(url))?;
    if urls.is_empty() { Err("no address is given".into()) } else { Ok(urls) }
}

fn number(s: &str, what: &str, range: RangeInclusive<f64>) -> Result<f64, String> {
    let found = s.parse().ok().filter(|n| range.contains(n));
    found.ok_or_else(|| format!("`{s}` is not {what} from {} to {}", range.start(), range.end()))
}

fn rate(s: &str) -> Result<f64, String> {
    let inside = |rate: &f64| *rate > 0. && *rate < 1.;
    s.parse().ok().filter(inside).ok_or_else(|| format!("`{s}` is no rate above 0 and below 1, such as 0.01"))
}

pub(super) fn whole(s: &str, most: usize) -> Result<usize, String> {
    s.parse().ok().filter(|n| *n <= most).ok_or_else(|| format!("`{s}` is no whole number from 0 to {most}"))
}

pub(super) fn on_off(s: &str) -> Result<bool, String> {
    match s.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err(format!("`{s}` is neither on nor off")),
    }
}

fn existing_file(s: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(s);
    if path.is_file() { Ok(path) } else { Err(format!("there is no file `{s}`")) }
}

fn field(s: &str) -> Result<String, String> {
    if s.is_empty() { Err("a field has a name; this one is empty".into()) } else { Ok(s.to_owned()) }
}

fn input_format(s: &str) -> Result<InputFormat, String> {
    Ok(match s {
        "text" => InputFormat::Text,
        "lines" => InputFormat::Lines,
        "jsonl" => InputFormat::Jsonl,
        "csv" => InputFormat::Csv,
        "parquet" => InputFormat::Parquet,
        _ => return Err(format!("`{s}` is no input format: text, lines, jsonl, csv or parquet")),
    })
}

fn output_format(s: &str) -> Result<OutputFormat, String> {
    Ok(match s {
        "jsonl" => OutputFormat::Jsonl,
        "csv" => OutputFormat::Csv,
        "parquet" => OutputFormat::Parquet,
        _ => return Err(format!("`{s}` is no output format: jsonl, csv or parquet")),
    })
}

/// `host:port`, the host a name or an address; whether it can be had is seen when it is bound.
fn address(s: &str) -> Result<String, String> {
    let fits = s.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if fits { Ok(s.to_owned()) } else { Err(format!("`{s}` is no address with a port, such as 127.0.0.1:8080")) }
}

/// The key must fit into a header; the message must not show it.
fn api_key(s: &str) -> Result<ApiKey, String> {
    let fits = s.bytes().all(|b| b.is_ascii_graphic());
    ApiKey::new(s).filter(|_| fits).ok_or_else(|| "a key takes visible ASCII characters without spaces, at least one".into())
}

/// A number of bytes, with K, M or G for 2^10, 2^20, 2^30.
fn bytes(s: &str) -> Result<usize, String> {
    let upper = s.to_ascii_uppercase();
    let number = upper.trim_end_matches("IB").trim_end_matches('B').trim_end();
    let (digits, unit) = match number.chars().last() {
        Some('K') => (&number[..number.len() - 1], 1 << 10),
        Some('M') => (&number[..number.len() - 1], 1 << 20),
        Some('G') => (&number[..number.len() - 1], 1 << 30),
        _ => (number, 1),
    };
    let size = digits.trim_end().parse::<usize>().ok().and_then(|n| n.checked_mul(unit)).filter(|n| *n > 0);
    size.ok_or_else(|| format!("`{s}` is no number of bytes above 0, such as 65536, 512K or 4M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_are_a_list_of_addresses() {
        assert_eq!(webhooks("https://a.org/x, http://b:1/"), Ok(vec!["https://a.org/x".to_owned(), "http://b:1/".to_owned()]));
        for bad in ["", ",", "a.org", "https://a.org,ftp://b"] {
            assert!(webhooks(bad).is_err(), "{bad}");
        }
        assert!(!webhooks("https://u:secret@").unwrap_err().contains("secret"));
    }

    #[test]
    fn a_rate_lies_between_0_and_1() {
        assert_eq!(rate("0.05"), Ok(0.05));
        for bad in ["0", "1", "-0.1", "1%", "nan", "inf", ""] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_take_units() {
        assert_eq!([bytes("65536"), bytes("512K"), bytes("4 MiB"), bytes("1gb")], [Ok(65536), Ok(512 << 10), Ok(4 << 20), Ok(1 << 30)]);
        for bad in ["0", "", "M", "-1", "1.5M", "99999999999999999999", "99999999999G", "4é"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:0", "localhost:8080", "[::1]:80"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["8080", ":8080", "localhost", "localhost:99999", ""] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refused_key_is_not_shown() {
        assert!(!api_key("my secret").unwrap_err().contains("secret"));
    }
}
