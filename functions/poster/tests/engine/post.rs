//! A status from its hint to the host's answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hosts::HostKind;
use jiff::Timestamp;
use poster::adapters::CredentialsTable;
use poster::handler::handle;
use poster::pace::{LONGEST_LINE, LONGEST_WAIT_MILLIS, Pace};
use poster::ports::{CredentialStore, Lease, Limit, Slot, Unavailable};
use poster::post::LEASE_MILLIS;
use serde_json::{Value, json};
use shared::State::{Failure, Pending, Success};
use shared::item::{StatusItem, due_shard, parked_shard};
use shared::kinds::LocalReference;
use shared::message::{PostHint, StatusKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use wiremock::ResponseTemplate;

use crate::world::{CREDENTIAL, NOW, TestDeps, World, posted};

const MINUTE: i64 = 60_000;

fn answer(code: u16) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({"message": "words of the host"}))
}

fn rate_limited(seconds: i64) -> ResponseTemplate {
    answer(429).insert_header("retry-after", seconds.to_string())
}

fn unknown_commit() -> ResponseTemplate {
    ResponseTemplate::new(422).set_body_json(json!({"message": "No commit found for SHA: 5394"}))
}

fn record_with(id: &str, group: &str, body: &str) -> Value {
    json!({"messageId": id, "body": body, "attributes": {"MessageGroupId": group}})
}

fn record(id: &str, group: &str, key: &StatusKey) -> Value {
    let hint = PostHint { key: key.clone() };
    record_with(id, group, &hint.to_queue("").unwrap().body)
}

async fn batch<P: CredentialStore>(
    world: &World,
    deps: &TestDeps<P>,
    records: &[Value],
    seconds_left: i64,
) -> Vec<String> {
    let batch = serde_json::from_value(json!({ "Records": records })).unwrap();
    let deadline = Timestamp::from_millisecond(world.now() + seconds_left * 1000).unwrap();
    let failed = handle(deps, batch, deadline).await.batch_item_failures;
    failed
        .into_iter()
        .map(|failure| failure.item_identifier)
        .collect()
}

/// Handles a hint that must not fail, and returns the status then.
async fn work_on<P: CredentialStore>(world: &World, deps: &TestDeps<P>, key: &StatusKey) -> StatusItem {
    let failed = batch(world, deps, &[record("1", "g", key)], 600).await;
    assert!(failed.is_empty(), "{failed:?}");
    world.item(key).await
}

#[tokio::test]
async fn a_due_status_is_posted_once_however_many_hints_come() {
    let world = World::new().await;
    let item = world.due("dev/x", Success);
    world.put_status(&item).await;
    let deps = world.deps();

    for _ in 0..3 {
        let item = work_on(&world, &deps, &item.key).await;
        assert!(item.is_posted() && item.due.is_none());
    }

    let one = ("dev/x".to_owned(), "success".to_owned(), "token-one".to_owned());
    assert_eq!(world.posts().await, [one]);
}

#[tokio::test]
async fn a_status_that_already_shows_ends_without_a_call() {
    let world = World::new().await;
    let item = StatusItem {
        posted: posted(Success, 1),
        rev: 3,
        ..world.due("dev/x", Success)
    };
    world.put_status(&item).await;

    let item = work_on(&world, &world.deps(), &item.key).await;

    assert_eq!(item.ended.as_deref(), Some("already-posted"));
    assert_eq!(
        (item.due, item.unsure, item.posted),
        (None, false, posted(Success, 1))
    );
    assert!(world.posts().await.is_empty());
}

#[tokio::test]
async fn a_success_with_nothing_to_clear_ends_without_a_call() {
    let world = World::new().await;
    let mut item = world.due("dev/x", Success);
    item.desired.only_clears = true;
    world.put_status(&item).await;
    let ended = work_on(&world, &world.deps(), &item.key).await;
    assert_eq!(ended.ended.as_deref(), Some("nothing-to-clear"));
    assert!(world.posts().await.is_empty());

    // The failure may have been posted.
    item.unsure = true;
    world.put_status(&item).await;
    assert!(work_on(&world, &world.deps(), &item.key).await.is_posted());
    assert_eq!(world.states().await, ["success"]);
}

#[tokio::test]
async fn near_the_hosts_limit_a_failure_of_another_kind_is_not_worth_a_post() {
    let world = World::new().await;
    let mut item = world.due("dev/x", Failure);
    item.posts = 900;
    item.posted = posted(Failure, 1);
    item.desired.reason = "AnotherKind".into();
    world.put_status(&item).await;

    let ended = work_on(&world, &world.deps(), &item.key).await;

    assert_eq!(
        (ended.ended.as_deref(), ended.due),
        (Some("near-status-limit"), None)
    );
    assert!(world.posts().await.is_empty());
}

