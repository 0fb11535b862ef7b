//! The command line from outside: what is printed where, and the exit codes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The program with nothing of this machine's environment that it reads.
pub(crate) fn highwater(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HIGHWATER_")) {
        command.env_remove(name);
    }
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").args(args).stdin(Stdio::null());
    command
}

/// What a run left: exit code, standard output, standard error.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    told(command.output().expect("the program starts"))
}

fn told(output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("only UTF-8 is printed");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    told(child.wait_with_output().unwrap())
}

pub(crate) fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const COMMANDS: [&[&str]; 10] = [
    &["score"],
    &["explain"],
    &["serve"],
    &["evaluate"],
    &["calibrate"],
    &["generate"],
    &["simulate"],
    &["attack"],
    &["model", "info"],
    &["completions"],
];

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS {
        let help = ran(&mut highwater(&[&["help"], command].concat()));
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""), "{command:?}");
        assert!(help.out.contains("Example") && help.out.contains("--device <DEVICE>"), "{command:?}\n{}", help.out);
        let flag = ran(&mut highwater(&[command, &["--help"]].concat()));
        assert_eq!(flag.out, help.out, "{command:?}: `help` and `--help` differ");
    }
    let top = ran(&mut highwater(&["--help"]));
    assert!(COMMANDS.iter().all(|command| top.out.contains(&format!("\n  {} ", command[0]))), "{}", top.out);
}

#[test]
fn a_mistyped_flag_is_a_usage_error_with_a_suggestion() {
    let run = ran(&mut highwater(&["score", "--fromat", "csv"]));
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""));
    assert!(run.err.contains("--format"), "{}", run.err);
    assert_eq!(ran(&mut highwater(&[])).code, Some(2));
    assert_eq!(ran(&mut highwater(&["--version"])).code, Some(0));
}

#[test]
fn all_faults_of_flags_environment_and_file_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "hw.toml", "precision = 'int4'\ncolour = 'red'\nthreads = 4\n");
    let run = ran(highwater(&["score", "--fpr", "1.5", "--format", "xml", "--config", config.to_str().unwrap()])
        .env("HIGHWATER_DEVICE", "tpu")
        .env("HIGHWATER_THREADS", "many"));
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""));
    for part in [
        "error: 6 settings cannot be used",
        "--fpr: `1.5` is no rate",
        "--format: `xml` is no input format",
        "HIGHWATER_DEVICE: `tpu` is no device",
        "HIGHWATER_THREADS: `many` is no whole number",
        "`precision` in ",
        "`colour` in ",
    ] {
        assert!(run.err.contains(part), "{part}\nnot in\n{}", run.err);
    }
    assert!(!run.err.contains("backtrace") && !run.err.contains("panicked"), "{}", run.err);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "hw.toml", "fpr = 0.2\n");
    let fpr = |args: &[&str], env: &str| {
        let run = ran(highwater(&[&["model", "info", "--json"], args].concat()).env("HIGHWATER_FPR", env));
        assert_eq!(run.code, Some(0), "{}", run.err);
        let told: serde_json::Value = serde_json::from_str(&run.out).unwrap();
        told["limits"]["fpr"].as_f64()
    };
    let file = ["--config", config.to_str().unwrap()];
    assert_eq!(fpr(&[], ""), Some(0.01), "an empty variable is not set");
    assert_eq!(fpr(&file, ""), Some(0.2));
    assert_eq!(fpr(&file, "0.3"), Some(0.3));
    assert_eq!(fpr(&[&file[..], &["--fpr", "0.4"]].concat(), "0.3"), Some(0.4));
}

#[test]
fn an_empty_variable_is_not_set_for_any_flag() {
    let mut command = highwater(&["score", "-q", "--format", "lines"]);
    for name in ["OUTPUT", "CONFIG", "TOKENS", "RESUME", "VERBOSE", "QUIET", "MODEL", "CALIBRATION"] {
        command.env(format!("HIGHWATER_{name}"), "");
    }
    let run = with_input(&mut command, b"one post\n");
    assert_eq!((run.code, run.out.lines().count()), (Some(0), 1), "{}", run.err);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.toml");
    for args in [&["score", "--config", absent.to_str().unwrap()][..], &["explain", absent.to_str().unwrap()]] {
        let run = ran(&mut highwater(args));
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{args:?}");
        assert!(run.err.starts_with("error: cannot read ") && run.err.contains("absent.toml"), "{}", run.err);
    }
    let directory = ran(&mut highwater(&["explain", folder.path().to_str().unwrap()]));
    assert!(directory.code == Some(1) && directory.err.contains("directory"), "{}", directory.err);
    let calibrate = ran(&mut highwater(&["calibrate", "--human", "absent-1", "absent-2", "-o", "c.json"]));
    assert_eq!(calibrate.code, Some(1));
    assert!(calibrate.err.contains("absent-1") && calibrate.err.contains("absent-2"), "{}", calibrate.err);
}

#[test]
fn completions_know_the_commands_and_the_flags() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let run = ran(&mut highwater(&["completions", shell]));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{shell}");
        assert!(run.out.contains("calibrate") && run.out.contains("batch-tokens"), "{shell}");
    }
    assert_eq!(ran(&mut highwater(&["completions", "tcsh"])).code, Some(2));
}

