//! What intake needs from outside: a queue to send to and a root key to read. Nothing else, as its IAM role.

use std::error::Error;
use std::sync::Arc;

use shared::message::QueueMessage;

use crate::keys::RootKeys;

/// Where accepted events go.
pub trait EventQueue: Send + Sync {
    /// Returns once the queue has the message for good.
    ///
    /// # Errors
    /// If it is not known to have it. Sending the same message again is always safe.
    fn send(&self, message: QueueMessage) -> impl Future<Output = Result<(), QueueUnavailable>> + Send;
}

/// Where the root key is kept.
pub trait RootKeySource: Send + Sync {
    /// Reads the root key that is in force, and the one before it while that is still accepted.
    ///
    /// # Errors
    /// If either cannot be read, or the one in force is too short. That there is no earlier one is no error.
    fn fetch(&self) -> impl Future<Output = Result<RootKeys, RootKeyUnavailable>> + Send;
}

/// The queue did not confirm that it has the event.
#[derive(Debug, thiserror::Error)]
#[error("the events queue did not take the event")]
pub struct QueueUnavailable(#[source] Box<dyn Error + Send + Sync>);

impl QueueUnavailable {
    /// Wraps what the queue said.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// The root key could not be read. Cheap to clone: it is told again to requests that come before the next
/// attempt.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the root key could not be read")]
pub struct RootKeyUnavailable(#[source] Arc<dyn Error + Send + Sync>);

impl RootKeyUnavailable {
    /// Wraps what the store said.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(source.into()))
    }
}
