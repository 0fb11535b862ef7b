//! Streams, alarms, feedback: what is answered, what goes on after a restart, and what happens when nothing can be written.

use super::*;
use crate::{
    flood::{self, About, LEVELS, Monitor, Opened, Reference, Store, StreamStatus},
    service::{
        error::ApiError,
        floods::{Board, Flood, Floods, Published},
        settings::Timeouts,
    },
};
use futures_util::StreamExt;
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Documents by machines, a dozen of which are an alarm.
pub(super) const MACHINE: &str = TEXT;
/// Too few words to be taken for a text in capitals.
const HUMAN: &str = "THE-QUICK-BROWN FOX JUMPS-OVER LAZY-DOGS";

pub(super) fn flood(state: Option<&Path>) -> Flood {
    let settings = flood::Settings { arl: 50., track_changes: state.is_some(), ..flood::Settings::default() };
    let reference = Reference::new(Calibration::for_fake().bin_rates(&LEVELS)).unwrap();
    let alpha = settings.alpha;
    match state {
        None => Flood { monitor: Monitor::new(settings, reference).unwrap(), store: None, alarms: Vec::new(), alpha },
        Some(path) => {
            let about = About { model: "fake".into(), calibration: "fake".into() };
            let Opened { store, monitor, alarms, .. } = Store::open(path, &about, settings, reference).unwrap();
            Flood { monitor, store: Some(store), alarms, alpha }
        }
    }
}

/// A ready service that watches streams, and the thread of its worker.
pub(super) async fn watched(settings: Settings, state: Option<&Path>) -> (Router, Arc<Service>, std::thread::JoinHandle<()>) {
    let (service, worker) = Service::new(settings);
    let flood = flood(state);
    let thread = std::thread::spawn(move || {
        let floods = Floods::new(flood, worker.service()).unwrap();
        worker.work(detector(Fake::default()), Box::new(floods));
    });
    service.watch_phase().wait_for(|p| *p == Phase::Ready).await.unwrap();
    (routes::router(service.clone()), service, thread)
}

/// Sends documents of one stream, with ids from `from`.
pub(super) async fn send(router: &Router, (key, text): (&str, &str), ids: std::ops::Range<usize>) -> Value {
    let documents: Vec<_> = ids.map(|id| json!({"text": text, "stream": key, "id": id.to_string()})).collect();
    let (status, answer) = call(router, post("/v1/assess", json!({ "documents": documents }).to_string())).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

#[tokio::test]
async fn answers_say_how_the_streams_of_a_document_stand() {
    let (router, _, _) = watched(Settings::default(), None).await;
    let (_, one) = call(&router, post("/v1/assess", json!({"text": TEXT, "stream": ["b", "a/ü"]}).to_string())).await;
    let streams = one["streams"].as_array().unwrap();
    assert_eq!((&streams[0]["key"], &streams[1]["key"], &streams[1]["documents"]), (&json!("b"), &json!("a/ü"), &json!(1)));
    assert_eq!(streams[0]["state"], "quiet");
    assert!(streams[0]["log_e"].is_number() && streams[0]["share"]["low"].is_number(), "{one}");
    let (_, none) = call(&router, post("/v1/assess", json!({ "text": TEXT }).to_string())).await;
    assert!(none.get("streams").is_none(), "{none}");
    let lines = format!("{}\n{{}}\n", json!({"text": TEXT, "stream": "b"}));
    let lines = text_of(router.clone().oneshot(post("/v1/stream", lines)).await.unwrap()).await;
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["streams"][0]["documents"], 2);
    call(&router, post("/v1/moderations", json!({ "input": TEXT }).to_string())).await;
    let (_, whole) = call(&router, get("/v1/streams/*")).await;
    assert_eq!(whole["documents"], 4, "everything counts in the whole stream, moderations too");
}

