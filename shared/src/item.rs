//! The items of the two tables. Attribute names are the names of the fields here and stand nowhere else: an
//! expression writes `#name` and [`names_in`] finds what it uses.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::kinds::{CommitStatusRule, ObjectName, Provider, ProviderSpec, Reference, Scope};
use crate::message::{StatusKey, hex_sha256};
use crate::{CommitSha, Event, OrderKey, State};

/// Partition key attribute of both tables.
pub const PK: &str = "pk";
/// Sort key attribute of both tables.
pub const SK: &str = "sk";
/// Attribute by which DynamoDB expires items, in seconds since 1970.
pub const TTL: &str = "expires_at";
/// Index over what is due or parked: [`DUE`] and [`DUE_AT`].
pub const DUE_INDEX: &str = "due";
/// Partition key of [`DUE_INDEX`]: `due#N` or `parked#N`; absent from an item with nothing to do.
pub const DUE: &str = "due";
/// Sort key of [`DUE_INDEX`]: milliseconds since 1970.
pub const DUE_AT: &str = "due_at";
/// Index over the first seven digits of the commit: [`COMMIT7`] and [`PK`].
pub const COMMIT_INDEX: &str = "commit";
/// Partition key of [`COMMIT_INDEX`].
pub const COMMIT7: &str = "commit7";
/// Number of partitions due and parked items are spread over.
pub const DUE_SHARDS: u8 = 16;
/// Sort key of items that are alone in their partition.
pub const ALONE: &str = "-";
/// How long a status is kept after its last event.
pub const STATUS_LIFETIME_SECONDS: i64 = 90 * 24 * 60 * 60;
/// How long the last event of an object about a commit is kept.
pub const EVENT_LIFETIME_SECONDS: i64 = 30 * 24 * 60 * 60;
/// How a status ends whose commit the host does not know: only another state tries again.
pub const UNKNOWN_COMMIT: &str = "unknown-commit";
/// How a change ends that is not worth one of the last posts a host takes: only another state tries again.
pub const NEAR_STATUS_LIMIT: &str = "near-status-limit";
/// What stands for host and repository in the key of a status whose Provider does not exist.
pub const NO_PROVIDER: &str = "no-provider";

/// A commit status: what it should say, and what the host was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusItem {
    /// Key of the status.
    #[serde(flatten)]
    pub key: StatusKey,
    /// First seven digits of the commit.
    pub commit7: String,
    /// The context, as it is posted.
    pub context: String,
    /// What tells it apart beside the context, at hosts where that counts: metadata `summary` of its first event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The expression that should have given the context, and did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_expression: Option<FailedExpression>,
    /// What the newest event says.
    pub desired: Desired,
    /// What the host was last told, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted: Option<Posted>,
    /// Where the newest event stands.
    pub order_key: OrderKey,
    /// The newest event.
    pub event_id: String,
    /// Number of changes.
    pub rev: u64,
    /// A post was begun whose end is not known: nothing equals what the host shows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unsure: bool,
    /// Posts begun since an outcome was last recorded.
    #[serde(default)]
    pub claims: u32,
    /// Until when the poster that began keeps others away; milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_until: Option<i64>,
    /// `due#N` while there is something to post, `parked#N` while it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// When to try next, or since when it is parked; milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<i64>,
    /// When its turn is among those that wait for the credential, in milliseconds. Kept until it has an end, so that a change
    /// meanwhile loses no place; in the past once the turn has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_at: Option<i64>,
    /// Why it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// Why the last change ended without a post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Failed attempts since the last change.
    #[serde(default)]
    pub attempts: u32,
    /// Times the host did not know the commit since the last change.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown_commits: u32,
    /// The last change that has an end: it was posted, parked or ended, and the changes before it with it.
    #[serde(default)]
    pub settled: u64,
    /// Posts the host took.
    #[serde(default)]
    pub posts: u32,
    /// The host's last refusal, cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The rule that asked for it.
    pub rule: Reference,
    /// The Provider it goes to, by name in the rule's namespace.
    pub provider: ObjectName,
    /// Credential it is posted with: the name of its secret below the stack's prefix.
    pub credential: String,
    /// The cluster it is about.
    pub cluster: String,
    /// The object it is about: `Kustomization/apps/podinfo`.
    pub object: String,
    /// Another object that writes the same context on this commit, as [`StatusItem::writer`] has it; the last one seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rival: Option<String>,
    /// When DynamoDB may forget it, in seconds; absent while something is due or parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// An expression that gave no context for an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedExpression {
    /// Hash of `Provider.spec.commitStatusExpr`: another one may do better.
    pub hash: String,
    /// What it lacked.
    pub error: String,
}

