//! `dlq` over the SDK's client, against the queues of the local service and a clock that only the test moves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;

use axum::Router;
use axum::http::StatusCode;
use clap::Parser;
use cli::commands::dlq::{self, DlqCommand};
use cli::commands::{Terminal, next_step};
use cli::local_instance::sqs_client;
use cli::queues::{Queue, Queues};
use jiff::{SignedDuration, Timestamp};
use local::fifo::{FifoQueue, Settings};
use local::sqs::{Now, router};
use serde_json::Value;
use shared::message::QueueMessage;

const STACK: &str = "team-a";
const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: DlqCommand,
}

/// What a command said.
struct Said {
    result: Result<(), String>,
    out: String,
    err: String,
}

impl Said {
    fn ok(self) -> Self {
        assert_eq!(self.result, Ok(()), "{}", self.err);
        self
    }

    fn error(self) -> String {
        self.result.unwrap_err()
    }
}

struct World {
    endpoint: String,
    events: Arc<FifoQueue>,
    posts: Arc<FifoQueue>,
    seconds: Arc<AtomicI64>,
}

fn queue() -> Arc<FifoQueue> {
    Arc::new(FifoQueue::new(Settings {
        visibility: SignedDuration::from_secs(30),
        max_receives: 1,
    }))
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    endpoint
}

impl World {
    async fn new() -> Self {
        let (events, posts) = (queue(), queue());
        let seconds = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&seconds);
        let now: Now = Arc::new(move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap());
        Self {
            endpoint: serve(router(STACK, &events, &posts, now)).await,
            events,
            posts,
            seconds,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds.load(Ordering::SeqCst)).unwrap()
    }

    fn advance(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn fifo(&self, queue: Queue) -> &FifoQueue {
        match queue {
            Queue::Events => &self.events,
            Queue::Posts => &self.posts,
        }
    }

    fn dead(&self, queue: Queue) -> &FifoQueue {
        self.fifo(queue).dead_letter_queue().unwrap()
    }

    /// Makes dead letters of messages, in this order, and returns their ids.
    fn kill(&self, queue: Queue, messages: &[(&str, &str)]) -> Vec<String> {
        let fifo = self.fifo(queue);
        let send = |(n, (group, body)): (usize, &(&str, &str))| {
            let message = QueueMessage {
                body: (*body).to_owned(),
                group_id: (*group).to_owned(),
                dedupe_id: format!("{}-{n}-{body}", self.now()),
            };
            fifo.send(message, self.now())
        };
        let ids = messages.iter().enumerate().map(send).collect();
        while !fifo.is_empty() {
            fifo.receive(self.now());
            self.advance(30);
        }
        ids
    }

    async fn says(&self, command: &str) -> Said {
        self.answers(command, None).await
    }

    async fn answers(&self, command: &str, answer: Option<&str>) -> Said {
        self.run(command, answer, pending()).await
    }

    async fn run(&self, command: &str, answer: Option<&str>, interrupted: impl Future<Output = ()>) -> Said {
        said(&self.endpoint, STACK, command, answer, self.now(), interrupted).await
    }

    /// Bodies of the dead letters that can be had at this moment.
    fn to_be_had(&self, queue: Queue) -> Vec<String> {
        let dead = self.dead(queue);
        let none = SignedDuration::ZERO;
        let taken = dead.take(10, none, self.now());
        taken.into_iter().map(|taken| taken.message.body).collect()
    }

    /// Handles what is on a queue, and returns the bodies.
    fn handle(&self, queue: Queue) -> Vec<String> {
        let fifo = self.fifo(queue);
        let mut bodies = Vec::new();
        loop {
            let batch = fifo.receive(self.now());
            if batch.is_empty() {
                return bodies;
            }
            for message in batch {
                fifo.delete(&[message.id]);
                bodies.push(message.body);
            }
        }
    }
}

