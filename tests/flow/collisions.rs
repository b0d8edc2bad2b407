//! Two objects that write one context on one commit.

use shared::State;

use super::events::{SHA, build_failed, succeeded};
use super::world::{World, rule_yaml};

const DEV: &str = "dev/Kustomization/apps/podinfo";
const PROD: &str = "prod/Kustomization/apps/podinfo";

#[tokio::test]
async fn clusters_under_one_prefix_are_remembered_on_the_status_and_the_newest_event_wins() {
    let world = World::new().await;
    world.apply("*", &rule_yaml("podinfo", ", prefix: fleet")).await;
    let both = async || {
        let status = world.status(SHA).await;
        (status.writer(), status.rival)
    };

    world.event("dev", succeeded().at(10)).await;
    assert_eq!(both().await, (DEV.into(), None));

    // It says the same, so nothing is posted.
    world.event("prod", succeeded().at(20)).await;
    assert_eq!(both().await, (DEV.into(), Some(PROD.into())));
    assert_eq!(world.host.calls().len(), 1);

    world.event("prod", build_failed().at(30)).await;
    assert_eq!(both().await, (PROD.into(), Some(DEV.into())));

    world.event("dev", succeeded().at(40)).await;
    assert_eq!(both().await, (DEV.into(), Some(PROD.into())));
    let context = "fleet/kustomization/podinfo".to_owned();
    let told = ["success", "failure", "success"].map(|state| (context.clone(), state.to_owned()));
    assert_eq!(world.host.told(), told);
}

#[tokio::test]
async fn an_event_that_comes_too_late_to_count_is_remembered_too() {
    let world = World::new().await;
    let sources =
        "eventSources: [{kind: Kustomization, name: '*'}, {kind: Kustomization, name: '*', namespace: web}]";
    let rule = rule_yaml("podinfo", ", prefix: ''");
    let rule = rule.replace("eventSources: [{kind: Kustomization, name: '*'}]", sources);
    world.apply("*", &rule).await;
    world.event("dev", succeeded().at(20)).await;

    world.event("dev", build_failed().namespace("web").at(10)).await;

    let status = world.status(SHA).await;
    assert_eq!(status.desired.state, State::Success);
    assert_eq!(status.writer(), DEV);
    assert_eq!(status.rival.as_deref(), Some("dev/Kustomization/web/podinfo"));
}

#[tokio::test]
async fn objects_with_contexts_of_their_own_do_not_collide() {
    let world = World::new().await;
    for second in [10, 20] {
        world.event("dev", succeeded().at(second)).await;
        world.event("prod", succeeded().at(second)).await;
    }
    let statuses = world.statuses(SHA).await;
    assert_eq!(statuses.len(), 2);
    assert!(statuses.iter().all(|status| status.rival.is_none()));
}