impl FailedExpression {
    /// The hash by which the expression of a Provider is known again.
    pub fn hash_of(spec: &ProviderSpec) -> String {
        hex_sha256(&[spec.commit_status_expr.as_deref().unwrap_or_default()])
    }
}

/// What a status should say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// State.
    pub state: State,
    /// Flux's reason: between two failures another one is a change.
    pub reason: String,
    /// What people read.
    pub description: String,
    /// Where a click leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_url: Option<String>,
    /// The rule takes failures only: a success is posted only where it clears something.
    #[serde(default, skip_serializing_if = "is_false")]
    pub only_clears: bool,
    /// When intake took the event that says so, in milliseconds; absent where no event does, and in items from before this
    /// was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<i64>,
}

impl Desired {
    /// Whether the host would show something else for `other`: another state, or between failures another reason.
    pub fn says_the_same(&self, state: State, reason: &str) -> bool {
        self.state == state && (state != State::Failure || self.reason == reason)
    }
}

/// What the host was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// State.
    pub state: State,
    /// Reason.
    pub reason: String,
    /// The change it was.
    pub rev: u64,
    /// When, in milliseconds.
    pub at: i64,
}

impl StatusItem {
    /// Whether the host is known to show what is desired.
    pub fn is_posted(&self) -> bool {
        !self.unsure
            && self
                .posted
                .as_ref()
                .is_some_and(|posted| self.desired.says_the_same(posted.state, &posted.reason))
    }

    /// How many changes before the newest one end with it: nobody needs to see them any more.
    pub fn coalesced(&self) -> u64 {
        // Items from before this was kept know only what was posted.
        let settled = self
            .settled
            .max(self.posted.as_ref().map_or(0, |posted| posted.rev));
        self.rev.saturating_sub(settled + 1)
    }

    /// Full name of the object it is about: `dev/Kustomization/apps/podinfo`.
    pub fn writer(&self) -> String {
        format!("{}/{}", self.cluster, self.object)
    }

    /// Whether the host may show it as pending, by what is recorded.
    pub fn may_show_pending(&self) -> bool {
        let posted = self.posted.as_ref();
        self.unsure || posted.is_some_and(|posted| posted.state == State::Pending)
    }

    /// Whether it ended for good: the same state again changes nothing.
    pub fn has_ended(&self) -> bool {
        matches!(self.ended.as_deref(), Some(UNKNOWN_COMMIT | NEAR_STATUS_LIMIT))
    }

    /// Whether a post is due, whatever its date.
    pub fn is_due(&self) -> bool {
        self.due.as_deref().is_some_and(|due| due.starts_with("due#"))
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// The newest commit an object reported to a rule, by when its first event says it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectItem {
    /// [`object_pk`].
    pub pk: String,
    /// The rule.
    pub sk: String,
    /// The newest commit.
    pub newest: CommitSha,
    /// Its status.
    pub status: StatusKey,
    /// Where the event stands that told of it first: [`crate::order::instant`].
    pub order_key: String,
    /// When DynamoDB may forget it, in seconds.
    pub expires_at: i64,
}

/// The last event an object sent about a commit: what the operator's tool explains a missing status from, and by what it
/// knows that a cluster still sends. Nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventItem {
    /// [`object_pk`].
    pub pk: String,
    /// [`event_sk`].
    pub sk: String,
    /// First seven digits of the commit, if the event names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit7: Option<String>,
    /// The cluster whose key it came with.
    pub cluster: String,
    /// Generation of that key.
    pub generation: u32,
    /// The key is made from the root key before the current one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub previous_root_key: bool,
    /// Id of the event.
    pub event_id: String,
    /// When intake took it, in milliseconds.
    pub received_at: i64,
    /// The event; long texts of it are cut.
    pub event: Event,
    /// Something of it was cut.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_cut: bool,
    /// When DynamoDB may forget it, in seconds.
    pub expires_at: i64,
}

