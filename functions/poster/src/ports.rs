//! What this function needs from outside, no wider than its role.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use secrecy::SecretString;
use shared::CommitStatusRule;
use shared::item::StatusItem;
use shared::kinds::{ObjectName, Provider, Reference, Scope};
use shared::message::StatusKey;

use crate::outcome::Record;
use crate::pace::Pace;

/// A table or the secret store did not answer, or not with what was expected.
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

/// A status this poster may post now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The status as it was before.
    pub item: StatusItem,
    /// Until when others keep away, in milliseconds; it also tells this claim from any other.
    pub until: i64,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours.
    Ours(Box<Claim>),
    /// Nothing is due: posted already, parked, or gone.
    NothingDue,
    /// Another poster is at it, or an answer that left everything open is not old enough.
    Busy,
}

/// What came of recording an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It stands in the table.
    Done,
    /// It stands in the table, and the status has changed meanwhile: there is more to post.
    Changed,
    /// The lease ran out and another poster has the status: it is due again, so that the last word is the newest.
    Lost,
}

/// The `statuses` table.
pub trait StatusStore {
    /// Takes a status for `lease_millis`, if something is due, whatever its date, and nobody has it. Its due date stays as
    /// it is.
    fn claim(
        &self,
        key: &StatusKey,
        now: i64,
        lease_millis: i64,
    ) -> impl Future<Output = Result<Claimed, Unavailable>> + Send;

    /// Writes down what came of a claim.
    fn record(
        &self,
        claim: &Claim,
        record: &Record,
        now: i64,
    ) -> impl Future<Output = Result<Recorded, Unavailable>> + Send;
}

/// A credential for one poster alone, where the host wants one post at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// How long after its slot a post is over, in milliseconds. A lease that nobody ends ends then.
    pub millis: i64,
    /// The lease of this poster's post before, which this one goes on from.
    pub ours: Option<i64>,
}

/// When a credential may be used next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// At this millisecond, now or within [`crate::pace::LONGEST_WAIT_MILLIS`]; it is reserved. `was_held`: the last
    /// hold has run out and no post has shown yet that its cause is gone.
    At {
        /// When.
        millis: i64,
        /// See above.
        was_held: bool,
        /// Until when nobody else posts, if a lease was asked for; it also tells this lease from any other.
        lease: Option<i64>,
    },
    /// The pace allows it at this millisecond, or others wait; nothing is reserved.
    NotBefore(i64),
    /// Another poster has the credential until this millisecond at the latest; nothing is reserved.
    Busy(i64),
    /// The credential is held until this millisecond.
    Held {
        /// Until when.
        until: i64,
        /// Why.
        reason: Option<String>,
    },
}

/// A host's word that a credential has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The instant the host named, in milliseconds.
    pub until: i64,
    /// If the posts come too fast: when the one that was told so had reserved its slot.
    pub too_fast: Option<i64>,
}

/// Pace, holds and leases of credentials, in the `statuses` table.
pub trait CredentialStore {
    /// Reserves the next slot, and the credential with it if a lease is asked for. What is not `in_turn` gets none while
    /// others are posted in their turns ([`crate::pace::TURNS_KEPT_MILLIS`]), unless this poster has the credential already.
    fn reserve(
        &self,
        credential: &str,
        pace: Pace,
        lease: Option<Lease>,
        in_turn: bool,
        now: i64,
    ) -> impl Future<Output = Result<Slot, Unavailable>> + Send;

    /// The next turn that no waiting status has, in milliseconds, at `earliest` or later: one each interval of the pace.
    fn next_turn(
        &self,
        credential: &str,
        pace: Pace,
        earliest: i64,
        now: i64,
    ) -> impl Future<Output = Result<i64, Unavailable>> + Send;

    /// Ends a lease, unless another poster has the credential meanwhile.
    fn end(
        &self,
        credential: &str,
        lease: i64,
        now: i64,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Holds back every post with the credential until the instant its host named; never shortens a hold. Returns by how
    /// many doublings of the interval the pace is slowed then.
    fn hold(
        &self,
        credential: &str,
        limit: Limit,
        reason: &str,
        now: i64,
    ) -> impl Future<Output = Result<u32, Unavailable>> + Send;

    /// Holds back every post with a credential that is missing or refused, for longer with every hold in a row. One
    /// that is held already stays as it is: posts that were under way together are refused together. Returns when the
    /// hold ends.
    fn refuse(
        &self,
        credential: &str,
        reason: &str,
        now: i64,
    ) -> impl Future<Output = Result<i64, Unavailable>> + Send;

    /// Forgets holds that are over: a post was taken. One that began meanwhile stays.
    fn release(&self, credential: &str, now: i64) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// A stored object that this release cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// A stored object: absent, unreadable or there.
pub type Stored<T> = Option<Result<T, Unreadable>>;

/// Reads the `rules` table.
pub trait RuleStore {
    /// The rule as applied for a scope.
    fn rule(
        &self,
        reference: &Reference,
    ) -> impl Future<Output = Result<Stored<CommitStatusRule>, Unavailable>> + Send;

    /// The Provider as applied for a scope.
    fn provider(
        &self,
        scope: &Scope,
        name: &ObjectName,
    ) -> impl Future<Output = Result<Stored<Provider>, Unavailable>> + Send;
}

/// The Providers' secrets.
pub trait SecretStore {
    /// The secret's JSON text by its name below the stack's prefix; `None` if there is no such secret.
    fn secret(&self, name: &str) -> impl Future<Output = Result<Option<SecretString>, Unavailable>> + Send;
}

/// Lets time pass.
pub trait Sleep {
    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}
