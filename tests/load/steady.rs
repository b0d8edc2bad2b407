//! Rates, one after the other.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use plotters::chart::SeriesLabelPosition::UpperLeft;

use crate::chart::{self, Curve};
use crate::ledger::{Class, Key, Tally};
use crate::outcomes::{self, Outcomes};
use crate::population::Population;
use crate::samples::{Lengths, Sample, Sampler, around};
use crate::send::{Phase, stream};
use crate::tables::{PERCENTILES, RULES, millis, percentiles, short};
use crate::usage::Cpu;
use crate::world::World;
use crate::{Shape, number};

/// What an event may take to the host.
const BUDGET_MILLIS: [(f64, f64); 2] = [(50.0, 10.0), (99.0, 50.0)];

/// How long it is waited for what is late.
const PATIENCE: Duration = Duration::from_secs(60);

/// More of the paces' sum would measure the paces: chance gives some credentials more than others.
const SHARE_OF_PACE: f64 = 0.5;

#[derive(Debug, Args)]
pub(crate) struct Steady {
    /// Events a second; several are measured one after the other
    #[arg(long = "rate", value_name = "RATE", default_values_t = [50.0])]
    rates: Vec<f64>,
    /// How long each rate is kept
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Share of the events that say a success again, of which nothing may come
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    unchanged: f64,
    #[command(flatten)]
    shape: Shape,
}

