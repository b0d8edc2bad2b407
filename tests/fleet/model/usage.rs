//! What is counted of what AWS puts on the bill.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// One of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Function {
    Intake,
    Rules,
    Poster,
    Sweeper,
}

impl Function {
    pub(crate) const ALL: [Self; 4] = [Self::Intake, Self::Rules, Self::Poster, Self::Sweeper];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Rules => "rules",
            Self::Poster => "poster",
            Self::Sweeper => "sweeper",
        }
    }
}

/// Calls of one sort.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Calls {
    pub(crate) calls: u64,
    /// Of them those whose condition did not hold.
    pub(crate) refused: u64,
    pub(crate) read_units: f64,
    pub(crate) write_units: f64,
}

/// Invocations of one function.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Invocations {
    pub(crate) count: u64,
    pub(crate) millis: i64,
    pub(crate) cold: u64,
    /// Messages in their batches.
    pub(crate) messages: u64,
}

/// Requests to one queue.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Requests {
    pub(crate) sends: u64,
    /// Of them those dropped as duplicates.
    pub(crate) duplicates: u64,
    pub(crate) receives: u64,
    pub(crate) deletes: u64,
    /// Messages that came back because a function returned them.
    pub(crate) returned: u64,
}

impl Requests {
    pub(crate) fn all(&self) -> u64 {
        self.sends + self.receives + self.deletes
    }
}

/// Everything counted up to now.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Usage {
    /// DynamoDB, by function and what the call is for.
    pub(crate) dynamodb: BTreeMap<(Function, &'static str), Calls>,
    pub(crate) invocations: BTreeMap<Function, Invocations>,
    pub(crate) events: Requests,
    pub(crate) posts: Requests,
    pub(crate) secrets: u64,
    /// Lines for CloudWatch, metrics among them.
    pub(crate) log_lines: u64,
    pub(crate) log_bytes: u64,
}

impl Usage {
    pub(crate) fn write_units(&self) -> f64 {
        self.dynamodb.values().map(|calls| calls.write_units).sum()
    }

    pub(crate) fn read_units(&self) -> f64 {
        self.dynamodb.values().map(|calls| calls.read_units).sum()
    }

    pub(crate) fn of(&self, function: Function) -> Invocations {
        self.invocations.get(&function).copied().unwrap_or_default()
    }

    pub(crate) fn calls(&self, function: Function, what: &'static str) -> Calls {
        self.dynamodb.get(&(function, what)).copied().unwrap_or_default()
    }
}

/// Counts.
#[derive(Debug, Default, Clone)]
pub(crate) struct Meter(Arc<Mutex<Usage>>);

impl Meter {
    pub(crate) fn count(&self, count: impl FnOnce(&mut Usage)) {
        count(&mut self.0.lock().unwrap());
    }

    pub(crate) fn read(&self) -> Usage {
        self.0.lock().unwrap().clone()
    }
}
