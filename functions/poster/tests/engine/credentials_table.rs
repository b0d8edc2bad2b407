//! Pace and holds.

use std::collections::BTreeSet;

use poster::adapters::CredentialsTable;
use poster::pace::{PRESSED_MILLIS, Pace, TURNS_KEPT_MILLIS};
use poster::ports::{CredentialStore, Lease, Limit, Slot};

use crate::world::{NOW, World};

const A: &str = "_all/apps/a";
const PACE: Pace = Pace {
    interval_millis: 1_000,
    burst: 4,
    one_at_a_time: false,
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
        lease: None,
    }
}

fn after_a_hold(millis: i64) -> Slot {
    Slot::At {
        millis,
        was_held: true,
        lease: None,
    }
}

async fn reserve(table: &CredentialsTable, now: i64) -> Slot {
    table.reserve(A, PACE, None, false, now).await.unwrap()
}

/// A limit that is used up.
async fn hold(table: &CredentialsTable, until: i64, reason: &str) {
    let limit = Limit {
        until,
        too_fast: None,
    };
    assert_eq!(table.hold(A, limit, reason, NOW).await.unwrap(), 0, "slowed");
}

/// A post that reserved its slot at `reserved` was too fast.
async fn too_fast(table: &CredentialsTable, reserved: i64, until: i64) -> u32 {
    let limit = Limit {
        until,
        too_fast: Some(reserved),
    };
    table.hold(A, limit, "429", reserved + 500).await.unwrap()
}

#[tokio::test]
async fn some_posts_go_at_once_and_then_one_each_interval() {
    let (world, table) = table().await;
    for _ in 0..4 {
        assert_eq!(reserve(&table, NOW).await, at(NOW));
    }
    assert_eq!(reserve(&table, NOW).await, at(NOW + 1_000));
    let full = world.credential(A).await;
    for _ in 0..2 {
        assert_eq!(reserve(&table, NOW).await, Slot::NotBefore(NOW + 2_000));
    }
    assert_eq!(
        world.credential(A).await,
        full,
        "nothing is reserved that far ahead"
    );
    assert_eq!(reserve(&table, NOW + 1_000).await, at(NOW + 2_000));
}

#[tokio::test]
async fn one_post_at_a_time_waits_for_a_slot_however_fast_the_pace_is() {
    let (_world, table) = table().await;
    let fast = Pace {
        interval_millis: 100,
        burst: 1,
        ..PACE
    };
    let ask = async |in_turn| table.reserve(A, fast, None, in_turn, NOW).await.unwrap();
    assert_eq!(ask(false).await, at(NOW));
    assert_eq!(ask(false).await, at(NOW + 100));
    assert_eq!(ask(false).await, Slot::NotBefore(NOW + 200));
    assert_eq!(ask(true).await, at(NOW + 200), "what has its turn waits a second");
}

#[tokio::test]
async fn nobody_waits_for_a_lease_of_whoever_waits_for_a_slot() {
    let (_world, table) = table().await;
    for _ in 0..4 {
        reserve(&table, NOW).await;
    }
    assert_eq!(alone(&table, None, NOW).await, alone_at(NOW + 1_000));
    assert_eq!(alone(&table, None, NOW).await, Slot::NotBefore(NOW + 2_000));
    // With a slot to be had the lease is in the way, and soon over.
    let busy_until = NOW + 1_000 + 20_000;
    assert_eq!(alone(&table, None, NOW + 3_000).await, Slot::Busy(busy_until));
}

#[tokio::test]
async fn a_credential_that_is_pressed_for_long_lets_nobody_wait_for_a_slot_who_has_no_turn() {
    let (world, table) = table().await;
    let pressed = async || world.credential(A).await.unwrap().pressed_since;
    for _ in 0..4 {
        assert_eq!(reserve(&table, NOW).await, at(NOW));
    }
    assert_eq!(pressed().await, None);
    for second in 0..10 {
        let now = NOW + second * 1_000;
        assert_eq!(reserve(&table, now).await, at(now + 1_000));
        assert_eq!(pressed().await, Some(NOW));
    }
    let later = NOW + PRESSED_MILLIS;
    assert_eq!(reserve(&table, later).await, Slot::NotBefore(later + 1_000));
    assert_eq!(in_turn(&table, later).await, at(later + 1_000));
    // Part of a burst is no sign that it is over.
    assert_eq!(reserve(&table, later + 3_000).await, at(later + 3_000));
    assert_eq!(pressed().await, Some(NOW));
    let rested = later + 60_000;
    assert_eq!(reserve(&table, rested).await, at(rested));
    assert_eq!(pressed().await, None);
}

