//! `check`, against a stack.

use super::edit::Asked;
use super::*;
use crate::store::tests::parked;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

#[tokio::test]
async fn a_new_stack_says_what_to_do_first() {
    let operator = Operator::new().await;
    let Asked { code, out, err, .. } = operator.asks("check", "").await;
    assert_eq!(code, Ok(1));
    insta::assert_snapshot!(out, @"
    problem   root key   there is none, so no event is taken; `commitstatus root-key init` creates it
    warning   clusters   none is registered; `commitstatus cluster add NAME` registers one
    ok        providers  none
    ok        rules      none
    ok        statuses   none
    problem   queues     the local service is of a release whose queues cannot be reached; start this one; what they hold is not known
    ");
    assert_eq!(err, "2 problems, 1 warning\n");
}

#[tokio::test]
async fn what_is_read_is_told() {
    let operator = Operator::with_root_key().await;
    operator.says("cluster add dev", "").await.ok();
    operator.says("apply -f - --cluster dev", FILE).await.ok();
    operator.store.put_item(parked(SHA, "dev/a", "forbidden")).await;
    let said = operator.asks("check -o json", "").await;
    assert_eq!(said.code, Ok(1));
    let value: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(value["well"], false);
    let findings: Vec<String> = value["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| format!("{} {}", finding["area"], finding["problem"]))
        .collect();
    assert!(
        findings.contains(&"\"statuses\" \"1 parked: forbidden\"".to_owned()),
        "{findings:?}"
    );
    assert!(
        findings.iter().any(|finding| finding.starts_with("\"queues\"")),
        "{findings:?}"
    );
}
