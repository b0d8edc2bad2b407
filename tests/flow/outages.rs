//! The host, the credential or a rule is away.

use serde_json::json;
use shared::State;

use super::events::{SHA, build_failed, progressing, succeeded};
use super::host::Reply;
use super::world::{TOKEN, World, rule_yaml};

fn states(world: &World) -> Vec<String> {
    world.host.told().into_iter().map(|(_, state)| state).collect()
}

#[tokio::test]
async fn p2_a_host_that_was_down_for_hours_gets_the_newest_state_once() {
    let world = World::new().await;
    world.host.answer_always(Some(Reply::new(503, "unavailable")));
    world.event("dev", progressing().at(0)).await;
    world.event("dev", build_failed().at(60)).await;
    world.minutes(180).await;
    world.event("dev", succeeded().at(9000)).await;
    let tries = world.host.calls().len();
    assert!((5..40).contains(&tries), "{tries} tries in three hours");

    world.host.answer_always(None);
    world.minutes(16).await;

    assert_eq!(
        states(&world)[tries..],
        ["success"],
        "one post for all that happened meanwhile"
    );
    let status = world.status(SHA).await;
    assert!(status.is_posted() && status.due.is_none());
    world.minutes(60).await;
    assert_eq!(world.host.calls().len(), tries + 1);
}

#[tokio::test]
async fn p17_an_answer_that_left_it_open_is_settled_by_posting_again() {
    let world = World::new().await;
    world.host.answer_next([Reply::new(502, "bad gateway")]);
    world.event("dev", succeeded().at(0)).await;
    assert!(world.status(SHA).await.unsure);
    world.advance(30);
    world.event("dev", succeeded().at(30)).await;
    assert_eq!(states(&world), ["success"], "not within a minute");

    world.minutes(2).await;

    assert_eq!(states(&world), ["success", "success"]);
    assert!(!world.status(SHA).await.unsure);
}

