//! A GPT-2 on ONNX Runtime: sessions, windows over long texts, batches by length, worker threads.

use super::{
    Device, LoadOptions, ModelError, ModelInfo, Precision, Scorer, TokenScores, Tokens,
    checkpoint::Checkpoint,
    convert::{self, Prepared, Storage, WeightFile},
    graph::{self, Flavour},
    ops, runtime,
    tokenizer::Bpe,
};
use ort::{
    environment::Environment,
    ep,
    session::{Session, builder::SessionBuilder},
    value::TensorRef,
};
use std::{
    num::NonZero,
    path::Path,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

mod memory;

/// Rows of logits that exist at a time, those of branches counted.
const HEAD_ROWS: usize = 256;
/// Padded tokens of one run where the user did not say: enough to fill the kernels, few enough to stay in cache.
const CPU_BATCH: usize = 512;
const CUDA_BATCH: usize = 16_384;
/// Padded tokens below which a run is not split further: each run has a cost of its own.
const SMALLEST_BATCH: usize = 64;

/// A loaded GPT-2.
pub(crate) struct Gpt2 {
    info: ModelInfo,
    tokenizer: Bpe,
    sessions: Vec<Session>,
    end_of_text: u32,
    batch_tokens: usize,
    /// The base alone, or the base and its two branches.
    models: usize,
}

/// What a device and a precision come to.
pub(super) struct Choice {
    pub(super) flavour: Flavour,
    storage: Storage,
    pub(super) cuda: Option<u32>,
}

impl Choice {
    pub(super) fn of(device: Device, precision: Precision) -> Result<Self, ModelError> {
        let refuse = |what: &str| Err(ModelError::Unsupported(what.to_owned()));
        let (flavour, storage, cuda) = match (device, precision) {
            (Device::Cuda(n), Precision::Auto | Precision::Fp16) => (Flavour::Half, Storage::F16, Some(n)),
            (Device::Cuda(n), Precision::Fp32) => (Flavour::Plain, Storage::F32, Some(n)),
            (Device::Cuda(_), Precision::Int8) => return refuse("int8 runs on the CPU only; on cuda choose fp16 or fp32"),
            (_, Precision::Auto | Precision::Int8) => (Flavour::CpuI8, Storage::I8, None),
            (_, Precision::Fp32) => (Flavour::CpuF32, Storage::F32, None),
            (_, Precision::Fp16) => return refuse("fp16 runs on cuda only; on the CPU choose int8 or fp32"),
        };
        Ok(Self { flavour, storage, cuda })
    }

    /// A flavour on the CPU, also one that is meant for CUDA.
    #[cfg(test)]
    pub(super) fn on_the_cpu(flavour: Flavour) -> Self {
        let storage = match flavour {
            Flavour::Half => Storage::F16,
            Flavour::CpuI8 => Storage::I8,
            Flavour::Plain | Flavour::CpuF32 => Storage::F32,
        };
        Self { flavour, storage, cuda: None }
    }
}

/// Loads as `options` say.
pub(crate) fn load(options: &LoadOptions) -> Result<Gpt2, ModelError> {
    let (checkpoint, sessions, info) = open(options, start)?;
    Ok(Gpt2::new(checkpoint, sessions, info, options))
}

/// Opens a checkpoint and starts it on the device that `options` name; `auto` takes CUDA where the library was built for it and it
/// starts, else the CPU, and says what it took.
pub(super) fn open<T>(
    options: &LoadOptions,
    start: impl Fn(&Environment, &Checkpoint, &Choice, &LoadOptions) -> Result<(T, ModelInfo), ModelError>,
) -> Result<(Checkpoint, T, ModelInfo), ModelError> {
    if options.device != Device::Auto {
        Choice::of(options.device, options.precision)?;
    }
    let (library, environment) = runtime::environment(options.onnxruntime.as_deref(), options.device != Device::Cpu)?;
    let checkpoint = Checkpoint::open(&options.source, &options.branches)?;
    let on = |device| {
        let choice = Choice::of(device, options.precision)?;
        if choice.cuda.is_some() {
            runtime::load_cuda(&library)?;
        }
        start(&environment, &checkpoint, &choice, options)
    };
    let (started, mut info) = match options.device {
        Device::Auto if options.precision != Precision::Int8 && runtime::built_for_cuda(&library) => on(Device::Cuda(0)).or_else(|e| {
            tracing::warn!("CUDA cannot be used, running on the CPU: {e}");
            on(Device::Cpu)
        }),
        Device::Auto => on(Device::Cpu),
        device => on(device),
    }?;
    info.runtime = runtime::version(&library);
    Ok((checkpoint, started, info))
}

/// Converts the weights, writes the graph and starts one session for each worker.
fn start(
    environment: &Environment,
    checkpoint: &Checkpoint,
    choice: &Choice,
    options: &LoadOptions,
) -> Result<(Vec<Session>, ModelInfo), ModelError> {
    let prepared = convert::prepare(&job(checkpoint, choice, options))?;
    let workers = if choice.cuda.is_some() { 1 } else { workers(options.threads, &prepared) };
    let sessions = (0..workers).map(|_| session(environment, checkpoint, choice, &prepared)).collect::<Result<_, _>>()?;
    Ok((sessions, info(checkpoint, choice)))
}

/// What has to be converted to what.
pub(super) fn job<'a>(checkpoint: &'a Checkpoint, choice: &Choice, options: &'a LoadOptions) -> convert::Job<'a> {
    convert::Job {
        config: &checkpoint.config,
        weights: &checkpoint.weights,
        branches: checkpoint.branches.as_ref(),
        storage: choice.storage,
        hash: &checkpoint.hash,
        cache: options.cache.as_deref(),
    }
}

/// What is loaded; the runtime's version is still to be filled in.
pub(super) fn info(checkpoint: &Checkpoint, choice: &Choice) -> ModelInfo {
    let config = &checkpoint.config;
    ModelInfo {
        name: checkpoint.name.clone(),
        hash: checkpoint.hash.clone(),
        parameters: convert::parameters(config),
        vocabulary: config.vocabulary,
        context: config.context,
        layers: config.layers,
        width: config.width,
        device: choice.cuda.map_or_else(|| "cpu".to_owned(), |n| format!("cuda:{n}")),
        precision: choice.storage.name().to_owned(),
        runtime: String::new(),
        branches: checkpoint.branches.as_ref().map(|b| b.info.clone()),
    }
}

/// Threads to use where the user said `asked`; 0 means one per core.
pub(super) fn threads(asked: usize) -> usize {
    if asked > 0 { asked } else { thread::available_parallelism().map_or(1, NonZero::get) }
}

/// Sessions on the CPU: as many as the user asked for; where nothing was asked for, one a core, if memory has room for their weights.
fn workers(asked: usize, prepared: &Prepared) -> usize {
    let all = threads(asked);
    if asked > 0 {
        return all;
    }
    let weights = prepared.tensors.values().map(|t| t.length).sum();
    let found = memory::sessions(all, weights, memory::available());
    if found < all {
        tracing::warn!(
            "memory has room for {found} of {all} sessions, one a core, so scoring is slower; --threads starts more in spite of it"
        );
    }
    found
}

fn session(environment: &Environment, checkpoint: &Checkpoint, choice: &Choice, prepared: &Prepared) -> Result<Session, ModelError> {
    let fault = |e: &dyn std::fmt::Display| ModelError::Session { model: checkpoint.name.clone(), message: e.to_string() };
    let builder = builder(environment).map_err(|e| fault(&e))?;
    let (mut builder, location) = with_weights(builder, prepared).map_err(|e| fault(&e))?;
    builder = with_cuda(builder, choice).map_err(|e| fault(&e))?;
    if choice.cuda.is_none() {
        builder = builder.with_operators(ops::domain().map_err(|e| fault(&e))?).map_err(|e| fault(&e))?;
    }
    let fork = checkpoint.branches.as_ref().map(|b| b.info.first_layer);
    let (config, tensors) = (&checkpoint.config, &prepared.tensors);
    let plan = graph::Plan { config, tensors, location: &location, flavour: choice.flavour, fork };
    builder.commit_from_memory(&graph::scoring(&plan)).map_err(|e| fault(&e))
}

/// Gives a session its weights, and the file name that its graph must use for them.
pub(super) fn with_weights(builder: SessionBuilder, prepared: &Prepared) -> ort::Result<(SessionBuilder, String)> {
    Ok(match &prepared.file {
        WeightFile::Memory(bytes) => {
            (builder.with_external_initializer_file_in_memory(graph::IN_MEMORY, bytes.clone())?, graph::IN_MEMORY.to_owned())
        }
        // nothing is lost: a path that is not UTF-8 is not taken
        WeightFile::Disk(path) => {
            let location = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let folder = path.parent().unwrap_or(Path::new(".")).to_string_lossy().into_owned();
            (builder.with_config_entry("session.model_external_initializers_file_folder_path", folder)?, location)
        }
    })
}

/// Puts a session on CUDA where that was chosen.
pub(super) fn with_cuda(builder: SessionBuilder, choice: &Choice) -> ort::Result<SessionBuilder> {
    let Some(device) = choice.cuda else { return Ok(builder) };
    // without `error_on_failure` a provider that does not load is only logged
    let provider = ep::CUDA::default().with_device_id(device as i32).build().error_on_failure();
    Ok(builder.with_execution_providers([provider])?)
}

/// One thread a session, one text a run: measured faster than one session with all threads.
pub(super) fn builder(environment: &Environment) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(environment)?.with_intra_threads(1)?.with_intra_op_spinning(false)?.with_memory_pattern(false)?)
}

