//! `highwater attack` from outside: rows, seeds, refusals, and the search against the embedded model.

use crate::cli::{Ran, file, highwater, ran, with_input};
use serde_json::Value;

const MACHINE: &str = "In conclusion, it is important to note that there are many different factors that can contribute to the success of a \
community. By working together and sharing our ideas, we can create a welcoming environment for everyone. It is also important to remember \
that every member has a unique perspective, and that by listening to one another we can learn and grow together as a community.";

fn rows(run: &Ran) -> Vec<Value> {
    run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn row(id: &str, text: &str) -> String {
    format!("{}\n", serde_json::json!({"id": id, "text": text, "label": "machine", "generator": "x"}))
}

#[test]
fn variants_keep_their_fields_and_score_undoes_what_hides() {
    let input = row("a", MACHINE);
    let run = with_input(&mut highwater(&["attack", "homoglyph,zero_width_space,whitespace", "-", "--pairs", "-q"]), input.as_bytes());
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let made = rows(&run);
    assert_eq!(made.len(), 2);
    assert_eq!((made[0]["id"].as_str(), made[0]["text"].as_str(), &made[0]["attack"]), (Some("a"), Some(MACHINE), &Value::Null));
    assert_eq!(made[1]["id"], "a:homoglyph,zero_width_space,whitespace");
    for (field, value) in [("label", "machine"), ("generator", "x"), ("base_id", "a"), ("pair", "a")] {
        assert_eq!(made[1][field], value, "{field}");
    }
    assert_ne!(made[1]["text"], MACHINE);
    let scored = rows(&with_input(&mut highwater(&["score", "-q"]), run.out.as_bytes()));
    assert_eq!(scored[0]["statistics"], scored[1]["statistics"]);
    assert!(scored[1]["normalization"]["homoglyphs"].as_u64() > Some(50), "{}", scored[1]);
}

#[test]
fn the_same_seed_gives_the_same_file_whatever_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let lines = file(folder.path(), "posts.lines", &format!("{MACHINE}\nThe color of the 3 houses is gray.\n"));
    let run = |seed: &str, extra: &[&str]| {
        let args = ["attack", "--each", "misspelling,number,upper_lower,article_deletion,alternative_spelling,insert_paragraphs"];
        let args = [&args[..], &[lines.to_str().unwrap(), "--format", "lines", "--seed", seed, "-q"], extra].concat();
        ran(&mut highwater(&args)).out
    };
    assert_eq!(run("7", &[]), run("7", &[]));
    assert_ne!(run("7", &[]), run("8", &[]));
    let out = folder.path().join("out.jsonl");
    assert_eq!(run("7", &["-o", out.to_str().unwrap()]), "");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), run("7", &[]));
    assert_eq!(run("7", &["--rate", "0"]).matches("3 houses").count(), 6);
    assert!(run("7", &["--rate", "1"]).contains("The colour of the 3 houses is grey."));
}

/// Both files count their posts from 0, and call the text and its id something else.
#[test]
fn rows_of_several_files_keep_their_fields_and_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let posts = file(folder.path(), "a.jsonl", "{\"post\":0,\"body\":\"All 12 of them.\",\"label\":\"machine\"}\n");
    let more = "post,body,label,domain,pair\n0,\"3 houses, 40 people\",human,,\n1,In 1999.,human,news,p\n";
    let more = file(folder.path(), "b.csv", more);
    let args = ["attack", "number", posts.to_str().unwrap(), more.to_str().unwrap(), "--rate", "1", "--pairs", "-q", "--id-field", "post"];
    let run = ran(highwater(&args).env("HIGHWATER_TEXT_FIELD", "body"));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let made = rows(&run);
    let values = |field: &str| made.iter().map(|row| row[field].as_str().unwrap_or("none")).collect::<Vec<_>>();
    assert_eq!(values("pair"), ["1/0", "1/0", "2/0", "2/0", "2/p", "2/p"]);
    assert_eq!(values("id"), ["0", "0:number", "0", "0:number", "1", "1:number"]);
    assert_eq!(values("label"), ["machine", "machine", "human", "human", "human", "human"]);
    assert_eq!(values("domain"), ["none", "none", "none", "none", "news", "news"]);
    let texts = values("text");
    assert!(texts[2] == "3 houses, 40 people" && texts.chunks(2).all(|pair| pair[0] != pair[1]), "{texts:?}");
    assert!(made.iter().all(|row| row.get("body").is_none() && row.get("post").is_none()), "{}", run.out);
}

