//! What all handlers share: settings, queue, metrics, and whether requests are taken. Owns no detector: the worker does.

use super::{
    error::ApiError,
    floods::{Board, Floods},
    metrics::{Metric, Metrics},
    queue::{Answered, Message, Pace, Queue},
    settings::Settings,
    wire::Limits,
    worker::{Blocked, Observer, Worker},
};
use crate::{
    calibration::{Bin, RateBound},
    detector::Detector,
    model::ModelInfo,
    text::Document,
};
use serde::Serialize;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::Receiver,
    },
    time::Instant,
};
use tokio::sync::{Semaphore, watch};

/// Where the service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The detector is loading.
    Loading,
    /// Requests are taken.
    Ready,
    /// What was admitted is answered, nothing new is taken.
    Draining,
}

/// What all handlers share.
pub(crate) struct Service {
    pub(crate) settings: Settings,
    pub(crate) queue: Queue,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) facts: OnceLock<Facts>,
    /// The alarms so far.
    pub(crate) board: Arc<Board>,
    /// Clients that may listen for alarms.
    pub(crate) listeners: Arc<Semaphore>,
    /// Bytes of bodies that are on their way.
    pub(crate) bodies: Arc<Semaphore>,
    blocked: Arc<Blocked>,
    phase: watch::Sender<Phase>,
    moderations: AtomicU64,
}

/// What is said of the loaded detector: `GET /v1/model`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Facts {
    pub(crate) model: ModelInfo,
    pub(crate) calibration: CalibrationFacts,
    pub(crate) device: String,
    pub(crate) limits: LimitFacts,
}

/// Which calibration, and the verdict's thresholds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CalibrationFacts {
    pub(crate) name: String,
    pub(crate) fpr: f64,
    /// `None` where no text gets a verdict.
    pub(crate) min_tokens: Option<usize>,
    pub(crate) normalize: bool,
    /// Kinds of machine text that streams are also watched for.
    pub(crate) kinds: Vec<String>,
    pub(crate) lengths: Vec<LengthFacts>,
}

/// What p-values promise from one length on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LengthFacts {
    pub(crate) from_tokens: usize,
    pub(crate) human_documents: usize,
    pub(crate) smallest_p_value: f64,
    pub(crate) rate_bounds: Vec<RateBound>,
}

/// What one request may hold.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LimitFacts {
    pub(crate) body_bytes: usize,
    pub(crate) text_bytes: usize,
    pub(crate) documents: usize,
}

/// What the worker's thread needs to begin.
pub(crate) struct WorkerSide {
    service: Arc<Service>,
    messages: Receiver<Message>,
    pace: Arc<Pace>,
}

impl Service {
    /// A service that is still loading, and its worker's side.
    pub(crate) fn new(settings: Settings) -> (Arc<Self>, WorkerSide) {
        let metrics = Arc::new(Metrics::new());
        metrics.set(Metric::Ready, 0.);
        let (queue, messages, pace) = Queue::new(settings.queue_bytes, metrics.clone());
        let phase = watch::Sender::new(Phase::Loading);
        let listeners = Arc::new(Semaphore::new(settings.max_listeners));
        let bodies = Arc::new(Semaphore::new(settings.body_bytes.max(settings.max_body).min(Semaphore::MAX_PERMITS)));
        let service = Arc::new(Self {
            settings,
            queue,
            metrics,
            facts: OnceLock::new(),
            board: Arc::default(),
            listeners,
            bodies,
            blocked: Arc::default(),
            phase,
            moderations: AtomicU64::new(0),
        });
        (service.clone(), WorkerSide { service, messages, pace })
    }

    /// Where the service is now.
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// To wait for a change.
    pub(crate) fn watch_phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Takes no new requests from now on.
    pub(crate) fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
        self.metrics.set(Metric::Ready, 0.);
    }

    /// An error unless requests are taken now.
    pub(crate) fn require_ready(&self) -> Result<&Facts, ApiError> {
        match self.phase() {
            Phase::Draining => Err(ApiError::Draining),
            Phase::Loading => Err(ApiError::NotReady),
            Phase::Ready => self.facts.get().ok_or(ApiError::NotReady),
        }
    }

    /// An error unless documents are taken now, which is more than [`Self::require_ready`]: they must be observed.
    pub(crate) fn require_open(&self) -> Result<&Facts, ApiError> {
        let facts = self.require_ready()?;
        self.blocked.now().map_or(Ok(facts), Err)
    }

    /// Asks the flood monitor something, on its own thread.
    pub(crate) async fn ask_floods<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Floods) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.require_ready()?;
        let absent = ApiError::NoState("this service watches no streams");
        self.queue.ask(move |observer| observer.floods().ok_or(absent).and_then(question)).await?
    }

    /// What a request may hold.
    pub(crate) fn limits(&self, tokens: bool) -> Limits {
        Limits { text: self.settings.max_text, documents: self.settings.max_documents, tokens }
    }

    /// Assesses the documents of one request, in order.
    pub(crate) async fn assess(&self, documents: Vec<Document>) -> Result<Answered, ApiError> {
        if documents.is_empty() {
            return Ok(Answered::default());
        }
        self.queue.try_submit(documents)?.await.map_err(|_| ApiError::lost())
    }

    /// A name for one moderation answer, unique in this process.
    pub(crate) fn moderation_id(&self) -> String {
        format!("modr-{:016x}", self.moderations.fetch_add(1, Ordering::Relaxed))
    }

    fn ready(&self, detector: &Detector) {
        let (model, options) = (detector.model().clone(), detector.options());
        let calibration = CalibrationFacts {
            name: detector.calibration().name.clone(),
            fpr: options.policy.fpr,
            min_tokens: detector.calibration().verdicts_from(),
            normalize: options.normalize,
            kinds: detector.calibration().kinds_read().map(|kind| kind.name.clone()).collect(),
            lengths: detector.calibration().bins().iter().map(LengthFacts::of).collect(),
        };
        let Settings { max_body, max_text, max_documents, .. } = self.settings;
        let limits = LimitFacts { body_bytes: max_body, text_bytes: max_text, documents: max_documents };
        let device = model.device.clone();
        // Set once: the worker calls this once.
        self.facts.get_or_init(|| Facts { model, calibration, device, limits });
        let loaded = self.phase.send_if_modified(|phase| {
            let loading = *phase == Phase::Loading;
            if loading {
                *phase = Phase::Ready;
            }
            loading
        });
        self.metrics.set(Metric::Ready, f64::from(u8::from(loaded)));
    }
}

impl LengthFacts {
    fn of(bin: &Bin) -> Self {
        Self {
            from_tokens: bin.from_tokens,
            human_documents: bin.documents(),
            smallest_p_value: bin.smallest_p_value(),
            rate_bounds: bin.rate_bounds().to_vec(),
        }
    }
}

impl WorkerSide {
    /// What floods are told to.
    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Says "ready" and works until told to stop.
    pub(crate) fn work(self, detector: Detector, observer: Box<dyn Observer>) {
        self.service.ready(&detector);
        let metrics = self.service.metrics.clone();
        let batch_bytes = self.service.settings.batch_bytes;
        let blocked = self.service.blocked.clone();
        let looked = Instant::now();
        Worker { detector, observer, metrics, pace: self.pace, batch_bytes, blocked, looked }.run(&self.messages);
    }
}