#[tokio::test]
async fn a_change_during_the_post_is_posted_after_it() {
    let world = World::new().await;
    let item = world.due("dev/x", Failure);
    world.put_status(&item).await;
    world.while_posting(world.changing(&item.key, Success));

    let item = work_on(&world, &world.deps(), &item.key).await;

    assert_eq!(world.states().await, ["failure", "success"]);
    assert!(item.is_posted() && item.due.is_none());
    assert_eq!((item.rev, item.posts), (2, 2));
}

#[tokio::test]
async fn a_status_that_never_stops_changing_stays_due_for_the_sweeper() {
    let world = World::new().await;
    let item = world.due("dev/x", Failure);
    world.put_status(&item).await;
    for n in 0..8 {
        world.while_posting(world.changing(&item.key, if n % 2 == 0 { Success } else { Failure }));
    }
    let item = work_on(&world, &world.deps(), &item.key).await;
    assert_eq!(world.posts().await.len(), 5);
    assert_eq!((item.due_at, item.claim_until), (Some(NOW), None));
}

#[tokio::test]
async fn a_mended_secret_is_read_once_more_and_posted_with() {
    let world = World::new().await;
    let deps = world.deps();
    let [before, after] = ["before", "after"].map(|context| world.due(context, Success));
    world.put_status(&before).await;
    world.put_status(&after).await;
    work_on(&world, &deps, &before.key).await;
    world.secrets.set("token-two");
    world.host_refuses(Some("token-one"));

    assert!(work_on(&world, &deps, &after.key).await.is_posted());

    let tokens: Vec<String> = world
        .posts()
        .await
        .into_iter()
        .map(|(_, _, token)| token)
        .collect();
    assert_eq!(tokens, ["token-one", "token-one", "token-two"]);
    assert_eq!(world.secrets.reads.load(Ordering::Relaxed), 2);
    assert_eq!(world.credential(CREDENTIAL).await.unwrap().holds, 0);
}

#[tokio::test]
async fn a_credential_without_the_right_is_read_once_more_before_the_status_is_parked() {
    let world = World::new().await;
    let deps = world.deps();
    let [before, after, parked] = ["before", "after", "parked"].map(|context| world.due(context, Success));
    for item in [&before, &after, &parked] {
        world.put_status(item).await;
    }
    work_on(&world, &deps, &before.key).await;
    world.secrets.set("token-two");
    world.host_answers([answer(403), ResponseTemplate::new(201), answer(403)]);

    assert!(work_on(&world, &deps, &after.key).await.is_posted());
    let parked = work_on(&world, &deps, &parked.key).await;

    let tokens: Vec<String> = world
        .posts()
        .await
        .into_iter()
        .map(|(_, _, token)| token)
        .collect();
    assert_eq!(tokens, ["token-one", "token-one", "token-two", "token-two"]);
    assert_eq!(parked.parked.as_deref(), Some("forbidden"));
}

#[tokio::test]
async fn a_refused_credential_rests_longer_each_time_until_it_is_mended() {
    let world = World::new().await;
    let deps = world.deps();
    let key = world.key("dev/x");
    world.put_status(&world.due("dev/x", Success)).await;
    world.host_refuses(Some("token-one"));

    for (posts, minutes) in [(1, 1), (2, 2), (3, 4)] {
        let until = world.now() + minutes * MINUTE;
        let item = work_on(&world, &deps, &key).await;
        assert_eq!(item.due_at, Some(until));
        assert_eq!((item.attempts, item.unsure, item.claim_until), (0, false, None));
        assert!(item.last_error.unwrap().contains("Bad credentials"));
        assert_eq!(
            world.credential(CREDENTIAL).await.unwrap().hold_until,
            Some(until)
        );
        // A hint within the hold reaches neither the host nor the secret.
        let reads = world.secrets.reads.load(Ordering::Relaxed);
        world.advance_to(until - 1);
        work_on(&world, &deps, &key).await;
        assert_eq!(world.posts().await.len(), posts);
        assert_eq!(world.secrets.reads.load(Ordering::Relaxed), reads);
        world.advance_to(until);
    }
    world.host_refuses(None);
    assert!(work_on(&world, &deps, &key).await.is_posted());
    let credential = world.credential(CREDENTIAL).await.unwrap();
    assert_eq!((credential.hold_until, credential.holds), (None, 0));
}

#[tokio::test]
async fn statuses_that_are_refused_side_by_side_are_one_hold() {
    let world = World::new().await;
    world.host_refuses(Some("token-one"));
    let mut records = Vec::new();
    for n in 0..4 {
        let item = world.due(&format!("dev/{n}"), Success);
        world.put_status(&item).await;
        records.push(record(&n.to_string(), &n.to_string(), &item.key));
    }
    assert!(batch(&world, &world.deps(), &records, 600).await.is_empty());
    assert_eq!(world.credential(CREDENTIAL).await.unwrap().holds, 1);
}

