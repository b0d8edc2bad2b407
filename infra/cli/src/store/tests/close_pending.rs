use shared::State;
use shared::kinds::Reference;

use super::*;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

fn rule(reference: &str) -> Reference {
    reference.to_owned().try_into().unwrap()
}

fn shown(state: State) -> Option<Posted> {
    Some(Posted {
        state,
        reason: "Progressing".into(),
        rev: 1,
        at: SINCE,
    })
}

/// Pending, and posted so.
fn pending(context: &str) -> StatusItem {
    let mut status = status(SHA, context);
    status.desired.state = State::Pending;
    status.desired.reason = "Progressing".into();
    status.posted = shown(State::Pending);
    status
}

/// Closes what `dev/flux-system/webapp` left in a table with this status only; whether it is yet to be closed.
async fn closing(store: &Store, left: &StatusItem) -> bool {
    store.put_status(left).await;
    let closing = store.close_pending(&[rule("dev/flux-system/webapp")], NOW).await;
    !closing.unwrap().is_empty()
}

#[tokio::test]
async fn what_is_pending_becomes_superseded_and_due_from_the_start() {
    let store = engine().await;
    let before = StatusItem {
        due: Some(parked_shard(&pending("dev/a").key)),
        due_at: Some(1),
        parked: Some("forbidden".into()),
        ended: Some("old".into()),
        attempts: 4,
        claims: 3,
        unknown_commits: 2,
        last_error: Some("refused".into()),
        expires_at: Some(1),
        ..pending("dev/a")
    };
    assert!(closing(&store, &before).await);

    let after = store.now(&before).await;
    let mut expected = StatusItem {
        rev: 2,
        due: Some(due_shard(&before.key)),
        due_at: Some(10_000),
        order_key: after.order_key.clone(),
        posted: before.posted.clone(),
        ..status(SHA, "dev/a")
    };
    expected.desired.state = State::Superseded;
    expected.desired.reason = "Progressing".into();
    expected.desired.description = "rule deleted".into();
    assert_eq!(after, expected);
    assert!(
        after.order_key.as_str().starts_with("1|1970-01-01T"),
        "a result replaces it, progress does not: {}",
        after.order_key
    );
}

#[tokio::test]
async fn only_what_the_host_may_show_pending_is_yet_to_be_closed() {
    let superseded = |context: &str| {
        let mut status = pending(context);
        status.desired.state = State::Superseded;
        status
    };
    let is_due = |status: StatusItem| StatusItem {
        due: Some(due_shard(&status.key)),
        ..status
    };
    let unposted = |status: StatusItem| StatusItem {
        posted: None,
        ..status
    };
    let unsure = |status: StatusItem| StatusItem {
        unsure: true,
        ..status
    };
    let closed = |posted| StatusItem {
        posted,
        ..superseded("dev/a")
    };
    let result = |posted| StatusItem {
        posted,
        ..status(SHA, "dev/a")
    };
    // The status, whether it is written, and whether it is yet to be closed.
    let cases = [
        ("posted", pending("dev/a"), true, true),
        ("begun", unsure(is_due(unposted(pending("dev/a")))), true, true),
        ("not posted yet", is_due(unposted(pending("dev/a"))), true, false),
        (
            "ended before it was posted",
            unposted(pending("dev/a")),
            false,
            false,
        ),
        (
            "its result is not posted",
            result(shown(State::Pending)),
            true,
            true,
        ),
        (
            "its result is posted",
            result(shown(State::Success)),
            false,
            false,
        ),
        ("is being closed", is_due(superseded("dev/a")), false, true),
        (
            "is being closed after an open answer",
            unsure(is_due(unposted(superseded("dev/a")))),
            false,
            true,
        ),
        ("was not closed", superseded("dev/a"), true, true),
        ("is closed", closed(shown(State::Superseded)), false, false),
    ];
    for (name, left, written, open) in cases {
        let store = engine().await;
        assert_eq!(closing(&store, &left).await, open, "{name}");
        assert_eq!(store.now(&left).await != left, written, "{name}");
    }
}

#[tokio::test]
async fn only_statuses_of_that_rule_in_that_scope_are_closed() {
    let store = engine().await;
    let of = |context: &str, reference: &str| StatusItem {
        rule: rule(reference),
        ..pending(context)
    };
    let others = [
        of("dev/all", "*/flux-system/webapp"),
        of("dev/prod", "prod/flux-system/webapp"),
        of("dev/other", "dev/flux-system/other"),
    ];
    for other in &others {
        store.put_status(other).await;
    }
    let mine = [pending("dev/one"), pending("dev/two")];
    for status in &mine {
        store.put_status(status).await;
    }

    let closing = store.close_pending(&[rule("dev/flux-system/webapp")], NOW).await;
    assert_eq!(closing.unwrap(), mine);
    for other in &others {
        assert_eq!(store.now(other).await, *other);
    }
    let both = [rule("prod/flux-system/webapp"), rule("dev/flux-system/other")];
    let closing = store.close_pending(&both, NOW).await.unwrap();
    let contexts: Vec<_> = closing.iter().map(|status| status.context.as_str()).collect();
    assert_eq!(contexts, ["dev/other", "dev/prod"]);
}

#[tokio::test]
async fn what_was_posted_or_taken_over_meanwhile_is_left_alone() {
    let store = engine().await;
    let seen = pending("dev/a");
    let result_is_posted = StatusItem {
        posted: shown(State::Success),
        ..status(SHA, "dev/a")
    };
    let another_rules = StatusItem {
        rule: rule("dev/flux-system/other"),
        ..seen.clone()
    };
    for meanwhile in [result_is_posted, another_rules] {
        store.put_status(&meanwhile).await;
        assert!(!store.close(&seen, NOW).await.unwrap());
        assert_eq!(store.now(&seen).await, meanwhile);
    }
    assert!(!store.close(&pending("dev/forgotten"), NOW).await.unwrap());
    assert_eq!(store.all_statuses().await.unwrap().len(), 1);
}
