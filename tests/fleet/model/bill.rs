//! What the counts come to.

use super::run::Assumptions;
use super::usage::{Function, Usage};

/// List prices in us-east-1, November 2026, in dollars.
pub(crate) mod price {
    /// A million requests to Lambda.
    pub(crate) const LAMBDA_REQUESTS: f64 = 0.20;
    /// A gigabyte-second on arm64.
    pub(crate) const GB_SECOND: f64 = 0.000_013_333_4;
    /// A million requests to a FIFO queue.
    pub(crate) const SQS_REQUESTS: f64 = 0.50;
    /// A million write units, on demand.
    pub(crate) const WRITE_UNITS: f64 = 0.625;
    /// A million read units.
    pub(crate) const READ_UNITS: f64 = 0.125;
    /// A gigabyte of log lines.
    pub(crate) const LOG_GB: f64 = 0.50;
    /// Ten thousand calls of Secrets Manager.
    pub(crate) const SECRETS_CALLS: f64 = 0.05;
}

/// MB of memory, as in the template.
pub(crate) fn memory_mb(function: Function) -> u32 {
    match function {
        Function::Poster => 256,
        Function::Intake | Function::Rules | Function::Sweeper => 128,
    }
}

/// Comes whatever the fleet does.
pub(crate) const EMPTY_POLLS: &str = "SQS, empty polls";

/// A line of the bill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) what: &'static str,
    pub(crate) amount: f64,
    pub(crate) dollars: f64,
}

/// What a run costs, without what comes every month whatever happens.
pub(crate) fn bill(usage: &Usage, hours: f64, assumptions: &Assumptions) -> Vec<Line> {
    let million = |amount: f64, price: f64| amount / 1e6 * price;
    let requests: u64 = Function::ALL
        .map(|function| usage.of(function).count)
        .iter()
        .sum();
    let gb_seconds: f64 = Function::ALL
        .map(|function| {
            let of = usage.of(function);
            let cold = i64::try_from(of.cold).unwrap() * assumptions.cold_millis;
            (of.millis + cold) as f64 / 1000.0 * f64::from(memory_mb(function)) / 1024.0
        })
        .iter()
        .sum();
    let sqs = (usage.events.all() + usage.posts.all()) as f64;
    let polls = assumptions.empty_polls(hours);
    let bytes = usage.log_bytes as f64;
    let line = |what, amount, dollars| Line {
        what,
        amount,
        dollars,
    };
    vec![
        line(
            "Lambda, requests",
            requests as f64,
            million(requests as f64, price::LAMBDA_REQUESTS),
        ),
        line("Lambda, GB-seconds", gb_seconds, gb_seconds * price::GB_SECOND),
        line("SQS, requests", sqs, million(sqs, price::SQS_REQUESTS)),
        line(EMPTY_POLLS, polls, million(polls, price::SQS_REQUESTS)),
        line(
            "DynamoDB, write units",
            usage.write_units(),
            million(usage.write_units(), price::WRITE_UNITS),
        ),
        line(
            "DynamoDB, read units",
            usage.read_units(),
            million(usage.read_units(), price::READ_UNITS),
        ),
        line("CloudWatch Logs, MB", bytes / 1e6, bytes / 1e9 * price::LOG_GB),
        line(
            "Secrets Manager, calls",
            usage.secrets as f64,
            usage.secrets as f64 / 1e4 * price::SECRETS_CALLS,
        ),
    ]
}
