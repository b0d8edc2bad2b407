//! Commits an object left for a newer one, and what a deleted rule left.

use cli::commands::Terminal;
use cli::commands::delete::{DeleteArgs, KindArg, run};
use cli::commands::scope::ScopeArgs;

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

impl World {
    /// `commitstatus delete commitstatus podinfo -n apps --all-clusters`.
    async fn delete_with_the_tool(&self) -> String {
        let args = DeleteArgs {
            kind: Some(KindArg::Commitstatus),
            name: Some("podinfo".into()),
            paths: Vec::new(),
            recursive: false,
            namespace: Some("apps".into()),
            scope: ScopeArgs {
                cluster: None,
                all_clusters: true,
            },
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let terminal = &mut Terminal {
            input: &mut std::io::empty(),
            input_is_terminal: false,
            out: &mut out,
            out_is_terminal: false,
            err: &mut err,
            err_is_terminal: false,
            colours: false,
        };
        run(&args, &self.store, self.now(), terminal).await.unwrap();
        String::from_utf8(err).unwrap()
    }
}

#[tokio::test]
async fn what_a_deleted_rule_left_pending_is_closed_once() {
    let world = World::new().await;
    world.event("dev", progressing().at(0)).await;
    world.event("prod", succeeded().at(10)).await;
    world.event("prod", on_old(progressing()).at(0)).await;
    let before = told(&world);

    // Of `prod` the old commit was closed when it came: it was superseded.
    let said = world.delete_with_the_tool().await;
    assert_eq!(said, "1 pending status will be closed within two minutes\n");
    world.minutes(3).await;

    let closed = [before, vec![post(SHA, "error", "rule deleted")]].concat();
    assert_eq!(told(&world), closed);

    // No rule takes the result.
    world.event("dev", succeeded().at(300)).await;
    world.minutes(3).await;
    assert_eq!(told(&world), closed);

    // A rule that is back does.
    world.apply("*", &rule_yaml("podinfo", "")).await;
    world.event("dev", progressing().at(600)).await;
    world.event("dev", succeeded().at(660)).await;
    let last = post(SHA, "success", "reconciliation succeeded");
    assert_eq!(told(&world), [closed, vec![last]].concat());
}

#[tokio::test]
async fn what_a_deleted_rule_left_pending_waits_for_a_host_that_is_away() {
    let world = World::new().await;
    world.event("dev", progressing().at(0)).await;
    world.host.answer_always(Some(super::host::Reply::new(503, "")));
    world.event("dev", succeeded().at(10)).await;
    world.delete_with_the_tool().await;
    world.minutes(5).await;
    world.host.answer_always(None);

    world.minutes(20).await;

    let last = told(&world).pop().unwrap();
    assert_eq!(last, post(SHA, "error", "rule deleted"));
    let status = world.status(SHA).await;
    assert!(status.is_posted() && status.due.is_none() && status.ended.is_none());
}

#[tokio::test]
async fn without_its_provider_what_a_deleted_rule_left_ends_quietly() {
    let world = World::new().await;
    world.event("dev", progressing().at(0)).await;
    world.delete_with_the_tool().await;
    let sources = [cli::yaml::Source {
        name: "test.yaml".into(),
        text: world.provider_yaml(),
    }];
    let provider = cli::yaml::identify(&sources, None).unwrap();
    let scope = shared::Scope::AllClusters;
    world.store.delete(&scope, &provider).await.unwrap();

    world.minutes(3).await;

    let ended = world.status(SHA).await.ended;
    assert_eq!(ended.as_deref(), Some("skipped(provider-gone)"));
    assert_eq!(told(&world).len(), 1);

    // With the Provider back, deleting the rule again closes it.
    world.apply("*", &world.provider_yaml()).await;
    let rule = shared::kinds::Reference {
        scope,
        name: shared::kinds::ObjectName::new("apps", "podinfo"),
    };
    world.store.close_pending(&[rule], world.now()).await.unwrap();
    world.minutes(3).await;
    assert_eq!(told(&world)[1..], [post(SHA, "error", "rule deleted")]);
}
