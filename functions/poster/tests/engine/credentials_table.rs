//! Pace and holds.

use std::collections::BTreeSet;

use poster::adapters::CredentialsTable;
use poster::pace::Pace;
use poster::ports::{CredentialStore, Slot};

use crate::world::{NOW, World};

const A: &str = "_all/apps/a";
const PACE: Pace = Pace {
    interval_millis: 1_000,
    burst: 4,
};

async fn table() -> (World, CredentialsTable) {
    let world = World::new().await;
    let table = CredentialsTable::new(world.client.clone(), world.statuses.clone());
    (world, table)
}

fn at(millis: i64) -> Slot {
    Slot::At {
        millis,
        was_held: false,
    }
}

fn after_a_hold(millis: i64) -> Slot {
    Slot::At {
        millis,
        was_held: true,
    }
}

async fn reserve(table: &CredentialsTable, now: i64) -> Slot {
    table.reserve(A, PACE, now).await.unwrap()
}

#[tokio::test]
async fn some_posts_go_at_once_and_then_one_each_interval() {
    let (world, table) = table().await;
    for _ in 0..4 {
        assert_eq!(reserve(&table, NOW).await, at(NOW));
    }
    for wait in [1_000, 2_000, 3_000] {
        assert_eq!(reserve(&table, NOW).await, at(NOW + wait));
    }
    let full = world.credential(A).await;
    for _ in 0..2 {
        assert_eq!(reserve(&table, NOW).await, Slot::NotBefore(NOW + 4_000));
    }
    assert_eq!(
        world.credential(A).await,
        full,
        "nothing is reserved that far ahead"
    );
    assert_eq!(reserve(&table, NOW + 1_000).await, at(NOW + 4_000));
}

#[tokio::test]
async fn the_burst_comes_back_with_a_pause_and_is_never_larger() {
    let (_world, table) = table().await;
    for _ in 0..4 {
        reserve(&table, NOW).await;
    }
    let two_later = NOW + 2_000;
    assert_eq!(reserve(&table, two_later).await, at(two_later));
    assert_eq!(reserve(&table, two_later).await, at(two_later));
    assert_eq!(reserve(&table, two_later).await, at(two_later + 1_000));

    let next_day = NOW + 86_400_000;
    for _ in 0..4 {
        assert_eq!(reserve(&table, next_day).await, at(next_day));
    }
    assert_eq!(reserve(&table, next_day).await, at(next_day + 1_000));
}

