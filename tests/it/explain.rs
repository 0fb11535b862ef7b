//! `highwater explain` from outside: what it must not overwrite, and what a user is warned of whose settings the calibration does not fit.

use crate::cli::{file, highwater, ran, with_input};

/// Under its own name and under another.
#[test]
fn the_page_never_takes_the_place_of_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let post = file(folder.path(), "post.txt", "Words that are wanted again.");
    let other = folder.path().join(".").join("post.txt");
    for page in [&post, &other] {
        let run = ran(&mut highwater(&["explain", post.to_str().unwrap(), "--html", page.to_str().unwrap()]));
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{}", run.err);
        assert!(run.err.starts_with("error: --html ") && run.err.contains("name another file"), "{}", run.err);
        assert_eq!(std::fs::read_to_string(&post).unwrap(), "Words that are wanted again.");
    }
}

/// On standard error and without any flag; `-q` asks for errors only.
#[test]
fn settings_that_the_calibration_does_not_fit_are_warned_of() {
    let cases =
        [(["--normalize", "off"], "was made with --normalize on"), (["--fpr", "0.000001"], "no text is ever flagged at --fpr 0.000001")];
    for (flags, told) in cases {
        for command in [&["score", "--format", "text"][..], &["explain"]] {
            let run = |more: &[&str]| with_input(&mut highwater(&[command, &flags, more].concat()), b"some words of a post");
            let (heard, quiet) = (run(&[]), run(&["-q"]));
            assert_eq!((heard.code, quiet.code), (Some(0), Some(0)), "{}{}", heard.err, quiet.err);
            assert!(heard.err.contains("WARN") && heard.err.contains(told), "{command:?}: {}", heard.err);
            assert!(!heard.out.contains(told) && quiet.err.is_empty(), "{command:?}: {}", quiet.err);
        }
    }
    let plain = with_input(&mut highwater(&["explain"]), b"some words of a post");
    assert!(!plain.err.contains("--normalize") && !plain.err.contains("--fpr"), "{}", plain.err);
}