/// A stretch of one text that is scored in one go. Positions count in the sequence end-of-text, token 0, token 1, …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    text: usize,
    /// First input position.
    start: usize,
    /// Number of input positions.
    len: usize,
    /// First input position, counted from `start`, whose prediction is kept: it predicts token `start + from`.
    from: usize,
}

/// Windows of `context` positions at multiples of half of it; each token is scored once, by the first window that reaches it, so that
/// it has at least half a context to its left where that much exists.
fn windows(text: usize, tokens: usize, context: usize) -> impl Iterator<Item = Window> {
    let stride = (context / 2).max(1);
    let count = if tokens == 0 { 0 } else { 1 + tokens.saturating_sub(context).div_ceil(stride) };
    (0..count).map(move |i| {
        let start = i * stride;
        let len = context.min(tokens - start);
        let from = if i == 0 { 0 } else { context - stride };
        Window { text, start, len, from }
    })
}

/// Windows by length, longest first, in groups that pad to at most `budget` tokens.
fn groups(mut windows: Vec<Window>, budget: usize) -> Vec<Vec<Window>> {
    windows.sort_by_key(|w| std::cmp::Reverse(w.len));
    let mut out: Vec<Vec<Window>> = Vec::new();
    for window in windows {
        match out.last_mut() {
            Some(group) if (group.len() + 1) * group[0].len <= budget => group.push(window),
            _ => out.push(vec![window]),
        }
    }
    out
}

