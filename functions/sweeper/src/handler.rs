//! One sweep.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use shared::ErrorChain;
use shared::item::DUE_SHARDS;
use shared::message::PostHint;
use shared::metrics::{DUE, OUTCOME, PARKED, SWEEPS};

use crate::ports::{DueStatus, DueStore, HintQueue, Sleep, Unavailable};

/// How long a sweep stays where statuses wait for their turns, to send each hint at its own: nearly until the next one, which
/// begins with what came due since. Less than the function's timeout by what one more look may take.
pub const STAY: SignedDuration = SignedDuration::from_secs(57);

/// After this time no hint is sent any more: what is left is due in the next sweep.
const LONGEST_MILLIS: i64 = 65_000;

/// How far a due date is moved once the queue has its hint. The queue loses none, so this is for those that became dead
/// letters; and a hint may wait for long behind others of its commit, where a second one would only cost.
const LEASE_MILLIS: i64 = 15 * 60_000;

/// Statuses read of each shard in one look. What is left is still due in the next one.
const PER_SHARD: usize = 250;

/// Shards read, and hints sent, at the same time. Each has a connection of its own, and a TLS handshake costs more than the
/// wait for those before: docs/performance.md.
const AT_ONCE: usize = 4;

/// Time between two looks.
const LOOK_MILLIS: i64 = 5_000;

/// Hints whose turns come within this time go together, none before its turn.
const MOMENT_MILLIS: i64 = 200;

/// Hints for one credential in one look: what the fastest pace takes until the next one. Whatever comes with its turn is
/// never as many. What is more stays due for the next look, which costs nothing, unless it hides what others have due.
const PER_CREDENTIAL: i64 = 50;

/// What the sweep works with.
pub struct Deps<D, H, C, W, J> {
    /// Due dates.
    pub due: D,
    /// The `posts` queue.
    pub hints: H,
    /// The clock.
    pub clock: C,
    /// Waits for turns.
    pub sleep: W,
    /// How long to stay for turns that come: [`STAY`]. With zero, what is due now is all.
    pub stay: SignedDuration,
    /// A random number below its argument.
    pub jitter: J,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Statuses found due.
    pub due: usize,
    /// Hints sent.
    pub hinted: usize,
    /// Statuses of credentials that have enough to do, left to a later look.
    pub spread: usize,
    /// Statuses that could not be handled; they stay due.
    pub failed: usize,
}

/// Sends hints for what is due, and stays for what becomes due meanwhile, each at its time: a credential that has more to
/// post than its pace allows posts the whole minute, and nobody waits for it in a function of the poster.
///
/// # Errors
/// If no shard of the index could be read, so that the failed invocation is seen.
pub async fn handle<D, H, C, W, J>(deps: &Deps<D, H, C, W, J>) -> Result<Swept, Unavailable>
where
    D: DueStore,
    H: HintQueue,
    C: Fn() -> Timestamp,
    W: Sleep,
    J: Fn(i64) -> i64,
{
    let begun = (deps.clock)().as_millisecond();
    let stay = i64::try_from(deps.stay.as_millis()).unwrap_or_default();
    let ends = begun + stay;
    let mut swept = Swept::default();
    let mut is_whole = true;
    let mut first_due = None;
    let mut moved_away = HashMap::new();
    for looks in 0..=stay / LOOK_MILLIS {
        let now = (deps.clock)().as_millisecond();
        if looks > 0 && now >= ends {
            break;
        }
        let Look {
            statuses,
            is_whole: was_whole,
            hides_others,
        } = match look(deps, ends).await {
            Ok(read) => read,
            Err(error) if looks == 0 => {
                count_sweep("failed");
                return Err(error);
            }
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), outcome = "failed", "what is due could not be read again");
                is_whole = false;
                break;
            }
        };
        is_whole &= was_whole;
        let next_look = now + LOOK_MILLIS;
        let (near, far): (Vec<_>, Vec<_>) = statuses
            .into_iter()
            .partition(|status| status.due_at <= if stay > 0 { next_look } else { now });
        first_due.get_or_insert_with(|| near.iter().filter(|status| status.due_at <= now).count());
        if near.is_empty() && far.is_empty() {
            break;
        }
        let last = begun + LONGEST_MILLIS;
        let moves = hides_others.then_some(&mut moved_away);
        hint(deps, &near, moves, now, last, &mut swept).await;
        if stay > 0 {
            // What the poster turns away meanwhile comes soon.
            wait_until(deps, next_look.min(ends)).await;
        }
    }
    tracing::info!(
        swept.due = swept.due,
        swept.hinted = swept.hinted,
        swept.spread = swept.spread,
        swept.failed = swept.failed,
        outcome = "swept",
        "{} due, {} hinted, {} left to a later look, {} failed",
        swept.due,
        swept.hinted,
        swept.spread,
        swept.failed,
    );
    if is_whole {
        record(DUE, first_due.unwrap_or_default());
    }
    count_sweep(if is_whole && swept.failed == 0 {
        "swept"
    } else {
        "failed"
    });
    Ok(swept)
}