async fn said(
    endpoint: &str,
    stack: &str,
    command: &str,
    answer: Option<&str>,
    now: Timestamp,
    interrupted: impl Future<Output = ()>,
) -> Said {
    let words = std::iter::once("dlq").chain(command.split_whitespace());
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let terminal = &mut Terminal {
        input: &mut answer.unwrap_or_default().as_bytes(),
        input_is_terminal: answer.is_some(),
        out: &mut out,
        out_is_terminal: false,
        err: &mut err,
        err_is_terminal: false,
        colours: false,
    };
    let queues = Queues::new(sqs_client(endpoint), stack);
    let result = dlq::run(&cli.command, &queues, now, interrupted, terminal).await;
    let result = result.map_err(|error| {
        let next = next_step(&error).unwrap_or_default();
        format!("{error:#}\n{next}")
    });
    Said {
        result,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

fn event(name: &str) -> String {
    format!(
        r#"{{"id":"00","cluster":"dev","generation":1,"received_at":"2026-08-07T13:12:44Z","event":{{"involvedObject":
        {{"kind":"Kustomization","namespace":"apps","name":"{name}"}},"severity":"info","timestamp":
        "2026-08-07T13:12:43Z","message":"the text","reason":"Progressing","metadata":
        {{"revision":"main@sha1:{SHA}"}}}}}}"#
    )
}

