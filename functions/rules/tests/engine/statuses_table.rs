//! Desired statuses.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use rules::adapters::StatusesTable;
use rules::decide::{Hint, Incoming};
use rules::ports::{EventStore as _, Written};
use rules::verdict::{SkipReason, Verdict};
use serde_json::json;
use shared::State;
use shared::item::{EventItem, FailedExpression, Posted, StatusItem, due_shard, parked_shard};
use shared::message::StatusKey;

use crate::world::{
    Apply, EXPIRES, Item, NOW, World, draft, event, failure, key, pending, posted, quiet, record_of, success,
};

const REPOSITORY: &str = "github.com/acme/fleet";

fn table(world: &World) -> StatusesTable {
    StatusesTable::new(world.client.clone(), world.statuses.clone())
}

async fn apply(world: &World, key: &StatusKey, incoming: &Incoming) -> Written {
    table(world)
        .apply(&draft(key, incoming), incoming, NOW)
        .await
        .unwrap()
}

/// What comes of `incoming` where the table holds `stored`: verdict and hint, the item then, and the calls it took.
async fn applied(
    stored: Option<StatusItem>,
    incoming: &Incoming,
) -> ((Verdict, Hint), StatusItem, Vec<String>) {
    let world = World::new().await;
    let key = key(REPOSITORY);
    if let Some(stored) = stored {
        world.put(&world.statuses, stored).await;
    }
    let written = apply(&world, &key, incoming).await;
    let item = world.item(&key).await.unwrap();
    assert_eq!((written.rev, written.claims), (item.rev, item.claims));
    ((written.verdict, written.hint), item, world.operations())
}

const SEND: Hint = Hint::Send;
const NO_HINT: Hint = Hint::None;

#[tokio::test]
async fn the_last_event_is_the_one_that_was_received_last() {
    let world = World::new().await;
    let kept = |received_at: i64, reason: &str| -> EventItem {
        serde_json::from_value(json!({
            "pk": "object#dev/Kustomization/apps/podinfo", "sk": "event@-", "cluster": "dev", "generation": 1,
            "event_id": "00", "received_at": received_at, "expires_at": 0,
            "event": {
                "involvedObject": {"kind": "Kustomization", "namespace": "apps", "name": "podinfo"},
                "severity": "info", "timestamp": "2026-08-07T13:13:02Z", "reason": reason,
            },
        }))
        .unwrap()
    };
    let key = StatusKey {
        pk: "object#dev/Kustomization/apps/podinfo".into(),
        sk: "event@-".into(),
    };
    for (event, expected) in [
        (kept(2, "second"), "second"),
        (kept(1, "first, from the dead letters"), "second"),
        (kept(2, "another of that moment"), "another of that moment"),
        (kept(3, "third"), "third"),
    ] {
        table(&world).keep(&event).await.unwrap();
        let item: EventItem = serde_dynamo::from_item(world.raw(&key).await.unwrap()).unwrap();
        assert_eq!(item.event.reason, expected);
    }
}

#[tokio::test]
async fn a_change_says_anew_which_expression_failed() {
    let world = World::new().await;
    let key = key(REPOSITORY);
    let failed = |hash: &str| FailedExpression {
        hash: hash.into(),
        error: "the event has no `event.metadata.env`".into(),
    };
    let drafted = |incoming: &Incoming, hash| StatusItem {
        failed_expression: Some(failed(hash)),
        ..draft(&key, incoming)
    };
    let (first, second) = (pending(1), success(2));
    table(&world)
        .apply(&drafted(&first, "one"), &first, NOW)
        .await
        .unwrap();
    assert_eq!(
        world.item(&key).await.unwrap().failed_expression,
        Some(failed("one"))
    );
    table(&world)
        .apply(&drafted(&second, "two"), &second, NOW)
        .await
        .unwrap();
    assert_eq!(
        world.item(&key).await.unwrap().failed_expression,
        Some(failed("two"))
    );
}

#[tokio::test]
async fn a_first_event_is_due_in_a_minute_and_hinted_at_once() {
    let key = key(REPOSITORY);
    let (outcome, item, operations) = applied(None, &success(2)).await;

    assert_eq!(outcome, (Verdict::Changed, SEND));
    let expected = StatusItem {
        due_at: Some(NOW + 60_000),
        ..draft(&key, &success(2))
    };
    assert_eq!(item, expected);
    assert_eq!(operations, ["UpdateItem", "PutItem"]);
}

