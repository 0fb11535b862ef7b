//! The state file under the real program: killed at any moment, on a full disk, of another model, used twice.
#![cfg(unix)]

use crate::cli::{Ran, file, highwater, ran};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Flagged by the embedded model.
const MACHINE: &str = "In conclusion, it is important to note that there are many different factors that can contribute to the success of a \
    community. By working together and sharing our ideas, we can create a welcoming environment for everyone. It is also important to \
    remember that every member has a unique perspective, and that by listening to one another we can learn and grow together as a community.";
/// Not flagged.
const HUMAN: &str = "Went past the old chandlery again on Tuesday, the one Dad swore blind sold him a left-handed sextant in '74, and of \
    course it's a vape shop now. Two lads out front, neither knew what a sextant was, though one guessed tent.";

/// A running service.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(state: &Path, more: &[&str]) -> Self {
        let mut command =
            highwater(&[&["serve", "--listen", "127.0.0.1:0", "-q", "--arl", "30", "--state", state.to_str().unwrap()], more].concat());
        Self::of(command.stdout(Stdio::piped()).stderr(Stdio::null()))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        let serving = Self { child, address };
        while !serving.get("/health/ready").0.contains("200") {
            std::thread::yield_now();
        }
        serving
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(socket, "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
            .unwrap();
        socket
    }

    fn get(&self, path: &str) -> (String, Value) {
        answer(self.ask("GET", path, "")).unwrap()
    }

    fn post(&self, body: &Value) -> (String, Value) {
        answer(self.ask("POST", "/v1/assess", &body.to_string())).unwrap()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Status line and body; `None` where the answer is not whole.
fn answer(mut socket: TcpStream) -> Option<(String, Value)> {
    let mut text = String::new();
    socket.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), serde_json::from_str(body).ok()?))
}

/// Document `i`: in turn of two streams, and machine text from a certain one on.
fn document(i: usize) -> Value {
    let key = if i.is_multiple_of(3) { "calm" } else { "busy" };
    let text = if key == "busy" && i > 12 { format!("{MACHINE} ({i})") } else { format!("{HUMAN} ({i})") };
    json!({"id": i.to_string(), "stream": key, "text": text})
}

/// What must not depend on whether the service was killed.
fn outcome(serving: &Serving) -> Value {
    let facts = |s: &Value| json!([s["key"], s["documents"], s["log_e"], s["state"]]);
    let streams = serving.get("/v1/streams").1["streams"].as_array().unwrap().iter().map(facts).collect::<Value>();
    let facts = |a: &Value| json!([a["sequence"], a["event"], a["key"], a["documents"]]);
    let alarms = serving.get("/v1/alarms").1["alarms"].as_array().unwrap().iter().map(facts).collect::<Value>();
    json!({"streams": streams, "alarms": alarms})
}

const DOCUMENTS: usize = 72;
const BATCH: usize = 3;

#[test]
fn killed_at_any_moment_it_counts_every_document_once_and_repeats_no_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = Serving::start(&folder.path().join("undisturbed"), &[]);
    for from in (0..DOCUMENTS).step_by(BATCH) {
        undisturbed.post(&json!({"documents": (from..from + BATCH).map(document).collect::<Value>()}));
    }
    let expected = outcome(&undisturbed);
    undisturbed.kill();
    assert!(expected["alarms"].as_array().unwrap().len() >= 2, "{expected}");

    let state = folder.path().join("killed");
    let mut serving = Serving::start(&state, &[]);
    let (mut next, mut kills) = (0, 0);
    while next < DOCUMENTS {
        let body = json!({"documents": (next..next + BATCH).map(document).collect::<Value>()}).to_string();
        let socket = serving.ask("POST", "/v1/assess", &body);
        // Killed during every third batch, each time a little later in its way.
        let kill = next / BATCH % 3 == 1 && kills < 8;
        if kill {
            kills += 1;
            for _ in 0..kills * kills * 400 {
                std::thread::yield_now();
            }
            serving.kill();
            serving = Serving::start(&state, &[]);
        }
        // What was not acknowledged is sent again.
        match answer(socket) {
            Some((status, answer)) if status.contains("200") => {
                assert!(answer["assessments"].as_array().unwrap().iter().all(|a| a["verdict"].is_string()), "{answer}");
                next += BATCH;
            }
            _ => assert!(kill, "no answer, and nobody was killed"),
        }
    }
    assert_eq!((outcome(&serving), kills), (expected, 8));
    serving.kill();
}

