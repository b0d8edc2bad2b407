//! What ends up on the commit.

use serde_json::json;
use shared::State;

use super::events::{SHA, build_failed, health_check_failed, progressing, succeeded};
use super::host::Call;
use super::world::{TOKEN, World, rule_yaml};

fn told(context: &str, states: &[&str]) -> Vec<(String, String)> {
    states
        .iter()
        .map(|state| (context.to_owned(), (*state).to_owned()))
        .collect()
}

const DEV: &str = "dev/apps/kustomization/podinfo";

#[tokio::test]
async fn a_reconciled_commit_is_pending_and_then_green() {
    let world = World::new().await;

    world.event("dev", progressing().at(0)).await;
    world.event("dev", succeeded().at(20)).await;

    assert_eq!(world.host.told(), told(DEV, &["pending", "success"]));
    let expected = Call {
        method: "POST".into(),
        path: format!("/api/v3/repos/acme/fleet/statuses/{SHA}"),
        authorization: format!("Bearer {TOKEN}"),
        body: json!({"state": "success", "context": DEV, "description": "reconciliation succeeded"}),
    };
    assert_eq!(world.host.calls()[1], expected);
    let status = world.status(SHA).await;
    assert_eq!(
        (status.rev, status.posts, status.due, status.unsure),
        (2, 2, None, false)
    );
    assert!(status.expires_at.is_some());
}

#[tokio::test]
async fn p4_an_unchanged_state_costs_no_call_and_a_change_exactly_one() {
    let world = World::new().await;
    world.event("dev", succeeded().at(0)).await;
    for interval in 1..20 {
        let message = format!("Reconciliation finished in {interval}s, next run in 10m0s");
        world
            .event("dev", succeeded().at(interval * 600).message(&message))
            .await;
        world.advance(600);
    }
    assert_eq!(world.host.told(), told(DEV, &["success"]));

    world.event("dev", build_failed().at(20 * 600)).await;
    world
        .event(
            "dev",
            build_failed()
                .at(21 * 600)
                .message("kustomize build failed: again"),
        )
        .await;
    world.event("dev", health_check_failed().at(22 * 600)).await;

    let calls = world.host.calls();
    assert_eq!(world.host.told(), told(DEV, &["success", "failure", "failure"]));
    assert_eq!(calls[1].body["description"], "build failed");
    assert_eq!(calls[2].body["description"], "health check failed");
}

#[tokio::test]
async fn a_failure_that_recovers_turns_green() {
    let world = World::new().await;

    world.event("dev", progressing().at(0)).await;
    world.event("dev", health_check_failed().at(60)).await;
    world.event("dev", succeeded().at(120)).await;

    assert_eq!(world.host.told(), told(DEV, &["pending", "failure", "success"]));
}

#[tokio::test]
async fn a_late_event_changes_nothing() {
    let world = World::new().await;
    world.event("dev", succeeded().at(60)).await;

    world.event("dev", build_failed().at(30)).await;
    world.event("dev", progressing().at(90)).await;

    assert_eq!(world.host.told(), told(DEV, &["success"]));
    assert_eq!(world.status(SHA).await.desired.state, State::Success);
}

#[tokio::test]
async fn of_two_events_in_one_second_the_newer_version_of_the_object_wins() {
    let world = World::new().await;
    world.event("dev", succeeded().at(0).version(99)).await;
    world.event("dev", health_check_failed().at(0).version(100)).await;
    world.event("dev", succeeded().at(0).version(98)).await;

    assert_eq!(world.host.told(), told(DEV, &["success", "failure"]));
}

#[tokio::test]
async fn p7_a_duplicate_changes_nothing_within_the_queues_window_and_after_it() {
    let world = World::new().await;
    world.event("dev", succeeded().at(0)).await;

    world.event("dev", succeeded().at(0)).await;
    world.advance(600);
    world.event("dev", succeeded().at(0)).await;

    assert_eq!(world.host.told(), told(DEV, &["success"]));
    assert_eq!(world.status(SHA).await.rev, 1);
}

