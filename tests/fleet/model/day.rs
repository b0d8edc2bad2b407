//! What a fleet says, and when: the same for the same seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::clock::START;
use super::flux::{Says, Told};

/// Every Kustomization is reconciled again after this time.
const INTERVAL_MILLIS: i64 = 10 * 60_000;
/// A cluster looks for a new commit so often: a GitRepository's usual interval.
const NOTICE_MILLIS: i64 = 60_000;
/// Kustomizations that kustomize-controller reconciles at once, its default.
const AT_ONCE: usize = 4;
/// From the beginning of a reconciliation of a new commit until it says what it changed.
const APPLY_MILLIS: i64 = 2_000;
/// How long such a reconciliation takes, with its health checks.
const RECONCILE_MILLIS: std::ops::Range<i64> = 5_000..25_000;
/// One result in so many is a failure.
const FAILURE_ONE_IN: u32 = 100;

/// A fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fleet {
    pub(crate) clusters: u32,
    pub(crate) kustomizations: u32,
    /// Spread over the day, the first at its beginning.
    pub(crate) commits: u32,
    pub(crate) hours: u32,
    pub(crate) seed: u64,
}

impl Fleet {
    pub(crate) fn objects(&self) -> u32 {
        self.clusters * self.kustomizations
    }

    pub(crate) fn millis(&self) -> i64 {
        i64::from(self.hours) * 3_600_000
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    /// A cluster sees a commit.
    Notice { cluster: u32, commit: u32 },
    /// A reconciliation of a new commit.
    Applied { object: u32, commit: u32 },
    /// Its end.
    Reconciled {
        object: u32,
        commit: u32,
        took_millis: i64,
    },
    /// One that finds nothing to do. It counts if no commit came between.
    Again { object: u32, commit: u32 },
}

#[derive(Clone, Copy)]
struct Object {
    /// The newest commit it has begun, and the newest its cluster knows.
    knows: u32,
    failed: bool,
}

/// What is said, in order.
pub(crate) struct Day {
    entries: BinaryHeap<Reverse<(i64, u64, Entry)>>,
    objects: Vec<Object>,
    fleet: Fleet,
    /// Whether what was reconciled is reconciled again.
    goes_on: bool,
    rng: Rng,
    sequence: u64,
}

impl Day {
    pub(crate) fn new(fleet: Fleet) -> Self {
        let mut day = Self {
            entries: BinaryHeap::new(),
            objects: vec![
                Object {
                    knows: 0,
                    failed: false
                };
                fleet.objects() as usize
            ],
            fleet,
            goes_on: true,
            rng: Rng::with_seed(fleet.seed),
            sequence: 0,
        };
        for commit in 0..fleet.commits {
            let pushed = START + fleet.millis() * i64::from(commit) / i64::from(fleet.commits);
            for cluster in 0..fleet.clusters {
                let at = pushed + day.rng.i64(0..NOTICE_MILLIS);
                day.put(at, Entry::Notice { cluster, commit });
            }
        }
        day
    }

    /// So many events of one moment: one object each, all about one commit or each about a commit of its own.
    pub(crate) fn burst(fleet: Fleet, commits: bool) -> Self {
        let mut day = Self::new(Fleet { commits: 0, ..fleet });
        day.goes_on = false;
        for object in 0..fleet.objects() {
            let commit = if commits { object } else { 0 };
            let took_millis = 10_000;
            day.objects[object as usize].knows = commit;
            let entry = Entry::Reconciled {
                object,
                commit,
                took_millis,
            };
            day.put(START + 1000, entry);
        }
        day
    }

    fn put(&mut self, at: i64, entry: Entry) {
        self.sequence += 1;
        self.entries.push(Reverse((at, self.sequence, entry)));
    }

    /// When something happens next before the end of the day.
    pub(crate) fn next(&self) -> Option<i64> {
        let Reverse((at, ..)) = self.entries.peek()?;
        (*at < START + self.fleet.millis()).then_some(*at)
    }

    /// What is said now, if what happens now is said.
    pub(crate) fn pop(&mut self, now: i64) -> Option<Told> {
        while self.next().is_some_and(|at| at <= now) {
            let Reverse((at, _, entry)) = self.entries.pop()?;
            if let Some(told) = self.happens(at, entry) {
                return Some(told);
            }
        }
        None
    }

    fn happens(&mut self, at: i64, entry: Entry) -> Option<Told> {
        match entry {
            Entry::Notice { cluster, commit } => {
                let mut free = [at; AT_ONCE];
                for number in 0..self.fleet.kustomizations {
                    let object = cluster * self.fleet.kustomizations + number;
                    self.objects[object as usize].knows = commit;
                    let lane = &mut free[number as usize % AT_ONCE];
                    let begins = *lane;
                    let took_millis = self.rng.i64(RECONCILE_MILLIS);
                    *lane += took_millis;
                    self.put(begins + APPLY_MILLIS, Entry::Applied { object, commit });
                    let reconciled = Entry::Reconciled {
                        object,
                        commit,
                        took_millis,
                    };
                    self.put(begins + took_millis, reconciled);
                }
                None
            }
            Entry::Applied { object, commit } => Some(Told {
                object,
                commit,
                says: Says::Progressing,
                took_millis: APPLY_MILLIS,
            }),
            Entry::Reconciled {
                object,
                commit,
                took_millis,
            } => Some(self.result(at, object, commit, took_millis)),
            Entry::Again { object, commit } => {
                if self.objects[object as usize].knows != commit {
                    return None;
                }
                let took_millis = self.rng.i64(200..2_000);
                Some(self.result(at, object, commit, took_millis))
            }
        }
    }

    fn result(&mut self, at: i64, object: u32, commit: u32, took_millis: i64) -> Told {
        let state = &mut self.objects[object as usize];
        // It succeeds the next time.
        state.failed = !state.failed && self.rng.u32(0..FAILURE_ONE_IN) == 0;
        let says = if state.failed {
            Says::Failed
        } else {
            Says::Succeeded
        };
        if self.goes_on {
            self.put(at + INTERVAL_MILLIS, Entry::Again { object, commit });
        }
        Told {
            object,
            commit,
            says,
            took_millis,
        }
    }
}
