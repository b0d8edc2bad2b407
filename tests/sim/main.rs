//! Never lost, never out of order, never twice: the real handlers in a simulated world where everything may fail at
//! every call. A seed decides all of it; `SIM_SEED=… cargo test -p flow-tests --test sim` lives through one again,
//! `SIM_SEEDS=…` says how many there are, and `SIM_FROM=…` with which a long run goes on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod check;
mod history;
mod host;
mod logs;
mod oracle;
mod permutations;
mod queue;
mod run;
mod sched;
mod story;
mod table;
mod watch;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use check::Tally;
use history::History;
use run::{Outcome, run};
use sched::{Fault, Plan};
use story::smallest;

/// Histories of a plain test run.
const SEEDS: u64 = 2_000;
/// Histories without any fault.
const CONSERVED: u64 = 30;
/// A long run tells how far it is, after so many.
const MILESTONE: u64 = 1_000;
/// Histories lived through side by side.
const THREADS: u64 = 2;

#[expect(
    clippy::disallowed_methods,
    reason = "who repeats a seed says so in the environment"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

#[test]
fn whatever_fails_the_host_shows_the_newest_state_and_was_told_no_more_often_than_it_changed() {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("SIM_FROM").unwrap_or_default();
            first..first + number("SIM_SEEDS").unwrap_or(SEEDS)
        }
    };
    let next = AtomicU64::new(seeds.start);
    let (calls, posts) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    if seed > seeds.start && seed.is_multiple_of(MILESTONE) {
                        println!("at seed {seed}");
                    }
                    let history = History::draw(seed);
                    let outcome = block_on(run(&format!("seed-{seed}"), seed, &history));
                    calls.fetch_add(outcome.calls, Ordering::Relaxed);
                    posts.fetch_add(outcome.posts as u64, Ordering::Relaxed);
                    if !outcome.violations.is_empty() {
                        // The others need not go on.
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                        panic!("{}", block_on(smallest(seed, history, outcome)));
                    }
                }
            });
        }
    });
    println!(
        "{} histories, {} calls, {} posts",
        seeds.end - seeds.start,
        calls.into_inner(),
        posts.into_inner()
    );
}

/// Where nothing fails nothing is said twice: as many verdicts as events, and as many ends as changes.
#[test]
fn p16_every_event_has_one_verdict_and_every_change_one_end() {
    let mut whole = Tally::default();
    for seed in 0..CONSERVED {
        let mut history = History::draw(seed);
        history.plan = Plan::default();
        history.delivered_twice = 0;
        let outcome = block_on(run(&format!("conserved-{seed}"), seed, &history));
        assert_eq!(outcome.violations, [""; 0], "seed {seed}: {:#?}", outcome.story);
        let tally = outcome.tally;
        assert_eq!(tally.verdicts, tally.taken, "seed {seed}: {tally:?}");
        assert_eq!(tally.changed, tally.changes, "seed {seed}: {tally:?}");
        assert_eq!(tally.ends, tally.changes, "seed {seed}: {tally:?}");
        whole.taken += tally.taken;
        whole.changes += tally.changes;
    }
    assert!(
        whole.taken > whole.changes && whole.changes > CONSERVED,
        "{whole:?}"
    );
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in [1, 2, 3] {
        let history = History::draw(seed);
        let name = format!("repeated-{seed}");
        let [first, second] = [(); 2].map(|()| block_on(run(&name, seed, &history)));
        assert_eq!(first.story, second.story);
        assert_eq!(first.calls, second.calls);
    }
}

/// The short history with a fault at each of its calls, one at a time.
fn at_every_call(max_receives: u32) {
    let live = |call, fault| -> (History, Outcome) {
        let mut history = History::short();
        history.max_receives = max_receives;
        history.plan = Plan {
            exactly: Some((call, fault)),
            ..Plan::default()
        };
        let outcome = block_on(run(&format!("every-call-{max_receives}"), 0, &history));
        (history, outcome)
    };
    let (_, whole) = live(0, Fault::None);
    assert_eq!(whole.violations, [""; 0], "{:#?}", whole.story);
    // Three pendings, two of them closed, the failure and the success.
    assert_eq!(whole.posts, 7);
    for call in 1..=whole.calls {
        for fault in Fault::EVERY {
            let (history, outcome) = live(call, fault);
            assert_eq!(
                outcome.violations, [""; 0],
                "call {call} {fault:?}: {:#?}\n{:#?}",
                outcome.story, history.events
            );
        }
    }
}

#[test]
fn p1_every_single_call_of_a_short_history_may_fail_or_crash() {
    at_every_call(1_000);
}

/// The next events are handled before the one that failed.
#[test]
fn p6_every_single_call_may_fail_or_crash_and_leave_a_dead_letter() {
    at_every_call(1);
}