/// What the model says of one window.
struct Scored {
    window: Window,
    /// Of each kept position: surprisal, rank, entropy, variance, and of the branches, where there are any, surprisal and the ratio's excess.
    tokens: Vec<f32>,
    /// Mean hidden state of the kept positions.
    pooled: Vec<f32>,
}

impl Scored {
    /// Puts a window's part into its text's scores.
    fn put(&self, text: &mut TokenScores) {
        let kept = self.window.len - self.window.from;
        let first = self.window.start + self.window.from;
        for (at, numbers) in (first..).zip(self.tokens.chunks_exact(self.tokens.len() / kept)) {
            if let [surprisal, rank, entropy, variance, branches @ ..] = numbers {
                text.surprisal[at] = *surprisal;
                text.rank[at] = *rank as u32;
                text.entropy[at] = *entropy;
                text.variance[at] = *variance;
                if let [human, machine, excess] = branches {
                    text.human_surprisal[at] = *human;
                    text.machine_surprisal[at] = *machine;
                    text.ratio_excess[at] = *excess;
                }
            }
        }
        let share = kept as f32 / text.len() as f32;
        text.pooled.resize(self.pooled.len(), 0.);
        for (sum, mean) in text.pooled.iter_mut().zip(&self.pooled) {
            *sum += share * mean;
        }
    }
}

