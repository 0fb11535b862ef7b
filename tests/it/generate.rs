//! `highwater generate` from outside, with the embedded model: corpora that repeat, faults that are told, floods that are posted.

use crate::cli::{file, highwater, ran};
use serde_json::Value;
use std::{fs, path::Path};

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn generate(args: &[&str]) -> String {
    let run = ran(&mut highwater(&[&["generate", "-q", "--length", "12"], args].concat()));
    assert_eq!(run.code, Some(0), "{}", run.err);
    run.out
}

fn humans(folder: &Path) -> std::path::PathBuf {
    let text = |i: usize| format!("This is what person number {i} wrote about the weather on a long and quiet day at home.");
    let lines: String =
        (0..6).map(|i| format!("{}\n", serde_json::json!({"id": format!("h{i}"), "text": text(i), "label": "human"}))).collect();
    file(folder, "humans.jsonl", &lines)
}

#[test]
fn a_corpus_repeats_whatever_the_batch_and_the_threads() {
    let one = generate(&["-n", "5", "--seed", "7", "--batch", "1", "--threads", "1"]);
    assert_eq!(one, generate(&["-n", "5", "--seed", "7", "--batch", "4", "--threads", "2"]));
    assert_ne!(one, generate(&["-n", "5", "--seed", "8"]));
    let rows = rows(&one);
    assert_eq!(rows.len(), 5);
    for row in &rows {
        assert!(row["label"] == "machine" && row["attack"].is_null() && row["seed"] == 7 && row["decoding"] == "sampling (t=1)", "{row}");
        assert!(row["model"].as_str().unwrap().contains('@') && !row["text"].as_str().unwrap().is_empty(), "{row}");
    }
    assert_eq!(
        generate(&["--prompt", "The weather", "--greedy"]),
        generate(&["--prompt", "The weather", "--greedy", "--seed", "3"]).replace("\"seed\":3", "\"seed\":0").replace("-3-0", "-0-0")
    );
}

#[test]
fn texts_begin_with_their_prompts_and_pairs_have_the_length_of_their_human_text() {
    let folder = tempfile::tempdir().unwrap();
    let humans = humans(folder.path());
    let pairs = ran(&mut highwater(&["generate", "-q", "--prompt-words", "4", "--humans", humans.to_str().unwrap()]));
    assert_eq!(pairs.code, Some(0), "{}", pairs.err);
    let pairs = rows(&pairs.out);
    assert_eq!(pairs.len(), 6);
    assert!(pairs[3]["pair"] == "h3" && pairs[3]["prompt"] == "This is what person" && pairs[3]["meta"]["end"] == "length");
    assert!(pairs[3]["text"].as_str().unwrap().starts_with("This is what person"));
    let described = rows(&generate(&["--top-p", "0.9", "--temperature", "0.7", "--repetition-penalty", "1.1"]));
    assert_eq!(described[0]["decoding"], "t=0.7 top_p=0.9 repetition_penalty=1.1");
    let text = generate(&["--prompt", "Once", "-n", "2", "--as", "text", "--delimiter", "~~"]);
    assert!(text.starts_with("Once") && text.matches("\n~~\n").count() == 2, "{text}");
    let bare = generate(&["--prompt", "Once", "-n", "2", "--as", "text", "--delimiter", "~~", "--include-prefix", "off"]);
    assert_eq!(text.replace("Once", ""), bare.replace("Once", ""));
}

#[test]
fn every_fault_and_contradiction_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let empty = file(folder.path(), "empty.jsonl", "");
    let table = file(folder.path(), "posts.csv", "id,text\n1,one post\n");
    let args = [
        "generate",
        "--greedy",
        "--beams",
        "3",
        "--temperature",
        "-1",
        "--top-p",
        "1.5",
        "-n",
        "0",
        "--prompt",
        "a",
        "--prompts",
        "/nowhere",
    ];
    let run = ran(&mut highwater(&args));
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{}", run.err);
    for part in [
        "--temperature: `-1` is not a temperature",
        "--top-p: `1.5` is not a share",
        "--nsamples: `0` is no whole number",
        "--greedy takes one token",
        "--prompt, --prompts and --prompt-words each say",
        "cannot read /nowhere",
    ] {
        assert!(run.err.contains(part), "{part}\nnot in\n{}", run.err);
    }
    for (args, part) in [
        (&["--prompts", empty.to_str().unwrap()][..], "holds no prompts"),
        (&["--greedy", "-n", "3"], "would repeat"),
        (&["--greedy", "--top-k", "5"], "--greedy draws nothing"),
        (&["--prompt-words", "3"], "--humans"),
        (&["--prompt-words", "1", "--humans", table.to_str().unwrap()], "posts.csv is CSV"),
        (&["--flood", "rate=20/s,share=0.2,onset=1s", "--humans", empty.to_str().unwrap(), "-n", "5"], "--nsamples do not go"),
        (&["--resume"], "--resume goes on with a file"),
        (&["--flood", "rate=20/s,share=2,onset=1s"], "share `2`"),
        (&["--flood", "rate=20/s,share=0.2,onset=1s"], "name their file with --humans"),
        (&["--prompt", &"a very long prompt ".repeat(300)], "the model reads at most"),
    ] {
        let run = ran(&mut highwater(&[&["generate"], args].concat()));
        assert!(run.code == Some(1) && run.out.is_empty() && run.err.contains(part), "{args:?}: {}", run.err);
    }
}