impl Steady {
    pub(crate) async fn run(self) -> ExitCode {
        let mut load = Load::start(&self.shape, self.unchanged).await;
        let mut trials = Vec::new();
        for rate in &self.rates {
            trials.push(load.trial(*rate, Duration::from_secs(self.seconds)).await);
            load.drain().await;
        }
        load.world.stop().await;
        introduce(&self.shape, self.unchanged);
        let mut ended_well = true;
        print_header();
        for trial in &trials {
            println!("{}", trial.row());
            ended_well &= trial.failures().is_empty();
        }
        for trial in &trials {
            trial.print_details();
        }
        if let Some(file) = &self.shape.svg {
            let curves: Vec<Curve> = trials
                .iter()
                .map(|trial| Curve {
                    label: format!("{} events a second", trial.rate),
                    latencies: trial.tally.latencies.clone(),
                })
                .collect();
            chart::draw(
                file,
                "From a Flux event to its status at the Git host",
                UpperLeft,
                &curves,
            );
        }
        match ended_well {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

/// Said before the figures.
pub(crate) fn introduce(shape: &Shape, unchanged: f64) {
    println!(
        "\n{} clusters, {} repositories at {} with a credential each, {} % of the events unchanged, {} CPUs. \
         Milliseconds from when an event was due.\n",
        shape.clusters,
        shape.repositories,
        shape.host,
        100.0 * unchanged,
        std::thread::available_parallelism().unwrap()
    );
}

/// A world, and everybody who sends in it.
pub(crate) struct Load {
    pub(crate) world: World,
    population: Option<Population>,
    shape: Shape,
    unchanged: f64,
}

/// What came of a rate.
pub(crate) struct Trial {
    pub(crate) rate: f64,
    length: Duration,
    pub(crate) tally: Tally,
    pub(crate) missing: usize,
    unexpected: Vec<Key>,
    pub(crate) start: Lengths,
    middle: Lengths,
    pub(crate) end: Lengths,
    longest: Lengths,
    cpu: Cpu,
    outcomes: Outcomes,
}

impl Load {
    /// Everything has been successful once, if that is to be repeated.
    pub(crate) async fn start(shape: &Shape, unchanged: f64) -> Self {
        let world = World::start(shape, None).await;
        let mut population = Population::new(&world.clusters, &world.namespaces, unchanged, shape.seed);
        if unchanged > 0.0 {
            world
                .sender
                .send_all(population.settle(), Class::WarmUp, Duration::ZERO)
                .await;
            assert!(
                world.come_to_rest(PATIENCE).await && world.ledger.missing(Class::WarmUp) == 0,
                "{} first successes are missing",
                world.ledger.missing(Class::WarmUp)
            );
            world.ledger.clear();
        }
        Self {
            world,
            population: Some(population),
            shape: shape.clone(),
            unchanged,
        }
    }

    /// Keeps a rate for a while.
    pub(crate) async fn trial(&mut self, rate: f64, length: Duration) -> Trial {
        let pace = self.shape.pace() * SHARE_OF_PACE;
        let changes = rate * (1.0 - self.unchanged);
        assert!(
            changes <= pace,
            "with {} credentials the Git host's pace would be measured: at most {pace} changes a second",
            self.shape.repositories
        );
        let ledger = &self.world.ledger;
        outcomes::take();
        let warm_up = self.shape.warm_up();
        let bar = ProgressBar::new((warm_up + length).as_secs());
        let phase = |class, length| Phase { class, length };
        let start = Instant::now() + Duration::from_millis(50);
        let sending = stream(
            self.population.take().unwrap(),
            &self.world.sender,
            rate,
            start,
            vec![phase(Class::WarmUp, warm_up), phase(Class::Counted, length)],
            bar,
        );
        let sampler = Sampler::start(&self.world.service.events, &self.world.service.posts, ledger);
        let watching = async {
            tokio::time::sleep_until((start + warm_up).into()).await;
            let before = Cpu::now();
            tokio::time::sleep_until((start + warm_up + length).into()).await;
            Cpu::now().since(before)
        };
        let (population, cpu) = tokio::join!(sending, watching);
        self.population = Some(population);
        let begun = start + warm_up;
        let ended = begun + length;
        self.world.come_to_rest(PATIENCE).await;
        let waited_until = Instant::now() + PATIENCE;
        while ledger.missing(Class::Counted) > 0 && Instant::now() < waited_until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let samples = sampler.samples();
        drop(sampler);
        let during: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.at >= begun && sample.at <= ended)
            .collect();
        Trial {
            rate,
            length,
            tally: ledger.tally(Class::Counted, Instant::now()),
            missing: ledger.missing(Class::Counted),
            unexpected: ledger.unexpected(),
            start: around(&samples, begun),
            middle: around(&samples, begun + length / 2),
            end: around(&samples, ended - Duration::from_millis(500)),
            longest: Lengths {
                events: during
                    .iter()
                    .map(|sample| sample.events)
                    .max()
                    .unwrap_or_default(),
                posts: during.iter().map(|sample| sample.posts).max().unwrap_or_default(),
            },
            cpu,
            outcomes: outcomes::take(),
        }
    }

    /// Lets the service catch up before the next rate, and forgets the last one.
    pub(crate) async fn drain(&mut self) {
        assert!(
            self.world.come_to_rest(5 * PATIENCE).await,
            "the service does not catch up"
        );
        self.world.ledger.clear();
    }
}

pub(crate) fn print_header() {
    println!(
        "| events/s | sent | statuses | {PERCENTILES} | 202 after: p50 / p99 | queues at start, middle, end (events + \
         posts) | longest | CPUs: service + load | CPU of the service an event |"
    );
    println!("|---|---|---|{RULES}|---|---|---|---|---|");
}

impl Trial {
    pub(crate) fn row(&self) -> String {
        let tally = &self.tally;
        let lengths = |of: Lengths| format!("{} + {}", of.events, of.posts);
        let share = |cpu: Duration| cpu.as_secs_f64() / self.length.as_secs_f64();
        let sent = number(usize::try_from(tally.sent).unwrap());
        let row = format!(
            "| {} | {} | {} of {} | {} | {} / {} | {}, {}, {} | {} | {:.2} + {:.2} | {:.2} ms |",
            short(self.rate),
            tally.sent,
            tally.changes - u64::try_from(self.missing).unwrap(),
            tally.changes,
            percentiles(&tally.latencies),
            short(millis(&tally.answers, 50.0)),
            short(millis(&tally.answers, 99.0)),
            lengths(self.start),
            lengths(self.middle),
            lengths(self.end),
            lengths(self.longest),
            share(self.cpu.service),
            share(self.cpu.load),
            self.cpu.service.as_secs_f64() * 1000.0 / sent,
        );
        let failures = self.failures();
        match failures.is_empty() {
            true => row,
            false => format!("{row} {}", failures.join("; ")),
        }
    }

    /// What must not be.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if self.missing > 0 {
            failures.push(format!("{} statuses are missing", self.missing));
        }
        if let Some(first) = self.unexpected.first() {
            failures.push(format!(
                "{} statuses were not awaited, the first {first:?}",
                self.unexpected.len()
            ));
        }
        for (answer, count) in &self.tally.refused {
            failures.push(format!("{count} × {answer}"));
        }
        failures
    }

    pub(crate) fn print_details(&self) {
        println!("\n{} events a second:", short(self.rate));
        println!("log lines by outcome: {}", self.outcomes);
        for (percentile, budget) in BUDGET_MILLIS {
            let took = millis(&self.tally.latencies, percentile);
            let word = if took <= budget { "within" } else { "over" };
            println!(
                "p{percentile} {} ms: {word} the budget of {budget} ms",
                short(took)
            );
        }
    }
}
