//! `explain`, offline and against a stack.

use serde_json::json;
use shared::item::{EventItem, event_sk, object_pk};

use super::edit::Asked;
use super::*;
use crate::store::tests::{due, parked, posted};

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
const EVENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/fixtures/flux-events/04-kustomization-reconciliationsucceeded.json"
);
const RULES: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: github, namespace: apps}
spec: {type: github, address: 'https://github.com/a/b', secretRef: {name: token}}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata: {name: podinfo, namespace: apps}
spec: {providerRef: {name: github}, eventSources: [{kind: Kustomization, name: podinfo}]}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata: {name: web, namespace: apps}
spec: {providerRef: {name: github}, eventSources: [{kind: Kustomization, name: web}]}
";

fn kept(cluster: &str, name: &str) -> EventItem {
    let sha = SHA.parse().unwrap();
    serde_json::from_value(json!({
        "pk": object_pk(cluster, &format!("Kustomization/apps/{name}")),
        "sk": event_sk(Some(&sha)),
        "commit7": &SHA[..7],
        "cluster": cluster,
        "generation": 1,
        "event_id": "00",
        "received_at": 0,
        "expires_at": 0,
        "event": {
            "involvedObject": {"kind": "Kustomization", "namespace": "apps", "name": name},
            "severity": "info",
            "timestamp": "1970-01-01T00:00:00Z",
            "reason": "ReconciliationSucceeded",
            "metadata": {"revision": format!("main@sha1:{SHA}")},
        },
    }))
    .unwrap()
}

impl Operator {
    async fn with_rules() -> Self {
        let operator = Self::new().await;
        operator.says("cluster add dev", "").await.ok();
        operator.says("apply -f - --cluster dev", RULES).await.ok();
        operator
    }
}

