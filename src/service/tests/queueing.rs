//! The queue and the worker: early refusal, fair pieces, observation of what was admitted.

use super::{streams::by_hand, *};
use crate::{
    flood::Monitor,
    service::{metrics::Metrics, queue::Queue},
    text::StreamKey,
    verdict::TokenScore,
};
use futures_util::FutureExt;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

fn body(text: &str) -> String {
    json!({ "text": text }).to_string()
}

#[tokio::test]
async fn full_is_said_at_once_and_admitted_requests_are_answered() {
    let (mut began, leave, detector) = gated();
    // Half of 3000 is for requests: two of 1000 bytes take a half of that each, a third does not fit.
    let settings = Settings { queue_bytes: 3000, ..Settings::default() };
    let (router, service) = ready(settings, detector).await;
    let admitted = tokio::spawn({
        let router = router.clone();
        async move { call(&router, post("/v1/assess", body(&"a".repeat(1000)))).await.0 }
    });
    assert_eq!(began.recv().await, Some(1));
    let mut second = Box::pin(router.clone().oneshot(post("/v1/assess", body(&"a".repeat(1000)))));
    assert!((&mut second).now_or_never().is_none(), "admitted, not answered");
    let refusal = router.clone().oneshot(post("/v1/assess", body(&"b".repeat(1000)))).now_or_never();
    let response = refusal.expect("refused at once").unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let retry: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry));
    assert!(text_of(response).await.contains("queue_full"));
    assert!(service.metrics.render().contains("highwater_queue_refusals_total 1"));
    (0..3).for_each(|_| leave.send(()).unwrap());
    assert_eq!((admitted.await.unwrap(), second.await.unwrap().status()), (StatusCode::OK, StatusCode::OK));
    // Space is free again, also for one that is larger than the whole queue.
    assert_eq!(call(&router, post("/v1/assess", body(&"c".repeat(9000)))).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_large_request_is_admitted_while_small_ones_are_on_their_way() {
    let (mut began, leave, detector) = gated();
    let (router, _) = ready(Settings { queue_bytes: 4000, ..Settings::default() }, detector).await;
    let mut small = Box::pin(router.clone().oneshot(post("/v1/assess", body("small"))));
    assert!((&mut small).now_or_never().is_none());
    assert_eq!(began.recv().await, Some(1));
    let mut large = Box::pin(router.clone().oneshot(post("/v1/assess", body(&"a".repeat(9000)))));
    assert!((&mut large).now_or_never().is_none(), "admitted, not answered");
    (0..2).for_each(|_| leave.send(()).unwrap());
    assert_eq!((small.await.unwrap().status(), large.await.unwrap().status()), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn large_bodies_share_their_room_and_posts_need_none() {
    // Beyond the first 64 KiB of each, two have room.
    let settings = Settings { max_body: 200 << 10, body_bytes: 300 << 10, ..Settings::default() };
    let (router, service) = ready(settings, detector(Fake::default())).await;
    let large = || {
        let (send, body) = by_hand();
        send.send(vec![b' '; 199 << 10].into()).unwrap();
        (send, Box::pin(router.clone().oneshot(post("/v1/assess", body))))
    };
    let ((first, mut one), (second, mut two), (_third, three)) = (large(), large(), large());
    assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none(), "on their way");
    let response = three.now_or_never().expect("refused at once").unwrap();
    assert_eq!((response.status(), &response.headers()["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap()));
    assert!(text_of(response).await.contains("send smaller ones"));
    let padded = |text: String| format!("{}{text}", " ".repeat((64 << 10) - text.len()));
    assert_eq!(call(&router, post("/v1/assess", padded(body("a post")))).await.0, StatusCode::OK);
    for (send, response) in [(first, one), (second, two)] {
        send.send(body("a post").into()).unwrap();
        drop(send);
        assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(service.bodies.available_permits(), 300 << 10);
}

#[test]
fn what_a_sender_chose_the_length_of_takes_space() {
    let streams = (10..26).map(|i| StreamKey::new(format!("{i}").repeat(128)).unwrap()).collect();
    let long = Document { id: Some("i".repeat(Monitor::LONGEST_ID)), streams, ..Document::new("a") };
    let tokens = Document { with_tokens: true, ..Document::new("a".repeat(4300)) };
    let (surprisal_nats, entropy_nats) = (10_f32.ln(), 100_f32.ln());
    let entry = TokenScore { text: " the".into(), start: 1000, end: 1004, surprisal_nats, rank: 12, entropy_nats };
    let answer = 1000 * serde_json::to_vec(&entry).unwrap().len();
    for (document, at_least) in [(long, Monitor::LONGEST_ID + 16 * 256), (tokens, answer)] {
        let (queue, _messages, _) = Queue::new(8 << 20, Arc::new(Metrics::new()));
        let _answers = queue.try_submit(vec![document]).unwrap();
        assert!(queue.waiting_bytes() > at_least, "{} of {at_least}", queue.waiting_bytes());
    }
}

#[tokio::test]
async fn an_id_is_as_long_as_an_alarm_can_name_it_and_no_longer() {
    let router = usual().await;
    let longest = "é".repeat(Monitor::LONGEST_ID / 2);
    let (_, answer) = call(&router, post("/v1/assess", json!({"text": TEXT, "id": longest}).to_string())).await;
    assert_eq!(answer["id"].as_str(), Some(longest.as_str()), "{answer}");
    let long = json!({"text": TEXT, "id": longest + "x"});
    let several = json!({ "documents": [long] });
    let correction = json!({"id": long["id"], "label": "human"});
    for (path, body) in [("/v1/assess", &long), ("/v1/assess", &several), ("/v1/feedback", &correction)] {
        let message = refused(&router, post(path, body.to_string()), 422, "invalid").await;
        assert!(message.contains("`id` has 513 bytes, at most 512 are taken"), "{message}");
    }
    let line = text_of(router.oneshot(post("/v1/stream", long.to_string())).await.unwrap()).await;
    assert!(line.contains("\"invalid\"") && line.contains("`id` has 513 bytes"), "{line}");
}

/// Somebody whose next question is there before the last one is answered, until it is dropped.
struct Curious(Arc<AtomicBool>);

impl Curious {
    fn about(service: &Arc<Service>) -> Self {
        fn ask(service: Arc<Service>, on: Arc<AtomicBool>) {
            let asked = service.clone();
            service.queue.tell(move |_| {
                if on.load(Ordering::SeqCst) {
                    ask(asked, on);
                }
            });
        }
        let on = Arc::new(AtomicBool::new(true));
        ask(service.clone(), on.clone());
        Self(on)
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn documents_are_assessed_while_questions_never_end() {
    let (router, service) = ready(Settings::default(), detector(Fake::default())).await;
    let _curious = Curious::about(&service);
    let answer = tokio::time::timeout(Duration::from_secs(20), call(&router, post("/v1/assess", body(TEXT)))).await;
    assert_eq!(answer.expect("answered between two questions").0, StatusCode::OK);
}

#[tokio::test]
async fn the_service_comes_back_by_itself_while_questions_never_end() {
    struct Broken(Arc<AtomicBool>);
    impl Observer for Broken {
        fn observe(&mut self, batch: &[(&Document, &Assessment)]) -> Result<Vec<Vec<StreamStatus>>, ApiError> {
            self.ready().map(|()| vec![Vec::new(); batch.len()])
        }
        fn ready(&mut self) -> Result<(), ApiError> {
            let broken = self.0.load(Ordering::SeqCst);
            if broken { Err(ApiError::StateUnavailable("planted".into())) } else { Ok(()) }
        }
    }
    let broken = Arc::new(AtomicBool::new(true));
    let (router, service) = observed(Settings::default(), detector(Fake::default()), Broken(broken.clone())).await;
    refused(&router, post("/v1/assess", body(TEXT)), 503, "state_unavailable").await;
    let _curious = Curious::about(&service);
    broken.store(false, Ordering::SeqCst);
    let back = async {
        while call(&router, get("/health/ready")).await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back).await.expect("tried again");
    assert_eq!(call(&router, post("/v1/assess", body(TEXT))).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_observed_and_counted() {
    let (mut began, leave, detector) = gated();
    let notes = Notes::default();
    let (router, service) = observed(Settings::default(), detector, notes.clone()).await;
    let caller = tokio::spawn(router.clone().oneshot(post("/v1/assess", body("left"))));
    began.recv().await.unwrap();
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    call(&router, post("/v1/assess", body("stayed"))).await;
    assert_eq!(*notes.0.lock().unwrap(), ["left", "stayed"]);
    assert!(service.metrics.render().contains("highwater_hung_up_documents_total 1"));
}

#[tokio::test]
async fn a_small_request_passes_a_large_one_which_keeps_its_order() {
    let (mut began, leave, detector) = gated();
    let notes = Notes::default();
    let settings = Settings { batch_bytes: 100, ..Settings::default() };
    let (router, _) = observed(settings, detector, notes.clone()).await;
    let large: Vec<_> = (0..6).map(|i| json!({"text": format!("{i}").repeat(60)})).collect();
    let large = tokio::spawn({
        let router = router.clone();
        async move { call(&router, post("/v1/assess", json!({ "documents": large }).to_string())).await }
    });
    assert_eq!(began.recv().await, Some(1));
    let mut small = Box::pin(router.clone().oneshot(post("/v1/assess", body("small"))));
    assert!((&mut small).now_or_never().is_none(), "admitted, not answered");
    for _ in 0..7 {
        leave.send(()).unwrap();
    }
    assert_eq!(small.await.unwrap().status(), StatusCode::OK);
    let (_, answer) = large.await.unwrap();
    assert_eq!(answer["assessments"].as_array().unwrap().len(), 6);
    let order: Vec<_> = notes.0.lock().unwrap().iter().map(|t| t.chars().next().unwrap()).collect();
    assert_eq!(order, ['0', 's', '1', '2', '3', '4', '5']);
}

#[tokio::test]
async fn what_waits_becomes_one_batch() {
    let (mut began, leave, detector) = gated();
    let (router, _) = ready(Settings::default(), detector).await;
    let mut calls: Vec<_> = (0..9).map(|_| Box::pin(router.clone().oneshot(post("/v1/assess", body(TEXT))))).collect();
    assert!((&mut calls[0]).now_or_never().is_none());
    assert_eq!(began.recv().await, Some(1));
    for call in &mut calls[1..] {
        assert!(call.now_or_never().is_none());
    }
    leave.send(()).unwrap();
    assert_eq!(began.recv().await, Some(8), "those that came meanwhile share one run");
    leave.send(()).unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_dead_worker_is_an_error_and_no_hang() {
    struct Broken;
    impl Observer for Broken {
        fn observe(&mut self, _batch: &[(&Document, &Assessment)]) -> Result<Vec<Vec<StreamStatus>>, ApiError> {
            panic!("planted");
        }
    }
    let (router, _) = observed(Settings::default(), detector(Fake::default()), Broken).await;
    for _ in 0..2 {
        refused(&router, post("/v1/assess", body(TEXT)), 500, "internal").await;
    }
}

#[test]
fn answers_say_why() {
    let answer: Answer = Err(ApiError::NotReady);
    let entry = crate::service::wire::Entry::of(answer, Some("a".into()), Some(3));
    let text = serde_json::to_value(entry).unwrap();
    assert_eq!((&text["id"], &text["line"], &text["error"]["code"]), (&json!("a"), &json!(3), &json!("not_ready")));
}
