//! Events at a set rate, through the whole service in one process: how long a change takes to the Git host, which rate is
//! held, and what a burst does to others. docs/performance.md says what came of it.
//!
//! The rate is kept whatever becomes of the events, and each is measured from the instant it was due to be sent, so a
//! service that falls behind cannot hide it by slowing down whoever sends.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "says what was measured")]
#![expect(clippy::disallowed_methods, reason = "measures time")]

mod burst;
mod chart;
mod events;
mod highest;
mod host;
mod ledger;
mod outcomes;
mod population;
mod samples;
mod send;
mod steady;
mod tables;
mod usage;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use hosts::HostKind;

/// Sends events to the service in this process and measures how long their statuses take to the Git host.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Said by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One rate after the other, for a while each
    Steady(steady::Steady),
    /// The highest rate that is held
    Highest(highest::Highest),
    /// Others, before and while thousands of statuses with one credential change at once
    Burst(burst::Burst),
}

/// Who sends, and where it is posted.
#[derive(Debug, Clone, Args)]
pub(crate) struct Shape {
    /// Clusters that send
    #[arg(long, default_value_t = 20)]
    pub(crate) clusters: usize,
    /// Repositories, each with a namespace, a rule, a Provider and a credential of its own. Each cluster has one
    /// Kustomization of each
    #[arg(long, default_value_t = 200)]
    pub(crate) repositories: usize,
    /// The Git host
    #[arg(long, value_parser = host_kind(), default_value = "gitlab", value_name = "TYPE")]
    pub(crate) host: HostKind,
    /// How long the Git host takes to answer, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) answer_after: u64,
    /// Seconds before those that count, at the same rate
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub(crate) warm_up: u64,
    /// Where chance begins
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Make the service's data directory in this one instead of the system's for temporary files: how quickly the file
    /// system writes is in every figure
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data: Option<PathBuf>,
    /// Draw the latencies into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

impl Shape {
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up)
    }

    /// Changes a second that the paces of all credentials allow in the long run.
    pub(crate) fn pace(&self) -> f64 {
        let millis = u32::try_from(self.host.pace().interval_millis).unwrap();
        number(self.repositories) * 1000.0 / f64::from(millis)
    }
}

/// Those whose statuses are told apart by the name people see.
fn host_kind() -> impl TypedValueParser<Value = HostKind> {
    let kinds = [HostKind::GitLab, HostKind::Gitea, HostKind::GitHub];
    let names = PossibleValuesParser::new(kinds.map(HostKind::as_str));
    names.try_map(|name| HostKind::from_type(&name).ok_or("no Git host"))
}

/// A count to reckon with.
pub(crate) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// What carries the load and the Git host has threads of its own, so that the CPU of both can be told apart.
fn main() -> ExitCode {
    let cli = Cli::parse();
    outcomes::count();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name(usage::LOAD)
        .thread_keep_alive(Duration::from_secs(3600))
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match cli.command {
            Command::Steady(steady) => steady.run().await,
            Command::Highest(highest) => highest.run().await,
            Command::Burst(burst) => burst.run().await,
        }
    })
}
