use serde_json::json;

use super::*;
use crate::store::tests::due;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
const SET: &str = "secret set t -n flux-system --cluster dev --from-stdin token";

impl Operator {
    /// With one that names the secret.
    async fn with_provider() -> Self {
        let operator = Self::new().await;
        let file = FILE.replace("github-token", "t");
        operator.says("apply -f - --cluster dev", &file).await.ok();
        operator
    }
}

#[tokio::test]
async fn a_secret_that_is_mended_is_tried_at_once() {
    let operator = Operator::with_provider().await;
    let waiting = due(SHA, "dev/a", 60_000);
    operator.store.put_status(&waiting).await;
    let pk = "credential#dev/flux-system/t";
    operator
        .store
        .put_item(json!({
            "pk": pk, "sk": "-", "hold_until": 60_000, "hold_reason": "there is no secret t", "holds": 1,
        }))
        .await;

    let said = operator.says(SET, "ghp_1").await.ok();

    assert_eq!(
        said.err,
        "1 status waiting for it will be tried within two minutes\n"
    );
    assert_eq!(operator.store.now(&waiting).await.due_at, Some(0));
    assert_eq!(operator.says(SET, "ghp_1").await.ok().err, "");
}

#[tokio::test]
async fn a_secret_that_is_rate_limited_stays_so() {
    let operator = Operator::with_provider().await;
    let waiting = due(SHA, "dev/a", 60_000);
    operator.store.put_status(&waiting).await;
    operator
        .store
        .put_item(json!({
            "pk": "credential#dev/flux-system/t", "sk": "-", "hold_until": 60_000, "holds": 1,
            "hold_reason": "rate limited until 1970-01-01T00:01:00Z: slow\ndown",
        }))
        .await;

    let said = operator.says(SET, "ghp_1").await.ok();

    insta::assert_snapshot!(said.err, @"what is posted with it stays held: rate limited until 1970-01-01T00:01:00Z: slow down; it is posted then by itself");
    assert_eq!(operator.store.now(&waiting).await, waiting);
}

#[tokio::test]
async fn a_secret_is_set_even_if_what_it_held_cannot_be_reached() {
    let mut operator = Operator::new().await;
    operator.store = operator.store.elsewhere("another");

    let said = operator.says(SET, "ghp_1").await.ok();

    assert_eq!(
        operator.secret("commitstatus/providers/dev/flux-system/t").await,
        r#"{"token":"ghp_1"}"#
    );
    assert!(
        said.err.starts_with("warning: the secret is set, but "),
        "{}",
        said.err
    );
}
