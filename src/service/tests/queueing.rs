//! The queue and the worker: early refusal, fair pieces, observation of what was admitted.

use super::*;
use futures_util::FutureExt;

fn body(text: &str) -> String {
    json!({ "text": text }).to_string()
}

#[tokio::test]
async fn full_is_said_at_once_and_admitted_requests_are_answered() {
    let (mut began, leave, detector) = gated();
    // Half of 3000 is for requests: one of 1000 bytes and overhead fits, a second does not.
    let settings = Settings { queue_bytes: 3000, ..Settings::default() };
    let (router, service) = ready(settings, detector).await;
    let admitted = tokio::spawn({
        let router = router.clone();
        async move { call(&router, post("/v1/assess", body(&"a".repeat(1000)))).await.0 }
    });
    assert_eq!(began.recv().await, Some(1));
    let refusal = router.clone().oneshot(post("/v1/assess", body(&"b".repeat(1000)))).now_or_never();
    let response = refusal.expect("refused at once").unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let retry: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry));
    assert!(text_of(response).await.contains("queue_full"));
    assert!(service.metrics.render().contains("highwater_queue_refusals_total 1"));
    leave.send(()).unwrap();
    assert_eq!(admitted.await.unwrap(), StatusCode::OK);
    leave.send(()).unwrap();
    // Space is free again, also for one that is larger than the whole queue.
    assert_eq!(call(&router, post("/v1/assess", body(&"c".repeat(9000)))).await.0, StatusCode::OK);
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
