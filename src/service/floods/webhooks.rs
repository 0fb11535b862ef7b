//! Alarms to webhooks, from one thread: in order, signed, again and again until they are taken, and never in the worker's way.
//!
//! Each webhook has a place of its own on the board of alarms; with a state file the places are kept there. At least once: a delivery whose
//! answer was lost is repeated, and the receiver knows it by its number.

use super::board::{Board, Published};
use crate::{
    client::{Client, Limits, place},
    flood::Store,
    service::{
        LoadError,
        metrics::{Metric, Metrics},
        settings::{Timeouts, Webhook},
        state::Service,
    },
};
use jiff::Timestamp;
use ring::{digest, hmac};
use std::{
    fmt::Write,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Longest answer that is read: it is only looked at in the log.
const ANSWER: usize = 64 << 10;
/// Longest `Retry-After` that is obeyed.
const LONGEST_WISH: Duration = Duration::from_secs(3600);
/// How long the thread sleeps when it has nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// The sending thread.
pub(super) struct Webhooks {
    wake: SyncSender<()>,
    thread: JoinHandle<Vec<(String, u64)>>,
}

/// Where alarms go, and how far they are there.
struct Target {
    webhook: Webhook,
    key: Option<hmac::Key>,
    /// Names it in the state file: the address itself may hold a secret.
    name: String,
    /// The last alarm that it has taken.
    place: u64,
    failures: u32,
    due: Instant,
}

/// What the thread works with.
struct Sender {
    targets: Vec<Target>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    client: Client,
    times: Timeouts,
    service: Arc<Service>,
}

impl Webhooks {
    /// Starts the thread. A webhook that the state file does not know begins with the next alarm.
    pub(super) fn start(service: &Arc<Service>, store: Option<&mut Store>) -> Result<Self, LoadError> {
        let settings = &service.settings;
        let names: Vec<_> = settings.webhooks.iter().map(|w| hex(digest::digest(&digest::SHA256, w.url.as_bytes()).as_ref())).collect();
        let newest = service.board.newest();
        let places = match store {
            Some(store) => store.receivers(&names, newest)?,
            None => vec![newest; names.len()],
        };
        let target = |((webhook, name), place): ((&Webhook, String), u64)| {
            let key = webhook.secret.as_ref().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
            Target { webhook: webhook.clone(), key, name, place, failures: 0, due: Instant::now() }
        };
        let sender = Sender {
            targets: settings.webhooks.iter().zip(names).zip(places).map(target).collect(),
            board: service.board.clone(),
            metrics: service.metrics.clone(),
            client: Client::new(Limits { timeout: settings.timeouts.webhook, answer_bytes: ANSWER }),
            times: settings.timeouts,
            service: service.clone(),
        };
        // One waiting wake-up is as good as many.
        let (wake, woken) = sync_channel(1);
        let thread = std::thread::Builder::new().name("webhooks".into()).spawn(move || sender.run(&woken))?;
        Ok(Self { wake, thread })
    }

    /// Says that there is a new alarm.
    pub(super) fn wake(&self) {
        // A full channel wakes it already.
        let _already = self.wake.try_send(());
    }

    /// Lets it try what is left once more, and gives how far each webhook is.
    pub(super) fn end(self) -> Vec<(String, u64)> {
        drop(self.wake);
        self.thread.join().unwrap_or_else(|_| {
            tracing::error!("the thread of the webhooks panicked; the log above says why");
            Vec::new()
        })
    }
}

impl Sender {
    fn run(mut self, woken: &Receiver<()>) -> Vec<(String, u64)> {
        loop {
            self.round(Instant::now());
            if let Err(RecvTimeoutError::Disconnected) = woken.recv_timeout(self.rest()) {
                break;
            }
        }
        let now = Instant::now();
        self.targets.iter_mut().for_each(|target| target.due = now);
        while self.round(now) {}
        for target in self.targets.iter().filter(|t| t.place < self.board.newest()) {
            tracing::warn!(webhook = place(&target.webhook.url), "alarms after {} are not delivered yet", target.place);
        }
        self.targets.into_iter().map(|target| (target.name, target.place)).collect()
    }

    /// Sends each webhook that is due its next alarm, and gives whether one was. In turn: who is slow must not keep the others from theirs.
    fn round(&mut self, now: Instant) -> bool {
        let mut sent = false;
        for at in 0..self.targets.len() {
            if self.targets[at].due <= now
                && let Some(alarm) = self.board.after(self.targets[at].place, 1).pop()
            {
                self.send(at, &alarm);
                sent = true;
            }
        }
        sent
    }

    /// How long there is nothing to do.
    fn rest(&self) -> Duration {
        let waiting = self.targets.iter().filter(|t| t.place < self.board.newest());
        waiting.map(|t| t.due.saturating_duration_since(Instant::now())).min().unwrap_or(IDLE)
    }

    /// Sends one alarm to one webhook and notes how that went.
    fn send(&mut self, at: usize, alarm: &Published) {
        let target = &mut self.targets[at];
        let to = place(&target.webhook.url);
        let result = post(&self.client, target, alarm);
        match result {
            Ok(()) => {
                self.metrics.count(Metric::WebhookDeliveries, 1);
                (target.place, target.failures) = (alarm.seq, 0);
                let (name, sequence) = (target.name.clone(), alarm.seq);
                self.service.queue.tell(move |observer| {
                    if let Some(floods) = observer.floods() {
                        floods.delivered(&name, sequence);
                    }
                });
            }
            Err((why, wish)) => {
                self.metrics.count(Metric::WebhookFailures, 1);
                target.failures = target.failures.saturating_add(1);
                // Anything that is not the same everywhere: many services must not come back at the same moment.
                let random = RandomState::new().hash_one(&target.name) as f64 / u64::MAX as f64;
                let wait = delay(target.failures, random, &self.times).max(wish.unwrap_or_default().min(LONGEST_WISH));
                target.due = Instant::now() + wait;
                tracing::warn!(webhook = to, alarm = alarm.seq, "not delivered: {why}; tried again in {:.0} s", wait.as_secs_f64());
            }
        }
    }
}

/// Posts one alarm. An error says why it was not taken, and what wait was wished for.
fn post(client: &Client, target: &Target, alarm: &Published) -> Result<(), (String, Option<Duration>)> {
    let number = alarm.seq.to_string();
    let signature = target.key.as_ref().map(|key| sign(key, Timestamp::now().as_second(), &alarm.json));
    let mut headers = vec![("content-type", "application/json"), ("highwater-alarm", number.as_str())];
    headers.extend(signature.as_ref().map(|value| ("highwater-signature", value.as_str())));
    let answer = client.post_unread(&target.webhook.url, &headers, &alarm.json).map_err(|e| (e.to_string(), None))?;
    match answer.status {
        200..300 => Ok(()),
        status => Err((format!("{} answered {status}", place(&target.webhook.url)), answer.retry_after.map(Duration::from_secs))),
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 over the time, a full stop and the body. The time lets a receiver refuse what somebody recorded.
fn sign(key: &hmac::Key, seconds: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    format!("t={seconds},v1={}", hex(context.sign().as_ref()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Twice as long after each failure, up to the longest, and a random half of it off. `random` in 0..=1.
fn delay(failures: u32, random: f64, times: &Timeouts) -> Duration {
    let doubled = times.webhook_retry.saturating_mul(1 << failures.saturating_sub(1).min(20));
    doubled.min(times.webhook_retry_most).mul_f64(0.5 + 0.5 * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_hmac_sha256_over_time_and_body() {
        // python3: hmac.new(b"secret", b'1700000000.{"sequence":1}', "sha256").hexdigest()
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        assert_eq!(
            sign(&key, 1_700_000_000, br#"{"sequence":1}"#),
            "t=1700000000,v1=18bc11772afaf484e0965986f207fe89db26cf0ae670f45fd508d1ab6fb23b5e"
        );
    }

    #[test]
    fn waits_double_up_to_the_longest_and_are_jittered() {
        let times = Timeouts::default();
        let waits = [1, 2, 3, 9, 10, 40].map(|failures| delay(failures, 1., &times).as_secs());
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
        assert_eq!(delay(3, 0., &times), Duration::from_secs(2));
    }
}
