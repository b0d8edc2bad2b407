//! Messages that crashed a function too often, and the operator who sends them again.

use std::future::pending;
use std::sync::Arc;

use cli::commands::Terminal;
use cli::commands::dlq::{DlqCommand, WhichArgs, run};
use cli::local_instance::sqs_client;
use cli::queues::Queues;
use shared::PostHint;

use super::events::{SHA, WireEvent, build_failed, progressing, succeeded};
use super::world::{Queue, STACK, World};

/// Days after which SQS drops a dead letter; one less.
const ALMOST_TOO_OLD: i64 = 13 * 24 * 60 * 60;

fn states(world: &World) -> Vec<String> {
    world.host.told().into_iter().map(|(_, state)| state).collect()
}

/// Lets a function crash on what is on a queue until that is a dead letter.
fn crash_on(world: &World, queue: &Queue) {
    while !queue.fifo.is_empty() {
        queue.fifo.receive(world.now());
        world.advance(180);
    }
    assert_eq!(queue.fifo.dead_letters().len(), 1);
}

async fn crash_on_event(world: &World, event: &WireEvent) {
    let answer = world.send("dev", &event.body()).await;
    assert_eq!(answer.status, 202);
    crash_on(world, &world.events);
}

/// `commitstatus dlq redrive`, and what comes of it.
async fn redrive(world: &Arc<World>) {
    let clock = Arc::clone(world);
    let router = local::sqs::router(
        STACK,
        &world.events.fifo,
        &world.posts.fifo,
        Arc::new(move || clock.now()),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = sqs_client(&format!("http://{}", listener.local_addr().unwrap()));
    let server = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
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
    let command = DlqCommand::Redrive(WhichArgs {
        queue: None,
        ids: Vec::new(),
    });
    let queues = Queues::new(client, STACK);
    run(&command, &queues, world.now(), pending(), terminal)
        .await
        .unwrap();
    assert_eq!(String::from_utf8(err).unwrap(), "1 sent again, none left\n");
    server.abort();
    world.settle().await;
    for queue in [&world.events, &world.posts] {
        assert!(queue.fifo.dead_letters().is_empty());
    }
}

#[tokio::test]
async fn p6_a_redriven_event_never_overwrites_a_newer_state() {
    for (old, new) in [
        (build_failed(), succeeded()),
        (succeeded(), build_failed()),
        (progressing(), succeeded()),
    ] {
        let world = Arc::new(World::new().await);
        crash_on_event(&world, &old.at(0).version(11)).await;
        world.event("dev", new.at(3600).version(12)).await;
        let posted = world.status(SHA).await;
        assert!(posted.is_posted());

        redrive(&world).await;
        world.minutes(3).await;

        assert_eq!(states(&world).len(), 1, "{:?}", states(&world));
        let status = world.status(SHA).await;
        assert_eq!((status.rev, status.desired), (posted.rev, posted.desired));
        assert!(status.due.is_none());
    }
}

#[tokio::test]
async fn p6_a_redriven_event_that_nothing_replaced_is_posted_however_old_it_is() {
    let world = Arc::new(World::new().await);
    crash_on_event(&world, &build_failed().at(0)).await;
    world.advance(ALMOST_TOO_OLD);

    redrive(&world).await;

    assert_eq!(states(&world), ["failure"]);
    assert!(world.status(SHA).await.is_posted());
}

#[tokio::test]
async fn p6_a_redriven_hint_posts_what_is_due_now_or_nothing() {
    let world = Arc::new(World::new().await);
    let answer = world.send("dev", &build_failed().at(0).body()).await;
    assert_eq!(answer.status, 202);
    world.settle_rules_and_lose_hints().await;
    let hint = PostHint {
        key: world.status(SHA).await.key,
    };
    let kill_hint = |occasion: &str| {
        let message = hint.to_queue(occasion).unwrap();
        world.posts.fifo.send(message, world.now());
        crash_on(&world, &world.posts);
    };

    // Due, and with it the newest state: the old one is posted by nobody.
    kill_hint("first");
    let answer = world
        .send("dev", &succeeded().at(60).version(99_999_999).body())
        .await;
    assert_eq!(answer.status, 202);
    world.settle_rules_and_lose_hints().await;
    redrive(&world).await;
    assert_eq!(states(&world), ["success"]);

    // Posted: nothing is due.
    kill_hint("second");
    redrive(&world).await;
    assert_eq!(states(&world), ["success"]);
}
