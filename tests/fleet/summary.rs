//! What is kept of a day.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::model::bill::{EMPTY_POLLS, bill};
use super::model::run::{Outcome, Plan};
use super::model::usage::Function;

/// A day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) host: String,
    pub(crate) clusters: u32,
    pub(crate) kustomizations: u32,
    pub(crate) credentials: u32,
    pub(crate) commits: u32,
    pub(crate) hours: u32,
    pub(crate) events: u64,
    pub(crate) results: u64,
    pub(crate) failures: u64,
    pub(crate) changes: u64,
    pub(crate) pendings: u64,
    pub(crate) posts: u64,
    pub(crate) posts_by_midnight: u64,
    pub(crate) host_reads: u64,
    pub(crate) needless: u64,
    pub(crate) untold_at_midnight: usize,
    pub(crate) untold_at_last: usize,
    pub(crate) late: Late,
    pub(crate) late_pending: Late,
    pub(crate) posts_by_hour: Vec<u64>,
    pub(crate) most_posts_in_a_minute: u64,
    pub(crate) longest_queues: (usize, usize),
    pub(crate) controller_reads: u64,
    pub(crate) controller_writes: u64,
    pub(crate) controller_changes: u64,
    pub(crate) controller_by_hour: Vec<u64>,
    pub(crate) bill: Vec<Line>,
    pub(crate) functions: Vec<FunctionUse>,
    pub(crate) dynamodb: Vec<Calls>,
}

/// Milliseconds from an event to the host.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Late {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl Late {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }
}

/// A line of the bill.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) amount: f64,
    pub(crate) dollars: f64,
}

/// Invocations of one function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FunctionUse {
    pub(crate) name: String,
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    pub(crate) cold: u64,
    pub(crate) messages: u64,
}

/// Calls of DynamoDB of one sort.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Calls {
    pub(crate) function: String,
    pub(crate) what: String,
    pub(crate) calls: u64,
    pub(crate) refused: u64,
    pub(crate) read_units: f64,
    pub(crate) write_units: f64,
}

impl Summary {
    pub(crate) fn of(plan: &Plan, outcome: &Outcome) -> Self {
        let Outcome {
            ledger,
            controller,
            usage,
            ..
        } = outcome;
        let lines = bill(usage, f64::from(plan.fleet.hours), &plan.assumptions);
        Self {
            host: plan.kind.to_string(),
            clusters: plan.fleet.clusters,
            kustomizations: plan.fleet.kustomizations,
            credentials: plan.credentials,
            commits: plan.fleet.commits,
            hours: plan.fleet.hours,
            events: ledger.events(),
            results: ledger.results,
            failures: ledger.failures,
            changes: ledger.changes,
            pendings: ledger.pendings,
            posts: ledger.posts,
            posts_by_midnight: outcome.posts_by_midnight,
            host_reads: ledger.reads,
            needless: ledger.needless,
            untold_at_midnight: outcome.untold_at_midnight,
            untold_at_last: outcome.untold_at_last,
            late: Late::of(&ledger.late),
            late_pending: Late::of(&ledger.late_pending),
            posts_by_hour: ledger.posts_by_hour.clone(),
            most_posts_in_a_minute: ledger.posts_by_minute.iter().copied().max().unwrap_or_default(),
            longest_queues: (outcome.longest_events_queue, outcome.longest_posts_queue),
            controller_reads: controller.reads,
            controller_writes: controller.writes,
            controller_changes: controller.changes,
            controller_by_hour: controller.requests_by_hour.clone(),
            bill: lines
                .into_iter()
                .map(|line| Line {
                    what: line.what.to_owned(),
                    amount: line.amount,
                    dollars: line.dollars,
                })
                .collect(),
            functions: functions(outcome),
            dynamodb: dynamodb(outcome),
        }
    }

    /// What comes with events.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.bill.iter().filter(|line| line.what != EMPTY_POLLS)
    }

    /// Without what comes whatever the fleet does.
    pub(crate) fn dollars(&self) -> f64 {
        self.lines().map(|line| line.dollars).sum()
    }

    /// For a million events.
    pub(crate) fn per_million(&self, amount: f64) -> f64 {
        amount * 1e6 / self.events as f64
    }

    /// For a month of 30 such days.
    pub(crate) fn per_month(&self, amount: f64) -> f64 {
        amount * 30.0 * 24.0 / f64::from(self.hours)
    }

    pub(crate) fn size(&self) -> String {
        format!(
            "{} x {}",
            super::report::grouped(f64::from(self.clusters)),
            self.kustomizations
        )
    }
}

fn functions(outcome: &Outcome) -> Vec<FunctionUse> {
    Function::ALL
        .map(|function| {
            let of = outcome.usage.of(function);
            FunctionUse {
                name: function.name().to_owned(),
                count: of.count,
                seconds: of.millis as f64 / 1000.0,
                cold: of.cold,
                messages: of.messages,
            }
        })
        .to_vec()
}

fn dynamodb(outcome: &Outcome) -> Vec<Calls> {
    let calls = outcome.usage.dynamodb.iter();
    calls
        .map(|((function, what), calls)| Calls {
            function: function.name().to_owned(),
            what: (*what).to_owned(),
            calls: calls.calls,
            refused: calls.refused,
            read_units: calls.read_units,
            write_units: calls.write_units,
        })
        .collect()
}
