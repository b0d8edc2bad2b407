//! The highest rate the service keeps up with.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::Shape;
use crate::steady::{Load, Trial, introduce, print_header};
use crate::tables::{millis, short};

/// The queues may grow by what one look takes out of them.
const BATCH: usize = local::fifo::BATCH;

/// A status that is later than this is late.
const LATE_MILLIS: f64 = 1000.0;

/// How much is added until a rate is too high.
const GROWTH: f64 = 1.5;

/// How often the range between held and too high is halved.
const HALVINGS: usize = 4;

/// What is left of a rate that was held for a moment only.
const STEP_DOWN: f64 = 0.92;

#[derive(Debug, Args)]
pub(crate) struct Highest {
    /// The first rate, in events a second
    #[arg(long, default_value_t = 50.0)]
    from: f64,
    /// How long a rate is kept while it is searched for
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    trial: u64,
    /// How long the one that is found has to be kept
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Share of the events that say a success again, of which nothing may come
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    unchanged: f64,
    #[command(flatten)]
    shape: Shape,
}

impl Highest {
    pub(crate) async fn run(self) -> ExitCode {
        let mut load = Load::start(&self.shape, self.unchanged).await;
        introduce(&self.shape, self.unchanged);
        print_header();
        let trial = Duration::from_secs(self.trial);
        let mut held = 0.0;
        let mut rate = self.from;
        while is_held(&mut load, rate, trial).await {
            held = rate;
            rate *= GROWTH;
        }
        let mut too_high = rate;
        for _ in 0..HALVINGS {
            let rate = f64::midpoint(held, too_high);
            match is_held(&mut load, rate, trial).await {
                true => held = rate,
                false => too_high = rate,
            }
        }
        while held > 1.0 && !is_held(&mut load, held, Duration::from_secs(self.seconds)).await {
            held *= STEP_DOWN;
        }
        load.world.stop().await;
        println!(
            "\nThe highest rate held for {} s: {} events a second.",
            self.seconds,
            short(held)
        );
        match held > 1.0 {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

async fn is_held(load: &mut Load, rate: f64, length: Duration) -> bool {
    let trial = load.trial(rate, length).await;
    let reasons = reasons(&trial);
    let verdict = match reasons.is_empty() {
        true => "held".to_owned(),
        false => format!("**not held**: {}", reasons.join("; ")),
    };
    println!("{} {verdict}", trial.row());
    load.drain().await;
    reasons.is_empty()
}

/// Why the service does not keep up with a rate.
fn reasons(trial: &Trial) -> Vec<String> {
    let mut reasons = trial.failures();
    let grown = [
        ("events", trial.start.events, trial.end.events),
        ("posts", trial.start.posts, trial.end.posts),
    ];
    for (queue, start, end) in grown {
        if end > start + BATCH {
            reasons.push(format!("`{queue}` grew from {start} to {end}"));
        }
    }
    let p99 = millis(&trial.tally.latencies, 99.0);
    if p99 >= LATE_MILLIS {
        reasons.push(format!("p99 is {} ms", short(p99)));
    }
    reasons
}
