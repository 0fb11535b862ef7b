//! Several requests at a time, their texts in the order of the prompts. Takes prompts one by one as they are needed, so that no list of them
//! need exist; holds a few answers for each worker at most.

use super::{ApiError, Backend, Completion};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

/// An answer, and the place of its prompt in the run.
type Answer = (u64, Result<Completion, ApiError>);

/// Asks for the text of every prompt, `workers` at a time, and hands over the answers in order until `take` breaks off.
pub fn run(
    backend: &dyn Backend,
    prompts: impl IntoIterator<Item = (u64, String)>,
    workers: usize,
    take: &mut dyn FnMut(u64, Result<Completion, ApiError>) -> ControlFlow<()>,
) {
    let workers = workers.max(1);
    let (to_workers, prompts_to_do) = sync_channel::<(u64, String)>(0);
    let (done, answers) = sync_channel::<Answer>(workers);
    let prompts_to_do = Mutex::new(prompts_to_do);
    thread::scope(|scope| {
        for _ in 0..workers {
            let (prompts_to_do, done) = (&prompts_to_do, done.clone());
            scope.spawn(move || work(backend, prompts_to_do, &done));
        }
        drop(done);
        hand_out(prompts.into_iter(), workers, (to_workers, &answers), take);
        // workers that still wait for a prompt, or to hand over an answer, see that nobody is there
        drop(answers);
    });
}

fn work(backend: &dyn Backend, prompts: &Mutex<Receiver<(u64, String)>>, done: &SyncSender<Answer>) {
    loop {
        let next = prompts.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, prompt)) = next else { return };
        if done.send((number, backend.complete(number, &prompt))).is_err() {
            return;
        }
    }
}

/// Keeps every worker busy, and gives answers on in order. An answer that has to wait for an earlier one holds back new prompts.
fn hand_out(
    mut prompts: impl Iterator<Item = (u64, String)>,
    workers: usize,
    (to_workers, answers): (SyncSender<(u64, String)>, &Receiver<Answer>),
    take: &mut dyn FnMut(u64, Result<Completion, ApiError>) -> ControlFlow<()>,
) {
    let mut order = std::collections::VecDeque::new();
    let mut waiting = BTreeMap::new();
    let mut working = 0;
    loop {
        while working < workers && order.len() < 2 * workers {
            let Some((number, prompt)) = prompts.next() else { break };
            order.push_back(number);
            if to_workers.send((number, prompt)).is_err() {
                return;
            }
            working += 1;
        }
        if working == 0 {
            return;
        }
        let Ok((number, answer)) = answers.recv() else { return };
        working -= 1;
        waiting.insert(number, answer);
        while let Some(answer) = order.front().and_then(|number| waiting.remove(number)) {
            let Some(number) = order.pop_front() else { return };
            if take(number, answer).is_break() {
                return;
            }
        }
    }
}
