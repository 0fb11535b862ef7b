//! From bind to exit: live, loading, ready, draining, and what makes the service end by itself.

use super::*;
use crate::service::{LoadError, Loaded, Server, ServiceError, settings::Timeouts};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A service on its own thread, on a free port.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    stop: tokio::sync::mpsc::UnboundedSender<()>,
    thread: Option<JoinHandle<Result<(), ServiceError>>>,
}

impl Running {
    fn stop(&self) {
        self.stop.send(()).unwrap();
    }
    fn end(&mut self) -> Result<(), ServiceError> {
        self.thread.take().unwrap().join().unwrap()
    }
    fn get(&self, path: &str) -> String {
        answer(self.address, path)
    }
    fn becomes_ready(&self) {
        let start = Instant::now();
        while !self.get("/health/ready").starts_with("HTTP/1.1 200") {
            assert!(start.elapsed() < Duration::from_secs(20), "never ready");
        }
    }
}

pub(super) fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

fn answer(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(request("GET", path).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn begin(settings: Settings, load: impl FnOnce() -> Result<Detector, LoadError> + Send + 'static) -> Running {
    let server = Server::bind(Settings { listen: "127.0.0.1:0".into(), ..settings }).unwrap();
    let address = server.local_addr().unwrap();
    let (stop, mut stopped) = tokio::sync::mpsc::unbounded_channel();
    let thread = std::thread::spawn(move || {
        server.run(load, async || {
            if stopped.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        })
    });
    Running { address, stop, thread: Some(thread) }
}

/// A service that is ready.
pub(super) fn start_with(settings: Settings, load: impl FnOnce() -> Result<Detector, LoadError> + Send + 'static) -> Running {
    let running = begin(settings, load);
    running.becomes_ready();
    running
}

#[test]
fn live_at_once_ready_when_loaded() {
    let (loaded, wait) = mpsc::channel::<()>();
    let running = begin(Settings::default(), move || {
        wait.recv()?;
        Ok(detector(Fake::default()))
    });
    assert!(running.get("/health/live").starts_with("HTTP/1.1 200"));
    let ready = running.get("/health/ready");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("not_ready") && ready.contains("retry-after"), "{ready}");
    assert!(running.get("/v1/model").contains("not_ready"));
    assert!(running.get("/").starts_with("HTTP/1.1 200"));
    loaded.send(()).unwrap();
    running.becomes_ready();
    assert!(running.get("/v1/model").contains("\"fake\""));
}

#[test]
fn ready_is_told_once_requests_are_taken() {
    let server = Server::bind(Settings { listen: "127.0.0.1:0".into(), ..Settings::default() }).unwrap();
    let address = server.local_addr().unwrap();
    let (told, hears) = mpsc::channel();
    let ready = Box::new(move || told.send(answer(address, "/health/ready")).unwrap());
    let load = move || Ok::<_, LoadError>(Loaded { detector: detector(Fake::default()), flood: None, ready });
    std::thread::spawn(move || server.run(load, std::future::pending::<()>));
    let answer = hears.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_service_that_cannot_load_ends_and_says_why() {
    let mut running = begin(Settings::default(), || Err("no such checkpoint".into()));
    let error = running.end().unwrap_err();
    assert!(matches!(&error, ServiceError::Load(_)) && error.to_string() == "no such checkpoint", "{error}");
    let mut running = begin(Settings::default(), || panic!("planted"));
    assert!(matches!(running.end().unwrap_err(), ServiceError::Worker));
}

#[test]
fn a_taken_address_is_named() {
    let running = begin(Settings::default(), || Ok(detector(Fake::default())));
    let error = Server::bind(Settings { listen: running.address.to_string(), ..Settings::default() }).unwrap_err().to_string();
    assert!(error.contains(&running.address.to_string()) && error.contains("--listen"), "{error}");
    assert!(Server::bind(Settings { listen: "nowhere".into(), ..Settings::default() }).is_err());
}

#[test]
fn shutdown_answers_what_was_admitted_and_takes_nothing_new() {
    let (mut began, leave, detector) = gated();
    let mut running = start_with(Settings::default(), move || Ok(detector));
    let mut socket = TcpStream::connect(running.address).unwrap();
    let body = json!({ "text": TEXT }).to_string();
    write!(socket, "POST /v1/assess HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    assert_eq!(began.blocking_recv(), Some(1));
    running.stop();
    let start = Instant::now();
    while TcpStream::connect(running.address).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "still listening");
    }
    leave.send(()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"verdict\""), "{answer}");
    running.end().unwrap();
}

#[test]
fn shutdown_waits_no_longer_than_it_was_told_to_and_says_that_something_is_lost() {
    let soon = Timeouts { drain: Duration::from_millis(40), ..Timeouts::default() };
    for (timeouts, stops, says) in [(soon, 1, "--drain was over"), (Timeouts::default(), 2, "told again")] {
        let (mut began, _leave, detector) = gated();
        let mut running = start_with(Settings { timeouts, ..Settings::default() }, move || Ok(detector));
        let mut socket = TcpStream::connect(running.address).unwrap();
        write!(socket, "POST /v1/assess HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\n\r\n{{\"text\":\"a\"}}").unwrap();
        assert_eq!(began.blocking_recv(), Some(1));
        let start = Instant::now();
        (0..stops).for_each(|_| running.stop());
        let error = running.end().unwrap_err();
        assert!(matches!(error, ServiceError::Unanswered { waiting_bytes: 257, .. }) && error.to_string().contains(says), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

/// `timeout` sends its signal twice.
#[test]
fn a_service_that_is_told_twice_to_end_and_owes_nobody_an_answer_has_lost_nothing() {
    let mut running = start_with(Settings::default(), || Ok(detector(Fake::default())));
    let mut socket = TcpStream::connect(running.address).unwrap();
    // whoever owes the service a body keeps it from ending at once
    write!(socket, "POST /v1/assess HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\n\r\n{{").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    (0..2).for_each(|_| running.stop());
    running.end().unwrap();
}

#[test]
fn a_worker_that_dies_ends_the_service() {
    struct Broken;
    impl Observer for Broken {
        fn observe(&mut self, _batch: &[(&Document, &Assessment)]) -> Result<Vec<Vec<StreamStatus>>, ApiError> {
            panic!("planted");
        }
    }
    let (service, worker) = Service::new(Settings::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let result = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tell, ended) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            worker.work(detector(Fake::default()), Box::new(Broken));
            tell.send(Ok(())).ok();
        });
        service.watch_phase().wait_for(|p| *p == Phase::Ready).await.unwrap();
        service.assess(vec![Document::new(TEXT)]).await.unwrap_err();
        crate::service::live(listener, service, ended, std::future::pending::<()>).await
    });
    assert!(matches!(result.unwrap_err(), ServiceError::Worker));
}
