//! Webhooks against receivers that fail, hang, hang up and recover: every alarm arrives, in order, signed, and is not asked of the worker.

use super::floods::{MACHINE, send, watched};
use super::*;
use crate::service::{settings::Timeouts, settings::Webhook};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread::JoinHandle,
    time::Duration,
};

/// What a receiver does with one delivery.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answer(&'static str),
    Hang,
    HangUp,
    /// Answers 200 and hangs up in the middle of a long body.
    Cut,
}

/// One delivery: head and body.
type Delivery = (String, String);

/// A receiver that does these things, one after the other, and gives what it was sent.
fn receiver(script: Vec<Does>) -> (String, JoinHandle<Vec<Delivery>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut held = Vec::new();
        let deliver = |does: Does| {
            let (mut socket, _) = listener.accept().unwrap();
            let delivery = read(&mut socket);
            match does {
                Does::Answer(status) => {
                    write!(socket, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                }
                Does::Cut => socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nIt was").unwrap(),
                Does::Hang => held.push(socket),
                Does::HangUp => drop(socket),
            }
            delivery
        };
        script.into_iter().map(deliver).collect()
    });
    (url, thread)
}

fn read(socket: &mut TcpStream) -> Delivery {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse::<usize>().unwrap();
            if body.len() >= length {
                return (head.to_owned(), body.to_owned());
            }
        }
        let n = socket.read(&mut buffer).unwrap();
        assert!(n > 0, "hung up after {text}");
        seen.extend_from_slice(&buffer[..n]);
    }
}

fn settings(url: &str) -> Settings {
    let timeouts = Timeouts {
        webhook: Duration::from_millis(60),
        webhook_retry: Duration::from_millis(1),
        webhook_retry_most: Duration::from_millis(4),
        ..Timeouts::default()
    };
    Settings { webhooks: vec![Webhook { url: url.into(), secret: Some("s3cret".into()) }], timeouts, ..Settings::default() }
}

fn number(delivery: &Delivery) -> u64 {
    serde_json::from_str::<Value>(&delivery.1).unwrap()["sequence"].as_u64().unwrap()
}

/// Raises an alarm in each of so many streams, and in the whole stream.
async fn alarms(router: &Router, streams: std::ops::Range<usize>) -> u64 {
    for stream in streams {
        send(router, (&format!("s{stream}"), MACHINE), 0..40).await;
    }
    call(router, get("/v1/alarms?limit=1")).await.1["newest"].as_u64().unwrap()
}

#[tokio::test]
async fn every_alarm_arrives_in_order_whatever_the_receiver_does() {
    use Does::{Answer, Cut, Hang, HangUp};
    let script = vec![
        Answer("500 Broken"),
        Hang,
        HangUp,
        Answer("302 Found"),
        Answer("429 Slow"),
        Answer("200 OK"),
        Answer("404 Gone"),
        Cut,
        Answer("201 Fine"),
    ];
    let (url, thread) = receiver(script);
    let (router, service, worker) = watched(settings(&url), None).await;
    assert_eq!(alarms(&router, 0..2).await, 3, "two streams and the whole one");
    let deliveries = tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert_eq!(deliveries.iter().map(number).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 1, 2, 2, 3]);
    for (head, body) in &deliveries {
        let head = head.to_lowercase();
        assert!(head.starts_with("post /hook http/1.1") && head.contains("content-type: application/json"), "{head}");
        let value = |name: &str| head.split(&format!("{name}: ")).nth(1).unwrap().lines().next().unwrap().to_owned();
        assert_eq!(value("highwater-alarm"), number(&(String::new(), body.clone())).to_string());
        let signature = value("highwater-signature");
        let (time, signature) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s3cret");
        let bytes: Vec<_> = (0..32).map(|i| u8::from_str_radix(&signature[2 * i..2 * i + 2], 16).unwrap()).collect();
        ring::hmac::verify(&key, format!("{time}.{body}").as_bytes(), &bytes).unwrap();
    }
    service.queue.stop();
    tokio::task::spawn_blocking(|| worker.join().unwrap()).await.unwrap();
    let metrics = service.metrics.render();
    assert!(
        metrics.contains("highwater_webhook_deliveries_total 3") && metrics.contains("highwater_webhook_failures_total 6"),
        "{metrics}"
    );
    assert!(!metrics.contains("/hook"));
}