#[tokio::test]
async fn p13_two_clusters_do_not_overwrite_each_other() {
    let world = World::new().await;

    world.event("dev", succeeded().at(0)).await;
    world.event("prod", build_failed().at(0)).await;
    world
        .event("dev", succeeded().at(10).namespace("apps").name("other"))
        .await;

    let mut expected = told(DEV, &["success"]);
    expected.extend(told("prod/apps/kustomization/podinfo", &["failure"]));
    expected.extend(told("dev/apps/kustomization/other", &["success"]));
    assert_eq!(world.host.told(), expected);
}

#[tokio::test]
async fn the_rfcs_prefix_tells_clusters_apart() {
    let world = World::empty().await;
    world.secret("_all", &json!({ "token": TOKEN })).await;
    world.apply("*", &world.provider_yaml()).await;
    for cluster in ["dev", "prod"] {
        world.store.add_cluster(cluster).await.unwrap();
        world
            .apply(cluster, &rule_yaml("podinfo", &format!(", prefix: {cluster}")))
            .await;
        world.event(cluster, succeeded().at(0)).await;
    }

    let mut expected = told("dev/kustomization/podinfo", &["success"]);
    expected.extend(told("prod/kustomization/podinfo", &["success"]));
    assert_eq!(world.host.told(), expected);
}

#[tokio::test]
async fn metadata_with_group_prefixes_counts_as_well() {
    let world = World::new().await;

    world
        .event("dev", succeeded().at(0).with_prefixed_metadata())
        .await;

    assert_eq!(world.host.told(), told(DEV, &["success"]));
}

#[tokio::test]
async fn each_commit_has_its_own_status() {
    let world = World::new().await;
    let other = "a1afe267b54f38b46b487f6e938a6fd508278c07";
    world.event("dev", build_failed().at(0)).await;

    world
        .event("dev", succeeded().at(60).revision(&format!("main@sha1:{other}")))
        .await;

    assert_eq!(world.status(SHA).await.desired.state, State::Failure);
    assert_eq!(world.status(other).await.desired.state, State::Success);
}

#[tokio::test]
async fn a_rule_for_errors_posts_failures_and_what_clears_them() {
    let world = World::new().await;
    world
        .apply("*", &rule_yaml("podinfo", ", eventSeverity: error"))
        .await;

    world.event("dev", progressing().at(0)).await;
    world.event("dev", succeeded().at(10)).await;
    assert_eq!(world.host.told(), []);
    world.event("dev", build_failed().at(5)).await;
    assert_eq!(
        world.host.told(),
        [],
        "an older failure does not count after a success"
    );

    world.event("dev", build_failed().at(20)).await;
    world.event("dev", succeeded().at(30)).await;
    world.event("dev", succeeded().at(40)).await;
    assert_eq!(world.host.told(), told(DEV, &["failure", "success"]));
}

#[tokio::test]
async fn gitlab_and_bitbucket_are_told_in_their_own_words() {
    let world = World::new().await;
    let provider = |kind: &str| {
        world
            .provider_yaml()
            .replace("type: github", &format!("type: {kind}"))
            .replace("acme/fleet", "acme/app")
    };
    world.apply("dev", &provider("gitlab")).await;
    world.secret("dev", &json!({ "token": "glpat" })).await;
    world.event("dev", progressing().at(0)).await;
    world.event("dev", build_failed().at(1)).await;
    world.apply("prod", &provider("bitbucket")).await;
    world
        .secret("prod", &json!({ "token": "bot:app-password" }))
        .await;
    world.event("prod", succeeded().at(0)).await;

    let calls = world.host.calls();
    assert_eq!(
        calls[0].path,
        format!("/api/v4/projects/acme%2Fapp/statuses/{SHA}")
    );
    assert_eq!(calls[0].authorization, "glpat");
    assert_eq!(
        calls[0].body,
        json!({"state": "pending", "name": DEV, "description": "progressing"})
    );
    assert_eq!(
        calls[1].body,
        json!({"state": "failed", "name": DEV, "description": "build failed"})
    );
    assert_eq!(
        calls[2].path,
        format!("/2.0/repositories/acme/app/commit/{SHA}/statuses/build")
    );
    assert_eq!(calls[2].authorization, "Basic Ym90OmFwcC1wYXNzd29yZA==");
    assert_eq!(calls[2].body["state"], "SUCCESSFUL");
    assert_eq!(calls[2].body["name"], "prod/apps/kustomization/podinfo");
    assert_eq!(calls[2].body["key"].as_str().unwrap().len(), 40);
}
