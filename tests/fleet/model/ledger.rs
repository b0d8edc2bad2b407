//! What the events say of each status, what the Git host was told, and how late.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use super::clock::START;
use super::flux::{Says, Told};

const HOUR_MILLIS: i64 = 3_600_000;

struct Status {
    says: Says,
    /// When the event came that says so.
    since: i64,
    is_told: bool,
    /// What the host was told last.
    shown: Option<Says>,
}

/// Kept while a run lasts.
pub(crate) struct Ledger {
    statuses: HashMap<(u32, u32), Status>,
    pub(crate) progressing: u64,
    pub(crate) results: u64,
    pub(crate) failures: u64,
    /// Times an event said something new.
    pub(crate) changes: u64,
    /// Of them those to pending.
    pub(crate) pendings: u64,
    pub(crate) posts: u64,
    /// Posts of a state that was not the newest any more, or was told already.
    pub(crate) needless: u64,
    /// Requests that are no post.
    pub(crate) reads: u64,
    /// Milliseconds from event to host, of results and of what is pending.
    pub(crate) late: Histogram<u64>,
    pub(crate) late_pending: Histogram<u64>,
    pub(crate) posts_by_hour: Vec<u64>,
    pub(crate) posts_by_minute: Vec<u64>,
    pub(crate) last_post: i64,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, 7 * 24 * 3_600_000, 3).unwrap();
        Self {
            statuses: HashMap::new(),
            progressing: 0,
            results: 0,
            failures: 0,
            changes: 0,
            pendings: 0,
            posts: 0,
            needless: 0,
            reads: 0,
            late: histogram(),
            late_pending: histogram(),
            posts_by_hour: Vec::new(),
            posts_by_minute: Vec::new(),
            last_post: START,
        }
    }

    pub(crate) fn events(&self) -> u64 {
        self.progressing + self.results
    }

    pub(crate) fn said(&mut self, told: Told, now: i64) {
        match told.says {
            Says::Progressing => self.progressing += 1,
            Says::Succeeded => self.results += 1,
            Says::Failed => {
                self.results += 1;
                self.failures += 1;
            }
        }
        let before = self.statuses.get(&(told.commit, told.object));
        let is_change = match before {
            None => true,
            // Once there is a result nothing is pending again.
            Some(before) => told.says != Says::Progressing && before.says != told.says,
        };
        if is_change {
            self.changes += 1;
            self.pendings += u64::from(told.says == Says::Progressing);
            // What failed and succeeded again before anybody was told is shown as it is.
            let shown = before.and_then(|before| before.shown);
            let status = Status {
                says: told.says,
                since: now,
                is_told: shown == Some(told.says),
                shown,
            };
            self.statuses.insert((told.commit, told.object), status);
        }
    }

    pub(crate) fn posted(&mut self, commit: u32, object: u32, says: Says, now: i64) {
        self.posts += 1;
        self.last_post = now;
        for (counts, length) in [
            (&mut self.posts_by_hour, HOUR_MILLIS),
            (&mut self.posts_by_minute, 60_000),
        ] {
            let index = usize::try_from((now - START) / length).unwrap();
            counts.resize(counts.len().max(index + 1), 0);
            counts[index] += 1;
        }
        let mut status = self.statuses.get_mut(&(commit, object));
        if let Some(status) = &mut status {
            status.shown = Some(says);
        }
        match status {
            Some(status) if status.says == says && !status.is_told => {
                status.is_told = true;
                let millis = u64::try_from(now - status.since).unwrap();
                let late = match says {
                    Says::Progressing => &mut self.late_pending,
                    Says::Succeeded | Says::Failed => &mut self.late,
                };
                late.record(millis.max(1)).unwrap();
            }
            // The event after it came while it was under way.
            Some(status) if status.says != says && !status.is_told => {}
            _ => self.needless += 1,
        }
    }

    /// Statuses whose newest state the host does not show.
    pub(crate) fn untold(&self) -> usize {
        self.statuses.values().filter(|status| !status.is_told).count()
    }
}
