//! One sweep.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use shared::ErrorChain;
use shared::item::DUE_SHARDS;
use shared::message::PostHint;
use shared::metrics::{DUE, OUTCOME, PARKED, SWEEPS};

use crate::ports::{DueStatus, DueStore, HintQueue, Unavailable};

/// How far a due date is moved before its hint is sent: a hint that is lost is sent again after this time.
const LEASE_MILLIS: i64 = 120_000;

/// Statuses read of each shard in one sweep. What is left is still due a minute later.
const PER_SHARD: usize = 250;

/// Shards read at the same time. Each has a connection of its own, and a TLS handshake costs more than the wait for the
/// shards before: docs/performance.md.
const AT_ONCE: usize = 4;

/// Hints for one credential in one sweep: what a host that advises one write a second takes until the next one.
const PER_CREDENTIAL: i64 = 60;

/// Time between two sweeps.
const SWEEP_MILLIS: i64 = 60_000;

/// What the sweep works with.
pub struct Deps<D, H, C, J> {
    /// Due dates.
    pub due: D,
    /// The `posts` queue.
    pub hints: H,
    /// The clock.
    pub clock: C,
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
    /// Statuses of credentials that have enough to do, moved to a later minute.
    pub spread: usize,
    /// Statuses that could not be handled; they stay due.
    pub failed: usize,
}

