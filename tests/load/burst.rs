//! What others notice while thousands of statuses with one credential change at once.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use hosts::HostKind;
use indicatif::ProgressBar;
use plotters::chart::SeriesLabelPosition::MiddleLeft;

use crate::Shape;
use crate::chart::{self, Curve};
use crate::ledger::{Class, Tally};
use crate::outcomes::{self, Outcomes};
use crate::population::Population;
use crate::samples::{Sample, Sampler};
use crate::send::{Phase, stream};
use crate::tables::{PERCENTILES, RULES, millis, percentiles, short};
use crate::usage::{forget_peak, memory, peak_memory};
use crate::world::{BURST, World};

/// How much longer an event of others may take: ninety-nine of a hundred.
const PROMISE: f64 = 2.0;

/// Seconds after the burst of which the queues are told.
const TOLD_AFTER: [u64; 10] = [0, 1, 2, 5, 10, 20, 30, 60, 120, 300];

#[derive(Debug, Args)]
pub(crate) struct Burst {
    /// Changes a second of the others
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How long they are measured without the burst, and with it
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Statuses that change at once
    #[arg(long, default_value_t = 5000)]
    size: usize,
    /// Seconds in which they do, evenly: a fleet does not reconcile all in one instant
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    over: u64,
    /// What changes; both if nothing is said
    #[arg(long = "of", value_enum)]
    kinds: Vec<Kind>,
    /// Where it is posted; a host that wants one post at a time and one that does not if nothing is said
    #[arg(long = "to", value_parser = crate::host_kind(), value_name = "TYPE")]
    hosts: Vec<HostKind>,
    #[command(flatten)]
    shape: Shape,
}

/// What a burst is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Many contexts on one commit
    Contexts,
    /// Many commits of one repository
    Commits,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contexts => "contexts on one commit",
            Self::Commits => "commits",
        })
    }
}

/// What came of a burst.
struct Case {
    kind: Kind,
    host: HostKind,
    before: Tally,
    during: Tally,
    late_before: usize,
    late_during: usize,
    unexpected: usize,
    burst: Tally,
    started: Instant,
    samples: Vec<Sample>,
    posted: u64,
    memory_before: f64,
    peak: f64,
    outcomes: Outcomes,
}

