//! Which statuses are awaited since when, and how long those that arrived took.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Times of an hour at most, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap()
}

/// What an event is counted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Before anything counts.
    WarmUp,
    /// What is measured.
    Counted,
    /// The same, while there is a burst.
    During,
    /// The burst.
    Burst,
}

/// A status, by what the service and the host both say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) sha: String,
    pub(crate) context: String,
    /// In the service's word.
    pub(crate) state: String,
}

/// A status that has not arrived.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    class: Class,
    due: Instant,
    /// When `rules` said that it is a change.
    decided: Option<Instant>,
}

/// All events of a class.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Events that were due.
    pub(crate) sent: u64,
    /// Those of them of which a status must come.
    pub(crate) changes: u64,
    /// From due to the status at the host, in microseconds.
    pub(crate) latencies: Histogram<u64>,
    /// The part of it up to the verdict of `rules`.
    pub(crate) decided: Histogram<u64>,
    /// The rest: a hint, and what `poster` does.
    pub(crate) posted: Histogram<u64>,
    /// From due to intake's answer.
    pub(crate) answers: Histogram<u64>,
    /// Answers that are not 202, and how often.
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            sent: 0,
            changes: 0,
            latencies: histogram(),
            decided: histogram(),
            posted: histogram(),
            answers: histogram(),
            refused: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    awaited: HashMap<Key, Awaited>,
    tallies: BTreeMap<Class, Tally>,
    unexpected: Vec<Key>,
}

/// What is kept by whoever sends, and by the host.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<State>);

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// An event is due; a status is awaited if it is a change.
    pub(crate) fn due(&self, class: Class, expected: Option<Key>, at: Instant) {
        let mut state = self.state();
        let tally = state.tallies.entry(class).or_default();
        tally.sent += 1;
        if let Some(key) = expected {
            tally.changes += 1;
            let awaited = Awaited {
                class,
                due: at,
                decided: None,
            };
            assert!(state.awaited.insert(key, awaited).is_none(), "awaited already");
        }
    }

    /// `rules` found a change.
    pub(crate) fn decided(&self, key: &Key, at: Instant) {
        if let Some(awaited) = self.state().awaited.get_mut(key) {
            awaited.decided = Some(at);
        }
    }

    /// A status arrived at the host.
    pub(crate) fn arrived(&self, key: Key, at: Instant) {
        let mut state = self.state();
        match state.awaited.remove(&key) {
            Some(Awaited { class, due, decided }) => {
                let tally = state.tallies.entry(class).or_default();
                tally.latencies.saturating_record(micros(at - due));
                // The log line may come after the hint.
                let decided = decided.unwrap_or(at);
                tally.decided.saturating_record(micros(decided - due));
                tally.posted.saturating_record(micros(at - decided));
            }
            None => state.unexpected.push(key),
        }
    }

    /// Intake answered.
    pub(crate) fn answered(&self, class: Class, answer: Result<(), String>, took: Duration) {
        let mut state = self.state();
        let tally = state.tallies.entry(class).or_default();
        tally.answers.saturating_record(micros(took));
        if let Err(refused) = answer {
            *tally.refused.entry(refused).or_default() += 1;
        }
    }

    /// Statuses of a class that have not arrived.
    pub(crate) fn missing(&self, class: Class) -> usize {
        self.state()
            .awaited
            .values()
            .filter(|awaited| awaited.class == class)
            .count()
    }

    /// Statuses of a class that have arrived.
    pub(crate) fn posted(&self, class: Class) -> u64 {
        let state = self.state();
        state.tallies.get(&class).map_or(0, |tally| tally.latencies.len())
    }

    /// What came of a class so far. What is missing counts as late as it is at `now` already.
    pub(crate) fn tally(&self, class: Class, now: Instant) -> Tally {
        let state = self.state();
        let mut tally = state.tallies.get(&class).cloned().unwrap_or_default();
        for awaited in state.awaited.values().filter(|awaited| awaited.class == class) {
            tally.latencies.saturating_record(micros(now - awaited.due));
            let decided = awaited.decided.unwrap_or(now);
            tally.decided.saturating_record(micros(decided - awaited.due));
            if let Some(decided) = awaited.decided {
                tally.posted.saturating_record(micros(now - decided));
            }
        }
        tally
    }

    /// Statuses that nobody awaits: posted twice, or without a change.
    pub(crate) fn unexpected(&self) -> Vec<Key> {
        self.state().unexpected.clone()
    }

    /// Begins anew.
    pub(crate) fn clear(&self) {
        *self.state() = State::default();
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}