#[tokio::test]
async fn an_item_is_written_with_the_attributes_its_indexes_and_readers_want() {
    let world = World::new().await;
    let key = key(REPOSITORY);
    apply(&world, &key, &success(2)).await;

    let item = world.raw(&key).await.unwrap();
    let text = |name: &str| item[name].as_s().unwrap().as_str();
    assert_eq!(
        text("pk"),
        format!("{REPOSITORY}@5394cb7f48332b2de7c17dd8b8384bbc84b7e738")
    );
    assert_eq!(text("sk"), "dev/apps/kustomization/podinfo");
    assert_eq!(text("commit7"), "5394cb7");
    assert_eq!(text("due"), due_shard(&key));
    assert_eq!(item["due_at"], AttributeValue::N((NOW + 60_000).to_string()));
    assert_eq!(text("rule"), "*/apps/podinfo");
    assert_eq!(item["rev"], AttributeValue::N("1".into()));
    let desired = item["desired"].as_m().unwrap();
    assert_eq!(desired["state"].as_s().unwrap(), "success");
    for absent in ["expires_at", "posted", "unsure", "claim_until", "parked", "ended"] {
        assert!(!item.contains_key(absent), "{absent}");
    }
    let found = std::slice::from_ref(&key);
    assert_eq!(world.indexed("due", "due", &due_shard(&key)).await, found);
    assert_eq!(world.indexed("commit", "commit7", "5394cb7").await, found);

    world.post(&key).await;
    assert!(world.indexed("due", "due", &due_shard(&key)).await.is_empty());
    apply(&world, &key, &success(3)).await;
    let item = world.raw(&key).await.unwrap();
    assert_eq!(item["expires_at"], AttributeValue::N(EXPIRES.to_string()));

    apply(&world, &key, &failure(4)).await;
    assert!(
        !world.raw(&key).await.unwrap().contains_key("expires_at"),
        "none while due"
    );
    assert_eq!(world.indexed("due", "due", &due_shard(&key)).await, found);
}

/// Bytes as DynamoDB counts them:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>.
fn bytes(item: &Item) -> usize {
    fn size(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(number) => number.len().div_ceil(2) + 1,
            AttributeValue::Bool(_) => 1,
            AttributeValue::M(map) => {
                3 + map
                    .iter()
                    .map(|(name, inner)| name.len() + size(inner) + 1)
                    .sum::<usize>()
            }
            other => panic!("{other:?}"),
        }
    }
    item.iter().map(|(name, inner)| name.len() + size(inner)).sum()
}

#[tokio::test]
async fn a_long_item_with_every_attribute_is_below_one_kibibyte() {
    let world = World::new().await;
    let mut key = key("gitlab.example.com/platform-engineering/kubernetes/fleet-infrastructure");
    key.sk = "production-eu-west-1/team-payments/kustomization/payments-reconciliation-worker".into();
    let incoming = event(2, State::Failure, "HealthCheckFailed");
    let long = StatusItem {
        context: key.sk.clone(),
        unsure: true,
        claims: 3,
        claim_until: Some(NOW),
        due: Some(parked_shard(&key)),
        due_at: Some(NOW),
        parked: Some("provider-suspended".into()),
        attempts: 12,
        unknown_commits: 0,
        settled: 0,
        posts: 1000,
        rev: 1000,
        last_error: Some("refused (forbidden): 403 Resource not accessible by personal access token".into()),
        rule: "production-eu-west-1/team-payments/payments"
            .to_owned()
            .try_into()
            .unwrap(),
        provider: "team-payments/gitlab".parse().unwrap(),
        credential: "production-eu-west-1/team-payments/gitlab-token".into(),
        cluster: "production-eu-west-1".into(),
        object: "Kustomization/team-payments/payments-reconciliation-worker".into(),
        ..posted(&key, &incoming)
    };
    world.put(&world.statuses, &long).await;

    let size = bytes(&world.raw(&key).await.unwrap());
    assert!(size <= 1024, "{size} bytes");

    // With a rival and nothing wrong, which is how it is written at every interval.
    let shared = StatusItem {
        rival: Some("production-eu-west-2/Kustomization/team-payments/payments-reconciliation-worker".into()),
        parked: None,
        last_error: None,
        ..long
    };
    world.put(&world.statuses, &shared).await;
    let size = bytes(&world.raw(&key).await.unwrap());
    assert!(size <= 1024, "{size} bytes");
}

