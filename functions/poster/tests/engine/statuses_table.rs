//! Claims and records.

use poster::adapters::StatusesTable;
use poster::outcome::{Counts, Record, Retry};
use poster::ports::{Claim, Claimed, Recorded, StatusStore};
use poster::post::LEASE_MILLIS;
use shared::State::{Failure, Success};
use shared::item::{StatusItem, due_shard, parked_shard};
use shared::message::StatusKey;

use crate::world::{EXPIRES, NOW, World, due, posted};

const UNTIL: i64 = NOW + LEASE_MILLIS;

fn table(world: &World) -> StatusesTable {
    StatusesTable::new(world.client.clone(), world.statuses.clone())
}

/// A world with one status, and its key.
async fn world_with(change: impl FnOnce(&mut StatusItem)) -> (World, StatusKey) {
    let world = World::new().await;
    let mut item = world.due("dev/x", Failure);
    change(&mut item);
    world.put_status(&item).await;
    (world, item.key)
}

async fn try_claim(world: &World, key: &StatusKey, now: i64) -> Claimed {
    table(world).claim(key, now, LEASE_MILLIS).await.unwrap()
}

async fn ours(world: &World, key: &StatusKey, now: i64) -> Claim {
    match try_claim(world, key, now).await {
        Claimed::Ours(claim) => *claim,
        other => panic!("{other:?}"),
    }
}

async fn record(world: &World, claim: &Claim, record: &Record, now: i64) -> Recorded {
    table(world).record(claim, record, now).await.unwrap()
}

fn retry() -> Retry {
    Retry {
        due_at: NOW + 30_000,
        open: false,
        counts: Counts::Attempt,
        claim_until: None,
        turn_at: None,
        error: Some("502".into()),
    }
}

fn open() -> Retry {
    Retry {
        due_at: NOW + 60_000,
        open: true,
        claim_until: Some(NOW + 60_000),
        ..retry()
    }
}

const PARKED: Record = Record::Parked {
    reason: "forbidden",
    error: None,
};

const ENDED: Record = Record::Ended {
    reason: "already-posted",
    error: None,
};

#[tokio::test]
async fn a_claim_takes_the_status_and_returns_it_as_it_was() {
    let (world, key) = world_with(|item| item.claims = 2).await;

    let claim = ours(&world, &key, NOW).await;

    let before = StatusItem {
        claims: 2,
        ..due(&key, Failure)
    };
    assert_eq!((&claim.item, claim.until), (&before, UNTIL));
    let after = StatusItem {
        unsure: true,
        claims: 3,
        claim_until: Some(UNTIL),
        ..before
    };
    assert_eq!(world.item(&key).await, after);
    assert_eq!(
        world.indexed(&due_shard(&key)).await,
        [(key, NOW)],
        "the date stays, which is a write of the index less"
    );
}

#[tokio::test]
async fn a_claim_is_refused_where_nothing_is_due() {
    let world = World::new().await;
    let idle = StatusItem {
        due: None,
        due_at: None,
        posted: posted(Failure, 1),
        ..world.due("idle", Failure)
    };
    let mut parked = world.due("parked", Failure);
    parked.due = Some(parked_shard(&parked.key));
    for item in [idle, parked] {
        world.put_status(&item).await;
        assert_eq!(try_claim(&world, &item.key, NOW).await, Claimed::NothingDue);
        assert_eq!(world.item(&item.key).await, item, "nothing is written");
    }
    let absent = world.key("absent");
    assert_eq!(try_claim(&world, &absent, NOW).await, Claimed::NothingDue);
    assert!(!world.exists(&absent).await);
}

#[tokio::test]
async fn a_claim_does_not_ask_for_the_date() {
    let (world, key) = world_with(|item| item.due_at = Some(NOW + 900_000)).await;
    ours(&world, &key, NOW).await;
}

