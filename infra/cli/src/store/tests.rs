mod close_pending;
mod conflicts;
mod credentials;
mod parked;
mod retry;

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::item::{ALONE, COMMIT7, Posted, StatusItem, VERSION_PK, VersionItem, due_shard, parked_shard};
use shared::{ErrorChain, Scope};

use super::*;
use crate::local_instance::dynamodb_client;
use crate::object::{Kind, Object, ObjectId};
use crate::yaml::{Source, validate};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A store over an engine of its own, and that engine's endpoint.
pub(crate) async fn engine() -> Store {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let database = dynoxide::Database::memory().unwrap();
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    let client = dynamodb_client(&endpoint);
    let stack = "commitstatus";
    create_tables(&client, &rules_table(stack), &statuses_table(stack))
        .await
        .unwrap();
    Store::new(client, stack)
}

pub(crate) fn objects(text: &str) -> Vec<Object> {
    let source = Source {
        name: "a.yaml".into(),
        text: text.into(),
    };
    let validated = validate(&[source], None).unwrap();
    validated
        .documents
        .into_iter()
        .map(|document| document.object)
        .collect()
}

fn rule(name: &str, sources: impl IntoIterator<Item = String>) -> String {
    let sources: Vec<String> = sources.into_iter().collect();
    format!(
        "---\napiVersion: notification.toolkit.fluxcd.io/v1beta1\nkind: CommitStatus\nmetadata: {{name: {name}, \
         namespace: flux-system}}\nspec:\n  providerRef: {{name: github}}\n  eventSources: [{}]\n",
        sources.join(", ")
    )
}

fn kustomization(name: &str) -> String {
    format!("{{kind: Kustomization, name: '{name}'}}")
}

fn provider(name: &str, suspend: bool) -> String {
    format!(
        "---\napiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\nmetadata: {{name: {name}, \
         namespace: flux-system}}\nspec: {{type: github, address: 'https://github.com/a/b', secretRef: {{name: t}}, \
         suspend: {suspend}}}\n"
    )
}

fn dev() -> Scope {
    Scope::Cluster("dev".into())
}

/// Every key of the table with rules, but for the version's.
async fn keys(store: &Store) -> Vec<String> {
    let mut keys: Vec<String> = store
        .partitions("")
        .await
        .unwrap()
        .iter()
        .filter(|item| item["pk"].as_s().unwrap() != VERSION_PK)
        .map(|item| format!("{} {}", item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap()))
        .collect();
    keys.sort();
    keys
}

async fn apply(store: &Store, text: &str) -> (Vec<String>, usize) {
    let written = store.apply(&dev(), &objects(text), NOW).await.unwrap();
    let changes = written
        .changes
        .iter()
        .map(|change| format!("{} {}", change.object, change.verb.as_str()));
    (changes.collect(), written.transactions)
}

#[tokio::test]
async fn tables_that_exist_are_left_as_they_are() {
    let store = engine().await;
    apply(&store, &provider("github", false)).await;
    create_tables(&store.client, &store.rules, &store.statuses)
        .await
        .unwrap();
    assert_eq!(keys(&store).await, ["provider#dev flux-system/github"]);
}

async fn version(store: &Store) -> Option<String> {
    let item = store.item(VERSION_PK.into(), ALONE.into()).await.unwrap();
    item.map(|item| serde_dynamo::from_item::<_, VersionItem>(item).unwrap().version)
}

#[tokio::test]
async fn whatever_is_applied_or_deleted_is_another_version() {
    let store = engine().await;
    assert_eq!(version(&store).await, None);
    let text = |suspend| provider("github", suspend);
    let mut versions = BTreeSet::new();
    for suspend in [false, true, false] {
        apply(&store, &text(suspend)).await;
        versions.insert(version(&store).await.unwrap());
    }
    assert_eq!(versions.len(), 3, "also if it is as it was before");

    apply(&store, &text(false)).await;
    assert_eq!(versions.len(), 3);
    assert!(
        versions.contains(&version(&store).await.unwrap()),
        "nothing was written"
    );

    let id = objects(&text(false))[0].id();
    store.delete(&dev(), &[id]).await.unwrap();
    assert!(versions.insert(version(&store).await.unwrap()));

    // Each of several transactions: a call may be interrupted between them.
    let many: Vec<String> = (0..110).map(|n| kustomization(&format!("app-{n}"))).collect();
    store
        .apply_interrupted(&dev(), &objects(&rule("webapp", many)))
        .await;
    assert!(versions.insert(version(&store).await.unwrap()));
}