impl Gpt2 {
    fn new(checkpoint: Checkpoint, sessions: Vec<Session>, info: ModelInfo, options: &LoadOptions) -> Self {
        let usual = if info.device == "cpu" { CPU_BATCH } else { CUDA_BATCH };
        let batch_tokens = if options.batch_tokens > 0 { options.batch_tokens } else { usual };
        let models = if info.branches.is_some() { 3 } else { 1 };
        Self { info, tokenizer: checkpoint.tokenizer, sessions, end_of_text: checkpoint.config.end_of_text, batch_tokens, models }
    }

    /// Runs all groups, on as many sessions as there are.
    fn run(&mut self, texts: &[&[u32]], groups: &[Vec<Window>]) -> Result<Vec<Scored>, ModelError> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<ModelError>> = Mutex::new(None);
        let (end_of_text, models) = (self.end_of_text, self.models);
        let work = |session: &mut Session| {
            let mut out = Vec::new();
            while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                match run_group(session, texts, group, (end_of_text, models)) {
                    Ok(scored) => out.extend(scored),
                    Err(e) => {
                        next.store(groups.len(), Ordering::Relaxed);
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
                    }
                }
            }
            out
        };
        let scored = if groups.len() < 2 || self.sessions.len() < 2 {
            self.sessions.first_mut().map(work).unwrap_or_default()
        } else {
            let work = &work;
            thread::scope(|scope| {
                let threads: Vec<_> = self.sessions.iter_mut().take(groups.len()).map(|s| scope.spawn(move || work(s))).collect();
                threads.into_iter().flat_map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
            })
        };
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(e) => Err(e),
            None => Ok(scored),
        }
    }
}

impl Scorer for Gpt2 {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError> {
        self.tokenizer.encode(text)
    }

    fn score(&mut self, texts: &[&[u32]]) -> Result<Vec<TokenScores>, ModelError> {
        if let Some(id) = texts.iter().flat_map(|t| t.iter()).find(|&&id| id as usize >= self.info.vocabulary) {
            return Err(ModelError::Run(format!("token id {id} is outside the vocabulary of {}", self.info.vocabulary)));
        }
        let context = self.info.context;
        let windows: Vec<Window> = texts.iter().enumerate().flat_map(|(i, t)| windows(i, t.len(), context)).collect();
        // a few texts are shared out among the sessions rather than padded together for one of them
        let share = windows.iter().map(|w| w.len).sum::<usize>().div_ceil(self.sessions.len().max(1));
        let groups = groups(windows, share.max(SMALLEST_BATCH).min(self.batch_tokens));
        let branches = self.info.branches.is_some();
        let mut out: Vec<TokenScores> = texts.iter().map(|t| TokenScores::zeros(t.len(), branches)).collect();
        let mut scored = self.run(texts, &groups)?;
        // sums over a text's windows must not depend on which worker was faster
        scored.sort_by_key(|s| (s.window.text, s.window.start));
        for scored in scored {
            scored.put(&mut out[scored.window.text]);
        }
        tell_of_damage(&out);
        Ok(out)
    }
}

/// Says once a process what to do about numbers that are not finite. They are given out as they are, since the texts beside them are well:
/// no verdict is made of them.
fn tell_of_damage(scores: &[TokenScores]) {
    static TOLD: Once = Once::new();
    let bad = scores.iter().filter(|s| !s.is_finite()).count();
    if bad > 0 {
        TOLD.call_once(|| {
            tracing::warn!(
                "the model gave numbers that are not finite for {bad} of {} texts, which get no verdict; its weights may be damaged (compare \
                 the model's hash, get its files again) or too large for this precision (try --precision fp32); this is told once",
                scores.len()
            );
        });
    }
}

