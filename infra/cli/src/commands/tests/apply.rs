//! `apply` without writing, and with what is gone from the files.

use shared::State;
use shared::item::{Posted, StatusItem};

use super::*;
use crate::object::Kind;
use crate::store::tests::parked;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
const PRUNE: &str = "apply -f - --cluster dev --prune -l app=x";

fn provider(name: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\nmetadata: {{name: {name}, namespace: \
         flux-system, labels: {{{labels}}}}}\nspec: {{type: github, address: 'https://github.com/a/b', secretRef: \
         {{name: t}}}}\n"
    )
}

fn rule(name: &str, provider: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: notification.toolkit.fluxcd.io/v1beta1\nkind: CommitStatus\nmetadata: {{name: {name}, \
         namespace: flux-system, labels: {{{labels}}}}}\nspec:\n  providerRef: {{name: {provider}}}\n  \
         eventSources: [{{kind: Kustomization, name: '*'}}]\n"
    )
}

/// Of the rule `old` and the Provider `old`.
fn pending(context: &str) -> StatusItem {
    let mut status = status(SHA, context);
    status.rule.name.name = "old".into();
    status.provider.name = "old".into();
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
    /// Names of all that is applied: `dev Provider flux-system/github`.
    async fn applied(&self) -> Vec<String> {
        let mut objects = self.store.list(Kind::Provider, None).await.unwrap();
        objects.extend(self.store.list(Kind::CommitStatus, None).await.unwrap());
        let names = objects
            .iter()
            .map(|(scope, object)| format!("{scope} {}", object.id()));
        names.collect()
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let operator = Operator::new().await;
    let waiting = parked(SHA, "dev/a", "unauthorized");
    operator.store.put_status(&waiting).await;

    let said = operator
        .says("apply -f - --cluster dev --dry-run", FILE)
        .await
        .ok();

    insta::assert_snapshot!(said.out, @r"
    provider.notification.toolkit.fluxcd.io/github created (dry run) (namespace flux-system, cluster dev)
    commitstatus.notification.toolkit.fluxcd.io/webapp created (dry run) (namespace flux-system, cluster dev)
    ");
    insta::assert_snapshot!(said.err, @r#"warning: cluster "dev" is not registered, so its events are dropped; `commitstatus cluster add dev` registers it"#);
    assert!(operator.applied().await.is_empty());
    assert_eq!(operator.store.now(&waiting).await, waiting, "nothing is retried");

    operator.says("apply -f - --cluster dev", FILE).await.ok();
    let said = operator
        .says("apply -f - --cluster dev --dry-run", FILE)
        .await
        .ok();
    assert_eq!(
        said.out.matches(" unchanged (dry run) (").count(),
        2,
        "{}",
        said.out
    );
    let changed = FILE.replace("prefix: dev", "prefix: prod");
    let said = operator
        .says("apply -f - --cluster dev --dry-run", &changed)
        .await
        .ok();
    assert!(
        said.out.contains("/webapp configured (dry run) ("),
        "{}",
        said.out
    );
    let said = operator.says("apply -f - --cluster dev", FILE).await.ok();
    assert_eq!(said.out.matches(" unchanged (").count(), 2, "{}", said.out);

    let wrong = FILE.replace("prefix", "prefx");
    let error = operator
        .says("apply -f - --cluster dev --dry-run", &wrong)
        .await
        .error();
    assert!(error.contains("did you mean `prefix`?"), "{error}");
}

#[tokio::test]
async fn prune_deletes_what_carries_the_label_and_is_not_in_the_files() {
    let operator = Operator::new().await;
    let stays = provider("github", "app: x, more: y") + &rule("webapp", "github", "app: x");
    let goes = provider("old", "app: x") + &rule("old", "old", "app: x");
    let others = provider("other", "app: z") + &rule("unlabelled", "other", "");
    let all = stays.clone() + &goes + &others;
    operator.says("apply -f - --cluster dev", &all).await.ok();
    operator.says("apply -f - --cluster prod", &goes).await.ok();
    operator.says("apply -f - --all-clusters", &goes).await.ok();
    let before = operator.applied().await;

    let said = operator.says(&format!("{PRUNE} --dry-run"), &stays).await.ok();
    insta::assert_snapshot!(said.out, @r"
    provider.notification.toolkit.fluxcd.io/github unchanged (dry run) (namespace flux-system, cluster dev)
    commitstatus.notification.toolkit.fluxcd.io/webapp unchanged (dry run) (namespace flux-system, cluster dev)
    commitstatus.notification.toolkit.fluxcd.io/old pruned (dry run) (namespace flux-system, cluster dev)
    provider.notification.toolkit.fluxcd.io/old pruned (dry run) (namespace flux-system, cluster dev)
    ");
    assert_eq!(operator.applied().await, before);

    let said = operator.says(PRUNE, &stays).await.ok();
    insta::assert_snapshot!(said.out, @r"
    provider.notification.toolkit.fluxcd.io/github unchanged (namespace flux-system, cluster dev)
    commitstatus.notification.toolkit.fluxcd.io/webapp unchanged (namespace flux-system, cluster dev)
    commitstatus.notification.toolkit.fluxcd.io/old pruned (namespace flux-system, cluster dev)
    provider.notification.toolkit.fluxcd.io/old pruned (namespace flux-system, cluster dev)
    ");
    assert_eq!(
        operator.applied().await,
        [
            "* Provider flux-system/old",
            "dev Provider flux-system/github",
            "dev Provider flux-system/other",
            "prod Provider flux-system/old",
            "* CommitStatus flux-system/old",
            "dev CommitStatus flux-system/unlabelled",
            "dev CommitStatus flux-system/webapp",
            "prod CommitStatus flux-system/old",
        ]
    );
}

#[tokio::test]
async fn several_labels_must_all_be_carried() {
    let operator = Operator::new().await;
    let goes = rule("old", "github", "app: x, team: a");
    let stays = rule("webapp", "github", "app: x, team: a");
    operator
        .says(
            "apply -f - --cluster dev",
            &(goes + &stays + &rule("other", "github", "app: x")),
        )
        .await
        .ok();
    let said = operator
        .says("apply -f - --cluster dev --prune --selector app=x,team=a", &stays)
        .await
        .ok();
    assert!(said.out.contains("/old pruned ("), "{}", said.out);
    assert_eq!(operator.applied().await.len(), 2);
}

#[tokio::test]
async fn prune_wants_a_label_that_every_object_carries() {
    let operator = Operator::new().await;
    operator
        .says("apply -f - --cluster dev", &rule("old", "github", "app: x"))
        .await
        .ok();
    let error = operator
        .says("apply -f - --cluster dev --prune", FILE)
        .await
        .error();
    assert_eq!(
        error,
        "--prune deletes what is not in the files, so it must be told what belongs to them; add -l KEY=VALUE with a label \
         that every object in the files carries"
    );
    let text = rule("webapp", "github", "app: x")
        + "---\n"
        + &FILE.replace("webapp,", "other,").replace("github,", "gitlab,");
    let error = operator.says(PRUNE, &text).await.error();
    insta::assert_snapshot!(error, @r"
    2 objects in the files are without the label that --prune goes by, and would never be pruned, so nothing was done; add it to what follows and run the command again
    stdin:9:1: metadata.labels: Provider flux-system/gitlab does not carry app=x
    stdin:14:1: metadata.labels: CommitStatus flux-system/other does not carry app=x
    ");
    assert_eq!(operator.applied().await, ["dev CommitStatus flux-system/old"]);
    for command in [
        "apply -f a --cluster dev -l app=x",
        "apply -f a --cluster dev --prune -l app",
    ] {
        let words = std::iter::once("commitstatus").chain(command.split_whitespace());
        assert!(Cli::try_parse_from(words).is_err(), "{command}");
    }
}

#[tokio::test]
async fn prune_closes_what_the_rules_left_pending_and_keeps_the_provider_until_then() {
    let operator = Operator::new().await;
    let stays = provider("github", "app: x");
    let goes = provider("old", "app: x") + &rule("old", "old", "app: x");
    operator
        .says("apply -f - --cluster dev", &(stays.clone() + &goes))
        .await
        .ok();
    operator.store.put_status(&pending("dev/a")).await;
    operator.says("cluster add dev", "").await.ok();

    let said = operator.says(PRUNE, &stays).await.ok();

    let kept = "warning: Provider flux-system/old is kept for now, as pending statuses are closed with it first; the same \
                command deletes it in two minutes\n";
    assert!(
        said.out.contains("/old pruned (")
            && !said.out.contains("provider.notification.toolkit.fluxcd.io/old")
    );
    assert!(
        said.err.ends_with(&format!(
            "1 pending status will be closed within two minutes\n{kept}"
        )),
        "{}",
        said.err
    );
    let mut closing = operator.store.now(&pending("dev/a")).await;
    assert_eq!(
        (closing.desired.state, closing.is_due()),
        (State::Superseded, true)
    );

    let said = operator.says(PRUNE, &stays).await.ok();
    assert!(said.err.ends_with(kept), "it is still due: {}", said.err);
    (closing.due, closing.due_at) = (None, None);
    if let Some(posted) = &mut closing.posted {
        posted.state = State::Superseded;
    }
    operator.store.put_status(&closing).await;
    let said = operator.says(PRUNE, &stays).await.ok();
    assert!(
        said.out
            .contains("provider.notification.toolkit.fluxcd.io/old pruned ("),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn prune_keeps_a_provider_that_a_staying_rule_still_names() {
    let stays = rule("webapp", "old", "app: x");
    let goes = provider("old", "app: x");
    let kept = |rule: &str| {
        format!(
            "warning: Provider flux-system/old is not in the files, but kept, as CommitStatus flux-system/{rule} still \
             names it; apply that with another Provider, or delete it too\n"
        )
    };

    // A rule of the files themselves, and one that the label is not on.
    let operator = Operator::new().await;
    operator
        .says("apply -f - --cluster dev", &(stays.clone() + &goes))
        .await
        .ok();
    for dry_run in ["", " --dry-run"] {
        let said = operator.says(&format!("{PRUNE}{dry_run}"), &stays).await.ok();
        assert!(said.err.ends_with(&kept("webapp (cluster dev)")), "{}", said.err);
        assert!(!said.out.contains("pruned"), "{}", said.out);
    }
    let moved = provider("github", "app: x") + &stays.replace("name: old}", "name: github}");
    operator
        .says("apply -f - --cluster dev", &rule("other", "old", ""))
        .await
        .ok();
    let said = operator.says(PRUNE, &moved).await.ok();
    assert!(said.err.ends_with(&kept("other (cluster dev)")), "{}", said.err);
    operator
        .says("delete commitstatus other -n flux-system --cluster dev", "")
        .await
        .ok();
    let said = operator.says(PRUNE, &moved).await.ok();
    assert!(
        said.out.contains("/old pruned ("),
        "the rules that named it are gone: {}",
        said.out
    );

    // A cluster's rule finds the Provider for all clusters, unless the cluster has its own.
    let operator = Operator::new().await;
    let prune_all = "apply -f - --all-clusters --prune -l app=x";
    let keeps = provider("github", "app: x");
    operator
        .says("apply -f - --all-clusters", &(goes.clone() + &keeps))
        .await
        .ok();
    operator
        .says("apply -f - --cluster dev", &rule("own", "old", ""))
        .await
        .ok();
    let said = operator.says(prune_all, &keeps).await.ok();
    assert!(said.err.ends_with(&kept("own (cluster dev)")), "{}", said.err);
    operator
        .says("apply -f - --cluster dev", &provider("old", ""))
        .await
        .ok();
    let said = operator.says(prune_all, &keeps).await.ok();
    assert!(said.out.contains("/old pruned ("), "{}", said.out);

    // And the other way round.
    operator
        .says("apply -f - --all-clusters", &rule("common", "old", ""))
        .await
        .ok();
    operator
        .says("delete commitstatus own -n flux-system --cluster dev", "")
        .await
        .ok();
    operator.says("apply -f - --cluster dev", &goes).await.ok();
    let said = operator.says(PRUNE, &keeps).await.ok();
    assert!(said.err.ends_with(&kept("common (all clusters)")), "{}", said.err);
    operator
        .says("apply -f - --all-clusters", &provider("old", ""))
        .await
        .ok();
    let said = operator.says(PRUNE, &keeps).await.ok();
    assert!(said.out.contains("/old pruned ("), "{}", said.out);
}
