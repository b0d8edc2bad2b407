//! Sends events when they are due, however those before them fare.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::ledger::{Class, Ledger};
use crate::population::{Outgoing, Population};

/// Connections for events that are all due at once; some clusters have that many senders together.
const CONNECTIONS: usize = 64;

/// Sends to the function URL.
#[derive(Debug)]
pub(crate) struct Sender {
    http: reqwest::Client,
    function_url: String,
    ledger: Arc<Ledger>,
    in_flight: AtomicUsize,
}

impl Sender {
    pub(crate) fn new(function_url: &str, ledger: &Arc<Ledger>) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            function_url: function_url.to_owned(),
            ledger: Arc::clone(ledger),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Requests without an answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Its status is awaited already.
    async fn send(&self, event: Outgoing, class: Class, due: Instant) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let sent = self
            .http
            .post(format!("{}events/{}", self.function_url, event.cluster))
            .header("Content-Type", "application/json")
            .header("Gotk-Component", "kustomize-controller")
            .header("X-Signature", event.signature)
            .body(event.body)
            .send()
            .await;
        let answer = match sent {
            Ok(answer) if answer.status() == reqwest::StatusCode::ACCEPTED => {
                // Or the connection could not be used again.
                answer.bytes().await.map(drop).map_err(|error| error.to_string())
            }
            Ok(answer) => Err(answer.status().to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.ledger.answered(class, answer, due.elapsed());
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// They become due from now on, evenly over that time. Returns when each is answered.
    pub(crate) async fn send_all(self: &Arc<Self>, events: Vec<Outgoing>, class: Class, over: Duration) {
        let begin = Instant::now();
        let count = f64::from(u32::try_from(events.len()).unwrap_or(u32::MAX));
        let due = |number: u32| begin + over.mul_f64(f64::from(number) / count);
        for (event, number) in events.iter().zip(0..) {
            self.ledger.due(class, event.expected.clone(), due(number));
        }
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let mut sending = tokio::task::JoinSet::new();
        for (event, number) in events.into_iter().zip(0..) {
            let due = due(number);
            tokio::time::sleep_until(due.into()).await;
            let connection = Arc::clone(&connections).acquire_owned().await.unwrap();
            let sender = Arc::clone(self);
            sending.spawn(async move {
                sender.send(event, class, due).await;
                drop(connection);
            });
        }
        sending.join_all().await;
    }
}

/// A part of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phase {
    pub(crate) class: Class,
    pub(crate) length: Duration,
}

/// Sends so many events a second from `start` on, at random as many senders that know nothing of each other do. It has
/// a thread of its own, for a timer of the runtime is a millisecond late.
pub(crate) async fn stream(
    mut population: Population,
    sender: &Arc<Sender>,
    rate: f64,
    start: Instant,
    phases: Vec<Phase>,
    bar: ProgressBar,
) -> Population {
    let (sender, runtime) = (Arc::clone(sender), Handle::current());
    let running = tokio::task::spawn_blocking(move || {
        let mut chance = fastrand::Rng::with_seed(7);
        let mut due = start;
        let mut ends = start;
        for phase in phases {
            ends += phase.length;
            while due < ends {
                let event = population.next();
                // Before it is sent, or a status could be quicker than we.
                sender.ledger.due(phase.class, event.expected.clone(), due);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let (sender, class) = (Arc::clone(&sender), phase.class);
                runtime.spawn(async move { sender.send(event, class, due).await });
                bar.set_position((due - start).as_secs());
                due += Duration::from_secs_f64(-(1.0 - chance.f64()).ln() / rate);
            }
        }
        bar.finish_and_clear();
        population
    });
    running.await.unwrap()
}
