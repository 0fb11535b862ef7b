//! Hand-off 1: documents on their way to the worker, bounded by bytes. Full is said at once to requests; streams wait for space.
//!
//! Space is a semaphore of bytes, so the channel behind it needs no bound of its own. Requests and streams have a pool each: streams that
//! wait for space cannot starve requests.

use super::{
    error::ApiError,
    metrics::{Metric, Metrics},
    worker::Observer,
};
use crate::{flood::StreamStatus, text::Document, verdict::Assessment};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What one document costs beyond its bytes, and each of its keys: its place in the queue and in the answer.
const OVERHEAD: usize = 256;
/// Questions to the observer that may wait.
const QUESTIONS: usize = 32;
/// How much larger an answer with per-token scores is than its text: a token's entry takes 104 bytes, its text 4.3 where that is English.
/// Where every token is a single byte it is four times as much.
const TOKENS_FACTOR: usize = 24;

/// What is said of one document: the assessment, and how its streams stand where it has any.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Assessed {
    #[serde(flatten)]
    pub(crate) assessment: Assessment,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) streams: Vec<StreamStatus>,
}

/// One document's answer.
pub(crate) type Answer = Result<Assessed, ApiError>;
/// All answers to one job, on their way.
pub(crate) type Answers = oneshot::Receiver<Answered>;

/// The answers to one job, and what they took.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// In the order of the documents.
    pub(crate) answers: Vec<Answer>,
    /// How long the model ran for the batches that they were in.
    pub(crate) model: Duration,
}

/// Runs on the worker's thread, which alone owns the observer. Must be quick: documents wait meanwhile.
pub(crate) type Question = Box<dyn FnOnce(&mut dyn Observer) + Send>;

/// What the worker receives.
pub(crate) enum Message {
    /// Documents of one request, or one line of a stream.
    Job(Job),
    /// Something to be asked of the observer between two batches.
    Ask(Question),
    /// Finish what waits, then end.
    Stop,
}

/// The documents of one request, in order, some of them perhaps already answered.
pub(crate) struct Job {
    /// Not yet taken up.
    pub(crate) waiting: VecDeque<Document>,
    /// What there is so far.
    pub(crate) answered: Answered,
    /// Hand-off 2.
    pub(crate) reply: oneshot::Sender<Answered>,
    /// Freed when the job has been answered.
    pub(crate) _space: OwnedSemaphorePermit,
}

/// The sending half.
pub(crate) struct Queue {
    sender: mpsc::Sender<Message>,
    requests: Arc<Semaphore>,
    lines: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    pool: usize,
    metrics: Arc<Metrics>,
    pace: Arc<Pace>,
}

/// How fast the model takes text, for `Retry-After`.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Queue {
    /// A queue of this many bytes, and what its worker needs of it.
    pub(crate) fn new(bytes: usize, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Message>, Arc<Pace>) {
        let (sender, receiver) = mpsc::channel();
        let pool = (bytes / 2).clamp(OVERHEAD, u32::MAX as usize);
        let pace = Arc::new(Pace::default());
        let space = || Arc::new(Semaphore::new(pool));
        let questions = Arc::new(Semaphore::new(QUESTIONS));
        (Self { sender, requests: space(), lines: space(), questions, pool, metrics, pace: pace.clone() }, receiver, pace)
    }

    /// Admits a request as a whole, or refuses it at once.
    pub(crate) fn try_submit(&self, documents: Vec<Document>) -> Result<Answers, ApiError> {
        let space = self.requests.clone().try_acquire_many_owned(self.cost(&documents)).map_err(|_| {
            self.metrics.count(Metric::QueueRefusals, 1);
            ApiError::QueueFull { retry_after: self.pace.seconds_for(self.waiting_bytes()) }
        })?;
        self.send(documents, space)
    }

    /// Admits one line of a stream as soon as there is space. First come, first admitted.
    pub(crate) async fn submit(&self, document: Document) -> Result<Answers, ApiError> {
        let documents = vec![document];
        let space = self.lines.clone().acquire_many_owned(self.cost(&documents)).await.map_err(|_| ApiError::lost())?;
        self.send(documents, space)
    }

    /// Asks the observer something on the worker's thread, between two batches; refused at once where too many questions wait.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Observer) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = self.questions.clone().try_acquire_owned();
        let place = place.map_err(|_| ApiError::Busy(format!("{QUESTIONS} questions about streams are waiting; try again in a moment")))?;
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |observer| {
            // Who asked may have left.
            let _unheard = reply.send(question(observer));
            drop(place);
        });
        self.sender.send(Message::Ask(question)).map_err(|_| ApiError::lost())?;
        answer.await.map_err(|_| ApiError::lost())
    }

    /// Tells the observer something, on the worker's thread, without waiting for it. For senders that bound themselves.
    pub(crate) fn tell(&self, what: impl FnOnce(&mut dyn Observer) + Send + 'static) {
        // A worker that has ended needs no telling.
        let _ended = self.sender.send(Message::Ask(Box::new(what)));
    }

    /// Asks the worker to finish what waits and to end.
    pub(crate) fn stop(&self) {
        // A worker that has already ended needs no telling.
        let _ended = self.sender.send(Message::Stop);
    }

    /// Bytes admitted and not yet answered.
    pub(crate) fn waiting_bytes(&self) -> usize {
        2 * self.pool - self.requests.available_permits() - self.lines.available_permits()
    }

    fn send(&self, documents: Vec<Document>, space: OwnedSemaphorePermit) -> Result<Answers, ApiError> {
        let (reply, answers) = oneshot::channel();
        let answered = Answered { answers: Vec::with_capacity(documents.len()), model: Duration::ZERO };
        let job = Job { answered, waiting: documents.into(), reply, _space: space };
        self.sender.send(Message::Job(job)).map_err(|_| ApiError::lost())?;
        Ok(answers)
    }

    /// What a job takes of its pool: at most half, or a large request would need a moment at which nothing else is on its way, and under
    /// steady traffic there is none. Two jobs may then hold a pool that is smaller than they are. What waits costs at most as much as the
    /// pool, or as two of the largest requests where that is more; the limits of body and documents bound those.
    fn cost(&self, documents: &[Document]) -> u32 {
        let bytes: usize = documents.iter().map(cost).sum();
        u32::try_from(bytes.min(self.pool / 2)).unwrap_or(u32::MAX)
    }
}

/// What a document takes with all that its sender chose the length of.
fn cost(document: &Document) -> usize {
    let text = document.text.len() * if document.with_tokens { TOKENS_FACTOR } else { 1 };
    let keys: usize = document.streams.iter().map(|key| OVERHEAD + key.as_str().len()).sum();
    OVERHEAD + text + document.id.as_ref().map_or(0, String::len) + keys
}

impl Pace {
    /// Learns from one run of the model; the newest counts for a fifth.
    pub(crate) fn learn(&self, bytes: usize, took: Duration) {
        let now = bytes as f64 / took.as_secs_f64().max(1e-6);
        let before = self.0.load(Ordering::Relaxed) as f64;
        let mixed = if before == 0. { now } else { 0.8 * before + 0.2 * now };
        self.0.store((mixed as u64).max(1), Ordering::Relaxed);
    }

    /// Whole seconds that this much text takes, from 1 to 60.
    fn seconds_for(&self, bytes: usize) -> u64 {
        match self.0.load(Ordering::Relaxed) {
            0 => 1,
            pace => (bytes as u64).div_ceil(pace).clamp(1, 60),
        }
    }
}
