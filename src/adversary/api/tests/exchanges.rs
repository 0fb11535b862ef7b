//! What is sent, and what is read from whole answers and from streams.

use super::*;

#[test]
fn chat_sends_messages_and_reads_the_text_with_its_count() {
    let example = |prompt: Option<&str>| Example { prompt: prompt.map(str::to_owned), text: "An example.".into() };
    let (result, asked, waits) = once(vec![ok(&chat(" a time."))], |s| Settings {
        instruction: Some("Go on.".into()),
        examples: vec![example(Some("Begin")), example(None)],
        sampling: Sampling { max_tokens: Some(50), temperature: Some(0.5), stop: vec!["END".into()], ..Sampling::default() },
        ..s
    });
    let usage = Some(Usage { input: 7, output: 3 });
    let expected = Completion { text: " a time.".into(), model: Some("m-1".into()), finish: Some("stop".into()), usage };
    assert_eq!(result.unwrap(), expected);
    assert!(asked[0].head.starts_with("post /v1/chat/completions http/1.1"), "{}", asked[0].head);
    assert!(asked[0].head.contains(&format!("authorization: bearer {KEY}")), "{}", asked[0].head);
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let expected = json!({"model": "some-model", "messages": [message("system", "Go on."), message("user", "Begin"),
        message("assistant", "An example."), message("user", "Once upon"), message("assistant", "An example."), message("user", "Once upon")],
        "temperature": 0.5, "max_tokens": 50, "stop": ["END"], "seed": 6});
    assert_eq!(asked[0].body, expected);
    assert!(waits.is_empty());
}

#[test]
fn a_model_that_knows_max_completion_tokens_only_is_asked_so_from_then_on() {
    let told = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    let body = json!({"error": {"message": told, "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}});
    let refusal = http("400 Bad Request", "", &body.to_string());
    let limited = |s| Settings { sampling: Sampling { max_tokens: Some(50), ..Sampling::default() }, attempts: 1, ..s };
    let (url, server) = serve(vec![refusal.clone(), ok(&chat("a")), ok(&chat("b"))]);
    let clock = Jumping::default();
    let api = OpenAi::new(limited(settings(&url)), &clock);
    assert_eq!([0, 1].map(|number| api.complete(number, "x").unwrap().text), ["a", "b"]);
    let asked: Vec<_> = server.join().unwrap().into_iter().map(|asked| asked.body).collect();
    assert!(asked[0]["max_tokens"] == 50 && asked[0].get("max_completion_tokens").is_none(), "{asked:?}");
    assert!(asked[1..].iter().all(|body| body["max_completion_tokens"] == 50 && body.get("max_tokens").is_none()), "{asked:?}");
    // one that does not take the newer name either
    let (result, asked, _) = once(vec![refusal; 2], limited);
    assert_eq!((result.unwrap_err().to_string(), asked.len()), (format!("the server answered 400: {told}"), 2));
}

#[test]
fn completions_send_one_text_that_stops_at_the_separator() {
    let answer = json!({"choices": [{"text": " a time", "finish_reason": "length"}]});
    let examples = vec![Example { prompt: Some("A ".into()), text: "b".into() }];
    let change = |s| Settings { protocol: Protocol::Completions, key: None, examples: examples.clone(), ..s };
    let (result, asked, _) = once(vec![ok(&answer)], change);
    let expected = Completion { text: " a time".into(), finish: Some("length".into()), ..Completion::default() };
    assert_eq!(result.unwrap(), expected);
    assert!(asked[0].head.starts_with("post /v1/completions ") && !asked[0].head.contains("authorization"));
    assert_eq!(asked[0].body["prompt"], "A b\n###\nOnce upon");
    assert_eq!(asked[0].body["stop"], json!(["###"]));
}

#[test]
fn a_stream_is_read_piece_by_piece() {
    let pieces = [
        "data: {\"model\":\"m-2\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"caf",
        "é au\"}}]}\r\n\r\n: still here\n\ndata: {\"choices\":[{\"delta\":{\"content\":\" lait\"}}]}\n",
        "\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n",
    ];
    let (result, asked, _) = once(vec![events(&pieces)], |s| Settings { stream: true, ..s });
    let usage = Some(Usage { input: 5, output: 4 });
    let expected = Completion { text: "café au lait".into(), model: Some("m-2".into()), finish: Some("stop".into()), usage };
    assert_eq!(result.unwrap(), expected);
    assert_eq!(asked[0].body["stream"], true);
    assert_eq!(asked[0].body["stream_options"], json!({"include_usage": true}));
}

#[test]
fn completions_stream_too_and_the_last_empty_line_may_lack() {
    let pieces = ["data: {\"choices\":[{\"text\":\"one\"}]}\n\ndata: {\"choices\":[{\"text\":\" two\"}]}\n\ndata: [DONE]"];
    let (result, ..) = once(vec![events(&pieces)], |s| Settings { stream: true, protocol: Protocol::Completions, ..s });
    assert_eq!(result.unwrap().text, "one two");
}

#[test]
fn a_server_that_does_not_stream_is_read_all_the_same() {
    let (result, ..) = once(vec![ok(&chat("whole"))], |s| Settings { stream: true, ..s });
    assert_eq!(result.unwrap().text, "whole");
}

#[test]
fn a_bill_adds_tokens_and_says_what_it_lacks() {
    let mut bill = Bill::default();
    bill.add(&Completion { usage: Some(Usage { input: 1_000_000, output: 500_000 }), ..Completion::default() });
    bill.add(&Completion::default());
    assert_eq!((bill.texts, bill.uncounted), (2, 1));
    assert!((bill.cost(2., 8.) - 6.).abs() < 1e-12);
}
