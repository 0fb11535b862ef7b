//! The numbers that operators watch: one enum of names, one recorder per service (none global), Prometheus text.
//!
//! Labels are routes, statuses, verdicts and events: never a stream key, an id or anything else that senders choose.

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Everything that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    Requests,
    RequestSeconds,
    Documents,
    DocumentFailures,
    Tokens,
    Verdicts,
    HungUp,
    QueueBytes,
    QueueRefusals,
    BatchDocuments,
    BatchSeconds,
    Connections,
    Ready,
    Observed,
    Repeated,
    Evictions,
    KeysRefused,
    Alarms,
    Streams,
    StreamsInFlood,
    StateWriteSeconds,
    StateWriteFailures,
    StateWritable,
    WebhookDeliveries,
    WebhookFailures,
    Listeners,
}

enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

const SECONDS: Kind = Kind::Histogram(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60.]);
const SIZES: Kind = Kind::Histogram(&[1., 2., 4., 8., 16., 32., 64., 128., 256., 512., 1024.]);
const META: Metadata<'static> = Metadata::new("highwater", Level::INFO, None);

impl Metric {
    const ALL: [Self; 26] = [
        Self::Requests,
        Self::RequestSeconds,
        Self::Documents,
        Self::DocumentFailures,
        Self::Tokens,
        Self::Verdicts,
        Self::HungUp,
        Self::QueueBytes,
        Self::QueueRefusals,
        Self::BatchDocuments,
        Self::BatchSeconds,
        Self::Connections,
        Self::Ready,
        Self::Observed,
        Self::Repeated,
        Self::Evictions,
        Self::KeysRefused,
        Self::Alarms,
        Self::Streams,
        Self::StreamsInFlood,
        Self::StateWriteSeconds,
        Self::StateWriteFailures,
        Self::StateWritable,
        Self::WebhookDeliveries,
        Self::WebhookFailures,
        Self::Listeners,
    ];

    /// They are there from the start: an alert on a counter that does not exist yet never fires.
    const UNLABELLED_COUNTERS: [Self; 12] = [
        Self::Documents,
        Self::DocumentFailures,
        Self::Tokens,
        Self::HungUp,
        Self::QueueRefusals,
        Self::Observed,
        Self::Repeated,
        Self::Evictions,
        Self::KeysRefused,
        Self::StateWriteFailures,
        Self::WebhookDeliveries,
        Self::WebhookFailures,
    ];

