//! The run itself: a thread reads rows into bounded chunks, the caller's thread assesses and writes them in order.
//! Memory is bounded by the limits, whatever the inputs hold; the reader thread is never waited for, because a pipe may never speak.

use super::{
    BatchError, Companion, Limits, Progress, RowError, Summary, Watch,
    input::Plan,
    output::{End, Out},
    reader::{Row, Rows},
    record::BadRow,
    table::{Answer, BadAnswer},
};
use crate::{
    detector::{Detector, DetectorError},
    text::Document,
    verdict::Assessment,
};
use serde_json::Value;
use std::{
    collections::VecDeque,
    sync::{
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// Chunks that may wait for the model.
const WAITING: usize = 4;
/// How often a run that waits for input asks whether it is cancelled.
const ASK: Duration = Duration::from_millis(100);
/// Documents in a row on which the model may fail before the run ends: by then it is not the documents.
const MAX_FAILURES: u32 = 8;

/// Rows on their way.
#[derive(Default)]
struct Chunk {
    slots: Vec<Slot>,
    documents: Vec<Document>,
    bytes: usize,
}

/// One row of a chunk, in order.
struct Slot {
    source: usize,
    line: u64,
    /// An error row; otherwise the row is the next document of the chunk.
    bad: Option<BadRow>,
}

enum Message {
    Chunk(Chunk),
    Failed(BatchError),
    End,
}

impl Chunk {
    fn push(&mut self, source: usize, row: Row) {
        let Row { line, content } = row;
        let bad = match content {
            Ok(document) => {
                self.bytes += document.text.len();
                self.documents.push(document);
                None
            }
            Err(bad) => Some(bad),
        };
        self.slots.push(Slot { source, line, bad });
    }

    fn full(&self, limits: &Limits) -> bool {
        self.slots.len() >= limits.chunk_documents || self.bytes >= limits.chunk_bytes
    }

    fn append(&mut self, mut other: Self) {
        self.slots.append(&mut other.slots);
        self.documents.append(&mut other.documents);
        self.bytes += other.bytes;
    }
}

/// Runs a checked job.
pub(super) fn run(
    plan: &Plan,
    out: Out,
    detector: &mut Detector,
    (watch, companion): (&dyn Watch, &mut dyn Companion),
) -> Result<Summary, BatchError> {
    let (sender, receiver) = sync_channel(WAITING);
    let (reader_plan, skip) = (plan.clone(), out.resumed.rows);
    thread::Builder::new()
        .name("batch-reader".into())
        .spawn(move || read(&reader_plan, skip, &sender))
        .map_err(|source| BatchError::Unreadable { path: "the inputs".into(), source })?;
    let progress = Progress { resumed: skip, total_bytes: plan.total_bytes, ..Progress::default() };
    let summary = Summary { progress, errors: out.resumed.errors, ..Summary::default() };
    Run { plan, out, detector, watch, companion, summary, failures: 0 }.take_all(&receiver)
}

/// Reads every input; stops quietly when nobody listens.
fn read(plan: &Plan, skip: u64, sender: &SyncSender<Message>) {
    let mut chunk = Chunk::default();
    let mut skip = skip;
    for index in 0..plan.sources.len() {
        let ended = read_one(plan, (index, &mut skip), &mut chunk, sender);
        if let Err(stop) = ended {
            // The rows before a damage are written first.
            if let Some(error) = stop
                && sender.send(Message::Chunk(chunk)).is_ok()
            {
                let _ = sender.send(Message::Failed(error));
            }
            return;
        }
    }
    let last = if skip > 0 { Message::Failed(too_many_rows(skip)) } else { Message::End };
    if sender.send(Message::Chunk(chunk)).is_ok() {
        // Nobody listening means that the run is over already.
        let _ = sender.send(last);
    }
}

fn too_many_rows(skip: u64) -> BatchError {
    BatchError::Unsupported(format!("the part file has {skip} rows more than the inputs; start anew with --force"))
}

/// Reads one input into chunks. `Err(None)`: nobody listens.
fn read_one(
    plan: &Plan,
    (index, skip): (usize, &mut u64),
    chunk: &mut Chunk,
    sender: &SyncSender<Message>,
) -> Result<(), Option<BatchError>> {
    let source = &plan.sources[index];
    // What a pipe has sent is answered before it is waited for; a file never lets one wait.
    let slow = source.bytes.is_none();
    if slow && !chunk.slots.is_empty() {
        sender.send(Message::Chunk(std::mem::take(chunk))).map_err(|_| None)?;
    }
    let mut rows = source.open(plan.bytes_read.clone())?;
    loop {
        if chunk.full(&plan.limits) || (slow && !chunk.slots.is_empty() && !rows.ready()) {
            sender.send(Message::Chunk(std::mem::take(chunk))).map_err(|_| None)?;
        }
        let damaged = |reason, rows: &dyn Rows| BatchError::Damaged { path: source.recipe.name.clone(), line: rows.line(), reason };
        match rows.next() {
            Err(reason) => return Err(Some(damaged(reason, rows.as_ref()))),
            Ok(None) => return Ok(()),
            Ok(Some(_)) if *skip > 0 => *skip -= 1,
            Ok(Some(mut row)) => {
                row.content = row.content.map(|d| Document { with_tokens: plan.with_tokens, ..d });
                chunk.push(index, row);
            }
        }
    }
}

/// A run in work.
struct Run<'a> {
    plan: &'a Plan,
    out: Out,
    detector: &'a mut Detector,
    watch: &'a dyn Watch,
    companion: &'a mut dyn Companion,
    summary: Summary,
    /// Documents in a row on which the model failed.
    failures: u32,
}

impl Run<'_> {
    fn take_all(mut self, receiver: &Receiver<Message>) -> Result<Summary, BatchError> {
        let mut waiting = VecDeque::new();
        loop {
            if self.watch.cancelled() {
                self.summary.cancelled = true;
                return self.out.end(End::Stopped).map(|()| self.summary);
            }
            let message = match waiting.pop_front().map_or_else(|| receiver.recv_timeout(ASK), Ok) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => Message::Failed(reader_died()),
            };
            match message {
                Message::Chunk(chunk) => {
                    let chunk = self.with_what_waits(chunk, receiver, &mut waiting);
                    let answered = self.answer(chunk);
                    self.stop_on(answered)?;
                }
                Message::Failed(error) => self.stop_on(Err(error))?,
                Message::End => {
                    let finished = self.companion.finish();
                    self.stop_on(finished)?;
                    self.out.end(End::Complete)?;
                    self.companion.complete();
                    return Ok(self.summary);
                }
            }
        }
    }

    /// Small chunks of a slow sender are joined while they fit.
    fn with_what_waits(&self, mut chunk: Chunk, receiver: &Receiver<Message>, waiting: &mut VecDeque<Message>) -> Chunk {
        while !chunk.full(&self.plan.limits) && waiting.is_empty() {
            match receiver.try_recv() {
                Ok(Message::Chunk(next)) if chunk.bytes + next.bytes <= self.plan.limits.chunk_bytes => chunk.append(next),
                Ok(other) => waiting.push_back(other),
                Err(_) => break,
            }
        }
        chunk
    }

    /// After an error the output is closed with whole rows, and the error goes to the caller.
    fn stop_on(&mut self, result: Result<(), BatchError>) -> Result<(), BatchError> {
        let Err(error) = result else { return Ok(()) };
        // The first error is the cause; one while closing follows from it.
        let _ = self.out.end(End::Stopped);
        Err(error)
    }

    fn answer(&mut self, chunk: Chunk) -> Result<(), BatchError> {
        if chunk.slots.is_empty() {
            return Ok(());
        }
        let Chunk { slots, documents, .. } = chunk;
        let (answers, failed) = self.assess(&documents);
        let (mut answers, mut documents) = (answers.into_iter(), documents.into_iter());
        for Slot { source, line, bad } in slots {
            let mut streams = None;
            let content = match bad {
                Some(bad) => Err(bad),
                None => match (answers.next(), documents.next()) {
                    (Some(Ok(assessment)), Some(document)) => {
                        streams = self.companion.answer(&document, &assessment);
                        Ok(assessment)
                    }
                    (Some(Err(error)), Some(document)) => Err(BadRow { id: document.id, error }),
                    // The model has failed for good here: what follows is left to the next run.
                    _ => break,
                },
            };
            self.write((source, line), content, streams)?;
        }
        self.out.flush()?;
        if self.companion.keeps() {
            self.out.sync()?;
            self.companion.written(self.summary.progress.resumed + self.summary.progress.documents)?;
        }
        self.summary.progress.bytes_read = self.plan.bytes_read.load(Ordering::Relaxed);
        self.watch.progress(&self.summary.progress);
        failed.map_or(Ok(()), Err)
    }

    fn write(
        &mut self,
        (source, line): (usize, u64),
        content: Result<Assessment, BadRow>,
        streams: Option<Value>,
    ) -> Result<(), BatchError> {
        self.summary.progress.documents += 1;
        let content = match &content {
            Ok(assessment) => {
                self.summary.count(assessment);
                Ok(assessment)
            }
            Err(bad) => {
                self.summary.errors += 1;
                Err(BadAnswer { id: bad.id.as_deref(), error: &bad.error })
            }
        };
        self.out.write(&Answer { file: self.plan.label(source), line, streams: streams.as_ref(), content })
    }

    /// Assesses documents; where the model fails, one by one, so that only the bad ones become error rows. An error means that it failed
    /// on too many in a row; the answers then end before those.
    fn assess(&mut self, documents: &[Document]) -> (Vec<Result<Assessment, RowError>>, Option<BatchError>) {
        match self.detector.assess(documents) {
            Ok(answers) => {
                self.failures = if documents.is_empty() { self.failures } else { 0 };
                (answers.into_iter().map(Ok).collect(), None)
            }
            Err(error) if documents.len() == 1 => self.one_failed(Vec::new(), error),
            Err(_) => self.assess_singly(documents),
        }
    }

    fn assess_singly(&mut self, documents: &[Document]) -> (Vec<Result<Assessment, RowError>>, Option<BatchError>) {
        let mut answers = Vec::new();
        for document in documents {
            match self.detector.assess(std::slice::from_ref(document)) {
                Ok(one) => {
                    self.failures = 0;
                    answers.extend(one.into_iter().map(Ok));
                }
                Err(error) => {
                    let (so_far, failed) = self.one_failed(answers, error);
                    answers = so_far;
                    if failed.is_some() {
                        return (answers, failed);
                    }
                }
            }
        }
        (answers, None)
    }

    fn one_failed(
        &mut self,
        mut answers: Vec<Result<Assessment, RowError>>,
        source: DetectorError,
    ) -> (Vec<Result<Assessment, RowError>>, Option<BatchError>) {
        self.failures += 1;
        if self.failures < MAX_FAILURES {
            answers.push(Err(RowError::new("model_failed", source.to_string())));
            return (answers, None);
        }
        while answers.last().is_some_and(Result::is_err) {
            answers.pop();
        }
        (answers, Some(BatchError::Model { failures: self.failures, source }))
    }
}

fn reader_died() -> BatchError {
    BatchError::Unreadable { path: "the inputs".into(), source: std::io::Error::other("the reader stopped without a word") }
}

/// Rows and bytes of each chunk, read while nobody takes them faster than the queue allows.
#[cfg(test)]
pub(super) fn chunk_sizes(plan: &Plan) -> Vec<(usize, usize)> {
    let (sender, receiver) = sync_channel(WAITING);
    let plan = plan.clone();
    let reader = thread::spawn(move || read(&plan, 0, &sender));
    let sizes = receiver.iter().filter_map(|m| if let Message::Chunk(c) = m { Some((c.slots.len(), c.bytes)) } else { None }).collect();
    reader.join().unwrap();
    sizes
}
