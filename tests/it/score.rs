//! `highwater score` from outside: rows in, rows out, and what is left on disk.

use crate::cli::{file, highwater, ran, with_input};
use serde_json::Value;
use std::path::Path;

const ROWS: &str = "{\"id\":\"a\",\"text\":\"the first post\"}\nno json\n{\"id\":\"c\",\"text\":\"the third post\"}\n";

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_bad_row_is_answered_in_its_place_and_the_exit_code_is_1() {
    let run = with_input(&mut highwater(&["score"]), ROWS.as_bytes());
    assert_eq!(run.code, Some(1), "{}", run.err);
    let rows = rows(&run.out);
    assert_eq!((rows.len(), &rows[0]["id"], &rows[1]["line"], &rows[2]["id"]), (3, &"a".into(), &2.into(), &"c".into()));
    assert!(rows[1]["error"]["code"].is_string() && rows[0]["verdict"].is_string());
    assert!(run.err.contains("3 documents") && run.err.contains("1 row was refused"), "{}", run.err);
}

#[test]
fn good_rows_exit_with_0_and_quiet_says_nothing() {
    let run = with_input(&mut highwater(&["score", "-q", "--format", "lines"]), b"one post\nanother post\n");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(rows(&run.out).len(), 2);
}

#[test]
fn standard_input_is_jsonl_where_it_begins_with_a_brace_and_otherwise_one_text() {
    let score = |input: &[u8]| with_input(&mut highwater(&["score"]), input);
    for jsonl in [ROWS.to_owned(), format!("\u{FEFF}{ROWS}"), format!("\n {ROWS}")] {
        let run = score(jsonl.as_bytes());
        assert_eq!((run.code, rows(&run.out).len()), (Some(1), 3), "{}", run.err);
    }
    let one = score(b"one post\n");
    assert_eq!((one.code, rows(&one.out)[0]["words"].as_u64()), (Some(0), Some(2)), "{}", one.err);
    assert!(!one.err.contains("--format"), "{}", one.err);
    let several = score(b"one post\nanother post\n");
    assert_eq!((several.code, rows(&several.out).len()), (Some(0), 1), "{}", several.err);
    assert!(several.err.contains("standard input does not begin with `{`") && several.err.contains("--format lines"), "{}", several.err);
}

#[test]
fn an_output_is_not_overwritten_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let input = file(folder.path(), "in.csv", "id,body\n1,a post\n2,\"another, longer post\"\n");
    let output = file(folder.path(), "out.csv", "precious");
    let args = ["score", input.to_str().unwrap(), "-o", output.to_str().unwrap(), "--text-field", "body"];
    let run = ran(&mut highwater(&args));
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(run.err.contains("error: ") && run.err.contains("--force"), "{}", run.err);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "precious");
    let run = ran(&mut highwater(&[&args[..], &["--force"]].concat()));
    assert_eq!(run.code, Some(0), "{}", run.err);
    let table = std::fs::read_to_string(&output).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
}

#[test]
fn a_missing_column_names_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let input = file(folder.path(), "in.csv", "id,body\n1,a post\n");
    let run = ran(&mut highwater(&["score", input.to_str().unwrap()]));
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""));
    assert!(run.err.contains("`text`") && run.err.contains("body"), "{}", run.err);
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let run = ran(&mut highwater(&["score", "--resume", "--force"]));
    assert!(run.code == Some(1) && run.err.contains("2 settings cannot be used"), "{}", run.err);
}

#[test]
fn tokens_cover_the_text() {
    let run = with_input(&mut highwater(&["score", "--tokens", "--format", "text"]), "Grüße an alle".as_bytes());
    assert_eq!(run.code, Some(0), "{}", run.err);
    let rows = rows(&run.out);
    let tokens = rows[0]["token_scores"].as_array().unwrap();
    assert_eq!(tokens.last().unwrap()["end"], "Grüße an alle".len());
}

