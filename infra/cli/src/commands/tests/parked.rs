use super::*;
use crate::store::tests::{due, parked, posted};

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

/// Four parked statuses, a posted one and one that is due.
pub(super) async fn with_parked() -> Operator {
    let operator = Operator::new().await;
    let mut forbidden = parked(SHA, "dev/a", "forbidden");
    forbidden.last_error = Some("refused (forbidden):\n\u{1b}[2J no".into());
    let mut prod = parked(SHA, "prod/a", "forbidden");
    prod.cluster = "prod".into();
    let mut apps = parked(SHA, "dev/apps", "not-found");
    apps.provider = shared::kinds::ObjectName::new("apps", "github");
    let mut homeless = parked(SHA, "dev/gone", "no-provider");
    homeless.key.pk = format!("no-provider/dev/flux-system/gitlab@{SHA}");
    homeless.provider = shared::kinds::ObjectName::new("flux-system", "gitlab");
    homeless.credential = String::new();
    let others = [posted(SHA, "dev/posted"), due(SHA, "dev/due", 60_000)];
    for status in [forbidden, prod, apps, homeless].iter().chain(&others) {
        operator.store.put_status(status).await;
    }
    operator
}

#[tokio::test]
async fn get_parked_says_what_waits_for_a_person_and_why() {
    let operator = with_parked().await;
    let said = operator.says("get parked", "").await.ok();
    insta::assert_snapshot!(said.out, @r#"
    AGE  REPOSITORY                          COMMIT   CONTEXT   DESIRED  REASON       PROVIDER            CLUSTER  LAST ERROR
    0s   github.com/a/b                      5394cb7  dev/a     success  forbidden    flux-system/github  dev      refused (forbidden):  [2J no
    0s   github.com/a/b                      5394cb7  dev/apps  success  not-found    apps/github         dev      -
    0s   github.com/a/b                      5394cb7  prod/a    success  forbidden    flux-system/github  prod     -
    0s   no-provider/dev/flux-system/gitlab  5394cb7  dev/gone  success  no-provider  flux-system/gitlab  dev      -
    "#);
    insta::assert_snapshot!(said.err, @"mend what REASON names, then `commitstatus retry --provider NAME -n NAMESPACE` or `commitstatus retry --all`");
    let none = operator.says("get parked --provider nobody", "").await.ok();
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "nothing parked\n"));
}

#[tokio::test]
async fn get_parked_takes_filters_and_prints_for_programs() {
    let operator = with_parked().await;
    for (filter, expected) in [
        ("--provider github", vec!["dev/a", "dev/apps", "prod/a"]),
        ("--provider github -n apps", vec!["dev/apps"]),
        ("--cluster prod", vec!["prod/a"]),
        ("--provider gitlab --cluster dev", vec!["dev/gone"]),
        ("--provider gitlab --cluster prod", vec![]),
    ] {
        let said = operator
            .says(&format!("get parked {filter} -o json"), "")
            .await
            .ok();
        let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        let contexts: Vec<&str> = json["statuses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|status| status["context"].as_str().unwrap())
            .collect();
        assert_eq!(contexts, expected, "{filter}");
        assert_eq!(said.err, "");
    }
    let said = operator.says("get parked --cluster prod -o yaml", "").await.ok();
    assert!(said.out.contains("parked: forbidden"), "{}", said.out);
}
