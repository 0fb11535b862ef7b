//! Over real sockets: slow clients, the connection limit, streaming, large bodies. Waiting is for the service's own short timeouts.

use super::life::{Running, request, start_with};
use super::*;
use crate::service::settings::Timeouts;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

const SHORT: Duration = Duration::from_millis(40);

fn with(timeouts: Timeouts) -> Running {
    start_with(Settings { timeouts, ..Settings::default() }, || Ok(detector(Fake::default())))
}

fn connect(service: &Running) -> TcpStream {
    let socket = TcpStream::connect(service.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

/// Everything until the service closes.
fn rest(mut socket: &TcpStream) -> String {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("not closed: {error}"),
        _ => String::from_utf8(bytes).unwrap(),
    }
}

#[test]
fn a_slow_head_and_an_idle_connection_are_closed() {
    let service = with(Timeouts { head: SHORT, ..Timeouts::default() });
    let mut slow = connect(&service);
    slow.write_all(b"GET /health/live HTT").unwrap();
    assert!(!rest(&slow).contains("200 OK"));
    let mut idle = connect(&service);
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert!(rest(&idle).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_slow_body_is_408_and_closed() {
    for (timeouts, says) in [
        (Timeouts { chunk: SHORT, ..Timeouts::default() }, "no part of the body"),
        (Timeouts { body: SHORT, ..Timeouts::default() }, "did not arrive within"),
    ] {
        let service = with(timeouts);
        let mut socket = connect(&service);
        socket.write_all(b"POST /v1/assess HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"te").unwrap();
        let answer = rest(&socket);
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"timeout\"") && answer.contains(says), "{answer}");
    }
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let service = with(Timeouts { write: SHORT, ..Timeouts::default() });
    let mut socket = connect(&service);
    socket.write_all(b"POST /v1/stream?tokens=true HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let line = format!("{{\"text\":\"{}\"}}\n", TEXT.repeat(50));
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    // Its own sending stops first (backpressure), then the connection: writing fails instead of blocking for ever.
    socket.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let error = (0..1_000_000).find_map(|_| socket.write_all(chunk.as_bytes()).err()).unwrap();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

#[test]
fn a_body_over_the_limit_is_413_also_for_clients_that_send_everything_first() {
    let service = with(Timeouts::default());
    let body = vec![b' '; 10 << 20];
    let mut socket = connect(&service);
    write!(socket, "POST /v1/assess HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
    socket.write_all(&body).unwrap();
    let answer = rest(&socket);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too_large"), "{answer}");
    // One that asks first hears it before it sends.
    let mut socket = connect(&service);
    let head =
        "POST /v1/assess HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 10000000\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    assert!(rest(&socket).starts_with("HTTP/1.1 413"));
}

#[test]
fn connections_over_the_limit_wait() {
    let settings = Settings { max_connections: 1, ..Settings::default() };
    let service = start_with(settings, || Ok(detector(Fake::default())));
    let mut first = connect(&service);
    first.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    first.read_exact(&mut [0; 15]).unwrap();
    let mut second = connect(&service);
    second.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    second.set_read_timeout(Some(SHORT)).unwrap();
    assert!(matches!(second.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    drop(first);
    second.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(rest(&second).starts_with("HTTP/1.1 200"));
}

#[test]
fn open_connections_are_counted() {
    let service = with(Timeouts::default());
    let asked = |path: &str, socket: &mut TcpStream| {
        write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        rest(&*socket)
    };
    // the end of one may be noticed a moment after its client has seen it
    let one = (0..50).any(|_| {
        let mut open = connect(&service);
        asked("/health/live", &mut connect(&service));
        asked("/metrics", &mut open).contains("\nhighwater_connections 1\n")
    });
    assert!(one, "the one that asks, and not that which is to come");
}

#[test]
fn lines_are_answered_while_the_request_is_still_being_sent() {
    let service = with(Timeouts::default());
    let mut socket = connect(&service);
    socket.write_all(b"POST /v1/stream HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    for id in ["first", "second"] {
        let line = format!("{{\"text\":\"a\",\"id\":\"{id}\"}}\n");
        write!(socket, "{:x}\r\n{line}\r\n", line.len()).unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(&format!("\"id\":\"{id}\"")) {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            seen.extend(byte);
        }
    }
    socket.write_all(b"0\r\n\r\n").unwrap();
    assert!(rest(&socket).ends_with("0\r\n\r\n"));
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let service = with(Timeouts::default());
    let mut socket = connect(&service);
    let body = json!({ "text": TEXT }).to_string();
    let one = format!("POST /v1/assess HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(one.as_bytes()).unwrap();
    socket.write_all(one.as_bytes()).unwrap();
    socket.write_all(request("GET", "/health/live").as_bytes()).unwrap();
    assert_eq!(rest(&socket).matches("HTTP/1.1 200").count(), 3);
}
