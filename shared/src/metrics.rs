//! The names under which the functions count: metrics, their dimensions and units, as alarms and the dashboard spell
//! them. `docs/metrics.md` says what each one means. Values of [`OUTCOME`] are the words of the log line.

/// CloudWatch's namespace of all of them.
pub const NAMESPACE: &str = "CommitStatus";

/// Dimension of every metric: the name of the stack.
pub const STACK: &str = "Stack";
/// Dimension: what became of it, in the word its log line has.
pub const OUTCOME: &str = "Outcome";
/// Dimension: the function, where two of them count the same.
pub const FUNCTION: &str = "Function";
/// Dimension: the Git host, as the address of a Provider names it.
pub const HOST: &str = "Host";
/// Dimension: what the answer of a Git host means.
pub const CLASS: &str = "Class";

/// intake: answers, by [`OUTCOME`].
pub const REQUESTS: &str = "Requests";
/// rules: verdicts on an event and a rule, by [`OUTCOME`].
pub const VERDICTS: &str = "Verdicts";
/// rules: events about a status that another object has.
pub const COLLISIONS: &str = "Collisions";
/// poster: how changes end or wait, by [`OUTCOME`].
pub const OUTCOMES: &str = "Outcomes";
/// poster: calls to Git hosts, by [`HOST`] and [`CLASS`].
pub const CALLS: &str = "Calls";
/// poster: from the receipt of an event until its change was posted.
pub const EVENT_TO_POSTED: &str = "EventToPosted";
/// poster: holds of a credential that was refused or missing, and certificates and proxies that cannot be used.
pub const CREDENTIALS_REFUSED: &str = "CredentialsRefused";
/// poster: holds of a credential until the instant its host named.
pub const RATE_LIMITS: &str = "RateLimits";
/// rules and poster: messages that come back, or are none of ours; by [`FUNCTION`] and [`OUTCOME`].
pub const FAILURES: &str = "Failures";
/// sweeper: sweeps, by [`OUTCOME`].
pub const SWEEPS: &str = "Sweeps";
/// sweeper: statuses that are due now.
pub const DUE: &str = "Due";
/// sweeper: statuses that wait for a person.
pub const PARKED: &str = "Parked";

/// What a metric is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Time.
    Milliseconds,
}

/// Every metric and its unit.
pub const ALL: [(&str, Unit); 12] = [
    (REQUESTS, Unit::Count),
    (VERDICTS, Unit::Count),
    (COLLISIONS, Unit::Count),
    (OUTCOMES, Unit::Count),
    (CALLS, Unit::Count),
    (EVENT_TO_POSTED, Unit::Milliseconds),
    (CREDENTIALS_REFUSED, Unit::Count),
    (RATE_LIMITS, Unit::Count),
    (FAILURES, Unit::Count),
    (SWEEPS, Unit::Count),
    (DUE, Unit::Count),
    (PARKED, Unit::Count),
];
