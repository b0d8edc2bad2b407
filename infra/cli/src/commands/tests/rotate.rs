//! `rotate`, the two steps of it.

use super::*;

async fn operator() -> Operator {
    let operator = Operator::with_root_key().await;
    for cluster in ["dev", "prod", "new"] {
        operator.says(&format!("cluster add {cluster}"), "").await.ok();
    }
    operator.says("connect dev", "").await.ok();
    operator.says("connect prod", "").await.ok();
    operator
}

#[tokio::test]
async fn p9_the_second_step_waits_for_every_cluster() {
    let operator = operator().await;
    let before = operator.secret("commitstatus/root-key").await;

    let said = operator.says("rotate", "").await.ok();
    insta::assert_snapshot!(said.out, @r"
    secret/commitstatus/root-key rotated
    cluster/dev uses the old root key
    cluster/prod uses the old root key
    ");
    insta::assert_snapshot!(said.err, @r"
    keys made from the old root key stay accepted. Wait 10 seconds, then give each cluster its new key:
      commitstatus connect dev | kubectl apply -f -
      commitstatus connect prod | kubectl apply -f -
    with the --namespace and --per-namespace it had; `commitstatus connect --all --output-dir DIR` writes a file for each. `commitstatus rotate --finish` then accepts the old root key no longer
    ");
    let after = operator.secret("commitstatus/root-key").await;
    assert_ne!(before, after);
    for key in [&before, &after] {
        assert!(!said.out.contains(key) && !said.err.contains(key));
    }

    for command in ["rotate --finish", "rotate"] {
        let error = operator.says(command, "").await.error();
        assert!(error.contains("locked out by this: dev, prod;"), "{error}");
    }
    operator.says("connect dev", "").await.ok();
    let error = operator.says("rotate --finish", "").await.error();
    assert!(error.contains("locked out by this: prod;"), "{error}");
    let keys = operator.data.path().join("keys");
    operator
        .says(&format!("connect --all --output-dir {}", keys.display()), "")
        .await
        .ok();

    let said = operator.says("rotate --finish", "").await.ok();
    assert_eq!(
        said.out,
        "secret/commitstatus/root-key retired the root key before this one\n"
    );
    assert_eq!(operator.secret("commitstatus/root-key").await, after);
    let said = operator.says("rotate --finish", "").await.ok();
    assert_eq!(said.out, "secret/commitstatus/root-key unchanged\n");
    assert_eq!(said.err, "no root key before this one is accepted\n");
}

#[tokio::test]
async fn the_two_commands_are_one() {
    let operator = operator().await;
    operator.says("root-key rotate", "").await.ok();
    let error = operator.says("rotate --finish", "").await.error();
    assert!(error.contains("locked out by this: dev, prod;"), "{error}");
    operator.says("rotate --finish --force", "").await.ok();
    operator.says("rotate", "").await.ok();
    let status = operator.says("root-key status", "").await.ok().out;
    assert!(status.contains("the one before it is accepted too"), "{status}");
    operator.says("root-key retire --force", "").await.ok();
}

#[tokio::test]
async fn where_no_cluster_has_a_key_the_second_step_can_follow_at_once() {
    let operator = Operator::with_root_key().await;
    operator.says("cluster add new", "").await.ok();
    let said = operator.says("rotate", "").await.ok();
    assert_eq!(said.out, "secret/commitstatus/root-key rotated\n");
    assert_eq!(
        said.err,
        "no cluster uses the old root key; `commitstatus rotate --finish` accepts it no longer\n"
    );
    operator.says("rotate --finish", "").await.ok();

    let none = Operator::new().await;
    for command in ["rotate", "rotate --finish"] {
        assert_eq!(
            none.says(command, "").await.error(),
            "no root key `commitstatus/root-key`; `commitstatus root-key init` creates it"
        );
    }
}
