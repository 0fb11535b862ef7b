//! Round trips: what goes in by each format and compression comes out by each, in order.

use super::*;
use crate::batch::table::{COLUMNS, Kind};
use crate::text::StreamKey;
use parquet::{
    data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type},
    file::{properties::WriterProperties, reader::SerializedFileReader, writer::SerializedFileWriter},
    record::RowAccessor,
    schema::parser::parse_message_type,
};
use proptest::prelude::*;

fn document() -> impl Strategy<Value = Document> {
    let text = prop_oneof![any::<String>(), "[a-z ,\"\n\r'é\u{1F600}]{0,40}", "[a-z ]{0,300}"];
    let key = "[a-z0-9 :,\"-]{1,12}".prop_map(|k| StreamKey::new(k).unwrap());
    (text, proptest::option::of("[^\u{0}]{1,12}"), proptest::collection::vec(key, 0..3)).prop_map(|(text, id, streams)| Document {
        id,
        text,
        streams,
        ..Document::default()
    })
}

fn compression() -> impl Strategy<Value = (Compression, &'static str)> {
    prop_oneof![Just((Compression::None, "")), Just((Compression::Gzip, ".gz")), Just((Compression::Zstd, ".zst"))]
}

fn jsonl(documents: &[Document]) -> Vec<u8> {
    let line = |d: &Document| json!({"other": [1, {"x": null}], "text": d.text, "id": d.id, "stream": d.streams}).to_string() + "\n";
    documents.iter().map(line).collect::<String>().into_bytes()
}

fn csv(documents: &[Document]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(["stream", "other", "text", "id"]).unwrap();
    for d in documents {
        let stream = d.streams.first().map_or("", StreamKey::as_str);
        writer.write_record([stream, "x", &d.text, d.id.as_deref().unwrap_or("")]).unwrap();
    }
    writer.into_inner().unwrap()
}

