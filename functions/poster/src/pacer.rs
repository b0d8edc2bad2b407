//! Whose turn it is to post with a credential.
//!
//! Where the host wants one post at a time, the posts of this process stand in line for their credential, and one lease
//! in the table keeps other processes away as long as the line lasts. It is a courtesy to the host and no lock: what a
//! status says never depends on it, and a lease that nobody ends ends by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use shared::ErrorChain;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::pace::{BUSY_WAITS_MILLIS, LONGEST_LINE, LONGEST_WAIT_MILLIS, Pace};
use crate::ports::{CredentialStore, Lease, Sleep, Slot, Unavailable};

/// Posts of this process that stand in line for a credential. Forgotten when nobody stands there.
#[derive(Default)]
struct Line {
    /// Until when this process has the credential, as the last post in line left it.
    lease: Arc<Mutex<Option<i64>>>,
    /// Whether the head of the line had to wait for its slot: nobody waits behind it then.
    is_pressed: AtomicBool,
}

/// Lets posts go in turn.
pub struct Pacer<P, W> {
    /// Pace, holds and leases.
    pub store: P,
    sleep: W,
    lines: Mutex<HashMap<String, Arc<Line>>>,
}

/// The head of the line for a credential. Given back with [`Pacer::leave`].
pub struct Place<'a> {
    credential: &'a str,
    pace: Pace,
    /// Absent where posts need not wait for each other.
    line: Option<(Arc<Line>, OwnedMutexGuard<Option<i64>>)>,
}

impl Place<'_> {
    /// The lease that this process goes on from, where one post at a time is wanted.
    fn ours(&self) -> Option<Option<i64>> {
        self.line.as_ref().map(|(_, lease)| **lease)
    }

    fn press(&self, is_pressed: bool) {
        if let Some((line, _)) = &self.line {
            line.is_pressed.store(is_pressed, Ordering::Relaxed);
        }
    }
}

/// When a post may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Now {
        /// When its slot was reserved, in milliseconds.
        reserved: i64,
        /// See [`Slot::At`].
        was_held: bool,
        /// Until when nobody else posts, in milliseconds, where one post at a time is wanted.
        until: Option<i64>,
    },
    /// Not before this millisecond; the reason if the credential is held.
    NotBefore(i64, Option<String>),
}

impl<P: CredentialStore, W: Sleep> Pacer<P, W> {
    /// Over a store, with nobody in line.
    pub fn new(store: P, sleep: W) -> Self {
        Self {
            store,
            sleep,
            lines: Mutex::default(),
        }
    }

    /// Waits until the posts of this process before it are over, if the host wants it so; `None` if that takes longer
    /// than `patience`, the line is too long, or its head has to wait for its slot.
    pub async fn line_up<'a>(
        &self,
        credential: &'a str,
        pace: Pace,
        patience: Duration,
        clock: &impl Fn() -> Timestamp,
    ) -> Option<Place<'a>> {
        let place = |line| Place {
            credential,
            pace,
            line,
        };
        if !pace.one_at_a_time {
            return Some(place(None));
        }
        let line = self.line(credential).await;
        // The table of lines, and we.
        if Arc::strong_count(&line) > LONGEST_LINE + 1 {
            return None;
        }
        if let Ok(lease) = Arc::clone(&line.lease).try_lock_owned() {
            return Some(place(Some((line, lease))));
        }
        let is_pressed = || line.is_pressed.load(Ordering::Relaxed);
        if is_pressed() {
            return None;
        }
        let lease = tokio::time::timeout(patience, Arc::clone(&line.lease).lock_owned()).await;
        let lease = lease.ok()?;
        if is_pressed() {
            // It may be on us to end the lease.
            self.leave(place(Some((line, lease))), clock()).await;
            return None;
        }
        Some(place(Some((line, lease))))
    }

    async fn line(&self, credential: &str) -> Arc<Line> {
        let mut lines = self.lines.lock().await;
        // Nobody stands there but us.
        lines.retain(|_, line| Arc::strong_count(line) > 1);
        Arc::clone(lines.entry(credential.to_owned()).or_default())
    }

    /// Waits for the credential's next slot, and a short time for another process to finish with the credential. The post
    /// is over `millis` after its slot. One that is not `in_turn` lets those go first that wait for theirs, unless this
    /// process has the credential already: the line it stands in is short.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn turn(
        &self,
        place: &mut Place<'_>,
        millis: i64,
        in_turn: bool,
        clock: &impl Fn() -> Timestamp,
    ) -> Result<Turn, Unavailable> {
        let mut waits = BUSY_WAITS_MILLIS.into_iter();
        loop {
            let now = clock().as_millisecond();
            let lease = place.ours().map(|ours| Lease { millis, ours });
            let slot = self
                .store
                .reserve(place.credential, place.pace, lease, in_turn, now)
                .await?;
            match slot {
                Slot::At {
                    millis,
                    was_held,
                    lease,
                } => {
                    if let Some((_, ours)) = &mut place.line {
                        **ours = lease;
                    }
                    place.press(millis > now);
                    if let Ok(wait) = u64::try_from(millis - clock().as_millisecond())
                        && wait > 0
                    {
                        self.sleep.sleep(Duration::from_millis(wait)).await;
                    }
                    return Ok(Turn::Now {
                        reserved: now,
                        was_held,
                        until: lease,
                    });
                }
                Slot::Busy(_) => match waits.next() {
                    Some(wait) => self.sleep.sleep(Duration::from_millis(wait)).await,
                    // Its lease may last for much longer, but hardly does.
                    None => {
                        place.press(true);
                        return Ok(Turn::NotBefore(now + LONGEST_WAIT_MILLIS, None));
                    }
                },
                Slot::NotBefore(millis) => {
                    place.press(true);
                    return Ok(Turn::NotBefore(millis, None));
                }
                Slot::Held { until, reason } => {
                    place.press(true);
                    return Ok(Turn::NotBefore(until, reason));
                }
            }
        }
    }

    /// Lets the next one in line go on. The last one ends the lease.
    pub async fn leave(&self, place: Place<'_>, now: Timestamp) {
        let Some((line, mut ours)) = place.line else {
            return;
        };
        // The table of lines, and we.
        let is_last = Arc::strong_count(&line) <= 2;
        if is_last
            && let Some(lease) = ours.take()
            && lease > now.as_millisecond()
            && let Err(error) = self
                .store
                .end(place.credential, lease, now.as_millisecond())
                .await
        {
            tracing::warn!(
                credential = %place.credential,
                lease.until = lease,
                error = %ErrorChain(&error),
                "others wait for this credential until its lease ends by itself"
            );
        }
    }
}