#[tokio::test]
async fn a_missing_secret_holds_its_statuses_until_it_is_there() {
    let world = World::new().await;
    let deps = world.deps();
    world.secrets.remove();
    let keys = ["a", "b", "c"].map(|context| world.key(context));
    for (key, turn) in keys.iter().zip(0..) {
        world.put_status(&world.due(&key.sk, Success)).await;
        let item = work_on(&world, &deps, key).await;
        assert_eq!(
            item.due_at,
            Some(NOW + MINUTE + turn * 1_000),
            "one hold for all of them, and then one a second"
        );
        assert_eq!((item.attempts, item.unsure), (0, false));
    }
    let item = world.item(&keys[0]).await;
    assert_eq!(
        item.last_error.unwrap(),
        format!("there is no secret {CREDENTIAL}")
    );
    assert_eq!(world.credential(CREDENTIAL).await.unwrap().holds, 1);
    assert_eq!(
        world.secrets.reads.load(Ordering::Relaxed),
        1,
        "nobody looks within the hold"
    );

    world.advance(MINUTE);
    let item = work_on(&world, &deps, &keys[0]).await;
    assert_eq!(item.due_at, Some(NOW + 3 * MINUTE));

    world.secrets.set("token-two");
    world.advance(2 * MINUTE);
    for key in &keys {
        assert!(work_on(&world, &deps, key).await.is_posted());
    }
    assert_eq!(world.credential(CREDENTIAL).await.unwrap().holds, 0);
}

#[tokio::test]
async fn certificates_and_proxies_that_cannot_be_used_hold_no_credential_and_heal_by_themselves() {
    let world = World::new().await;
    let deps = world.deps();
    let key = world.key("dev/x");
    world.put_status(&world.due("dev/x", Success)).await;
    world
        .put_provider(|provider| {
            provider.spec.proxy_secret_ref = Some(LocalReference { name: "proxy".into() })
        })
        .await;
    let proxy = format!("{}proxy", CREDENTIAL.strip_suffix("token").unwrap());

    let item = work_on(&world, &deps, &key).await;
    assert_eq!(
        (item.due_at, item.attempts, item.unsure),
        (Some(NOW + 30_000), 1, false)
    );
    assert_eq!(item.last_error.unwrap(), format!("there is no secret {proxy}"));
    assert_eq!(world.credential(CREDENTIAL).await.unwrap().hold_until, None);

    world.secrets.set_whole(&proxy, &json!({"address": "nowhere"}));
    world.advance(30_000);
    let item = work_on(&world, &deps, &key).await;
    assert!(
        item.last_error
            .unwrap()
            .starts_with(&format!("secret {proxy} cannot be used: `address`")),
    );

    // The host itself, which answers whoever asks it for another.
    world
        .secrets
        .set_whole(&proxy, &json!({"address": world.server.uri()}));
    world.advance(60_000);
    assert!(work_on(&world, &deps, &key).await.is_posted());
}

#[tokio::test]
async fn what_is_posted_is_written_with_its_link_and_never_because_of_it() {
    let world = World::new().await;
    let deps = world.deps();
    let mut item = world.due("dev/x", Success);
    item.desired.target_url = Some("https://acme.com/prod".into());
    world.put_status(&item).await;

    work_on(&world, &deps, &item.key).await;

    let requests = world.server.received_requests().await.unwrap();
    let body: serde_json::Value = requests[0].body_json().unwrap();
    assert_eq!(body["target_url"], "https://acme.com/prod");
}

#[tokio::test]
async fn a_secret_store_that_is_away_is_tried_again_soon() {
    let world = World::new().await;
    let deps = world.deps();
    let key = world.key("dev/x");
    world.put_status(&world.due("dev/x", Success)).await;
    world.secrets.are_away.store(true, Ordering::Relaxed);

    let item = work_on(&world, &deps, &key).await;
    assert_eq!(
        (item.due_at, item.attempts, item.unsure),
        (Some(NOW + 30_000), 1, false)
    );
    assert_eq!(
        item.last_error.unwrap(),
        "could not read a Provider's secret: throttled"
    );
    assert_eq!(world.credential(CREDENTIAL).await.unwrap().hold_until, None);

    world.secrets.are_away.store(false, Ordering::Relaxed);
    assert!(work_on(&world, &deps, &key).await.is_posted());
}

