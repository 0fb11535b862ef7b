//! `highwater generate --backend openai` from outside, against a small server.

use crate::cli::{file, highwater, ran};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread::JoinHandle,
};

/// Answers each connection with a status and a body; gives the base address and, at the end, the requests.
fn serve(answers: Vec<(&'static str, Value)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let one = move |(status, body): (&str, Value)| {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut seen, mut buffer) = (String::new(), [0; 4096]);
        // the body is one JSON object, the last thing that is sent
        while seen.split_once("\r\n\r\n").is_none_or(|(_, body)| serde_json::from_str::<Value>(body).is_err()) {
            let n = socket.read(&mut buffer).unwrap();
            seen.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
        let body = body.to_string();
        let length = body.len();
        write!(
            socket,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        seen
    };
    (url, std::thread::spawn(move || answers.into_iter().map(one).collect()))
}

fn text(text: &str) -> (&'static str, Value) {
    let choice = json!({"message": {"content": text}, "finish_reason": "stop"});
    ("200 OK", json!({"choices": [choice], "usage": {"prompt_tokens": 1000, "completion_tokens": 500}}))
}

const SECRET: &str = "sk-test-0123456789";

#[test]
fn a_server_s_texts_are_rows_with_their_cost_and_without_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let examples = file(folder.path(), "examples.jsonl", "{\"prompt\":\"Write\",\"text\":\"An example.\"}\n");
    let (url, server) = serve(vec![text("first"), text("second")]);
    let args = ["generate", "--backend", "openai", "--base-url", &url, "--api-model", "m", "--prompt", "Write a post", "-n", "2"];
    let more = ["--examples", examples.to_str().unwrap(), "--price-in", "2", "--price-out", "8", "--parallel", "1", "--length", "20"];
    let run = ran(highwater(&[&args[..], &more].concat()).env("OPENAI_API_KEY", SECRET));
    assert_eq!(run.code, Some(0), "{}", run.err);
    let rows: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["text"].as_str().unwrap()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!((&rows[0]["label"], &rows[0]["generator"], &rows[0]["prompt"]), (&json!("machine"), &json!("m"), &json!("Write a post")));
    assert!(run.err.contains("2000 tokens in, 1000 out, cost 0.0120"), "{}", run.err);
    assert!(!run.err.contains(SECRET) && !run.out.contains(SECRET));
    let asked = server.join().unwrap();
    assert!(asked[0].contains(&format!("Bearer {SECRET}")) && asked[0].contains("An example.") && asked[0].contains("\"max_tokens\":20"));
}

#[test]
fn a_server_that_refuses_ends_the_run_with_whole_rows() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let (url, server) = serve(vec![text("first"), ("401 Unauthorized", json!({"error": {"message": format!("bad key {SECRET}")}}))]);
    let args =
        ["generate", "--backend", "openai", "--base-url", &url, "--api-model", "m", "--prompt", "Write", "-n", "3", "--parallel", "1"];
    let run = ran(highwater(&[&args[..], &["-o", out.to_str().unwrap()]].concat()).env("OPENAI_API_KEY", SECRET));
    server.join().unwrap();
    assert_eq!(run.code, Some(2), "{}", run.err);
    assert!(run.err.contains("does not write: the server answered 401: bad key [key]") && run.err.contains("--resume"), "{}", run.err);
    assert!(!run.err.contains(SECRET), "{}", run.err);
    let part = std::fs::read_to_string(folder.path().join("out.jsonl.part")).unwrap();
    assert!(part.lines().count() == 1 && part.contains("first") && part.ends_with('\n') && !out.exists(), "{part}");
}

#[test]
fn what_a_server_cannot_do_is_said_before_it_is_asked() {
    let base = ["generate", "--backend", "openai", "--base-url", "https://api.invalid/v1", "--prompt", "x"];
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--api-model", "m"], &["OPENAI_API_KEY is not set", "--no-api-key"]),
        (&["--api-model", "m", "--api-key-env", "MY_KEY"], &["MY_KEY is not set"]),
        (&["--no-api-key"], &["--api-model"]),
        (&["--api-model", "m", "--no-api-key", "--top-k", "5", "--beams", "3"], &["--beams cannot be asked of a server"]),
        (&["--api-model", "m", "--no-api-key", "--api", "soap", "--requests-per-minute", "0"], &["2 settings", "`soap` is no protocol"]),
    ];
    for (args, parts) in cases {
        let run = ran(highwater(&[&base[..], args].concat()).env_remove("OPENAI_API_KEY"));
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{args:?}: {}", run.err);
        assert!(parts.iter().all(|part| run.err.contains(part)), "{args:?}: {}", run.err);
    }
    let run = ran(&mut highwater(&["generate", "--api-model", "m", "--prompt", "x"]));
    assert!(run.code == Some(1) && run.err.contains("are for --backend openai"), "{}", run.err);
}
