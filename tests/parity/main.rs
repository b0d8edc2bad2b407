//! What notification-controller does with an event, case by case as its own tests and code say it, and what this service
//! does with the same. `cases` is upstream's side as data, `differences.yaml` what is not the same and why.
//! `cargo test --workspace --test parity -- --nocapture` prints how many cases are equal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod apply;
mod common;
mod data;
mod differences;
mod host_cases;
mod matching;

use std::collections::BTreeMap;

use data::Case;
use differences::{Deviation, Known};

#[derive(Default)]
struct Tally {
    equal: usize,
    by_difference: BTreeMap<String, usize>,
    differing: usize,
    not_applicable: usize,
}

#[test]
fn every_case_comes_out_as_upstream_or_as_the_differences_say() {
    let known = Known::read();
    let (mut tally, mut faults) = (Tally::default(), Vec::new());
    for case in data::cases() {
        let named = format!("{}: {}", case.list, case.test);
        let own_reason = case.at("not_applicable");
        if !own_reason.is_null() {
            if own_reason.as_str().is_none_or(|reason| reason.trim().is_empty()) {
                faults.push(format!("{named}: not applicable without a reason"));
            }
            tally.not_applicable += 1;
            continue;
        }
        if known.not_applicable(&case).is_some() {
            tally.not_applicable += 1;
            continue;
        }
        let deviations = compared(&case, &known);
        let mut ids = Vec::new();
        for deviation in &deviations {
            match known.explain(&case, deviation) {
                Some(difference) if ids.contains(&difference.id) => {}
                Some(difference) => ids.push(difference.id.clone()),
                None => faults.push(format!(
                    "{named}: {}\n    upstream {}\n    ours     {}",
                    deviation.field, deviation.upstream, deviation.ours
                )),
            }
        }
        match deviations.is_empty() {
            true => tally.equal += 1,
            false => tally.differing += 1,
        }
        for id in ids {
            *tally.by_difference.entry(id).or_default() += 1;
        }
    }
    faults.extend(known.faults());
    let Tally {
        equal,
        by_difference,
        differing,
        not_applicable,
    } = &tally;
    println!("{equal} cases are equal, {differing} differ, {not_applicable} can not apply");
    for (id, cases) in by_difference {
        println!(
            "{cases:>5} {id}{}",
            if known.is_bug(id) { " (a bug)" } else { "" }
        );
    }
    assert!(
        faults.is_empty(),
        "{}\n{} faults",
        faults.join("\n"),
        faults.len()
    );
}

fn compared(case: &Case, known: &Known) -> Vec<Deviation> {
    match case.list.split_once('.') {
        None => host_cases::compare(case, known),
        Some(("common", list)) => common::compare(case, list),
        Some((_, list)) => matching::compare(case, list),
    }
}
