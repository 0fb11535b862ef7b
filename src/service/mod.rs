//! The HTTP service: requests in, assessments out, one worker thread that owns the detector (ARCHITECTURE, "Paths").
//!
//! [`run`] does everything; [`Server::bind`] and [`Server::run`] are the same in two steps, for callers that want the address in between.
//! Bounded everywhere: connections, bodies, queue, lines on their way. Knows no file, no flag, no environment.

mod access;
mod body;
mod connection;
mod error;
mod floods;
mod lines;
mod metrics;
mod moderations;
mod openapi;
mod page;
mod queue;
mod routes;
mod settings;
mod state;
mod stream;
mod wire;
mod worker;

pub use floods::Flood;
pub use settings::{ApiKey, Settings, Timeouts, Webhook};

use crate::detector::Detector;
use floods::Floods;
use state::{Phase, Service, WorkerSide};
use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime, sync::oneshot, time::sleep};
use worker::{Observer, Unobserved};

/// Threads that serve HTTP: they parse and write; the cores are for the model.
const HTTP_THREADS: usize = 2;
/// How often histograms are folded.
const UPKEEP: Duration = Duration::from_secs(5);

/// Whatever makes loading the detector fail.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// What `load` gives: the detector, and what streams are watched with, if they are.
pub struct Loaded {
    /// Assesses texts.
    pub detector: Detector,
    /// Watches streams.
    pub flood: Option<Flood>,
    /// Called once, as soon as requests are taken.
    pub ready: Box<dyn FnOnce() + Send>,
}

impl From<Detector> for Loaded {
    fn from(detector: Detector) -> Self {
        Self { detector, flood: None, ready: Box::new(|| {}) }
    }
}

/// Why the service ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The address is taken, not ours, or no address.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address asked for.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime, a thread or a signal handler could not be had.
    #[error("the service cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// The detector could not be loaded.
    #[error("{0}")]
    Load(LoadError),
    /// There was no time to answer everything that was taken. What was written to the state file stays there.
    #[error("{why} before everything that was taken was answered; what waited for the model ({waiting_bytes} bytes) is lost")]
    Unanswered {
        /// What ended the waiting.
        why: &'static str,
        /// What the queue still held.
        waiting_bytes: usize,
    },
    /// The worker thread ended by itself.
    #[error("the model's worker stopped unexpectedly; the log above says why")]
    Worker,
}

/// A service that holds its address and does not answer yet.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    listener: TcpListener,
}

/// Binds, loads, serves until `shutdown` is done, drains until everything is answered, the time for it is over, or `shutdown` is done once
/// more. Blocks. `load` runs on the worker's thread; until it is done, `/health/ready` says 503. Errors: see [`ServiceError`].
pub fn run<L, T, E>(settings: Settings, load: L, shutdown: impl AsyncFnMut()) -> Result<(), ServiceError>
where
    L: FnOnce() -> Result<T, E> + Send + 'static,
    T: Into<Loaded>,
    E: Into<LoadError>,
{
    Server::bind(settings)?.run(load, shutdown)
}

/// Done at the next Ctrl-C or, on Unix, SIGTERM.
pub async fn signals() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "signals cannot be caught; the service runs until it is killed");
        std::future::pending::<()>().await;
    }
}

impl Server {
    /// Takes the address.
    pub fn bind(settings: Settings) -> Result<Self, ServiceError> {
        let bound = TcpListener::bind(&settings.listen).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?.to_string(), listener))
        });
        match bound {
            // The address and not the name: who may come in depends on whether it is a loopback address.
            Ok((listen, listener)) => Ok(Self { settings: Settings { listen, ..settings }, listener }),
            Err(source) => Err(ServiceError::Listen { address: settings.listen, source }),
        }
    }

    /// The address taken, with the port that the system chose where 0 was asked for.
    pub fn local_addr(&self) -> Result<SocketAddr, ServiceError> {
        Ok(self.listener.local_addr()?)
    }

    /// Loads, serves until `shutdown` is done, drains. Blocks; see [`run`].
    pub fn run<L, T, E>(self, load: L, shutdown: impl AsyncFnMut()) -> Result<(), ServiceError>
    where
        L: FnOnce() -> Result<T, E> + Send + 'static,
        T: Into<Loaded>,
        E: Into<LoadError>,
    {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(HTTP_THREADS).thread_name("http").enable_all().build()?;
        let (service, worker) = Service::new(self.settings);
        let result = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            let ended = start(worker, move || load().map(Into::into).map_err(Into::into))?;
            live(listener, service, ended, shutdown).await
        });
        // A connection past its drain time is cut here and waited for no longer.
        runtime.shutdown_background();
        result
    }
}