#[tokio::test]
async fn p14_a_rate_limit_holds_the_credential_until_the_instant_the_host_named() {
    let world = World::new().await;
    let reset = world.now().as_second() + 1800;
    world
        .host
        .answer_next([Reply::new(403, r#"{"message":"API rate limit exceeded"}"#)
            .header("x-ratelimit-remaining", 0)
            .header("x-ratelimit-reset", reset)]);
    world.event("dev", succeeded().at(0)).await;
    world.event("prod", succeeded().at(0)).await;
    assert_eq!(states(&world), ["success"], "no call inside the hold");
    while world.now().as_second() + 60 < reset {
        world.minute().await;
        assert_eq!(world.host.calls().len(), 1);
    }

    world.minutes(2).await;

    assert_eq!(states(&world), ["success", "success", "success"]);
    assert_eq!(
        world
            .statuses(SHA)
            .await
            .iter()
            .filter(|status| status.is_posted())
            .count(),
        2
    );
}

#[tokio::test]
async fn a_refused_credential_is_held_and_a_mended_one_heals_by_itself() {
    let world = World::new().await;
    world
        .host
        .answer_always(Some(Reply::new(401, r#"{"message":"Bad credentials"}"#)));
    world.event("dev", succeeded().at(0)).await;
    world.minutes(120).await;
    let tries = world.host.calls().len();
    assert!((3..15).contains(&tries), "{tries} tries in two hours");
    let status = world.status(SHA).await;
    assert_eq!((status.parked.as_deref(), status.attempts), (None, 0));

    world.secret("_all", &json!({ "token": "mended" })).await;
    world.host.answer_always(None);
    world.minutes(31).await;

    assert_eq!(world.host.calls().last().unwrap().authorization, "Bearer mended");
    assert!(world.status(SHA).await.is_posted());
}

#[tokio::test]
async fn a_rotated_token_is_read_again_after_one_refusal() {
    let world = World::new().await;
    world.event("dev", progressing().at(0)).await;
    world.secret("_all", &json!({ "token": "rotated" })).await;
    world
        .host
        .answer_next([Reply::new(401, r#"{"message":"Bad credentials"}"#)]);

    world.event("dev", succeeded().at(10)).await;

    let tokens: Vec<String> = world
        .host
        .calls()
        .into_iter()
        .map(|call| call.authorization)
        .collect();
    let old = format!("Bearer {TOKEN}");
    assert_eq!(tokens, [old.as_str(), old.as_str(), "Bearer rotated"]);
    assert!(world.status(SHA).await.is_posted());
}

#[tokio::test]
async fn a_missing_secret_is_no_lost_status() {
    let world = World::new().await;
    world.apply("dev", &world.provider_yaml()).await;
    world.event("dev", succeeded().at(0)).await;
    assert_eq!(states(&world), Vec::<String>::new());

    world.secret("dev", &json!({ "token": "late" })).await;
    world.minutes(3).await;

    assert_eq!(states(&world), ["success"]);
}

#[tokio::test]
async fn a_permanent_refusal_is_parked_until_the_next_change() {
    let world = World::new().await;
    world.host.answer_next([Reply::new(
        403,
        r#"{"message":"Resource not accessible by personal access token"}"#,
    )]);
    world.event("dev", build_failed().at(0)).await;
    world.minutes(30).await;
    assert_eq!(states(&world), ["failure"]);
    let status = world.status(SHA).await;
    assert_eq!(status.parked.as_deref(), Some("forbidden"));
    assert!(status.last_error.unwrap().contains("Resource not accessible"));

    world.event("dev", succeeded().at(1800)).await;

    assert_eq!(states(&world), ["failure", "success"]);
    assert_eq!(world.status(SHA).await.parked, None);
}

#[tokio::test]
async fn an_unknown_commit_is_tried_three_times_and_then_ended() {
    let world = World::new().await;
    let unknown = Reply::new(422, r#"{"message":"No commit found for SHA: 5394cb7f"}"#);
    world.host.answer_always(Some(unknown));
    world.event("dev", succeeded().at(0)).await;
    world.minutes(60).await;

    assert_eq!(world.host.calls().len(), 3);
    let status = world.status(SHA).await;
    assert_eq!(
        (status.ended.as_deref(), status.due),
        (Some("unknown-commit"), None)
    );
    world.event("dev", succeeded().at(3600)).await;
    world.minutes(5).await;
    assert_eq!(
        world.host.calls().len(),
        3,
        "the next interval does not try again"
    );
}

#[tokio::test]
async fn a_rule_deleted_meanwhile_ends_what_was_due() {
    let world = World::new().await;
    world.host.answer_always(Some(Reply::new(503, "")));
    world.event("dev", succeeded().at(0)).await;
    let tries = world.host.calls().len();
    world.delete_rule("*", "podinfo").await;
    world.host.answer_always(None);

    world.minutes(10).await;

    assert_eq!(world.host.calls().len(), tries);
    assert_eq!(
        world.status(SHA).await.ended.as_deref(),
        Some("skipped(rule-gone)")
    );

    world.apply("*", &rule_yaml("podinfo", "")).await;
    world.advance(60);
    world.event("dev", succeeded().at(700)).await;
    assert_eq!(
        world.host.calls().len(),
        tries + 1,
        "a rule that is back counts again"
    );
    assert_eq!(world.status(SHA).await.posted.unwrap().state, State::Success);
}

#[tokio::test]
async fn a_suspended_provider_parks_what_is_due() {
    let world = World::new().await;
    world
        .apply(
            "*",
            &world
                .provider_yaml()
                .replace("type: github", "type: github, suspend: true"),
        )
        .await;

    world.event("dev", succeeded().at(0)).await;

    assert_eq!(world.host.calls(), []);
    assert_eq!(
        world.status(SHA).await.parked.as_deref(),
        Some("provider-suspended")
    );
}

#[tokio::test]
async fn a_lost_hint_costs_a_minute_and_nothing_else() {
    let world = World::new().await;
    let answer = world.send("dev", &succeeded().at(0).body()).await;
    assert_eq!(answer.status, 202);
    // `rules` works, and its hint is lost.
    world.settle_rules_and_lose_hints().await;
    assert_eq!(states(&world), Vec::<String>::new());

    world.minutes(2).await;

    assert_eq!(states(&world), ["success"]);
}
