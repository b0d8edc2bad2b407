//! How long the queues are, over time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use local::fifo::FifoQueue;
use tokio::task::JoinHandle;

use crate::ledger::{Class, Ledger};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What was seen at one instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) events: usize,
    pub(crate) posts: usize,
    /// Statuses of the burst at the host.
    pub(crate) burst: u64,
}

/// Looks until this is dropped.
pub(crate) struct Sampler {
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Sampler {
    pub(crate) fn start(events: &Arc<FifoQueue>, posts: &Arc<FifoQueue>, ledger: &Arc<Ledger>) -> Self {
        let samples = Arc::<Mutex<Vec<Sample>>>::default();
        let (kept, events, posts, ledger) = (
            Arc::clone(&samples),
            Arc::clone(events),
            Arc::clone(posts),
            Arc::clone(ledger),
        );
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            loop {
                ticks.tick().await;
                let sample = Sample {
                    at: Instant::now(),
                    events: events.len(),
                    posts: posts.len(),
                    burst: ledger.posted(Class::Burst),
                };
                kept.lock().unwrap().push(sample);
            }
        });
        Self { samples, task }
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap().clone()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Messages in both queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) events: usize,
    pub(crate) posts: usize,
}

/// The median of both lengths within the second around an instant.
pub(crate) fn around(samples: &[Sample], at: Instant) -> Lengths {
    let half = Duration::from_millis(500);
    let near: Vec<&Sample> = samples
        .iter()
        .filter(|sample| sample.at + half > at && sample.at < at + half)
        .collect();
    let median = |length: fn(&Sample) -> usize| {
        let mut lengths: Vec<usize> = near.iter().map(|sample| length(sample)).collect();
        lengths.sort_unstable();
        lengths.get(lengths.len() / 2).copied().unwrap_or_default()
    };
    Lengths {
        events: median(|sample| sample.events),
        posts: median(|sample| sample.posts),
    }
}
