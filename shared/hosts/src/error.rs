//! What came of a post, by what is to be done about it.

use jiff::Timestamp;

use crate::Credential;
use crate::request::cut;

/// Characters of a host's message that are kept, so that a status stays small in the table.
const MAX_MESSAGE_CHARS: usize = 200;

/// Reasons of [`PostError::Permanent`].
pub mod refusal {
    /// The credential may not do this.
    pub const FORBIDDEN: &str = "forbidden";
    /// No such repository, or none the credential may see: hosts do not say which.
    pub const NOT_FOUND: &str = "not-found";
    /// The host takes no more statuses for this commit.
    pub const STATUS_LIMIT: &str = "status-limit";
    /// The host does not like the request.
    pub const REJECTED: &str = "rejected";
    /// The repository is now elsewhere, and a credential is not sent after it.
    pub const MOVED: &str = "moved";
    /// The host has closed this for good.
    pub const GONE: &str = "gone";
    /// GitLab knows no way from the state it shows to the one wanted.
    pub const CANNOT_TRANSITION: &str = "cannot-transition";
    /// The host is at an address no credential is sent to. It was not connected to.
    pub const ADDRESS_REFUSED: &str = "address-refused";
}

/// Why a post did not succeed, by what is to be done about it. Messages are the host's, at most 200 characters and
/// without the credential; a cause in the network is part of the message, for it too may need masking.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The host may or may not have taken it.
    #[error("no telling whether the host took it: {0}")]
    Ambiguous(String),
    /// It never reached the host.
    #[error("the host was not reached: {0}")]
    NotSent(String),
    /// Not taken because something else was going on; soon it will be.
    #[error("the host is busy with this commit: {0}")]
    Conflict(String),
    /// Not taken, and nothing posted with this credential will be for a while.
    #[error("rate limited until {until}: {message}")]
    RateLimited {
        /// The instant the host named; a minute from its answer if it named none, a day if it named one beyond.
        until: Timestamp,
        /// Whether the posts came too fast; otherwise what the host grants for a longer time is used up.
        too_fast: bool,
        /// The host's words.
        message: String,
    },
    /// Not taken, for the credential is not valid.
    #[error("the credential is not valid: {0}")]
    Unauthorized(String),
    /// Not taken, for the host does not know the commit: not pushed there, not there yet, or no longer.
    #[error("the host does not know the commit: {0}")]
    UnknownCommit(String),
    /// Not taken, and no later attempt will fare better unless somebody changes something.
    #[error("refused ({reason}): {message}")]
    Permanent {
        /// One of [`refusal`].
        reason: &'static str,
        /// The host's words.
        message: String,
    },
}

impl PostError {
    /// What the host said, or what went wrong on the way to it.
    pub fn message(&self) -> &str {
        match self {
            Self::Ambiguous(message)
            | Self::NotSent(message)
            | Self::Conflict(message)
            | Self::RateLimited { message, .. }
            | Self::Unauthorized(message)
            | Self::UnknownCommit(message)
            | Self::Permanent { message, .. } => message,
        }
    }

    /// One that only a change by somebody mends.
    pub fn permanent(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Permanent {
            reason,
            message: message.into(),
        }
    }

    /// The same without what lets us in, on one line and no longer than people read. Masks before it cuts: the front half
    /// of a token is no less secret.
    #[must_use]
    pub fn presented(mut self, credential: &Credential) -> Self {
        let (Self::Ambiguous(message)
        | Self::NotSent(message)
        | Self::Conflict(message)
        | Self::RateLimited { message, .. }
        | Self::Unauthorized(message)
        | Self::UnknownCommit(message)
        | Self::Permanent { message, .. }) = &mut self;
        let masked = credential.mask(message);
        let words: Vec<&str> = masked
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        *message = cut(&words.join(" "), MAX_MESSAGE_CHARS);
        self
    }
}