#[tokio::test]
async fn p14_a_rate_limit_holds_the_credential_until_the_instant_the_host_named() {
    let world = World::new().await;
    let deps = world.deps();
    let [limited, other] = ["limited", "other"].map(|context| world.due(context, Success));
    world.put_status(&limited).await;
    world.put_status(&other).await;
    world.host_answers([rate_limited(90)]);
    let until = NOW + 90_000;

    let item = work_on(&world, &deps, &limited.key).await;

    assert_eq!(
        world.credential(CREDENTIAL).await.unwrap().hold_until,
        Some(until)
    );
    assert_eq!(item.due_at, Some(until));
    assert_eq!((item.attempts, item.unsure, item.claim_until), (0, false, None));
    for now in [NOW, until - 1] {
        world.advance_to(now);
        let item = work_on(&world, &deps, &other.key).await;
        assert_eq!((item.due_at, item.attempts), (Some(until + 2_000), 0), "slowed");
        assert!(item.last_error.unwrap().starts_with("rate limited until"));
    }
    assert_eq!(world.posts().await.len(), 1, "nothing is posted within the hold");

    for (status, turn) in [(limited, until), (other, until + 2_000)] {
        world.advance_to(turn);
        assert!(work_on(&world, &deps, &status.key).await.is_posted());
    }
    assert_eq!(world.credential(CREDENTIAL).await.unwrap().hold_until, None);
}

/// The host takes ten seconds to answer.
#[tokio::test]
async fn a_wait_is_counted_from_the_hosts_answer() {
    let world = World::new().await;
    let item = world.due("dev/x", Success);
    world.put_status(&item).await;
    world.while_posting(world.taking(10_000));
    world.host_answers([rate_limited(90)]);

    let item = work_on(&world, &world.deps(), &item.key).await;

    let until = NOW + 100_000;
    assert_eq!(
        world.credential(CREDENTIAL).await.unwrap().hold_until,
        Some(until)
    );
    assert_eq!(item.due_at, Some(until));
}

#[tokio::test]
async fn a_credential_slows_with_each_limit_unless_a_longer_one_is_used_up() {
    let world = World::new().await;
    let deps = world.deps();
    let key = world.key("dev/x");
    world.put_status(&world.due("dev/x", Success)).await;
    let used_up = answer(403)
        .insert_header("x-ratelimit-remaining", "0")
        .insert_header("x-ratelimit-reset", (NOW / 1000 + 200).to_string());
    world.host_answers([rate_limited(60), rate_limited(60), used_up]);

    for (until, slowed) in [(NOW + 60_000, 1), (NOW + 120_000, 2), (NOW + 200_000, 2)] {
        work_on(&world, &deps, &key).await;
        let credential = world.credential(CREDENTIAL).await.unwrap();
        assert_eq!((credential.hold_until, credential.slowed), (Some(until), slowed));
        world.advance_to(until);
    }
    assert!(work_on(&world, &deps, &key).await.is_posted());
    let next = world.due("dev/y", Success);
    world.put_status(&next).await;
    let next = work_on(&world, &deps, &next.key).await;
    assert_eq!(next.due_at, Some(NOW + 204_000), "one post in four seconds");
}

/// Hints in groups of their own for that many statuses with one credential.
async fn side_by_side(world: &World, statuses: usize) -> (Vec<StatusKey>, Vec<Value>) {
    let mut keys = Vec::new();
    let mut records = Vec::new();
    for n in 0..statuses {
        let item = world.due(&format!("dev/{n}"), Success);
        world.put_status(&item).await;
        records.push(record(&n.to_string(), &n.to_string(), &item.key));
        keys.push(item.key);
    }
    (keys, records)
}

/// Another process handles a hint while the host has the next post.
fn another_poster_while_posting(world: &World, key: &StatusKey) {
    let deps = world.deps();
    let batch = json!({ "Records": [record("other", "other", key)] });
    let deadline = Timestamp::from_millisecond(world.now() + 600_000).unwrap();
    world.while_posting(move || {
        let poster = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let batch = serde_json::from_value(batch).unwrap();
            runtime.block_on(handle(&deps, batch, deadline))
        });
        assert!(poster.join().unwrap().batch_item_failures.is_empty());
    });
}

#[tokio::test]
async fn statuses_of_one_process_wait_for_each_other_and_the_last_one_ends_the_lease() {
    let world = World::new().await;
    let (keys, records) = side_by_side(&world, 5).await;

    assert!(batch(&world, &world.deps(), &records, 600).await.is_empty());

    for key in &keys {
        assert!(world.item(key).await.is_posted());
    }
    assert_eq!(world.now(), NOW, "nobody had to ask again");
    assert_eq!(world.credential(CREDENTIAL).await.unwrap().busy_until, Some(NOW));
}

#[tokio::test]
async fn another_process_does_not_post_with_the_credential_meanwhile() {
    let world = World::new().await;
    let (keys, records) = side_by_side(&world, 2).await;
    another_poster_while_posting(&world, &keys[1]);

    assert!(work_on(&world, &world.deps(), &keys[0]).await.is_posted());

    assert_eq!(world.posts().await.len(), 1);
    let other = world.item(&keys[1]).await;
    assert_eq!(other.due_at, Some(NOW + 900 + LONGEST_WAIT_MILLIS));
    assert_eq!(
        (other.attempts, other.unsure, other.claim_until),
        (0, false, None)
    );
    assert_eq!(world.now(), NOW + 900, "it has asked a few times");

    world.advance(LONGEST_WAIT_MILLIS);
    assert!(batch(&world, &world.deps(), &records, 600).await.is_empty());
    assert!(world.item(&keys[1]).await.is_posted());
}

