//! What is known of a status.

use jiff::Timestamp;
use shared::item::{CredentialItem, StatusItem};

use super::block::Block;
use super::provider::held;
use crate::commands::print::{moment, state_style};
use crate::commands::statuses::{Stand, event_time, next_attempt};
use crate::commands::style;
use crate::object::describe_scope;

/// Why a status is parked, and what mends it. The long form stands in docs/errors.md.
const PARKED: [(&str, &str); 16] = [
    (
        "forbidden",
        "give the token the right to write commit statuses of this repository, then `commitstatus retry`",
    ),
    (
        "not-found",
        "check `spec.address` of the Provider and what the token may see, then apply it or `commitstatus retry`",
    ),
    (
        "status-limit",
        "nothing helps for this commit; look for what else posts under this context",
    ),
    (
        "rejected",
        "read what the host said; if the address is right, report it as a bug",
    ),
    ("moved", "correct `spec.address` of the Provider and apply it"),
    (
        "gone",
        "remove the rule, or correct `spec.address` of the Provider and apply it",
    ),
    (
        "cannot-transition",
        "look for what else posts under this name, then `commitstatus retry`",
    ),
    (
        "address-refused",
        "correct `spec.address`; if the host is meant to be in a private network, add its range to AllowedPrivateRanges, \
         then `commitstatus retry`",
    ),
    (
        "no-provider",
        "apply the Provider the rule names; the next event of the object is posted then",
    ),
    (
        "no-context",
        "apply the Provider with an expression that has a default: `event.metadata.?team.orValue('none')`",
    ),
    (
        "invalid-provider",
        "apply the Provider again with this release's tool",
    ),
    ("provider-suspended", "apply the Provider without `suspend: true`"),
    (
        "invalid-rule",
        "apply the rule again with this release's tool, then `commitstatus retry`",
    ),
    ("invalid-key", "its key names no commit; report it as a bug"),
    (
        "crashed",
        "look in the log of poster for what ended it, report that, then `commitstatus retry`",
    ),
    ("no reason", "`commitstatus retry` tries it again"),
];

/// Why nothing is to be posted.
const ENDED: [(&str, &str); 9] = [
    (
        "unknown-commit",
        "the host did not know the commit three times; another state tries again, or `commitstatus retry --force`",
    ),
    (
        "near-status-limit",
        "900 statuses were posted on this context; only turns between green and red still are",
    ),
    (
        "already-posted",
        "it changed and changed back before it was posted: the host shows what it should",
    ),
    (
        "nothing-to-clear",
        "eventSeverity: error, and its failure was never posted, so its success need not be",
    ),
    (
        "skipped(rule-gone)",
        "the rule was deleted, or is hidden by one of the cluster's own",
    ),
    (
        "skipped(provider-gone)",
        "rule and Provider were deleted, so what is pending stays; apply the Provider and delete the rule again to close it",
    ),
    (
        "skipped(rule-suspended)",
        "the rule is suspended; once it is resumed, the next event is posted",
    ),
    (
        "skipped(provider-changed)",
        "the Provider leads to another repository now; the next event goes there",
    ),
    (
        "skipped(expression-changed)",
        "the Provider has another expression now; the next event has a context again, or fails anew",
    ),
];

