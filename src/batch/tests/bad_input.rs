//! Bad input: a bad row becomes an error row and the run goes on; a bad file is refused, or ends the run with its whole rows written.

use super::*;
use proptest::prelude::*;

/// The code of the row in the middle; the rows around it are answered.
fn middle(name: &str, rows: [&str; 3]) -> Value {
    let (summary, rows) = score_bytes(name, rows.join("\n"));
    assert_eq!(summary.unwrap().errors, 1, "{rows:?}");
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(rows[0].get("verdict").is_some() && rows[2].get("verdict").is_some(), "{rows:?}");
    rows[1].clone()
}

#[test]
fn a_bad_json_row_costs_itself_only() {
    let deep = format!("{{\"text\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_other = format!("{{\"text\":\"a\",\"x\":{}", "{\"a\":".repeat(100_000));
    let long_id = format!(r#"{{"text":"a","id":"{}"}}"#, "x".repeat(5000));
    let cases: &[(&str, &str)] = &[
        (r#"{"text":"a""#, "bad_json"),
        ("nonsense", "bad_json"),
        ("[1]", "bad_json"),
        (r#"{"text":"a"} {"text":"b"}"#, "bad_json"),
        (r#"{"text":"\ud800"}"#, "bad_json"),
        (&deep, "wrong_type"),
        (&deep_other, "bad_json"),
        (r#"{"id":"m","body":"a"}"#, "missing_field"),
        (r#"{"id":"m","text":null}"#, "missing_field"),
        (r#"{"id":"m","text":5}"#, "wrong_type"),
        (r#"{"id":"m","text":["a"]}"#, "wrong_type"),
        (r#"{"id":"m","text":{"a":1}}"#, "wrong_type"),
        (r#"{"id":true,"text":"a"}"#, "wrong_type"),
        (r#"{"id":1.5,"text":"a"}"#, "bad_id"),
        (r#"{"id":123456789012345678901234567890,"text":"a"}"#, "bad_id"),
        (&long_id, "bad_id"),
        (r#"{"id":"m","text":"a","stream":""}"#, "bad_stream"),
        (r#"{"id":"m","text":"a","stream":["ok","b\u0007"]}"#, "bad_stream"),
        (r#"{"id":"m","text":"a","stream":{"a":1}}"#, "wrong_type"),
        (r#"{"id":"m","text":"a","stream":[["b"]]}"#, "wrong_type"),
        (r#"{"id":"m","text":"a","time":"yesterday"}"#, "bad_time"),
        (r#"{"id":"m","text":"a","time":1e300}"#, "bad_time"),
        (r#"{"id":"m","text":"a","time":1769860800000}"#, "bad_time"),
        (r#"{"id":"m","text":"a","time":[]}"#, "wrong_type"),
    ];
    for (row, code) in cases {
        let bad = middle("a.jsonl", [r#"{"text":"a"}"#, row, r#"{"text":"b"}"#]);
        let shown: String = row.chars().take(80).collect();
        assert_eq!(bad["error"]["code"], *code, "{shown}: {bad}");
        assert_eq!(bad["line"], 2, "{shown}: {bad}");
        assert_eq!(bad["id"], if row.contains(r#""id":"m""#) { json!("m") } else { Value::Null }, "{shown}");
    }
}

#[test]
fn what_is_no_fault_is_taken() {
    let many_keys = format!(r#"{{"text":"a","stream":{}}}"#, json!(vec!["k"; 64]));
    for row in [
        r#"{"text":"","id":null,"stream":null,"time":null}"#,
        r#"{"text":"   ","id":7,"stream":["a",5],"time":"2026-01-02T03:04:05Z"}"#,
        r#"{"text":"nul \u0000","unknown":{"deep":[[[]]]},"time":1700000000.25,"id":"dup"}"#,
        r#"{"text":"first","text":"last","time":"1700000000","id":"dup"}"#,
        &many_keys,
    ] {
        let (summary, rows) = score_bytes("a.jsonl", row);
        assert_eq!(summary.unwrap().errors, 0, "{rows:?}");
        assert!(rows[0].get("verdict").is_some());
    }
    assert_eq!(score_bytes("a.jsonl", r#"{"text":"","id":7}"#).1[0]["abstain_reason"], "empty");
    assert_eq!(score_bytes("empty.txt", "").1[0]["abstain_reason"], "empty");
    assert!(score_bytes("empty.jsonl", "").1.is_empty());
}

#[test]
fn the_missing_field_names_those_there() {
    let bad = score_bytes("a.jsonl", r#"{"body":"a","author":"b"}"#).1.remove(0);
    let message = bad["error"]["message"].as_str().unwrap();
    assert!(message.contains("`text`") && message.contains("`body`, `author`"), "{message}");
}

#[test]
fn bytes_that_are_not_utf8_are_replaced() {
    let line = b"{\"text\":\"a\xff\xfeb\",\"other\":\"\xff\"}\n";
    let (summary, rows) = score_bytes("a.jsonl", line);
    assert_eq!(summary.unwrap().errors, 0);
    assert_eq!(rows[0]["tokens"], "a\u{fffd}\u{fffd}b".len());
    let document = record::from_json(line.trim_ascii(), &Fields::default()).unwrap().document(&Fields::default(), 100).unwrap();
    assert_eq!((document.text.as_str(), document.invalid_utf8), ("a\u{fffd}\u{fffd}b", 2));
}

#[test]
fn a_long_document_or_line_is_an_error_row() {
    let dir = dir();
    let limits = Limits { document_bytes: 100, ..Limits::default() };
    let (text, endless) = ("x".repeat(101), "y".repeat(200_000));
    let content = format!("{{\"id\":\"a\",\"text\":\"{text}\"}}\n{{\"text\":\"{endless}\"}}\n{{\"text\":\"{}\"}}\n", "z".repeat(100));
    let codes = |name: &str, content: &str, format| {
        let path = file(&dir, name, content);
        let (summary, rows) = score(&Job { limits, input_format: format, ..job(&[&path]) });
        summary.unwrap();
        rows.iter().map(|r| r["error"]["code"].as_str().unwrap_or("ok").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes("a.jsonl", &content, None), ["too_long", "too_long", "ok"]);
    assert_eq!(codes("a.lines", &format!("{text}\nshort\n{endless}\n"), Some(InputFormat::Lines)), ["too_long", "ok", "too_long"]);
    assert_eq!(codes("a.csv", &format!("text\n{text}\nshort\n{endless}\nshort\n"), None), ["too_long", "ok", "too_long", "ok"]);
    assert_eq!(codes("a.txt", &text, None), ["too_long"]);
}

#[test]
fn a_ragged_csv_row_costs_itself_only() {
    for row in ["1", "1,b,c", "1,\"b\nc\",d"] {
        let bad = middle("a.csv", ["id,text\n0,a", row, "2,b"]);
        assert_eq!((&bad["error"]["code"], &bad["line"]), (&json!("bad_csv"), &json!(3)), "{row}");
    }
    let bad = middle("a.csv", ["id,text,time\n0,a,", "m,b,noon", "2,b,2026-01-02T03:04:05Z"]);
    assert_eq!((&bad["error"]["code"], &bad["id"]), (&json!("bad_time"), &json!("m")));
}

#[test]
fn a_quote_that_is_never_closed_costs_its_line_only() {
    let rest = "2,b\n\"3\",\"c \"\"d\"\"\"\n";
    let bad = middle("a.csv", ["id,text\n0,a", "1,\"open", "2,b\n"]);
    assert_eq!((&bad["error"]["code"], &bad["line"]), (&json!("bad_csv"), &json!(3)));
    // Where a quote follows, it closes: that is a ragged row, and the next one is whole again.
    let (_, rows) = score_bytes("a.csv", format!("id,text\n1,\"open\n{rest}4,e\n"));
    assert!(rows[0]["error"]["code"] == "bad_csv" && rows.last().unwrap()["id"] == "4", "{rows:?}");
    let dir = dir();
    let limits = Limits { document_bytes: 10, ..Limits::default() };
    let long = format!("id,text\n0,a\n1,\"open\n{}", "2,b\n".repeat(40_000));
    let (_, rows) = score(&Job { limits, ..job(&[&file(&dir, "b.csv", long)]) });
    assert_eq!((rows.len(), &rows[1]["error"]["code"]), (40_002, &json!("bad_csv")));
    assert_eq!(rows[40_001]["line"], 40_003);
}

#[test]
fn missing_columns_name_those_there() {
    let dir = dir();
    let csv = file(&dir, "a.csv", "id,body\n1,a\n");
    let (code, message) = refused(&job(&[&csv]));
    assert_eq!(code, "missing_column");
    assert!(message.contains("`text`") && message.contains("`id`, `body`"), "{message}");
    let fields = Fields { text: "body".into(), stream: "forum".into(), ..Fields::default() };
    assert!(refused(&Job { fields, ..job(&[&csv]) }).1.contains("`forum`"));
    assert_eq!(refused(&job(&[&file(&dir, "empty.csv", "")])).0, "missing_column");
    let parquet =
        file(&dir, "a.parquet", formats::parquet("message m { optional binary body (UTF8); required int64 n; }", &[Some("a")], &[1]));
    let (code, message) = refused(&job(&[&parquet]));
    assert_eq!(code, "missing_column");
    assert!(message.contains("`body`, `n`"), "{message}");
    let fields = Fields { text: "n".into(), ..Fields::default() };
    let (code, message) = refused(&Job { fields, ..job(&[&parquet]) });
    assert_eq!(code, "column_type");
    assert!(message.contains("INT64"), "{message}");
}

#[test]
fn bad_files_are_refused_before_anything_is_read() {
    let dir = dir();
    let good = file(&dir, "good.jsonl", "{\"text\":\"a\"}\n");
    let bad = |path: &Path, code: &str| {
        let out = Shared::default();
        let error = run_into(&job(&[&good, path]), Box::new(out.clone()), &mut detector(), &()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.refused());
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(out.bytes().is_empty());
    };
    bad(&dir.path().join("absent.txt"), "input_unreadable");
    bad(dir.path(), "input_is_directory");
    bad(&file(&dir, "a.json", "{}"), "unknown_format");
    bad(&file(&dir, "a.jsonl.gz", "plain"), "wrong_content");
    bad(&file(&dir, "empty.jsonl.gz", ""), "wrong_content");
    bad(&file(&dir, "a.jsonl.zst", compress(b"x", Compression::Gzip)), "wrong_content");
    bad(&file(&dir, "utf16.txt", b"\xff\xfeh\0i\0"), "wrong_content");
    bad(&file(&dir, "b.txt", b"PK\x03\x04...."), "wrong_content");
    bad(&file(&dir, "c.txt", b"PAR1...."), "wrong_content");
    bad(&file(&dir, "d.parquet", "no parquet at all"), "input_damaged");
    bad(&file(&dir, "e.parquet.gz", compress(b"PAR1", Compression::Gzip)), "unsupported");
    assert_eq!(refused(&job(&[])).0, "no_input");
    assert_eq!(refused(&Job { inputs: vec![Input::Stdin, Input::Stdin], ..Job::default() }).0, "stdin_twice");
}

#[test]
fn a_cut_file_gives_its_whole_rows_and_an_error() {
    let line = |i: usize| format!("{{\"id\":{i},\"text\":\"row {} of many\"}}\n", i * 7919 % 1000);
    let plain: String = (0..40).map(line).collect();
    for (kind, name) in [(Compression::Gzip, "a.jsonl.gz"), (Compression::Zstd, "a.jsonl.zst")] {
        let half = plain.len() / 2;
        // Two members: the cut between them is a whole file and cannot be noticed.
        let first = compress(&plain.as_bytes()[..half], kind);
        let packed = [first.clone(), compress(&plain.as_bytes()[half..], kind)].concat();
        let (summary, all) = score_bytes(name, &packed);
        assert_eq!((summary.unwrap().progress.documents, all.len()), (40, 40));
        for cut in (5..packed.len()).filter(|&c| c != first.len()) {
            let (result, rows) = score_bytes(name, &packed[..cut]);
            let error = result.unwrap_err();
            assert_eq!(error.code(), "input_damaged", "cut at {cut}: {error}");
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(rows[..], all[..rows.len()], "cut at {cut}");
            let least = if cut > first.len() { plain[..half].matches('\n').count() } else { 0 };
            assert!(rows.len() >= least && rows.len() <= 40, "cut at {cut}: {} rows", rows.len());
        }
    }
}

#[test]
fn a_damaged_parquet_file_is_an_error_and_no_panic() {
    let texts: Vec<String> = (0..20).map(|i| format!("text number {i}")).collect();
    let texts: Vec<_> = texts.iter().map(|t| Some(t.as_str())).collect();
    let whole = formats::parquet("message m { optional binary text (UTF8); }", &texts, &[]);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        let _ = read_all(&bytes, InputFormat::Parquet, Compression::None);
        assert!(read_all(&whole[..at], InputFormat::Parquet, Compression::None).is_err());
    }
    assert_eq!(read_all(&whole, InputFormat::Parquet, Compression::None).unwrap(), (20, 0));
}

/// The crate would count to two thousand million for each of these lists.
#[test]
fn a_parquet_footer_that_takes_hours_is_refused() {
    let list = [0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 7];
    let footer = [list.repeat(1000), vec![0]].concat();
    let bytes = [&b"PAR1"[..], &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat();
    let error = read_all(&bytes, InputFormat::Parquet, Compression::None).unwrap_err();
    assert!(error.code() == "input_damaged" && error.to_string().contains("footer"), "{error}");
    let encrypted = [&bytes[..bytes.len() - 1], b"E"].concat();
    let error = read_all(&encrypted, InputFormat::Parquet, Compression::None).unwrap_err();
    assert!(error.to_string().contains("encrypt"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in [InputFormat::Text, InputFormat::Lines, InputFormat::Jsonl, InputFormat::Csv, InputFormat::Parquet] {
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let _ = read_all(&bytes, format, compression);
            }
        }
    }
}
