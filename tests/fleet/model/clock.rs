//! A clock that only the run moves, and waiting by it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;

/// When every run begins: midnight.
pub(crate) const START: i64 = 1_786_060_800_000; // 2026-08-07T00:00:00Z

/// The clock of a run, in milliseconds.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Inner>);

struct Inner {
    now: AtomicI64,
    waits: AtomicU64,
    timers: Mutex<BinaryHeap<Timer>>,
}

struct Timer {
    /// When, and which of those at the same time was first.
    at: Reverse<(i64, u64)>,
    waker: Waker,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            now: AtomicI64::new(START),
            waits: AtomicU64::new(0),
            timers: Mutex::default(),
        }))
    }

    pub(crate) fn millis(&self) -> i64 {
        self.0.now.load(Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.millis()).unwrap()
    }

    /// Waits by this clock.
    pub(crate) fn sleep(&self, millis: i64) -> Nap {
        Nap {
            clock: self.clone(),
            until: self.millis() + millis,
            told: None,
        }
    }

    /// When somebody wakes next.
    pub(crate) fn next(&self) -> Option<i64> {
        self.0.timers.lock().unwrap().peek().map(|timer| timer.at.0.0)
    }

    /// Waits that were begun: grows while something goes on.
    pub(crate) fn waits(&self) -> u64 {
        self.0.waits.load(Ordering::Relaxed)
    }

    /// Lets time pass and wakes whoever waited for it.
    pub(crate) fn advance_to(&self, at: i64) {
        self.0.now.fetch_max(at, Ordering::Relaxed);
        let now = self.millis();
        let mut timers = self.0.timers.lock().unwrap();
        let mut due = Vec::new();
        while timers.peek().is_some_and(|timer| timer.at.0.0 <= now) {
            due.extend(timers.pop());
        }
        drop(timers);
        for timer in due {
            timer.waker.wake();
        }
    }
}

impl poster::ports::Sleep for Clock {
    async fn sleep(&self, duration: Duration) {
        Clock::sleep(self, i64::try_from(duration.as_millis()).unwrap()).await;
    }
}

impl sweeper::ports::Sleep for Clock {
    async fn sleep(&self, duration: Duration) {
        poster::ports::Sleep::sleep(self, duration).await;
    }
}

/// A wait under way.
pub(crate) struct Nap {
    clock: Clock,
    until: i64,
    told: Option<Waker>,
}

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.clock.millis() >= self.until {
            return Poll::Ready(());
        }
        if !self
            .told
            .as_ref()
            .is_some_and(|told| told.will_wake(context.waker()))
        {
            let waker = context.waker().clone();
            self.told = Some(waker.clone());
            let wait = self.clock.0.waits.fetch_add(1, Ordering::Relaxed);
            self.clock.0.timers.lock().unwrap().push(Timer {
                at: Reverse((self.until, wait)),
                waker,
            });
        }
        Poll::Pending
    }
}
