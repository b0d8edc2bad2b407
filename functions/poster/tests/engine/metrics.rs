//! What is counted on the way of a status.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use emf::recorded::Recorded;
use jiff::Timestamp;
use poster::handler::handle;
use serde_json::json;
use shared::State::{Failure, Success};
use shared::item::StatusItem;
use shared::message::{PostHint, StatusKey};
use wiremock::ResponseTemplate;

use crate::world::{NOW, TestDeps, World, posted};

/// What is logged goes here.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// The values of a field, line by line.
    fn values(&self, field: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let value = |line: &str| {
            let value = line.split(&format!(" {field}=")).nth(1)?.split(' ').next()?;
            Some(value.trim_matches('"').to_owned())
        };
        log.lines().filter_map(value).collect()
    }
}

fn answer(code: u16) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({"message": "words of the host"}))
}

/// Handles one message, with so many seconds left.
async fn message(world: &World, deps: &TestDeps, body: &str, seconds_left: i64) {
    let batch = json!({"Records": [{"messageId": "1", "body": body}]});
    let deadline = Timestamp::from_millisecond(world.now() + seconds_left * 1000).unwrap();
    handle(deps, serde_json::from_value(batch).unwrap(), deadline).await;
}

async fn work_on(world: &World, deps: &TestDeps, key: &StatusKey) {
    let hint = PostHint { key: key.clone() };
    message(world, deps, &hint.to_queue("").unwrap().body, 600).await;
}

#[tokio::test]
async fn what_is_counted_is_what_the_log_says() {
    let world = World::new().await;
    let deps = world.deps();
    let (log, recorded) = (Log::default(), Recorded::default());
    let listening = (log.listen(), recorded.listen());

    // Each with the answer it gets; the last three get none, and end on their own.
    let answers = [
        ("posted", Some(answer(201))),
        ("ambiguous", Some(answer(502))),
        ("conflict", Some(answer(409))),
        ("refused", Some(answer(403))),
        ("unauthorized", Some(answer(401))),
        ("while-held", None),
        ("absent", None),
        ("busy", None),
    ];
    for (context, answer) in answers {
        let mut item = world.due(context, Success);
        // Two changes before it that nobody needs to see any more.
        item.rev = 3;
        item.claim_until = (context == "busy").then_some(NOW + 1);
        if context != "absent" {
            world.put_status(&item).await;
        }
        world.host_answers(answer);
        work_on(&world, &deps, &item.key).await;
    }
    let damaged = world.key("damaged");
    world.put_damaged(&world.statuses, &damaged.pk, &damaged.sk).await;
    work_on(&world, &deps, &damaged).await;
    message(&world, &deps, "{", 600).await;
    message(&world, &deps, "{", 1).await;
    // The hold is over.
    world.advance(120_000);
    let limited = world.due("limited", Success);
    world.put_status(&limited).await;
    world.host_answers([answer(429)]);
    work_on(&world, &deps, &limited.key).await;
    drop(listening);

    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    for word in log.values("outcome") {
        let name = match word.as_str() {
            "failed" | "malformed" => format!("Failures{{Function=poster,Outcome={word}}}"),
            // Here only that of a message.
            "not-begun" => "Failures{Function=poster,Outcome=not-begun}".to_owned(),
            _ => format!("Outcomes{{Outcome={word}}}"),
        };
        *words.entry(name).or_default() += 1;
    }
    let coalesced = log.values("status.coalesced");
    let coalesced = coalesced.iter().map(|count| count.parse::<u64>().unwrap()).sum();
    words.insert("Outcomes{Outcome=coalesced}".into(), coalesced);
    let host = world.key("").repository().split('/').next().unwrap().to_owned();
    for class in [
        "ambiguous",
        "conflict",
        "posted",
        "rate-limited",
        "refused",
        "unauthorized",
    ] {
        words.insert(format!("Calls{{Host={host},Class={class}}}"), 1);
    }
    words.insert("CredentialsRefused".into(), 1);
    words.insert("RateLimits".into(), 1);
    let expected: Vec<String> = words
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    assert_eq!(recorded.sums(), expected);

    let outcomes: Vec<&str> = expected
        .iter()
        .filter(|line| line.starts_with("Outcomes") || line.starts_with("Failures"))
        .map(String::as_str)
        .collect();
    assert_eq!(
        outcomes,
        [
            "Failures{Function=poster,Outcome=failed} 1",
            "Failures{Function=poster,Outcome=malformed} 1",
            "Failures{Function=poster,Outcome=not-begun} 1",
            "Outcomes{Outcome=busy} 1",
            "Outcomes{Outcome=coalesced} 4",
            "Outcomes{Outcome=held} 2",
            "Outcomes{Outcome=nothing-due} 1",
            "Outcomes{Outcome=parked(forbidden)} 1",
            "Outcomes{Outcome=posted} 1",
            "Outcomes{Outcome=retry} 5",
        ]
    );
}

#[tokio::test]
async fn the_time_to_a_post_is_counted_from_the_receipt_of_the_event_that_made_the_change() {
    type Change = fn(&mut StatusItem);
    let cases: [(&str, Option<i64>, Change, &[f64]); 5] = [
        ("a change", Some(NOW - 2_500), |_| {}, &[2_500.0]),
        ("received by a clock that is ahead", Some(NOW + 5), |_| {}, &[0.0]),
        ("of a release that kept no time", None, |_| {}, &[]),
        (
            "the change before was told",
            Some(NOW - 1_000),
            |item| {
                item.posted = posted(Failure, 1);
                item.rev = 2;
            },
            &[1_000.0],
        ),
        (
            "told before, and posted once more",
            Some(NOW - 1_000),
            |item| {
                item.posted = posted(Success, 2);
                item.rev = 2;
                item.unsure = true;
            },
            &[],
        ),
    ];
    for (name, received_at, change, expected) in cases {
        let world = World::new().await;
        let mut item = world.due("dev/x", Success);
        item.desired.received_at = received_at;
        change(&mut item);
        world.put_status(&item).await;
        let recorded = Recorded::default();
        let listening = recorded.listen();
        work_on(&world, &world.deps(), &item.key).await;
        drop(listening);
        assert_eq!(recorded.of("EventToPosted"), expected, "{name}");
        assert_eq!(world.posts().await.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_the_host_did_not_take_has_no_time() {
    let world = World::new().await;
    let mut item = world.due("dev/x", Success);
    item.desired.received_at = Some(NOW - 1);
    world.put_status(&item).await;
    world.host_answers([answer(502)]);
    let recorded = Recorded::default();
    let listening = recorded.listen();
    work_on(&world, &world.deps(), &item.key).await;
    drop(listening);
    assert_eq!(recorded.of("EventToPosted"), [0.0; 0]);
}