#[tokio::test]
async fn a_credential_that_is_free_again_soon_is_waited_for() {
    let world = World::new().await;
    let item = world.due("dev/x", Success);
    world.put_status(&item).await;
    let deps = world.deps();
    let lease = Lease {
        millis: 600,
        ours: None,
    };
    let pace = HostKind::GitHub.pace();
    let store = &deps.pacer.store;
    store
        .reserve(CREDENTIAL, pace, Some(lease), false, NOW)
        .await
        .unwrap();

    assert!(work_on(&world, &deps, &item.key).await.is_posted());

    assert_eq!(world.now(), NOW + 900);
}

#[tokio::test]
async fn who_stands_in_line_until_the_deadline_comes_near_gets_a_due_date() {
    let world = World::new().await;
    let (keys, records) = side_by_side(&world, 2).await;
    world.while_posting(world.taking(10_000));

    assert!(batch(&world, &world.deps(), &records, 34).await.is_empty());

    assert_eq!(world.posts().await.len(), 1);
    let now = NOW + 10_000;
    let [first, second] = [world.item(&keys[0]).await, world.item(&keys[1]).await];
    let waiting = if first.is_posted() { second } else { first };
    assert_eq!((waiting.due_at, waiting.attempts), (Some(now), 0));
    assert_eq!(waiting.claim_until, None);
    assert_eq!(world.credential(CREDENTIAL).await.unwrap().busy_until, Some(now));
}

#[tokio::test]
async fn the_second_post_after_a_secret_was_mended_has_a_turn_of_its_own() {
    let world = World::new().await;
    let deps = world.deps();
    let (keys, _) = side_by_side(&world, 2).await;
    work_on(&world, &deps, &keys[0]).await;
    world.secrets.set("token-two");
    world.host_refuses(Some("token-one"));

    assert!(work_on(&world, &deps, &keys[1]).await.is_posted());

    assert_eq!(
        world.credential(CREDENTIAL).await.unwrap().next_slot,
        Some(NOW + 3_000)
    );
}

/// Cannot end a lease.
struct Unending(CredentialsTable);

impl CredentialStore for Unending {
    async fn reserve(
        &self,
        credential: &str,
        pace: Pace,
        lease: Option<Lease>,
        in_turn: bool,
        now: i64,
    ) -> Result<Slot, Unavailable> {
        self.0.reserve(credential, pace, lease, in_turn, now).await
    }

    async fn next_turn(
        &self,
        credential: &str,
        pace: Pace,
        earliest: i64,
        now: i64,
    ) -> Result<i64, Unavailable> {
        self.0.next_turn(credential, pace, earliest, now).await
    }

    async fn end(&self, _: &str, _: i64, _: i64) -> Result<(), Unavailable> {
        Err(Unavailable::to("let others use a credential")(
            "throttled".to_owned(),
        ))
    }

    async fn hold(&self, credential: &str, limit: Limit, reason: &str, now: i64) -> Result<u32, Unavailable> {
        self.0.hold(credential, limit, reason, now).await
    }

    async fn refuse(&self, credential: &str, reason: &str, now: i64) -> Result<i64, Unavailable> {
        self.0.refuse(credential, reason, now).await
    }

    async fn release(&self, credential: &str, now: i64) -> Result<(), Unavailable> {
        self.0.release(credential, now).await
    }
}

/// Nothing is ended on the way: that would fail here, and the next one would find the credential taken.
#[tokio::test]
async fn a_line_hands_its_lease_on_from_the_first_post_to_the_last() {
    let world = World::new().await;
    let (keys, records) = side_by_side(&world, 4).await;
    let table = CredentialsTable::new(world.client.clone(), world.statuses.clone());
    let deps = world.deps_with(Unending(table), &world.statuses, &world.rules);
    world.while_posting(|| {});
    world.while_posting(|| {});
    another_poster_while_posting(&world, &keys[3]);

    assert!(batch(&world, &deps, &records[..3], 600).await.is_empty());

    for key in &keys[..3] {
        assert!(world.item(key).await.is_posted());
    }
    assert_eq!(world.posts().await.len(), 3);
    assert!(world.item(&keys[3]).await.due_at > Some(NOW));
}

#[tokio::test]
async fn a_lease_that_could_not_be_ended_costs_others_its_rest_and_no_post() {
    let world = World::new().await;
    let (keys, _) = side_by_side(&world, 2).await;
    let table = CredentialsTable::new(world.client.clone(), world.statuses.clone());
    let deps = world.deps_with(Unending(table), &world.statuses, &world.rules);

    assert!(work_on(&world, &deps, &keys[0]).await.is_posted());

    let other = work_on(&world, &world.deps(), &keys[1]).await;
    assert_eq!(other.due_at, Some(NOW + 900 + LONGEST_WAIT_MILLIS));
    // Flux's timeout and the time to read the secret.
    world.advance_to(NOW + 10_000);
    assert!(!work_on(&world, &world.deps(), &keys[1]).await.is_posted());
    world.advance_to(NOW + 30_000);
    assert!(work_on(&world, &world.deps(), &keys[1]).await.is_posted());
    assert_eq!(world.posts().await.len(), 2);
}

