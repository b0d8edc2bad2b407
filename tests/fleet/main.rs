//! What a fleet costs in a day, and how late its statuses are: the real handlers, on a virtual clock, so that a day takes
//! minutes. docs/performance.md says what came of it.
//!
//! ```sh
//! cargo bench --workspace --profile e2e --bench fleet -- --size 10x10 --size 100x50 --svg docs/fleet.svg
//! ```

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "says what was measured")]
#![expect(clippy::disallowed_methods, reason = "measures how fast the simulation is")]

mod chart;
mod model;
mod report;
mod summary;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use hosts::HostKind;
use indicatif::{ProgressBar, ProgressStyle};
use model::day::Fleet;
use model::logs;
use model::run::{Assumptions, Outcome, Plan, Shape, run};
use summary::Summary;

/// Contexts or commits of a burst.
const BURST: u32 = 5_000;
/// Kustomizations of a cluster in a burst.
const BURST_KUSTOMIZATIONS: u32 = 50;

/// Lives through a day of a fleet.
#[derive(Debug, Parser)]
struct Args {
    /// Clusters and Kustomizations of each: `100x50`. Several are run one after the other.
    #[arg(long, value_name = "CLUSTERSxKUSTOMIZATIONS", value_parser = size)]
    size: Vec<(u32, u32)>,
    /// A day, or many events of one moment.
    #[arg(long, value_enum, default_value_t = Scenario::Day)]
    scenario: Scenario,
    /// The Git host: github, gitlab, bitbucket, bitbucketserver, gitea or azuredevops.
    #[arg(long, default_value = "gitlab", value_parser = host)]
    host: HostKind,
    /// Providers the Kustomizations are spread over, each with a credential of its own.
    #[arg(long, default_value_t = 1)]
    credentials: u32,
    /// Commits of a day, each of which touches every Kustomization.
    #[arg(long, default_value_t = 20)]
    commits: u32,
    /// Length of the day. The commits are spread over it.
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// How long what is due at midnight is still posted, in hours.
    #[arg(long, default_value_t = 24)]
    drain_hours: u32,
    /// Hours after which Lambda replaces an instance that is kept busy.
    #[arg(long, default_value_t = 2)]
    instance_hours: u32,
    /// Instances of rules at once.
    #[arg(long, default_value_t = 3)]
    rules_at_once: usize,
    /// Instances of poster at once.
    #[arg(long, default_value_t = 3)]
    posters_at_once: usize,
    /// Decides all that is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes a chart of these days.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Keeps what came of each day in a file of this directory.
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// A day that was kept, to be shown as if it had been run.
    #[arg(long, value_name = "FILE")]
    load: Vec<PathBuf>,
    /// Said by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// A day.
    Day,
    /// 5,000 statuses of one commit at once.
    BurstContexts,
    /// One status of each of 5,000 commits at once.
    BurstCommits,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let numbers = text.split_once('x').and_then(|(clusters, kustomizations)| {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        Some((number(clusters)?, number(kustomizations)?))
    });
    numbers.ok_or_else(|| format!("`{text}` is not as `100x50`"))
}

fn host(name: &str) -> Result<HostKind, String> {
    HostKind::from_type(name).ok_or_else(|| format!("`{name}` is no type of Provider here"))
}

fn main() {
    let mut args = Args::parse();
    logs::listen();
    if args.scenario != Scenario::Day {
        let (plan, outcome) = live(&args, (BURST / BURST_KUSTOMIZATIONS, BURST_KUSTOMIZATIONS));
        report::drain(&plan, &outcome);
        return;
    }
    if args.size.is_empty() && args.load.is_empty() {
        args.size = vec![(10, 10)];
    }
    let mut days = Vec::new();
    for file in &args.load {
        let kept: Summary = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        report::day(&kept);
        days.push(kept);
    }
    for size in &args.size {
        let (plan, outcome) = live(&args, *size);
        let day = Summary::of(&plan, &outcome);
        report::day(&day);
        if let Some(directory) = &args.save {
            let name = format!("{}x{}-{}.json", size.0, size.1, args.host);
            let text = serde_json::to_string_pretty(&day).unwrap();
            std::fs::write(directory.join(name), text).unwrap();
        }
        days.push(day);
    }
    if let Some(file) = &args.svg {
        chart::draw(&days, file);
        println!("the chart is in {}", file.display());
    }
}

fn live(args: &Args, (clusters, kustomizations): (u32, u32)) -> (Plan, Outcome) {
    let plan = Plan {
        kind: args.host,
        fleet: Fleet {
            clusters,
            kustomizations,
            commits: args.commits,
            // What is left of a burst after this is drained.
            hours: if args.scenario == Scenario::Day {
                args.hours
            } else {
                1
            },
            seed: args.seed,
        },
        credentials: args.credentials,
        shape: match args.scenario {
            Scenario::Day => Shape::Day,
            Scenario::BurstContexts => Shape::Contexts,
            Scenario::BurstCommits => Shape::Commits,
        },
        drain_hours: args.drain_hours,
        assumptions: Assumptions {
            sandbox_millis: i64::from(args.instance_hours) * 3_600_000,
            rules_at_once: args.rules_at_once,
            posters_at_once: args.posters_at_once,
            ..Assumptions::default()
        },
    };
    let millis = plan.fleet.millis();
    let bar = ProgressBar::new(u64::try_from(millis).unwrap());
    bar.set_style(ProgressStyle::with_template("{wide_bar} {msg} {elapsed}").unwrap());
    let progress = |at: i64, events: u64| {
        bar.set_position(u64::try_from(at.min(millis)).unwrap());
        let (hours, minutes) = (at / 3_600_000, at / 60_000 % 60);
        bar.set_message(format!("{hours:02}:{minutes:02}, {events} events"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let begun = Instant::now();
    let outcome = runtime.block_on(run(plan, &progress));
    bar.finish_and_clear();
    let took = begun.elapsed().as_secs_f64();
    let events = outcome.ledger.events();
    println!(
        "\n{clusters} x {kustomizations} at {}: {events} events and {} posts took {took:.0} s here",
        args.host, outcome.ledger.posts
    );
    for surprise in &outcome.surprises {
        println!("  NOT EXPECTED: {surprise}");
    }
    assert!(outcome.surprises.is_empty(), "see above");
    (plan, outcome)
}
