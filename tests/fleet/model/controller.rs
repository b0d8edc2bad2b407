//! The same events as notification-controller would bring them to the host, by its code
//! (<https://github.com/fluxcd/notification-controller/tree/v1.9.3/internal/notifier>): `Progressing` is skipped; for every
//! result it reads the statuses of the commit, and posts unless it finds there what it would say. At GitHub it reads
//! the first page, of the newest fifty. Nothing is lost here and nobody is turned away: what its requests would meet at
//! the host is not part of it.

use std::collections::{HashMap, VecDeque};

use hosts::HostKind;

use super::clock::START;
use super::flux::{Says, Told};

const HOUR_MILLIS: i64 = 3_600_000;
/// Statuses on the page of GitHub it looks at.
const PAGE: usize = 50;

#[derive(Debug, Default)]
pub(crate) struct Controller {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    /// Writes if it always found its own status.
    pub(crate) changes: u64,
    pub(crate) requests_by_hour: Vec<u64>,
    told: HashMap<(u32, u32), Says>,
    newest: HashMap<u32, VecDeque<(u32, Says)>>,
}

impl Controller {
    pub(crate) fn said(&mut self, told: Told, kind: HostKind, now: i64) {
        if told.says == Says::Progressing {
            return;
        }
        let before = self.told.insert((told.commit, told.object), told.says);
        let is_change = before != Some(told.says);
        self.changes += u64::from(is_change);
        let writes = if kind == HostKind::GitHub {
            let page = self.newest.entry(told.commit).or_default();
            // The first of its context on the page decides.
            let found = page.iter().find(|(object, _)| *object == told.object);
            let writes = found.is_none_or(|(_, says)| *says != told.says);
            if writes {
                page.push_front((told.object, told.says));
                page.truncate(PAGE);
            }
            writes
        } else {
            is_change
        };
        self.reads += 1;
        self.writes += u64::from(writes);
        let hour = usize::try_from((now - START) / HOUR_MILLIS).unwrap();
        let counts = &mut self.requests_by_hour;
        counts.resize(counts.len().max(hour + 1), 0);
        counts[hour] += 1 + u64::from(writes);
    }
}
