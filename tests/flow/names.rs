//! Names that expressions give, and links.

use shared::item::StatusItem;

use super::events::{SHA, progressing, succeeded};
use super::world::{World, rule_yaml};

async fn with_expression(expression: &str) -> World {
    let world = World::new().await;
    apply_expression(&world, expression).await;
    world
}

async fn apply_expression(world: &World, expression: &str) {
    let provider = world.provider_yaml().replacen(
        "spec: {",
        &format!("spec: {{commitStatusExpr: \"{expression}\", "),
        1,
    );
    world.apply("*", &provider).await;
    // What was read is believed for some seconds.
    world.advance(10);
}

fn contexts(world: &World) -> Vec<String> {
    let calls = world.host.calls();
    let context = |call: &super::host::Call| call.body["context"].as_str().unwrap().to_owned();
    calls.iter().map(context).collect()
}

/// The one whose context is not known.
async fn unnamed(world: &World) -> StatusItem {
    let statuses = world.statuses(SHA).await;
    let mut unnamed = statuses
        .into_iter()
        .filter(|item| item.failed_expression.is_some());
    let item = unnamed.next().unwrap();
    assert!(unnamed.next().is_none());
    item
}

#[tokio::test]
async fn p18_a_status_is_called_what_its_expression_says() {
    let world =
        with_expression("event.involvedObject.kind + '/' + event.involvedObject.name + '@' + cluster").await;
    world.event("dev", progressing().at(10)).await;
    world.event("dev", succeeded().at(20)).await;
    world.event("prod", succeeded().at(20)).await;
    assert_eq!(
        contexts(&world),
        [
            "Kustomization/podinfo@dev",
            "Kustomization/podinfo@dev",
            "Kustomization/podinfo@prod"
        ]
    );
}

#[tokio::test]
async fn one_that_lacks_a_field_waits_until_the_expression_is_another() {
    let world = with_expression("event.metadata.environment + '/' + event.involvedObject.name").await;
    world.event("dev", progressing().at(10)).await;
    let parked = unnamed(&world).await;
    assert_eq!(parked.parked.as_deref(), Some("no-context"));
    assert_eq!(
        parked.last_error.as_deref(),
        Some("spec.commitStatusExpr: the event has no `event.metadata.environment`")
    );
    // The same again changes nothing.
    world.event("dev", succeeded().at(20)).await;
    world.minutes(3).await;
    assert_eq!(unnamed(&world).await.parked.as_deref(), Some("no-context"));
    assert_eq!(contexts(&world), [""; 0]);

    apply_expression(
        &world,
        "event.metadata.?environment.orValue('none') + '/' + event.involvedObject.name",
    )
    .await;
    world.event("dev", succeeded().at(40)).await;
    assert_eq!(contexts(&world), ["none/podinfo"]);

    // `apply` of the tool makes it due, as `retry` does.
    let left = unnamed(&world).await;
    assert!(world.store.retry(&left, world.now()).await.unwrap());
    world.minutes(2).await;
    let ended = unnamed(&world).await;
    assert_eq!(ended.ended.as_deref(), Some("skipped(expression-changed)"));
    assert_eq!(contexts(&world), ["none/podinfo"]);
}

#[tokio::test]
async fn a_link_and_a_description_go_along_and_cause_no_post() {
    let world = World::new().await;
    let spec = ", targetUrl: 'https://acme.com/${cluster}?at=${event.timestamp}', description: 'seen ${event.timestamp}'";
    world.apply("*", &rule_yaml("podinfo", spec)).await;
    world.event("dev", succeeded().at(10)).await;
    world.event("dev", succeeded().at(600)).await;
    let calls = world.host.calls();
    assert_eq!(calls.len(), 1);
    let body = &calls[0].body;
    assert_eq!(body["target_url"], "https://acme.com/dev?at=2026-08-07T13:12:53Z");
    assert_eq!(body["description"], "seen 2026-08-07T13:12:53Z");
}
