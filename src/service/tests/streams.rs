//! `/v1/stream` without sockets: order, faults, backpressure, draining.

use super::*;
use crate::service::settings::Timeouts;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use std::{convert::Infallible, time::Duration};

/// A body that is sent by hand.
pub(super) fn by_hand() -> (tokio::sync::mpsc::UnboundedSender<Bytes>, Body) {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let chunks = stream::unfold(receive, |mut r| async { r.recv().await.map(|b: Bytes| (Ok::<_, Infallible>(b), r)) });
    (send, Body::from_stream(chunks))
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[tokio::test]
async fn every_line_is_answered_in_order_and_bad_ones_say_why() {
    let settings = Settings { max_text: 100, ..Settings::default() };
    let (router, _) = ready(settings, detector(Fake::failing_on(b'#'))).await;
    let long = "x".repeat(1000);
    let input = format!(
        "{{\"text\":\"{TEXT}\",\"id\":\"1\"}}\n\n{{\"text\":\n{long}\r\n  \r\n{{\"text\":\"b\",\"x\":1}}\n{{\"text\":\"#\",\"id\":\"p\"}}\n{{\"text\":\"{}\"}}\n{{\"text\":\"last\",\"id\":\"2\"}}",
        "y".repeat(101)
    );
    // However it is cut, the answers are the same.
    for size in [1, 7, 64, input.len()] {
        let chunks: Vec<_> = input.as_bytes().chunks(size).map(|c| Ok::<_, Infallible>(Bytes::copy_from_slice(c))).collect();
        let response = router.clone().oneshot(post("/v1/stream", Body::from_stream(stream::iter(chunks)))).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let lines = parsed(&text_of(response).await);
        let short: Vec<_> = lines
            .iter()
            .map(|l| (l["line"].as_u64().unwrap_or(0), l["id"].as_str().unwrap_or(""), l["error"]["code"].as_str().unwrap_or("")))
            .collect();
        let expected = [
            (0, "1", ""),
            (3, "", "malformed"),
            (4, "", "too_large"),
            (6, "", "invalid"),
            (7, "p", "internal"),
            (8, "", "too_large"),
            (0, "2", ""),
        ];
        assert_eq!(short, expected, "in chunks of {size}");
    }
}

#[tokio::test]
async fn answers_leave_while_the_body_is_still_being_sent() {
    let router = usual().await;
    let (send, body) = by_hand();
    let mut answers = router.oneshot(post("/v1/stream?tokens=true", body)).await.unwrap().into_body().into_data_stream();
    for i in 0..3 {
        send.send(format!("{{\"text\":\"a\",\"id\":\"{i}\"}}\n").into()).unwrap();
        let line = answers.next().await.unwrap().unwrap();
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((line["id"].as_str(), line["token_scores"].as_array().map(Vec::len)), (Some(i.to_string().as_str()), Some(1)));
    }
    drop(send);
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn input_is_read_only_as_fast_as_answers_leave() {
    let settings = Settings { stream_lines: 4, ..Settings::default() };
    let (router, _) = ready(settings, detector(Fake::default())).await;
    let read = Arc::new(Mutex::new(0));
    let counter = read.clone();
    let endless = stream::repeat_with(move || {
        *counter.lock().unwrap() += 1;
        Ok::<_, Infallible>(Bytes::from_static(b"{\"text\":\"a\"}\n"))
    });
    let mut answers = router.oneshot(post("/v1/stream", Body::from_stream(endless))).await.unwrap().into_body().into_data_stream();
    for taken in 1..=50 {
        answers.next().await.unwrap().unwrap();
        assert!(*read.lock().unwrap() <= taken + 4, "{} read, {taken} taken", read.lock().unwrap());
    }
}

#[tokio::test]
async fn a_full_queue_slows_a_stream_and_refuses_nothing() {
    let settings = Settings { queue_bytes: 1200, ..Settings::default() };
    let notes = Notes::default();
    let (router, service) = observed(settings, detector(Fake::default()), notes.clone()).await;
    let input: String = (0..200).map(|i| format!("{{\"text\":\"{i} {TEXT}\"}}\n")).collect();
    let lines = parsed(&text_of(router.oneshot(post("/v1/stream", input)).await.unwrap()).await);
    assert_eq!(lines.len(), 200);
    assert!(lines.iter().all(|l| l["verdict"].is_string()));
    let expected: Vec<_> = (0..200).map(|i| format!("{i} {TEXT}")).collect();
    assert_eq!(*notes.0.lock().unwrap(), expected, "observed in their order");
    assert_eq!(service.queue.waiting_bytes(), 0);
}

#[tokio::test]
async fn a_request_waits_for_two_batches_of_a_stream_and_not_for_all_of_it() {
    let (mut began, leave, detector) = gated();
    let notes = Notes::default();
    let (router, _) = observed(Settings { batch_bytes: 100, ..Settings::default() }, detector, notes.clone()).await;
    let lines: String = (0..8).map(|i| format!("{{\"text\":\"{}\"}}\n", format!("{i}").repeat(60))).collect();
    let stream = tokio::spawn(text_of(router.clone().oneshot(post("/v1/stream", lines)).await.unwrap()));
    assert_eq!(began.recv().await, Some(1));
    let mut small = Box::pin(router.clone().oneshot(post("/v1/assess", "{\"text\":\"small\"}")));
    assert!((&mut small).now_or_never().is_none(), "admitted, not answered");
    for _ in 0..9 {
        leave.send(()).unwrap();
    }
    assert_eq!(small.await.unwrap().status(), StatusCode::OK);
    assert_eq!(parsed(&stream.await.unwrap()).len(), 8);
    let order: String = notes.0.lock().unwrap().iter().filter_map(|text| text.chars().next()).collect();
    assert_eq!(order, "012s34567");
}

#[tokio::test]
async fn draining_ends_a_stream_after_its_current_lines() {
    let (mut began, leave, detector) = gated();
    let (router, service) = ready(Settings::default(), detector).await;
    let (send, body) = by_hand();
    send.send("{\"text\":\"a\",\"id\":\"1\"}\n{\"text\":\"half".into()).unwrap();
    let response = router.clone().oneshot(post("/v1/stream", body)).await.unwrap();
    let answers = tokio::spawn(text_of(response));
    began.recv().await.unwrap();
    service.drain();
    leave.send(()).unwrap();
    let answers = tokio::time::timeout(Duration::from_secs(20), answers).await.expect("the stream ends");
    let lines = parsed(&answers.unwrap());
    assert_eq!((&lines[0]["id"], &lines[1]["line"], &lines[1]["error"]["code"]), (&json!("1"), &json!(2), &json!("draining")));
    assert_eq!(lines.len(), 2);
    refused(&router, post("/v1/stream", ""), 503, "draining").await;
    refused(&router, post("/v1/assess", "{\"text\":\"a\"}"), 503, "draining").await;
    refused(&router, get("/health/ready"), 503, "draining").await;
    assert_eq!(call(&router, get("/health/live")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_silent_or_broken_body_ends_with_a_line_that_says_so() {
    let timeouts = Timeouts { stream: Duration::from_millis(5), chunk: Duration::from_millis(5), ..Timeouts::default() };
    let (router, _) = ready(Settings { timeouts, ..Settings::default() }, detector(Fake::default())).await;
    let (_send, body) = by_hand();
    _send.send("{\"text\":\"a\"}\n".into()).unwrap();
    let lines = parsed(&text_of(router.clone().oneshot(post("/v1/stream", body)).await.unwrap()).await);
    assert_eq!((lines.len(), &lines[1]["error"]["code"], &lines[1]["line"]), (2, &json!("timeout"), &json!(2)));
    let broken = stream::iter([Ok(Bytes::from_static(b"{\"text\":\"a\"}\n{\"te")), Err(std::io::Error::other("reset"))]);
    let lines = parsed(&text_of(router.clone().oneshot(post("/v1/stream", Body::from_stream(broken))).await.unwrap()).await);
    assert_eq!((lines.len(), &lines[1]["error"]["code"], &lines[1]["line"]), (2, &json!("malformed"), &json!(2)));
    let (_send, body) = by_hand();
    refused(&router, post("/v1/assess", body), 408, "timeout").await;
}
