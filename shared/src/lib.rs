#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod error_chain;
pub mod event;
pub mod item;
pub mod kinds;
pub mod message;
pub mod metrics;
pub mod order;
pub mod revision;
pub mod state;

pub use error_chain::ErrorChain;
pub use event::{Event, InvolvedObject, Severity};
pub use kinds::{CommitStatusRule, Provider, Scope};
pub use message::{EventMessage, PostHint};
pub use order::{OrderKey, Rank};
pub use revision::CommitSha;
pub use state::State;
