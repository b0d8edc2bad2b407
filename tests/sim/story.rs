//! The smallest history that still goes wrong, told.

use super::check::short;
use super::history::History;
use super::run::{Outcome, run};
use super::sched::START;

/// Histories tried on the way.
const TRIES: usize = 60;

/// Leaves out whatever the failure does not need, and tells the rest.
pub(crate) async fn smallest(seed: u64, mut history: History, mut outcome: Outcome) -> String {
    let mut tries = 0;
    let mut smaller = true;
    while smaller && tries < TRIES {
        smaller = false;
        for candidate in candidates(&history) {
            tries += 1;
            let tried = run(&format!("smaller-{seed}"), seed, &candidate).await;
            if !tried.violations.is_empty() {
                (history, outcome) = (candidate, tried);
                smaller = true;
                break;
            }
        }
    }
    tell(seed, &history, &outcome)
}

fn candidates(history: &History) -> Vec<History> {
    let mut candidates = Vec::new();
    let mut with = |change: &dyn Fn(&mut History)| {
        let mut smaller = history.clone();
        change(&mut smaller);
        candidates.push(smaller);
    };
    for index in 0..history.events.len() {
        with(&|history| {
            history.events.remove(index);
        });
        if history.events[index].sent.len() > 1 {
            with(&|history| history.events[index].sent.truncate(1));
        }
    }
    for index in 0..history.outages.len() {
        with(&|history| {
            history.outages.remove(index);
        });
    }
    if !history.tokens.is_empty() {
        with(&|history| history.tokens.clear());
    }
    if !history.roots.is_empty() {
        with(&|history| history.roots.clear());
    }
    for index in 0..history.windows.len() {
        with(&|history| {
            history.windows.remove(index);
        });
    }
    if history.accidents > 0 {
        with(&|history| history.accidents = 0);
    }
    if history.delivered_twice > 0 {
        with(&|history| history.delivered_twice = 0);
    }
    if history.plan.one_in > 0 {
        with(&|history| history.plan.one_in = 0);
    }
    if history.plan.in_poster > 0 {
        with(&|history| history.plan.in_poster -= 1);
    }
    if history.plan.elsewhere > 0 {
        with(&|history| history.plan.elsewhere -= 1);
    }
    candidates
}

fn tell(seed: u64, history: &History, outcome: &Outcome) -> String {
    let mut lines = vec![format!("\nseed {seed}, left of it:")];
    for event in &history.events {
        let sent: Vec<String> = event
            .sent
            .iter()
            .map(|at| format!("{:.1}s", (at - START * 1000) as f64 / 1000.0))
            .collect();
        lines.push(format!(
            "  {:?} of {} on {}, {}s, version {}, sent at {}",
            event.says,
            event.context(),
            short(event.commit),
            event.second,
            event.version,
            sent.join(" and ")
        ));
    }
    lines.push(format!(
        "  {:?}, {:?}, {:?}, tokens {:?}, root keys {:?}, {:?}",
        history.kind, history.rule, history.outages, history.tokens, history.roots, history.windows
    ));
    lines.push("what happened:".into());
    lines.extend(outcome.story.iter().cloned());
    lines.push("what is wrong:".into());
    lines.extend(
        outcome
            .violations
            .iter()
            .map(|violation| format!("  {violation}")),
    );
    lines.push(format!(
        "again: SIM_SEED={seed} cargo test -p flow-tests --test sim"
    ));
    lines.join("\n")
}
