//! What must not be held against a person, and what no model of English can judge: the embedded model on whole texts.

use crate::cli::{highwater, with_input};
use serde_json::{Value, json};

/// By people, out of copyright: Melville, Austen, Dickens, Twain, Stoker, Carroll.
const HUMAN: [&str; 6] = [
    "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and nothing particular to interest me on shore, I thought I would sail about a little and see the watery part of the world.",
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is fixed.",
    "Now, what I want is, Facts. Teach these boys and girls nothing but Facts. Facts alone are wanted in life. Plant nothing else, and root out everything else. You can only form the minds of reasoning animals upon Facts.",
    "You don't know about me without you have read a book by the name of The Adventures of Tom Sawyer; but that ain't no matter. That book was made by Mr. Mark Twain, and he told the truth, mainly.",
    "Left Munich at 8:35 on 1st May, arriving at Vienna early next morning; should have arrived at 6:46, but train was an hour late. Buda-Pesth seems a wonderful place, from the glimpse which I got of it from the train.",
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it.",
];

fn assessed(texts: &[String]) -> Vec<Value> {
    let input: String = texts.iter().map(|text| format!("{}\n", json!({ "text": text }))).collect();
    let run = with_input(&mut highwater(&["score", "-q"]), input.as_bytes());
    assert_eq!(run.code, Some(0), "{}", run.err);
    run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

type Change = fn(&str) -> String;

#[test]
fn an_emoji_an_accent_or_a_foreign_word_is_not_punished() {
    let plain: Vec<String> = HUMAN.iter().map(|text| (*text).to_owned()).collect();
    let before = assessed(&plain);
    let changes: [(&str, Change); 4] = [
        ("emoji", |text| format!("{text} 😂👍🏽")),
        ("accents", |text| text.replacen("the ", "the café ", 1).replacen(" and ", " and naïve ", 1)),
        ("Cyrillic", |text| format!("{text} As they say, «доверяй, но проверяй».")),
        ("a link and a name", |text| format!("@someone {text} https://example.org/a/b?c=1 #books")),
    ];
    for (name, change) in changes {
        let after = assessed(&plain.iter().map(|text| change(text)).collect::<Vec<_>>());
        let score = |v: &Value| v["score"].as_f64().unwrap();
        let shift = |(before, after): (&Value, &Value)| score(after) - score(before);
        let mean = before.iter().zip(&after).map(shift).sum::<f64>() / HUMAN.len() as f64;
        assert!(mean < 0.2, "{name} takes scores up by {mean}");
        for ((text, before), after) in HUMAN.iter().zip(&before).zip(&after) {
            println!("{name}: {:.2} -> {:.2}, p {} -> {}", score(before), score(after), before["p_value"], after["p_value"]);
            assert!(after["p_value"].is_number(), "{name}: no p-value for {text}\n{after}");
            assert_eq!(after["flagged"], false, "{name}: {text}\n{after}");
            assert!(shift((before, after)) < 1., "{name} takes the score from {} to {}: {text}", score(before), score(after));
        }
    }
}

#[test]
fn what_is_no_english_prose_is_not_judged() {
    let table = |i: usize| format!("| item {i} | {}.{} | {}% |\n", i * 37 % 91, i * 13 % 100, i * 7 % 100);
    let texts = [
        ("not_prose", format!("| name | value | share |\n|---|---:|---:|\n{}", (0..25).map(table).collect::<String>())),
        ("not_prose", "for (int i = 0; i < n; ++i) { sum += values[i]; total[i] = f(sum, i) / 2; } return total[n - 1]; ".repeat(3)),
        (
            "unsupported_language",
            "Ich habe heute leider keine Zeit für dich, aber morgen können wir zusammen essen gehen, wenn du willst.".into(),
        ),
        ("unsupported_language", "Привет, как дела? Я сегодня ничего не делаю, а завтра пойду гулять в парк с друзьями и собакой.".into()),
        ("not_prose", "buy now ".repeat(60)),
    ];
    let found = assessed(&texts.clone().map(|(_, text)| text));
    for ((reason, text), found) in texts.iter().zip(found) {
        assert_eq!((&found["verdict"], &found["abstain_reason"]), (&json!("abstain"), &json!(reason)), "{text}\n{found}");
        assert!(found["p_value"].is_null() && found["flagged"] == false, "{found}");
    }
}