impl Burst {
    pub(crate) async fn run(self) -> ExitCode {
        let kinds = match self.kinds.as_slice() {
            [] => vec![Kind::Contexts, Kind::Commits],
            kinds => kinds.to_vec(),
        };
        let hosts = match self.hosts.as_slice() {
            [] => vec![HostKind::GitHub, HostKind::GitLab],
            hosts => hosts.to_vec(),
        };
        let mut cases = Vec::new();
        for host in hosts {
            for kind in &kinds {
                let case = self.case(*kind, host).await;
                print_details(&case);
                cases.push(case);
            }
        }
        println!(
            "\n{} changes a second of others, {} clusters, {} repositories at {} with a credential each; a burst of {} with \
             one other credential. Milliseconds from when an event was due.\n",
            self.rate, self.shape.clusters, self.shape.repositories, self.shape.host, self.size
        );
        println!(
            "| burst of | to | others | changes | {PERCENTILES} | p50, p99 to `rules` | p50, p99 from there | p99 during : \
             before | others' not posted in time | of the burst posted in {} s | memory before, peak |",
            self.seconds
        );
        println!("|---|---|---|---|{RULES}|---|---|---|---|---|---|");
        let mut kept = true;
        for case in &cases {
            kept &= case.print();
        }
        if let Some(file) = &self.shape.svg {
            draw(file, &cases);
        }
        match kept {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    async fn case(&self, kind: Kind, host: HostKind) -> Case {
        let shape = &self.shape;
        assert!(
            self.rate <= shape.pace(),
            "the others' own pace would be measured"
        );
        let world = World::start(shape, Some(host)).await;
        let others = Population::new(&world.clusters, &world.namespaces, 0.0, shape.seed);
        let burst = Population::burst(&world.clusters, BURST, self.size, kind == Kind::Contexts);
        outcomes::take();
        let length = Duration::from_secs(self.seconds);
        let bar = ProgressBar::new((shape.warm_up() + 2 * length).as_secs());
        let phase = |class, length| Phase { class, length };
        let start = Instant::now() + Duration::from_millis(50);
        let sending = stream(
            others,
            &world.sender,
            self.rate,
            start,
            vec![
                phase(Class::WarmUp, shape.warm_up()),
                phase(Class::Counted, length),
                phase(Class::During, length),
            ],
            bar,
        );
        let sampler = Sampler::start(&world.service.events, &world.service.posts, &world.ledger);
        let started = start + shape.warm_up() + length;
        let bursting = async {
            tokio::time::sleep_until(started.into()).await;
            let memory_before = memory();
            forget_peak();
            world
                .sender
                .send_all(burst, Class::Burst, Duration::from_secs(self.over))
                .await;
            memory_before
        };
        let watching = async {
            tokio::time::sleep_until((started + length).into()).await;
            (world.ledger.posted(Class::Burst), peak_memory())
        };
        let (_, memory_before, (posted, peak)) = tokio::join!(sending, bursting, watching);
        // As long again for what is late.
        let patience = Instant::now() + length;
        while world.ledger.missing(Class::During) > 0 && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let now = Instant::now();
        let case = Case {
            kind,
            host,
            before: world.ledger.tally(Class::Counted, now),
            during: world.ledger.tally(Class::During, now),
            late_before: world.ledger.missing(Class::Counted),
            late_during: world.ledger.missing(Class::During),
            unexpected: world.ledger.unexpected().len(),
            burst: world.ledger.tally(Class::Burst, now),
            started,
            samples: sampler.samples(),
            posted,
            memory_before,
            peak,
            outcomes: outcomes::take(),
        };
        world.stop().await;
        case
    }
}

impl Case {
    fn ratio(&self) -> f64 {
        millis(&self.during.latencies, 99.0) / millis(&self.before.latencies, 99.0)
    }

    /// Whether the promise was kept.
    fn print(&self) -> bool {
        let ratio = self.ratio();
        let refused = [&self.before, &self.during, &self.burst]
            .into_iter()
            .flat_map(|tally| &tally.refused)
            .map(|(answer, count)| format!("{count} × {answer}"));
        let mut failures: Vec<String> = refused.collect();
        if self.unexpected > 0 {
            failures.push(format!("{} statuses were not awaited", self.unexpected));
        }
        if ratio > PROMISE {
            failures.push(format!("**over** {PROMISE}"));
        }
        println!(
            "| {} | {} | before | {} | {} | {} | | {} | | |",
            self.kind,
            self.host,
            self.before.changes,
            percentiles(&self.before.latencies),
            parts(&self.before),
            self.late_before,
        );
        println!(
            "| | | during | {} | {} | {} | {} | {} | {} of {} | {:.0}, {:.0} MiB | {}",
            self.during.changes,
            percentiles(&self.during.latencies),
            parts(&self.during),
            short(ratio),
            self.late_during,
            self.posted,
            self.burst.changes,
            self.memory_before,
            self.peak,
            failures.join("; ")
        );
        failures.is_empty()
    }
}

/// Up to the verdict of `rules`, and from there to the host.
fn parts(tally: &Tally) -> String {
    let cells = [&tally.decided, &tally.posted].map(|part| {
        [50.0, 99.0]
            .map(|percentile| short(millis(part, percentile)))
            .join(", ")
    });
    cells.join(" | ")
}

fn print_details(case: &Case) {
    println!("\nburst of {} to {}", case.kind, case.host);
    println!("log lines by outcome: {}", case.outcomes);
    println!(
        "202 to the burst: p50 {} ms, max {} ms",
        short(millis(&case.burst.answers, 50.0)),
        short(millis(&case.burst.answers, 100.0))
    );
    println!("\n| s after the burst | `events` | `posts` | of the burst posted |\n|---|---|---|---|");
    for seconds in TOLD_AFTER {
        let at = case.started + Duration::from_secs(seconds);
        if let Some(sample) = case.samples.iter().find(|sample| sample.at >= at) {
            println!(
                "| {seconds} | {} | {} | {} |",
                sample.events, sample.posts, sample.burst
            );
        }
    }
}

fn draw(file: &std::path::Path, cases: &[Case]) {
    let mut curves = Vec::new();
    let mut before = crate::ledger::histogram();
    for case in cases {
        before.add(&case.before.latencies).unwrap();
        curves.push(Curve {
            label: format!("during a burst of {} to {}", case.kind, case.host),
            latencies: case.during.latencies.clone(),
        });
    }
    let label = "without a burst".to_owned();
    curves.insert(
        0,
        Curve {
            label,
            latencies: before,
        },
    );
    let title = "Statuses of others, from their event to the Git host";
    chart::draw(file, title, MiddleLeft, &curves);
}
