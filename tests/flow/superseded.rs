//! Commits an object left for a newer one.

use super::events::{SHA, WireEvent, build_failed, progressing, succeeded};
use super::world::{World, rule_yaml};

const OLD: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";
const DEV: &str = "dev/apps/kustomization/podinfo";

fn on_old(event: WireEvent) -> WireEvent {
    event.revision(&format!("main@sha1:{OLD}"))
}

/// Commit, state and description of every post, in order.
fn told(world: &World) -> Vec<(String, String, String)> {
    let field = |call: &super::host::Call, name: &str| call.body[name].as_str().unwrap().to_owned();
    let calls = world.host.calls();
    calls
        .iter()
        .map(|call| {
            let sha = call.path.rsplit('/').next().unwrap().get(..7).unwrap().to_owned();
            (sha, field(call, "state"), field(call, "description"))
        })
        .collect()
}

fn post(sha: &str, state: &str, description: &str) -> (String, String, String) {
    (sha[..7].to_owned(), state.to_owned(), description.to_owned())
}

#[tokio::test]
async fn a_pending_left_on_an_older_commit_is_closed() {
    let world = World::new().await;

    world.event("dev", on_old(progressing()).at(0)).await;
    world.event("dev", progressing().at(60)).await;
    world.event("dev", succeeded().at(90)).await;

    let mut told = told(&world);
    told[1..3].sort(); // two commits are two groups, posted side by side
    let expected = [
        post(OLD, "pending", "progressing"),
        post(SHA, "pending", "progressing"),
        post(OLD, "error", "superseded by 5394cb7"),
        post(SHA, "success", "reconciliation succeeded"),
    ];
    assert_eq!(told, expected);
    assert_eq!(world.status(OLD).await.context, DEV);
}

#[tokio::test]
async fn a_pending_that_comes_after_the_newer_commit_is_closed_as_well() {
    let world = World::new().await;

    world.event("dev", succeeded().at(60)).await;
    world.event("dev", on_old(progressing()).at(0)).await;

    let expected = [
        post(SHA, "success", "reconciliation succeeded"),
        post(OLD, "error", "superseded by 5394cb7"),
    ];
    assert_eq!(told(&world), expected);
}

#[tokio::test]
async fn a_late_result_replaces_what_was_closed_and_nothing_replaces_that() {
    let world = World::new().await;
    world.event("dev", on_old(progressing()).at(0)).await;
    world.event("dev", succeeded().at(60)).await;

    world.event("dev", on_old(build_failed()).at(30)).await;
    world.event("dev", on_old(progressing()).at(40)).await;

    let last = told(&world).pop().unwrap();
    assert_eq!(last, post(OLD, "failure", "build failed"));
}

#[tokio::test]
async fn a_result_stays_when_the_object_goes_on() {
    let world = World::new().await;
    world.event("dev", on_old(build_failed()).at(0)).await;

    world.event("dev", succeeded().at(60)).await;

    let expected = [
        post(OLD, "failure", "build failed"),
        post(SHA, "success", "reconciliation succeeded"),
    ];
    assert_eq!(told(&world), expected);
}

#[tokio::test]
async fn a_rule_can_leave_a_pending_as_it_is() {
    let world = World::new().await;
    world
        .apply("*", &rule_yaml("podinfo", ", onSuperseded: leave"))
        .await;
    world.event("dev", on_old(progressing()).at(0)).await;

    world.event("dev", succeeded().at(60)).await;

    assert_eq!(told(&world).len(), 2);
}

#[tokio::test]
async fn other_objects_and_clusters_close_nothing() {
    let world = World::new().await;
    world.event("dev", on_old(progressing()).at(0)).await;

    world.event("prod", succeeded().at(60)).await;
    world.event("dev", succeeded().at(60).name("other")).await;

    assert!(told(&world).iter().all(|(_, state, _)| state != "error"));
}

#[tokio::test]
async fn the_same_events_again_post_nothing() {
    let world = World::new().await;
    let events = [
        on_old(progressing()).at(0),
        progressing().at(60),
        on_old(progressing()).at(10),
    ];
    for event in &events {
        world.event("dev", event.clone()).await;
    }
    let posts = told(&world);
    assert_eq!(posts.len(), 3);

    world.advance(301);
    for event in events.iter().rev() {
        world.event("dev", event.clone()).await;
    }
    assert_eq!(told(&world), posts);
}