#[tokio::test]
async fn a_first_success_under_a_rule_for_errors_is_remembered_only() {
    let (outcome, item, _) = applied(None, &quiet(success(2))).await;

    assert_eq!(outcome, (Verdict::Skipped(SkipReason::Severity), NO_HINT));
    assert_eq!((item.rev, item.due, item.due_at), (0, None, None));
    assert_eq!(item.expires_at, Some(EXPIRES));
    assert_eq!(item.order_key, success(2).order_key);

    let (outcome, item, _) = applied(None, &quiet(failure(2))).await;
    assert_eq!(outcome, (Verdict::Changed, SEND));
    assert_eq!(item.rev, 1);
}

#[tokio::test]
async fn an_unchanged_status_costs_one_conditional_write() {
    let key = key(REPOSITORY);
    for first in [success(2), failure(2), pending(2)] {
        let again = event(9, first.desired.state, &first.desired.reason);
        let stored = posted(&key, &first);
        let (outcome, item, operations) = applied(Some(stored.clone()), &again).await;

        assert_eq!(outcome, (Verdict::Unchanged, NO_HINT), "{}", first.desired.state);
        assert_eq!(operations, ["UpdateItem"], "{}", first.desired.state);
        let expected = StatusItem {
            order_key: again.order_key,
            event_id: again.event_id,
            expires_at: Some(EXPIRES),
            ..stored
        };
        assert_eq!(item, expected, "only order, event and expiry move");
    }
}

#[tokio::test]
async fn a_success_with_nothing_to_clear_costs_one_conditional_write() {
    let key = key(REPOSITORY);
    let remembered = StatusItem {
        posted: None,
        rev: 0,
        ..posted(&key, &quiet(success(2)))
    };
    let (outcome, item, operations) = applied(Some(remembered), &quiet(success(3))).await;
    assert_eq!(outcome, (Verdict::Skipped(SkipReason::Severity), NO_HINT));
    assert_eq!(
        (operations, item.order_key),
        (vec!["UpdateItem".into()], success(3).order_key)
    );

    let (outcome, _, operations) = applied(Some(posted(&key, &success(2))), &quiet(success(3))).await;
    assert_eq!(outcome, (Verdict::Unchanged, NO_HINT));
    assert_eq!(operations, ["UpdateItem"]);
}

/// Each of these looks unchanged but for one thing.
#[tokio::test]
async fn nothing_is_called_unchanged_that_is_not() {
    let key = key(REPOSITORY);
    let shown = |state: State, reason: &str| {
        Some(Posted {
            state,
            reason: reason.into(),
            rev: 1,
            at: 0,
        })
    };
    let idle = posted(&key, &failure(2));
    let due = Some(due_shard(&key));
    let cases = [
        (
            "older",
            StatusItem {
                order_key: failure(8).order_key,
                ..idle.clone()
            },
            failure(3),
            Verdict::Stale,
        ),
        (
            "due",
            StatusItem {
                due: due.clone(),
                ..idle.clone()
            },
            failure(3),
            Verdict::Waiting,
        ),
        (
            "unsure",
            StatusItem {
                unsure: true,
                ..idle.clone()
            },
            failure(3),
            Verdict::Changed,
        ),
        (
            "never posted",
            StatusItem {
                posted: None,
                ..idle.clone()
            },
            failure(3),
            Verdict::Changed,
        ),
        (
            "another state is posted",
            StatusItem {
                posted: shown(State::Success, "HealthCheckFailed"),
                ..idle.clone()
            },
            failure(3),
            Verdict::Changed,
        ),
        (
            "another reason is posted",
            StatusItem {
                posted: shown(State::Failure, "BuildFailed"),
                ..idle.clone()
            },
            failure(3),
            Verdict::Changed,
        ),
        (
            "another reason",
            idle.clone(),
            event(3, State::Failure, "BuildFailed"),
            Verdict::Changed,
        ),
        ("another state", idle.clone(), success(3), Verdict::Changed),
        (
            "an errors-only success, a failure is posted",
            StatusItem {
                desired: quiet(success(2)).desired,
                ..idle.clone()
            },
            quiet(success(3)),
            Verdict::Changed,
        ),
        (
            "an errors-only success, unsure",
            StatusItem {
                unsure: true,
                ..posted(&key, &quiet(success(2)))
            },
            quiet(success(3)),
            Verdict::Changed,
        ),
        (
            "an errors-only success, due",
            StatusItem {
                due,
                posted: None,
                ..posted(&key, &quiet(success(2)))
            },
            quiet(success(3)),
            Verdict::Waiting,
        ),
    ];
    for (name, stored, incoming, verdict) in cases {
        let before = stored.clone();
        let (outcome, item, operations) = applied(Some(stored), &incoming).await;
        assert_eq!(outcome.0, verdict, "{name}");
        assert_eq!(
            item.rev,
            before.rev + u64::from(verdict == Verdict::Changed),
            "{name}"
        );
        if verdict == Verdict::Stale {
            assert_eq!(
                (item, operations.len()),
                (before, 1),
                "{name}: nothing is written"
            );
        }
    }
}