#[test]
fn an_output_is_not_overwritten_and_a_folder_takes_files() {
    let folder = tempfile::tempdir().unwrap();
    let output = file(folder.path(), "out.jsonl", "precious");
    let run = ran(&mut highwater(&["generate", "--length", "3", "-o", output.to_str().unwrap()]));
    assert!(run.code == Some(1) && run.err.contains("--force"), "{}", run.err);
    let run = ran(&mut highwater(&["generate", "--length", "3", "-o", output.to_str().unwrap(), "--resume"]));
    assert!(run.code == Some(1) && run.err.contains("nothing is left to resume"), "{}", run.err);
    assert_eq!(fs::read_to_string(&output).unwrap(), "precious");
    let texts = folder.path().join("texts");
    generate(&["-n", "3", "--as", "files", "-o", texts.to_str().unwrap()]);
    let mut names: Vec<_> = fs::read_dir(&texts).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["00000.txt", "00001.txt", "00002.txt"]);
}

#[test]
fn force_leaves_no_text_of_the_old_corpus_in_a_folder_and_nothing_else_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let others = ["00001.md", "1.txt", "a00002.txt", "notes.txt"];
    for name in others.iter().chain(&["00007.txt", "100000.txt"]) {
        file(folder.path(), name, "old");
    }
    let args = ["generate", "-q", "--length", "3", "-n", "1", "--as", "files", "-o", folder.path().to_str().unwrap()];
    let run = ran(&mut highwater(&args));
    assert!(run.code == Some(1) && run.err.contains("00007.txt exists"), "{}", run.err);
    let run = ran(highwater(&args).arg("--force"));
    assert_eq!(run.code, Some(0), "{}", run.err);
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [&["00000.txt"][..], &others].concat());
    assert!(others.iter().all(|name| fs::read_to_string(folder.path().join(name)).unwrap() == "old"));
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_whole_rows_and_resume_ends_in_the_same_file() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.jsonl");
    let stopped = folder.path().join("stopped.jsonl");
    let args = ["generate", "-n", "60", "--length", "30", "--batch", "2", "-o"];
    let child = highwater(&args).arg(&stopped).stderr(Stdio::piped()).spawn().unwrap();
    let part = folder.path().join("stopped.jsonl.part");
    while !fs::read_to_string(&part).is_ok_and(|t| t.lines().count() > 3) {
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("with --resume"), "{err}");
    let left = fs::read_to_string(&part).unwrap();
    assert!(left.ends_with('\n') && rows(&left).len() > 3);
    for path in [&stopped, &whole] {
        let resume: &[&str] = if path == &stopped { &["--resume"] } else { &[] };
        let run = ran(highwater(&args).arg(path).args(resume));
        assert_eq!(run.code, Some(0), "{}", run.err);
    }
    assert_eq!(fs::read(&stopped).unwrap(), fs::read(&whole).unwrap());
}

#[test]
fn a_flood_goes_into_a_file_with_its_times_and_its_truth() {
    let folder = tempfile::tempdir().unwrap();
    let humans = humans(folder.path());
    let flood = |to: &str| {
        let to = folder.path().join(to);
        let plan = "rate=5/s,share=0.5,onset=2s,duration=6s,stream=forum";
        let run = ran(&mut highwater(&["generate", "--flood", plan, "--humans", humans.to_str().unwrap(), "--to", to.to_str().unwrap()]));
        assert_eq!(run.code, Some(0), "{}", run.err);
        fs::read_to_string(to).unwrap()
    };
    let text = flood("one.jsonl");
    assert_eq!(text, flood("two.jsonl"));
    let posts = rows(&text);
    let machine = posts.iter().filter(|p| p["label"] == "machine").count();
    assert!(posts.len() > 10 && machine > 2, "{} posts, {machine} by the machine", posts.len());
    let times: Vec<&str> = posts.iter().map(|p| p["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times[0].starts_with("2026-01-01T00:00:0"), "{times:?}");
    assert!(
        posts.iter().all(|p| p["stream"] == "forum" && (p["label"] == "human" || p["time"].as_str().unwrap() >= "2026-01-01T00:00:02"))
    );
}

#[test]
#[cfg(unix)]
fn a_flood_is_posted_to_a_service_as_time_goes_by() {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };
    let folder = tempfile::tempdir().unwrap();
    let humans = humans(folder.path());
    let machines =
        file(folder.path(), "machines.jsonl", "{\"id\":\"m1\",\"text\":\"In conclusion, there are many factors that matter.\"}\n");
    let mut serve = highwater(&["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serve.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap().to_owned();
    let truth = folder.path().join("truth.jsonl");
    let flood = |to: &str, truth: &Path| {
        let plan = "rate=40/s,share=0.5,onset=0.2s,duration=0.6s";
        let mut command = highwater(&["generate", "--flood", plan, "--humans", humans.to_str().unwrap(), "--to", to]);
        ran(command.arg("--machines").arg(&machines).arg("-o").arg(truth))
    };
    // the address is printed a moment before the service is ready: until then it refuses
    let run = (0..100).map(|_| flood(&format!("{address}/v1/stream"), &truth)).find(|run| !run.err.contains("answered 503")).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.err.contains("human and") && run.err.contains("machine posts"), "{}", run.err);
    let posts = rows(&fs::read_to_string(&truth).unwrap());
    assert!(posts.len() > 5 && posts.iter().all(|p| p["answer"]["verdict"].is_string() && p["label"].is_string()), "{posts:?}");
    let run = flood(&format!("{address}/v1/nothing"), &folder.path().join("other.jsonl"));
    assert!(run.code == Some(2) && run.err.contains("answered 404"), "{}", run.err);
    assert!(Command::new("kill").arg(serve.id().to_string()).status().unwrap().success());
    serve.wait().unwrap();
    let run = flood(&format!("{address}/v1/stream"), &folder.path().join("third.jsonl"));
    assert!(run.code == Some(2) && run.err.contains("gave no answer"), "{}", run.err);
}