#[tokio::test]
async fn rules_in_files_are_asked_about_an_event_in_a_file() {
    let operator = Operator::new().await;
    let Asked { code, out, err, .. } = operator
        .asks(&format!("explain -f - --event {EVENT} --cluster prod"), RULES)
        .await;
    assert_eq!((code, err.as_str()), (Ok(0), ""));
    insta::assert_snapshot!(out, @r#"
    Kustomization/apps/podinfo of prod: ReconciliationSucceeded (info) at 2026-08-07T13:13:02Z
      prod/apps/podinfo  matched
        repository    github.com/a/b
        commit        5394cb7f48332b2de7c17dd8b8384bbc84b7e738
        state         success
        context       prod/apps/kustomization/podinfo
        description   reconciliation succeeded
        request       POST https://api.github.com/repos/a/b/statuses/5394cb7f48332b2de7c17dd8b8384bbc84b7e738
                      {"context":"prod/apps/kustomization/podinfo","description":"reconciliation succeeded","state":"success"}
      prod/apps/web  skipped(name)
        rule   spec.eventSources[].name  web
        event  involvedObject.name       podinfo
        to have it posted: add an event source with name: podinfo, or name: "*"
    "#);

    let none = RULES.replace("name: podinfo", "name: other");
    let said = operator
        .asks(&format!("explain -f - --event {EVENT}"), &none)
        .await;
    assert_eq!(said.code, Ok(1), "{}", said.out);
    assert!(
        said.out.starts_with("Kustomization/apps/podinfo of <cluster>: "),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("rule   spec.eventSources[].name  other\n"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("event  involvedObject.name       podinfo\n"),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn programs_get_the_same_as_people() {
    let operator = Operator::new().await;
    let said = operator
        .asks(&format!("explain -f - --event {EVENT} -o json"), RULES)
        .await;
    let value: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let event = &value["events"][0];
    assert_eq!(event["posted"], true);
    assert_eq!(event["rules"][0]["rule"], "<cluster>/apps/podinfo");
    assert_eq!(event["rules"][0]["outcome"], "matched");
    assert_eq!(event["rules"][0]["request"]["method"], "POST");
    assert_eq!(event["rules"][1]["outcome"], "skipped");
    assert_eq!(event["rules"][1]["reason"], "name");
    assert_eq!(event["rules"][1]["event"], "podinfo");
}

#[tokio::test]
async fn what_cannot_be_read_is_named_with_what_would_be_right() {
    let operator = Operator::new().await;
    for (command, input, expected) in [
        ("explain --event -", "{}", "whose event is it? Say --cluster NAME"),
        ("explain -f - --event -", "{}", "cannot both be standard input"),
        (
            "explain --event - --cluster dev",
            "{",
            "standard input is not the body of an event as Flux posts it",
        ),
        ("explain --event - --cluster dev", "{}", "involvedObject"),
        (
            "explain --event /no/such --cluster dev",
            "",
            "cannot read the event from `/no/such`; check --event",
        ),
        ("explain abc", "", "`abc` is not a commit"),
    ] {
        let said = operator.asks(command, input).await;
        let error = said.code.unwrap_err();
        assert!(error.contains(expected), "{command}: {error}");
        assert_eq!(said.failure_code, 2);
    }
    let long = " ".repeat(300 * 1024);
    let said = operator.asks("explain --event - --cluster dev", &long).await;
    assert!(said.code.unwrap_err().contains("256 KiB"));
    for refused in [
        "explain",
        "explain abcdefa --event x",
        "explain abcdefa -f x",
        "explain --event x --object y",
    ] {
        let words = std::iter::once("commitstatus").chain(refused.split(' '));
        assert!(crate::app::Cli::try_parse_from(words).is_err(), "{refused}");
    }
}

#[tokio::test]
async fn a_commit_is_explained_by_the_last_event_of_each_object() {
    let operator = Operator::with_rules().await;
    for item in [
        kept("dev", "podinfo"),
        kept("dev", "other"),
        kept("gone", "podinfo"),
    ] {
        operator.store.put_item(item).await;
    }
    let mut status = posted(SHA, "dev/apps/kustomization/podinfo");
    status.rule = "dev/apps/podinfo".to_owned().try_into().unwrap();
    operator.store.put_item(status).await;

    let said = operator.asks("explain 5394cb7", "").await;
    assert_eq!((said.code, said.err.as_str()), (Ok(0), ""));
    insta::assert_snapshot!(said.out, @r#"
    Kustomization/apps/other of dev: ReconciliationSucceeded (info) at 1970-01-01T00:00:00Z
      no-rule: 2 rules are about other objects; --all shows what keeps each from this one

    Kustomization/apps/podinfo of dev: ReconciliationSucceeded (info) at 1970-01-01T00:00:00Z
      dev/apps/podinfo  matched
        repository    github.com/a/b
        commit        5394cb7f48332b2de7c17dd8b8384bbc84b7e738
        state         success
        context       dev/apps/kustomization/podinfo
        description   reconciliation succeeded
        request       POST https://api.github.com/repos/a/b/statuses/5394cb7f48332b2de7c17dd8b8384bbc84b7e738
                      {"context":"dev/apps/kustomization/podinfo","description":"reconciliation succeeded","state":"success"}
        stands        success posted 2026-08-07T13:12:44Z
      1 rule is about other objects; --all shows each

    Kustomization/apps/podinfo of gone: ReconciliationSucceeded (info) at 1970-01-01T00:00:00Z
      skipped(revoked): cluster "gone" is not registered; `commitstatus cluster add gone` registers it
    "#);

    let said = operator
        .asks("explain 5394cb7 --object other --cluster dev --all", "")
        .await;
    assert_eq!(said.code, Ok(1));
    assert_eq!(said.out.matches("skipped(name)").count(), 2, "{}", said.out);
    let said = operator.asks("explain 5394cb7 --cluster other", "").await;
    assert_eq!(said.code, Ok(1));
    assert!(
        said.err.starts_with("no such event about 5394cb7"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn the_exit_code_says_whether_something_is_posted() {
    let operator = Operator::with_rules().await;
    operator.store.put_item(kept("dev", "podinfo")).await;
    assert_eq!(
        operator.asks("explain 5394cb7", "").await.code,
        Ok(0),
        "it would be"
    );
    let context = "dev/apps/kustomization/podinfo";
    let mut ended = posted(SHA, context);
    (ended.posted, ended.ended) = (None, Some("unknown-commit".into()));
    for (status, code) in [
        (posted(SHA, context), 0),
        (due(SHA, context, 60_000), 0),
        (parked(SHA, context, "forbidden"), 1),
        (ended, 1),
    ] {
        operator.store.put_item(status).await;
        let said = operator.asks("explain 5394cb7", "").await;
        assert_eq!(said.code, Ok(code), "{}", said.out);
        assert!(said.out.contains("    stands        success "), "{}", said.out);
    }

    let errors_only = RULES.replace("spec: {providerRef", "spec: {eventSeverity: error, providerRef");
    let said = operator
        .asks(&format!("explain -f - --event {EVENT}"), &errors_only)
        .await;
    assert_eq!(said.code, Ok(1), "{}", said.out);
    assert!(said.out.contains("only if it clears a failure"), "{}", said.out);
}

#[tokio::test]
async fn of_a_commit_nobody_has_sent_it_is_said_what_was_sent_instead() {
    let operator = Operator::with_rules().await;
    operator.says("cluster add prod", "").await.ok();
    operator.store.put_item(kept("dev", "podinfo")).await;
    let said = operator.asks("explain 1111111", "").await;
    assert_eq!(said.code, Ok(1));
    insta::assert_snapshot!(said.out, @"
    CLUSTER  SUSPENDED  LAST EVENT  COMMIT   OBJECT                      REASON
    dev      false      0s ago      5394cb7  Kustomization/apps/podinfo  ReconciliationSucceeded
    prod     false      none        -        -                           -
    ");
    assert!(
        said.err
            .starts_with("no event about 1111111 was taken in 30 days"),
        "{}",
        said.err
    );

    operator.store.put_item(posted(&"1".repeat(40), "dev/x")).await;
    let said = operator.asks("explain 1111111", "").await;
    assert!(
        said.err.contains("`commitstatus describe status 1111111`"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn an_event_of_a_cluster_is_asked_of_the_rules_of_the_stack() {
    let operator = Operator::with_rules().await;
    let said = operator
        .asks(&format!("explain --event {EVENT} --cluster dev"), "")
        .await;
    assert_eq!(said.code, Ok(0), "{}", said.out);
    assert!(
        said.out
            .contains("context       dev/apps/kustomization/podinfo\n"),
        "{}",
        said.out
    );
    let said = operator
        .asks(&format!("explain --event {EVENT} --cluster other"), "")
        .await;
    assert_eq!(said.code, Ok(1));
    assert!(
        said.out
            .contains("skipped(revoked): cluster \"other\" is not registered"),
        "{}",
        said.out
    );

    operator.says("cluster revoke dev", "").await.ok();
    // What was kept came with the key before.
    operator.store.put_item(kept("dev", "podinfo")).await;
    let said = operator.asks("explain 5394cb7", "").await;
    assert_eq!(said.code, Ok(1));
    assert!(
        said.out.contains("a key of generation 1, and the cluster's is 2"),
        "{}",
        said.out
    );
}
