//! Rules, Providers and clusters.

use aws_sdk_dynamodb::types::AttributeValue;
use rules::adapters::RulesTable;
use rules::ports::RuleStore;
use serde_json::{Value, json};
use shared::InvolvedObject;
use shared::item::{
    ALONE, CLUSTER_PK, ClusterItem, ProviderItem, RuleItem, VERSION_PK, VersionItem, provider_pk, rule_pk,
    source_pk,
};
use shared::kinds::{CommitStatusRule, ObjectName, Provider, Scope};

use crate::world::{Item, World};

fn table(world: &World) -> RulesTable {
    RulesTable::new(world.client.clone(), world.rules.clone())
}

fn rule(name: &str) -> CommitStatusRule {
    let rule = json!({
        "metadata": {"name": name, "namespace": "apps"},
        "spec": {"providerRef": {"name": "github"}, "eventSources": [{"kind": "Kustomization", "name": "*"}]},
    });
    serde_json::from_value(rule).unwrap()
}

fn object(name: &str) -> InvolvedObject {
    let object: Value = json!({"kind": "Kustomization", "namespace": "apps", "name": name});
    serde_json::from_value(object).unwrap()
}

fn dev() -> Scope {
    Scope::Cluster("dev".into())
}

async fn put_source(world: &World, scope: &str, source: &str, name: &str) {
    let item = RuleItem {
        pk: source_pk(scope, "Kustomization", "apps", source),
        sk: format!("apps/{name}"),
        rule: rule(name),
        applied_at: String::new(),
    };
    world.put(&world.rules, item).await;
}

fn damaged(pk: String, sk: &str) -> Item {
    [
        ("pk", pk.as_str()),
        ("sk", sk),
        ("rule", "damaged"),
        ("provider", "damaged"),
    ]
    .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
    .into()
}

async fn names(world: &World, scope: &Scope, object: &InvolvedObject) -> Vec<String> {
    let table = table(world);
    let mut found = table.rules_by_name(scope, object).await.unwrap();
    let for_any = table.rules_for_any(scope, &object.kind, &object.namespace).await;
    found.extend(for_any.unwrap());
    found.into_iter().map(|found| found.name.to_string()).collect()
}

fn all_reads_were_consistent(world: &World, operations: &[&str]) {
    let requests = world.requests();
    let made: Vec<&str> = requests
        .iter()
        .map(|request| request.operation.as_str())
        .collect();
    assert_eq!(made, operations);
    for request in requests {
        assert_eq!(request.body["ConsistentRead"], json!(true), "{request:?}");
        assert_eq!(request.body.get("FilterExpression"), None, "exact: {request:?}");
    }
}

#[tokio::test]
async fn four_exact_queries_find_every_rule_of_an_object() {
    let world = World::new().await;
    for (scope, source, name) in [
        ("dev", "podinfo", "own-by-name"),
        ("dev", "*", "own-by-any"),
        ("*", "podinfo", "all-by-name"),
        ("*", "*", "all-by-any"),
        ("dev", "podinfo2", "another-object"),
        ("dev2", "podinfo", "another-cluster"),
    ] {
        put_source(&world, scope, source, name).await;
    }
    let other_namespace = RuleItem {
        pk: source_pk("dev", "Kustomization", "infra", "podinfo"),
        sk: "infra/other".into(),
        rule: rule("other"),
        applied_at: String::new(),
    };
    world.put(&world.rules, other_namespace).await;

    assert_eq!(
        names(&world, &dev(), &object("podinfo")).await,
        ["apps/own-by-name", "apps/own-by-any"]
    );
    assert_eq!(
        names(&world, &Scope::AllClusters, &object("podinfo")).await,
        ["apps/all-by-name", "apps/all-by-any"]
    );
    assert_eq!(
        names(&world, &dev(), &object("nobody")).await,
        ["apps/own-by-any"]
    );
    let mut helm_release = object("podinfo");
    helm_release.kind = "HelmRelease".into();
    assert!(names(&world, &dev(), &helm_release).await.is_empty());
    all_reads_were_consistent(&world, &["Query"; 8]);
}

#[tokio::test]
async fn more_rules_than_one_page_holds_are_all_found() {
    let world = World::new().await;
    // A page is a mebibyte.
    let mut large = rule("large");
    large.spec.summary = Some("x".repeat(300 * 1024));
    for n in 0..5 {
        let item = RuleItem {
            pk: source_pk("dev", "Kustomization", "apps", "*"),
            sk: format!("apps/large{n}"),
            rule: large.clone(),
            applied_at: String::new(),
        };
        world.put(&world.rules, item).await;
    }
    assert_eq!(names(&world, &dev(), &object("podinfo")).await.len(), 5);
    assert!(world.requests().len() > 2, "the test means to have several pages");
}