#[tokio::test]
async fn a_waiting_status_keeps_its_attempts_and_its_parking() {
    let key = key(REPOSITORY);
    let due = StatusItem {
        due_at: Some(NOW + 900_000),
        attempts: 4,
        last_error: Some("502".into()),
        unsure: true,
        claim_until: Some(NOW + 30_000),
        ..draft(&key, &success(2))
    };
    let parked = StatusItem {
        due: Some(parked_shard(&key)),
        parked: Some("forbidden".into()),
        ..due.clone()
    };
    for stored in [due, parked] {
        let (outcome, item, operations) = applied(Some(stored.clone()), &success(3)).await;

        assert_eq!(outcome, (Verdict::Waiting, NO_HINT));
        let expected = StatusItem {
            order_key: success(3).order_key,
            event_id: success(3).event_id,
            ..stored
        };
        assert_eq!(item, expected);
        assert_eq!(operations, ["UpdateItem", "UpdateItem"]);
    }
}

#[tokio::test]
async fn a_stale_event_writes_nothing() {
    let key = key(REPOSITORY);
    let stored = posted(&key, &success(10));
    for stale in [failure(9), pending(59)] {
        let (outcome, item, _) = applied(Some(stored.clone()), &stale).await;
        assert_eq!(outcome, (Verdict::Stale, NO_HINT));
        assert_eq!(item, stored);
    }
}

#[tokio::test]
async fn a_duplicate_repeats_the_hint_while_something_is_due() {
    let key = key(REPOSITORY);
    let due = StatusItem {
        due_at: Some(NOW + 60_000),
        ..draft(&key, &success(2))
    };
    let parked = StatusItem {
        due: Some(parked_shard(&key)),
        ..due.clone()
    };
    let cases = [
        (due, SEND),
        (parked, NO_HINT),
        (posted(&key, &success(2)), NO_HINT),
    ];
    for (stored, hint) in cases {
        let (outcome, item, _) = applied(Some(stored.clone()), &success(2)).await;
        assert_eq!(outcome, (Verdict::Duplicate, hint));
        assert_eq!(item, stored);
    }
}

#[tokio::test]
async fn a_change_is_one_revision_on_and_forgets_what_came_of_the_last() {
    let key = key(REPOSITORY);
    let parked = StatusItem {
        due: Some(parked_shard(&key)),
        due_at: Some(5),
        parked: Some("forbidden".into()),
        attempts: 3,
        claims: 2,
        last_error: Some("403".into()),
        rev: 7,
        posts: 3,
        expires_at: None,
        ..posted(&key, &failure(2))
    };
    let ended = StatusItem {
        due: None,
        due_at: None,
        parked: None,
        ended: Some("unknown-commit".into()),
        expires_at: Some(5),
        ..parked.clone()
    };
    let under_way = StatusItem {
        due: Some(due_shard(&key)),
        parked: None,
        unsure: true,
        claim_until: Some(NOW + 100_000),
        ..parked.clone()
    };
    for stored in [parked, ended, under_way] {
        let (outcome, item, operations) = applied(Some(stored.clone()), &success(3)).await;

        assert_eq!(outcome, (Verdict::Changed, SEND));
        let expected = StatusItem {
            desired: success(3).desired,
            order_key: success(3).order_key,
            event_id: success(3).event_id,
            rev: 8,
            due: Some(due_shard(&key)),
            due_at: Some(NOW + 60_000),
            parked: None,
            ended: None,
            attempts: 0,
            claims: 0,
            last_error: None,
            expires_at: None,
            ..stored
        };
        assert_eq!(
            item, expected,
            "what was posted, and a post under way, are not touched"
        );
        assert_eq!(operations, ["UpdateItem", "UpdateItem"]);
    }
}

