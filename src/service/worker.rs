//! The one thread that owns the detector and the flood monitor: takes what waits, assesses it, observes it, answers it.
//!
//! No timer: a batch is what waits when the model is free, up to a budget. Order of observation: a request's documents in their order;
//! requests in the order of their arrival, a large one in pieces, in turn with the others. A caller that has left is observed all the same.

use super::{
    error::ApiError,
    floods::Floods,
    metrics::{Metric, Metrics},
    queue::{Answer, Assessed, Job, Message, Pace},
};
use crate::{
    detector::Detector,
    flood::StreamStatus,
    text::Document,
    verdict::{Assessment, Verdict},
};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, PoisonError, RwLock,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How often what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Questions answered before the next run of the model: those who ask without a pause must not keep documents waiting for ever.
const QUESTIONS: usize = 8;

/// What is told of every assessed document, in order, before its answer leaves: the place of the flood monitor.
pub(crate) trait Observer: Send {
    /// Takes note of the documents of one batch and makes that durable. Gives one list for each document: how its streams stand. An error
    /// is the answer to all of them.
    fn observe(&mut self, batch: &[(&Document, &Assessment)]) -> Result<Vec<Vec<StreamStatus>>, ApiError>;

    /// Whether documents can be observed now; tries again what failed before.
    fn ready(&mut self) -> Result<(), ApiError> {
        Ok(())
    }

    /// Called once, after the last batch.
    fn end(&mut self) {}

    /// The flood monitor, where there is one.
    fn floods(&mut self) -> Option<&mut Floods> {
        None
    }
}

/// Observes nothing.
pub(crate) struct Unobserved;

impl Observer for Unobserved {
    fn observe(&mut self, batch: &[(&Document, &Assessment)]) -> Result<Vec<Vec<StreamStatus>>, ApiError> {
        Ok(vec![Vec::new(); batch.len()])
    }
}

/// The owner of the detector.
pub(crate) struct Worker {
    pub(crate) detector: Detector,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pace: Arc<Pace>,
    /// Text per run of the model, bytes.
    pub(crate) batch_bytes: usize,
    /// Why nothing can be observed now, for the handlers.
    pub(crate) blocked: Arc<Blocked>,
    /// When that was looked at last.
    pub(crate) looked: Instant,
}

/// Why nothing can be observed now: written by the worker, read by handlers.
#[derive(Default)]
pub(crate) struct Blocked(RwLock<Option<ApiError>>);

impl Blocked {
    pub(crate) fn now(&self) -> Option<ApiError> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: Option<ApiError>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// Documents taken up together, and how many of them each job gave.
#[derive(Default)]
struct Batch {
    documents: Vec<Document>,
    bytes: usize,
    jobs: Vec<(Job, usize)>,
}

impl Worker {
    /// Works until told to stop, then finishes what waits.
    pub(crate) fn run(&mut self, messages: &Receiver<Message>) {
        let (mut waiting, mut unfinished) = (VecDeque::new(), Vec::new());
        let mut open = true;
        while open || !waiting.is_empty() || !unfinished.is_empty() {
            if waiting.is_empty() && unfinished.is_empty() {
                open = self.wait(messages, &mut waiting);
            }
            open &= self.take_in(messages, &mut waiting);
            self.retry();
            // Behind those that came meanwhile: a large request shares the model with them.
            waiting.extend(unfinished);
            let batch = take(&mut waiting, self.batch_bytes);
            unfinished = self.assess(batch);
        }
        self.observer.end();
    }

    /// Waits for the next message, or until it is time to try again. False when it is time to end.
    fn wait(&mut self, messages: &Receiver<Message>, waiting: &mut VecDeque<Job>) -> bool {
        let message = match self.blocked.now() {
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => messages.recv_timeout(RETRY.saturating_sub(self.looked.elapsed())),
        };
        match message {
            Ok(message) => self.accept(message, waiting),
            Err(error) => error == RecvTimeoutError::Timeout,
        }
    }

    /// Takes what has come meanwhile, up to so many questions. False when it is time to end.
    fn take_in(&mut self, messages: &Receiver<Message>, waiting: &mut VecDeque<Job>) -> bool {
        let (mut open, mut questions) = (true, 0);
        while questions < QUESTIONS
            && let Ok(message) = messages.try_recv()
        {
            questions += usize::from(matches!(message, Message::Ask(_)));
            open &= self.accept(message, waiting);
        }
        open
    }

    /// Looks again whether documents can be observed, whatever else there is to do: while they cannot, none comes that would make it look.
    fn retry(&mut self) {
        if self.blocked.now().is_some() && self.looked.elapsed() >= RETRY {
            let _still_blocked = self.can_observe();
        }
    }

    /// False when it is time to end.
    fn accept(&mut self, message: Message, waiting: &mut VecDeque<Job>) -> bool {
        match message {
            Message::Job(job) => waiting.push_back(job),
            Message::Ask(question) => question(&mut *self.observer),
            Message::Stop => return false,
        }
        true
    }

    /// Tells the handlers whether documents can be observed.
    fn can_observe(&mut self) -> Result<(), ApiError> {
        let ready = self.observer.ready();
        self.looked = Instant::now();
        self.blocked.set(ready.clone().err());
        self.metrics.set(Metric::StateWritable, f64::from(u8::from(ready.is_ok())));
        ready
    }