pub(super) fn parquet(schema: &str, texts: &[Option<&str>], times: &[i64]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::new())).unwrap();
    for start in (0..texts.len()).step_by(3) {
        let range = start..(start + 3).min(texts.len());
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let definition: Vec<i16> = texts[range.clone()].iter().map(|t| i16::from(t.is_some())).collect();
        let values: Vec<ByteArray> = texts[range.clone()].iter().flatten().map(|t| ByteArray::from(*t)).collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&definition), None).unwrap();
        column.close().unwrap();
        if let Some(mut column) = group.next_column().unwrap() {
            column.typed::<Int64Type>().write_batch(&times[range], None, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// A column of these values, and one of as many texts.
fn beside_texts<T: DataType>(column: &str, values: &[T::T], definition: Option<&[i16]>) -> Vec<u8> {
    let schema = parse_message_type(&format!("message m {{ {column}; required binary body (UTF8); }}")).unwrap();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(WriterProperties::new())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, definition, None).unwrap();
    column.close().unwrap();
    let texts = vec![ByteArray::from("a post"); definition.map_or(values.len(), <[i16]>::len)];
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// The job of this file, whose texts are in the column `body`.
fn job_of_bodies(dir: &TempDir, bytes: &[u8]) -> Job {
    let fields = Fields { text: "body".into(), ..Fields::default() };
    Job { fields, ..job(&[&file(dir, "a.parquet", bytes)]) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn jsonl_comes_back(documents in proptest::collection::vec(document(), 0..20), (kind, suffix) in compression(), chunk in 1usize..5) {
        let dir = dir();
        let path = file(&dir, &format!("in.jsonl{suffix}"), compress(&jsonl(&documents), kind));
        let job = Job { limits: Limits { chunk_documents: chunk, ..Limits::default() }, ..job(&[&path]) };
        let (summary, rows) = score(&job);
        prop_assert_eq!(summary.unwrap().progress.documents, documents.len() as u64);
        let expected: Vec<_> = documents.iter().enumerate().map(|(i, d)| expected(d, i + 1)).collect();
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn csv_comes_back(mut documents in proptest::collection::vec(document(), 0..20), (kind, suffix) in compression()) {
        documents.iter_mut().for_each(|d| d.streams.truncate(1));
        let dir = dir();
        let path = file(&dir, &format!("in.csv{suffix}"), compress(&csv(&documents), kind));
        let (summary, rows) = score(&job(&[&path]));
        summary.unwrap();
        let mut line = 2;
        prop_assert_eq!(rows.len(), documents.len());
        for (row, document) in rows.iter().zip(&documents) {
            prop_assert_eq!(row, &expected(document, line));
            let breaks = |s: &str| s.matches('\n').count();
            line += 1 + breaks(&document.text) + document.id.as_deref().map_or(0, breaks);
        }
    }

    #[test]
    fn lines_come_back(texts in proptest::collection::vec("[a-z][^\n\r]{0,60}|", 0..20), (kind, suffix) in compression(), crlf: bool) {
        let dir = dir();
        let end = if crlf { "\r\n" } else { "\n" };
        let content: String = texts.iter().map(|t| format!("{t}{end}")).collect();
        let path = file(&dir, &format!("in.anything{suffix}"), compress(content.as_bytes(), kind));
        let (summary, rows) = score(&Job { input_format: Some(InputFormat::Lines), ..job(&[&path]) });
        summary.unwrap();
        let expected: Vec<_> = texts.iter().enumerate().map(|(i, t)| expected(&Document::new(t), i + 1)).collect();
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn parquet_comes_back(texts in proptest::collection::vec(proptest::option::of(any::<String>()), 0..12)) {
        let dir = dir();
        let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
        let path = file(&dir, "in.parquet", parquet("message m { optional binary text (UTF8); }", &texts, &[]));
        let (summary, rows) = score(&job(&[&path]));
        summary.unwrap();
        prop_assert_eq!(rows.len(), texts.len());
        for (i, (row, text)) in rows.iter().zip(&texts).enumerate() {
            match text {
                Some(text) => prop_assert_eq!(row, &expected(&Document::new(*text), i + 1)),
                None => prop_assert_eq!(&row["error"]["code"], "missing_field"),
            }
        }
    }

    #[test]
    fn records_are_cut_as_the_csv_crate_cuts_them(bytes in "[a\",\n]{0,24}") {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes.as_bytes());
        let theirs: Vec<Vec<String>> = reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
        let ours = crate::batch::csv_input::all_records(bytes.as_bytes());
        // A quote that is never closed is where we differ on purpose.
        if let Ok(ours) = ours {
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn the_formats_of_the_output_say_the_same(documents in proptest::collection::vec(document(), 0..12), (_, suffix) in compression()) {
        let dir = dir();
        let mut input = jsonl(&documents);
        input.extend_from_slice(b"{\"id\":\"bad\"}\n");
        let path = file(&dir, "in.jsonl", input);
        let run_to = |name: &str| {
            let out = dir.path().join(name);
            let job = Job { output: Output::Path(out.clone()), ..job(&[&path]) };
            assert_eq!(run(&job, &mut detector(), &()).unwrap().errors, 1);
            assert!(!output::part_of(&out).exists());
            out
        };
        let plain = rows(&std::fs::read(run_to("out.jsonl")).unwrap());
        prop_assert_eq!(plain.len(), documents.len() + 1);
        prop_assert_eq!(rows(&unpacked(&run_to(&format!("again.jsonl{suffix}")))), plain.clone());
        prop_assert_eq!(csv_rows(&unpacked(&run_to(&format!("out.csv{suffix}")))), plain.iter().map(flat_text).collect::<Vec<_>>());
        prop_assert_eq!(parquet_rows(&run_to("out.parquet")), plain.iter().map(flat).collect::<Vec<_>>());
    }
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (kind, _) = Compression::by_name(path);
    let file: Box<dyn std::io::Read + Send> = Box::new(std::fs::File::open(path).unwrap());
    std::io::Read::read_to_end(&mut compression::decompress(file, kind).unwrap(), &mut bytes).unwrap();
    bytes
}

fn flat(row: &Value) -> Vec<Value> {
    let get = |name: &str| match row.pointer(&format!("/{}", name.replace('.', "/"))).cloned().unwrap_or_default() {
        many @ (Value::Array(_) | Value::Object(_)) => many.to_string().into(),
        other => other,
    };
    COLUMNS.iter().map(|(name, _)| get(name)).collect()
}

fn flat_text(row: &Value) -> Vec<String> {
    flat(row).into_iter().zip(COLUMNS).map(|(value, (_, kind))| table::cell(*kind, value)).collect()
}

fn csv_rows(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(bytes);
    assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), COLUMNS.iter().map(|(n, _)| *n).collect::<Vec<_>>());
    reader.records().map(|r| r.unwrap().iter().zip(COLUMNS).map(reread).collect()).collect()
}

fn reread((cell, (_, kind)): (&str, &(&str, Kind))) -> String {
    let number = if *kind == Kind::Number { serde_json::from_str::<Value>(cell).ok() } else { None };
    number.map_or_else(|| cell.to_owned(), |n| n.to_string())
}

fn parquet_rows(path: &Path) -> Vec<Vec<Value>> {
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let value = |row: &parquet::record::Row, i: usize| match COLUMNS[i].1 {
        Kind::Foreign | Kind::Text => row.get_string(i).ok().map_or(Value::Null, |s| json!(s)),
        Kind::Number => row.get_double(i).map_or(Value::Null, |x| reparsed(&json!(x))),
        Kind::Integer => row.get_long(i).map_or(Value::Null, |x| json!(x)),
        Kind::Boolean => row.get_bool(i).map_or(Value::Null, |x| json!(x)),
    };
    reader.into_iter().map(|row| (0..COLUMNS.len()).map(|i| value(row.as_ref().unwrap(), i)).collect()).collect()
}

#[test]
fn every_leaf_of_an_assessment_has_a_column() {
    let document = Document { id: Some("a".into()), streams: vec![StreamKey::new("k").unwrap()], ..Document::new("short") };
    let mut leaves = Vec::new();
    collect("", &expected(&document, 1), &mut leaves);
    let missing: Vec<_> = leaves.into_iter().filter(|leaf| !COLUMNS.iter().any(|(name, _)| name == leaf)).collect();
    assert!(missing.is_empty(), "add these to batch::table::COLUMNS: {missing:?}");
}

fn collect(prefix: &str, value: &Value, leaves: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, v)| collect(&format!("{prefix}.{name}"), v, leaves)),
        _ => leaves.push(prefix.trim_start_matches('.').to_owned()),
    }
}

#[test]
fn a_text_file_is_one_document_named_by_its_file() {
    let (summary, rows) = score_bytes("post.txt", "one\ntwo words\n");
    assert_eq!(summary.unwrap().progress.documents, 1);
    assert_eq!((rows.len(), &rows[0]["id"], &rows[0]["words"], &rows[0]["line"]), (1, &json!("post.txt"), &json!(3), &json!(1)));
}

#[test]
fn several_inputs_come_in_order_with_their_names() {
    let dir = dir();
    let (a, b) = (file(&dir, "a.jsonl", "{\"text\":\"x\"}\n\n{\"text\":\"y\"}"), file(&dir, "b.txt", "z"));
    let (_, rows) = score(&job(&[&a, &b]));
    let at: Vec<_> = rows.iter().map(|r| (r["file"].as_str().unwrap().to_owned(), r["line"].as_u64().unwrap())).collect();
    let (a, b) = (a.display().to_string(), b.display().to_string());
    assert_eq!(at, [(a.clone(), 1), (a, 3), (b, 1)]);
}

#[test]
fn no_extension_means_jsonl_or_text_by_content() {
    assert_eq!(score_bytes("noname", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n").1.len(), 2);
    assert_eq!(score_bytes("noname", "plain\ntext").1.len(), 1);
    assert_eq!(score_bytes("noname", compress(b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n", Compression::Gzip)).1.len(), 2);
}

#[test]
fn a_byte_order_mark_is_no_text() {
    assert_eq!(score_bytes("a.csv", "\u{feff}text\nhello there\n").1[0]["words"], 2);
    assert_eq!(score_bytes("a.jsonl", "\u{feff}{\"text\":\"a\"}").1[0]["tokens"], 1);
}

#[test]
fn tokens_are_given_where_asked_for() {
    let dir = dir();
    let path = file(&dir, "a.jsonl", "{\"text\":\"ab\"}");
    let job = Job { with_tokens: true, ..job(&[&path]) };
    assert_eq!(score(&job).1[0]["token_scores"].as_array().unwrap().len(), 2);
    let job = Job { output_format: Some(OutputFormat::Csv), ..job };
    assert_eq!(refused(&job).0, "unsupported");
}

#[test]
fn a_cell_that_a_spreadsheet_would_run_is_quoted() {
    for (text, shown) in [("=1+1", "'=1+1"), ("@a", "'@a"), ("-x", "'-x"), ("+", "'+"), ("-5", "-5"), ("a=", "a="), ("", "")] {
        assert_eq!(table::cell(Kind::Foreign, json!(text)), shown);
    }
}

#[test]
fn parquet_streams_and_times_are_read() {
    let dir = dir();
    let bytes = parquet(
        "message m { optional binary body (UTF8); required int64 time (TIMESTAMP_MILLIS); }",
        &[Some("a"), Some("b")],
        &[1_700_000_000_000, i64::MAX],
    );
    let path = file(&dir, "a.parquet", bytes);
    let fields = Fields { text: "body".into(), ..Fields::default() };
    let (_, rows) = score(&Job { fields, ..job(&[&path]) });
    assert_eq!(rows[0]["tokens"], 1);
    assert_eq!(rows[1]["error"]["code"], "wrong_type", "{}", rows[1]);
}

#[test]
fn unsigned_integers_of_parquet_have_no_sign() {
    let ids = |bytes: &[u8]| score(&job_of_bodies(&dir(), bytes)).1.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    for kind in ["UINT_64", "INTEGER(64,false)"] {
        let bytes = beside_texts::<Int64Type>(&format!("required int64 id ({kind})"), &[i64::MIN + 5, -1, 7], None);
        assert_eq!(ids(&bytes), ["9223372036854775813", "18446744073709551615", "7"], "{kind}");
    }
    for kind in ["UINT_32", "INTEGER(32,false)"] {
        let bytes = beside_texts::<Int32Type>(&format!("required int32 id ({kind})"), &[-1, i32::MIN, 7], None);
        assert_eq!(ids(&bytes), ["4294967295", "2147483648", "7"], "{kind}");
    }
    let signed = beside_texts::<Int32Type>("required int32 id (INT_32)", &[-1], None);
    assert_eq!(ids(&signed), ["-1"]);
    let dir = dir();
    let bytes = beside_texts::<Int32Type>("required int32 stream (UINT_32)", &[-1], None);
    let read = documents(&job_of_bodies(&dir, &bytes)).unwrap().next().unwrap().unwrap();
    assert_eq!(read.content.unwrap().streams, [StreamKey::new("4294967295").unwrap()]);
}

/// 12.34 is stored as 1234, and noon as 43,200,000 milliseconds.
#[test]
fn decimal_numbers_and_times_of_day_are_refused_in_words() {
    let told =
        |column: &str| refused(&job_of_bodies(&dir(), &beside_texts::<Int32Type>(&format!("required int32 {column}"), &[1234], None)));
    for name in ["id", "stream", "time"] {
        for (kind, words) in [("DECIMAL(9,2)", "is a decimal number, expected"), ("TIME_MILLIS", "is a time of day, expected")] {
            let (code, message) = told(&format!("{name} ({kind})"));
            assert!(code == "column_type" && message.contains(name) && message.contains(words), "{code}: {message}");
        }
    }
    let whole = beside_texts::<Int32Type>("required int32 id (DECIMAL(9,0))", &[1234], None);
    assert_eq!(score(&job_of_bodies(&dir(), &whole)).1[0]["id"], "1234", "without decimals it is what is stored");
}

/// So pyarrow writes a column in which it sees no value.
#[test]
fn a_parquet_column_of_nulls_has_no_values() {
    let nulls = beside_texts::<Int32Type>("optional int32 text (UNKNOWN)", &[], Some(&[0, 0]));
    let (summary, rows) = score_bytes("a.parquet", nulls);
    assert_eq!((summary.unwrap().errors, &rows[0]["error"]["code"]), (2, &json!("missing_field")), "{rows:?}");
    let (summary, rows) = score_bytes("a.parquet", parquet("message m { optional int32 text (UNKNOWN); }", &[], &[]));
    assert!(summary.unwrap().errors == 0 && rows.is_empty(), "{rows:?}");
}
