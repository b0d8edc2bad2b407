//! What an answer of the host means for a status. Pure.

use jiff::Timestamp;
use shared::item::StatusItem;

use crate::host::PostError;

/// A key whose host left open whether it took the post is not posted again meanwhile.
pub const OPEN_ANSWER_MILLIS: i64 = 60_000;
/// First wait after a failure that passes.
const FIRST_RETRY_MILLIS: i64 = 30_000;
/// Longest wait: an outage of days is noticed to be over within this time.
const LONGEST_RETRY_MILLIS: i64 = 15 * 60_000;
/// A conflict is over within seconds: GitLab itself waits up to ten.
const CONFLICT_RETRY_MILLIS: i64 = 15_000;
/// When an unknown commit is tried again: a mirror or replica may lag. After the last it has ended.
const UNKNOWN_COMMIT_RETRIES_MILLIS: [i64; 2] = [2 * 60_000, 8 * 60_000];
/// First hold of a credential the host refused; doubles with every hold in a row.
const FIRST_HOLD_MILLIS: i64 = 60_000;
/// Longest hold of a refused credential: a mended secret works within this time.
const LONGEST_HOLD_MILLIS: i64 = 30 * 60_000;
/// Longest text of the host that is kept.
const LAST_ERROR_CHARS: usize = 200;
/// Posts of a held credential are spread over this time when the hold ends.
pub const SPREAD_MILLIS: i64 = 20_000;

/// How a status ends that the host does not know the commit of.
pub const UNKNOWN_COMMIT: &str = "unknown-commit";

/// What is written down about a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The host took it.
    Posted,
    /// Something passing: tried again.
    Retry(Retry),
    /// Something a person has to mend.
    Parked {
        /// One word.
        reason: &'static str,
        /// The host's words.
        error: Option<String>,
    },
    /// Nothing is to be posted, and nobody has to do anything.
    Ended {
        /// One word, or `skipped(…)`.
        reason: &'static str,
        /// The host's words.
        error: Option<String>,
    },
}

/// When and how to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Millisecond of the next attempt.
    pub due_at: i64,
    /// Whether the host may have taken the post.
    pub open: bool,
    /// Whether it counts as a failed attempt of this status; a held credential is none.
    pub counts: bool,
    /// Until when nobody may claim it.
    pub claim_until: Option<i64>,
    /// The host's words.
    pub error: Option<String>,
}

/// What happens to the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// Until the instant the host named, in milliseconds.
    Until(i64),
    /// Refused: longer with every hold in a row.
    Refused,
}

/// What an answer other than "taken" means: what to record, and whether the credential is held. A hold's end is
/// decided by the caller, who knows how many there were; the record's due date is then moved behind it.
pub fn outcome(item: &StatusItem, error: &PostError, now: Timestamp) -> (Record, Option<Hold>) {
    let now = now.as_millisecond();
    let text = Some(cut(&error.to_string()));
    let retry = |due_at| Retry {
        due_at,
        open: false,
        counts: true,
        claim_until: None,
        error: text.clone(),
    };
    match error {
        PostError::Ambiguous(_) => {
            let until = now + OPEN_ANSWER_MILLIS;
            let due_at = until.max(now + backoff(item.attempts));
            (
                Record::Retry(Retry {
                    open: true,
                    claim_until: Some(until),
                    ..retry(due_at)
                }),
                None,
            )
        }
        PostError::NotSent(_) => (Record::Retry(retry(now + backoff(item.attempts))), None),
        PostError::Conflict(_) => (Record::Retry(retry(now + CONFLICT_RETRY_MILLIS)), None),
        PostError::RateLimited { until, .. } => {
            let until = until.as_millisecond();
            (
                Record::Retry(Retry {
                    counts: false,
                    ..retry(until)
                }),
                Some(Hold::Until(until)),
            )
        }
        PostError::Unauthorized(_) => (
            Record::Retry(Retry {
                counts: false,
                ..retry(now)
            }),
            Some(Hold::Refused),
        ),
        PostError::UnknownCommit(_) => {
            match usize::try_from(item.attempts)
                .ok()
                .and_then(|n| UNKNOWN_COMMIT_RETRIES_MILLIS.get(n))
            {
                Some(wait) => (Record::Retry(retry(now + wait)), None),
                None => (
                    Record::Ended {
                        reason: UNKNOWN_COMMIT,
                        error: text,
                    },
                    None,
                ),
            }
        }
        PostError::Permanent { reason, .. } => (Record::Parked { reason, error: text }, None),
    }
}

/// How long a refused credential rests after `holds` holds in a row before this one.
pub fn hold_millis(holds: u32) -> i64 {
    doubled(FIRST_HOLD_MILLIS, holds, LONGEST_HOLD_MILLIS)
}

/// How long a status rests after `attempts` failed attempts before this one.
pub fn backoff(attempts: u32) -> i64 {
    doubled(FIRST_RETRY_MILLIS, attempts, LONGEST_RETRY_MILLIS)
}

fn doubled(first: i64, times: u32, longest: i64) -> i64 {
    first
        .saturating_mul(1_i64.checked_shl(times.min(32)).unwrap_or(i64::MAX))
        .min(longest)
}

/// What is kept of a text of the host.
pub fn cut(text: &str) -> String {
    text.chars().take(LAST_ERROR_CHARS).collect()
}
