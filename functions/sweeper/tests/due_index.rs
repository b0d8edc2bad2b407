//! The index over what is due, against a real engine.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use cli::local_instance::dynamodb_client;
use cli::store::{create_tables, rules_table, statuses_table};
use jiff::Timestamp;
use shared::item::{DUE_SHARDS, due_shard, parked_shard};
use shared::message::{QueueMessage, StatusKey};
use sweeper::adapters::DueIndex;
use sweeper::handler::{Deps, STAY, Swept, handle};
use sweeper::ports::{DueStatus, DueStore, HintQueue, Sleep, Unavailable};

const STACK: &str = "commitstatus";
/// Milliseconds.
const NOW: i64 = 1_786_108_382_000;
const LATER: i64 = NOW + 120_000;

struct World {
    client: Client,
    table: String,
    index: DueIndex,
}

impl World {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = dynamodb_client(&format!("http://{}", listener.local_addr().unwrap()));
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_on(listener, database));
        let table = statuses_table(STACK);
        create_tables(&client, &rules_table(STACK), &table).await.unwrap();
        Self {
            index: DueIndex::new(client.clone(), table.clone()),
            client,
            table,
        }
    }

    /// What is read of a status here; the rest is for `rules` and `poster`.
    async fn put(&self, key: &StatusKey, due: &str, due_at: i64, claim_until: Option<i64>) {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let number = |value: i64| AttributeValue::N(value.to_string());
        let mut item = HashMap::from([
            ("pk".to_owned(), text(&key.pk)),
            ("sk".to_owned(), text(&key.sk)),
            ("due".to_owned(), text(due)),
            ("due_at".to_owned(), number(due_at)),
            ("credential".to_owned(), text("_all/apps/token")),
            ("rev".to_owned(), number(3)),
        ]);
        if let Some(until) = claim_until {
            item.insert("claim_until".to_owned(), number(until));
        }
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }

    async fn item(&self, key: &StatusKey) -> Option<HashMap<String, AttributeValue>> {
        self.client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.pk.clone()))
            .key("sk", AttributeValue::S(key.sk.clone()))
            .send()
            .await
            .unwrap()
            .item
    }

    /// What every shard says is due.
    async fn due(&self, now: i64, limit: usize) -> Vec<DueStatus> {
        let mut all = Vec::new();
        for shard in 0..DUE_SHARDS {
            let due = self.index.due(shard, now, limit).await.unwrap();
            let of_shard = |status: &DueStatus| due_shard(&status.key) == format!("due#{shard}");
            assert!(due.iter().all(of_shard));
            all.extend(due);
        }
        all
    }
}

fn key(context: &str) -> StatusKey {
    StatusKey {
        pk: "github.com/acme/fleet@5394cb7f48332b2de7c17dd8b8384bbc84b7e738".into(),
        sk: context.into(),
    }
}

fn status(key: &StatusKey, due_at: i64) -> DueStatus {
    DueStatus {
        key: key.clone(),
        due_at,
        credential: "_all/apps/token".into(),
    }
}

#[tokio::test]
async fn only_what_is_due_by_now_is_found_in_whichever_shard() {
    let world = World::new().await;
    let mut expected = BTreeSet::new();
    for n in 0..40 {
        let key = key(&format!("due{n}"));
        let due_at = NOW - n;
        world.put(&key, &due_shard(&key), due_at, None).await;
        expected.insert((key, due_at));
    }
    let later = key("later");
    world.put(&later, &due_shard(&later), NOW + 1, None).await;
    let parked = key("parked");
    world.put(&parked, &parked_shard(&parked), NOW - 1, None).await;

    let found = world.due(NOW, 250).await;

    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|status| status.credential == "_all/apps/token"));
    let found: BTreeSet<_> = found
        .into_iter()
        .map(|status| (status.key, status.due_at))
        .collect();
    assert_eq!(found, expected);
    let shards: BTreeSet<_> = expected.iter().map(|(key, _)| due_shard(key)).collect();
    assert!(shards.len() > 8, "the test means to fill several shards");
}

#[tokio::test]
async fn what_is_parked_is_counted_shard_by_shard_and_nothing_else() {
    let world = World::new().await;
    for n in 0..40 {
        let (parked, due) = (key(&format!("parked{n}")), key(&format!("due{n}")));
        world.put(&parked, &parked_shard(&parked), NOW + n, None).await;
        world.put(&due, &due_shard(&due), NOW - n, None).await;
    }
    let mut counts = Vec::new();
    for shard in 0..DUE_SHARDS {
        counts.push(world.index.parked(shard).await.unwrap());
    }
    assert_eq!(counts.iter().sum::<usize>(), 40);
    assert!(counts.iter().all(|count| *count < 40), "{counts:?}");
}

