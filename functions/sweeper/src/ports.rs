//! What this function needs from outside, no wider than its role.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use shared::message::{QueueMessage, StatusKey};

/// A table or queue did not answer, or not with what was expected.
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

/// A status with a due date, as the index shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueStatus {
    /// Which status.
    pub key: StatusKey,
    /// Its due date, in milliseconds.
    pub due_at: i64,
    /// The credential it is posted with.
    pub credential: String,
}

/// Due dates in the `statuses` table.
pub trait DueStore {
    /// Statuses of one shard of the index that are due at `until`, the longest due first, `limit` at most.
    fn due(
        &self,
        shard: u8,
        until: i64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<DueStatus>, Unavailable>> + Send;

    /// How many statuses of one shard of the index wait for a person, as far as one page of the index shows.
    fn parked(&self, shard: u8) -> impl Future<Output = Result<usize, Unavailable>> + Send;

    /// Moves a due date, if it still is what the index showed; of a status that somebody is posting to when his claim ends.
    /// `false` if it was not moved.
    fn postpone(
        &self,
        status: &DueStatus,
        due_at: i64,
        now: i64,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

/// Waits.
pub trait Sleep {
    /// For so long.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// Tells the poster where to look.
pub trait HintQueue {
    /// Sends a hint; once it returns, the queue has it.
    fn send(&self, message: QueueMessage) -> impl Future<Output = Result<(), Unavailable>> + Send;
}