fn hint() -> String {
    format!(r#"{{"pk":"github.com/a/b@{SHA}","sk":"dev/x"}}"#)
}

#[tokio::test]
async fn list_shows_what_each_is_about_and_leaves_it_where_it_is() {
    let world = World::new().await;
    let event_ids = world.kill(
        Queue::Events,
        &[("a", &event("podinfo")), ("b", "{\"odd\":\u{1b}[1m")],
    );
    let hint_ids = world.kill(Queue::Posts, &[("c", &hint())]);
    world.advance(7200);

    let said = world.says("list").await.ok();
    let shown = said
        .out
        .replace(&event_ids[0], "ID-1")
        .replace(&event_ids[1], "ID-2")
        .replace(&hint_ids[0], "ID-3");
    insta::assert_snapshot!(shown, @r#"
    QUEUE   AGE  ABOUT                                                          RECEIVES  ID
    events  2h   Kustomization/apps/podinfo of dev: Progressing (5394cb7)       2         ID-1
    events  2h   malformed: {"odd": [1m                                         2         ID-2
    posts   2h   github.com/a/b@5394cb7f48332b2de7c17dd8b8384bbc84b7e738 dev/x  2         ID-3
    "#);
    insta::assert_snapshot!(said.err, @"
    3 dead letters
    mend what keeps them from being handled, then `commitstatus dlq redrive`
    ");
    for queue in Queue::ALL {
        assert_eq!(
            world.to_be_had(queue).len(),
            world.dead(queue).len(),
            "given back"
        );
    }

    let said = world.says("list --queue posts -o json").await.ok();
    let value: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(value["unseen"], 0);
    let letter = &value["dead_letters"][0];
    assert_eq!(letter["id"], hint_ids[0].as_str());
    assert_eq!(letter["subject"]["hint"]["sha"], SHA);
    assert_eq!(value["dead_letters"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn of_each_group_the_first_ten_can_be_seen_and_the_rest_is_counted() {
    let world = World::new().await;
    let group_of_twelve = [("a", "x"); 12];
    world.kill(Queue::Events, &group_of_twelve);
    let groups: Vec<String> = (0..15).map(|n| format!("group-{n}")).collect();
    let of_their_own: Vec<_> = groups.iter().map(|group| (group.as_str(), "y")).collect();
    world.kill(Queue::Events, &of_their_own);

    let said = world.says("list").await.ok();

    assert_eq!(said.out.lines().count(), 1 + 10 + 15, "{}", said.out);
    assert!(
        said.err
            .starts_with("25 dead letters, and about 2 that cannot be seen now"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn empty_queues_are_no_error() {
    let world = World::new().await;
    for command in ["list", "redrive", "purge --yes"] {
        let said = world.says(command).await.ok();
        assert_eq!((said.out.as_str(), said.err.as_str()), ("", "no dead letters\n"));
    }
    let said = world.says("list -o json").await.ok();
    let value: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(value, serde_json::json!({ "dead_letters": [], "unseen": 0 }));
}

#[tokio::test]
async fn redrive_sends_all_to_their_own_queues_each_group_in_its_order() {
    let world = World::new().await;
    let bodies: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
    let dead: Vec<_> = bodies.iter().map(|body| ("a", body.as_str())).collect();
    world.kill(Queue::Events, &dead);
    world.kill(Queue::Posts, &[("b", &hint()), ("b", "not ours")]);

    let said = world.says("redrive").await.ok();

    assert_eq!(said.err, "27 sent again, none left\n");
    assert_eq!(said.out.lines().count(), 27);
    let last = said.out.lines().last().unwrap();
    assert!(
        last.starts_with("posts ") && last.ends_with(" sent again: malformed: not ours"),
        "{last}"
    );
    assert_eq!(world.handle(Queue::Events), bodies);
    assert_eq!(world.handle(Queue::Posts), [hint(), "not ours".into()]);
    assert!(world.dead(Queue::Events).is_empty() && world.dead(Queue::Posts).is_empty());
}

#[tokio::test]
async fn redrive_of_one_queue_or_of_some_ids_leaves_the_rest() {
    let world = World::new().await;
    let ids = world.kill(Queue::Events, &[("a", "1"), ("a", "2"), ("b", "3")]);
    world.kill(Queue::Posts, &[("c", "4")]);

    let said = world
        .says(&format!("redrive --id {} --id {}", ids[1], ids[2]))
        .await
        .ok();
    assert!(said.err.starts_with("2 sent again"), "{}", said.err);
    assert_eq!(world.handle(Queue::Events), ["2", "3"]);
    assert_eq!(world.to_be_had(Queue::Events), ["1"], "given back");

    world.says("redrive --queue posts").await.ok();
    assert_eq!(world.handle(Queue::Posts), ["4"]);
    assert_eq!(world.dead(Queue::Events).len(), 1);
}

#[tokio::test]
async fn an_unknown_id_is_an_error_after_the_known_ones_are_done() {
    let world = World::new().await;
    let ids = world.kill(Queue::Events, &[("a", "1"), ("a", "2")]);
    for (command, left) in [("redrive", 1), ("purge --yes", 0)] {
        let known = &ids[1 - left];
        let said = world.says(&format!("{command} --id nobody --id {known}")).await;
        assert_eq!(world.dead(Queue::Events).len(), left);
        assert_eq!(
            said.error().trim_end(),
            "no dead letter has the id nobody; `commitstatus dlq list` shows those there are"
        );
    }
    let error = world.says("purge --yes --id nobody").await.error();
    assert!(error.contains("the id nobody"), "{error}");
}

/// The dead letter is back although it was sent, as after a crash between the two.
#[tokio::test]
async fn a_redrive_repeated_after_a_crash_has_no_second_effect_for_five_minutes() {
    for (seconds, handled) in [(299, 0), (300, 1)] {
        let world = World::new().await;
        world.kill(Queue::Events, &[("a", "1")]);
        let queues = Queues::new(sqs_client(&world.endpoint), STACK);
        let mut dead = queues.dead_letters(Queue::Events).await.unwrap();
        let letter = dead.receive().await.unwrap().remove(0);
        let live = queues.live(Queue::Events).await.unwrap();
        live.send_again(&letter).await.unwrap();
        drop(dead);
        assert_eq!(world.handle(Queue::Events), ["1"]);

        world.advance(seconds);
        let said = world.says("redrive").await.ok();

        assert_eq!(said.err, "1 sent again, none left\n");
        assert_eq!(world.handle(Queue::Events).len(), handled, "after {seconds} s");
        assert!(world.dead(Queue::Events).is_empty());
    }
}

#[tokio::test]
async fn one_that_dies_again_can_be_sent_again_within_five_minutes() {
    let world = World::new().await;
    world.kill(Queue::Events, &[("a", "1")]);
    for _ in 0..3 {
        world.says("redrive").await.ok();
        assert_eq!(world.events.len(), 1);
        world.events.receive(world.now());
        world.advance(30);
        assert!(world.events.receive(world.now()).is_empty(), "it died again");
    }
    assert_eq!(world.dead(Queue::Events).len(), 1);
}

#[tokio::test]
async fn purge_deletes_after_asking_and_says_what_is_lost() {
    let world = World::new().await;
    let ids = world.kill(Queue::Events, &[("a", "1"), ("a", "2")]);
    world.kill(Queue::Posts, &[("b", &hint())]);

    let error = world.says("purge").await.error();
    assert!(error.contains("standard input is none; say --yes"), "{error}");
    for answer in ["", "\n", "n\n", "yeah\n"] {
        let said = world.answers("purge", Some(answer)).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(said.err, @"dead letters are deleted: about 2 of events, and what those events would have changed is lost; about 1 of posts, which loses nothing, as the table knows what is due; go on? [y/N]");
        }
        assert!(said.error().starts_with("nothing was deleted; "));
    }
    assert_eq!(
        (world.dead(Queue::Events).len(), world.dead(Queue::Posts).len()),
        (2, 1)
    );

    let said = world
        .answers(&format!("purge --id {}", ids[1]), Some("y\n"))
        .await
        .ok();
    assert!(
        said.err.contains("those named of the about 2 of events"),
        "{}",
        said.err
    );
    assert_eq!(world.to_be_had(Queue::Events), ["1"]);
    world.answers("purge --queue posts", Some("YES\n")).await.ok();
    assert_eq!(
        (world.dead(Queue::Events).len(), world.dead(Queue::Posts).len()),
        (1, 0)
    );
    let said = world.says("purge --yes").await.ok();
    assert_eq!(said.err, "1 deleted, none left\n");
    assert!(world.dead(Queue::Events).is_empty() && world.events.is_empty());
}

#[tokio::test]
async fn what_was_looked_at_is_given_back_when_somebody_interrupts() {
    let groups: Vec<String> = (0..25).map(|n| format!("group-{n}")).collect();
    for command in ["list", "redrive --id nobody", "purge --yes --id nobody"] {
        let world = World::new().await;
        let dead: Vec<_> = groups.iter().map(|group| (group.as_str(), "1")).collect();
        world.kill(Queue::Events, &dead);
        let after_the_first_ten = poll_fn(|_| {
            let held = world.dead(Queue::Events).count(world.now()).invisible;
            if held >= 10 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });

        let said = world.run(command, None, after_the_first_ten).await;

        assert!(said.error().starts_with("interrupted; "), "{command}");
        assert_eq!(
            world.dead(Queue::Events).count(world.now()).visible,
            25,
            "{command}"
        );
    }
}

#[tokio::test]
async fn what_could_not_be_sent_stays_and_is_given_back() {
    let world = World::new().await;
    world.kill(Queue::Events, &[("a", "1"), ("b", "2"), ("b", "3")]);
    let (events, posts) = (Arc::clone(&world.events), Arc::clone(&world.posts));
    let now = world.now();
    let allowing = router(STACK, &events, &posts, Arc::new(move || now));
    let refusing = allowing.layer(axum::middleware::from_fn(
        async |request: axum::extract::Request, next: axum::middleware::Next| {
            let is_send = request
                .headers()
                .get("x-amz-target")
                .is_some_and(|target| target == "AmazonSQS.SendMessage");
            if is_send {
                return refusal("AccessDenied");
            }
            next.run(request).await
        },
    ));
    let endpoint = serve(refusing).await;

    let said = said(&endpoint, STACK, "redrive", None, now, pending()).await;

    assert_eq!(said.err, "0 sent again, about 3 left\n");
    let error = said.error();
    assert!(
        error.starts_with(
            "access denied: the permission sqs:SendMessage on queue `team-a-events.fifo` is missing"
        ),
        "{error}"
    );
    assert_eq!(world.dead(Queue::Events).count(now).visible, 3);
    assert!(world.events.is_empty());
}

fn refusal(code: &str) -> axum::response::Response {
    let body = format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"no"}}"#);
    let mut response = axum::response::Response::new(body.into());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

#[tokio::test]
async fn an_error_says_what_is_wrong_and_what_to_do() {
    let world = World::new().await;
    let now = world.now();
    for command in ["list", "redrive", "purge --yes"] {
        let error = said(&world.endpoint, "team-b", command, None, now, pending())
            .await
            .error();
        assert!(error.starts_with("there is no queue `team-b-events"), "{error}");
        assert!(error.contains("--stack"), "{error}");

        let denying = serve(Router::new().fallback(async || refusal("AccessDeniedException"))).await;
        let error = said(&denying, STACK, command, None, now, pending()).await.error();
        assert!(
            error.starts_with("access denied: the permission sqs:GetQueueUrl on"),
            "{error}"
        );

        let error = said("http://127.0.0.1:1", STACK, command, None, now, pending())
            .await
            .error();
        assert!(
            error.starts_with("SQS: GetQueueUrl on queue `team-a-events"),
            "{error}"
        );
        assert!(error.ends_with("run the same command again"), "{error}");
    }
}