#[test]
fn explain_colours_the_text_unless_told_not_to() {
    let text = b"The quick brown fox jumps over the lazy dog, again and again.";
    let coloured = with_input(highwater(&["explain", "-q"]).env("CLICOLOR_FORCE", "1"), text);
    assert_eq!((coloured.code, coloured.err.as_str()), (Some(0), ""));
    assert!(coloured.out.contains("\u{1b}["));
    for plain in [
        with_input(highwater(&["explain", "-"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"), text),
        with_input(&mut highwater(&["explain"]), text),
    ] {
        assert!(!plain.out.contains('\u{1b}'), "{}", plain.out);
        assert!(plain.out.contains("{like this}") && plain.out.contains("perplexity"), "{}", plain.out);
    }
}

#[test]
fn a_hostile_text_does_not_drive_the_terminal() {
    let run = with_input(&mut highwater(&["explain"]), b"clear \x1b[2J\x1b]0;title\x07 and \xff\x00 go\xe2\x80\xae");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("<U+001B>") && run.out.contains("<U+0000>") && run.out.contains("<U+202E>"), "{}", run.out);
    assert!(run.out.chars().all(|c| !c.is_control() || c == '\n'), "{:?}", run.out);
}

#[test]
fn empty_input_is_explained_as_no_verdict() {
    let run = with_input(&mut highwater(&["explain"]), b" \n ");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("Cannot tell: there is no text"), "{}", run.out);
}

#[test]
fn explain_writes_a_page_and_nothing_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let run = with_input(&mut highwater(&["explain", "-q", "--html", page.to_str().unwrap()]), b"<b>bold</b> words");
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (Some(0), "", ""));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n") && !page.contains("<b>"), "{page}");
    let run = with_input(&mut highwater(&["explain", "--html", "/nowhere/page.html"]), b"words");
    assert!(run.code == Some(2) && run.err.contains("error: cannot write /nowhere/page.html"), "{}", run.err);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = highwater(&["explain", "-q"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    // The program may end before it has read all of it only if it failed.
    child.stdin.take().unwrap().write_all("some words and more of them\n".repeat(200).as_bytes()).unwrap();
    let run = told(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}

#[test]
fn the_key_of_the_service_is_never_printed() {
    for args in [&["help", "serve"][..], &["serve", "--listen", "nowhere"]] {
        let run = ran(highwater(args).env("HIGHWATER_API_KEY", "top secret"));
        assert!(!run.out.contains("top secret") && !run.err.contains("top secret"), "{}{}", run.out, run.err);
    }
    let run = ran(highwater(&["serve"]).env("HIGHWATER_API_KEY", "top secret"));
    assert!(run.code == Some(1) && run.err.contains("HIGHWATER_API_KEY: a key takes"), "{}", run.err);
}

/// A service that has said where it listens.
#[cfg(unix)]
fn serve(more: &[&str]) -> (std::process::Child, String) {
    let mut command = highwater(&[&["serve", "--listen", "127.0.0.1:0"], more].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    (child, address)
}

/// Sends one request over a fresh connection.
#[cfg(unix)]
fn ask(address: &str, what: &str, body: &str) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "{what} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    stream
}

/// The whole answer.
#[cfg(unix)]
fn answer(mut stream: std::net::TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Sends SIGTERM and waits for the end.
#[cfg(unix)]
fn terminated(child: std::process::Child) -> Ran {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    told(child.wait_with_output().unwrap())
}

#[test]
#[cfg(unix)]
fn serve_says_where_it_listens_once_it_answers_and_ends_on_sigterm() {
    let (child, address) = serve(&[]);
    let answer = answer(ask(&address, "POST /v1/assess", r#"{"text":"a post"}"#));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"verdict\""), "{answer}");
    let run = terminated(child);
    assert_eq!((run.code, run.out.as_str()), (Some(0), ""), "{}", run.err);
    assert!(run.err.contains("model ") && run.err.contains("ready in "), "{}", run.err);
}

#[test]
#[cfg(unix)]
fn serve_says_what_it_had_no_time_to_answer() {
    let (child, address) = serve(&["--drain", "1"]);
    // Half a million tokens: far more than a second's work.
    let documents = vec![serde_json::json!({"text": "some words and more of them ".repeat(70)}); 1000];
    let _unanswered = ask(&address, "POST /v1/assess", &serde_json::json!({ "documents": documents }).to_string());
    while answer(ask(&address, "GET /metrics", "")).contains("\nhighwater_queue_bytes 0\n") {
        std::thread::yield_now();
    }
    let run = terminated(child);
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{}", run.err);
    assert!(run.err.contains("error: the time of --drain was over before everything"), "{}", run.err);
    let never = ran(&mut highwater(&["serve", "--drain", "0"]));
    assert!(never.code == Some(1) && never.err.contains("--drain"), "{}", never.err);
}

#[test]
fn serve_says_that_an_address_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = ran(&mut highwater(&["serve", "--listen", &address]));
    assert!(run.code == Some(2) && run.err.starts_with("error: "), "{}", run.err);
}