#[test]
fn a_full_disk_refuses_documents_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    // A limit on the size of files stands for the full disk; the signal that comes with it is ignored, as the write's error is what counts.
    let program = highwater(&[]).get_program().to_str().unwrap().to_owned();
    let script = format!("trap '' XFSZ; ulimit -f 4000; exec '{program}' serve --listen 127.0.0.1:0 -q --state '{}'", state.display());
    let serving = Serving::of(Command::new("bash").args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::null()));
    let keys = |i: usize| (0..16).map(|k| format!("{:0>250}", i * 16 + k)).collect::<Value>();
    let mut acknowledged = 0;
    let refused = (0..100_000).step_by(500).find_map(|from| {
        let documents: Value = (from..from + 500).map(|i| json!({"text": "a b c d e f", "stream": keys(i)})).collect();
        let (status, answer) = serving.post(&json!({ "documents": documents }));
        if status.contains("503") {
            return Some(answer["error"]["code"].clone());
        }
        let errors: Vec<_> = answer["assessments"].as_array().unwrap().iter().filter_map(|a| a["error"]["code"].as_str()).collect();
        acknowledged += 500 - errors.len();
        errors.first().map(|code| json!(code))
    });
    assert_eq!(refused, Some(json!("state_unavailable")));
    let (status, health) = serving.get("/health/ready");
    assert!(status.contains("503") && health["error"]["code"] == "state_unavailable", "{status} {health}");
    assert!(serving.get("/health/live").0.contains("200"));
    serving.kill();
    // With room again, all that was acknowledged is there.
    let serving = Serving::of(
        highwater(&["serve", "--listen", "127.0.0.1:0", "-q", "--state", state.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    );
    let documents = serving.get("/v1/streams/*").1["documents"].as_u64().unwrap();
    assert!(documents >= acknowledged as u64 && documents < acknowledged as u64 + 500, "{documents}, {acknowledged} were acknowledged");
    assert!(serving.post(&json!({"text": "a b c", "stream": "k"})).0.contains("200"));
    serving.kill();
}

fn refused(args: &[&str]) -> Ran {
    ran(&mut highwater(&[&["serve", "--listen", "127.0.0.1:0"], args].concat()))
}

#[test]
fn a_state_file_that_cannot_be_used_is_refused_with_a_choice() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let path = state.to_str().unwrap();
    let serving = Serving::start(&state, &[]);
    serving.post(&document(0));
    let twice = refused(&["--state", path]);
    assert!(twice.code == Some(2) && twice.err.contains("another process uses the state file"), "{}", twice.err);
    serving.kill();
    // Texts that begin alike are one text to a calibration.
    let text = |letter: char| json!({"text": format!("{}. {HUMAN}", letter.to_string().repeat(50))});
    let human: String = ('a'..='z').map(|letter| format!("{}\n", text(letter))).collect();
    let (human, profile) = (file(folder.path(), "human.jsonl", &human), folder.path().join("profile.json"));
    let made = ran(&mut highwater(&["calibrate", "--human", human.to_str().unwrap(), "-o", profile.to_str().unwrap()]));
    assert_eq!(made.code, Some(0), "{}", made.err);
    let other = refused(&["--state", path, "--calibration", profile.to_str().unwrap()]);
    assert!(other.code == Some(2) && other.err.contains("the calibration was") && other.err.contains("name a new file"), "{}", other.err);
    let share = refused(&["--state", path, "--base-share", "0.3"]);
    assert!(share.code == Some(2) && share.err.contains("base share"), "{}", share.err);
    let foreign = refused(&["--state", human.to_str().unwrap()]);
    assert!(foreign.code == Some(2) && foreign.err.contains("is no state file"), "{}", foreign.err);
    assert!(foreign.out.is_empty(), "it never listened: {}", foreign.out);
}

#[test]
fn settings_of_the_alarm_are_checked_together() {
    let run = refused(&["--arl", "1", "--base-share", "1", "--max-streams", "3", "--webhook", "example.org", "--webhook-secret", "hidden"]);
    assert_eq!(run.code, Some(1));
    for part in ["--arl", "--base-share", "--max-streams", "--webhook: `example.org`"] {
        assert!(run.err.contains(part), "{part}\nnot in\n{}", run.err);
    }
    assert!(!run.err.contains("hidden"));
}
