use shared::item::NO_PROVIDER;

use super::*;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
/// A retry at [`NOW`] leaves what was read before it ten seconds to be forgotten.
const DUE_AT: Option<i64> = Some(10_000);

#[tokio::test]
async fn a_retry_makes_a_parked_status_due_from_the_start() {
    let store = engine().await;
    let before = StatusItem {
        attempts: 4,
        claims: 5,
        unknown_commits: 2,
        unsure: true,
        ended: Some("old".into()),
        expires_at: Some(1),
        last_error: Some("refused (forbidden): no".into()),
        ..parked(SHA, "dev/a", "crashed")
    };
    store.put_status(&before).await;

    assert!(store.retry(&before, NOW).await.unwrap());

    let expected = StatusItem {
        due: Some(due_shard(&before.key)),
        due_at: DUE_AT,
        attempts: 0,
        claims: 0,
        unknown_commits: 0,
        settled: 0,
        parked: None,
        ended: None,
        expires_at: None,
        ..before.clone()
    };
    assert_eq!(store.now(&before).await, expected);
}

#[tokio::test]
async fn a_retry_leaves_alone_what_is_no_longer_parked_for_that_reason() {
    let store = engine().await;
    let seen = parked(SHA, "dev/a", "forbidden");
    let no_reason = StatusItem {
        parked: None,
        ..seen.clone()
    };
    for (meanwhile, seen) in [
        (parked(SHA, "dev/a", "not-found"), &seen),
        (due(SHA, "dev/a", SINCE), &seen),
        (posted(SHA, "dev/a"), &seen),
        (seen.clone(), &no_reason),
    ] {
        store.put_status(&meanwhile).await;
        assert!(!store.retry(seen, NOW).await.unwrap());
        assert_eq!(store.now(seen).await, meanwhile);
    }
    store.put_status(&no_reason).await;
    assert!(store.retry(&no_reason, NOW).await.unwrap());
}

#[tokio::test]
async fn a_retry_does_not_bring_back_what_was_forgotten() {
    let store = engine().await;
    let gone = parked(SHA, "dev/a", "forbidden");
    assert!(!store.retry(&gone, NOW).await.unwrap());
    assert!(!store.post_again(&posted(SHA, "dev/b"), NOW).await.unwrap());
    assert_eq!(store.all_statuses().await.unwrap(), []);
}

#[tokio::test]
async fn what_is_posted_becomes_unsure_and_what_ended_does_not() {
    let store = engine().await;
    let posted = posted(SHA, "dev/posted");
    let mut ended = status(SHA, "dev/ended");
    (ended.ended, ended.unknown_commits) = (Some("unknown-commit".into()), 2);
    for (before, unsure) in [(posted, true), (ended, false)] {
        store.put_status(&before).await;
        assert!(store.post_again(&before, NOW).await.unwrap());
        let expected = StatusItem {
            due: Some(due_shard(&before.key)),
            due_at: DUE_AT,
            unsure,
            ended: None,
            unknown_commits: 0,
            settled: 0,
            expires_at: None,
            ..before.clone()
        };
        assert_eq!(store.now(&before).await, expected);
    }
}

#[tokio::test]
async fn what_changed_or_is_being_posted_is_not_posted_again() {
    let store = engine().await;
    let seen = posted(SHA, "dev/a");
    let changed = StatusItem {
        rev: 2,
        ..seen.clone()
    };
    let claimed = StatusItem {
        claim_until: Some(NOW.as_millisecond() + 1),
        ..seen.clone()
    };
    for meanwhile in [changed, claimed.clone(), due(SHA, "dev/a", SINCE)] {
        store.put_status(&meanwhile).await;
        assert!(!store.post_again(&seen, NOW).await.unwrap());
        assert_eq!(store.now(&seen).await, meanwhile);
    }
    let over = StatusItem {
        claim_until: Some(NOW.as_millisecond()),
        ..claimed
    };
    store.put_status(&over).await;
    assert!(store.post_again(&seen, NOW).await.unwrap());
}

#[tokio::test]
async fn all_statuses_are_only_statuses() {
    let store = engine().await;
    let mut homeless = parked(SHA, "dev/b", "no-provider");
    homeless.key.pk = format!("{NO_PROVIDER}/dev/flux-system/github@{SHA}");
    let statuses = [posted(SHA, "dev/a"), homeless];
    for status in &statuses {
        store.put_status(status).await;
    }
    store
        .put_item(serde_json::json!({"pk": "credential#dev/flux-system/t", "sk": "-", "holds": 1}))
        .await;
    store
        .put_item(
            serde_json::json!({"pk": "object#dev/Kustomization/a/b", "sk": "dev/a/b", "order_key": "2|x"}),
        )
        .await;
    assert_eq!(store.all_statuses().await.unwrap(), statuses);
}
