use serde_json::{Value, json};
use shared::item::CredentialItem;
use shared::item::{ALONE, credential_pk};

use super::*;
use crate::store::Hold;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
const CREDENTIAL: &str = "dev/flux-system/t";

/// The credential's item after its secret was written, and what that said.
async fn after(hold: Value) -> (Hold, CredentialItem) {
    let store = engine().await;
    let mut item = hold;
    (item["pk"], item["sk"]) = (credential_pk(CREDENTIAL).into(), ALONE.into());
    store.put_item(&item).await;
    let dropped = store.drop_hold(CREDENTIAL, NOW).await.unwrap();
    let answer = store
        .client
        .get_item()
        .table_name(&store.statuses)
        .key("pk", text(credential_pk(CREDENTIAL)))
        .key("sk", text(ALONE))
        .send()
        .await
        .unwrap();
    (dropped, serde_dynamo::from_item(answer.item.unwrap()).unwrap())
}

#[tokio::test]
async fn a_new_secret_drops_the_hold_of_a_refused_one_and_keeps_the_pace() {
    let refused = "the credential is not valid: 401";
    let (hold, item) =
        after(json!({"hold_until": 5000, "hold_reason": refused, "holds": 3, "next_slot": 7})).await;
    assert_eq!(hold, Hold::Dropped);
    assert_eq!((item.hold_until, item.hold_reason, item.holds), (None, None, 0));
    assert_eq!(item.next_slot, Some(7));
}

#[tokio::test]
async fn a_hold_that_is_over_is_none_but_no_longer_counts() {
    for hold in [
        json!({"hold_until": 0, "hold_reason": "the credential is not valid: 401", "holds": 3}),
        json!({"next_slot": 7}),
    ] {
        let (hold, item) = after(hold).await;
        assert_eq!((hold, item.holds), (Hold::None, 0));
    }
}

#[tokio::test]
async fn no_secret_ends_a_rate_limit() {
    let limited = "rate limited until 2026-08-07T13:12:44Z: slow down";
    let (hold, item) = after(json!({"hold_until": 5000, "hold_reason": limited, "holds": 1})).await;
    assert_eq!(hold, Hold::Kept(limited.into()));
    assert_eq!((item.hold_until, item.holds), (Some(5000), 1));
    let (hold, item) = after(json!({"hold_until": 0, "hold_reason": limited, "holds": 1})).await;
    assert_eq!((hold, item.holds), (Hold::None, 1));
}

#[tokio::test]
async fn a_credential_nobody_used_gets_no_item() {
    let store = engine().await;
    assert_eq!(store.drop_hold(CREDENTIAL, NOW).await.unwrap(), Hold::None);
    let answer = store.client.scan().table_name(&store.statuses).send().await;
    assert_eq!(answer.unwrap().count, 0);
}

#[tokio::test]
async fn what_waits_for_the_credential_is_due_now_in_every_shard() {
    let store = engine().await;
    let statuses: Vec<StatusItem> = (0..100).map(|n| due(SHA, &format!("dev/{n}"), 60_000)).collect();
    let shards: BTreeSet<_> = statuses.iter().map(|status| &status.due).collect();
    assert_eq!(shards.len(), 16);
    for status in &statuses {
        store.put_status(status).await;
    }
    assert_eq!(store.hurry(CREDENTIAL, NOW).await.unwrap(), 100);
    for status in &statuses {
        let now = store.now(status).await;
        assert_eq!((now.due_at, &now.due), (Some(0), &status.due));
    }
    assert_eq!(store.hurry(CREDENTIAL, NOW).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_else_is_hurried() {
    let store = engine().await;
    let mut others = due(SHA, "dev/other", 60_000);
    others.credential = "dev/flux-system/other".into();
    let mut claimed = due(SHA, "dev/claimed", 60_000);
    claimed.claim_until = Some(60_000);
    let mut unknown = due(SHA, "dev/unknown", 60_000);
    unknown.unknown_commits = 1;
    let statuses = [
        others,
        claimed,
        unknown,
        due(SHA, "dev/past", -1),
        parked(SHA, "dev/parked", "forbidden"),
    ];
    for status in &statuses {
        store.put_status(status).await;
    }
    assert_eq!(store.hurry(CREDENTIAL, NOW).await.unwrap(), 0);
    for status in &statuses {
        assert_eq!(store.now(status).await, *status);
    }
}