/// A Git host that takes posts, and answers none before `let_go`.
async fn slow_host(let_go: Arc<Notify>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        loop {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    return;
                }
            }
            let_go.notified().await;
            let_go.notify_one();
            let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).await.unwrap();
        }
    });
    authority
}

/// The slow host answers when the other one has got all its posts, and not before.
#[tokio::test]
async fn p14_what_is_slow_or_held_does_not_slow_other_credentials_of_the_batch() {
    let world = World::new().await;
    let let_go = Arc::new(Notify::new());
    let authority = slow_host(Arc::clone(&let_go)).await;
    let (quick, mut records) = side_by_side(&world, 3).await;
    world.while_posting(|| {});
    world.while_posting(|| {});
    world.while_posting(move || let_go.notify_one());
    let mut slow = Vec::new();
    for context in ["dev/slow/1", "dev/slow/2"] {
        slow.push(world.due_elsewhere("slow", &authority, context).await);
    }
    let held = world.due_elsewhere("held", &authority, "dev/held").await;
    let store = CredentialsTable::new(world.client.clone(), world.statuses.clone());
    let limit = Limit {
        until: NOW + MINUTE,
        too_fast: None,
    };
    store.hold(&held.credential, limit, "429", NOW).await.unwrap();
    for (n, item) in slow.iter().chain([&held]).enumerate() {
        let id = format!("slow{n}");
        records.insert(0, record(&id, &id, &item.key));
    }

    assert!(batch(&world, &world.deps(), &records, 600).await.is_empty());

    for key in quick.iter().chain(slow.iter().map(|item| &item.key)) {
        assert!(world.item(key).await.is_posted(), "{key:?}");
    }
    assert_eq!(world.posts().await.len(), 3);
    assert_eq!(world.item(&held.key).await.due_at, Some(NOW + MINUTE));
}

#[tokio::test]
async fn behind_a_slot_too_far_away_a_status_gets_a_turn_and_keeps_it() {
    let world = World::new().await;
    let deps = world.deps();
    let pace = HostKind::GitHub.pace();
    let mut held_up = None;
    for n in 0..17 {
        let item = world.due(&format!("dev/{n}"), Success);
        world.put_status(&item).await;
        // What GitHub advises: 15 at once, then one each second. Those that would wait are set aside here.
        if n < 15 {
            assert!(work_on(&world, &deps, &item.key).await.is_posted());
        } else {
            deps.pacer
                .store
                .reserve(CREDENTIAL, pace, None, false, NOW)
                .await
                .unwrap();
            held_up = Some(item.key);
        }
    }
    let key = held_up.unwrap();
    let item = work_on(&world, &deps, &key).await;
    let turn = Some(NOW + 2_000);
    assert_eq!((item.due_at, item.turn_at, item.attempts), (turn, turn, 0));
    assert_eq!(world.posts().await.len(), 15);

    // A change meanwhile loses no place, and takes none of another.
    let credential = world.credential(CREDENTIAL).await;
    world.advance_to(NOW + 999);
    let mut changed = item;
    (changed.desired.state, changed.rev) = (Failure, 2);
    changed.due_at = Some(NOW + MINUTE);
    world.put_status(&changed).await;
    let changed = work_on(&world, &deps, &key).await;
    assert_eq!((changed.due_at, changed.turn_at), (turn, turn));
    assert_eq!(world.credential(CREDENTIAL).await, credential);

    world.advance_to(NOW + 2_000);
    let posted = work_on(&world, &deps, &key).await;
    assert!(posted.is_posted());
    assert_eq!((posted.desired.state, posted.turn_at), (Failure, None));

    // One that comes then, where turns are taken, gets the turn after it.
    let later = world.due("dev/later", Success);
    world.put_status(&later).await;
    let later = work_on(&world, &deps, &later.key).await;
    assert_eq!(later.turn_at, Some(NOW + 3_000));
}

#[tokio::test]
async fn behind_a_post_that_waits_for_its_slot_nobody_stands_in_line() {
    let world = World::new().await;
    let pace = HostKind::GitHub.pace();
    let deps = world.deps();
    for _ in 0..pace.burst {
        let reserved = deps.pacer.store.reserve(CREDENTIAL, pace, None, false, NOW);
        reserved.await.unwrap();
    }
    let (keys, records) = side_by_side(&world, 3).await;

    assert!(batch(&world, &deps, &records, 600).await.is_empty());

    let mut posted = 0;
    for key in &keys {
        posted += usize::from(world.item(key).await.is_posted());
    }
    assert_eq!((posted, world.now()), (1, NOW + 1_000));
    let lease = world.credential(CREDENTIAL).await.unwrap().busy_until;
    assert_eq!(lease, Some(world.now()), "the last one ended it, posted or not");
}