#[tokio::test]
async fn a_claim_keeps_others_away_until_its_lease_ends() {
    let (world, key) = world_with(|_| {}).await;
    ours(&world, &key, NOW).await;
    assert_eq!(try_claim(&world, &key, UNTIL - 1).await, Claimed::Busy);

    let second = ours(&world, &key, UNTIL).await;

    assert_eq!((second.item.claims, second.item.unsure), (1, true));
    assert_eq!(world.item(&key).await.claims, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_claim_at_once_one_gets_it() {
    let (world, key) = world_with(|_| {}).await;
    let claims = [(); 6].map(|()| {
        let (table, key) = (table(&world), key.clone());
        tokio::spawn(async move { table.claim(&key, NOW, LEASE_MILLIS).await.unwrap() })
    });
    let mut ours = 0;
    for claim in claims {
        ours += usize::from(matches!(claim.await.unwrap(), Claimed::Ours(_)));
    }
    assert_eq!(ours, 1);
    assert_eq!(world.item(&key).await.claims, 1);
}

#[tokio::test]
async fn a_post_clears_every_marker() {
    let (world, key) = world_with(|item| {
        item.rev = 4;
        item.posts = 2;
        item.attempts = 3;
        item.claims = 1;
        item.unsure = true;
        item.last_error = Some("502".into());
        item.ended = Some("skipped(rule-gone)".into());
    })
    .await;
    let claim = ours(&world, &key, NOW).await;

    assert_eq!(record(&world, &claim, &Record::Posted, NOW).await, Recorded::Done);

    let expected = StatusItem {
        rev: 4,
        settled: 4,
        posts: 3,
        posted: posted(Failure, 4),
        due: None,
        due_at: None,
        expires_at: Some(EXPIRES),
        ..due(&key, Failure)
    };
    assert_eq!(world.item(&key).await, expected);
    assert!(world.indexed(&due_shard(&key)).await.is_empty());
    assert_eq!(try_claim(&world, &key, NOW).await, Claimed::NothingDue);
}

#[tokio::test]
async fn a_post_of_what_has_changed_meanwhile_leaves_the_change_due() {
    let (world, key) = world_with(|_| {}).await;
    let claim = ours(&world, &key, NOW).await;
    world.changing(&key, Success)();

    assert_eq!(
        record(&world, &claim, &Record::Posted, NOW + 1).await,
        Recorded::Changed
    );

    let item = world.item(&key).await;
    assert_eq!(
        item.posted.as_ref().map(|posted| (posted.state, posted.rev)),
        Some((Failure, 1))
    );
    assert_eq!((item.rev, item.settled, item.posts), (2, 1, 1));
    assert_eq!((item.due_at, item.expires_at), (Some(NOW + 1), None));
    assert_eq!((item.unsure, item.claim_until), (false, None));
    let next = ours(&world, &key, NOW + 1).await;
    assert_eq!(
        record(&world, &next, &Record::Posted, NOW + 2).await,
        Recorded::Done
    );
    assert_eq!(world.item(&key).await.posted.unwrap().state, Success);
}

#[tokio::test]
async fn a_record_that_was_repeated_because_its_answer_was_lost_changes_nothing() {
    let (world, key) = world_with(|_| {}).await;
    let claim = ours(&world, &key, NOW).await;
    record(&world, &claim, &Record::Posted, NOW).await;
    let once = world.item(&key).await;

    assert_eq!(record(&world, &claim, &Record::Posted, NOW).await, Recorded::Done);
    assert_eq!(world.item(&key).await, once);

    world.changing(&key, Success)();
    assert_eq!(
        record(&world, &claim, &Record::Posted, NOW).await,
        Recorded::Changed
    );
}

#[tokio::test]
async fn who_lost_the_lease_makes_the_status_due_and_unsure_again() {
    for outcome in [Record::Posted, Record::Retry(retry()), PARKED, ENDED] {
        let (world, key) = world_with(|_| {}).await;
        let late = ours(&world, &key, NOW).await;
        let next = ours(&world, &key, UNTIL).await;
        record(&world, &next, &Record::Posted, UNTIL + 1).await;
        assert_eq!(world.item(&key).await.due, None);

        let now = UNTIL + 2;
        assert_eq!(
            record(&world, &late, &outcome, now).await,
            Recorded::Lost,
            "{outcome:?}"
        );

        let item = world.item(&key).await;
        assert!(item.is_due() && item.unsure, "{outcome:?}");
        assert_eq!((item.expires_at, item.parked, item.ended), (None, None, None));
        assert_eq!(
            item.posted.unwrap().at,
            UNTIL + 1,
            "what the other recorded stands"
        );
        let again = ours(&world, &key, item.due_at.unwrap()).await;
        assert!(again.item.unsure, "so that it is posted although it looks posted");
    }
}

#[tokio::test]
async fn who_lost_the_lease_takes_a_parked_status_out_again() {
    let (world, key) = world_with(|_| {}).await;
    let late = ours(&world, &key, NOW).await;
    let next = ours(&world, &key, UNTIL).await;
    record(&world, &next, &PARKED, UNTIL).await;

    assert_eq!(
        record(&world, &late, &Record::Posted, UNTIL).await,
        Recorded::Lost
    );
    let item = world.item(&key).await;
    assert!(item.is_due());
    assert_eq!(item.parked, None);
}

/// The late post may have reached the host after that of the poster that now has the status.
#[tokio::test]
async fn who_lost_the_lease_is_not_overruled_by_who_has_it() {
    let (world, key) = world_with(|_| {}).await;
    let late = ours(&world, &key, NOW).await;
    let next = ours(&world, &key, UNTIL).await;
    assert_eq!(
        record(&world, &late, &Record::Posted, UNTIL + 1).await,
        Recorded::Lost
    );
    assert_eq!(
        try_claim(&world, &key, next.until).await,
        Claimed::Busy,
        "the other keeps its time"
    );

    assert_eq!(
        record(&world, &next, &Record::Posted, UNTIL + 2).await,
        Recorded::Lost
    );

    let item = world.item(&key).await;
    assert!(item.is_due() && item.unsure);
    let last = ours(&world, &key, item.due_at.unwrap()).await;
    assert_eq!(
        record(&world, &last, &Record::Posted, last.until).await,
        Recorded::Done
    );
    assert!(world.item(&key).await.is_posted());
}

#[tokio::test]
async fn a_status_that_was_deleted_meanwhile_does_not_come_back() {
    for outcome in [Record::Posted, Record::Retry(retry()), PARKED, ENDED] {
        let (world, key) = world_with(|_| {}).await;
        let claim = ours(&world, &key, NOW).await;
        world.delete(&key).await;
        assert_eq!(record(&world, &claim, &outcome, NOW).await, Recorded::Done);
        assert!(!world.exists(&key).await, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_retry_moves_the_date_and_counts() {
    let (world, key) = world_with(|item| item.attempts = 1).await;
    let claim = ours(&world, &key, NOW).await;

    assert_eq!(
        record(&world, &claim, &Record::Retry(retry()), NOW).await,
        Recorded::Done
    );

    let expected = StatusItem {
        attempts: 2,
        due_at: Some(NOW + 30_000),
        last_error: Some("502".into()),
        ..due(&key, Failure)
    };
    assert_eq!(world.item(&key).await, expected, "sure again, and nobody has it");
    assert_eq!(world.indexed(&due_shard(&key)).await, [(key, NOW + 30_000)]);
}

#[tokio::test]
async fn a_retry_because_the_credential_is_held_is_no_attempt() {
    let (world, key) = world_with(|item| {
        item.attempts = 1;
        item.last_error = Some("502".into());
    })
    .await;
    let claim = ours(&world, &key, NOW).await;
    let held = Retry {
        counts: Counts::Nothing,
        error: None,
        ..retry()
    };
    record(&world, &claim, &Record::Retry(held), NOW).await;

    let item = world.item(&key).await;
    assert_eq!((item.attempts, item.last_error), (1, Some("502".into())));
}

#[tokio::test]
async fn only_an_outcome_that_is_certain_takes_doubt_away_and_only_its_own() {
    let cases = [
        ("a refusal", false, Record::Retry(retry()), false),
        (
            "a refusal after an open answer",
            true,
            Record::Retry(retry()),
            true,
        ),
        ("an open answer", false, Record::Retry(open()), true),
        ("parked", false, PARKED, false),
        ("parked after an open answer", true, PARKED, true),
        ("ended", false, ENDED, false),
        ("ended after an open answer", true, ENDED, true),
        ("posted after an open answer", true, Record::Posted, false),
    ];
    for changed in [false, true] {
        for (name, before, outcome, after) in &cases {
            let (world, key) = world_with(|item| item.unsure = *before).await;
            let claim = ours(&world, &key, NOW).await;
            if changed {
                world.changing(&key, Success)();
            }
            record(&world, &claim, outcome, NOW).await;
            assert_eq!(
                world.item(&key).await.unsure,
                *after,
                "{name}, changed meanwhile: {changed}"
            );
        }
    }
}

#[tokio::test]
async fn an_open_answer_keeps_everybody_away_for_a_minute() {
    let (world, key) = world_with(|_| {}).await;
    let first = ours(&world, &key, NOW).await;
    record(&world, &first, &Record::Retry(open()), NOW).await;
    let item = world.item(&key).await;
    assert_eq!(
        (item.claim_until, item.claims, item.attempts),
        (Some(NOW + 60_000), 0, 1)
    );

    world.changing(&key, Success)();
    assert_eq!(try_claim(&world, &key, NOW + 59_999).await, Claimed::Busy);
    ours(&world, &key, NOW + 60_000).await;
}

#[tokio::test]
async fn a_retry_of_what_has_changed_meanwhile_leaves_its_attempts_alone() {
    let (world, key) = world_with(|item| item.attempts = 5).await;
    let claim = ours(&world, &key, NOW).await;
    world.changing(&key, Success)();

    assert_eq!(
        record(&world, &claim, &Record::Retry(retry()), NOW).await,
        Recorded::Done
    );

    let item = world.item(&key).await;
    assert_eq!((item.attempts, item.due_at), (0, Some(NOW + 30_000)));
    assert_eq!(item.desired.state, Success);
    assert_eq!(item.settled, 0, "neither has an end");
}

#[tokio::test]
async fn a_parked_status_is_listed_as_such_and_never_expires() {
    let (world, key) = world_with(|item| item.attempts = 2).await;
    let claim = ours(&world, &key, NOW).await;
    let parked = Record::Parked {
        reason: "forbidden",
        error: Some("403 no".into()),
    };

    assert_eq!(record(&world, &claim, &parked, NOW + 5).await, Recorded::Done);

    let expected = StatusItem {
        attempts: 2,
        settled: 1,
        parked: Some("forbidden".into()),
        last_error: Some("403 no".into()),
        due: Some(parked_shard(&key)),
        due_at: Some(NOW + 5),
        ..due(&key, Failure)
    };
    assert_eq!(world.item(&key).await, expected);
    assert!(world.indexed(&due_shard(&key)).await.is_empty());
    assert_eq!(world.indexed(&parked_shard(&key)).await, [(key.clone(), NOW + 5)]);
    assert_eq!(try_claim(&world, &key, UNTIL).await, Claimed::NothingDue);
}

#[tokio::test]
async fn an_ended_status_is_in_no_list_and_expires() {
    let (world, key) = world_with(|item| item.last_error = Some("502".into())).await;
    let claim = ours(&world, &key, NOW).await;

    assert_eq!(record(&world, &claim, &ENDED, NOW).await, Recorded::Done);

    let expected = StatusItem {
        ended: Some("already-posted".into()),
        settled: 1,
        due: None,
        due_at: None,
        expires_at: Some(EXPIRES),
        ..due(&key, Failure)
    };
    assert_eq!(world.item(&key).await, expected);
    assert!(world.indexed(&due_shard(&key)).await.is_empty());
}

#[tokio::test]
async fn what_is_parked_or_ended_has_changed_meanwhile_and_is_due_at_once() {
    for outcome in [PARKED, ENDED] {
        let (world, key) = world_with(|_| {}).await;
        let claim = ours(&world, &key, NOW).await;
        world.changing(&key, Success)();

        assert_eq!(record(&world, &claim, &outcome, NOW + 5).await, Recorded::Changed);

        let item = world.item(&key).await;
        assert_eq!((item.parked, item.ended, item.expires_at), (None, None, None));
        assert_eq!((item.rev, item.settled), (2, 1));
        assert_eq!(world.indexed(&due_shard(&key)).await, [(key.clone(), NOW + 5)]);
        ours(&world, &key, NOW + 5).await;
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_an_error() {
    let world = World::new().await;
    let key = world.key("damaged");
    world.put_damaged(&world.statuses, &key.pk, &key.sk).await;
    let error = table(&world).claim(&key, NOW, LEASE_MILLIS).await.unwrap_err();
    assert_eq!(error.to_string(), "could not understand a status item");
}
