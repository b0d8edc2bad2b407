//! The adapters against a real engine: what DynamoDB makes of the conditions, and what then stands in the tables.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

mod rules_table;
mod statuses_table;
mod superseded;
mod world;
