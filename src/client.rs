//! A small HTTP client: an address and bytes in, a status and bounded bytes out, over HTTP or HTTPS.
//!
//! Blocking, for threads of their own. Follows no redirect, so that a signed or secret request never reaches another host; every status
//! is an answer. Honours `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. Keeps no cookie and logs nothing of what it sends.

use std::{fmt, io::Read, ops::ControlFlow, time::Duration};
use ureq::{Agent, Body, http::Response};

/// Bounds on one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the whole exchange, from looking up the name to the last byte of the answer.
    pub timeout: Duration,
    /// Longest answer that is taken, bytes; a longer one is an error.
    pub answer_bytes: usize,
}

/// Sends requests. Cheap to clone; clones share open connections.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    limits: Limits,
}

/// What came back, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds, where it is a number.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// The start of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds, where it is a number.
    pub retry_after: Option<u64>,
    /// `Content-Type`, or nothing.
    pub content_type: String,
}

/// No answer: the address is none, nobody listens, time is over, the answer is too long.
#[derive(Debug, thiserror::Error)]
#[error("{place} gave no answer: {source}")]
pub struct ClientError {
    /// Scheme, host and port: paths and queries may hold secrets.
    place: String,
    source: Box<ureq::Error>,
}

impl Client {
    /// A client with these bounds.
    pub fn new(limits: Limits) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(limits.timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("highwater/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().new_agent(), limits }
    }

    /// Sends a body with POST.
    pub fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, ClientError> {
        self.answer(url, self.send(url, headers, body))
    }

    /// Sends a body with POST and reads nothing of the answer but its head: what is said below, and how it ends, is all the same to the caller.
    pub fn post_unread(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Head, ClientError> {
        self.send(url, headers, body).map(|response| head(&response)).map_err(failed(url))
    }

    /// Asks with GET.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, ClientError> {
        let request = headers.iter().fold(self.agent.get(url), |request, (name, value)| request.header(*name, *value));
        self.answer(url, request.call())
    }

    /// Sends a body with POST and hands over the answer's body piece by piece, as it comes, until its end or until `take` breaks off. The
    /// limit on its length is left to `take`; a connection that breaks in the middle is an error.
    pub fn post_streamed(
        &self,
        url: &str,
        (headers, body): (&[(&str, &str)], &[u8]),
        take: &mut dyn FnMut(&Head, &[u8]) -> ControlFlow<()>,
    ) -> Result<Head, ClientError> {
        let failed = failed(url);
        let mut response = self.send(url, headers, body).map_err(&failed)?;
        let head = head(&response);
        let mut reader = response.body_mut().as_reader();
        let mut buffer = [0; 1 << 13];
        loop {
            let n = reader.read(&mut buffer).map_err(|e| failed(e.into()))?;
            if n == 0 || take(&head, &buffer[..n]).is_break() {
                return Ok(head);
            }
        }
    }

    fn send(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response<Body>, ureq::Error> {
        headers.iter().fold(self.agent.post(url), |request, (name, value)| request.header(*name, *value)).send(body)
    }

    fn answer(&self, url: &str, response: Result<Response<Body>, ureq::Error>) -> Result<Answer, ClientError> {
        let mut response = response.map_err(failed(url))?;
        let Head { status, retry_after, .. } = head(&response);
        let body = response.body_mut().with_config().limit(self.limits.answer_bytes as u64).read_to_vec().map_err(failed(url))?;
        Ok(Answer { status, retry_after, body })
    }
}

fn failed(url: &str) -> impl Fn(ureq::Error) -> ClientError {
    move |source| ClientError { place: place(url).to_owned(), source: Box::new(source) }
}

fn head(response: &Response<Body>) -> Head {
    let content_type = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let retry_after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.trim().parse().ok());
    Head { status: response.status().as_u16(), retry_after, content_type }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Scheme, host and port of an address, without a user name or password: what may stand in a log.
pub fn place(url: &str) -> &str {
    let (before, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (&url[..scheme.len() + 3], rest));
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    match host.rfind('@') {
        Some(at) => &host[at + 1..],
        None => &url[..before.len() + host.len()],
    }
}

/// Why an address cannot be asked: it must be `http://` or `https://` with a host.
pub fn check_url(url: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("`{}` {why}; an address looks like https://example.org/path", place(url)));
    let Ok(parsed) = url.parse::<ureq::http::Uri>() else { return refuse("is no address") };
    match (parsed.scheme_str(), parsed.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(()),
        (Some("http" | "https"), _) => refuse("has no host"),
        _ => refuse("is neither http:// nor https://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread::JoinHandle,
    };

    const LIMITS: Limits = Limits { timeout: Duration::from_secs(20), answer_bytes: 100 };

    /// Answers one connection and gives back what was sent to it.
    fn once(answer: String) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
            while !(seen.ends_with(b"body") || seen.starts_with(b"GET") && seen.ends_with(b"\r\n\r\n")) {
                let n = socket.read(&mut buffer).unwrap();
                seen.extend_from_slice(&buffer[..n]);
            }
            socket.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(seen).unwrap()
        });
        (url, thread)
    }

    fn http(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
    }

    #[test]
    fn every_status_is_an_answer_and_no_redirect_is_followed() {
        for (status, headers, retry_after) in
            [("200 OK", "", None), ("503 Busy", "retry-after: 7\r\n", Some(7)), ("302 Found", "location: http://127.0.0.1:9/\r\n", None)]
        {
            let (url, thread) = once(http(status, headers, "hello"));
            let answer = Client::new(LIMITS).post(&url, &[("x-one", "1")], b"the body").unwrap();
            assert_eq!((answer.status, answer.retry_after), (status[..3].parse().unwrap(), retry_after));
            assert_eq!(answer.body, b"hello");
            let seen = thread.join().unwrap();
            assert!(seen.starts_with("POST /hook?token=secret ") && seen.contains("x-one: 1\r\n") && seen.ends_with("the body"), "{seen}");
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_an_error_that_shows_no_secret() {
        let (url, thread) = once(http("200 OK", "", &"x".repeat(101)));
        let error = Client::new(LIMITS).get(&url, &[]).unwrap_err().to_string();
        assert!(error.contains("127.0.0.1") && !error.contains("secret"), "{error}");
        thread.join().unwrap();
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = Client::new(Limits { timeout: Duration::from_millis(50), ..LIMITS });
        let error = client.post(&url, &[], b"{}").unwrap_err().to_string();
        assert!(error.contains("timeout"), "{error}");
    }

    #[test]
    fn addresses_are_checked_and_shown_without_their_secrets() {
        for good in ["http://localhost:8080/a", "https://example.org", "https://user:pw@example.org/x?y"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in ["", "example.org", "ftp://example.org/", "http://", "file:///etc/passwd", "http://a b/"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
        assert_eq!(place("https://user:pw@example.org:99/x?token=1"), "example.org:99");
        assert_eq!(place("https://example.org/x"), "https://example.org");
    }
}
