//! Everything intake answers other than 202: one variant for each thing a sender would have to do
//! differently.
//!
//! The text of a [`Refusal`] is what the sender reads: Flux copies it into a Kubernetes event on the Alert.

use std::error::Error;

use jiff::SignedDuration;
use lambda_http::http::{Method, StatusCode};

use crate::event::NotAnEvent;
use crate::handler::MAX_BODY_BYTES;
use crate::ports::{QueueUnavailable, RootKeyUnavailable};

/// Why a request is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Another path.
    #[error("there is nothing at this path: events go to /events/<name of the cluster>")]
    NotFound,
    /// Another method.
    #[error("this path takes {allowed} only")]
    MethodNotAllowed {
        /// The one it takes.
        allowed: Method,
    },
    /// A body of more than [`MAX_BODY_BYTES`].
    #[error("the event has over {} KiB: shorten its message or metadata", MAX_BODY_BYTES / 1024)]
    TooLarge,
    /// Whatever is wrong with the credential; the text is the same for all of it.
    #[error(
        "the signature or token is missing or wrong: use a Provider of type generic-hmac (or generic with \
         the header Authorization: Bearer) with the address and the key handed out for this cluster"
    )]
    Unauthorized(#[source] Distrust),
    /// The right cluster sent something else.
    #[error(transparent)]
    NotAnEvent(#[from] NotAnEvent),
    /// The event is no news.
    #[error(
        "the event is {age:#} old and after {limit:#} it is not taken any more: the next reconciliation \
         sends a new one"
    )]
    TooOld {
        /// How old it is.
        age: SignedDuration,
        /// How old it may be.
        limit: SignedDuration,
    },
    /// The event is from the future.
    #[error(
        "the event is {ahead:#} ahead of this service and {limit:#} is the most: set the clock of the cluster"
    )]
    ClockAhead {
        /// How far ahead it is.
        ahead: SignedDuration,
        /// How far ahead it may be.
        limit: SignedDuration,
    },
    /// Nothing is wrong with the request.
    #[error("the event could not be taken just now: send it again")]
    Unavailable(#[source] Unavailable),
}

/// What is wrong with a credential. For the log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The name in the path.
    #[error("the name of the cluster is not a DNS-1123 label")]
    ClusterName,
    /// The query.
    #[error("the query is not `generation=N` with a decimal number from 1 on")]
    Generation,
    /// Neither header.
    #[error("there is neither an X-Signature header nor a bearer token")]
    Missing,
    /// `X-Signature` of another form, or two of them.
    #[error("there is not exactly one X-Signature of the form sha256=<64 hexadecimal digits>")]
    Signature,
    /// `Authorization` of another form, or two of them.
    #[error("there is not exactly one Authorization header of the form Bearer <token>")]
    Bearer,
    /// No root key yields a cluster key that fits.
    #[error("it was not made with the key of this cluster and generation")]
    Mismatch,
}

/// What intake could not do for a request that may be good.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The signature could not be checked, or not against the newest key.
    #[error(transparent)]
    RootKey(#[from] RootKeyUnavailable),
    /// The event could not be handed on.
    #[error(transparent)]
    Queue(#[from] QueueUnavailable),
    /// The event could not be written down.
    #[error("the message for the queue could not be written")]
    Message(#[source] serde_json::Error),
}

impl Refusal {
    /// One word for it, the same in the answer, in logs and in the documentation.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::TooLarge => "too-large",
            Self::Unauthorized(_) => "unauthorized",
            Self::NotAnEvent(_) => "not-an-event",
            Self::TooOld { .. } => "too-old",
            Self::ClockAhead { .. } => "clock-ahead",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Flux tries again after a 5xx and gives up after a 4xx.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::NotAnEvent(_) | Self::TooOld { .. } | Self::ClockAhead { .. } => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the operator should read: the cause, where the sender is told something more general.
    pub fn cause(&self) -> &(dyn Error + 'static) {
        match self {
            Self::Unauthorized(distrust) => distrust,
            Self::Unavailable(unavailable) => unavailable,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_distrust_reads_the_same_outside() {
        let text = Refusal::Unauthorized(Distrust::Missing).to_string();

        for distrust in [
            Distrust::ClusterName,
            Distrust::Generation,
            Distrust::Signature,
            Distrust::Bearer,
            Distrust::Mismatch,
        ] {
            assert_eq!(Refusal::Unauthorized(distrust).to_string(), text);
        }
    }

    #[test]
    fn ages_are_readable() {
        let refusal = Refusal::TooOld {
            age: SignedDuration::new(25 * 60 * 60 + 61, 0),
            limit: SignedDuration::from_hours(24),
        };
        assert_eq!(
            refusal.to_string(),
            "the event is 25h 1m 1s old and after 24h it is not taken any more: the next reconciliation \
             sends a new one"
        );
    }
}