    fn definition(self) -> (&'static str, Kind, &'static str) {
        match self {
            Self::Requests => ("highwater_requests_total", Kind::Counter, "Answered requests, by route and status."),
            Self::RequestSeconds => ("highwater_request_seconds", SECONDS, "Seconds from request head to answer head, by route."),
            Self::Documents => ("highwater_documents_total", Kind::Counter, "Documents assessed."),
            Self::DocumentFailures => ("highwater_document_failures_total", Kind::Counter, "Documents that the model failed on."),
            Self::Tokens => ("highwater_tokens_total", Kind::Counter, "Tokens scored."),
            Self::Verdicts => ("highwater_verdicts_total", Kind::Counter, "Assessments, by verdict."),
            Self::HungUp => ("highwater_hung_up_documents_total", Kind::Counter, "Documents assessed whose sender had left."),
            Self::QueueBytes => ("highwater_queue_bytes", Kind::Gauge, "Text waiting for the model, bytes, overhead included."),
            Self::QueueRefusals => ("highwater_queue_refusals_total", Kind::Counter, "Requests refused because the queue was full."),
            Self::BatchDocuments => ("highwater_batch_documents", SIZES, "Documents per run of the model."),
            Self::BatchSeconds => ("highwater_batch_seconds", SECONDS, "Seconds per run of the model."),
            Self::Connections => ("highwater_connections", Kind::Gauge, "Open connections."),
            Self::Ready => ("highwater_ready", Kind::Gauge, "1 when requests are taken."),
            Self::Observed => ("highwater_observed_documents_total", Kind::Counter, "Documents that the flood monitor observed."),
            Self::Repeated => {
                ("highwater_repeated_documents_total", Kind::Counter, "Documents that were observed before and counted nowhere.")
            }
            Self::Evictions => ("highwater_stream_evictions_total", Kind::Counter, "Streams forgotten because of the limit."),
            Self::KeysRefused => {
                ("highwater_stream_refusals_total", Kind::Counter, "New streams not watched: all that could go are in a flood.")
            }
            Self::Alarms => ("highwater_alarms_total", Kind::Counter, "Alarms, by event: raised or cleared."),
            Self::Streams => ("highwater_streams", Kind::Gauge, "Streams watched."),
            Self::StreamsInFlood => ("highwater_streams_in_flood", Kind::Gauge, "Streams between an alarm and its end."),
            Self::StateWriteSeconds => ("highwater_state_write_seconds", SECONDS, "Seconds per durable write of evidence."),
            Self::StateWriteFailures => ("highwater_state_write_failures_total", Kind::Counter, "Writes of evidence that failed."),
            Self::StateWritable => {
                ("highwater_state_writable", Kind::Gauge, "0 while evidence cannot be written and documents are refused.")
            }
            Self::WebhookDeliveries => ("highwater_webhook_deliveries_total", Kind::Counter, "Alarms that a webhook has taken."),
            Self::WebhookFailures => {
                ("highwater_webhook_failures_total", Kind::Counter, "Deliveries that a webhook did not take; they are repeated.")
            }
            Self::Listeners => ("highwater_alarm_listeners", Kind::Gauge, "Clients that listen for alarms."),
        }
    }
}

/// Label names and values.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// The recorder of one service.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in Metric::ALL {
            if let (name, Kind::Histogram(buckets), _) = metric.definition() {
                // Refused is only an empty list, and none of ours is.
                builder = builder.set_buckets_for_metric(Matcher::Full(name.into()), buckets).unwrap_or_default();
            }
        }
        let recorder = builder.build_recorder();
        for metric in Metric::ALL {
            let (name, kind, help) = metric.definition();
            let name = KeyName::from(name);
            match kind {
                Kind::Counter => recorder.describe_counter(name, None, help.into()),
                Kind::Gauge => recorder.describe_gauge(name, None, help.into()),
                Kind::Histogram(_) => recorder.describe_histogram(name, None, help.into()),
            }
        }
        let handle = recorder.handle();
        let metrics = Self { recorder, handle };
        for metric in Metric::UNLABELLED_COUNTERS {
            metrics.count(metric, 0);
        }
        metrics
    }

    /// Adds to a counter without labels.
    pub(crate) fn count(&self, metric: Metric, n: u64) {
        self.count_labelled(metric, Vec::new(), n);
    }

    /// Adds to a counter.
    pub(crate) fn count_labelled(&self, metric: Metric, labels: Labels, n: u64) {
        self.recorder.register_counter(&key(metric, labels), &META).increment(n);
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, metric: Metric, value: f64) {
        self.recorder.register_gauge(&key(metric, Vec::new()), &META).set(value);
    }

    /// Adds to a gauge.
    pub(crate) fn add(&self, metric: Metric, by: f64) {
        self.recorder.register_gauge(&key(metric, Vec::new()), &META).increment(by);
    }

    /// Puts a value into a histogram.
    pub(crate) fn record(&self, metric: Metric, labels: Labels, value: f64) {
        self.recorder.register_histogram(&key(metric, labels), &META).record(value);
    }

    /// The Prometheus text.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds recorded histogram values into their buckets; without it they pile up while nobody scrapes.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn key(metric: Metric, labels: Labels) -> Key {
    let labels: Vec<Label> = labels.into_iter().map(|(name, value)| Label::new(name, value)).collect();
    Key::from_parts(metric.definition().0, labels)
}
