//! A small fleet for some hours, as `cargo bench --bench fleet` runs large ones for a day: what docs/deploy.md and
//! docs/performance.md say of calls and units is asserted here.

use hosts::HostKind;

#[expect(dead_code, reason = "the benchmark uses more of it")]
#[path = "../fleet/model/mod.rs"]
mod model;

use model::day::Fleet;
use model::run::{Assumptions, Outcome, Plan, Shape, run};
use model::usage::Function;

fn plan(kind: HostKind) -> Plan {
    Plan {
        kind,
        fleet: Fleet {
            clusters: 2,
            kustomizations: 3,
            commits: 2,
            hours: 3,
            seed: 5,
        },
        credentials: 1,
        shape: Shape::Day,
        drain_hours: 1,
        assumptions: Assumptions::default(),
    }
}

async fn live(plan: Plan) -> Outcome {
    let outcome = run(plan, &|_, _| {}).await;
    assert_eq!(outcome.surprises, Vec::<String>::new());
    outcome
}

#[tokio::test]
async fn a_small_fleet_costs_what_it_was_said_to() {
    let outcome = live(plan(HostKind::GitHub)).await;
    let (ledger, usage) = (&outcome.ledger, &outcome.usage_in_all);
    let objects = 2 * 3;
    let statuses = 2 * objects;
    let (events, changes) = (ledger.events(), ledger.changes);

    // Whoever is reconciled says so, and one result in a hundred is a failure.
    assert_eq!(ledger.progressing, statuses);
    // One that fails at first is a change less than one that fails later.
    let usual = 2 * statuses + ledger.failures;
    assert!((usual..=usual + ledger.failures).contains(&changes), "{changes}");
    assert!(ledger.failures > 0);
    assert!(
        events > 4 * changes,
        "most of it is the success of every interval: {events}"
    );

    // The Git host: a write for each change, nothing else, and nothing is left.
    assert_eq!((ledger.posts, ledger.reads, ledger.needless), (changes, 0, 0));
    assert_eq!((outcome.untold_at_midnight, outcome.untold_at_last), (0, 0));
    let late = ledger.late.max().max(ledger.late_pending.max());
    assert!((275..2_000).contains(&late), "{late} ms");

    // notification-controller reads for every result.
    let controller = &outcome.controller;
    assert_eq!(controller.reads, ledger.results);
    assert_eq!(controller.writes, changes - ledger.pendings);

    // DynamoDB: one write unit for an unchanged event, and these for a change.
    let calls = |function, what| usage.calls(function, what);
    let units = |function, what| usage.calls(function, what).write_units as u64;
    let begun = calls(Function::Rules, "unchanged");
    assert_eq!((begun.calls, begun.refused), (events, changes));
    assert_eq!(units(Function::Rules, "unchanged"), events);
    assert_eq!(units(Function::Rules, "create status"), 3 * statuses);
    assert_eq!(units(Function::Rules, "newest commit"), statuses);
    // Every commit of an object but its first finds a status that may have been left pending.
    let closed = calls(Function::Rules, "close superseded");
    assert_eq!(
        (closed.calls, closed.refused),
        (statuses - objects, statuses - objects)
    );
    // The due date is in an index: in with a change, out with its post.
    assert_eq!(units(Function::Rules, "change"), 2 * (changes - statuses));
    assert_eq!(units(Function::Poster, "claim"), changes);
    assert_eq!(units(Function::Poster, "record"), 2 * changes);
    assert_eq!(calls(Function::Poster, "claim").refused, 0);
    let slots = calls(Function::Poster, "slot");
    assert_eq!(slots.calls - slots.refused, changes);
    assert_eq!(calls(Function::Sweeper, "postpone").calls, 0);
    // An event is kept when it says something new, and once more by each instance that has not seen it.
    let kept = calls(Function::Rules, "keep event").calls;
    assert!((changes..2 * changes).contains(&kept), "{kept} of {events}");
    // The cluster and the version, which are good for five seconds; the rest once an hour in each instance.
    let read = calls(Function::Rules, "read rules").read_units as u64;
    assert!((2 * events..=3 * events).contains(&read), "{read} of {events}");

    // SQS: sent, received and deleted, in batches of what was there.
    let (sent, hinted) = (usage.events, usage.posts);
    assert_eq!((sent.sends, sent.duplicates, sent.returned), (events, 0, 0));
    assert_eq!(
        (hinted.sends, hinted.duplicates, hinted.returned),
        (changes, 0, 0)
    );
    for queue in [sent, hinted] {
        assert!(queue.receives == queue.deletes && queue.receives <= queue.sends);
    }
    assert_eq!(usage.of(Function::Intake).count, events);
    assert_eq!(usage.of(Function::Rules).count, sent.receives);
}

#[tokio::test]
async fn the_same_seed_is_the_same_day() {
    let plan = Plan {
        fleet: Fleet {
            hours: 1,
            ..plan(HostKind::GitLab).fleet
        },
        ..plan(HostKind::GitLab)
    };
    let (one, other) = (live(plan).await, live(plan).await);
    let without_logs = |outcome: &Outcome| model::usage::Usage {
        log_lines: 0,
        log_bytes: 0,
        ..outcome.usage.clone()
    };
    assert_eq!(without_logs(&one), without_logs(&other));
    assert_eq!(one.ledger.late.max(), other.ledger.late.max());
}