#[tokio::test]
async fn a_credential_does_not_slow_another_one_down() {
    let (_world, table) = table().await;
    for _ in 0..8 {
        reserve(&table, NOW).await;
    }
    table.hold(A, NOW + 60_000, "429").await.unwrap();
    assert_eq!(table.reserve("_all/apps/b", PACE, NOW).await.unwrap(), at(NOW));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reservations_at_once_get_slots_of_their_own() {
    let world = World::new().await;
    let pace = Pace {
        interval_millis: 100,
        burst: 1,
    };
    let reservations = [(); 8].map(|()| {
        let table = CredentialsTable::new(world.client.clone(), world.statuses.clone());
        tokio::spawn(async move { table.reserve(A, pace, NOW).await.unwrap() })
    });
    let mut slots = BTreeSet::new();
    for reservation in reservations {
        match reservation.await.unwrap() {
            Slot::At { millis, .. } => assert!(slots.insert(millis - NOW), "twice: {millis}"),
            later => panic!("{later:?}"),
        }
    }
    assert_eq!(slots, BTreeSet::from_iter((0..8).map(|n| n * 100)));
}

fn held(until: i64, reason: &str) -> Slot {
    Slot::Held {
        until,
        reason: Some(reason.to_owned()),
    }
}

#[tokio::test]
async fn a_hold_lasts_until_the_exact_instant() {
    let (world, table) = table().await;
    reserve(&table, NOW).await;
    let until = NOW + 90_000;
    table.hold(A, until, "429").await.unwrap();
    let item = world.credential(A).await.unwrap();
    assert_eq!(
        (item.hold_until, item.hold_reason),
        (Some(until), Some("429".into()))
    );

    for now in [NOW, until - 1] {
        assert_eq!(reserve(&table, now).await, held(until, "429"));
    }
    assert_eq!(reserve(&table, until).await, after_a_hold(until));
    assert_eq!(
        reserve(&table, until).await,
        after_a_hold(until),
        "until a post was taken"
    );
}

#[tokio::test]
async fn a_hold_is_prolonged_and_never_shortened() {
    let (world, table) = table().await;
    let (shorter, until, longer) = (NOW + 30_000, NOW + 60_000, NOW + 90_000);
    table.hold(A, until, "first").await.unwrap();
    for not_longer in [shorter, until] {
        table.hold(A, not_longer, "second").await.unwrap();
        let item = world.credential(A).await.unwrap();
        assert_eq!((item.hold_until, item.holds), (Some(until), 1));
        assert_eq!(item.hold_reason.as_deref(), Some("first"));
    }
    table.hold(A, longer, "third").await.unwrap();
    let item = world.credential(A).await.unwrap();
    assert_eq!((item.hold_until, item.holds), (Some(longer), 2));
}

#[tokio::test]
async fn a_refused_credential_rests_for_twice_as_long_each_time() {
    let (world, table) = table().await;
    let mut now = NOW;
    for minutes in [1, 2, 4, 8, 16, 30, 30] {
        let until = now + minutes * 60_000;
        assert_eq!(table.refuse(A, "401", now).await.unwrap(), until);
        assert_eq!(reserve(&table, until - 1).await, held(until, "401"));
        now = until;
    }
    assert_eq!(world.credential(A).await.unwrap().holds, 7);

    table.release(A, now).await.unwrap();
    assert_eq!(table.refuse(A, "401", now).await.unwrap(), now + 60_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_that_are_refused_together_are_one_hold() {
    let (world, table) = table().await;
    table.refuse(A, "first", NOW).await.unwrap();
    let until = table.refuse(A, "second", NOW + 59_999).await.unwrap();
    assert_eq!(until, NOW + 60_000, "held already");
    let item = world.credential(A).await.unwrap();
    assert_eq!((item.holds, item.hold_reason), (1, Some("first".into())));

    let at_once = [0, 1, 2, 3].map(|later| {
        let table = CredentialsTable::new(world.client.clone(), world.statuses.clone());
        tokio::spawn(async move { table.refuse("b", "401", NOW + later).await.unwrap() })
    });
    let mut ends = BTreeSet::new();
    for refused in at_once {
        ends.insert(refused.await.unwrap());
    }
    let item = world.credential("b").await.unwrap();
    assert_eq!((ends.len(), item.holds), (1, 1));
    assert_eq!(item.hold_until, ends.first().copied());
}

#[tokio::test]
async fn a_taken_post_forgets_the_holds_and_keeps_the_pace() {
    let (world, table) = table().await;
    table.refuse(A, "401", NOW).await.unwrap();
    let now = NOW + 60_000;
    reserve(&table, now).await;

    table.release(A, now).await.unwrap();

    let item = world.credential(A).await.unwrap();
    assert_eq!((item.hold_until, item.hold_reason, item.holds), (None, None, 0));
    assert_eq!(item.next_slot, Some(now + 1_000));
    assert_eq!(reserve(&table, now).await, at(now));

    table.release("unknown", now).await.unwrap();
    assert_eq!(world.credential("unknown").await, None);
}

/// Two posts are under way when a hold has run out: the host takes one and limits the other.
#[tokio::test]
async fn a_taken_post_does_not_end_a_hold_that_began_meanwhile() {
    let (world, table) = table().await;
    table.hold(A, NOW + 1_000, "429").await.unwrap();
    let now = NOW + 2_000;
    table.hold(A, now + 60_000, "429 again").await.unwrap();

    table.release(A, now).await.unwrap();

    assert_eq!(reserve(&table, now).await, held(now + 60_000, "429 again"));
    assert_eq!(world.credential(A).await.unwrap().holds, 2);
}