#[tokio::test]
async fn a_slow_receiver_does_not_keep_the_others_from_their_alarms() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let receiver = |which: usize, mut wait: Option<std::sync::mpsc::Receiver<()>>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let order = order.clone();
        let thread = std::thread::spawn(move || {
            for _ in 0..3 {
                let (mut socket, _) = listener.accept().unwrap();
                let alarm = number(&read(&mut socket));
                // so long that all others are there
                wait.take().into_iter().for_each(|wait| wait.recv().unwrap());
                order.lock().unwrap().push((which, alarm));
                write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            }
        });
        (url, thread)
    };
    let (slow, quick) = (receiver(0, Some(wait)), receiver(1, None));
    let mut two = settings(&slow.0);
    two.webhooks.push(Webhook { url: quick.0, secret: None });
    two.timeouts.webhook = Duration::from_secs(20);
    let (router, _service, _worker) = watched(two, None).await;
    assert_eq!(alarms(&router, 0..2).await, 3);
    go.send(()).unwrap();
    tokio::task::spawn_blocking(|| [slow.1, quick.1].map(|thread| thread.join().unwrap())).await.unwrap();
    assert_eq!(*order.lock().unwrap(), [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)]);
}

#[tokio::test]
async fn what_was_not_taken_is_delivered_after_a_restart_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let receiver = std::thread::spawn(move || {
        let mut taken = Vec::new();
        while taken.len() < 4 {
            let (mut socket, _) = listener.accept().unwrap();
            let delivery = read(&mut socket);
            let well = is_well.load(Ordering::SeqCst);
            taken.extend(well.then(|| number(&delivery)));
            let status = if well { "200 OK" } else { "500 Ill" };
            write!(socket, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        }
        taken
    });
    let (router, service, worker) = watched(settings(&url), Some(&state)).await;
    assert_eq!(alarms(&router, 0..3).await, 4, "three streams and the whole one");
    service.queue.stop();
    tokio::task::spawn_blocking(|| worker.join().unwrap()).await.unwrap();
    well.store(true, Ordering::SeqCst);
    let (router, service, worker) = watched(settings(&url), Some(&state)).await;
    let taken = tokio::task::spawn_blocking(|| receiver.join().unwrap()).await.unwrap();
    assert_eq!(taken, [1, 2, 3, 4]);
    drop(router);
    service.queue.stop();
    tokio::task::spawn_blocking(|| worker.join().unwrap()).await.unwrap();
    // A third run has nothing to deliver: a fault here would be a delivery to a port where nobody listens.
    let (_, service, worker) = watched(settings(&url), Some(&state)).await;
    service.queue.stop();
    tokio::task::spawn_blocking(|| worker.join().unwrap()).await.unwrap();
    assert!(service.metrics.render().contains("highwater_webhook_failures_total 0"), "{}", service.metrics.render());
}

#[tokio::test]
async fn a_receiver_that_hangs_is_never_in_the_workers_way() {
    let (url, _thread) = receiver(vec![Does::Hang; 1000]);
    let mut slow = settings(&url);
    slow.timeouts.webhook = Duration::from_secs(600);
    let (router, _, _) = watched(slow, None).await;
    // The first alarm hangs; documents are answered all the same.
    assert!(alarms(&router, 0..3).await >= 3);
    let (_, status) = call(&router, get("/v1/streams/s2")).await;
    assert_eq!(status["documents"], 40);
}