/// A cluster, or the tombstone of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterItem {
    /// `cluster`.
    pub pk: String,
    /// Its name.
    pub sk: String,
    /// Generation of its key; grows when the key is revoked.
    pub generation: u32,
    /// Its events are dropped for now.
    #[serde(default)]
    pub suspended: bool,
    /// It was removed; the generation is kept so that an old key stays dead.
    #[serde(default)]
    pub deleted: bool,
}

/// An applied rule, or the copy of it for one of its event sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleItem {
    /// [`rule_pk`] or [`source_pk`].
    pub pk: String,
    /// Namespace and name of the rule.
    pub sk: String,
    /// The rule.
    pub rule: CommitStatusRule,
    /// When it was applied, for people.
    #[serde(default)]
    pub applied_at: String,
}

/// An applied Provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderItem {
    /// [`provider_pk`].
    pub pk: String,
    /// Namespace and name of the Provider.
    pub sk: String,
    /// The Provider.
    pub provider: Provider,
    /// When it was applied, for people.
    #[serde(default)]
    pub applied_at: String,
}

/// Pace, holds and lease of one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialItem {
    /// [`credential_pk`].
    pub pk: String,
    /// [`ALONE`].
    pub sk: String,
    /// Nothing is posted before; milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<i64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_reason: Option<String>,
    /// Holds in a row that no accepted post has ended.
    #[serde(default)]
    pub holds: u32,
    /// When the steady pace allows the next post; milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_slot: Option<i64>,
    /// Since when posts have had to wait for their slots; milliseconds. Absent once the burst was whole again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressed_since: Option<i64>,
    /// The first turn that no waiting status has; milliseconds. In the past if none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_turn: Option<i64>,
    /// When a status was last posted in its turn; milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_taken_at: Option<i64>,
    /// Until when a poster has the credential for itself, where the host wants one post at a time; milliseconds. It also
    /// tells this lease from any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_until: Option<i64>,
    /// How often the interval between posts was doubled, for the host said that they come too fast.
    #[serde(default)]
    pub slowed: u32,
    /// When the last hold for that ended, and with it the pace began to recover; milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowed_at: Option<i64>,
}

/// Partition of the one [`VersionItem`].
pub const VERSION_PK: &str = "version";

/// Written in every transaction that applies or deletes rules and Providers: as long as it is the same, so is what was read of
/// them after it. A table to which nothing was applied since there are versions has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionItem {
    /// [`VERSION_PK`].
    pub pk: String,
    /// [`ALONE`].
    pub sk: String,
    /// Never the same again. Not a number that counts: a table that was put back would count the same twice.
    pub version: String,
}

/// Partition of all clusters.
pub const CLUSTER_PK: &str = "cluster";

/// Partition of the rules of a scope.
pub fn rule_pk(scope: &Scope) -> String {
    format!("rule#{scope}")
}

/// Partition of the copies of rules that name this object, or any of its kind and namespace with the name `*`.
pub fn source_pk(scope: &str, kind: &str, namespace: &str, name: &str) -> String {
    format!("source#{scope}#{kind}#{namespace}#{name}")
}

/// Partition of the Providers of a scope.
pub fn provider_pk(scope: &Scope) -> String {
    format!("provider#{scope}")
}

/// Partition of one credential.
pub fn credential_pk(credential: &str) -> String {
    format!("credential#{credential}")
}

/// Partition of the statuses of a commit. `repository` is the key of a repository, as the crate `hosts` has it.
pub fn status_pk(repository: &str, sha: &CommitSha) -> String {
    format!("{repository}@{sha}")
}

/// Partition of what an object reported. `object` is `Kustomization/apps/podinfo`.
pub fn object_pk(cluster: &str, object: &str) -> String {
    format!("object#{cluster}/{object}")
}

/// Begins the sort key of an [`EventItem`]. A rule's reference, which the other items of an object have there, begins
/// with a cluster or `*`, and no name holds an `@`.
pub const EVENT_SK: &str = "event@";