/// What a word stands for; empty for one of another release.
fn meaning(words: &[(&str, &'static str)], reason: &str) -> &'static str {
    let known = words.iter().find(|(word, _)| *word == reason);
    known.map_or("", |(_, meaning)| meaning)
}

pub(super) fn block(status: &StatusItem, credential: Option<&CredentialItem>, now: Timestamp) -> Block {
    let mut block = Block::default();
    block.field("Context", &status.context);
    block.field("Commit", status.key.sha());
    block.field("Repository", status.key.repository());
    block.field("Cluster", &status.cluster);
    block.field("Object", &status.object);
    let rule = &status.rule;
    block.field(
        "Rule",
        format!("{}, for {}", rule.name, describe_scope(&rule.scope)),
    );
    block.field("Provider", &status.provider);
    block.optional("Summary", status.summary.as_deref());
    let held = held(credential, now);
    match (status.credential.as_str(), held) {
        ("", _) => block.field("Credential", "<none>"),
        (name, None) => block.field("Credential", name),
        (name, Some((until, reason))) => {
            block.field("Credential", name);
            let held = format!("held until {}: {reason}", moment(until, now));
            block.painted("", held, Some(style::BAD));
        }
    }
    if let Some(rival) = &status.rival {
        let rival =
            format!("{rival} writes the same context; take `prefix` out of the rule, or give each its own");
        block.painted("Collision", rival, Some(style::BAD));
    }
    block.section("Desired", |block| desired(block, status, now));
    block.section("Posted", |block| posted(block, status, now));
    stands(&mut block, status, now);
    block.optional("Last error", status.last_error.as_deref());
    if let Some(failed) = &status.failed_expression {
        block.field("Expression", &failed.error);
    }
    let expires = status
        .expires_at
        .map(|seconds| moment(seconds.saturating_mul(1000), now));
    block.field(
        "Forgotten",
        expires.unwrap_or_else(|| "not while it is due or parked".to_owned()),
    );
    block
}

fn desired(block: &mut Block, status: &StatusItem, now: Timestamp) {
    let desired = &status.desired;
    block.painted("State", desired.state, state_style(desired.state));
    block.field("Reason", &desired.reason);
    block.field("Description", &desired.description);
    block.optional("Target URL", desired.target_url.as_deref());
    block.field("Change", status.rev);
    block.field("Event", &status.event_id);
    let time = event_time(status).map(|at| moment(at.as_millisecond(), now));
    block.optional("Event time", time);
    block.optional("Received", desired.received_at.map(|at| moment(at, now)));
    if desired.only_clears {
        block.field("Only clears", "a failure: eventSeverity is error");
    }
}

fn posted(block: &mut Block, status: &StatusItem, now: Timestamp) {
    match &status.posted {
        None => block.field("State", "<none>: the host was told nothing yet"),
        Some(posted) => {
            block.painted("State", posted.state, state_style(posted.state));
            block.field("Reason", &posted.reason);
            block.field("Change", posted.rev);
            block.field("When", moment(posted.at, now));
        }
    }
    block.field("Posts", status.posts);
    if status.unsure {
        let unsure = "a post was begun and its end is not known; it is posted again";
        block.painted("Unsure", unsure, Some(style::DOUBTFUL));
    }
}

/// Where it stands, and what comes next.
fn stands(block: &mut Block, status: &StatusItem, now: Timestamp) {
    let stand = Stand::of(status);
    let due_at = next_attempt(status);
    let at = due_at.map_or_else(|| "an unknown time".to_owned(), |at| moment(at, now));
    let is_late = due_at.is_some_and(|at| at < now.as_millisecond());
    match stand {
        Stand::Due => {
            block.painted("Stands", "due", stand.style());
            block.field("Next attempt", at);
            if is_late {
                block.field("", "the sweeper sends it to poster at its next full minute");
            }
        }
        Stand::Parked => {
            let reason = status.parked.as_deref().unwrap_or("no reason");
            block.painted("Stands", format!("parked: {reason}"), stand.style());
            block.field("Since", at);
            block.field(
                "What to do",
                next(meaning(&PARKED, reason), "docs/errors.md#parked", &status.commit7),
            );
        }
        Stand::Ended => {
            let reason = status.ended.as_deref().unwrap_or("no reason");
            block.field("Stands", format!("ended: {reason}"));
            block.field(
                "Meaning",
                next(meaning(&ENDED, reason), "docs/errors.md#ended", &status.commit7),
            );
        }
        Stand::Posted => block.painted("Stands", "posted", stand.style()),
        Stand::Unknown => block.field("Stands", "nothing is to be posted"),
    }
    let times = |count: u32| match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    block.field(
        "Attempts",
        format!("{} failed since the last change", status.attempts),
    );
    if status.unknown_commits > 0 {
        let unknown = format!(
            "{} the host did not know the commit",
            times(status.unknown_commits)
        );
        block.field("", unknown);
    }
    if status.claims > 0 {
        block.field(
            "Begun",
            format!("{}, without an outcome yet", times(status.claims)),
        );
    }
    let claim = status.claim_until.filter(|until| *until > now.as_millisecond());
    block.optional("Claimed until", claim.map(|until| moment(until, now)));
    if status.coalesced() > 0 {
        let passed = format!(
            "{} before the newest that nobody needs to see any more",
            status.coalesced()
        );
        block.field("Coalesced", passed);
    }
}

/// With the commit in every command, so that it can be copied.
fn next(known: &str, place: &str, commit: &str) -> String {
    match known {
        "" => format!("a word of another release; see {place}"),
        known => known.replace(
            "`commitstatus retry",
            &format!("`commitstatus retry --commit {commit}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ERRORS: &str = include_str!("../../../../../docs/errors.md");

    /// The words in the first column of the table of a section.
    fn documented(section: &str) -> BTreeSet<&'static str> {
        let heading = format!("\n### `{section}`\n");
        let (_, rest) = ERRORS.split_once(heading.as_str()).unwrap();
        let text = rest.split("\n#").next().unwrap();
        let words = text.lines().filter_map(|line| line.strip_prefix("| `"));
        words.map(|line| line.split('`').next().unwrap()).collect()
    }

    #[test]
    fn what_is_claimed_is_tried_when_the_claim_ends() {
        let status = |claim_until: Option<i64>| {
            let mut item = serde_json::json!({
                "pk": "github.com/a/b@0", "sk": "dev/x", "commit7": "0", "context": "dev/x",
                "desired": {"state": "success", "reason": "x", "description": "x"},
                "order_key": "2", "event_id": "0", "rev": 1, "rule": "dev/apps/x", "due": "due#0", "due_at": 60_000,
                "provider": {"namespace": "apps", "name": "x"}, "credential": "x", "cluster": "dev", "object": "x",
            });
            if let Some(until) = claim_until {
                item["claim_until"] = until.into();
            }
            serde_json::from_value::<StatusItem>(item).unwrap()
        };
        for (claim_until, next) in [(None, 60_000), (Some(150_000), 150_000), (Some(1), 60_000)] {
            assert_eq!(next_attempt(&status(claim_until)), Some(next));
        }
    }

    #[test]
    fn every_documented_reason_has_its_next_step_and_no_other_has() {
        let words = |known: &[(&'static str, &str)]| -> BTreeSet<&'static str> {
            known.iter().map(|(word, _)| *word).collect()
        };
        let mut parked = words(&PARKED);
        assert!(
            parked.remove("no reason"),
            "of an item from before reasons were kept"
        );
        assert_eq!(parked, documented("parked"));
        assert_eq!(words(&ENDED), documented("ended"));
    }
}
