//! Turns events into desired commit statuses.
//!
//! `handler` takes the batch, `lookup` finds the rules an event may concern, `evaluate` says what each makes of it,
//! `draft` under which context and in which words, `decide` what that changes, and the ports reach the tables and the queue.

pub mod adapters;
pub mod config;
pub mod context;
pub mod decide;
pub mod description;
pub mod draft;
pub mod evaluate;
pub mod handler;
pub mod last_event;
pub mod lookup;
pub mod metadata;
pub mod ports;
pub mod verdict;