/// Sort key of the last event an object sent about a commit, or about none.
pub fn event_sk(sha: Option<&CommitSha>) -> String {
    format!("{EVENT_SK}{}", sha.map_or(ALONE, CommitSha::as_str))
}

/// Name of a Provider's secret below the stack's prefix: `_all/flux-system/github-token`. Kubernetes names hold no
/// underscore, so no cluster is called `_all`.
pub fn secret_name(scope: &Scope, namespace: &str, secret: &str) -> String {
    let scope = match scope {
        Scope::AllClusters => "_all",
        Scope::Cluster(name) => name,
    };
    format!("{scope}/{namespace}/{secret}")
}

/// `due` of a status that waits for the poster.
pub fn due_shard(key: &StatusKey) -> String {
    format!("due#{}", shard(key))
}

/// `due` of a status that waits for a person.
pub fn parked_shard(key: &StatusKey) -> String {
    format!("parked#{}", shard(key))
}

fn shard(key: &StatusKey) -> u8 {
    let digest = hex_sha256(&[&key.pk, &key.sk]);
    u8::from_str_radix(&digest[..2], 16).unwrap_or(0) % DUE_SHARDS
}

/// The attribute names an expression uses: every `#name` in it, so that an alias is always its own attribute and
/// reserved words need no thought.
pub fn names_in(expressions: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for expression in expressions {
        for part in expression.split('#').skip(1) {
            let end = part
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(part.len());
            if end > 0 {
                names.insert(part[..end].to_owned());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_names_an_expression_uses() {
        let names = names_in(&[
            "SET #order_key = :k, #desired.#state = :s",
            "attribute_not_exists(#due)",
        ]);
        assert_eq!(Vec::from_iter(names), ["desired", "due", "order_key", "state"]);
    }

    #[test]
    fn statuses_spread_over_the_shards() {
        let shards: BTreeSet<String> = (0..500)
            .map(|n| {
                due_shard(&StatusKey {
                    pk: format!("github.com/a/b@{n}"),
                    sk: "dev/x".into(),
                })
            })
            .collect();
        assert_eq!(shards.len(), usize::from(DUE_SHARDS));
    }

    #[test]
    fn changes_that_have_an_end_are_not_coalesced() {
        let key = serde_json::json!({"pk": "github.com/a/b@0", "sk": "dev/x"});
        let coalesced = |rev: u64, settled: u64, posted: Option<u64>| {
            let mut item = serde_json::json!({
                "pk": key["pk"], "sk": key["sk"], "commit7": "0", "context": "dev/x",
                "desired": {"state": "success", "reason": "x", "description": "x"},
                "order_key": "2", "event_id": "0", "rev": rev, "rule": "dev/apps/x",
                "provider": {"namespace": "apps", "name": "x"}, "credential": "x", "cluster": "dev", "object": "x",
            });
            if settled > 0 {
                item["settled"] = settled.into();
            }
            if let Some(rev) = posted {
                item["posted"] = serde_json::json!({"state": "failure", "reason": "x", "rev": rev, "at": 0});
            }
            serde_json::from_value::<StatusItem>(item).unwrap().coalesced()
        };
        assert_eq!(coalesced(1, 0, None), 0);
        assert_eq!(coalesced(3, 0, None), 2);
        assert_eq!(coalesced(5, 3, Some(2)), 1, "3 ended without a post");
        assert_eq!(coalesced(5, 0, Some(2)), 2, "as before `settled` was kept");
        assert_eq!(coalesced(2, 2, Some(2)), 0, "posted once more");
    }

    #[test]
    fn between_failures_the_reason_counts_and_between_successes_it_does_not() {
        let desired = |state| Desired {
            state,
            reason: "BuildFailed".into(),
            description: String::new(),
            target_url: None,
            only_clears: false,
            received_at: None,
        };
        assert!(!desired(State::Failure).says_the_same(State::Failure, "HealthCheckFailed"));
        assert!(desired(State::Failure).says_the_same(State::Failure, "BuildFailed"));
        assert!(desired(State::Success).says_the_same(State::Success, "ReconciliationSucceeded"));
        assert!(!desired(State::Success).says_the_same(State::Pending, "BuildFailed"));
    }
}
