//! Texts by the fake generator: whatever the batch they are the same, and they end where they should.

use super::*;
use crate::{
    adversary::Sampling,
    model::{FakeGenerator, Tokens},
};

/// Orders these requests and keeps what comes; stops after so many runs.
struct Counter {
    requests: Vec<Request>,
    next: usize,
    kept: Vec<Written>,
    runs_left: usize,
    tokens: u64,
}

impl Desk for Counter {
    fn take(&mut self, _: &dyn Generator) -> Result<Option<Request>, AdversaryError> {
        self.next += 1;
        Ok(self.requests.get(self.next - 1).cloned())
    }

    fn done(&mut self, written: Written) -> Result<(), AdversaryError> {
        self.kept.push(written);
        Ok(())
    }

    fn go_on(&mut self, tokens: u64) -> bool {
        self.tokens += tokens;
        self.runs_left -= 1;
        self.runs_left > 0
    }
}

fn counter(requests: Vec<Request>) -> Counter {
    Counter { requests, next: 0, kept: Vec::new(), runs_left: usize::MAX, tokens: 0 }
}

fn ids(text: &str) -> Vec<u32> {
    let Tokens { ids, .. } = FakeGenerator::default().tokenize(text).unwrap();
    ids
}

/// Requests of many lengths, one of them empty.
fn requests() -> Vec<Request> {
    let one = |i: u64| Request { number: 3 * i, prompt: ids(&"prompt"[..i as usize % 7]), most: (i as usize * 37) % 60, fewest: 0 };
    (0..40).map(one).collect()
}

fn texts(generator: &mut FakeGenerator, writing: &Writing, requests: Vec<Request>) -> Vec<Written> {
    let mut desk = counter(requests);
    assert!(write(generator, writing, &mut desk).unwrap());
    if !matches!(writing.decoding, Decoding::Beam(_)) {
        assert_eq!(desk.tokens, desk.kept.iter().map(|w| w.tokens as u64).sum::<u64>());
    }
    desk.kept
}

#[test]
fn a_text_does_not_depend_on_the_batch() {
    for decoding in
        [Decoding::Sample(Sampling::default()), Decoding::Sample(Sampling { top_p: 0.9, ..Sampling::default() }), Decoding::Greedy]
    {
        let writing = |batch, seed| Writing { decoding, batch, seed, ..Writing::default() };
        let singles = texts(&mut FakeGenerator::default(), &writing(1, 7), requests());
        assert_eq!(singles.iter().map(|w| w.number).collect::<Vec<_>>(), (0..40).map(|i| 3 * i).collect::<Vec<_>>());
        for batch in [2, 5, 64] {
            assert_eq!(texts(&mut FakeGenerator::default(), &writing(batch, 7), requests()), singles, "batch {batch}, {decoding:?}");
        }
        let mut backwards = requests();
        backwards.reverse();
        let mut turned = texts(&mut FakeGenerator::default(), &writing(4, 7), backwards);
        turned.reverse();
        assert_eq!(turned, singles);
        if decoding != Decoding::Greedy {
            assert_ne!(texts(&mut FakeGenerator::default(), &writing(1, 8), requests()), singles);
        }
    }
}

#[test]
fn a_slot_is_filled_again_as_soon_as_its_text_ends() {
    let mut generator = FakeGenerator::default();
    let writing = Writing { stop_at_end: false, batch: 4, ..Writing::default() };
    let one = |number: u64| Request { number, most: if number == 0 { 100 } else { 10 }, ..Request::default() };
    texts(&mut generator, &writing, (0..31).map(one).collect());
    // 400 tokens in 100 full batches: nobody waits for the long one
    assert_eq!(generator.batches, [4; 100]);
}

#[test]
fn a_text_ends_at_its_length_at_end_of_text_or_before_a_stop() {
    let ends = |writing: &Writing, most, fewest| {
        let one = |number| Request { number, prompt: ids("ab"), most, fewest };
        texts(&mut FakeGenerator::default(), writing, (0..30).map(one).collect())
    };
    let free = ends(&Writing::default(), 40, 0);
    assert!(free.iter().any(|w| w.end == End::EndOfText && w.tokens == w.text.len() + 1 && w.tokens < 40));
    assert!(free.iter().any(|w| w.end == End::Length && w.text.len() == 40));
    assert!(ends(&Writing::default(), 40, 40).iter().all(|w| w.end == End::Length));
    let endless = Writing { stop_at_end: false, ..Writing::default() };
    assert!(ends(&endless, 200, 0).iter().all(|w| (w.end, w.tokens) == (End::Length, 200)));
    let stopped = Writing { stop: vec!["e ".into(), "t".into(), "never written".into()], ..endless };
    let stopped = ends(&stopped, 500, 0);
    assert!(stopped.iter().all(|w| w.end == End::Stop && !w.text.contains('t') && !w.text.contains("e ")), "{stopped:?}");
    assert!(stopped.iter().all(|w| (1..=2).contains(&(w.tokens - w.text.len()))), "{stopped:?}");
    assert_eq!(ends(&Writing::default(), 0, 0)[3], Written { number: 3, text: String::new(), tokens: 0, end: End::Length });
}

