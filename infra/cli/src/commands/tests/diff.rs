//! What `apply` would change.

use shared::Scope;

use super::edit::Asked;
use super::*;
use crate::store::tests::objects;

const LABELLED: &str = "metadata: {labels: {app: x}, name:";

/// With the label that `--prune` goes by.
fn labelled(file: &str) -> String {
    file.replace("metadata: {name:", LABELLED)
}

#[tokio::test]
async fn nothing_is_said_when_nothing_would_change() {
    let operator = Operator::new().await;
    operator.says("apply -f - --cluster dev", FILE).await.ok();
    let asked = operator.asks("diff -f - --cluster dev", FILE).await;
    assert_eq!(
        (asked.code, asked.out.as_str(), asked.err.as_str()),
        (Ok(0), "", "")
    );
}

#[tokio::test]
async fn what_would_change_is_shown_object_by_object() {
    let operator = Operator::new().await;
    let asked = operator.asks("diff -f - --all-clusters", FILE).await;
    assert_eq!(asked.code, Ok(1), "{}", asked.err);
    insta::assert_snapshot!(asked.out, @r#"
    --- Provider flux-system/github, not applied for all clusters
    +++ stdin:1:1
    @@ -0,0 +1,14 @@
    +apiVersion: notification.toolkit.fluxcd.io/v1beta3
    +kind: Provider
    +metadata:
    +  annotations:
    +    commitstatus/cluster: "*"
    +  name: github
    +  namespace: flux-system
    +spec:
    +  address: https://github.com/a/b
    +  secretRef:
    +    name: github-token
    +  suspend: false
    +  timeout: 30s
    +  type: github
    --- CommitStatus flux-system/webapp, not applied for all clusters
    +++ stdin:6:1
    @@ -0,0 +1,19 @@
    +apiVersion: notification.toolkit.fluxcd.io/v1beta1
    +kind: CommitStatus
    +metadata:
    +  annotations:
    +    commitstatus/cluster: "*"
    +  name: webapp
    +  namespace: flux-system
    +spec:
    +  eventSeverity: info
    +  eventSources:
    +  - kind: Kustomization
    +    name: webapp
    +  onSuperseded: close
    +  prefix: dev
    +  providerRef:
    +    name: github
    +  reportProgress: true
    +  suspend: false
    +  trustCommitAnnotation: false
    "#);
    assert_eq!(
        operator.says("get providers", "").await.ok().err,
        "nothing applied\n"
    );

    operator.says("apply -f - --all-clusters", FILE).await.ok();
    let changed = FILE
        .replace("prefix: dev", "prefix: prod")
        .replace("timeout: 30s", "suspend: true");
    let asked = operator.asks("diff -f - --all-clusters", &changed).await;
    assert_eq!(asked.code, Ok(1), "{}", asked.err);
    insta::assert_snapshot!(asked.out, @r#"
    --- Provider flux-system/github, applied for all clusters
    +++ stdin:1:1
    @@ -9,6 +9,5 @@
       address: https://github.com/a/b
       secretRef:
         name: github-token
    -  suspend: false
    -  timeout: 30s
    +  suspend: true
       type: github
    --- CommitStatus flux-system/webapp, applied for all clusters
    +++ stdin:6:1
    @@ -11,7 +11,7 @@
       - kind: Kustomization
         name: webapp
       onSuperseded: close
    -  prefix: dev
    +  prefix: prod
       providerRef:
         name: github
       reportProgress: true
    "#);
}

#[tokio::test]
async fn what_would_be_pruned_is_a_difference() {
    let operator = Operator::new().await;
    let file = labelled(FILE);
    operator.says("apply -f - --all-clusters", &file).await.ok();
    let provider = file.split_once("---\n").unwrap().0;

    let asked = operator.asks("diff -f - --all-clusters", provider).await;
    assert_eq!((asked.code, asked.out.as_str()), (Ok(0), ""));
    let asked = operator
        .asks("diff -f - --all-clusters --prune -l app=x", provider)
        .await;
    assert_eq!(asked.code, Ok(1), "{}", asked.err);
    insta::assert_snapshot!(asked.out, @r#"
    --- CommitStatus flux-system/webapp, applied for all clusters
    +++ in no file, so it is pruned
    @@ -1,21 +0,0 @@
    -apiVersion: notification.toolkit.fluxcd.io/v1beta1
    -kind: CommitStatus
    -metadata:
    -  annotations:
    -    commitstatus/cluster: "*"
    -  labels:
    -    app: x
    -  name: webapp
    -  namespace: flux-system
    -spec:
    -  eventSeverity: info
    -  eventSources:
    -  - kind: Kustomization
    -    name: webapp
    -  onSuperseded: close
    -  prefix: dev
    -  providerRef:
    -    name: github
    -  reportProgress: true
    -  suspend: false
    -  trustCommitAnnotation: false
    "#);

    let rule = file.split_once("---\n").unwrap().1;
    let asked = operator
        .asks("diff -f - --all-clusters --prune -l app=x", rule)
        .await;
    assert_eq!(
        (asked.code, asked.out.as_str()),
        (Ok(0), ""),
        "the Provider stays with its rule"
    );
    assert!(
        asked
            .err
            .contains("Provider flux-system/github is not in the files, but kept"),
        "{}",
        asked.err
    );
}

#[tokio::test]
async fn what_an_interrupted_call_left_half_written_is_a_difference() {
    let operator = Operator::new().await;
    let sources: String = (0..110)
        .map(|n| format!("    - {{kind: Kustomization, name: app-{n}}}\n"))
        .collect();
    let file = format!("{FILE}{sources}");
    let scope = Scope::Cluster("dev".into());
    operator
        .store
        .apply_interrupted(&scope, &objects(&file)[1..])
        .await;

    let rule = file.split_once("---\n").unwrap().1;
    let asked = operator.asks("diff -f - --cluster dev", rule).await;
    assert_eq!((asked.code, asked.out.as_str()), (Ok(1), ""));
    assert_eq!(
        asked.err,
        "CommitStatus flux-system/webapp is as in stdin:1:1, but not all of its copies are, as an `apply` was interrupted; \
         the next one finishes it\n"
    );
    operator.says("apply -f - --cluster dev", rule).await.ok();
    let asked = operator.asks("diff -f - --cluster dev", rule).await;
    assert_eq!((asked.code, asked.err.as_str()), (Ok(0), ""));
}

#[tokio::test]
async fn colours_are_for_terminals() {
    let operator = Operator::new().await;
    operator.says("apply -f - --all-clusters", FILE).await.ok();
    let changed = FILE.replace("prefix: dev", "prefix: prod");
    let Asked { out, .. } = operator.asks("diff -f - --all-clusters", &changed).await;
    assert!(!out.contains('\u{1b}'), "{out:?}");
    let Asked { out, .. } = operator
        .asks_in_colours("diff -f - --all-clusters", &changed)
        .await;
    assert!(out.contains("\u{1b}[31m-  prefix: dev\u{1b}[0m\n"), "{out:?}");
    assert!(out.contains("\u{1b}[32m+  prefix: prod\u{1b}[0m\n"), "{out:?}");
    assert!(out.contains("\n   providerRef:\n"), "{out:?}");
}

#[tokio::test]
async fn a_mistake_is_no_difference() {
    let operator = Operator::new().await;
    let wrong = FILE.replace("prefix", "prefx");
    let asked = operator.asks("diff -f - --all-clusters", &wrong).await;
    assert!(asked.code.unwrap_err().contains("did you mean `prefix`?"));
    assert_eq!(asked.failure_code, 2);
    let asked = operator.asks("diff -f - --all-clusters --prune", FILE).await;
    assert!(
        asked
            .code
            .unwrap_err()
            .starts_with("--prune deletes what is not in the files")
    );
}
