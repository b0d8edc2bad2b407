//! What this function needs from outside, no wider than its role.

use std::error::Error;
use std::future::Future;

use shared::item::{ClusterItem, EventItem, StatusItem};
use shared::kinds::{ObjectName, Provider, Scope};
use shared::message::{QueueMessage, StatusKey};
use shared::{CommitSha, CommitStatusRule, InvolvedObject};

use crate::decide::{Hint, Incoming};
use crate::verdict::Verdict;

/// A table or queue did not answer, or not with what was expected. The message comes back.
#[derive(Debug, thiserror::Error)]
#[error("could not {action}")]
pub struct Unavailable {
    /// What was tried.
    pub action: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl Unavailable {
    /// For `map_err`.
    pub fn to<E: Into<Box<dyn Error + Send + Sync>>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self {
            action,
            source: source.into(),
        }
    }
}

/// A stored object that this release cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// A rule as found in the table.
#[derive(Debug, Clone)]
pub struct FoundRule {
    /// Namespace and name, from its key.
    pub name: ObjectName,
    /// The rule.
    pub rule: Result<CommitStatusRule, Unreadable>,
}

/// Reads the `rules` table. Every read sees all writes before it.
pub trait RuleStore {
    /// The cluster, a tombstone included.
    fn cluster(&self, cluster: &str)
    -> impl Future<Output = Result<Option<ClusterItem>, Unavailable>> + Send;

    /// What is written anew whenever rules and Providers are applied or deleted; `None` if nothing ever was,
    /// or it cannot be read.
    fn version(&self) -> impl Future<Output = Result<Option<String>, Unavailable>> + Send;

    /// The rules of a scope with an event source for the object by its name.
    fn rules_by_name(
        &self,
        scope: &Scope,
        object: &InvolvedObject,
    ) -> impl Future<Output = Result<Vec<FoundRule>, Unavailable>> + Send;

    /// The rules of a scope with an event source for any object of that kind and namespace.
    fn rules_for_any(
        &self,
        scope: &Scope,
        kind: &str,
        namespace: &str,
    ) -> impl Future<Output = Result<Vec<FoundRule>, Unavailable>> + Send;

    /// Whether the cluster has a rule of its own of that name, which then hides the one for all clusters.
    fn has_own_rule(
        &self,
        cluster: &str,
        name: &ObjectName,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// The Provider of a scope.
    fn provider(
        &self,
        scope: &Scope,
        name: &ObjectName,
    ) -> impl Future<Output = Result<Option<Result<Provider, Unreadable>>, Unavailable>> + Send;
}

/// What an event was found to mean for a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the poster has to be told.
    pub hint: Hint,
    /// Number of the change, and posts begun since an outcome was recorded: what makes the hint its own message.
    pub rev: u64,
    /// See `rev`.
    pub claims: u32,
    /// The other object that had written the status before, if there is one: [`crate::decide::rival`].
    pub rival: Option<String>,
}

/// The newest commit an object is known to have reported to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The commit.
    pub commit: CommitSha,
    /// Its status.
    pub status: StatusKey,
    /// Where the event stands that told of it first: [`shared::order::instant`].
    pub instant: String,
}

/// Writes desired statuses to the `statuses` table.
pub trait StatusStore {
    /// Applies an event to a status there is, by [`crate::decide::decide`] on the item as it is when it is written. `None`
    /// if there is no such status yet. `draft` is the item as it would be created; its order, event and desired state are
    /// the event's. Times in milliseconds.
    fn apply_known(
        &self,
        draft: &StatusItem,
        incoming: &Incoming,
        now: i64,
    ) -> impl Future<Output = Result<Option<Written>, Unavailable>> + Send;

    /// Creates a status; one that came to be meanwhile is treated as by [`StatusStore::apply_known`].
    fn create(
        &self,
        draft: &StatusItem,
        incoming: &Incoming,
        now: i64,
    ) -> impl Future<Output = Result<Written, Unavailable>> + Send;

    /// The newest commit the object of `draft` is known to have reported to its rule.
    fn newest(&self, draft: &StatusItem) -> impl Future<Output = Result<Option<Newest>, Unavailable>> + Send;

    /// Remembers the commit of `draft`, of which an event at `instant` told, in the place of the one that was `seen`.
    /// Whether that was still so.
    fn remember(
        &self,
        draft: &StatusItem,
        instant: &str,
        seen: Option<&Newest>,
        now: i64,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// Applies an event to a status if that is pending, and to no other. `None` if it is not.
    fn supersede(
        &self,
        key: &StatusKey,
        incoming: &Incoming,
        now: i64,
    ) -> impl Future<Output = Result<Option<Written>, Unavailable>> + Send;
}

/// Keeps the last event of each object and commit in the `statuses` table.
pub trait EventStore {
    /// Writes it in the place of the one before.
    fn keep(&self, event: &EventItem) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Tells the poster where to look.
pub trait HintQueue {
    /// Sends a hint; once it returns, the queue has it.
    fn send(&self, message: QueueMessage) -> impl Future<Output = Result<(), Unavailable>> + Send;
}