#[test]
fn a_text_goes_on_beyond_the_context_with_half_of_it_in_sight() {
    // the fake looks back two tokens only, so that a window that is too short or moved wrongly shows
    let writing = |batch| Writing { stop_at_end: false, batch, ..Writing::default() };
    let one = |number| Request { number, prompt: ids("a prompt"), most: 500, fewest: 0 };
    let long = texts(&mut FakeGenerator::with_context(1024), &writing(3), (0..5).map(one).collect());
    for context in [9, 16, 33] {
        for batch in [1, 3] {
            assert_eq!(texts(&mut FakeGenerator::with_context(context), &writing(batch), (0..5).map(one).collect()), long, "{context}");
        }
    }
    let beams = Writing { decoding: Decoding::Beam(Beams { width: 3, length_penalty: 1. }), ..writing(1) };
    let best = |context| texts(&mut FakeGenerator::with_context(context), &beams, vec![Request { most: 40, ..one(0) }]);
    assert_eq!(best(1024), best(12));
}

#[test]
fn a_prompt_that_does_not_fit_is_told_with_its_length() {
    let request = Request { prompt: ids("a prompt of 22 tokens"), most: 5, ..Request::default() };
    let error = write(&mut FakeGenerator::with_context(21), &Writing::default(), &mut counter(vec![request.clone()])).unwrap_err();
    assert_eq!(error.to_string(), "the prompt that begins with `a prompt of 22 t` has 21 tokens; the model reads at most 20: shorten it");
    write(&mut FakeGenerator::with_context(22), &Writing::default(), &mut counter(vec![request])).unwrap();
}

#[test]
fn a_run_that_is_stopped_or_fails_keeps_what_was_done() {
    let writing = Writing { stop_at_end: false, batch: 2, ..Writing::default() };
    let one = |number| Request { number, most: 10, ..Request::default() };
    let mut desk = Counter { runs_left: 25, ..counter((0..20).map(one).collect()) };
    assert!(!write(&mut FakeGenerator::default(), &writing, &mut desk).unwrap());
    assert_eq!(desk.kept.iter().map(|w| w.number).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let mut desk = counter((0..20).map(one).collect());
    let error = write(&mut FakeGenerator::failing_after(25), &writing, &mut desk).unwrap_err();
    assert!(matches!(error, AdversaryError::Model(_)) && desk.kept.len() == 4, "{error}");
    let beams = Writing { decoding: Decoding::Beam(Beams { width: 3, length_penalty: 1. }), ..writing };
    let mut desk = Counter { runs_left: 15, ..counter((0..20).map(one).collect()) };
    assert!(!write(&mut FakeGenerator::default(), &beams, &mut desk).unwrap());
    assert_eq!(desk.kept.len(), 1);
}

#[test]
fn long_prompts_take_turns() {
    let mut generator = FakeGenerator::with_context(2000);
    let writing = Writing { stop_at_end: false, batch: 3, ..Writing::default() };
    let one = |number| Request { number, prompt: vec![97; 1500], most: 2, ..Request::default() };
    let kept = texts(&mut generator, &writing, (0..3).map(one).collect());
    assert_eq!(kept.len(), 3);
    assert_eq!(generator.batches, [1, 2, 2, 1]);
}

#[test]
fn a_wider_search_finds_a_text_at_least_as_probable() {
    let score = |written: &Written| {
        let mut generator = FakeGenerator::default();
        let (mut total, mut row) = (0., Vec::new());
        for (i, id) in std::iter::once(0).chain(ids(&written.text)).enumerate() {
            if i > 0 {
                let top = row.iter().copied().fold(f32::MIN, f32::max);
                let z: f32 = row.iter().map(|v: &f32| (v - top).exp()).sum();
                total += row[id as usize] - top - z.ln();
            }
            generator.extend(&[Step { sequence: 0, tokens: &[id] }], &mut row).unwrap();
        }
        total
    };
    let best = |decoding| {
        let writing = Writing { decoding, stop_at_end: false, ..Writing::default() };
        score(&texts(&mut FakeGenerator::default(), &writing, vec![Request { most: 12, ..Request::default() }])[0])
    };
    let greedy = best(Decoding::Greedy);
    let [two, eight] = [2, 8].map(|width| best(Decoding::Beam(Beams { width, length_penalty: 1. })));
    assert!(greedy <= two + 1e-4 && two <= eight + 1e-4 && greedy < eight, "{greedy} {two} {eight}");
}
