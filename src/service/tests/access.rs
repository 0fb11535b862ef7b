//! Who may come in without a key: programs and the service's own page, not the pages of other sites.

use super::*;
use crate::service::{ApiKey, Server};
use std::net::SocketAddr;

type Headers = [(&'static str, &'static str)];

/// What browsers and programs send, and the code of the refusal where there is one.
const CALLERS: [(&Headers, Option<&str>); 22] = [
    // Programs; then the service's own page, and an address that was typed.
    (&[], None),
    (&[("host", "127.0.0.1:8080")], None),
    (&[("host", "LocalHost:8080")], None),
    (&[("host", "highwater.localhost.")], None),
    (&[("host", "[::1]:8080")], None),
    (&[("host", "localhost:8080"), ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")], None),
    (&[("host", "localhost:8080"), ("sec-fetch-site", "none")], None),
    // The same of browsers that say only an origin; the usual port may be written or not.
    (&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")], None),
    (&[("host", "LOCALHOST:80"), ("origin", "http://localhost")], None),
    (&[("host", "localhost:443"), ("origin", "https://localhost")], None),
    // Pages of other sites, of other ports of this machine, and of files.
    (&[("host", "localhost:8080"), ("sec-fetch-site", "cross-site")], Some("cross_origin")),
    (&[("host", "localhost:8080"), ("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")], Some("cross_origin")),
    (&[("host", "127.0.0.1:8080"), ("origin", "https://evil.example")], Some("cross_origin")),
    (&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:3000")], Some("cross_origin")),
    (&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1")], Some("cross_origin")),
    (&[("host", "localhost"), ("origin", "null")], Some("cross_origin")),
    (&[("origin", "http://localhost")], Some("cross_origin")),
    // A page whose name was pointed here after it was loaded: of one origin with us.
    (&[("host", "evil.example:8080"), ("origin", "http://evil.example:8080"), ("sec-fetch-site", "same-origin")], Some("unknown_host")),
    (&[("host", "evil.example:8080")], Some("unknown_host")),
    (&[("host", "localhost.evil.example")], Some("unknown_host")),
    (&[("host", "notlocalhost")], Some("unknown_host")),
    (&[("host", "")], Some("unknown_host")),
];

fn with(mut request: Request<Body>, headers: &Headers) -> Request<Body> {
    headers.iter().for_each(|(name, value)| drop(request.headers_mut().insert(*name, value.parse().unwrap())));
    request
}

/// The code of a refusal for who is calling, if that is what the answer is.
async fn refusal(router: &Router, request: Request<Body>) -> Option<String> {
    let response = router.clone().oneshot(request).await.unwrap();
    let forbidden = response.status() == StatusCode::FORBIDDEN;
    let body: Value = serde_json::from_str(&text_of(response).await).unwrap_or_default();
    forbidden.then(|| body["error"]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn without_a_key_pages_of_other_sites_are_refused_and_programs_are_not() {
    let router = usual().await;
    for (headers, code) in CALLERS {
        let assess = post("/v1/assess", json!({ "text": TEXT }).to_string());
        assert_eq!(refusal(&router, with(assess, headers)).await.as_deref(), code, "{headers:?}");
    }
    let message = refused(&router, with(get("/metrics"), &[("sec-fetch-site", "cross-site")]), 403, "cross_origin").await;
    assert!(message.contains("from your server") && message.contains("HIGHWATER_API_KEY"), "{message}");
    let message = refused(&router, with(get("/v1/feedback"), &[("host", "evil.example")]), 403, "unknown_host").await;
    assert!(message.contains("`evil.example`") && message.contains("HIGHWATER_API_KEY"), "{message}");
}

#[tokio::test]
async fn what_gives_nothing_away_stays_open() {
    let router = usual().await;
    for path in ["/health/live", "/health/ready", "/openapi.json", "/docs", "/", "/assets/page.js"] {
        let request = with(get(path), &[("host", "evil.example"), ("sec-fetch-site", "cross-site")]);
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn beyond_this_machine_every_name_may_be_the_services_own() {
    let (router, _) = ready(Settings { listen: "0.0.0.0:8080".into(), ..Settings::default() }, detector(Fake::default())).await;
    for (headers, code) in CALLERS {
        let expected = code.filter(|code| *code == "cross_origin");
        assert_eq!(refusal(&router, with(get("/v1/model"), headers)).await.as_deref(), expected, "{headers:?}");
    }
}

#[tokio::test]
async fn with_a_key_only_the_key_counts() {
    let (router, _) = ready(Settings { api_key: ApiKey::new("s3cret"), ..Settings::default() }, detector(Fake::default())).await;
    for (headers, _) in CALLERS {
        let request = with(with(get("/v1/model"), headers), &[("authorization", "Bearer s3cret")]);
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), StatusCode::OK, "{headers:?}");
    }
}

#[test]
fn a_name_to_listen_on_counts_as_the_address_that_it_means() {
    let server = Server::bind(Settings { listen: "localhost:0".into(), ..Settings::default() }).unwrap();
    assert_eq!(server.settings.listen.parse::<SocketAddr>().unwrap(), server.local_addr().unwrap());
}
