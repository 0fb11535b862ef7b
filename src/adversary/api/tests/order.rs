//! Many requests at a time: order, bounds, and an end at any moment.

use super::*;
use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Answers with the prompt; even ones wait for a later one first.
#[derive(Default)]
struct Echo {
    working: AtomicUsize,
    most: AtomicUsize,
    asked: AtomicUsize,
}

impl Backend for Echo {
    fn complete(&self, number: u64, prompt: &str) -> Result<Completion, ApiError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.working.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        (0..(number * 7919 % 64)).for_each(|_| std::thread::yield_now());
        self.working.fetch_sub(1, Ordering::SeqCst);
        if number % 10 == 3 { Err(ApiError::CutOff) } else { Ok(Completion { text: prompt.to_owned(), ..Completion::default() }) }
    }
}

fn prompts(count: u64) -> impl Iterator<Item = (u64, String)> {
    (0..count).map(|n| (n, format!("prompt {n}")))
}

#[test]
fn answers_come_in_the_order_of_their_prompts() {
    for workers in [0, 1, 3, 8] {
        let echo = Echo::default();
        let mut seen = Vec::new();
        run(&echo, prompts(50), workers, &mut |number, answer| {
            assert_eq!(answer.is_err(), number % 10 == 3);
            assert!(answer.is_err() || answer.is_ok_and(|a| a.text == format!("prompt {number}")));
            seen.push(number);
            ControlFlow::Continue(())
        });
        assert_eq!(seen, (0..50).collect::<Vec<_>>(), "{workers} workers");
        assert!(echo.most.load(Ordering::SeqCst) <= workers.max(1));
    }
}

#[test]
fn a_run_that_is_broken_off_asks_little_more() {
    let echo = Echo::default();
    let mut seen = 0;
    run(&echo, prompts(1_000_000), 4, &mut |number, _| {
        seen += 1;
        if number == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(seen, 11);
    assert!(echo.asked.load(Ordering::SeqCst) <= 11 + 8, "{:?}", echo.asked);
}

#[test]
fn no_prompts_no_answers() {
    run(&Echo::default(), prompts(0), 4, &mut |_, _| panic!("nothing was asked"));
}
