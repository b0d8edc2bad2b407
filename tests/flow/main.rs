//! The functions together, without AWS: Function URL JSON in, SQS JSON between them, HTTP to a stand-in of the Git
//! host at the end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod binaries;
mod collisions;
mod cost;
mod dead_letters;
mod demo;
mod events;
mod fleet;
mod github_app;
mod host;
mod hosts;
mod metrics;
mod migrate;
mod names;
mod operations;
mod order;
mod outages;
mod questions;
mod readme;
mod rejected;
mod statuses;
mod superseded;
mod world;
