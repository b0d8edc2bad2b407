//! What a deleted rule left pending.

use shared::State;
use shared::item::{Posted, StatusItem, due_shard};

use super::*;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
const DELETE_RULE: &str = "delete commitstatus webapp -n flux-system --cluster dev";

fn pending(context: &str) -> StatusItem {
    let mut status = status(SHA, context);
    status.desired.state = State::Pending;
    status.posted = Some(Posted {
        state: State::Pending,
        reason: "Progressing".into(),
        rev: 1,
        at: 0,
    });
    status
}

impl Operator {
    /// With the rule and its Provider, and these statuses.
    async fn with(file: &str, statuses: &[StatusItem]) -> Self {
        let operator = Self::new().await;
        operator.says("apply -f - --cluster dev", file).await.ok();
        for status in statuses {
            operator.store.put_status(status).await;
        }
        operator
    }

    /// Contexts of the commit that are due as superseded.
    async fn closing(&self) -> Vec<String> {
        let mut statuses = self.store.statuses(SHA).await.unwrap();
        statuses.retain(|status| status.desired.state == State::Superseded && status.is_due());
        statuses.into_iter().map(|status| status.context).collect()
    }
}

#[tokio::test]
async fn delete_closes_what_the_rule_left_pending() {
    let operator = Operator::with(FILE, &[pending("dev/a"), pending("dev/b"), status(SHA, "dev/c")]).await;
    let said = operator.says(DELETE_RULE, "").await.ok();
    assert_eq!(said.err, "2 pending statuses will be closed within two minutes\n");
    assert_eq!(operator.closing().await, ["dev/a", "dev/b"]);
}

#[tokio::test]
async fn a_rule_that_leaves_what_is_pending_leaves_it_when_it_is_deleted() {
    let file = FILE.replace("  prefix: dev\n", "  prefix: dev\n  onSuperseded: leave\n");
    let operator = Operator::with(&file, &[pending("dev/a")]).await;
    let said = operator.says(DELETE_RULE, "").await.ok();
    assert_eq!(said.err, "");
    assert!(operator.closing().await.is_empty());
}

#[tokio::test]
async fn deleting_a_rule_again_closes_what_slipped_in() {
    let operator = Operator::with(FILE, &[]).await;
    operator.says(DELETE_RULE, "").await.ok();
    operator.store.put_status(&pending("dev/a")).await;

    let said = operator.says(DELETE_RULE, "").await;

    assert_eq!(said.err, "1 pending status will be closed within two minutes\n");
    assert!(
        said.error()
            .starts_with("not found for cluster dev: CommitStatus flux-system/webapp")
    );
    assert_eq!(operator.closing().await, ["dev/a"]);
}

#[tokio::test]
async fn a_provider_stays_until_what_is_pending_is_closed_with_it() {
    let operator = Operator::with(FILE, &[pending("dev/a")]).await;

    let said = operator.says("delete -f - --cluster dev", FILE).await;

    assert_eq!(
        said.out,
        "commitstatus.notification.toolkit.fluxcd.io/webapp deleted (namespace flux-system, cluster dev)\n"
    );
    assert_eq!(
        said.error(),
        "kept: Provider flux-system/github, with which pending statuses are closed first; delete it by its name in two \
         minutes, or now if they may stay pending"
    );
    operator
        .says("delete provider github -n flux-system --cluster dev", "")
        .await
        .ok();
}

#[tokio::test]
async fn a_provider_goes_with_its_rule_when_nothing_is_pending_with_it() {
    let mut elsewhere = pending("dev/a");
    elsewhere.provider.name = "gitlab".into();
    let mut never_posted = pending("dev/b");
    (never_posted.posted, never_posted.due) = (None, Some(due_shard(&never_posted.key)));
    for statuses in [vec![], vec![elsewhere, never_posted, status(SHA, "dev/c")]] {
        let operator = Operator::with(FILE, &statuses).await;
        let said = operator.says("delete -f - --cluster dev", FILE).await.ok();
        assert_eq!(said.out.lines().count(), 2, "{}", said.out);
    }
}
