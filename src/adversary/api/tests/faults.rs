//! Servers that fail: which failures are tried again, how long is waited, and what an error says and does not say.

use super::*;

fn told(result: Result<Completion, ApiError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn refusals_that_pass_are_asked_again_after_longer_and_longer_waits() {
    let acts = vec![http("500 Broken", "", "<html>"), http("429 Slow down", "retry-after: 3\r\n", "{}"), ok(&chat("at last"))];
    let (result, asked, waits) = once(acts, |s| s);
    assert_eq!(result.unwrap().text, "at last");
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|a| a.body == asked[0].body));
    assert!((0.25..=0.5).contains(&waits[0]) && (3.5..=4.).contains(&waits[1]), "{waits:?}");
}

#[test]
fn a_server_that_never_recovers_is_given_up() {
    let (result, asked, waits) = once(vec![http("503 Busy", "", ""); 3], |s| s);
    assert_eq!((asked.len(), waits.len()), (3, 2));
    assert_eq!(told(result), "gave up after 3 attempts: the server answered 503");
}

#[test]
fn a_server_that_asks_for_hours_is_not_waited_for() {
    let (result, _, waits) = once(vec![http("429 Later", "retry-after: 7200\r\n", r#"{"error":{"message":"daily limit"}}"#)], |s| s);
    assert_eq!(told(result), "gave up after 1 attempts: the server answered 429: daily limit");
    assert!(waits.is_empty());
}

#[test]
fn a_wrong_key_is_said_at_once_and_never_shown() {
    let body = json!({"error": {"message": format!("Incorrect API key provided: {KEY}.\n\u{1b}[2J"), "type": "invalid_request_error"}});
    let (result, asked, _) = once(vec![http("401 No", "", &body.to_string())], |s| s);
    let error = result.unwrap_err();
    assert!(error.concerns_all() && asked.len() == 1);
    assert_eq!(error.to_string(), "the server answered 401: Incorrect API key provided: [key]. [2J");
    assert!(!format!("{error:?} {:?}", settings("http://x")).contains("secret"), "{error:?}");
}

#[test]
fn half_an_answer_is_asked_for_again() {
    let half = events(&["data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n", "data: {\"choi"]);
    let cut = Act::Send(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\":[{\"mess".to_vec()]);
    let (result, asked, _) = once(vec![half, cut, ok(&chat("whole"))], |s| Settings { stream: true, ..s });
    assert_eq!(result.unwrap().text, "whole");
    assert_eq!(asked.len(), 3);
    let silent = events(&["data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n"]);
    let (result, ..) = once(vec![silent], |s| Settings { attempts: 1, ..s });
    assert!(told(result).contains("in the middle of its answer"));
}

#[test]
fn what_is_no_answer_is_said() {
    let cases = [
        (ok(&json!([1, 2])), "not the JSON of this protocol"),
        (http("200 OK", "", "<html>busy</html>"), "not the JSON of this protocol"),
        (ok(&json!({"error": {"message": "overloaded"}})), "cannot be used: overloaded"),
        (ok(&json!({"choices": []})), "holds no text: no reason given"),
        (ok(&json!({"choices": [{"message": {"content": null}, "finish_reason": "content_filter"}]})), "finish_reason `content_filter`"),
        (ok(&json!({"choices": [{"message": {"content": null, "refusal": "I cannot"}}]})), "the model refused: I cannot"),
        (events(&["data: {\"error\":{\"message\":\"lost\"}}\n\n"]), "cannot be used: lost"),
        (events(&["data: nonsense\n\n"]), "not the JSON of this protocol"),
        (http("404 None", "", r#"{"error":"no such model"}"#), "answered 404: no such model"),
    ];
    for (act, expected) in cases {
        let (result, ..) = once(vec![act], |s| Settings { attempts: 1, ..s });
        let error = told(result);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_huge_answer_is_cut_off_and_not_asked_for_again() {
    let huge = Act::Send(vec![b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(), vec![b'x'; 3 << 20]]);
    let stream = events(&["data: ", &"x".repeat(3 << 20)]);
    for act in [huge, stream] {
        let (result, asked, _) = once(vec![act], |s| Settings { answer_bytes: 1 << 20, ..s });
        assert_eq!(told(result), "the server's answer is longer than 1048576 bytes");
        assert_eq!(asked.len(), 1);
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_after_its_time() {
    let (result, asked, _) = once(vec![Act::Hold; 2], |s| Settings { timeout: Duration::from_millis(100), attempts: 2, ..s });
    let error = result.unwrap_err();
    assert!(error.concerns_all() && error.to_string().starts_with("gave up after 2 attempts: http://127.0.0.1"), "{error}");
    assert_eq!(asked.len(), 2);
}

#[test]
fn a_wait_that_is_stopped_ends_the_request() {
    let (url, server) = serve(vec![http("500 Broken", "", "")]);
    let clock = Jumping { stopped_after: Some(0), ..Jumping::default() };
    let result = OpenAi::new(settings(&url), &clock).complete(0, "x");
    assert!(matches!(result, Err(ApiError::Cancelled)));
    server.join().unwrap();
}

#[test]
fn requests_keep_their_distance() {
    let (url, server) = serve(vec![ok(&chat("a")), ok(&chat("b")), ok(&chat("c"))]);
    let clock = Jumping::default();
    let api = OpenAi::new(Settings { per_minute: Some(30.), ..settings(&url) }, &clock);
    (0..3).for_each(|n| assert!(api.complete(n, "x").is_ok()));
    assert_eq!(clock.waits(), [2., 2.]);
    server.join().unwrap();
}

proptest::proptest! {
    #[test]
    fn any_answer_is_read_alike_whole_and_in_pieces(
        kind in 0_u8..8,
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "data: ", "{\"choices\":[{", "\"text\":\"é\"", "\"delta\":{\"content\":\"x\"}", "\"finish_reason\":\"stop\"", "}]}", ",", "\n", "\n\n",
            "\r", "[DONE]", "\"error\":1", "null", ":",
        ]), 0..20),
    ) {
        parse_any(&[&[kind], parts.concat().as_bytes()].concat());
    }
}
