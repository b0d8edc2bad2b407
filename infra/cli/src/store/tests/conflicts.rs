//! Two operators at once: what was read is written over only while it is still so.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;

const TRANSACT: &str = "TransactWriteItems";

async fn prepare(store: &Store, text: &str) -> Prepared {
    store.prepare(&dev(), &objects(text), NOW).await.unwrap()
}

/// Writes, and returns the objects that somebody else changed.
async fn conflict(store: &Store, prepared: Prepared) -> Vec<String> {
    conflicting(store.commit(prepared, &mut || ()).await)
}

fn conflicting<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Vec<String> {
    match result.unwrap_err() {
        StoreError::Conflict { objects } => objects.iter().map(ObjectId::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

async fn is_suspended(store: &Store, name: &str) -> bool {
    let name = shared::kinds::ObjectName::new("flux-system", name);
    store.provider(&dev(), &name).await.unwrap().unwrap().spec.suspend
}

#[tokio::test]
async fn two_who_apply_the_same_rule_do_not_leave_copies_of_both() {
    let store = engine().await;
    let mine = prepare(&store, &rule("webapp", [kustomization("a")])).await;
    apply(&store, &rule("webapp", [kustomization("b")])).await;

    assert_eq!(conflict(&store, mine).await, ["CommitStatus flux-system/webapp"]);
    assert_eq!(
        keys(&store).await,
        [
            "rule#dev flux-system/webapp",
            "source#dev#Kustomization#flux-system#b flux-system/webapp"
        ]
    );
}

#[tokio::test]
async fn a_provider_is_written_only_over_what_was_read() {
    let store = engine().await;
    let mine = prepare(&store, &provider("github", false)).await;
    apply(&store, &provider("github", true)).await;
    assert_eq!(conflict(&store, mine).await, ["Provider flux-system/github"]);
    assert!(is_suspended(&store, "github").await);

    let mine = prepare(&store, &provider("github", false)).await;
    apply(
        &store,
        &provider("github", true).replace("name: t", "name: other"),
    )
    .await;
    assert_eq!(conflict(&store, mine).await, ["Provider flux-system/github"]);
    assert!(is_suspended(&store, "github").await);
}

#[tokio::test]
async fn what_was_deleted_meanwhile_does_not_come_back() {
    let store = engine().await;
    let text = |suspend, source| provider("github", suspend) + &rule("webapp", [kustomization(source)]);
    apply(&store, &text(false, "a")).await;
    let mine = prepare(&store, &text(true, "b")).await;
    let ids: Vec<ObjectId> = objects(&text(false, "a")).iter().map(Object::id).collect();
    store.delete(&dev(), &ids).await.unwrap();

    assert_eq!(
        conflict(&store, mine).await,
        ["Provider flux-system/github", "CommitStatus flux-system/webapp"]
    );
    assert!(keys(&store).await.is_empty());
}

#[tokio::test]
async fn a_conflict_is_named_and_nothing_of_the_call_is_written() {
    let store = engine().await;
    let text = |source: &str| {
        provider("github", false)
            + &["one", "two", "three"]
                .map(|name| rule(name, [kustomization(source)]))
                .concat()
    };
    let mine = prepare(&store, &text("mine")).await;
    apply(&store, &rule("two", [kustomization("theirs")])).await;

    let error = store.commit(mine, &mut || ()).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "somebody else changed CommitStatus flux-system/two meanwhile, and nothing was written over that; `commitstatus get \
         commitstatuses two -n flux-system -o yaml` shows what is there now: run the command again if yours still holds"
    );
    assert_eq!(
        keys(&store).await,
        [
            "rule#dev flux-system/two",
            "source#dev#Kustomization#flux-system#theirs flux-system/two"
        ]
    );
    // Both operators' work is there once the command is run again.
    apply(&store, &text("mine")).await;
    assert_eq!(keys(&store).await.len(), 7);
}

#[tokio::test]
async fn what_changed_since_it_was_seen_is_not_deleted() {
    let store = engine().await;
    let before = provider("github", false) + &rule("webapp", [kustomization("a")]);
    apply(&store, &before).await;
    let seen = store.see_all(&dev()).await.unwrap();
    let seen: Vec<Seen> = seen.into_iter().map(|(seen, _)| seen).collect();
    apply(&store, &provider("github", true)).await;

    assert_eq!(
        conflicting(store.remove(&seen).await),
        ["Provider flux-system/github"]
    );
    assert_eq!(keys(&store).await.len(), 3);

    let seen = store.see_all(&dev()).await.unwrap();
    let seen: Vec<Seen> = seen.into_iter().map(|(seen, _)| seen).collect();
    apply(&store, &rule("webapp", [kustomization("b")])).await;
    assert_eq!(
        conflicting(store.remove(&seen).await),
        ["CommitStatus flux-system/webapp"]
    );
    assert_eq!(keys(&store).await.len(), 3);
}

#[tokio::test]
async fn an_edit_goes_only_over_what_was_read_first() {
    let store = engine().await;
    apply(&store, &provider("github", false)).await;
    let edited = &objects(&provider("github", true))[0];
    let seen = store.see(&dev(), &edited.id()).await.unwrap();
    apply(
        &store,
        &provider("github", false).replace("name: t", "name: other"),
    )
    .await;

    let prepared = store.prepare_over(&seen, edited, NOW).unwrap();

    assert_eq!(conflict(&store, prepared).await, ["Provider flux-system/github"]);
    let prepared = {
        let seen = store.see(&dev(), &edited.id()).await.unwrap();
        store.prepare_over(&seen, edited, NOW).unwrap()
    };
    store.commit(prepared, &mut || ()).await.unwrap();
    assert!(is_suspended(&store, "github").await);
}

/// Its first transaction, and the others.
fn split(prepared: Prepared) -> (Prepared, Prepared) {
    let (mut first, mut rest) = (prepared.clone(), prepared);
    first.transactions.truncate(1);
    rest.transactions.remove(0);
    (first, rest)
}

#[tokio::test]
async fn a_rule_too_large_for_one_transaction_is_not_mixed_with_another() {
    let store = engine().await;
    let many = (0..205).map(|n| kustomization(&format!("app-{n}")));
    let (begin, rest) = split(prepare(&store, &rule("webapp", many)).await);
    assert_eq!(rest.transactions(), 2);
    store.commit(begin, &mut || ()).await.unwrap();

    apply(&store, &rule("webapp", [kustomization("theirs")])).await;

    assert_eq!(conflict(&store, rest).await, ["CommitStatus flux-system/webapp"]);
    assert_eq!(
        keys(&store).await,
        [
            "rule#dev flux-system/webapp",
            "source#dev#Kustomization#flux-system#theirs flux-system/webapp"
        ]
    );
}

#[tokio::test]
async fn each_transaction_is_told_of() {
    let store = engine().await;
    let text: String = (0..80)
        .map(|n| rule(&format!("rule-{n}"), [kustomization("a"), kustomization("b")]))
        .collect();
    let prepared = prepare(&store, &text).await;
    let (total, mut written) = (prepared.transactions(), 0);
    store.commit(prepared, &mut || written += 1).await.unwrap();
    assert_eq!((total, written), (3, 3));
}

#[test]
fn of_many_conflicts_some_are_named() {
    let objects: Vec<ObjectId> = (0..12)
        .map(|n| ObjectId {
            kind: Kind::Provider,
            name: shared::kinds::ObjectName::new("apps", format!("p{n}")),
        })
        .collect();
    let text = |objects: &[ObjectId]| {
        StoreError::Conflict {
            objects: objects.to_vec(),
        }
        .to_string()
    };
    assert!(
        text(&objects).contains("Provider apps/p9, 2 more meanwhile"),
        "{}",
        text(&objects)
    );
    assert!(
        text(&objects[..10]).contains("Provider apps/p9 meanwhile"),
        "{}",
        text(&objects[..10])
    );
    assert!(
        text(&[]).starts_with("somebody else changed the same objects meanwhile"),
        "{}",
        text(&[])
    );
}

/// What was asked: operations and their bodies.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A DynamoDB that cancels the first transactions for these reasons.
async fn canceling(answers: Vec<[&'static str; 2]>) -> (Store, Asked) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let answer = move |headers: HeaderMap, body: Bytes| {
        let target = headers["x-amz-target"].to_str().unwrap();
        let operation = target.rsplit_once('.').unwrap().1.to_owned();
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|(asked, _)| *asked == operation).count();
        let reasons = answers.get(before).filter(|_| operation == TRANSACT);
        log.push((operation, serde_json::from_slice(&body).unwrap()));
        std::future::ready(match reasons {
            Some(codes) => {
                let reasons = codes.map(|code| json!({"Code": code}));
                let body = json!({
                    "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                    "Message": "canceled", "CancellationReasons": reasons,
                });
                (StatusCode::BAD_REQUEST, body.to_string())
            }
            None => (StatusCode::OK, "{}".to_owned()),
        })
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Store::new(dynamodb_client(&endpoint), "commitstatus"), asked)
}

#[tokio::test]
async fn who_applies_something_else_in_the_same_instant_is_nobodys_conflict() {
    const AT_THE_VERSION: [&str; 2] = ["None", "TransactionConflict"];
    let (store, asked) = canceling(vec![AT_THE_VERSION; 2]).await;
    assert_eq!(
        apply(&store, &provider("github", false)).await.0,
        ["Provider flux-system/github created"]
    );
    assert_eq!(
        operations(&asked),
        ["GetItem", TRANSACT, TRANSACT, TRANSACT, "PutItem"]
    );

    for of_object in ["TransactionConflict", "ConditionalCheckFailed"] {
        let (store, asked) = canceling(vec![[of_object, "TransactionConflict"]]).await;
        let mine = prepare(&store, &provider("github", false)).await;
        assert_eq!(conflict(&store, mine).await, ["Provider flux-system/github"]);
        assert_eq!(operations(&asked), ["GetItem", TRANSACT]);
    }

    let (store, asked) = canceling(vec![AT_THE_VERSION; 8]).await;
    let mine = prepare(&store, &provider("github", false)).await;
    let error = store.commit(mine, &mut || ()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(operations(&asked).len(), 1 + 8);
}

#[tokio::test]
async fn the_version_changes_with_a_transaction_and_once_more_after_it() {
    let (store, asked) = canceling(vec![]).await;
    apply(&store, &provider("github", false)).await;
    let asked = asked.lock().unwrap();
    let (_, transaction) = &asked[1];
    let items = transaction["TransactItems"].as_array().unwrap();
    let within = &items.last().unwrap()["Put"]["Item"];
    let (operation, put) = &asked[2];
    let after = &put["Item"];
    assert_eq!((operation.as_str(), asked.len()), ("PutItem", 3));
    for item in [within, after] {
        assert_eq!(
            (&item["pk"]["S"], &item["sk"]["S"]),
            (&json!(VERSION_PK), &json!(ALONE))
        );
    }
    assert_ne!(within["version"], after["version"]);
}

fn operations(asked: &Asked) -> Vec<String> {
    let asked = asked.lock().unwrap();
    asked.iter().map(|(operation, _)| operation.clone()).collect()
}
