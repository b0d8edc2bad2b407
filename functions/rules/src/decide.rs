//! What an event changes about a status. Pure; the store makes each decision conditional on the item as it was read.

use shared::item::{Desired, StatusItem};
use shared::{OrderKey, State};

use crate::verdict::{SkipReason, Verdict};

/// What an event says about a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Where the event stands.
    pub order_key: OrderKey,
    /// The event.
    pub event_id: String,
    /// What it says.
    pub desired: Desired,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// There is no item: write one, due.
    Create,
    /// There is no item and nothing to clear: write one that only remembers the order.
    Remember,
    /// Write what is desired, one change on, due.
    Change,
    /// Only the order moves, and with it what is desired if that is not to be posted.
    Touch(Verdict),
    /// Nothing is written. `hint`: something is due, so the poster is told again.
    Leave(Verdict, Hint),
}

/// Whether the poster is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// It is.
    Send,
    /// It is not.
    None,
}

/// Full name of the object whose status is stored, if that is another one than the object of `draft`: both write the same
/// context on the same commit.
pub fn rival(item: &StatusItem, draft: &StatusItem) -> Option<String> {
    let same = item.cluster == draft.cluster && item.object == draft.object;
    (!same).then(|| item.writer())
}

/// Decides what `incoming` changes about the status as it is stored.
pub fn decide(item: Option<&StatusItem>, incoming: &Incoming) -> Decision {
    let quiet = incoming.desired.only_clears && incoming.desired.state == State::Success;
    let Some(item) = item else {
        return if quiet {
            Decision::Remember
        } else {
            Decision::Create
        };
    };
    if incoming.order_key == item.order_key && incoming.event_id == item.event_id {
        let hint = if item.is_due() { Hint::Send } else { Hint::None };
        return Decision::Leave(Verdict::Duplicate, hint);
    }
    if incoming.order_key <= item.order_key {
        return Decision::Leave(Verdict::Stale, Hint::None);
    }
    let idle = item.due.is_none() && !item.unsure;
    if quiet && idle {
        match &item.posted {
            None => return Decision::Touch(Verdict::Skipped(SkipReason::Severity)),
            Some(posted) if posted.state == State::Success => return Decision::Touch(Verdict::Unchanged),
            Some(_) => {}
        }
    }
    if !item
        .desired
        .says_the_same(incoming.desired.state, &incoming.desired.reason)
    {
        return Decision::Change;
    }
    if item.due.is_some() {
        return Decision::Touch(Verdict::Waiting);
    }
    if item.is_posted() || item.has_ended() {
        return Decision::Touch(Verdict::Unchanged);
    }
    // It ended without a post for a reason that no longer holds: a rule or Provider was gone and is back.
    Decision::Change
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use shared::item::{NEAR_STATUS_LIMIT, Posted, UNKNOWN_COMMIT};
    use shared::message::StatusKey;

    pub(crate) fn incoming(second: u32, state: State, reason: &str) -> Incoming {
        let timestamp = format!("2026-08-07T13:13:{second:02}Z").parse().unwrap();
        let event_id = format!("{second:032x}");
        Incoming {
            order_key: OrderKey::new(state.into(), timestamp, "1", state, &event_id),
            event_id,
            desired: Desired {
                state,
                reason: reason.into(),
                description: String::new(),
                target_url: None,
                only_clears: false,
                received_at: None,
            },
        }
    }

    fn posted(state: State, reason: &str) -> Option<Posted> {
        Some(Posted {
            state,
            reason: reason.into(),
            rev: 1,
            at: 0,
        })
    }

    /// A status that was created by `first` and posted.
    pub(crate) fn item(first: &Incoming) -> StatusItem {
        StatusItem {
            key: StatusKey {
                pk: "github.com/acme/fleet@5394cb7f".into(),
                sk: "dev/kustomization/podinfo".into(),
            },
            commit7: "5394cb7".into(),
            context: "dev/kustomization/podinfo".into(),
            summary: None,
            failed_expression: None,
            desired: first.desired.clone(),
            posted: posted(first.desired.state, &first.desired.reason),
            order_key: first.order_key.clone(),
            event_id: first.event_id.clone(),
            rev: 1,
            unsure: false,
            claims: 0,
            claim_until: None,
            due: None,
            due_at: None,
            turn_at: None,
            parked: None,
            ended: None,
            attempts: 0,
            unknown_commits: 0,
            settled: 0,
            posts: 1,
            last_error: None,
            rule: "dev/apps/podinfo".to_owned().try_into().unwrap(),
            provider: "apps/github".parse().unwrap(),
            credential: "dev/apps/github".into(),
            cluster: "dev".into(),
            object: "Kustomization/apps/podinfo".into(),
            rival: None,
            expires_at: None,
        }
    }

    #[test]
    fn another_object_or_the_same_of_another_cluster_is_a_rival() {
        let stored = item(&incoming(10, State::Success, "x"));
        let with = |cluster: &str, object: &str| StatusItem {
            cluster: cluster.into(),
            object: object.into(),
            ..stored.clone()
        };
        let stored_by = Some("dev/Kustomization/apps/podinfo".to_owned());
        let cases = [
            ("dev", "Kustomization/apps/podinfo", None),
            ("prod", "Kustomization/apps/podinfo", stored_by.clone()),
            ("dev", "Kustomization/web/podinfo", stored_by.clone()),
            ("dev", "HelmRelease/apps/podinfo", stored_by),
        ];
        for (cluster, object, expected) in cases {
            assert_eq!(
                rival(&stored, &with(cluster, object)),
                expected,
                "{cluster}/{object}"
            );
        }
        // Another event, rule or spelling of the context is none.
        let elsewise = StatusItem {
            rule: "*/apps/other".to_owned().try_into().unwrap(),
            context: "DEV/kustomization/podinfo".into(),
            event_id: "ff".into(),
            ..stored.clone()
        };
        assert_eq!(rival(&stored, &elsewise), None);
    }

    fn quiet(mut incoming: Incoming) -> Incoming {
        incoming.desired.only_clears = true;
        incoming
    }

    use Decision::{Change, Create, Leave, Remember, Touch};
    use State::{Failure, Pending, Success};

    #[test]
    fn decides_by_order_and_by_what_was_posted() {
        let success = incoming(10, Success, "ReconciliationSucceeded");
        let failure = incoming(10, Failure, "BuildFailed");
        let later_success = incoming(20, Success, "ReconciliationSucceeded");
        let unposted = |first: &Incoming| StatusItem {
            posted: None,
            due: Some("due#1".into()),
            ..item(first)
        };
        let parked = |first: &Incoming| StatusItem {
            posted: None,
            due: Some("parked#1".into()),
            ..item(first)
        };
        let unsure = |first: &Incoming| StatusItem {
            unsure: true,
            due: Some("due#1".into()),
            ..item(first)
        };
        let ended = |why: &str| StatusItem {
            posted: None,
            ended: Some(why.into()),
            ..item(&success)
        };

        let cases = [
            ("first event", None, success.clone(), Create),
            (
                "same event again",
                Some(item(&success)),
                success.clone(),
                Leave(Verdict::Duplicate, Hint::None),
            ),
            (
                "same event again, not posted",
                Some(unposted(&success)),
                success.clone(),
                Leave(Verdict::Duplicate, Hint::Send),
            ),
            (
                "same event again, parked",
                Some(parked(&success)),
                success.clone(),
                Leave(Verdict::Duplicate, Hint::None),
            ),
            (
                "older event",
                Some(item(&later_success)),
                failure.clone(),
                Leave(Verdict::Stale, Hint::None),
            ),
            (
                "newer pending after a result",
                Some(item(&success)),
                incoming(59, Pending, "Progressing"),
                Leave(Verdict::Stale, Hint::None),
            ),
            (
                "next interval",
                Some(item(&success)),
                later_success.clone(),
                Touch(Verdict::Unchanged),
            ),
            (
                "next interval, not posted",
                Some(unposted(&success)),
                later_success.clone(),
                Touch(Verdict::Waiting),
            ),
            (
                "next interval, parked",
                Some(parked(&success)),
                later_success.clone(),
                Touch(Verdict::Waiting),
            ),
            (
                "next interval, unsure",
                Some(unsure(&success)),
                later_success.clone(),
                Touch(Verdict::Waiting),
            ),
            ("recovery", Some(item(&failure)), later_success.clone(), Change),
            (
                "recovery while the failure waits",
                Some(unposted(&failure)),
                later_success.clone(),
                Change,
            ),
            (
                "recovery while the failure is parked",
                Some(parked(&failure)),
                later_success.clone(),
                Change,
            ),
            (
                "another failure",
                Some(item(&failure)),
                incoming(20, Failure, "HealthCheckFailed"),
                Change,
            ),
            (
                "same failure",
                Some(item(&failure)),
                incoming(20, Failure, "BuildFailed"),
                Touch(Verdict::Unchanged),
            ),
            (
                "result after pending",
                Some(item(&incoming(59, Pending, "Progressing"))),
                success.clone(),
                Change,
            ),
            (
                "unknown commit, same state",
                Some(ended(UNKNOWN_COMMIT)),
                later_success.clone(),
                Touch(Verdict::Unchanged),
            ),
            (
                "near the host's limit, same state",
                Some(ended(NEAR_STATUS_LIMIT)),
                later_success.clone(),
                Touch(Verdict::Unchanged),
            ),
            (
                "unknown commit, other state",
                Some(ended(UNKNOWN_COMMIT)),
                incoming(20, Failure, "x"),
                Change,
            ),
            (
                "rule was gone and is back",
                Some(ended("skipped(rule-gone)")),
                later_success.clone(),
                Change,
            ),
        ];
        for (name, item, incoming, decision) in cases {
            assert_eq!(decide(item.as_ref(), &incoming), decision, "{name}");
        }
    }

    #[test]
    fn a_rule_for_errors_posts_a_success_only_to_clear() {
        let failure = incoming(10, Failure, "BuildFailed");
        let success = quiet(incoming(20, Success, "ReconciliationSucceeded"));
        let remembered = StatusItem {
            posted: None,
            rev: 0,
            ..item(&quiet(incoming(10, Success, "x")))
        };
        let not_posted = StatusItem {
            posted: None,
            due: Some("due#1".into()),
            ..item(&failure)
        };
        let maybe_posted = StatusItem {
            posted: None,
            unsure: true,
            due: Some("due#1".into()),
            ..item(&failure)
        };

        let cases = [
            ("nothing to clear", None, Remember),
            (
                "still nothing to clear",
                Some(remembered.clone()),
                Touch(Verdict::Skipped(SkipReason::Severity)),
            ),
            ("a failure is posted", Some(item(&failure)), Change),
            ("a failure may be posted", Some(maybe_posted), Change),
            ("a failure waits", Some(not_posted), Change),
            (
                "already cleared",
                Some(item(&incoming(10, Success, "x"))),
                Touch(Verdict::Unchanged),
            ),
            (
                "a pending is left from before",
                Some(item(&incoming(10, Pending, "Progressing"))),
                Change,
            ),
        ];
        for (name, item, decision) in cases {
            assert_eq!(decide(item.as_ref(), &success), decision, "{name}");
        }
        // The rule takes everything again.
        assert_eq!(decide(Some(&remembered), &incoming(20, Success, "x")), Change);
        assert_eq!(
            decide(Some(&remembered), &incoming(9, Failure, "x")),
            Leave(Verdict::Stale, Hint::None)
        );
        assert_eq!(
            decide(Some(&remembered), &failure),
            Change,
            "of one stamp the failure stays"
        );
    }
}
