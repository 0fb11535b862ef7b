//! The documentation against real answers.

use super::*;
use crate::verdict::{AbstainReason, Verdict};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().cloned().collect()
}

fn documented(api: &Value, name: &str) -> BTreeSet<String> {
    keys(&api["components"]["schemas"][name]["properties"])
}

#[tokio::test]
async fn the_documented_shapes_are_the_real_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (router, _, _) = super::floods::watched(Settings::default(), Some(&folder.path().join("state"))).await;
    let (_, api) = call(&router, get("/openapi.json")).await;
    let mut document = json!({"text": TEXT, "id": "a", "stream": "b"});
    let (_, mut scored) = call(&router, post("/v1/assess?tokens=true", document.to_string())).await;
    document["text"] = json!("");
    let (_, empty) = call(&router, post("/v1/assess?tokens=true", document.to_string())).await;
    scored["abstain_reason"] = empty["abstain_reason"].clone();
    assert_eq!(keys(&scored), documented(&api, "Assessment"));
    assert_eq!(keys(&scored["statistics"]), documented(&api, "Statistics"));
    assert_eq!(keys(&scored["statistics"]["rank_fractions"]), documented(&api, "RankFractions"));
    assert_eq!(keys(&scored["normalization"]), documented(&api, "Normalization"));
    assert_eq!(keys(&scored["token_scores"][0]), documented(&api, "TokenScore"));
    let stream = &scored["streams"][0];
    assert_eq!(keys(stream), documented(&api, "StreamStatus"));
    assert_eq!(keys(&stream["share"]), documented(&api, "Share"));
    assert_eq!(keys(&stream["rate"]), documented(&api, "Rate"));
    assert_eq!(keys(&call(&router, get("/v1/streams?limit=1")).await.1), documented(&api, "StreamPage"));
    super::floods::send(&router, ("busy", super::floods::MACHINE), 0..60).await;
    let (_, alarms) = call(&router, get("/v1/alarms")).await;
    assert_eq!(keys(&alarms), documented(&api, "AlarmList"));
    assert_eq!(keys(&alarms["alarms"][0]), documented(&api, "Alarm"));
    assert_eq!(keys(&alarms["alarms"][0]["severity"]), documented(&api, "Severity"));
    let correction = json!({"id": "a", "text": "b", "label": "human"}).to_string();
    assert_eq!(keys(&call(&router, post("/v1/feedback", correction)).await.1), documented(&api, "FeedbackAnswer"));
    assert_eq!(keys(&call(&router, get("/v1/feedback")).await.1), documented(&api, "Correction"));
    let (_, model) = call(&router, get("/v1/model")).await;
    assert_eq!(keys(&model), documented(&api, "ModelAnswer"));
    assert_eq!(keys(&model["model"]), documented(&api, "Model"));
    assert_eq!(keys(&model["calibration"]), documented(&api, "Calibration"));
    assert_eq!(keys(&model["calibration"]["lengths"][0]), documented(&api, "CalibratedLength"));
    assert_eq!(keys(&model["calibration"]["lengths"][0]["rate_bounds"][0]), documented(&api, "RateBound"));
    assert_eq!(keys(&model["limits"]), documented(&api, "Limits"));
    let (_, moderation) = call(&router, post("/v1/moderations", r#"{"input":"a"}"#)).await;
    assert_eq!(keys(&moderation), documented(&api, "Moderation"));
    assert_eq!(keys(&moderation["results"][0]), documented(&api, "ModerationResult"));
    let (_, error) = call(&router, post("/v1/assess", "")).await;
    assert_eq!(keys(&error["error"]), documented(&api, "ErrorBody"));
}

#[tokio::test]
async fn every_documented_route_is_routed_and_every_reference_leads_somewhere() {
    let router = usual().await;
    let (_, api) = call(&router, get("/openapi.json")).await;
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let request =
                Request::builder().method(method.to_uppercase().as_str()).uri(path.replace("{key}", "a")).body(Body::empty()).unwrap();
            let status = router.clone().oneshot(request).await.unwrap().status();
            assert!(![StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&status), "{method} {path}: {status}");
        }
    }
    assert_eq!(keys(&api["paths"]).len(), 11);
    let text = api.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(api["components"]["schemas"].get(reference).is_some(), "{reference} is not described");
    }
}

/// The names that an enum is written with: given another, serde tells them all.
fn names<T: DeserializeOwned + std::fmt::Debug>() -> Value {
    let told = serde_json::from_str::<T>("\"?\"").unwrap_err().to_string();
    told.split('`').skip(3).step_by(2).collect()
}

#[tokio::test]
async fn the_documented_words_are_the_real_ones() {
    let (_, api) = call(&usual().await, get("/openapi.json")).await;
    assert_eq!(names::<Verdict>(), json!(["human", "machine", "abstain"]));
    for (name, words) in [("Verdict", names::<Verdict>()), ("AbstainReason", names::<AbstainReason>())] {
        assert_eq!(api["components"]["schemas"][name]["enum"], words, "{name}");
    }
}

#[tokio::test]
async fn every_route_tells_how_it_refuses() {
    let (_, api) = call(&usual().await, get("/openapi.json")).await;
    let told = |path: &str, method: &str| keys(&api["paths"][path][method]["responses"]);
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let (told, guarded) = (told(path, method), path.starts_with("/v1/") || path == "/metrics");
            assert_eq!((told.contains("401"), told.contains("403")), (guarded, guarded), "{method} {path}: {told:?}");
        }
    }
    for (method, path, statuses) in [
        ("post", "/v1/assess", "200 400 401 403 408 413 422 429 500 503"),
        ("post", "/v1/moderations", "200 400 401 403 408 413 422 429 500 503"),
        ("post", "/v1/feedback", "201 400 401 403 408 413 422 429 500 503"),
        ("post", "/v1/stream", "200 400 401 403 422 500 503"),
        ("get", "/v1/streams/{key}", "200 401 403 404 422 429 500 503"),
        ("get", "/v1/model", "200 401 403 500 503"),
        ("get", "/metrics", "200 401 403 500"),
    ] {
        assert_eq!(Vec::from_iter(told(path, method)).join(" "), statuses, "{method} {path}");
    }
    let error = &api["paths"]["/v1/stream"]["post"]["responses"]["401"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(error, "#/components/schemas/ErrorAnswer");
}
