//! A fleet and the service, on a virtual clock in one thread: the real handlers over the real SDK client, with
//! DynamoDB as an embedded engine, queues and secrets in memory, and a Git host on loopback.

pub(crate) mod bill;
pub(crate) mod clock;
pub(crate) mod controller;
pub(crate) mod day;
pub(crate) mod flux;
mod host;
pub(crate) mod ledger;
pub(crate) mod logs;
mod queue;
mod rules_table;
pub(crate) mod run;
mod service;
mod table;
mod tasks;
pub(crate) mod usage;