#[tokio::test]
async fn a_line_is_no_longer_than_a_batch_and_the_rest_get_turns_at_once() {
    let world = World::new().await;
    let (keys, records) = side_by_side(&world, LONGEST_LINE + 3).await;

    assert!(batch(&world, &world.deps(), &records, 600).await.is_empty());

    let mut turns = 0;
    for key in &keys {
        let item = world.item(key).await;
        assert_ne!(item.is_posted(), item.turn_at.is_some());
        turns += usize::from(item.turn_at.is_some());
    }
    assert_eq!(turns, 3);
    assert_eq!(world.now(), NOW, "nobody waited");
}

/// Those that stand in line in this process were there first, and are few.
#[tokio::test]
async fn a_line_is_not_held_up_by_those_that_wait_for_their_turns() {
    let world = World::new().await;
    let (keys, records) = side_by_side(&world, 3).await;
    another_poster_while_posting(&world, &keys[2]);

    assert!(batch(&world, &world.deps(), &records[..2], 600).await.is_empty());

    assert!(world.item(&keys[2]).await.turn_at.is_some());
    for key in &keys[..2] {
        assert!(world.item(key).await.is_posted());
    }
}

#[tokio::test]
async fn an_open_answer_is_posted_again_although_it_looks_posted() {
    let world = World::new().await;
    let deps = world.deps();
    let item = StatusItem {
        posted: posted(Success, 1),
        rev: 2,
        ..world.due("dev/x", Failure)
    };
    world.put_status(&item).await;
    world.host_answers([answer(502)]);

    let open = work_on(&world, &deps, &item.key).await;
    assert!(open.unsure && open.is_due());
    assert_eq!((open.claim_until, open.attempts), (Some(NOW + MINUTE), 1));
    assert_eq!(open.posted, posted(Success, 1));

    // Back to what was last recorded, while the host may show the failure.
    world.changing(&item.key, Success)();
    world.advance(MINUTE - 1);
    work_on(&world, &deps, &item.key).await;
    assert_eq!(world.states().await, ["failure"], "not within the minute");
    world.advance(1);
    let item = work_on(&world, &deps, &item.key).await;

    assert_eq!(world.states().await, ["failure", "success"]);
    assert!(item.is_posted());
    assert_eq!(item.posted.unwrap().rev, 3);
}

#[tokio::test]
async fn a_refusal_after_an_open_answer_does_not_take_the_doubt_away() {
    let world = World::new().await;
    let deps = world.deps();
    let item = world.due("dev/x", Failure);
    world.put_status(&item).await;
    world.host_answers([answer(502), rate_limited(1)]);
    work_on(&world, &deps, &item.key).await;
    world.advance(MINUTE);
    assert!(work_on(&world, &deps, &item.key).await.unsure);
    world.advance(MINUTE);
    assert!(!work_on(&world, &deps, &item.key).await.unsure);
    assert_eq!(world.posts().await.len(), 3);
}

#[tokio::test]
async fn what_crashed_the_poster_five_times_is_parked() {
    let world = World::new().await;
    let crashes_at = |context: &str, claims| StatusItem {
        claims,
        unsure: true,
        claim_until: Some(NOW),
        ..world.due(context, Failure)
    };
    let (fourth, fifth) = (crashes_at("fourth", 4), crashes_at("fifth", 5));
    world.put_status(&fourth).await;
    world.put_status(&fifth).await;
    let deps = world.deps();

    assert!(work_on(&world, &deps, &fourth.key).await.is_posted());
    let parked = work_on(&world, &deps, &fifth.key).await;

    assert_eq!(parked.parked.as_deref(), Some("crashed"));
    assert_eq!(parked.due, Some(parked_shard(&fifth.key)));
    assert!(parked.unsure, "the host may show it");
    assert_eq!(world.posts().await.len(), 1);
}

#[tokio::test]
async fn an_unknown_commit_is_tried_three_times_over_ten_minutes_and_ends() {
    let world = World::new().await;
    let deps = world.deps();
    let key = world.key("dev/x");
    world.put_status(&world.due("dev/x", Success)).await;
    world.host_answers([unknown_commit(), unknown_commit(), unknown_commit()]);

    for minutes in [2, 8] {
        let item = work_on(&world, &deps, &key).await;
        assert_eq!(item.due_at, Some(world.now() + minutes * MINUTE));
        world.advance(minutes * MINUTE);
    }
    let item = work_on(&world, &deps, &key).await;

    assert_eq!(item.ended.as_deref(), Some("unknown-commit"));
    assert_eq!((item.due, item.parked), (None, None));
    assert!(item.expires_at.is_some());
    assert_eq!(world.posts().await.len(), 3);
}