#[tokio::test]
async fn apply_says_what_became_of_each_object() {
    let store = engine().await;
    let text = rule("webapp", [kustomization("a")]) + &provider("github", false);

    let created = [
        "Provider flux-system/github created",
        "CommitStatus flux-system/webapp created",
    ];
    assert_eq!(apply(&store, &text).await, (created.map(Into::into).to_vec(), 1));

    let unchanged = [
        "Provider flux-system/github unchanged",
        "CommitStatus flux-system/webapp unchanged",
    ];
    assert_eq!(
        apply(&store, &text).await,
        (unchanged.map(Into::into).to_vec(), 0)
    );

    let text = rule("webapp", [kustomization("b")]) + &provider("github", true);
    let configured = [
        "Provider flux-system/github configured",
        "CommitStatus flux-system/webapp configured",
    ];
    assert_eq!(
        apply(&store, &text).await,
        (configured.map(Into::into).to_vec(), 1)
    );
}

#[tokio::test]
async fn a_rule_is_stored_once_and_once_for_each_distinct_source() {
    let store = engine().await;
    let sources = ["a", "*", "a"].map(kustomization);
    apply(&store, &rule("webapp", sources)).await;
    assert_eq!(
        keys(&store).await,
        [
            "rule#dev flux-system/webapp",
            "source#dev#Kustomization#flux-system#* flux-system/webapp",
            "source#dev#Kustomization#flux-system#a flux-system/webapp",
        ]
    );
    let copy = store
        .partition("source#dev#Kustomization#flux-system#a".into())
        .await
        .unwrap();
    let copy: shared::item::RuleItem = serde_dynamo::from_item(copy[0].clone()).unwrap();
    assert_eq!(copy.rule.spec.event_sources.len(), 3);
    assert_eq!(copy.applied_at, NOW.to_string());
}

#[tokio::test]
async fn changed_sources_remove_the_copies_of_the_old_ones() {
    let store = engine().await;
    apply(&store, &rule("webapp", ["a", "b"].map(kustomization))).await;
    apply(&store, &rule("webapp", ["b", "c"].map(kustomization))).await;
    assert_eq!(
        keys(&store).await,
        [
            "rule#dev flux-system/webapp",
            "source#dev#Kustomization#flux-system#b flux-system/webapp",
            "source#dev#Kustomization#flux-system#c flux-system/webapp",
        ]
    );
}

#[tokio::test]
async fn delete_removes_a_rule_with_its_copies_and_says_what_was_not_there() {
    let store = engine().await;
    apply(
        &store,
        &(rule("webapp", ["a", "b"].map(kustomization)) + &provider("github", false)),
    )
    .await;
    let id = |kind, name: &str| ObjectId {
        kind,
        name: shared::kinds::ObjectName::new("flux-system", name),
    };
    let rule = id(Kind::CommitStatus, "webapp");
    let missing = id(Kind::Provider, "gitlab");

    let other = store
        .delete(&Scope::AllClusters, std::slice::from_ref(&rule))
        .await
        .unwrap();
    assert_eq!(other.not_found, std::slice::from_ref(&rule));
    let deleted = store
        .delete(&dev(), &[missing.clone(), rule.clone()])
        .await
        .unwrap();

    assert_eq!((deleted.deleted, deleted.not_found), (vec![rule], vec![missing]));
    assert_eq!(keys(&store).await, ["provider#dev flux-system/github"]);
}

#[tokio::test]
async fn more_than_one_transaction_holds_is_written_in_several_providers_first() {
    let store = engine().await;
    let mut text: String = (0..80)
        .map(|n| rule(&format!("rule-{n}"), [kustomization("a"), kustomization("b")]))
        .collect();
    text.push_str(&provider("github", false));

    let (changes, transactions) = apply(&store, &text).await;

    // 241 items; 32 rules of three items fill one transaction with the Provider and the version, 33 the next one.
    assert_eq!(transactions, 3);
    assert_eq!(changes[0], "Provider flux-system/github created");
    assert_eq!(keys(&store).await.len(), 241);
    assert_eq!(apply(&store, &text).await.1, 0);
    let listed = store.list(Kind::CommitStatus, Some(&dev())).await.unwrap();
    assert_eq!(listed.len(), 80);
}

#[tokio::test]
async fn a_rule_too_large_for_one_transaction_is_finished_by_the_next_call() {
    let store = engine().await;
    let sources = |range: std::ops::Range<u32>| range.map(|n| kustomization(&format!("app-{n}")));
    let (_, transactions) = apply(&store, &rule("webapp", sources(0..110))).await;
    assert_eq!(transactions, 2);
    assert_eq!(keys(&store).await.len(), 111);

    // What an interrupted call leaves behind: the first of several transactions.
    let next = objects(&rule("webapp", sources(100..205)));
    store.apply_interrupted(&dev(), &next).await;

    let (changes, _) = apply(&store, &rule("webapp", sources(100..205))).await;
    assert_eq!(changes, ["CommitStatus flux-system/webapp configured"]);
    assert_eq!(keys(&store).await.len(), 106);
    let (changes, _) = apply(&store, &rule("webapp", sources(100..205))).await;
    assert_eq!(changes, ["CommitStatus flux-system/webapp unchanged"]);

    let id = next[0].id();
    let deleted = store.delete(&dev(), &[id]).await.unwrap();
    assert_eq!(deleted.transactions, 2);
    assert!(keys(&store).await.is_empty());
}