/// What was found.
struct Look {
    /// The longest due first.
    statuses: Vec<DueStatus>,
    /// Whether each shard could be read.
    is_whole: bool,
    /// Whether there may be more than was read.
    hides_others: bool,
}

/// What is due at `until`.
async fn look<D: DueStore, H, C, W, J>(deps: &Deps<D, H, C, W, J>, until: i64) -> Result<Look, Unavailable> {
    let shards: Vec<_> = stream::iter((0..DUE_SHARDS).map(|shard| deps.due.due(shard, until, PER_SHARD)))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut statuses = Vec::new();
    let mut unread = None;
    let mut hides_others = false;
    for shard in shards {
        match shard {
            Ok(due) => {
                hides_others |= due.len() >= PER_SHARD;
                statuses.extend(due);
            }
            Err(error) => unread = Some(error),
        }
    }
    let is_whole = unread.is_none();
    if let Some(error) = unread {
        if statuses.is_empty() {
            return Err(error);
        }
        tracing::error!(error = %ErrorChain(&error), outcome = "failed", "part of what is due could not be read");
    }
    statuses.sort_by_key(|status| status.due_at);
    Ok(Look {
        statuses,
        is_whole,
        hides_others,
    })
}

/// Sends a hint for each status at its time. They are sorted by it. `moved_away` has how many a sweep has moved out of the way of
/// others, by credential: those of a later look go behind those of an earlier one, or all would be due again within minutes. `None`
/// if they are in nobody's way.
async fn hint<D, H, C, W, J>(
    deps: &Deps<D, H, C, W, J>,
    statuses: &[DueStatus],
    mut moved_away: Option<&mut HashMap<String, i64>>,
    now: i64,
    last: i64,
    swept: &mut Swept,
) where
    D: DueStore,
    H: HintQueue,
    C: Fn() -> Timestamp,
    W: Sleep,
    J: Fn(i64) -> i64,
{
    let mut of_credential: HashMap<&str, i64> = HashMap::new();
    let mut planned = Vec::with_capacity(statuses.len());
    for status in statuses {
        let before = of_credential.entry(status.credential.as_str()).or_default();
        let has_enough = *before >= PER_CREDENTIAL;
        // Not all at once: what finds no slot takes another turn, or keeps a function waiting.
        let after_those_before = match deps.stay.is_zero() {
            true => 0,
            false => *before % PER_CREDENTIAL * LOOK_MILLIS / PER_CREDENTIAL,
        };
        *before += 1;
        let looks_later = match &mut moved_away {
            _ if !has_enough => 0,
            Some(moved_away) => {
                let moved = moved_away.entry(status.credential.clone()).or_default();
                *moved += 1;
                (*moved - 1) / PER_CREDENTIAL + 1
            }
            None => {
                swept.due += 1;
                swept.spread += 1;
                continue;
            }
        };
        planned.push((status.due_at.max(now + after_those_before), status, looks_later));
    }
    planned.sort_by_key(|(at, ..)| *at);
    let moment = |at: i64| (at - now) / MOMENT_MILLIS;
    for together in planned.chunk_by(|one, other| moment(one.0) == moment(other.0)) {
        if let Some((at, ..)) = together.last() {
            wait_until(deps, *at).await;
        }
        for some in together.chunks(AT_ONCE) {
            let sent = some.iter().map(|(_, status, looks_later)| async move {
                (*status, hint_one(deps, status, *looks_later).await)
            });
            if (deps.clock)().as_millisecond() > last {
                return;
            }
            for (status, done) in join_all(sent).await {
                swept.due += 1;
                match done {
                    Ok(true) => swept.hinted += 1,
                    Ok(false) => swept.spread += 1,
                    Err(error) => {
                        swept.failed += 1;
                        tracing::error!(
                            commit.repository = %status.key.repository(),
                            commit.sha = %status.key.sha(),
                            status.context = %status.key.sk,
                            error = %ErrorChain(&error),
                            outcome = "failed",
                            "hint for a due status not sent, it stays due"
                        );
                    }
                }
            }
        }
    }
}