#[tokio::test]
async fn a_change_brings_the_rule_that_wants_it() {
    let world = World::new().await;
    let key = key(REPOSITORY);
    world.put(&world.statuses, posted(&key, &failure(2))).await;
    let incoming = success(3);
    let new = StatusItem {
        context: "DEV/apps/Kustomization/podinfo".into(),
        rule: "dev/apps/own".to_owned().try_into().unwrap(),
        provider: "apps/other".parse().unwrap(),
        credential: "dev/apps/other".into(),
        cluster: "dev2".into(),
        object: "HelmRelease/apps/podinfo".into(),
        ..draft(&key, &incoming)
    };
    table(&world).apply(&new, &incoming, NOW).await.unwrap();

    let item = world.item(&key).await.unwrap();
    let told = |item: StatusItem| {
        (
            item.context,
            item.rule,
            item.provider,
            item.credential,
            item.cluster,
            item.object,
        )
    };
    assert_eq!(told(item), told(new));
}

#[tokio::test]
async fn a_success_under_a_rule_for_errors_clears_what_is_posted_or_may_be() {
    let key = key(REPOSITORY);
    let clears = |stored: StatusItem| async move {
        let (outcome, item, _) = applied(Some(stored), &quiet(success(3))).await;
        (outcome.0, item.desired.state, item.rev)
    };
    let changed = (Verdict::Changed, State::Success, 2);
    assert_eq!(clears(posted(&key, &failure(2))).await, changed);
    let maybe = StatusItem {
        unsure: true,
        ..draft(&key, &failure(2))
    };
    assert_eq!(clears(maybe).await, changed);

    // It ended before it was posted: the success is kept, and nothing is due.
    let never = StatusItem {
        due: None,
        ended: Some("unknown-commit".into()),
        ..draft(&key, &failure(2))
    };
    let (outcome, item, _) = applied(Some(never), &quiet(success(3))).await;
    assert_eq!(outcome, (Verdict::Skipped(SkipReason::Severity), NO_HINT));
    assert_eq!(
        (item.desired, item.due, item.rev),
        (quiet(success(3)).desired, None, 1)
    );
    assert_eq!(item.expires_at, Some(EXPIRES));
}

