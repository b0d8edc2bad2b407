//! What an answer of the host means for a status. Pure.

use hosts::PostError;
use jiff::Timestamp;
use shared::State;
use shared::item::{StatusItem, UNKNOWN_COMMIT};

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
/// Longest text of the host that is kept, so that a status stays below 1 KiB, one write unit.
const LAST_ERROR_CHARS: usize = 120;

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
    /// What it counts as.
    pub counts: Counts,
    /// Until when nobody may claim it.
    pub claim_until: Option<i64>,
    /// Its turn among those that wait for the credential, if it was given one.
    pub turn_at: Option<i64>,
    /// The host's words.
    pub error: Option<String>,
}

/// What a try counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Nothing: the status was not tried, because its credential is held.
    Nothing,
    /// A failed attempt, after which the next one waits longer.
    Attempt,
    /// One of the times the host does not know the commit.
    UnknownCommit,
}

/// What happens to the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// Until the instant the host named.
    Until {
        /// When, in milliseconds.
        millis: i64,
        /// Whether the posts came too fast.
        too_fast: bool,
    },
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
        counts: Counts::Attempt,
        claim_until: None,
        turn_at: None,
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
        PostError::RateLimited { until, too_fast, .. } => {
            let until = until.as_millisecond();
            (
                Record::Retry(Retry {
                    counts: Counts::Nothing,
                    ..retry(until)
                }),
                Some(Hold::Until {
                    millis: until,
                    too_fast: *too_fast,
                }),
            )
        }
        PostError::Unauthorized(_) => (
            Record::Retry(Retry {
                counts: Counts::Nothing,
                ..retry(now)
            }),
            Some(Hold::Refused),
        ),
        PostError::UnknownCommit(_) => {
            match usize::try_from(item.unknown_commits)
                .ok()
                .and_then(|n| UNKNOWN_COMMIT_RETRIES_MILLIS.get(n))
            {
                Some(wait) => (
                    Record::Retry(Retry {
                        counts: Counts::UnknownCommit,
                        ..retry(now + wait)
                    }),
                    None,
                ),
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

/// Posts on one context and commit after which only what people act on is still posted. GitHub takes 1,000
/// (<https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>), and counts answers that never reached us
/// too; a pipeline of GitLab takes as many jobs as its operator says.
const POSTS_BEFORE_SPARING: u32 = 900;

/// Whether a post would be wasted: many were made, and it is no turn from green to red or from red to green.
pub fn is_spared(item: &StatusItem) -> bool {
    use State::{Failure, Success};
    let turns = match &item.posted {
        None => true,
        Some(posted) => {
            matches!(
                (posted.state, item.desired.state),
                (Success, Failure) | (Failure, Success)
            )
        }
    };
    item.posts >= POSTS_BEFORE_SPARING && !turns
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use hosts::refusal;
    use shared::OrderKey;
    use shared::item::{Desired, Posted, due_shard};
    use shared::message::StatusKey;

    /// A status of `*/apps/podinfo` in cluster `dev`, on a commit of `github.com/acme/fleet`.
    pub(crate) fn item() -> StatusItem {
        let key = StatusKey {
            pk: "github.com/acme/fleet@5394cb7f48332b2de7c17dd8b8384bbc84b7e738".into(),
            sk: "dev/kustomization/podinfo".into(),
        };
        StatusItem {
            commit7: "5394cb7".into(),
            context: key.sk.clone(),
            summary: None,
            failed_expression: None,
            desired: Desired {
                state: State::Failure,
                reason: "BuildFailed".into(),
                description: "build failed".into(),
                target_url: None,
                only_clears: false,
                received_at: None,
            },
            posted: None,
            order_key: OrderKey::new(
                State::Failure.into(),
                Timestamp::UNIX_EPOCH,
                "1",
                State::Failure,
                "00",
            ),
            event_id: "00".into(),
            rev: 1,
            unsure: false,
            claims: 0,
            claim_until: None,
            due: Some(due_shard(&key)),
            due_at: None,
            turn_at: None,
            parked: None,
            ended: None,
            attempts: 0,
            unknown_commits: 0,
            settled: 0,
            posts: 0,
            last_error: None,
            rule: "*/apps/podinfo".to_owned().try_into().unwrap(),
            provider: "apps/github".parse().unwrap(),
            credential: "_all/apps/token".into(),
            cluster: "dev".into(),
            object: "Kustomization/apps/podinfo".into(),
            rival: None,
            expires_at: None,
            key,
        }
    }

    const NOW: i64 = 1_786_108_382_000;
    const SECOND: i64 = 1_000;
    const MINUTE: i64 = 60 * SECOND;

    fn after(attempts: u32, error: &PostError) -> (Record, Option<Hold>) {
        let item = StatusItem { attempts, ..item() };
        outcome(&item, error, Timestamp::from_millisecond(NOW).unwrap())
    }

    fn said() -> String {
        "said".into()
    }

    /// The retry an error leads to; `wait` from now.
    fn retry(wait: i64, error: &PostError) -> Retry {
        Retry {
            due_at: NOW + wait,
            open: false,
            counts: Counts::Attempt,
            claim_until: None,
            turn_at: None,
            error: Some(error.to_string()),
        }
    }

    #[test]
    fn an_open_answer_is_tried_again_after_a_minute_at_the_soonest() {
        let error = PostError::Ambiguous(said());
        let minutes = [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (4, 8),
            (5, 15),
            (6, 15),
            (u32::MAX, 15),
        ];
        for (attempts, wait) in minutes {
            let expected = Retry {
                open: true,
                claim_until: Some(NOW + MINUTE),
                ..retry(wait * MINUTE, &error)
            };
            assert_eq!(
                after(attempts, &error),
                (Record::Retry(expected), None),
                "{attempts}"
            );
        }
    }

    #[test]
    fn what_never_reached_the_host_is_tried_again_sooner() {
        let error = PostError::NotSent(said());
        let seconds = [
            (0, 30),
            (1, 60),
            (2, 120),
            (3, 240),
            (4, 480),
            (5, 900),
            (31, 900),
            (u32::MAX, 900),
        ];
        for (attempts, wait) in seconds {
            let expected = retry(wait * SECOND, &error);
            assert_eq!(
                after(attempts, &error),
                (Record::Retry(expected), None),
                "{attempts}"
            );
        }
    }

    #[test]
    fn a_conflict_is_over_within_seconds_however_often_it_comes() {
        let error = PostError::Conflict(said());
        for attempts in [0, 10] {
            let expected = retry(15 * SECOND, &error);
            assert_eq!(after(attempts, &error), (Record::Retry(expected), None));
        }
    }

    #[test]
    fn what_concerns_the_credential_is_no_attempt_of_the_status() {
        let until = NOW + 77;
        for too_fast in [false, true] {
            let limited = PostError::RateLimited {
                until: Timestamp::from_millisecond(until).unwrap(),
                too_fast,
                message: said(),
            };
            let expected = Retry {
                counts: Counts::Nothing,
                ..retry(77, &limited)
            };
            let hold = Hold::Until {
                millis: until,
                too_fast,
            };
            assert_eq!(after(3, &limited), (Record::Retry(expected), Some(hold)));
        }

        let unauthorized = PostError::Unauthorized(said());
        let expected = Retry {
            counts: Counts::Nothing,
            ..retry(0, &unauthorized)
        };
        assert_eq!(
            after(3, &unauthorized),
            (Record::Retry(expected), Some(Hold::Refused))
        );
    }

    #[test]
    fn an_unknown_commit_is_tried_three_times_and_ends() {
        let error = PostError::UnknownCommit(said());
        let after = |unknown_commits| {
            // Failures of another kind before it take no try away.
            let item = StatusItem {
                attempts: 7,
                unknown_commits,
                ..item()
            };
            outcome(&item, &error, Timestamp::from_millisecond(NOW).unwrap())
        };
        for (tries, minutes) in [(0, 2), (1, 8)] {
            let expected = Retry {
                counts: Counts::UnknownCommit,
                ..retry(minutes * MINUTE, &error)
            };
            assert_eq!(after(tries), (Record::Retry(expected), None));
        }
        for tries in [2, 3, u32::MAX] {
            let ended = Record::Ended {
                reason: "unknown-commit",
                error: Some("the host does not know the commit: said".into()),
            };
            assert_eq!(after(tries), (ended, None));
        }
    }

    #[test]
    fn what_a_person_has_to_mend_is_parked_at_once() {
        let error = PostError::Permanent {
            reason: refusal::FORBIDDEN,
            message: said(),
        };
        let parked = Record::Parked {
            reason: "forbidden",
            error: Some("refused (forbidden): said".into()),
        };
        assert_eq!(after(0, &error), (parked, None));
    }

    #[test]
    fn near_the_hosts_limit_only_turns_between_green_and_red_are_posted() {
        use State::{Failure, Pending, Success};
        let posted = |state| {
            Some(Posted {
                state,
                reason: "x".into(),
                rev: 1,
                at: 0,
            })
        };
        for (shown, wanted, spared) in [
            (posted(Success), Failure, false),
            (posted(Failure), Success, false),
            (posted(Failure), Failure, true),
            (posted(Pending), Pending, true),
            (posted(Pending), Success, true),
            (None, Success, false),
        ] {
            let mut item = StatusItem {
                posted: shown.clone(),
                posts: POSTS_BEFORE_SPARING,
                ..item()
            };
            item.desired.state = wanted;
            assert_eq!(is_spared(&item), spared, "{shown:?} {wanted}");
            item.posts -= 1;
            assert!(!is_spared(&item));
        }
    }

    #[test]
    fn a_long_answer_is_cut_between_characters() {
        let error = PostError::NotSent("é".repeat(500));
        let (Record::Retry(retry), None) = after(0, &error) else {
            panic!("not a retry");
        };
        assert_eq!(retry.error.unwrap().chars().count(), LAST_ERROR_CHARS);
    }

    #[test]
    fn a_refused_credential_rests_for_half_an_hour_at_most() {
        let minutes = [
            (0, 1),
            (1, 2),
            (2, 4),
            (3, 8),
            (4, 16),
            (5, 30),
            (63, 30),
            (u32::MAX, 30),
        ];
        for (holds, wait) in minutes {
            assert_eq!(hold_millis(holds), wait * MINUTE, "{holds}");
        }
    }
}
