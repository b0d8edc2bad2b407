//! What is not taken, or taken and dropped.

use serde_json::json;

use super::events::{SHA, build_failed, succeeded};
use super::world::{World, function_url_event, hosts, rule_yaml};

#[tokio::test]
async fn p13_an_unknown_cluster_looks_exactly_like_a_wrong_signature() {
    let world = World::new().await;
    let body = succeeded().at(0).body();
    let wrong = format!("sha256={}", "0".repeat(64));

    let unknown = world
        .request(&function_url_event("/events/nobody", &body, &wrong))
        .await;
    let known = world
        .request(&function_url_event("/events/dev", &body, &wrong))
        .await;

    assert_eq!(unknown.status, 401);
    assert_eq!(unknown, known);
    assert!(world.events.fifo.is_empty());
}

#[tokio::test]
async fn an_unregistered_cluster_with_the_right_key_is_taken_and_dropped() {
    let world = World::new().await;

    world.event("staging", succeeded().at(0)).await;

    assert_eq!(world.host.told(), []);
    assert!(world.statuses(SHA).await.is_empty());
}

#[tokio::test]
async fn a_suspended_cluster_is_dropped_until_it_is_resumed() {
    let world = World::new().await;
    world.store.suspend_cluster("dev", true).await.unwrap();
    world.event("dev", succeeded().at(0)).await;
    assert_eq!(world.host.told(), []);

    world.store.suspend_cluster("dev", false).await.unwrap();
    world.advance(10);
    world.event("dev", succeeded().at(10)).await;
    assert_eq!(world.host.told().len(), 1);
}

#[tokio::test]
async fn a_revoked_key_is_dropped() {
    let world = World::new().await;
    world.store.revoke_cluster("dev").await.unwrap();

    world.event("dev", succeeded().at(0)).await;

    assert_eq!(world.host.told(), []);
}

#[tokio::test]
async fn a_malformed_event_is_told_which_field_is_wrong() {
    let world = World::new().await;
    for (body, status, told) in [
        ("{", 400, "JSON"),
        (
            r#"{"involvedObject":{"kind":"Kustomization"}}"#,
            400,
            "involvedObject",
        ),
        (
            &build_failed().at(0).body().replace("\"error\"", "\"fatal\""),
            400,
            "severity",
        ),
        (&succeeded().at(-90_000).body(), 400, "too-old"),
        (&succeeded().at(400).body(), 400, "clock-ahead"),
        (&format!("\"{}\"", "x".repeat(256 * 1024)), 413, "256 KiB"),
    ] {
        let answer = world.send("dev", body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.to_string().contains(told), "{told}: {answer:?}");
    }
    assert!(world.events.fifo.is_empty());
}

#[tokio::test]
async fn p5_a_malformed_message_on_either_queue_does_not_stop_the_others() {
    use shared::message::QueueMessage;
    let world = World::new().await;
    for queue in [&world.events, &world.posts] {
        let message = QueueMessage {
            body: r#"{"from":"somebody else"}"#.into(),
            group_id: "a".into(),
            dedupe_id: "a".into(),
        };
        queue.fifo.send(message, world.now());
    }

    world.event("dev", succeeded().at(0)).await;

    assert_eq!(world.host.told().len(), 1);
    assert!(world.events.fifo.dead_letters().is_empty());
}

#[tokio::test]
async fn characters_sqs_refuses_arrive_unharmed() {
    let world = World::new().await;
    world
        .apply("*", &rule_yaml("podinfo", ", inclusionList: ['^.\u{e9}.$']"))
        .await;

    world
        .event("dev", build_failed().at(0).message("\u{FFFE}\u{e9}\u{FFFF}"))
        .await;

    assert_eq!(world.host.told().len(), 1);
}

#[tokio::test]
async fn an_event_without_a_rule_or_a_commit_posts_nothing() {
    let world = World::new().await;
    world.event("dev", succeeded().at(0).namespace("elsewhere")).await;
    world
        .event("dev", succeeded().at(0).revision("latest@sha256:00"))
        .await;

    assert_eq!(world.host.told(), []);
}

#[tokio::test]
async fn a_missing_provider_is_parked_and_says_so() {
    let world = World::empty().await;
    world.store.add_cluster("dev").await.unwrap();
    world.apply("dev", &rule_yaml("podinfo", "")).await;

    world.event("dev", succeeded().at(0)).await;

    let status = world.status(SHA).await;
    assert_eq!(status.parked.as_deref(), Some("no-provider"));
    assert!(status.due.unwrap().starts_with("parked#"));

    world.secret("_all", &json!({ "token": "x" })).await;
    world.apply("*", &world.provider_yaml()).await;
    world.advance(600);
    world.event("dev", succeeded().at(600)).await;
    assert_eq!(world.host.told().len(), 1, "the next interval finds the Provider");
}

#[tokio::test]
async fn p11_a_private_address_is_parked_until_it_is_allowed() {
    let mut world = World::new().await;
    world.poster.hosts = hosts("10.0.0.0/8");

    world.event("dev", succeeded().at(0)).await;

    let parked = world.status(SHA).await;
    assert_eq!(parked.parked.as_deref(), Some("address-refused"));
    assert_eq!(
        parked.last_error.as_deref(),
        Some(
            "refused (address-refused): loopback address 127.0.0.1 is not in AllowedPrivateRanges: 127.0.0.1"
        )
    );
    world.minutes(30).await;
    assert_eq!(world.status(SHA).await, parked, "nobody tries it again");
    assert_eq!(world.host.calls(), []);

    world.poster.hosts = hosts("10.0.0.0/8, 127.0.0.0/8");
    assert!(world.store.retry(&parked, world.now()).await.unwrap());
    world.minutes(2).await;
    assert!(world.status(SHA).await.is_posted());
    assert_eq!(world.host.told().len(), 1);
}