async fn wait_until<D, H, C, W, J>(deps: &Deps<D, H, C, W, J>, millis: i64)
where
    C: Fn() -> Timestamp,
    W: Sleep,
{
    if let Ok(wait) = u64::try_from(millis - (deps.clock)().as_millisecond())
        && wait > 0
    {
        deps.sleep.sleep(Duration::from_millis(wait)).await;
    }
}

/// Tells how many statuses wait for a person. For the metric alone, so that only a function that is listened to asks.
pub async fn count_parked<D: DueStore, H, C, W, J>(deps: &Deps<D, H, C, W, J>) {
    let mut parked = 0;
    let mut shards = stream::iter((0..DUE_SHARDS).map(|shard| deps.due.parked(shard))).buffered(AT_ONCE);
    while let Some(shard) = shards.next().await {
        match shard {
            Ok(count) => parked += count,
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "what is parked could not be counted, nothing else is lost");
                // Less than there is would look like good news.
                return;
            }
        }
    }
    record(PARKED, parked);
}

/// As one value of a distribution: a gauge would be written again after a sweep that did not set it.
fn record(metric: &'static str, count: usize) {
    metrics::histogram!(metric).record(count as f64);
}

fn count_sweep(outcome: &'static str) {
    metrics::counter!(SWEEPS, OUTCOME => outcome).increment(1);
}

