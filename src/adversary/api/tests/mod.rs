//! A small server that answers as it is told, one connection after the other, and what the backend makes of it.

use super::*;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread::JoinHandle,
};

mod corpus;
mod exchanges;
mod faults;
mod order;

const KEY: &str = "sk-very-secret-0123456789";

/// What the server does with one connection.
#[derive(Clone)]
enum Act {
    /// Sends these pieces and closes the connection.
    Send(Vec<Vec<u8>>),
    /// Reads the request and says nothing until the asker has gone.
    Hold,
}

/// A whole answer of a status, further header lines, and a body.
fn http(status: &str, headers: &str, body: &str) -> Act {
    let length = body.len();
    Act::Send(vec![format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()])
}

fn ok(body: &Value) -> Act {
    http("200 OK", "content-type: application/json\r\n", &body.to_string())
}

/// An answer in events, each piece sent by itself; the end of the connection ends it.
fn events(pieces: &[&str]) -> Act {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n";
    Act::Send([head].iter().chain(pieces).map(|piece| piece.as_bytes().to_vec()).collect())
}

fn chat(text: &str) -> Value {
    json!({"model": "m-1", "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}})
}

/// A request as it came: its head, and its body as JSON.
struct Asked {
    head: String,
    body: Value,
}

/// Serves these acts in order; gives the base address and, at the end, the requests.
fn serve(acts: Vec<Act>) -> (String, JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || acts.into_iter().map(|act| answer(&listener, act)).collect());
    (url, thread)
}

fn answer(listener: &TcpListener, act: Act) -> Asked {
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_nodelay(true).unwrap();
    let asked = read_request(&mut socket);
    match act {
        Act::Send(pieces) => pieces.iter().for_each(|piece| {
            // an asker that has had enough closes its end
            let _ = socket.write_all(piece).and_then(|()| socket.flush());
        }),
        Act::Hold => {
            let _ = socket.read(&mut [0]);
        }
    }
    asked
}

fn read_request(socket: &mut TcpStream) -> Asked {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap();
            if body.len() >= length {
                return Asked { body: serde_json::from_str(body).unwrap(), head };
            }
        }
        let n = socket.read(&mut buffer).unwrap();
        assert!(n > 0, "the request ended early");
        seen.extend_from_slice(&buffer[..n]);
    }
}

/// A clock that jumps.
#[derive(Default)]
struct Jumping {
    slept: Mutex<Vec<Duration>>,
    stopped_after: Option<usize>,
}

impl Clock for &Jumping {
    fn now(&self) -> Duration {
        self.slept.lock().unwrap().iter().sum()
    }

    fn sleep(&self, wait: Duration) -> bool {
        let mut slept = self.slept.lock().unwrap();
        slept.push(wait);
        self.stopped_after.is_none_or(|n| slept.iter().filter(|wait| !wait.is_zero()).count() <= n)
    }
}

impl Jumping {
    /// The waits that were any.
    fn waits(&self) -> Vec<f64> {
        self.slept.lock().unwrap().iter().map(Duration::as_secs_f64).filter(|wait| *wait > 0.).collect()
    }
}

fn settings(url: &str) -> Settings {
    Settings { key: Key::new(KEY), timeout: Duration::from_secs(20), attempts: 3, seed: 4, ..Settings::new(url, "some-model") }
}

/// One text from a server that acts so: the result, the requests, the waits.
fn once(acts: Vec<Act>, change: impl Fn(Settings) -> Settings) -> (Result<Completion, ApiError>, Vec<Asked>, Vec<f64>) {
    let (url, server) = serve(acts);
    let clock = Jumping::default();
    let result = OpenAi::new(change(settings(&url)), &clock).complete(2, "Once upon");
    (result, server.join().unwrap(), clock.waits())
}