#[test]
fn what_cannot_be_done_is_said_in_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let empty = file(folder.path(), "empty.jsonl", "");
    let there = file(folder.path(), "there.jsonl", &row("a", "some text"));
    let (empty, there) = (empty.to_str().unwrap(), there.to_str().unwrap());
    let cases: [(&[&str], i32, &str); 9] = [
        (&["homoglif", there], 2, "similar value exists: 'homoglyph'"),
        (&["number,", there], 2, "a value is required"),
        (&["number", there, "--rate", "1.5"], 1, "--rate: `1.5` is no share"),
        (&["number", empty], 1, "there is no text in"),
        (&["number", there, "-o", there], 1, "is read and cannot be written"),
        (&["number", "absent.jsonl"], 1, "cannot read absent.jsonl"),
        (&["evade,number", there], 1, "`evade` stands alone"),
        (&["evade", there, "--max-edits", "2", "--budget", "0"], 1, "2 settings cannot be used"),
        (&["number", there, "--budget", "3"], 1, "are for `highwater attack evade`"),
    ];
    for (args, code, part) in cases {
        let run = ran(&mut highwater(&[&["attack"], args].concat()));
        assert_eq!((run.code, run.out.as_str()), (Some(code), ""), "{args:?}: {}", run.err);
        assert!(run.err.contains(part), "{args:?}: {}", run.err);
    }
    let bad =
        with_input(&mut highwater(&["attack", "number", "-q", "--format", "jsonl"]), b"{\"text\":\"1\"}\n{\"id\":2}\n{\"text\":\"3\"}\n");
    assert_eq!((bad.code, rows(&bad).len(), rows(&bad)[1]["error"]["code"].as_str()), (Some(1), 3, Some("missing_field")));
}

#[test]
fn the_model_rewrites_words_and_says_what_it_cost() {
    let input = row("a", MACHINE);
    for kind in ["synonym", "paraphrase"] {
        let attack = || with_input(&mut highwater(&["attack", kind, "-q", "--rate", "0.3"]), input.as_bytes());
        let run = attack();
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        let row = rows(&run).remove(0);
        let quality = &row["attack_quality"];
        assert!(row["attack_edits"][0].as_u64() > Some(2) && row["text"] != MACHINE, "{row}");
        assert!(quality["words_kept"].as_f64().is_some_and(|kept| (0.5..1.).contains(&kept)), "{quality}");
        assert!(quality["surprisal_before"].is_number() && quality["surprisal_after"].is_number(), "{quality}");
        assert!(row["attack_model"].as_str().is_some_and(|model| model.contains('@')));
        assert_eq!(attack().out, run.out);
    }
}

#[test]
fn evade_takes_the_flag_away_within_its_budgets_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let input =
        [row("a", MACHINE), row("b", "lol no way m8, who TOLD u that??? 12 of them came at 9 & i was not even up yet, typical mon")]
            .concat();
    let args = ["attack", "evade", "-", "--fpr", "0.02", "--budget", "300", "--max-edits", "0.3", "--json", json.to_str().unwrap()];
    let run = with_input(&mut highwater(&args), input.as_bytes());
    assert_eq!(run.code, Some(0), "{}", run.err);
    let made = rows(&run);
    assert_eq!((made[0]["attack"].as_str(), made[0]["base_id"].as_str()), (Some("evade"), Some("a")));
    let found = &made[0]["evade"];
    assert_eq!(found["before"]["flagged"], true, "{found}");
    assert!(found["after"]["score"].as_f64() < found["before"]["score"].as_f64(), "{found}");
    let edits = found["edits"].as_f64().unwrap() / found["words"].as_f64().unwrap();
    let rise = found["after"]["mean_surprisal_nats"].as_f64().unwrap() - found["before"]["mean_surprisal_nats"].as_f64().unwrap();
    assert!(edits <= 0.3 && rise <= 0.5 && found["queries"].as_u64() <= Some(300), "{found}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!((&report["texts"], &report["flagged"]), (&Value::from(2), &Value::from(1)), "{report}");
    assert!(run.err.contains("1 flagged") && run.err.contains("looks"), "{}", run.err);
}
