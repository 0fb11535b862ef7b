//! `/v1/assess`, `/v1/moderations`, `/v1/model`, errors, key, pages.

use super::*;

#[tokio::test]
async fn one_text_one_assessment() {
    let body = json!({"text": TEXT, "id": "a1", "stream": "forum-7", "time": "2026-01-31T12:00:00Z"}).to_string();
    let (status, answer) = call(&usual().await, post("/v1/assess", body)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&answer["id"], &answer["stream"], &answer["tokens"]), (&json!("a1"), &json!("forum-7"), &json!(40)));
    assert!(answer["p_value"].is_number() && answer.get("token_scores").is_none(), "{answer}");
}

#[tokio::test]
async fn several_texts_in_order_with_tokens() {
    let body = json!({"documents": [{"text": TEXT, "id": "x"}, {"text": ""}, {"text": "HELLO", "stream": ["a", "b"]}]}).to_string();
    let (status, answer) = call(&usual().await, post("/v1/assess?tokens=true", body)).await;
    let list = answer["assessments"].as_array().unwrap();
    assert_eq!((status, list.len()), (StatusCode::OK, 3));
    assert_eq!(list[0]["id"], "x");
    assert_eq!(list[0]["token_scores"].as_array().unwrap().len(), 40);
    assert_eq!((&list[1]["verdict"], &list[1]["abstain_reason"]), (&json!("abstain"), &json!("empty")));
    assert_eq!(list[2]["stream"], json!(["a", "b"]));
    assert_eq!(call(&usual().await, post("/v1/assess", r#"{"documents":[]}"#)).await.1, json!({"assessments": []}));
}

#[tokio::test]
async fn one_poison_document_costs_the_others_nothing() {
    let (router, service) = ready(Settings::default(), detector(Fake::failing_on(b'#'))).await;
    let body = json!({"documents": [{"text": TEXT}, {"text": "poison #", "id": "p"}, {"text": TEXT}]}).to_string();
    let (status, answer) = call(&router, post("/v1/assess", body)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&answer["assessments"][1]["id"], &answer["assessments"][1]["error"]["code"]), (&json!("p"), &json!("internal")));
    assert!(answer["assessments"][0]["verdict"].is_string() && answer["assessments"][2]["verdict"].is_string(), "{answer}");
    refused(&router, post("/v1/assess", r##"{"text":"#"}"##), 500, "internal").await;
    assert!(service.metrics.render().contains("highwater_document_failures_total 2"), "{}", service.metrics.render());
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_worker_goes_on() {
    let poisoned = hooked(|texts| assert!(!texts.iter().any(|t| t.contains(&u32::from(b'#'))), "planted"));
    let (router, _) = ready(Settings::default(), poisoned).await;
    let message = refused(&router, post("/v1/assess", r##"{"text":"#"}"##), 500, "internal").await;
    assert!(message.contains("planted"), "{message}");
    let (status, _) = call(&router, post("/v1/assess", json!({"text": TEXT}).to_string())).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn bad_requests_are_refused_by_name() {
    let settings = Settings { max_text: 100, max_documents: 2, max_body: 3000, ..Settings::default() };
    let (router, _) = ready(settings, detector(Fake::default())).await;
    let deep = format!("{{\"text\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    let cases = [
        ("", 400, "malformed", "empty"),
        ("{\"text\":\"a\"", 400, "malformed", "line 1"),
        (r#"{"text":"\ud800"}"#, 400, "malformed", "surrogate"),
        ("{\"text\":\"a\"} x", 400, "malformed", "trailing"),
        ("text=hello", 400, "malformed", "not valid JSON"),
        (&deep, 400, "malformed", "deeper"),
        (r#"["a"]"#, 422, "invalid", "a JSON object"),
        (r#"{"documents":[["a","b","c","d"]]}"#, 422, "invalid", "a JSON object"),
        (r#"{"text":5}"#, 422, "invalid", "`text` to be a string"),
        (r#"{"text":"a","id":5.5}"#, 422, "invalid", "`id` to be a string or an integer"),
        (r#"{"text":"a","time":true}"#, 422, "invalid", "or seconds since 1970"),
        (r#"{"text":"a","time":1769860800000}"#, 422, "invalid", "not milliseconds"),
        (r#"{"text":"a","stream":[5.5]}"#, 422, "invalid", "`stream` to be a string, an integer"),
        (r#"{"text":"a","txet":5}"#, 422, "invalid", "unknown field `txet`, expected one of `text`, `id`, `stream`, `time`"),
        (r#"{"text":"a","text":"b"}"#, 422, "invalid", "duplicate field `text`"),
        (r#"{"text":"a","stream":""}"#, 422, "invalid", "1 to 256 bytes"),
        (r#"{"text":"a","stream":["ok","a\nb"]}"#, 422, "invalid", "control"),
        (r#"{"text":"a","stream":{}}"#, 422, "invalid", "`stream` to be a string, an integer"),
        (r#"{"text":"a","time":"yesterday"}"#, 422, "invalid", "yesterday"),
        (r#"{"id":"a"}"#, 422, "invalid", "`text`"),
        (r#"{"text":"a","documents":[]}"#, 422, "invalid", "not both"),
        (r#"{"id":"a","documents":[]}"#, 422, "invalid", "into each document"),
        (r#"{"documents":[{"text":"a"},{"text":"a"},{"text":"a"}]}"#, 422, "invalid", "at most 2"),
        (r#"{"documents":[{"text":"a"},{}]}"#, 422, "invalid", "missing field `text`"),
        (&format!(r#"{{"text":"{}"}}"#, "a".repeat(101)), 413, "too_large", "101 bytes"),
        (&format!(r#"{{"text":"{}"}}"#, "a".repeat(3000)), 413, "too_large", "3000 bytes"),
    ];
    for (body, status, code, says) in cases {
        let message = refused(&router, post("/v1/assess", body.to_owned()), status, code).await;
        assert!(message.contains(says), "{body:.80}: {message}");
    }
    refused(&router, post("/v1/assess", vec![b'"', 0xff, b'"']), 400, "malformed").await;
    let message = refused(&router, post("/v1/assess?token=true", r#"{"text":"a"}"#), 422, "invalid").await;
    assert!(message.contains("`token`") && message.contains("`tokens`"), "{message}");
    refused(&router, post("/v1/assess?tokens=maybe", r#"{"text":"a"}"#), 422, "invalid").await;
}

/// Names in forums' databases are numbers mostly.
#[tokio::test]
async fn numbers_are_taken_for_names_and_times() {
    let body = json!({ "text": TEXT, "id": 12, "stream": [-7, "a"], "time": 1_769_860_800.5 });
    let (status, answer) = call(&usual().await, post("/v1/assess", body.to_string())).await;
    assert_eq!((status, &answer["id"], &answer["stream"]), (StatusCode::OK, &json!("12"), &json!(["-7", "a"])));
}

#[tokio::test]
async fn a_byte_order_mark_is_passed_over() {
    let (status, answer) = call(&usual().await, post("/v1/assess", format!("\u{FEFF}{}", json!({ "text": TEXT })))).await;
    assert_eq!((status, &answer["tokens"]), (StatusCode::OK, &json!(40)));
}

#[tokio::test]
async fn a_compressed_body_is_refused_by_name() {
    let router = usual().await;
    for path in ["/v1/assess", "/v1/stream", "/v1/moderations"] {
        let send = |coding: &str| Request::post(path).header("content-encoding", coding).body("\u{1f}\u{8b}".into()).unwrap();
        let message = refused(&router, send("gzip"), 400, "malformed").await;
        assert!(message.contains("`gzip`; send it uncompressed"), "{message}");
        let plain = router.clone().oneshot(send("identity")).await.unwrap();
        assert!(!text_of(plain).await.contains("uncompressed"));
    }
}

#[tokio::test]
async fn the_answer_says_how_long_the_model_ran() {
    let slow = hooked(|_| {
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 5 {
            std::hint::spin_loop();
        }
    });
    let (router, _) = ready(Settings { batch_bytes: 50, ..Settings::default() }, slow).await;
    let several = json!({"documents": [{"text": TEXT}, {"text": TEXT}, {"text": TEXT}]});
    for (body, at_least) in [(json!({ "text": TEXT }), 5.), (several, 15.)] {
        let response = router.clone().oneshot(post("/v1/assess", body.to_string())).await.unwrap();
        let header = response.headers()["server-timing"].to_str().unwrap();
        let ms: f64 = header.strip_prefix("model;dur=").unwrap().parse().unwrap();
        assert!(ms >= at_least && ms < 5000., "{header}");
    }
}

#[tokio::test]
async fn a_text_alone_and_in_a_list_are_answered_byte_for_byte_alike() {
    let (router, _) = ready(Settings::default(), detector(Tenth(Fake::default()))).await;
    let document = json!({"text": TEXT, "id": "a"});
    let ask = |body: Value| router.clone().oneshot(post("/v1/assess?tokens=true", body.to_string()));
    let alone = text_of(ask(document.clone()).await.unwrap()).await;
    let list = text_of(ask(json!({ "documents": [document] })).await.unwrap()).await;
    assert!(alone.contains(r#""surprisal_nats":0.1,"#), "{alone}");
    assert_eq!(list, format!("{{\"assessments\":[{alone}]}}"));
}

#[tokio::test]
async fn unknown_paths_and_methods_say_what_there_is() {
    let router = usual().await;
    let message = refused(&router, get("/v1/colours"), 404, "not_found").await;
    assert!(message.contains("/v1/colours") && message.contains("POST /v1/assess"), "{message}");
    refused(&router, get("/v1/assess"), 405, "method_not_allowed").await;
    let response = router.oneshot(get("/v1/assess")).await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
}

#[tokio::test]
async fn the_key_guards_answers_and_metrics_only() {
    let settings = Settings { api_key: crate::service::ApiKey::new("s3cret"), ..Settings::default() };
    assert!(!format!("{settings:?}").contains("s3cret"));
    let (router, _) = ready(settings, detector(Fake::default())).await;
    for path in ["/health/live", "/health/ready", "/openapi.json", "/docs", "/"] {
        assert_eq!(router.clone().oneshot(get(path)).await.unwrap().status(), StatusCode::OK, "{path}");
    }
    let with = |value: &str| Request::get("/v1/model").header("authorization", value).body(Body::empty()).unwrap();
    for wrong in [get("/v1/model"), get("/metrics"), with("Bearer s3creT"), with("Bearer s3cret1"), with("Bearer "), with("Basic s3cret")] {
        refused(&router, wrong, 401, "unauthorized").await;
    }
    let response = router.clone().oneshot(get("/v1/model")).await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    for right in ["Bearer s3cret", "bearer s3cret"] {
        assert_eq!(call(&router, with(right)).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn moderation_speaks_openai() {
    let router = usual().await;
    for (input, results) in
        [(json!(TEXT), 1), (json!([TEXT, "b"]), 2), (json!([{"type": "text", "text": TEXT}, {"type": "text", "text": "b"}]), 1)]
    {
        let body = json!({"input": input, "model": "omni-moderation-latest"}).to_string();
        let (status, answer) = call(&router, post("/v1/moderations", body)).await;
        assert_eq!((status, answer["results"].as_array().map(Vec::len)), (StatusCode::OK, Some(results)), "{answer}");
        let result = &answer["results"][0];
        assert_eq!(result["categories"].as_object().unwrap().len(), 14);
        assert_eq!((&result["categories"]["self-harm/intent"], &result["category_scores"]["hate"]), (&json!(false), &json!(0.0)));
        assert_eq!(result["flagged"], result["categories"]["machine-generated"]);
        assert!(result["category_scores"]["machine-generated"].as_f64().unwrap() > 0.);
        assert!(answer["id"].as_str().unwrap().starts_with("modr-") && answer["model"].is_string());
    }
    let image = json!({"input": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}).to_string();
    for (body, says) in [
        (image.as_str(), "images cannot be judged"),
        (r#"{"input":5}"#, "`input`"),
        (r#"{"input":[]}"#, "empty list"),
        (r#"{"input":["a",{"type":"text","text":"b"}]}"#, "mixes"),
        (r#"{"input":"a","stream":"b"}"#, "unknown field `stream`"),
    ] {
        let message = refused(&router, post("/v1/moderations", body.to_owned()), 422, "invalid").await;
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn pages_bring_a_strict_policy() {
    let router = usual().await;
    for path in ["/", "/docs", "/assets/style.css", "/assets/page.js", "/assets/docs.js"] {
        let response = router.clone().oneshot(get(path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let text = text_of(response).await;
        assert!(text.len() > 200 && !text.contains("innerHTML") && !text.contains("https://"), "{path}");
        assert!(!text.contains("style=\"") && !text.contains("<style") && !text.contains("onclick="), "{path}: the policy forbids it");
    }
}

#[tokio::test]
async fn metrics_count_and_never_name_a_stream() {
    let router = usual().await;
    call(&router, post("/v1/assess", json!({"text": TEXT, "stream": "secret-forum", "id": "secret-id"}).to_string())).await;
    refused(&router, post("/v1/assess", "{"), 400, "malformed").await;
    refused(&router, get("/secret-path"), 404, "not_found").await;
    let text = text_of(router.oneshot(get("/metrics")).await.unwrap()).await;
    for line in [
        "highwater_requests_total{route=\"/v1/assess\",status=\"200\"} 1",
        "highwater_requests_total{route=\"/v1/assess\",status=\"400\"} 1",
        "highwater_requests_total{route=\"other\",status=\"404\"} 1",
        "highwater_documents_total 1",
        "highwater_tokens_total 40",
        "highwater_batch_documents_count 1",
        "highwater_queue_bytes 0",
        "highwater_queue_refusals_total 0",
        "highwater_ready 1",
        "highwater_request_seconds_bucket{route=\"/v1/assess\",le=\"60\"} 2",
        "# HELP highwater_hung_up_documents_total",
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}