#[test]
#[cfg(unix)]
fn a_reader_that_leaves_is_no_failure() {
    use std::{io::Write, process::Stdio};
    let mut child = highwater(&["score", "-q", "--format", "lines"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // The program leaves as soon as nobody reads, so the end of its input may find it gone.
    let _ = child.stdin.take().unwrap().write_all("a post of some words\n".repeat(5000).as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_whole_rows_and_says_how_to_go_on() {
    use std::{
        io::{BufRead, BufReader, Write},
        process::{Command, Stdio},
    };
    let mut child =
        highwater(&["score", "--format", "lines"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // More than a chunk, and then silence: the pipe stays open until the program has ended.
    let mut posts = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // The program may stop before it has read all.
        let _ = posts.write_all("a post of some words\n".repeat(2000).as_bytes());
        posts
    });
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = answers.next().unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = answers.collect();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("stopping after the rows in work") && err.contains("by --resume"), "{err}");
    assert!(std::iter::once(&first).chain(&rest).all(|row| serde_json::from_str::<Value>(row).is_ok()));
    drop(writer.join().unwrap());
}

/// A row of a stream: people first, then mostly machines.
fn row(i: usize) -> String {
    let machine = "In conclusion, it is important to note that there are many different factors that can contribute to the success of a community. \
        By working together and sharing our ideas, we can create a welcoming environment for everyone, and grow together as a community.";
    let human = "Went past the old chandlery again on Tuesday, the one Dad swore blind sold him a left-handed sextant in '74, and of course \
        it's a vape shop now. Two lads out front, neither knew what a sextant was.";
    let text = if i > 20 && !i.is_multiple_of(4) { machine } else { human };
    let time = format!("2026-01-31T12:{:02}:00Z", i % 60);
    format!("{}\n", serde_json::json!({"id": i, "forum": format!("f{}", i % 2), "text": format!("{text} {i}"), "time": time}))
}

#[test]
fn streams_of_a_file_are_watched_summed_up_and_their_alarms_written() {
    let folder = tempfile::tempdir().unwrap();
    let input = file(folder.path(), "in.jsonl", &(0..80).map(row).collect::<String>());
    let alarms = folder.path().join("alarms.jsonl");
    let args = ["score", input.to_str().unwrap(), "--stream-field", "forum", "--arl", "30", "--alarms", alarms.to_str().unwrap()];
    let run = ran(&mut highwater(&args));
    assert_eq!(run.code, Some(0), "{}", run.err);
    let answers = rows(&run.out);
    let last = &answers[79]["streams"][0];
    assert_eq!((&last["key"], &last["documents"]), (&"f1".into(), &40.into()), "{}", answers[79]);
    let told = rows(&std::fs::read_to_string(&alarms).unwrap());
    assert!(!told.is_empty() && told.iter().enumerate().all(|(i, a)| a["sequence"] == i + 1), "{told:?}");
    assert!(told[0]["at"].as_str().unwrap().starts_with("2026-01-31T12:"), "the rows' own time counts: {}", told[0]);
    let raised = told.iter().filter(|a| a["event"] == "raised").count();
    assert!(run.err.contains(&format!("2 streams, {raised} alarms")) && run.err.contains("f1 "), "{}", run.err);
    let again = ran(&mut highwater(&args));
    assert!(again.code == Some(1) && again.err.contains("exists already"), "{}", again.err);
    let plain = ran(&mut highwater(&args[..2]));
    assert!(!plain.out.contains("\"streams\"") && !plain.err.contains("alarms"), "{}", plain.err);
}

#[test]
fn texts_of_one_name_count_each_and_ids_that_come_again_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folders = ["a", "b"].map(|name| folder.path().join(name));
    folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    let alarms = folder.path().join("alarms.jsonl");
    let score = |name: &str, text: &str| {
        let inputs = folders.each_ref().map(|folder| file(folder, name, text).to_str().unwrap().to_owned());
        let args = ["score", &inputs[0], &inputs[1], "--stream-field", "forum", "--alarms", alarms.to_str().unwrap(), "--force"];
        let run = ran(&mut highwater(&args));
        assert_eq!(run.code, Some(0), "{}", run.err);
        let whole = run.err.lines().find(|line| line.starts_with("  * ")).unwrap_or_default().to_owned();
        (inputs, run, whole)
    };
    let (inputs, run, whole) = score("post.txt", "a post of some words");
    assert_eq!(rows(&run.out).iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), inputs);
    assert!(whole.contains(" 2 documents") && !run.err.contains("not counted"), "{}", run.err);
    let (_, run, whole) = score("rows.jsonl", &[row(1), row(2)].concat());
    assert!(whole.contains(" 2 documents") && run.err.contains("2 documents were not counted"), "{}", run.err);
    let (_, run, _) = score("row.jsonl", &row(1));
    assert!(run.err.contains("1 document was not counted because its id was repeated"), "{}", run.err);
}

#[test]
fn alarms_take_the_place_of_no_other_file_and_are_not_lost_when_they_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let texts: String = (0..80).map(row).collect();
    let input = file(folder.path(), "in.jsonl", &texts);
    let (output, alarms) = (folder.path().join("out.jsonl"), folder.path().join("alarms.jsonl"));
    let score = |alarms: &Path, more: &[&str]| {
        let args = ["score", input.to_str().unwrap(), "-o", output.to_str().unwrap(), "--stream-field", "forum", "--arl", "30", "-q"];
        ran(&mut highwater(&[&args[..], &["--alarms", alarms.to_str().unwrap()], more].concat()))
    };
    for (taken, more) in
        [(&input, "--resume"), (&input, "--force"), (&output, "--force"), (&folder.path().join("absent/alarms"), "--force")]
    {
        let run = score(taken, &[more]);
        assert!(run.code == Some(1) && run.err.contains("--alarms"), "{} {more}: {:?} {}", taken.display(), run.code, run.err);
        assert!(std::fs::read_to_string(&input).unwrap() == texts && !output.exists());
    }
    let part = file(folder.path(), "posts.part", &texts);
    let args = ["score", part.to_str().unwrap(), "--format", "jsonl", "--alarms", folder.path().join("posts").to_str().unwrap(), "--force"]
        .map(str::to_owned);
    let run = ran(&mut highwater(&args.each_ref().map(String::as_str)));
    assert!(
        run.code == Some(1) && run.err.contains("posts.part is read") && std::fs::read_to_string(&part).unwrap() == texts,
        "{}",
        run.err
    );
    let in_the_way = folder.path().join("alarms.jsonl.part");
    std::fs::create_dir(&in_the_way).unwrap();
    let run = score(&alarms, &[]);
    assert!(run.code == Some(2) && run.err.contains("alarms.jsonl") && !output.exists() && !alarms.exists(), "{}", run.err);
    std::fs::remove_dir(&in_the_way).unwrap();
    let run = score(&alarms, &["--resume"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(rows(&std::fs::read_to_string(&output).unwrap()).len(), 80);
    assert!(!rows(&std::fs::read_to_string(&alarms).unwrap()).is_empty());
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_with_the_evidence_of_the_rows_that_are_written() {
    let folder = tempfile::tempdir().unwrap();
    // More than one chunk.
    let input = file(folder.path(), "in.jsonl", &(0..560).map(row).collect::<String>());
    let score = |name: &str, more: &[&str]| {
        let output = folder.path().join(name);
        let alarms = folder.path().join(format!("{name}.alarms"));
        let args =
            [&["score", input.to_str().unwrap(), "-o", output.to_str().unwrap(), "-q"][..], &["--stream-field", "forum", "--arl", "30"]]
                .concat();
        let command = highwater(&[&args[..], &["--alarms", alarms.to_str().unwrap()], more].concat());
        (command, output, alarms)
    };
    let (mut command, whole, whole_alarms) = score("whole.jsonl", &[]);
    assert_eq!(ran(&mut command).code, Some(0));
    let name = "killed.jsonl";
    let (mut command, output, alarms) = score(name, &[]);
    let mut child = command.spawn().unwrap();
    let part = folder.path().join(format!("{name}.part"));
    let written = || std::fs::read_to_string(&part).map_or(0, |text| text.lines().count());
    while written() < 250 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!output.exists(), "it ended before it was killed");
    let (mut command, ..) = score(name, &["--resume"]);
    let run = ran(&mut command);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let facts = |path| {
        let fact = |row: Value| (row["id"].clone(), row["streams"][0]["documents"].clone(), row["streams"][0]["log_e"].clone());
        rows(&std::fs::read_to_string(path).unwrap()).into_iter().map(fact).collect::<Vec<_>>()
    };
    assert_eq!(facts(&output), facts(&whole), "no row lost or doubled, and the same evidence after each");
    let numbers = |path| {
        rows(&std::fs::read_to_string(path).unwrap()).iter().map(|a| (a["sequence"].clone(), a["documents"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&alarms), numbers(&whole_alarms));
    assert!(!folder.path().join(format!("{name}.part.flood")).exists(), "nothing is left behind");
}
