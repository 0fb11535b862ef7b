//! The one thread that owns the detector and, later, the flood table: takes what waits, assesses it, observes it, answers it.
//!
//! No timer: a batch is what waits when the model is free, up to a budget. Order of observation: a request's documents in their order;
//! requests in the order of their arrival, a large one in pieces, in turn with the others. A caller that has left is observed all the same.

use super::{
    error::ApiError,
    metrics::{Metric, Metrics},
    queue::{Answer, Job, Message, Pace},
};
use crate::{
    detector::Detector,
    text::Document,
    verdict::{Assessment, Verdict},
};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc::Receiver},
    time::Instant,
};

/// What is told of every assessed document, in order, before its answer leaves: the place of the flood monitor.
pub(crate) trait Observer: Send {
    /// Takes note of one assessed document.
    fn observe(&mut self, document: &Document, assessment: &Assessment);
}

/// Observes nothing.
pub(crate) struct Unobserved;

impl Observer for Unobserved {
    fn observe(&mut self, _document: &Document, _assessment: &Assessment) {}
}

/// The owner of the detector.
pub(crate) struct Worker {
    pub(crate) detector: Detector,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pace: Arc<Pace>,
    /// Text per run of the model, bytes.
    pub(crate) batch_bytes: usize,
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
                open = messages.recv().is_ok_and(|message| accept(message, &mut waiting));
            }
            while let Ok(message) = messages.try_recv() {
                open &= accept(message, &mut waiting);
            }
            // Behind those that came meanwhile: a large request shares the model with them.
            waiting.extend(unfinished);
            let batch = take(&mut waiting, self.batch_bytes);
            unfinished = self.assess(batch);
        }
    }

    /// Answers the jobs that this batch completes and gives back the others.
    fn assess(&mut self, batch: Batch) -> Vec<Job> {
        if batch.documents.is_empty() {
            return Vec::new();
        }
        let start = Instant::now();
        let mut answers = self.answers(&batch.documents).into_iter();
        let took = start.elapsed();
        let model = self.detector.take_model_time();
        self.pace.learn(batch.bytes, took);
        self.metrics.record(Metric::BatchSeconds, Vec::new(), took.as_secs_f64());
        self.metrics.record(Metric::BatchDocuments, Vec::new(), batch.documents.len() as f64);
        for (document, answer) in batch.documents.iter().zip(answers.as_slice()) {
            self.note(document, answer);
        }
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

    fn note(&mut self, document: &Document, answer: &Answer) {
        let Ok(assessment) = answer else {
            return self.metrics.count(Metric::DocumentFailures, 1);
        };
        self.observer.observe(document, assessment);
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
    fn answers(&mut self, documents: &[Document]) -> Vec<Answer> {
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

fn only(mut one: Vec<Assessment>) -> Answer {
    one.pop().ok_or_else(ApiError::lost)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// False when it is time to end.
fn accept(message: Message, waiting: &mut VecDeque<Job>) -> bool {
    match message {
        Message::Job(job) => waiting.push_back(job),
        Message::Stop => return false,
    }
    true
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