/// Starts the worker's thread. The receiver says how it ended; an error of the channel means that it panicked.
fn start<L>(worker: WorkerSide, load: L) -> Result<oneshot::Receiver<Result<(), LoadError>>, std::io::Error>
where
    L: FnOnce() -> Result<Loaded, LoadError> + Send + 'static,
{
    let (tell, ended) = oneshot::channel();
    std::thread::Builder::new().name("model".into()).spawn(move || {
        let result = load().and_then(|Loaded { detector, flood, ready }| {
            let observer: Box<dyn Observer> = match flood {
                Some(flood) => Box::new(Floods::new(flood, worker.service())?),
                None => Box::new(Unobserved),
            };
            // A message to itself: it takes none before it is ready.
            worker.service().queue.tell(|_| ready());
            worker.work(detector, observer);
            Ok(())
        });
        // Nobody listens once the drain time is over.
        let _late = tell.send(result);
    })?;
    Ok(ended)
}

async fn live(
    listener: tokio::net::TcpListener,
    service: Arc<Service>,
    mut ended: oneshot::Receiver<Result<(), LoadError>>,
    mut shutdown: impl AsyncFnMut(),
) -> Result<(), ServiceError> {
    let metrics = service.metrics.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            metrics.upkeep();
        }
    });
    let mut fault = None;
    let stop = async {
        tokio::select! {
            () = shutdown() => {}
            end = &mut ended => fault = Some(end.map_or(ServiceError::Worker, |r| r.map_or_else(ServiceError::Load, |()| ServiceError::Worker))),
        }
        tracing::info!("draining: answering what was admitted");
    };
    let router = routes::router(service.clone());
    let connections = connection::serve(listener, router, &service, stop).await;
    let loaded = service.phase() == Phase::Ready;
    service.drain();
    let drained = async {
        connections.shutdown().await;
        service.queue.stop();
        let works = loaded && fault.is_none();
        if works && ended.await.is_err() { Err(ServiceError::Worker) } else { Ok(()) }
    };
    let unanswered = |why| match service.queue.waiting_bytes() {
        0 => Ok(()),
        waiting_bytes => Err(ServiceError::Unanswered { why, waiting_bytes }),
    };
    let end = tokio::select! {
        biased;
        end = drained => end.inspect(|()| tracing::info!("drained")),
        () = shutdown() => unanswered("the service was told again to end"),
        () = sleep(service.settings.timeouts.drain) => unanswered("the time of --drain was over"),
    };
    fault.map_or(end, Err)
}

/// Runs every parser of foreign bytes and checks that lines do not depend on how they were cut: for `fuzz/` and property tests.
///
/// # Panics
/// When they do, which is the finding.
#[doc(hidden)]
pub fn parse_any(bytes: &[u8]) {
    let limits = wire::Limits { text: 1000, documents: 10, tokens: false };
    // Refusing is as good as reading: only a panic counts.
    let _read = wire::assess_request(bytes, &limits).is_ok() | wire::moderation_request(bytes, &limits).is_ok();
    let whole = lines::split(&[bytes], limits.text);
    let (left, right) = bytes.split_at(bytes.len() / 2);
    assert_eq!(whole, lines::split(&[left, right], limits.text));
    for line in whole {
        if let lines::Line::Text(_, text) = line {
            let _read = wire::document(&text, &limits).is_ok();
        }
    }
}

#[cfg(test)]
mod tests;