/// Runs windows padded to the longest, which comes first.
fn run_group(
    session: &mut Session,
    texts: &[&[u32]],
    group: &[Window],
    (end_of_text, models): (u32, usize),
) -> Result<Vec<Scored>, ModelError> {
    let fault = |e: ort::Error| ModelError::Run(e.to_string());
    let width = group.first().map_or(0, |w| w.len);
    let mut ids = vec![i64::from(end_of_text); group.len() * width];
    let mut pool = vec![0f32; ids.len()];
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for (b, window) in group.iter().enumerate() {
        let text = texts[window.text];
        for i in 0..window.len {
            let position = window.start + i;
            if position > 0 {
                ids[b * width + i] = i64::from(text[position - 1]);
            }
            if i >= window.from {
                rows.push((b * width + i) as i64);
                targets.push(i64::from(text[position]));
                pool[b * width + i] = 1. / (window.len - window.from) as f32;
            }
        }
    }
    let scored = rows.len();
    let chunks = scored.div_ceil(HEAD_ROWS / models);
    let per_chunk = scored.div_ceil(chunks);
    rows.resize(chunks * per_chunk, 0);
    targets.resize(chunks * per_chunk, 0);
    let inputs = ort::inputs![
        "input_ids" => TensorRef::from_array_view(([group.len(), width], ids.as_slice())).map_err(fault)?,
        "rows" => TensorRef::from_array_view(([chunks, per_chunk], rows.as_slice())).map_err(fault)?,
        "targets" => TensorRef::from_array_view(([chunks, per_chunk], targets.as_slice())).map_err(fault)?,
        "pool" => TensorRef::from_array_view(([group.len(), 1, width], pool.as_slice())).map_err(fault)?,
    ];
    let outputs = session.run(inputs).map_err(fault)?;
    let (_, scores) = outputs["scores"].try_extract_tensor::<f32>().map_err(fault)?;
    let (_, pooled) = outputs["pooled"].try_extract_tensor::<f32>().map_err(fault)?;
    let (mut scores, columns) = (scores.iter().copied(), ops::columns(models));
    let pooled = pooled.chunks_exact((pooled.len() / group.len()).max(1));
    let one = |(&window, pooled): (&Window, &[f32])| {
        let tokens = scores.by_ref().take((window.len - window.from) * columns).collect();
        Scored { window, tokens, pooled: pooled.to_vec() }
    };
    Ok(group.iter().zip(pooled).map(one).collect())
}

#[cfg(test)]
mod damaged;
#[cfg(test)]
mod flavours;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_scored_once_with_half_a_context_before_it() {
        for context in [2, 3, 8, 64] {
            for tokens in 0..300 {
                let mut seen = vec![0; tokens];
                for w in windows(0, tokens, context) {
                    assert!(w.len <= context && w.start + w.len <= tokens, "{w:?} of {tokens} in {context}");
                    for i in w.from..w.len {
                        seen[w.start + i] += 1;
                        assert!(w.start == 0 || i >= context / 2, "{w:?} leaves token {} with {i} before it", w.start + i);
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "{tokens} tokens in windows of {context}: {seen:?}");
            }
        }
    }

    #[test]
    fn groups_keep_every_window_and_the_budget() {
        let all: Vec<Window> = (1..50).map(|n| Window { text: n, start: 0, len: 1 + n * 7 % 40, from: 0 }).collect();
        let groups = groups(all.clone(), 64);
        assert!(groups.iter().all(|g| g.len() == 1 || g.len() * g[0].len <= 64));
        let mut kept: Vec<Window> = groups.into_iter().flatten().collect();
        kept.sort_by_key(|w| w.text);
        assert_eq!(kept, all);
    }
}