#[tokio::test]
async fn a_permanent_refusal_is_parked_and_the_next_change_tries_again() {
    let world = World::new().await;
    let deps = world.deps();
    let key = world.key("dev/x");
    world.put_status(&world.due("dev/x", Failure)).await;
    world.host_answers([answer(403)]);

    for _ in 0..2 {
        let item = work_on(&world, &deps, &key).await;
        assert_eq!(item.parked.as_deref(), Some("forbidden"));
        assert!(!item.unsure);
    }
    assert_eq!(world.posts().await.len(), 1);
    world.changing(&key, Success)();
    assert!(work_on(&world, &deps, &key).await.is_posted());
}

#[tokio::test]
async fn a_status_that_goes_nowhere_ends_or_is_parked_without_a_call() {
    let world = World::new().await;
    let gone = StatusItem {
        rule: "*/apps/gone".to_owned().try_into().unwrap(),
        ..world.due("gone", Failure)
    };
    world.put_status(&gone).await;
    let item = work_on(&world, &world.deps(), &gone.key).await;
    assert_eq!(item.ended.as_deref(), Some("skipped(rule-gone)"));

    world.put_provider(|provider| provider.spec.suspend = true).await;
    let item = world.due("suspended", Failure);
    world.put_status(&item).await;
    let item = work_on(&world, &world.deps(), &item.key).await;
    assert_eq!(item.parked.as_deref(), Some("provider-suspended"));

    world
        .put_provider(|provider| provider.spec.address += "-two")
        .await;
    let item = world.due("moved", Failure);
    world.put_status(&item).await;
    let item = work_on(&world, &world.deps(), &item.key).await;
    assert_eq!(item.ended.as_deref(), Some("skipped(provider-changed)"));
    assert!(world.posts().await.is_empty());
}

#[tokio::test]
async fn a_hint_for_nothing_is_acknowledged() {
    let world = World::new().await;
    let busy = StatusItem {
        claim_until: Some(NOW + 1),
        ..world.due("busy", Success)
    };
    world.put_status(&busy).await;
    let records = [
        record("1", "g", &world.key("absent")),
        record("2", "g", &busy.key),
        record_with("3", "g", "{"),
        record_with("4", "g", ""),
    ];
    assert!(batch(&world, &world.deps(), &records, 600).await.is_empty());
    assert_eq!(world.item(&busy.key).await, busy);
    assert!(world.posts().await.is_empty());
}

#[tokio::test]
async fn p5_a_failing_message_holds_up_the_later_ones_of_its_group_only() {
    let world = World::new().await;
    let damaged = world.key("damaged");
    world.put_damaged(&world.statuses, &damaged.pk, &damaged.sk).await;
    let [a, b, c] = ["a", "b", "c"].map(|context| world.due(context, Success));
    for item in [&a, &b, &c] {
        world.put_status(item).await;
    }
    let records = [
        record("1", "one", &a.key),
        record("2", "one", &damaged),
        record("3", "two", &b.key),
        record("4", "one", &c.key),
    ];

    assert_eq!(batch(&world, &world.deps(), &records, 600).await, ["2", "4"]);

    assert!(world.item(&a.key).await.is_posted());
    assert!(world.item(&b.key).await.is_posted());
    assert_eq!(world.item(&c.key).await, c);
}

#[tokio::test]
async fn what_was_not_begun_when_the_deadline_came_near_is_returned() {
    let world = World::new().await;
    let [a, b] = ["a", "b"].map(|context| world.due(context, Success));
    world.put_status(&a).await;
    world.put_status(&b).await;
    let records = [
        record("1", "g", &a.key),
        record("2", "g", &b.key),
        record("3", "h", &b.key),
    ];
    assert_eq!(batch(&world, &world.deps(), &records, 24).await, ["1", "2", "3"]);
    assert_eq!(world.item(&a.key).await, a);
    assert!(world.posts().await.is_empty());
}

#[tokio::test]
async fn a_table_that_does_not_answer_fails_the_message_and_what_was_claimed_comes_back() {
    let world = World::new().await;
    let item = world.due("dev/x", Pending);
    world.put_status(&item).await;
    let message = [record("1", "g", &item.key)];

    let no_statuses = world.deps_on("elsewhere", &world.rules);
    assert_eq!(batch(&world, &no_statuses, &message, 600).await, ["1"]);

    let no_rules = world.deps_on(&world.statuses, "elsewhere");
    assert_eq!(batch(&world, &no_rules, &message, 600).await, ["1"]);
    let lease_end = NOW + LEASE_MILLIS;
    assert_eq!(
        world.indexed(&due_shard(&item.key)).await,
        [(item.key.clone(), NOW)]
    );
    assert!(world.posts().await.is_empty());

    world.advance_to(lease_end);
    assert!(work_on(&world, &world.deps(), &item.key).await.is_posted());
}
