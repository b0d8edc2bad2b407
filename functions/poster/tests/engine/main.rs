//! The poster against a real engine and a Git host on this machine.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

mod credentials_table;
mod metrics;
mod post;
mod rules_table;
mod statuses_table;
mod world;