#[tokio::test]
async fn what_somebody_else_wrote_meanwhile_is_decided_on_anew() {
    let key = key(REPOSITORY);
    let now = json!({"N": NOW.to_string()});
    let due = StatusItem {
        due_at: Some(NOW),
        ..draft(&key, &success(2))
    };
    let remembered = StatusItem {
        posted: None,
        rev: 0,
        ..posted(&key, &quiet(success(2)))
    };
    let (taken, taken_with) = record_of(&success(2).desired);
    let park = "SET due = :due, due_at = :now, parked = :parked";
    let park_with = json!({":due": {"S": parked_shard(&key)}, ":now": now, ":parked": {"S": "forbidden"}});
    let claim = "SET unsure = :true, claim_until = :now";
    let claim_with = json!({":true": {"BOOL": true}, ":now": now});
    let fail = "SET desired = :desired, rev = :one, due = :due";
    let fail_with = json!({
        ":desired": {"M": {"state": {"S": "failure"}, "reason": {"S": "x"}, "description": {"S": ""}}},
        ":one": {"N": "1"}, ":due": {"S": due_shard(&key)},
    });
    let (unchanged, waiting, changed) = (Verdict::Unchanged, Verdict::Waiting, Verdict::Changed);
    // Name, what is stored, the event, the write of ours before which it happens, what happens, and the verdict.
    let cases = [
        // Had the first decision stood, the item would never expire.
        ("posted", &due, success(3), 1, taken, &taken_with, unchanged),
        ("parked", &due, success(3), 1, park, &park_with, waiting),
        ("claimed", &due, success(3), 1, claim, &claim_with, waiting),
        (
            "posted, then changed",
            &due,
            failure(3),
            1,
            taken,
            &taken_with,
            changed,
        ),
        (
            "parked, then changed",
            &due,
            failure(3),
            1,
            park,
            &park_with,
            changed,
        ),
        (
            "claimed, then changed",
            &due,
            failure(3),
            1,
            claim,
            &claim_with,
            changed,
        ),
        (
            "wanted by another rule",
            &remembered,
            quiet(success(3)),
            0,
            fail,
            &fail_with,
            changed,
        ),
    ];
    for (name, stored, incoming, write, update, values, verdict) in cases {
        let world = World::new().await;
        world.put(&world.statuses, stored).await;
        world.before(write, world.updating(&key, update, values.clone()));

        let written = apply(&world, &key, &incoming).await;

        assert_eq!(written.verdict, verdict, "{name}");
        assert_eq!(world.operations().len(), write + 2, "{name}: it was refused once");
        let item = world.item(&key).await.unwrap();
        assert_eq!(item.order_key, incoming.order_key, "{name}");
        assert_eq!(item.due.is_some(), verdict != unchanged, "{name}");
        assert_eq!(item.expires_at.is_some(), item.due.is_none(), "{name}");
        assert_eq!(
            item.parked.is_some(),
            verdict == waiting && update == park,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_newer_event_that_changed_nothing_meanwhile_still_counts() {
    let key = key(REPOSITORY);
    let due = StatusItem {
        due_at: Some(NOW),
        ..draft(&key, &success(2))
    };
    // Both events say what is waiting already, or ours would change it: the revision stays in either case.
    for ours in [success(3), failure(3)] {
        let world = World::new().await;
        world.put(&world.statuses, &due).await;
        let newer = success(9);
        let values = json!({":order": {"S": newer.order_key.as_str()}, ":event": {"S": newer.event_id}});
        world.before(
            1,
            world.updating(&key, "SET order_key = :order, event_id = :event", values),
        );

        assert_eq!(apply(&world, &key, &ours).await.verdict, Verdict::Stale);

        let item = world.item(&key).await.unwrap();
        assert_eq!((item.order_key, item.rev), (newer.order_key, 1));
        assert_eq!(item.desired, success(2).desired);
    }
}

#[tokio::test]
async fn what_an_operator_has_tried_again_meanwhile_is_due_and_does_not_expire() {
    let world = World::new().await;
    let key = key(REPOSITORY);
    let ended = StatusItem {
        due: None,
        ended: Some("unknown-commit".into()),
        ..draft(&key, &failure(2))
    };
    world.put(&world.statuses, ended).await;
    let values = json!({":due": {"S": due_shard(&key)}, ":now": {"N": NOW.to_string()}});
    world.before(
        1,
        world.updating(&key, "SET due = :due, due_at = :now REMOVE ended", values),
    );

    let written = apply(&world, &key, &quiet(success(3))).await;

    assert_eq!(written.verdict, Verdict::Changed);
    let item = world.item(&key).await.unwrap();
    assert_eq!((item.is_due(), item.expires_at), (true, None));
}

#[tokio::test]
async fn a_rival_that_creates_the_item_first_is_not_overwritten() {
    let world = World::new().await;
    let key = key(REPOSITORY);
    world.before(1, world.putting(&draft(&key, &failure(9))));
    assert_eq!(apply(&world, &key, &success(3)).await.verdict, Verdict::Stale);
    assert_eq!(world.item(&key).await.unwrap().desired, failure(9).desired);
    assert_eq!(world.operations(), ["UpdateItem", "PutItem"]);
}

/// As [`draft`], for the object of that name in cluster `prod`.
fn prods(key: &StatusKey, incoming: &Incoming) -> StatusItem {
    StatusItem {
        cluster: "prod".into(),
        ..draft(key, incoming)
    }
}

const DEV: &str = "dev/Kustomization/apps/podinfo";
const PROD: &str = "prod/Kustomization/apps/podinfo";

#[tokio::test]
async fn another_object_on_the_same_context_is_seen_whatever_it_says() {
    let key = key(REPOSITORY);
    let idle = posted(&key, &success(5));
    let due = draft(&key, &success(5));
    let by_both = StatusItem {
        rival: Some(PROD.into()),
        ..idle.clone()
    };
    let cases = [
        // What is stored, what comes, the verdict, who has the status then, who is the rival, and what it costs.
        ("unchanged", &idle, success(6), Verdict::Unchanged, "dev", PROD, 2),
        (
            "unchanged again",
            &by_both,
            success(6),
            Verdict::Unchanged,
            "dev",
            PROD,
            2,
        ),
        ("waiting", &due, success(6), Verdict::Waiting, "dev", PROD, 2),
        ("changed", &idle, failure(6), Verdict::Changed, "prod", DEV, 2),
        (
            "changed again",
            &by_both,
            failure(6),
            Verdict::Changed,
            "prod",
            DEV,
            2,
        ),
        ("stale", &idle, success(4), Verdict::Stale, "dev", PROD, 2),
        (
            "stale again",
            &by_both,
            success(4),
            Verdict::Stale,
            "dev",
            PROD,
            1,
        ),
        ("duplicate", &idle, success(5), Verdict::Duplicate, "dev", PROD, 2),
        (
            "duplicate again",
            &by_both,
            success(5),
            Verdict::Duplicate,
            "dev",
            PROD,
            1,
        ),
        (
            "nothing to clear",
            &idle,
            quiet(success(6)),
            Verdict::Unchanged,
            "dev",
            PROD,
            2,
        ),
    ];
    for (name, stored, incoming, verdict, cluster, rival, calls) in cases {
        let world = World::new().await;
        world.put(&world.statuses, stored).await;
        let written = table(&world)
            .apply(&prods(&key, &incoming), &incoming, NOW)
            .await
            .unwrap();

        assert_eq!(
            (written.verdict, written.rival.as_deref()),
            (verdict, Some(DEV)),
            "{name}"
        );
        let item = world.item(&key).await.unwrap();
        assert_eq!(
            (item.cluster.as_str(), item.rival.as_deref()),
            (cluster, Some(rival)),
            "{name}"
        );
        assert_eq!(
            item.order_key,
            stored.order_key.clone().max(incoming.order_key),
            "{name}"
        );
        assert_eq!(world.operations().len(), calls, "{name}");
    }
}

#[tokio::test]
async fn the_object_that_has_the_status_goes_on_as_if_alone() {
    let key = key(REPOSITORY);
    let by_both = StatusItem {
        rival: Some(PROD.into()),
        ..posted(&key, &success(5))
    };
    for (incoming, calls) in [(success(6), 1), (failure(6), 2), (success(4), 1)] {
        let world = World::new().await;
        world.put(&world.statuses, &by_both).await;
        assert_eq!(apply(&world, &key, &incoming).await.rival, None);
        assert_eq!(world.item(&key).await.unwrap().rival, by_both.rival);
        assert_eq!(world.operations().len(), calls);
    }
}

#[tokio::test]
async fn another_object_that_creates_the_status_first_is_seen() {
    let world = World::new().await;
    let key = key(REPOSITORY);
    world.before(1, world.putting(&draft(&key, &failure(9))));
    let incoming = success(3);
    let written = table(&world)
        .apply(&prods(&key, &incoming), &incoming, NOW)
        .await
        .unwrap();
    assert_eq!(
        (written.verdict, written.rival.as_deref()),
        (Verdict::Stale, Some(DEV))
    );
    assert_eq!(world.item(&key).await.unwrap().rival.as_deref(), Some(PROD));
    assert_eq!(world.operations(), ["UpdateItem", "PutItem", "UpdateItem"]);
}

#[tokio::test]
async fn an_object_is_never_remembered_as_its_own_rival() {
    let world = World::new().await;
    let key = key(REPOSITORY);
    world.put(&world.statuses, posted(&key, &success(5))).await;
    // It changed hands between the refusal and our note.
    world.before(1, world.putting(&prods(&key, &failure(9))));
    let incoming = success(4);
    let written = table(&world)
        .apply(&prods(&key, &incoming), &incoming, NOW)
        .await
        .unwrap();
    assert_eq!((written.verdict, written.rival), (Verdict::Stale, None));
    assert_eq!(world.item(&key).await.unwrap().rival, None);
}

#[tokio::test]
async fn an_item_that_expires_meanwhile_is_created_anew() {
    let world = World::new().await;
    let key = key(REPOSITORY);
    world.put(&world.statuses, posted(&key, &failure(2))).await;
    world.before(1, world.expiring(&key));
    assert_eq!(apply(&world, &key, &success(3)).await.verdict, Verdict::Changed);
    let item = world.item(&key).await.unwrap();
    assert_eq!((item.rev, item.posted), (1, None));
    assert_eq!(item.desired, success(3).desired);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_a_duplicate_with_its_hint() {
    let world = World::new().await;
    let key = key(REPOSITORY);
    world.put(&world.statuses, posted(&key, &failure(2))).await;
    let landed = StatusItem {
        rev: 2,
        due_at: Some(NOW + 60_000),
        ..draft(&key, &success(3))
    };
    // The client then repeats the write.
    world.before(1, world.putting(&landed));
    let written = apply(&world, &key, &success(3)).await;
    assert_eq!(
        (written.verdict, written.hint, written.rev),
        (Verdict::Duplicate, SEND, 2)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_racing_on_one_item_end_as_in_order() {
    let world = World::new().await;
    for round in 0..12 {
        let key = key(&format!("github.com/acme/race{round}"));
        let newest = if round % 2 == 0 { success(50) } else { failure(50) };
        let rivals = [success(10), failure(20), pending(55), success(30), newest.clone()];
        let writers = rivals.map(|incoming| {
            let (table, key) = (table(&world), key.clone());
            tokio::spawn(async move {
                table
                    .apply(&draft(&key, &incoming), &incoming, NOW)
                    .await
                    .unwrap()
            })
        });
        let mut changes = 0;
        for writer in writers {
            changes += u64::from(writer.await.unwrap().verdict == Verdict::Changed);
        }

        let item = world.item(&key).await.unwrap();
        assert_eq!(item.desired, newest.desired);
        assert_eq!(item.order_key, newest.order_key);
        assert_eq!(item.rev, changes, "each change is one revision, and none is lost");
        assert!(item.is_due());
    }
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_an_error() {
    let world = World::new().await;
    let elsewhere = StatusesTable::new(world.client.clone(), "no-such-table".into());
    let incoming = success(1);
    let error = elsewhere
        .apply(&draft(&key(REPOSITORY), &incoming), &incoming, NOW)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "could not write a desired status");
}

/// An event of some kind, at some second, and whether the poster posts what is due after it.
type Step = (usize, bool);

fn events() -> impl Strategy<Value = (Vec<Incoming>, Vec<Step>)> {
    let events = any::<bool>().prop_flat_map(|errors_only| {
        // A rule for errors skips progress.
        let kinds = if errors_only { 3 } else { 4_usize };
        let event = (0_u32..6, 0..kinds).prop_map(move |(second, kind)| match kind {
            0 if errors_only => quiet(success(second)),
            0 => success(second),
            1 => failure(second),
            2 => event(second, State::Failure, "BuildFailed"),
            _ => pending(second),
        });
        prop::collection::vec(event, 1..=5)
    });
    events.prop_flat_map(|events| {
        let count = events.len();
        // All of them and some again, in any order.
        let order = prop::collection::vec(0..count, 0..=3)
            .prop_map(move |again| (0..count).chain(again).collect::<Vec<_>>())
            .prop_shuffle();
        let steps = order.prop_flat_map(|order| {
            let posts = prop::collection::vec(any::<bool>(), order.len());
            posts.prop_map(move |posts| order.iter().copied().zip(posts).collect())
        });
        (Just(events), steps)
    })
}

fn runtime() -> &'static (tokio::runtime::Runtime, World) {
    static RUNTIME: OnceLock<(tokio::runtime::Runtime, World)> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let world = runtime.block_on(World::new());
        (runtime, world)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_order_with_duplicates_ends_as_in_order((events, steps) in events()) {
        static CASES: AtomicU64 = AtomicU64::new(0);
        let key = key(&format!("github.com/acme/case{}", CASES.fetch_add(1, Ordering::Relaxed)));
        let (runtime, world) = runtime();
        let (item, changes) = runtime.block_on(async {
            let mut changes = 0;
            for (event, posts) in &steps {
                let written = apply(world, &key, &events[*event]).await;
                changes += u64::from(written.verdict == Verdict::Changed);
                if *posts && world.item(&key).await.unwrap().is_due() {
                    world.post(&key).await;
                }
            }
            (world.item(&key).await.unwrap(), changes)
        });

        let newest = events.iter().max_by_key(|event| &event.order_key).unwrap();
        prop_assert_eq!(&item.order_key, &newest.order_key);
        prop_assert_eq!(&item.event_id, &newest.event_id);
        let desired = &newest.desired;
        prop_assert!(item.desired.says_the_same(desired.state, &desired.reason), "{:?}", item);
        prop_assert_eq!(item.rev, changes);
        let nothing_to_clear = desired.only_clears && item.posted.is_none();
        prop_assert!(item.is_due() || item.is_posted() || nothing_to_clear, "{:?}", item);
    }
}