#[tokio::test]
async fn a_list_of_every_scope_is_sorted() {
    let store = engine().await;
    for scope in ["prod", "*", "dev"] {
        let objects = objects(&(provider("b", false) + &provider("a", false)));
        store.apply(&Scope::parse(scope), &objects, NOW).await.unwrap();
    }
    let listed = store.list(Kind::Provider, None).await.unwrap();
    let listed: Vec<String> = listed
        .iter()
        .map(|(scope, object)| format!("{scope} {}", object.metadata().name))
        .collect();
    assert_eq!(listed, ["* a", "* b", "dev a", "dev b", "prod a", "prod b"]);
}

#[tokio::test]
async fn a_removed_cluster_leaves_a_tombstone_that_keeps_its_generation() {
    let store = engine().await;
    assert_eq!(store.add_cluster("dev").await.unwrap(), 1);
    assert_eq!(
        store.add_cluster("dev").await.unwrap_err().to_string(),
        "cluster \"dev\" is registered already; `commitstatus connect dev` prints what it needs"
    );
    assert_eq!(store.revoke_cluster("dev").await.unwrap(), 2);
    assert_eq!(
        store.suspend_cluster("dev", true).await.unwrap(),
        Suspension::Changed
    );
    assert_eq!(
        store.suspend_cluster("dev", true).await.unwrap(),
        Suspension::Unchanged
    );
    store.delete_cluster("dev").await.unwrap();

    assert_eq!(store.cluster("dev").await.unwrap(), None);
    assert_eq!(store.clusters().await.unwrap(), []);
    assert_eq!(keys(&store).await, ["cluster dev"]);
    let not_found = "cluster \"dev\" not found; `commitstatus cluster add dev` registers it";
    assert_eq!(
        store.delete_cluster("dev").await.unwrap_err().to_string(),
        not_found
    );
    assert_eq!(
        store.revoke_cluster("dev").await.unwrap_err().to_string(),
        not_found
    );
    assert_eq!(
        store.suspend_cluster("dev", false).await.unwrap_err().to_string(),
        not_found
    );
    assert_eq!(store.add_cluster("dev").await.unwrap(), 3);
    let cluster = store.cluster("dev").await.unwrap().unwrap();
    assert_eq!((cluster.generation, cluster.suspended), (3, false));
    // Printed before it was revoked, or removed.
    for generation in [1, 2] {
        let printed = Cluster {
            generation,
            ..cluster.clone()
        };
        let remembered = store
            .remember_connected(&printed, &["a".into()].into(), "version-1")
            .await;
        let error = remembered.unwrap_err().to_string();
        assert!(
            error.starts_with("the key of cluster \"dev\" was revoked meanwhile"),
            "{error}"
        );
    }
    assert_eq!(store.cluster("dev").await.unwrap(), Some(cluster));
}

#[tokio::test]
async fn a_cluster_with_objects_of_its_own_is_not_removed() {
    let store = engine().await;
    store.add_cluster("dev").await.unwrap();
    apply(
        &store,
        &(rule("webapp", [kustomization("a")]) + &provider("github", false)),
    )
    .await;
    assert_eq!(
        store.delete_cluster("dev").await.unwrap_err().to_string(),
        "cluster \"dev\" still has CommitStatus flux-system/webapp, Provider flux-system/github; remove each with \
         `commitstatus delete KIND NAME -n NAMESPACE --cluster dev` first"
    );
    assert!(store.cluster("dev").await.unwrap().is_some());
}

#[tokio::test]
async fn a_new_key_forgets_what_was_connected_with_the_old_one() {
    let store = engine().await;
    store.add_cluster("dev").await.unwrap();
    let namespaces: BTreeSet<String> = ["apps".into(), "flux-system".into()].into();
    let remember = async || {
        let cluster = store.cluster("dev").await.unwrap().unwrap();
        store
            .remember_connected(&cluster, &namespaces, "version-1")
            .await
            .unwrap();
        let cluster = store.cluster("dev").await.unwrap().unwrap();
        assert_eq!(cluster.connected_namespaces, namespaces);
        assert_eq!(cluster.connected_root_key.as_deref(), Some("version-1"));
    };
    let is_forgotten = async || {
        let cluster = store.cluster("dev").await.unwrap().unwrap();
        cluster.connected_namespaces.is_empty() && cluster.connected_root_key.is_none()
    };
    remember().await;
    store.revoke_cluster("dev").await.unwrap();
    assert!(is_forgotten().await);

    remember().await;
    store.delete_cluster("dev").await.unwrap();
    store.add_cluster("dev").await.unwrap();
    assert!(is_forgotten().await);
}