async fn in_turn(table: &CredentialsTable, now: i64) -> Slot {
    table.reserve(A, PACE, None, true, now).await.unwrap()
}

async fn next_turn(table: &CredentialsTable, earliest: i64) -> i64 {
    table.next_turn(A, PACE, earliest, NOW).await.unwrap()
}

#[tokio::test]
async fn turns_come_one_each_interval_and_none_before_its_time() {
    let (_world, table) = table().await;
    assert_eq!(next_turn(&table, NOW + 60_000).await, NOW + 60_000);
    assert_eq!(
        next_turn(&table, NOW).await,
        NOW + 61_000,
        "behind those that wait"
    );
    assert_eq!(next_turn(&table, NOW + 60_000).await, NOW + 62_000);
    assert_eq!(next_turn(&table, NOW + 90_000).await, NOW + 90_000);
    assert_eq!(next_turn(&table, NOW + 90_000).await, NOW + 91_000);
}

#[tokio::test]
async fn turns_of_a_slowed_credential_are_as_far_apart_as_its_slots() {
    let (_world, table) = table().await;
    assert_eq!(next_turn(&table, NOW).await, NOW);
    too_fast(&table, NOW, NOW + 1_000).await;
    assert_eq!(next_turn(&table, NOW).await, NOW + 1_000);
    assert_eq!(next_turn(&table, NOW).await, NOW + 3_000);
    assert_eq!(next_turn(&table, NOW).await, NOW + 5_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_asked_for_at_once_are_all_different() {
    let world = World::new().await;
    let turns = [(); 8].map(|()| {
        let table = CredentialsTable::new(world.client.clone(), world.statuses.clone());
        tokio::spawn(async move { next_turn(&table, NOW).await })
    });
    let mut given = BTreeSet::new();
    for turn in turns {
        given.insert(turn.await.unwrap());
    }
    assert_eq!(given, (0..8).map(|n| NOW + n * PACE.interval_millis).collect());
}

#[tokio::test]
async fn what_has_no_turn_comes_after_those_that_wait_for_theirs() {
    let (world, table) = table().await;
    for turn in [NOW + 500, NOW + 1_500] {
        assert_eq!(next_turn(&table, NOW + 500).await, turn);
    }
    assert_eq!(
        reserve(&table, NOW).await,
        at(NOW),
        "slots are used until turns are taken"
    );
    assert_eq!(in_turn(&table, NOW + 500).await, at(NOW + 500));
    let before = world.credential(A).await;
    assert_eq!(reserve(&table, NOW + 501).await, Slot::NotBefore(NOW + 501));
    assert_eq!(world.credential(A).await, before, "nothing is reserved");
    assert_eq!(in_turn(&table, NOW + 1_500).await, at(NOW + 1_500));
    // The next turn that nobody has begins then.
    assert_eq!(reserve(&table, NOW + 2_499).await, Slot::NotBefore(NOW + 2_499));
    assert_eq!(reserve(&table, NOW + 2_500).await, at(NOW + 2_500));
}

#[tokio::test]
async fn where_no_turn_is_taken_slots_are_for_whoever_comes() {
    let (_world, table) = table().await;
    assert_eq!(in_turn(&table, NOW).await, at(NOW));
    next_turn(&table, NOW + 3_600_000).await;
    let kept = NOW + TURNS_KEPT_MILLIS;
    assert_eq!(reserve(&table, kept - 1).await, Slot::NotBefore(kept - 1));
    for _ in 0..4 {
        assert_eq!(reserve(&table, kept).await, at(kept));
    }
    assert_eq!(in_turn(&table, kept).await, at(kept + 1_000));
    assert_eq!(reserve(&table, kept + 5_000).await, Slot::NotBefore(kept + 5_000));
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
    hold(&table, NOW + 60_000, "429").await;
    assert_eq!(
        table
            .reserve("_all/apps/b", PACE, None, false, NOW)
            .await
            .unwrap(),
        at(NOW)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reservations_at_once_get_slots_of_their_own() {
    let world = World::new().await;
    let pace = Pace {
        interval_millis: 100,
        burst: 1,
        one_at_a_time: false,
    };
    let reservations = [(); 8].map(|()| {
        let table = CredentialsTable::new(world.client.clone(), world.statuses.clone());
        tokio::spawn(async move { table.reserve(A, pace, None, true, NOW).await.unwrap() })
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
    hold(&table, until, "429").await;
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
    hold(&table, until, "first").await;
    for not_longer in [shorter, until] {
        hold(&table, not_longer, "second").await;
        let item = world.credential(A).await.unwrap();
        assert_eq!((item.hold_until, item.holds), (Some(until), 1));
        assert_eq!(item.hold_reason.as_deref(), Some("first"));
    }
    hold(&table, longer, "third").await;
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
    hold(&table, NOW + 1_000, "429").await;
    let now = NOW + 2_000;
    hold(&table, now + 60_000, "429 again").await;

    table.release(A, now).await.unwrap();

    assert_eq!(reserve(&table, now).await, held(now + 60_000, "429 again"));
    assert_eq!(world.credential(A).await.unwrap().holds, 2);
}

#[tokio::test]
async fn a_credential_that_was_too_fast_posts_at_half_its_pace_and_without_bursts() {
    let (_world, table) = table().await;
    assert_eq!(reserve(&table, NOW).await, at(NOW));
    let until = NOW + 60_000;
    assert_eq!(too_fast(&table, NOW, until).await, 1);

    assert_eq!(reserve(&table, until).await, after_a_hold(until));
    assert_eq!(reserve(&table, until).await, Slot::NotBefore(until + 2_000));
    assert_eq!(reserve(&table, until + 1_000).await, after_a_hold(until + 2_000));
    let later = until + 100_000;
    assert_eq!(
        reserve(&table, later).await,
        after_a_hold(later),
        "a pause is no burst"
    );
    assert_eq!(reserve(&table, later).await, Slot::NotBefore(later + 2_000));
}

#[tokio::test]
async fn a_burst_under_way_is_waited_off_when_the_pace_slows() {
    let (_world, table) = table().await;
    for _ in 0..4 {
        assert_eq!(reserve(&table, NOW).await, at(NOW));
    }
    too_fast(&table, NOW, NOW + 1_000).await;
    assert_eq!(reserve(&table, NOW + 2_000).await, Slot::NotBefore(NOW + 4_000));
    assert_eq!(reserve(&table, NOW + 3_000).await, after_a_hold(NOW + 4_000));
}

#[tokio::test]
async fn the_pace_recovers_without_a_write() {
    let (world, table) = table().await;
    let until = NOW + 1_000;
    too_fast(&table, NOW, until).await;
    table.release(A, until).await.unwrap();
    let slowed = world.credential(A).await;

    let recovered = until + 10 * 60_000;
    assert_eq!(reserve(&table, recovered - 1).await, at(recovered - 1));
    assert_eq!(
        reserve(&table, recovered - 1).await,
        Slot::NotBefore(recovered + 1_999),
        "still slow"
    );
    let much_later = recovered + 60_000;
    for _ in 0..4 {
        assert_eq!(
            reserve(&table, much_later).await,
            at(much_later),
            "the burst is back"
        );
    }
    assert_eq!(reserve(&table, much_later).await, at(much_later + 1_000));
    let now = world.credential(A).await.unwrap();
    let slowed = slowed.unwrap();
    assert_eq!((now.slowed, now.slowed_at), (slowed.slowed, slowed.slowed_at));

    assert_eq!(
        too_fast(&table, much_later, much_later + 60_000).await,
        1,
        "it begins anew"
    );
}

#[tokio::test]
async fn each_limit_slows_further_and_those_of_one_wave_count_once() {
    let (world, table) = table().await;
    let mut reserved = NOW;
    for doublings in [1, 2, 3, 4, 4] {
        let until = reserved + 60_000;
        assert_eq!(too_fast(&table, reserved, until).await, doublings);
        // Those that were under way meanwhile, one of them with a longer wait.
        assert_eq!(too_fast(&table, reserved + 100, until).await, doublings);
        assert_eq!(too_fast(&table, reserved + 100, until + 5_000).await, doublings);
        assert_eq!(too_fast(&table, until + 100, until + 5_000).await, doublings);
        let item = world.credential(A).await.unwrap();
        assert_eq!((item.slowed, item.slowed_at), (doublings, Some(until + 5_000)));
        reserved = until + 5_000;
    }
}

#[tokio::test]
async fn a_limit_within_a_longer_hold_slows_and_leaves_the_hold_as_it_is() {
    let (world, table) = table().await;
    hold(&table, NOW + 3_600_000, "used up").await;
    assert_eq!(too_fast(&table, NOW, NOW + 60_000).await, 1);
    let item = world.credential(A).await.unwrap();
    assert_eq!((item.hold_until, item.holds), (Some(NOW + 3_600_000), 1));
    assert_eq!(item.hold_reason.as_deref(), Some("used up"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_that_are_too_fast_together_slow_once() {
    let world = World::new().await;
    let at_once = [0, 1, 2, 3].map(|later| {
        let table = CredentialsTable::new(world.client.clone(), world.statuses.clone());
        tokio::spawn(async move { too_fast(&table, NOW, NOW + 60_000 + later).await })
    });
    for slowed in at_once {
        assert_eq!(slowed.await.unwrap(), 1);
    }
    let item = world.credential(A).await.unwrap();
    assert_eq!((item.slowed, item.slowed_at), (1, Some(NOW + 60_003)));
}

/// A slot, and the credential alone for 20 seconds from then.
async fn alone(table: &CredentialsTable, ours: Option<i64>, now: i64) -> Slot {
    let lease = Lease { millis: 20_000, ours };
    table.reserve(A, PACE, Some(lease), false, now).await.unwrap()
}

fn alone_at(millis: i64) -> Slot {
    Slot::At {
        millis,
        was_held: false,
        lease: Some(millis + 20_000),
    }
}

#[tokio::test]
async fn one_poster_has_the_credential_until_it_ends_its_lease() {
    let (world, table) = table().await;
    assert_eq!(alone(&table, None, NOW).await, alone_at(NOW));
    let ours = NOW + 20_000;
    let taken = world.credential(A).await;
    for other in [None, Some(NOW + 19_999)] {
        assert_eq!(alone(&table, other, NOW + 5_000).await, Slot::Busy(ours));
    }
    assert_eq!(world.credential(A).await, taken, "nothing is reserved");

    assert_eq!(
        alone(&table, Some(ours), NOW + 5_000).await,
        alone_at(NOW + 5_000)
    );
    let ours = NOW + 25_000;
    table.end(A, ours - 5_000, NOW + 6_000).await.unwrap();
    assert_eq!(
        alone(&table, None, NOW + 6_000).await,
        Slot::Busy(ours),
        "not that lease"
    );
    table.end(A, ours, NOW + 6_000).await.unwrap();
    assert_eq!(alone(&table, None, NOW + 6_000).await, alone_at(NOW + 6_000));

    table.end("unknown", ours, NOW).await.unwrap();
    assert_eq!(world.credential("unknown").await, None);
}

#[tokio::test]
async fn a_lease_that_nobody_ends_ends_by_itself() {
    let (_world, table) = table().await;
    alone(&table, None, NOW).await;
    let end = NOW + 20_000;
    assert_eq!(alone(&table, None, end - 1).await, Slot::Busy(end));
    assert_eq!(alone(&table, None, end).await, alone_at(end));
}

#[tokio::test]
async fn a_lease_lasts_from_the_slot_on_and_keeps_the_pace() {
    let (_world, table) = table().await;
    for _ in 0..4 {
        reserve(&table, NOW).await;
    }
    assert_eq!(alone(&table, None, NOW).await, alone_at(NOW + 1_000));
    assert_eq!(alone(&table, None, NOW + 20_999).await, Slot::Busy(NOW + 21_000));
}

#[tokio::test]
async fn a_held_credential_is_held_for_who_has_it_too() {
    let (_world, table) = table().await;
    alone(&table, None, NOW).await;
    hold(&table, NOW + 60_000, "429").await;
    assert_eq!(
        alone(&table, Some(NOW + 20_000), NOW + 1_000).await,
        held(NOW + 60_000, "429")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_posters_one_gets_the_credential() {
    let world = World::new().await;
    let reservations = [0, 1, 2, 3].map(|later| {
        let table = CredentialsTable::new(world.client.clone(), world.statuses.clone());
        tokio::spawn(async move { alone(&table, None, NOW + later).await })
    });
    let mut got = 0;
    for reservation in reservations {
        match reservation.await.unwrap() {
            Slot::At { .. } => got += 1,
            slot => assert!(matches!(slot, Slot::Busy(_)), "{slot:?}"),
        }
    }
    assert_eq!(got, 1);
}