#[tokio::test]
async fn streams_are_paged_by_key_and_found_by_name() {
    let (router, _, _) = watched(Settings::default(), None).await;
    for key in ["c", "a/b c", "b", "ü%2F"] {
        send(&router, (key, HUMAN), 0..1).await;
    }
    let mut after = String::new();
    let mut found = Vec::new();
    loop {
        let (status, page) = call(&router, get(&format!("/v1/streams?limit=2{after}"))).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        found.extend(page["streams"].as_array().unwrap().iter().map(|s| s["key"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={}", next.replace('%', "%25").replace(' ', "%20"));
    }
    assert_eq!(found, ["*", "a/b c", "b", "c", "ü%2F"]);
    for path in ["/v1/streams/a%2Fb%20c", "/v1/streams/a/b%20c", "/v1/streams/%C3%BC%252F"] {
        let (status, one) = call(&router, get(path)).await;
        assert_eq!((status, &one["documents"]), (StatusCode::OK, &json!(1)), "{path}");
    }
    let message = refused(&router, get("/v1/streams/nobody"), 404, "no_such_stream").await;
    assert!(message.contains("`nobody`"), "{message}");
    refused(&router, get("/v1/streams/%ff"), 422, "invalid").await;
    refused(&router, get("/v1/streams/%0a"), 422, "invalid").await;
    for bad in
        ["limit=1001", "limit=x", "flood=maybe", "colour=red", "after=", "flood=true&after=a", "state=maybe", "flood=true&state=flood"]
    {
        refused(&router, get(&format!("/v1/streams?{bad}")), 422, "invalid").await;
    }
}

#[tokio::test]
async fn a_flood_is_listed_told_and_counted() {
    let (router, service, _) = watched(Settings::default(), None).await;
    send(&router, ("calm", HUMAN), 0..60).await;
    send(&router, ("busy", MACHINE), 0..60).await;
    let (_, flooded) = call(&router, get("/v1/streams?flood=true")).await;
    let keys: Vec<_> = flooded["streams"].as_array().unwrap().iter().map(|s| &s["key"]).collect();
    assert_eq!(keys, ["busy"], "{flooded}");
    for (state, expected) in [("flood", ["*", "busy"].as_slice()), ("quiet", &["calm"])] {
        let (_, page) = call(&router, get(&format!("/v1/streams?state={state}"))).await;
        let keys: Vec<_> = page["streams"].as_array().unwrap().iter().map(|s| &s["key"]).collect();
        assert_eq!(keys, expected, "{page}");
    }
    let (_, list) = call(&router, get("/v1/alarms")).await;
    let alarms = list["alarms"].as_array().unwrap();
    let busy = alarms.iter().find(|a| a["key"] == "busy").unwrap();
    assert_eq!((&busy["event"], list["newest"].as_u64()), (&json!("raised"), Some(alarms.len() as u64)));
    let metrics = service.metrics.render();
    for line in ["highwater_observed_documents_total 120", "highwater_streams 3", "highwater_alarms_total{event=\"raised\"}"] {
        assert!(metrics.contains(line), "{line} not in {metrics}");
    }
    assert!(!metrics.contains("busy") && !metrics.contains("calm"), "no key may be a label");
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_counts_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut alarms = json!(null);
    for run in 0..3 {
        let (router, service, thread) = watched(Settings::default(), Some(&state)).await;
        let (_, before) = call(&router, get("/v1/alarms")).await;
        assert!(run == 0 || before == alarms, "{before}\n{alarms}");
        send(&router, ("busy", MACHINE), 0..60).await;
        send(&router, ("busy", MACHINE), 0..60).await;
        let (_, status) = call(&router, get("/v1/streams/busy")).await;
        assert_eq!((&status["documents"], &status["state"]), (&json!(60), &json!("flood")));
        alarms = call(&router, get("/v1/alarms")).await.1;
        assert!(!alarms["alarms"].as_array().unwrap().is_empty());
        service.queue.stop();
        thread.join().unwrap();
    }
}

fn live(path: &str, last: Option<&str>) -> Request<Body> {
    let request = Request::get(path).header("accept", "text/event-stream");
    let request = last.iter().fold(request, |r, id| r.header("last-event-id", *id));
    request.body(Body::empty()).unwrap()
}

fn alarm(seq: u64) -> Published {
    Published { seq, json: format!("{{\"sequence\":{seq}}}").into() }
}

/// Reads events until there are this many alarms, for at most ten seconds; gives everything.
async fn events(body: &mut axum::body::BodyDataStream, alarms: usize) -> String {
    let mut text = String::new();
    let read = async {
        while text.matches("event: alarm").count() < alarms {
            text += std::str::from_utf8(&body.next().await.expect("more events").unwrap()).unwrap();
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), read).await.is_ok();
    assert!(in_time, "{alarms} alarms expected, heard {text:.2000}");
    text
}

#[tokio::test]
async fn live_alarms_go_on_where_a_client_left_off() {
    let (router, service, _) = watched(Settings::default(), None).await;
    service.board.publish((1..=100).map(alarm));
    let listen = |last| {
        let router = router.clone();
        async move {
            let response = router.oneshot(live("/v1/alarms", last)).await.unwrap();
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            response.into_body().into_data_stream()
        }
    };
    let numbers = |text: &str| text.lines().filter_map(|l| l.strip_prefix("id: ")?.parse().ok()).collect::<Vec<u64>>();
    let mut resumed = listen(Some("30")).await;
    assert_eq!(numbers(&events(&mut resumed, 70).await), (30..=100).collect::<Vec<_>>(), "its place, and what came after");
    let mut new = listen(None).await;
    service.board.publish([alarm(101)]);
    service.board.publish([alarm(102)]);
    // who comes back before the first alarm has a place to name
    for (body, expected) in [(&mut resumed, &[101, 102][..]), (&mut new, &[100, 101, 102])] {
        let text = events(body, 2).await;
        assert_eq!(numbers(&text), expected);
        assert!(text.contains("id: 102\nevent: alarm\ndata: {\"sequence\":102}\n\n") && !text.contains("lost"), "{text}");
    }
    refused(&router, live("/v1/alarms", Some("yesterday")), 422, "invalid").await;
    service.drain();
    while let Some(rest) = resumed.next().await {
        assert!(!rest.unwrap().starts_with(b"id"), "nothing new");
    }
    assert!(new.next().await.is_none(), "draining ends it");
}

#[tokio::test]
async fn a_listener_is_told_what_is_no_longer_kept() {
    let (router, service, _) = watched(Settings::default(), None).await;
    service.board.publish((1..=10_003).map(alarm));
    let mut body = router.oneshot(live("/v1/alarms?after=1", None)).await.unwrap().into_body().into_data_stream();
    let text = events(&mut body, 1).await;
    assert!(text.contains("event: lost\ndata: {\"after\":1,\"before\":4}\n\nid: 4\n"), "{:.200}", text);
}

#[tokio::test]
async fn a_listener_of_an_earlier_run_without_state_is_told_and_sent_everything() {
    let (router, service, _) = watched(Settings::default(), None).await;
    let resumed = |last| {
        let router = router.clone();
        async move { router.oneshot(live("/v1/alarms", Some(last))).await.unwrap().into_body().into_data_stream() }
    };
    // Told at once, also before there is anything to send.
    let greeting = |after: u64, before: u64| {
        format!("retry: 3000\nid: {0}\n\nid: {0}\nevent: lost\ndata: {{\"after\":{after},\"before\":{before}}}\n\n", before - 1)
    };
    let first = resumed("57").await.next().await.unwrap().unwrap();
    assert_eq!(first, greeting(57, 1));
    service.board.publish((1..=3).map(alarm));
    let text = events(&mut resumed("57").await, 3).await;
    assert!(text.starts_with(&format!("{}id: 1\nevent: alarm\n", greeting(57, 1))), "{text}");
    // One that is up to date, or was told already, is not told.
    for (last, alarms) in [("3", 1), ("0", 4)] {
        let mut body = resumed(last).await;
        service.board.publish((alarms == 1).then(|| alarm(4)));
        let text = events(&mut body, alarms).await;
        assert!(text.starts_with(&format!("retry: 3000\nid: {last}\n\nid: ")) && !text.contains("lost"), "{text}");
    }
    service.board.publish((5..=10_003).map(alarm));
    let text = events(&mut resumed("20000").await, 1).await;
    assert!(text.starts_with(&format!("{}id: 4\n", greeting(20_000, 4))) && text.matches("lost").count() == 1, "{text:.300}");
}

#[tokio::test]
async fn listeners_hear_heartbeats_and_are_not_many() {
    let timeouts = Timeouts { heartbeat: Duration::from_millis(1), ..Timeouts::default() };
    let (router, _, _) = watched(Settings { timeouts, max_listeners: 1, ..Settings::default() }, None).await;
    let mut body = router.clone().oneshot(live("/v1/alarms", None)).await.unwrap().into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "retry: 3000\nid: 0\n\n");
    assert_eq!(body.next().await.unwrap().unwrap(), ": still here\n\n");
    refused(&router, live("/v1/alarms", None), 429, "busy").await;
    drop(body);
    assert_eq!(router.oneshot(live("/v1/alarms", None)).await.unwrap().status(), StatusCode::OK);
}

#[test]
fn the_board_keeps_the_newest_alarms_in_order() {
    let board = Board::default();
    assert_eq!((board.after(0, 10), board.newest()), (Vec::new(), 0));
    board.publish((1..=12_000).map(alarm));
    assert_eq!((board.oldest(), board.newest()), (Some(2001), 12_000));
    assert_eq!(board.after(11_998, 10), [alarm(11_999), alarm(12_000)]);
    assert_eq!(board.after(0, 1), [alarm(2001)]);
}

#[tokio::test]
async fn feedback_is_kept_and_given_back_as_lines_for_calibration() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (router, _, _) = watched(Settings { max_text: 100, ..Settings::default() }, Some(&state)).await;
    let given = [
        json!({"id": "a", "label": "human"}),
        json!({"text": "A \"post\".", "label": "machine"}),
        json!({"id": "b", "text": "Another post.", "label": "human"}),
    ];
    for (body, number) in given.iter().zip(1..) {
        let (status, answer) = call(&router, post("/v1/feedback", body.to_string())).await;
        assert_eq!((status, answer), (StatusCode::CREATED, json!({ "number": number })));
    }
    let lines = text_of(router.clone().oneshot(get("/v1/feedback")).await.unwrap()).await;
    let at_noon = |line: &str| {
        let received = serde_json::from_str::<Value>(line).unwrap()["received"].to_string();
        line.replace(&received, "\"2026-01-31T12:00:00Z\"") + "\n"
    };
    // `highwater calibrate` is tested with the same lines.
    assert_eq!(lines.lines().map(at_noon).collect::<String>(), include_str!("feedback.jsonl"));
    let rest = text_of(router.clone().oneshot(get("/v1/feedback?after=2")).await.unwrap()).await;
    assert_eq!(rest.lines().collect::<Vec<_>>(), lines.lines().skip(2).collect::<Vec<_>>());
    for (body, code) in [
        (json!({"label": "human"}), "invalid"),
        (json!({"text": " ", "label": "human"}), "invalid"),
        (json!({"id": "a", "label": "robot"}), "invalid"),
        (json!({"id": "a", "label": "human", "x": 1}), "invalid"),
        (json!({"text": "x".repeat(101), "label": "human"}), "too_large"),
    ] {
        let (_, answer) = call(&router, post("/v1/feedback", body.to_string())).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    let (without, _, _) = watched(Settings::default(), None).await;
    let message = refused(&without, post("/v1/feedback", r#"{"id":"a","label":"human"}"#), 503, "no_state").await;
    assert!(message.contains("--state FILE"), "{message}");
}

#[tokio::test]
async fn without_a_calibration_streams_are_not_watched_and_that_is_said() {
    let router = usual().await;
    for path in ["/v1/streams", "/v1/streams/a"] {
        refused(&router, get(path), 503, "no_state").await;
    }
    assert_eq!(call(&router, get("/v1/alarms")).await.1, json!({"alarms": [], "newest": 0}));
}

/// Cannot write while it is told so.
struct Broken(Arc<AtomicBool>);

impl Observer for Broken {
    fn observe(&mut self, batch: &[(&Document, &Assessment)]) -> Result<Vec<Vec<StreamStatus>>, ApiError> {
        self.ready().map(|()| vec![Vec::new(); batch.len()])
    }

    fn ready(&mut self) -> Result<(), ApiError> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(ApiError::StateUnavailable("planted".into())),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_not_acknowledged_and_the_service_comes_back_by_itself() {
    let broken = Arc::new(AtomicBool::new(true));
    let (router, service) = observed(Settings::default(), detector(Fake::default()), Broken(broken.clone())).await;
    let body = || post("/v1/assess", json!({"documents": [{"text": TEXT}, {"text": TEXT}]}).to_string());
    let (_, answer) = call(&router, body()).await;
    assert_eq!(answer["assessments"][1]["error"]["code"], "state_unavailable", "{answer}");
    refused(&router, get("/health/ready"), 503, "state_unavailable").await;
    for path in ["/v1/assess", "/v1/stream", "/v1/moderations"] {
        refused(&router, post(path, "{\"text\":\"a\"}"), 503, "state_unavailable").await;
    }
    assert_eq!(call(&router, get("/v1/model")).await.0, StatusCode::OK, "reading goes on");
    assert!(service.metrics.render().contains("highwater_state_writable 0"));
    broken.store(false, Ordering::SeqCst);
    // Nothing is sent: the worker tries by itself.
    while call(&router, get("/health/ready")).await.0 != StatusCode::OK {
        tokio::task::yield_now().await;
    }
    let (status, answer) = call(&router, body()).await;
    assert!(status == StatusCode::OK && answer["assessments"][1]["verdict"].is_string(), "{answer}");
}