/// Sends hints for what is due.
///
/// # Errors
/// If no shard of the index could be read, so that the failed invocation is seen.
pub async fn handle<D, H, C, J>(deps: &Deps<D, H, C, J>) -> Result<Swept, Unavailable>
where
    D: DueStore,
    H: HintQueue,
    C: Fn() -> Timestamp,
    J: Fn(i64) -> i64,
{
    let now = (deps.clock)().as_millisecond();
    let shards: Vec<_> = stream::iter((0..DUE_SHARDS).map(|shard| deps.due.due(shard, now, PER_SHARD)))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut swept = Swept::default();
    let mut statuses = Vec::new();
    let mut unread = None;
    for shard in shards {
        match shard {
            Ok(due) => statuses.extend(due),
            Err(error) => unread = Some(error),
        }
    }
    let is_whole = unread.is_none();
    if let Some(error) = unread {
        if statuses.is_empty() {
            count_sweep("failed");
            return Err(error);
        }
        tracing::error!(error = %ErrorChain(&error), outcome = "failed", "part of what is due could not be read");
    }
    statuses.sort_by_key(|status| status.due_at);
    swept.due = statuses.len();

    let mut of_credential: HashMap<&str, i64> = HashMap::new();
    for status in &statuses {
        let before = of_credential.entry(status.credential.as_str()).or_default();
        let sweeps_later = *before / PER_CREDENTIAL;
        *before += 1;
        match sweep_one(deps, status, sweeps_later, now).await {
            Ok(Some(true)) => swept.hinted += 1,
            Ok(Some(false)) => swept.spread += 1,
            Ok(None) => {}
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
    tracing::info!(
        swept.due = swept.due,
        swept.hinted = swept.hinted,
        swept.spread = swept.spread,
        swept.failed = swept.failed,
        outcome = "swept",
        "{} due, {} hinted, {} moved to a later minute, {} failed",
        swept.due,
        swept.hinted,
        swept.spread,
        swept.failed,
    );
    if is_whole {
        record(DUE, swept.due);
    }
    count_sweep(if is_whole && swept.failed == 0 {
        "swept"
    } else {
        "failed"
    });
    Ok(swept)
}

/// Tells how many statuses wait for a person. For the metric alone, so that only a function that is listened to asks.
pub async fn count_parked<D: DueStore, H, C, J>(deps: &Deps<D, H, C, J>) {
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

/// `Some(true)` if hinted, `Some(false)` if moved to a later sweep, `None` if somebody else was faster.
async fn sweep_one<D, H, C, J>(
    deps: &Deps<D, H, C, J>,
    status: &DueStatus,
    sweeps_later: i64,
    now: i64,
) -> Result<Option<bool>, Unavailable>
where
    D: DueStore,
    H: HintQueue,
    J: Fn(i64) -> i64,
{
    if sweeps_later > 0 {
        let due_at = now + sweeps_later * SWEEP_MILLIS + (deps.jitter)(SWEEP_MILLIS / 2);
        return Ok(deps.due.postpone(status, due_at, now).await?.then_some(false));
    }
    if !deps.due.postpone(status, now + LEASE_MILLIS, now).await? {
        return Ok(None);
    }
    let hint = PostHint {
        key: status.key.clone(),
    }
    .to_queue(&format!("due {}", status.due_at))
    .map_err(Unavailable::to("write a hint"))?;
    deps.hints.send(hint).await?;
    Ok(Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use emf::recorded::Recorded;
    use shared::message::{QueueMessage, StatusKey};
    use std::sync::Mutex;

    #[derive(Default)]
    struct World {
        due: Vec<DueStatus>,
        moved: Mutex<Vec<(String, i64)>>,
        sent: Mutex<Vec<String>>,
        /// Statuses parked in each shard.
        parked: usize,
        taken: bool,
        queue_down: bool,
        table_down: bool,
        /// A shard of the index that cannot be read.
        unread: Option<u8>,
    }

    impl DueStore for &World {
        async fn due(&self, shard: u8, now: i64, limit: usize) -> Result<Vec<DueStatus>, Unavailable> {
            if self.table_down || self.unread == Some(shard) {
                return Err(Unavailable::to("read what is due")("down".to_owned()));
            }
            let due = self
                .due
                .iter()
                .filter(|status| shard == 0 && status.due_at <= now);
            Ok(due.take(limit).cloned().collect())
        }

        async fn parked(&self, shard: u8) -> Result<usize, Unavailable> {
            if self.unread == Some(shard) {
                return Err(Unavailable::to("count what is parked")("down".to_owned()));
            }
            Ok(self.parked)
        }

        async fn postpone(&self, status: &DueStatus, due_at: i64, _: i64) -> Result<bool, Unavailable> {
            if self.taken {
                return Ok(false);
            }
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

    type Sweeper<'a> = Deps<&'a World, &'a World, fn() -> Timestamp, fn(i64) -> i64>;

    fn deps(world: &World) -> Sweeper<'_> {
        Deps {
            due: world,
            hints: world,
            clock: || Timestamp::from_millisecond(1_000_000).unwrap(),
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
    async fn moves_the_due_date_and_then_hints() {
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
    async fn one_busy_credential_is_spread_over_minutes_and_leaves_others_alone() {
        let mut due: Vec<DueStatus> = (0..130).map(|n| status(&format!("busy{n}"), n, "busy")).collect();
        due.push(status("other", 500, "other"));
        let world = World {
            due,
            ..World::default()
        };

        let swept = sweep(&world).await.unwrap();

        assert_eq!(
            swept,
            Swept {
                due: 131,
                hinted: 61,
                spread: 70,
                failed: 0
            }
        );
        let moved = world.moved.lock().unwrap();
        assert_eq!(moved[60], ("busy60".into(), 1_000_000 + SWEEP_MILLIS + 7));
        assert_eq!(moved[120], ("busy120".into(), 1_000_000 + 2 * SWEEP_MILLIS + 7));
        assert_eq!(moved[130].0, "other");
    }

    #[tokio::test]
    async fn hints_nothing_that_somebody_else_took() {
        let world = World {
            due: vec![status("a", 5, "x")],
            taken: true,
            ..World::default()
        };

        assert_eq!(
            sweep(&world).await.unwrap(),
            Swept {
                due: 1,
                ..Swept::default()
            }
        );
        assert!(world.sent.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_queue_that_is_away_leaves_the_status_due() {
        let world = World {
            due: vec![status("a", 5, "x")],
            queue_down: true,
            ..World::default()
        };

        assert_eq!(sweep(&world).await.unwrap().failed, 1);
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
