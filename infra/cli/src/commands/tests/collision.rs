//! Two objects that write one status.

use super::*;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

#[tokio::test]
async fn get_statuses_names_both_objects_and_what_keeps_them_apart() {
    let operator = Operator::new().await;
    let alone = status(SHA, "dev/alone");
    let mut shared = status(SHA, "kustomization/webapp");
    shared.rival = Some("prod/Kustomization/flux-system/webapp".into());
    shared.ended = Some("unknown-commit".into());
    for status in [&alone, &shared] {
        operator.store.put_status(status).await;
    }

    let said = operator.says("get statuses 5394cb7", "").await.ok();
    insta::assert_snapshot!(said.out, @r#"
    REPOSITORY      CONTEXT               DESIRED  POSTED  REV  STANDS                            LAST ERROR
    github.com/a/b  dev/alone             success  -       1    -                                 -
    github.com/a/b  kustomization/webapp  success  -       1    ended: unknown-commit, collision  -
    "#);
    assert_eq!(
        said.err,
        "warning: kustomization/webapp on 5394cb7f48332b2de7c17dd8b8384bbc84b7e738 is written by \
         dev/Kustomization/flux-system/webapp and by prod/Kustomization/flux-system/webapp, and shows the newest event \
         of either. Take `prefix` out of CommitStatus dev/flux-system/webapp, which makes it `<cluster>/<namespace>`, \
         or give each its own\n"
    );

    let said = operator.says("get statuses 5394cb7 -o json", "").await.ok();
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let rivals: Vec<_> = json["statuses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|status| status["rival"].as_str())
        .collect();
    assert_eq!(rivals, [None, shared.rival.as_deref()]);
}
