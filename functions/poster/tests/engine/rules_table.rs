//! Rules and Providers at the time of posting.

use poster::adapters::RulesTable;
use poster::ports::RuleStore;
use shared::item::{provider_pk, rule_pk};
use shared::kinds::{ObjectName, Reference, Scope};

use crate::world::World;

#[tokio::test]
async fn a_rule_or_provider_is_absent_there_or_unreadable() {
    let world = World::new().await;
    let table = RulesTable::new(world.client.clone(), world.rules.clone());
    let dev = || Scope::Cluster("dev".into());
    world
        .put_damaged(&world.rules, &rule_pk(&dev()), "apps/podinfo")
        .await;
    world
        .put_damaged(&world.rules, &provider_pk(&dev()), "apps/github")
        .await;
    let rule = async |scope: Scope, name: &str| {
        let name = ObjectName::new("apps", name);
        table.rule(&Reference { scope, name }).await.unwrap()
    };
    let all = Scope::AllClusters;
    assert_eq!(
        rule(all.clone(), "podinfo").await.unwrap().unwrap().metadata.name,
        "podinfo"
    );
    assert!(rule(dev(), "podinfo").await.unwrap().is_err());
    assert_eq!(rule(all.clone(), "other").await, None);

    let provider = async |scope: &Scope, name: &str| {
        table
            .provider(scope, &ObjectName::new("apps", name))
            .await
            .unwrap()
    };
    assert_eq!(
        provider(&all, "github").await.unwrap().unwrap().metadata.name,
        "github"
    );
    assert!(provider(&dev(), "github").await.unwrap().is_err());
    assert_eq!(provider(&all, "other").await, None);
}