#[tokio::test]
async fn the_longest_due_come_first_and_no_more_than_asked_for() {
    let world = World::new().await;
    let of_one_shard: Vec<_> = (0..200)
        .map(|n| key(&format!("x{n}")))
        .filter(|key| due_shard(key) == "due#0")
        .take(5)
        .collect();
    for (n, key) in (0..).zip(&of_one_shard) {
        world.put(key, "due#0", NOW - n, None).await;
    }
    let due = world.index.due(0, NOW, 3).await.unwrap();
    let dates: Vec<i64> = due.iter().map(|status| status.due_at).collect();
    assert_eq!(dates, [NOW - 4, NOW - 3, NOW - 2]);
    assert_eq!(world.index.due(0, NOW, 5).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_date_is_moved_and_nothing_else() {
    let world = World::new().await;
    let key = key("x");
    // A claim that is over, of a poster that crashed.
    world.put(&key, &due_shard(&key), NOW - 1, Some(NOW)).await;
    let before = world.item(&key).await.unwrap();
    let [seen] = world.due(NOW, 250).await.try_into().unwrap();

    assert!(world.index.postpone(&seen, LATER, NOW).await.unwrap());

    let mut expected = before;
    expected.insert("due_at".into(), AttributeValue::N(LATER.to_string()));
    assert_eq!(world.item(&key).await.unwrap(), expected);
    assert!(world.due(LATER - 1, 250).await.is_empty());
    assert_eq!(world.due(LATER, 250).await, [status(&key, LATER)]);
}

#[tokio::test]
async fn a_date_is_not_moved_that_is_no_longer_what_the_index_showed() {
    let key = key("x");
    let due = due_shard(&key);
    let cases = [
        ("moved by somebody else", due.clone(), NOW - 5, None),
        ("parked", parked_shard(&key), NOW - 1, None),
        ("claimed with another date", due.clone(), NOW + 9, Some(NOW + 9)),
        ("claimed and parked", parked_shard(&key), NOW - 1, Some(NOW + 9)),
    ];
    for (name, now_due, due_at, claim_until) in cases {
        let world = World::new().await;
        world.put(&key, &now_due, due_at, claim_until).await;
        let before = world.item(&key).await;
        let moved = world
            .index
            .postpone(&status(&key, NOW - 1), LATER, NOW)
            .await
            .unwrap();
        assert!(!moved, "{name}");
        assert_eq!(world.item(&key).await, before, "{name}");
    }
    let world = World::new().await;
    assert!(
        !world
            .index
            .postpone(&status(&key, NOW - 1), LATER, NOW)
            .await
            .unwrap()
    );
    assert_eq!(world.item(&key).await, None, "what is gone does not come back");
}

#[tokio::test]
async fn what_is_being_posted_is_due_when_the_claim_ends() {
    let world = World::new().await;
    let key = key("x");
    let claim_ends = NOW + 90_000;
    world.put(&key, &due_shard(&key), NOW - 1, Some(claim_ends)).await;
    let before = world.item(&key).await.unwrap();

    assert!(
        world
            .index
            .postpone(&status(&key, NOW - 1), LATER, NOW)
            .await
            .unwrap()
    );

    let mut expected = before;
    expected.insert("due_at".into(), AttributeValue::N(claim_ends.to_string()));
    assert_eq!(world.item(&key).await.unwrap(), expected);
    assert_eq!(world.due(claim_ends, 250).await, [status(&key, claim_ends)]);
}

/// A clock that only goes on while somebody waits.
#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Sleep for Clock {
    async fn sleep(&self, duration: Duration) {
        let millis = duration.as_millis().try_into().unwrap();
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

/// When hints were sent, in milliseconds after the sweep began, and what tells them apart.
#[derive(Clone)]
struct Hints(Clock, Arc<Mutex<Vec<(i64, String)>>>);

impl HintQueue for Hints {
    async fn send(&self, message: QueueMessage) -> Result<(), Unavailable> {
        let after = self.0.0.load(Ordering::Relaxed) - NOW;
        self.1.lock().unwrap().push((after, message.dedupe_id));
        Ok(())
    }
}

#[tokio::test]
async fn a_sweep_that_stays_hints_a_claimed_status_again_when_its_claim_ends() {
    for (claim_ends, hinted_at, due_at) in [
        // While it stays: and what it hints then is nobody's any more.
        (NOW + 22_000, &[0, 22_000][..], NOW + 22_000 + 15 * 60_000),
        // Afterwards: for the next one.
        (NOW + 90_000, &[0][..], NOW + 90_000),
    ] {
        let world = World::new().await;
        let key = key("x");
        world.put(&key, &due_shard(&key), NOW - 1, Some(claim_ends)).await;
        let clock = Clock(Arc::new(AtomicI64::new(NOW)));
        let hints = Hints(clock.clone(), Arc::default());
        let millis = Arc::clone(&clock.0);
        let deps = Deps {
            due: DueIndex::new(world.client.clone(), world.table.clone()),
            hints: hints.clone(),
            clock: move || Timestamp::from_millisecond(millis.load(Ordering::Relaxed)).unwrap(),
            sleep: clock,
            stay: STAY,
            jitter: |_| 0,
        };

        let swept = handle(&deps).await.unwrap();

        let hints = hints.1.lock().unwrap().clone();
        let at: Vec<i64> = hints.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, hinted_at);
        let ids: BTreeSet<&String> = hints.iter().map(|(_, id)| id).collect();
        assert_eq!(ids.len(), hints.len(), "the queue would drop one");
        let times = hinted_at.len();
        assert_eq!(
            swept,
            Swept {
                due: times,
                hinted: times,
                ..Swept::default()
            }
        );
        assert_eq!(world.due(due_at, 250).await, [status(&key, due_at)]);
    }
}

#[tokio::test]
async fn of_two_sweeps_at_once_one_moves_the_date() {
    let world = World::new().await;
    let key = key("x");
    world.put(&key, &due_shard(&key), NOW - 1, None).await;
    let seen = status(&key, NOW - 1);
    let (one, other) = tokio::join!(
        world.index.postpone(&seen, LATER, NOW),
        world.index.postpone(&seen, LATER + 1, NOW)
    );
    assert_ne!(one.unwrap(), other.unwrap());
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_an_error() {
    let world = World::new().await;
    let index = DueIndex::new(world.client.clone(), "elsewhere".into());
    assert!(index.due(0, NOW, 250).await.is_err());
    assert!(index.parked(0).await.is_err());
    assert!(index.postpone(&status(&key("x"), NOW), LATER, NOW).await.is_err());
}