/// `true` if hinted, `false` if left to a later look.
async fn hint_one<D, H, C, W, J>(
    deps: &Deps<D, H, C, W, J>,
    status: &DueStatus,
    looks_later: i64,
) -> Result<bool, Unavailable>
where
    D: DueStore,
    H: HintQueue,
    C: Fn() -> Timestamp,
    J: Fn(i64) -> i64,
{
    let now = (deps.clock)().as_millisecond();
    if looks_later > 0 {
        let due_at = now + looks_later * LOOK_MILLIS + (deps.jitter)(LOOK_MILLIS / 2);
        deps.due.postpone(status, due_at, now).await?;
        return Ok(false);
    }
    let hint = PostHint {
        key: status.key.clone(),
    }
    .to_queue(&format!("due {}", status.due_at))
    .map_err(Unavailable::to("write a hint"))?;
    deps.hints.send(hint).await?;
    // Afterwards: until then the status is due, and another sweep's hint for the same date is the same to the queue. Who was
    // faster has moved the date, or posts it.
    deps.due.postpone(status, now + LEASE_MILLIS, now).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use emf::recorded::Recorded;
    use shared::message::{QueueMessage, StatusKey};
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[derive(Default)]
    struct World {
        due: Vec<DueStatus>,
        moved: Mutex<Vec<(String, i64)>>,
        sent: Mutex<Vec<String>>,
        /// Statuses parked in each shard.
        parked: usize,
        queue_down: bool,
        table_down: bool,
        /// A shard of the index that cannot be read.
        unread: Option<u8>,
        /// What becomes due when the first hint is sent.
        turned_away: Mutex<Option<DueStatus>>,
    }

    impl DueStore for &World {
        async fn due(&self, shard: u8, until: i64, limit: usize) -> Result<Vec<DueStatus>, Unavailable> {
            if self.table_down || self.unread == Some(shard) {
                return Err(Unavailable::to("read what is due")("down".to_owned()));
            }
            let moved = self.moved.lock().unwrap();
            let turned_away = self.turned_away.lock().unwrap();
            let due = self.due.iter().chain(turned_away.iter()).filter(|status| {
                let is_there = shard == 0 && !moved.iter().any(|(key, _)| *key == status.key.sk);
                is_there && status.due_at <= until && (status.key.sk != "turned away" || !moved.is_empty())
            });
            Ok(due.take(limit).cloned().collect())
        }

        async fn parked(&self, shard: u8) -> Result<usize, Unavailable> {
            if self.unread == Some(shard) {
                return Err(Unavailable::to("count what is parked")("down".to_owned()));
            }
            Ok(self.parked)
        }

        async fn postpone(&self, status: &DueStatus, due_at: i64, _: i64) -> Result<bool, Unavailable> {
            self.moved.lock().unwrap().push((status.key.sk.clone(), due_at));
            Ok(true)
        }
    }

    impl HintQueue for &World {
        async fn send(&self, message: QueueMessage) -> Result<(), Unavailable> {
            if self.queue_down {
                return Err(Unavailable::to("send a hint")("down".to_owned()));
            }
            self.sent.lock().unwrap().push(message.body);
            Ok(())
        }
    }

    fn status(context: &str, due_at: i64, credential: &str) -> DueStatus {
        DueStatus {
            key: StatusKey {
                pk: "github.com/a/b@0".into(),
                sk: context.into(),
            },
            due_at,
            credential: credential.into(),
        }
    }

    async fn sweep(world: &World) -> Result<Swept, Unavailable> {
        handle(&deps(world)).await
    }

    type Sweeper<'a> = Deps<&'a World, &'a World, fn() -> Timestamp, Never, fn(i64) -> i64>;

    /// Nothing is waited for by a sweep that does not stay.
    struct Never;

    impl Sleep for Never {
        async fn sleep(&self, duration: Duration) {
            panic!("waits {duration:?}");
        }
    }

    fn deps(world: &World) -> Sweeper<'_> {
        Deps {
            due: world,
            hints: world,
            clock: || Timestamp::from_millisecond(1_000_000).unwrap(),
            sleep: Never,
            stay: SignedDuration::ZERO,
            jitter: |_| 7,
        }
    }

    /// What a sweep and the count after it record.
    async fn counted(world: &World) -> Vec<String> {
        let recorded = Recorded::default();
        let listening = recorded.listen();
        // The metrics say whether it failed.
        let _ = sweep(world).await;
        count_parked(&deps(world)).await;
        drop(listening);
        recorded.sums()
    }

    #[tokio::test]
    async fn a_sweep_tells_what_is_due_and_what_is_parked_even_if_that_is_nothing() {
        let world = World {
            due: vec![status("a", 5, "x"), status("b", 6, "x")],
            parked: 3,
            ..World::default()
        };
        assert_eq!(
            counted(&world).await,
            ["Due 2", "Parked 48", "Sweeps{Outcome=swept} 1"]
        );
        assert_eq!(
            counted(&World::default()).await,
            ["Due 0", "Parked 0", "Sweeps{Outcome=swept} 1"]
        );
    }

    #[tokio::test]
    async fn a_sweep_that_failed_in_part_has_failed_and_tells_no_half_of_a_number() {
        let world = World {
            table_down: true,
            ..World::default()
        };
        assert_eq!(counted(&world).await, ["Parked 0", "Sweeps{Outcome=failed} 1"]);

        let world = World {
            due: vec![status("a", 5, "x")],
            parked: 3,
            unread: Some(7),
            ..World::default()
        };
        assert_eq!(counted(&world).await, ["Sweeps{Outcome=failed} 1"]);

        let world = World {
            due: vec![status("a", 5, "x")],
            queue_down: true,
            ..World::default()
        };
        assert_eq!(
            counted(&world).await,
            ["Due 1", "Parked 0", "Sweeps{Outcome=failed} 1"]
        );
    }

    #[tokio::test]
    async fn hints_and_moves_the_due_date() {
        let world = World {
            due: vec![
                status("b", 999_999, "x"),
                status("a", 5, "x"),
                status("later", 1_000_001, "x"),
            ],
            ..World::default()
        };

        let swept = sweep(&world).await.unwrap();

        assert_eq!(
            swept,
            Swept {
                due: 2,
                hinted: 2,
                ..Swept::default()
            }
        );
        let lease_end = 1_000_000 + LEASE_MILLIS;
        assert_eq!(
            *world.moved.lock().unwrap(),
            [("a".into(), lease_end), ("b".into(), lease_end)]
        );
        assert_eq!(
            *world.sent.lock().unwrap(),
            [
                r#"{"pk":"github.com/a/b@0","sk":"a"}"#,
                r#"{"pk":"github.com/a/b@0","sk":"b"}"#
            ]
        );
    }

    #[tokio::test]
    async fn one_busy_credential_is_spread_over_looks_and_leaves_others_alone() {
        let mut due: Vec<DueStatus> = (0..110).map(|n| status(&format!("busy{n}"), n, "busy")).collect();
        due.push(status("other", 500, "other"));
        let world = World {
            due: due.clone(),
            ..World::default()
        };
        let expected = Swept {
            due: 111,
            hinted: 51,
            spread: 60,
            failed: 0,
        };
        assert_eq!(sweep(&world).await.unwrap(), expected);
        assert_eq!(
            world.moved.lock().unwrap().len(),
            51,
            "what is left is not written"
        );

        // As many as are read at most: there may be others behind them.
        due.splice(
            110..110,
            (110..249).map(|n| status(&format!("busy{n}"), n, "busy")),
        );
        let world = World {
            due,
            ..World::default()
        };

        let swept = sweep(&world).await.unwrap();

        assert_eq!(
            swept,
            Swept {
                due: 250,
                hinted: 51,
                spread: 199,
                failed: 0
            }
        );
        let moved = world.moved.lock().unwrap();
        assert_eq!(moved[50], ("busy50".into(), 1_000_000 + LOOK_MILLIS + 7));
        assert_eq!(moved[100], ("busy100".into(), 1_000_000 + 2 * LOOK_MILLIS + 7));
        assert_eq!(moved[249].0, "other");
    }

    /// Begins at zero, and moves when somebody waits.
    #[derive(Default)]
    struct Clock(AtomicI64);

    impl Sleep for &Clock {
        async fn sleep(&self, duration: Duration) {
            let millis = i64::try_from(duration.as_millis()).unwrap();
            self.0.fetch_add(millis, Ordering::Relaxed);
        }
    }

    /// The hints of a sweep that stays, and the second each was sent in; and how long it stayed, in seconds.
    async fn stay(world: &World) -> (Vec<(String, i64)>, i64) {
        let clock = Clock::default();
        let deps = Deps {
            due: world,
            hints: world,
            clock: || Timestamp::from_millisecond(clock.0.load(Ordering::Relaxed)).unwrap(),
            sleep: &clock,
            stay: STAY,
            jitter: |_| 7,
        };
        handle(&deps).await.unwrap();
        let moved = world.moved.lock().unwrap().clone();
        let sent = moved
            .into_iter()
            .map(|(key, lease)| (key, (lease - LEASE_MILLIS) / 1000))
            .collect();
        (sent, clock.0.load(Ordering::Relaxed) / 1000)
    }

    fn sent(of: &[(&str, i64)]) -> Vec<(String, i64)> {
        of.iter().map(|(key, at)| ((*key).to_owned(), *at)).collect()
    }

    #[tokio::test]
    async fn a_sweep_stays_for_turns_and_sends_each_hint_at_its_own() {
        let world = World {
            due: vec![
                status("past", -9_000, "x"),
                status("soon", 1_000, "x"),
                status("at once with it", 1_050, "y"),
                status("later", 7_400, "x"),
                status("last", 56_000, "x"),
                status("next sweep", 58_000, "x"),
            ],
            ..World::default()
        };
        let (hints, stayed) = stay(&world).await;
        let expected = [
            ("past", 0),
            ("soon", 1),
            ("at once with it", 1),
            ("later", 7),
            ("last", 56),
        ];
        assert_eq!(hints, sent(&expected));
        assert_eq!(stayed, STAY.as_secs());
    }

    #[tokio::test]
    async fn what_one_credential_has_due_is_not_hinted_all_at_once() {
        let mut due: Vec<DueStatus> = (0..12)
            .map(|n| status(&format!("{n}"), n - 100, "busy"))
            .collect();
        due.push(status("other", -1, "other"));
        let world = World {
            due,
            ..World::default()
        };
        stay(&world).await;
        let sent = |key: &str| {
            let moved = world.moved.lock().unwrap();
            let (_, lease) = moved.iter().find(|(moved, _)| moved == key).unwrap();
            lease - LEASE_MILLIS
        };
        assert!(sent("0") <= MOMENT_MILLIS && sent("other") <= MOMENT_MILLIS);
        assert_eq!(sent("11"), 1_100);
        assert!(sent("4") < sent("6") && sent("6") < sent("8"));
    }

    #[tokio::test]
    async fn what_hides_others_in_several_looks_does_not_come_back_all_at_once() {
        let busy = |from: i64, to: i64| (from..to).map(|n| status(&format!("busy{n}"), n - 1_000, "busy"));
        let world = World {
            // What is read in two looks, and no more.
            due: busy(0, 500).collect(),
            ..World::default()
        };
        stay(&world).await;
        let mut of_looks: BTreeMap<i64, usize> = BTreeMap::new();
        for (_, due_at) in world.moved.lock().unwrap().iter() {
            if *due_at < LEASE_MILLIS {
                *of_looks.entry(due_at / LOOK_MILLIS).or_default() += 1;
            }
        }
        // Fifty of each look are hinted. The second one is a look later, and what it moves goes behind four more.
        let expected = [1, 2, 3, 4, 6, 7, 8, 9].map(|look| (look, 50));
        assert_eq!(of_looks, BTreeMap::from(expected));
    }

    #[tokio::test]
    async fn a_sweep_with_no_turns_to_wait_for_ends_at_once() {
        let world = World {
            due: vec![status("next sweep", 58_000, "x")],
            ..World::default()
        };
        assert_eq!(stay(&world).await, (vec![], 0));
    }

    #[tokio::test]
    async fn what_the_poster_turns_away_meanwhile_is_found_in_the_next_look() {
        let world = World {
            due: vec![status("past", -9_000, "x")],
            turned_away: Mutex::new(Some(status("turned away", 2_000, "x"))),
            ..World::default()
        };
        let (hints, stayed) = stay(&world).await;
        assert_eq!(hints, sent(&[("past", 0), ("turned away", 5)]));
        assert_eq!(stayed, 10, "a look that finds nothing is the last");
    }

    #[tokio::test]
    async fn what_is_left_when_the_time_is_over_stays_due() {
        let world = World {
            due: vec![status("first", 0, "x"), status("second", 4_000, "x")],
            ..World::default()
        };
        let slow = AtomicI64::new(0);
        let deps = Deps {
            due: &world,
            hints: &world,
            // Each look at the clock takes thirty seconds.
            clock: || Timestamp::from_millisecond(slow.fetch_add(30_000, Ordering::Relaxed)).unwrap(),
            sleep: Never,
            stay: STAY,
            jitter: |_| 7,
        };
        handle(&deps).await.unwrap();
        assert_eq!(world.sent.lock().unwrap().len(), 0);
        assert_eq!(world.moved.lock().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_queue_that_is_away_leaves_the_status_due() {
        let world = World {
            due: vec![status("a", 5, "x")],
            queue_down: true,
            ..World::default()
        };

        assert_eq!(sweep(&world).await.unwrap().failed, 1);
        assert!(world.moved.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_table_that_is_away_fails_the_sweep() {
        let world = World {
            table_down: true,
            ..World::default()
        };

        assert!(sweep(&world).await.is_err());
    }
}