pub(crate) fn status(sha: &str, context: &str) -> StatusItem {
    serde_json::from_value(serde_json::json!({
        "pk": format!("github.com/a/b@{sha}"), "sk": context, "commit7": &sha[..7], "context": context,
        "desired": {"state": "success", "reason": "ReconciliationSucceeded", "description": "ok"},
        "order_key": "2|x", "event_id": "00", "rev": 1, "rule": "dev/flux-system/webapp",
        "provider": {"namespace": "flux-system", "name": "github"}, "credential": "dev/flux-system/t",
        "cluster": "dev", "object": "Kustomization/flux-system/webapp",
    }))
    .unwrap()
}

/// Since when the parked statuses of tests are.
pub(crate) const SINCE: i64 = 1_786_108_364_000;

pub(crate) fn parked(sha: &str, context: &str, reason: &str) -> StatusItem {
    let mut status = status(sha, context);
    status.due = Some(parked_shard(&status.key));
    (status.due_at, status.parked) = (Some(SINCE), Some(reason.into()));
    status
}

pub(crate) fn posted(sha: &str, context: &str) -> StatusItem {
    let mut status = status(sha, context);
    status.posted = Some(Posted {
        state: shared::State::Success,
        reason: "ReconciliationSucceeded".into(),
        rev: 1,
        at: SINCE,
    });
    status.expires_at = Some(1);
    status
}

pub(crate) fn due(sha: &str, context: &str, at: i64) -> StatusItem {
    let mut status = status(sha, context);
    status.due = Some(due_shard(&status.key));
    status.due_at = Some(at);
    status
}

impl Store {
    /// What a call leaves that is interrupted after its first transaction.
    pub(crate) async fn apply_interrupted(&self, scope: &Scope, objects: &[Object]) {
        let mut prepared = self.prepare(scope, objects, NOW).await.unwrap();
        assert!(prepared.transactions() > 1, "it is over at once");
        prepared.transactions.truncate(1);
        self.commit(prepared, &mut || ()).await.unwrap();
    }

    pub(crate) async fn put_item(&self, item: impl serde::Serialize) {
        self.client
            .put_item()
            .table_name(&self.statuses)
            .set_item(Some(serde_dynamo::to_item(item).unwrap()))
            .send()
            .await
            .unwrap();
    }

    /// The tables of another stack on the same engine, which has none.
    pub(crate) fn elsewhere(&self, stack: &str) -> Self {
        Self::new(self.client.clone(), stack)
    }

    /// The status as it is now.
    pub(crate) async fn now(&self, status: &StatusItem) -> StatusItem {
        let found = self.statuses_of(&[status.key.clone()].into()).await.unwrap();
        found.into_iter().next().unwrap()
    }

    pub(crate) async fn put_status(&self, status: &StatusItem) {
        let item: Item = serde_dynamo::to_item(status).unwrap();
        assert!(item.contains_key(COMMIT7));
        self.client
            .put_item()
            .table_name(&self.statuses)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_abbreviated_commit_finds_the_statuses_of_those_that_begin_so() {
    let store = engine().await;
    let one = format!("5394cb7f{}", "0".repeat(32));
    let other = format!("5394cb7a{}", "0".repeat(32));
    for (sha, context) in [(&one, "dev/b"), (&one, "dev/a"), (&other, "dev/a")] {
        store.put_status(&status(sha, context)).await;
    }
    let found = async |commit: &str| -> Vec<String> {
        let statuses = store.statuses(commit).await.unwrap();
        statuses
            .iter()
            .map(|status| format!("{} {}", &status.key.sha()[7..8], status.context))
            .collect()
    };
    assert_eq!(found("5394cb7").await, ["a dev/a", "f dev/a", "f dev/b"]);
    assert_eq!(found("5394CB7F").await, ["f dev/a", "f dev/b"]);
    assert_eq!(found(&one).await, ["f dev/a", "f dev/b"]);
    assert!(found("5394cb8").await.is_empty());
    for commit in ["5394cb", "", "main-branch", &format!("{one}0"), "5394cbé"] {
        let error = store.statuses(commit).await.unwrap_err();
        assert!(matches!(error, StoreError::NotACommit(_)), "{commit}");
    }
}

#[tokio::test]
async fn a_missing_table_is_said_with_all_its_causes() {
    let store = engine().await;
    let elsewhere = Store::new(store.client.clone(), "another");
    let error = elsewhere.clusters().await.unwrap_err();
    let text = ErrorChain(&error).to_string();
    assert!(
        text.starts_with("DynamoDB: reading `another-rules` failed: "),
        "{text}"
    );
    assert!(text.contains("ResourceNotFoundException"), "{text}");
}