#[tokio::test]
async fn a_damaged_rule_is_unreadable_and_the_others_survive() {
    let world = World::new().await;
    put_source(&world, "dev", "podinfo", "before").await;
    put_source(&world, "dev", "podinfo", "z-after").await;
    let pk = source_pk("dev", "Kustomization", "apps", "podinfo");
    world
        .put_raw(&world.rules, damaged(pk.clone(), "apps/damaged"))
        .await;
    world.put_raw(&world.rules, damaged(pk, "nonsense")).await;

    let found = table(&world)
        .rules_by_name(&dev(), &object("podinfo"))
        .await
        .unwrap();

    let found: Vec<(String, bool)> = found
        .into_iter()
        .map(|found| (found.name.to_string(), found.rule.is_ok()))
        .collect();
    let expected = [
        ("apps/before", true),
        ("apps/damaged", false),
        ("apps/z-after", true),
        ("/nonsense", false),
    ];
    assert_eq!(
        found,
        expected.map(|(name, readable)| (name.to_owned(), readable))
    );
}

#[tokio::test]
async fn an_own_rule_is_known_by_its_name_whatever_its_sources() {
    let world = World::new().await;
    let own = RuleItem {
        pk: rule_pk(&dev()),
        sk: "apps/webapp".into(),
        rule: rule("webapp"),
        applied_at: String::new(),
    };
    world.put(&world.rules, own).await;
    let table = table(&world);
    let has = async |cluster: &str, name: &str| {
        let name = ObjectName::new("apps", name);
        table.has_own_rule(cluster, &name).await.unwrap()
    };
    assert!(has("dev", "webapp").await);
    assert!(!has("dev", "other").await);
    assert!(!has("dev2", "webapp").await);
    all_reads_were_consistent(&world, &["GetItem"; 3]);
}

#[tokio::test]
async fn a_version_is_absent_or_there() {
    let world = World::new().await;
    assert_eq!(table(&world).version().await.unwrap(), None);
    world
        .put_raw(&world.rules, damaged(VERSION_PK.into(), ALONE))
        .await;
    assert_eq!(table(&world).version().await.unwrap(), None);
    let item = VersionItem {
        pk: VERSION_PK.into(),
        sk: ALONE.into(),
        version: "1".into(),
    };
    world.put(&world.rules, item).await;
    assert_eq!(table(&world).version().await.unwrap().as_deref(), Some("1"));
    all_reads_were_consistent(&world, &["GetItem"; 3]);
}

#[tokio::test]
async fn a_provider_is_absent_there_or_unreadable() {
    let world = World::new().await;
    let provider: Provider = serde_json::from_value(json!({
        "metadata": {"name": "github", "namespace": "apps"},
        "spec": {"type": "github", "address": "https://github.com/acme/fleet", "secretRef": {"name": "token"}},
    }))
    .unwrap();
    let item = ProviderItem {
        pk: provider_pk(&Scope::AllClusters),
        sk: "apps/github".into(),
        provider: provider.clone(),
        applied_at: String::new(),
    };
    world.put(&world.rules, item).await;
    world
        .put_raw(&world.rules, damaged(provider_pk(&dev()), "apps/github"))
        .await;
    let table = table(&world);
    let github = ObjectName::new("apps", "github");

    assert_eq!(
        table.provider(&Scope::AllClusters, &github).await.unwrap(),
        Some(Ok(provider))
    );
    assert!(table.provider(&dev(), &github).await.unwrap().unwrap().is_err());
    let other = ObjectName::new("apps", "other");
    assert_eq!(table.provider(&dev(), &other).await.unwrap(), None);
    all_reads_were_consistent(&world, &["GetItem"; 3]);
}

#[tokio::test]
async fn a_tombstone_is_still_the_cluster() {
    let world = World::new().await;
    let tombstone = ClusterItem {
        pk: CLUSTER_PK.into(),
        sk: "dev".into(),
        generation: 3,
        suspended: false,
        deleted: true,
    };
    world.put(&world.rules, &tombstone).await;
    let table = table(&world);

    assert_eq!(table.cluster("dev").await.unwrap(), Some(tombstone));
    assert_eq!(table.cluster("prod").await.unwrap(), None);
    all_reads_were_consistent(&world, &["GetItem"; 2]);
}