    /// Answers the jobs that this batch completes and gives back the others.
    fn assess(&mut self, batch: Batch) -> Vec<Job> {
        if batch.documents.is_empty() {
            return Vec::new();
        }
        // What cannot be observed is not assessed either: its sender must send it again.
        let answers = match self.can_observe() {
            Ok(()) => self.answers_observed(&batch),
            Err(error) => vec![Err(error); batch.documents.len()],
        };
        let mut answers = answers.into_iter();
        let model = self.detector.take_model_time();
        let mut unfinished = Vec::new();
        for (mut job, taken) in batch.jobs {
            job.answered.answers.extend(answers.by_ref().take(taken));
            job.answered.model += model;
            match job.waiting.is_empty() {
                true => self.reply(job),
                false => unfinished.push(job),
            }
        }
        unfinished
    }

    /// One answer per document, observed and made durable.
    fn answers_observed(&mut self, batch: &Batch) -> Vec<Answer> {
        let start = Instant::now();
        let answers = self.answers(&batch.documents);
        let took = start.elapsed();
        self.pace.learn(batch.bytes, took);
        self.metrics.record(Metric::BatchSeconds, Vec::new(), took.as_secs_f64());
        self.metrics.record(Metric::BatchDocuments, Vec::new(), batch.documents.len() as f64);
        answers.iter().for_each(|answer| self.note(answer));
        let assessed: Vec<_> = batch.documents.iter().zip(&answers).filter_map(|(d, a)| Some((d, a.as_ref().ok()?))).collect();
        let mut streams = match self.observer.observe(&assessed) {
            Ok(streams) => streams.into_iter(),
            Err(error) => {
                let _blocked = self.can_observe();
                return answers.into_iter().map(|answer| answer.and(Err(error.clone()))).collect();
            }
        };
        let mut with_streams = |assessment| Assessed { assessment, streams: streams.next().unwrap_or_default() };
        answers.into_iter().map(|answer| answer.map(&mut with_streams)).collect()
    }

    fn note(&self, answer: &Result<Assessment, ApiError>) {
        let Ok(assessment) = answer else {
            return self.metrics.count(Metric::DocumentFailures, 1);
        };
        let verdict = match assessment.verdict {
            Verdict::Human => "human",
            Verdict::Machine => "machine",
            Verdict::Abstain => "abstain",
        };
        self.metrics.count(Metric::Documents, 1);
        self.metrics.count(Metric::Tokens, assessment.tokens as u64);
        self.metrics.count_labelled(Metric::Verdicts, vec![("verdict", verdict.into())], 1);
    }

    fn reply(&self, job: Job) {
        let Job { answered, reply, _space: space, .. } = job;
        // Space first: whoever sees the answer may send the next request at once.
        drop(space);
        if let Err(unheard) = reply.send(answered) {
            self.metrics.count(Metric::HungUp, unheard.answers.len() as u64);
        }
    }

    /// One answer per document. Where the batch fails, each document is tried alone: one that is poison costs the others no answer.
    fn answers(&mut self, documents: &[Document]) -> Vec<Result<Assessment, ApiError>> {
        match self.attempt(documents) {
            Ok(assessments) => assessments.into_iter().map(Ok).collect(),
            Err(fault) if documents.len() == 1 => vec![Err(fault)],
            Err(_) => documents.iter().map(|d| self.attempt(std::slice::from_ref(d))).map(|r| r.and_then(only)).collect(),
        }
    }

    fn attempt(&mut self, documents: &[Document]) -> Result<Vec<Assessment>, ApiError> {
        // The detector keeps nothing between two calls that a panic could leave half done.
        let result = catch_unwind(AssertUnwindSafe(|| self.detector.assess(documents)));
        let fault = match result {
            Ok(Ok(assessments)) if assessments.len() == documents.len() => return Ok(assessments),
            Ok(Ok(assessments)) => format!("the model gave {} answers for {} documents", assessments.len(), documents.len()),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("the model panicked: {}", panic_text(&*panic)),
        };
        tracing::error!(documents = documents.len(), fault, "assessing failed");
        Err(ApiError::Internal(fault))
    }
}

fn only(mut one: Vec<Assessment>) -> Result<Assessment, ApiError> {
    one.pop().ok_or_else(ApiError::lost)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Takes from each waiting job in turn what still fits the budget, and at least one document.
fn take(waiting: &mut VecDeque<Job>, budget: usize) -> Batch {
    let mut batch = Batch::default();
    while batch.bytes < budget
        && let Some(mut job) = waiting.pop_front()
    {
        let before = batch.documents.len();
        while let Some(next) = job.waiting.front()
            && (batch.documents.is_empty() || batch.bytes + next.text.len() <= budget)
            && let Some(document) = job.waiting.pop_front()
        {
            // An empty text costs a place too, or a request of nothing but empty texts would be one huge batch.
            batch.bytes += document.text.len().max(16);
            batch.documents.push(document);
        }
        let taken = batch.documents.len() - before;
        if taken == 0 {
            waiting.push_front(job);
            break;
        }
        batch.jobs.push((job, taken));
    }
    batch
}
