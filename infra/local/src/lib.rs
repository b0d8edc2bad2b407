//! The whole service in one process: the very handlers that Lambda runs, over stand-ins for what AWS provides.
//!
//! DynamoDB is an embedded engine behind the real SDK client, queues and secrets are served in process, the
//! queues also over SQS's protocol for the operator's tool, and the function URL is a loopback port.

pub mod demo;
pub mod fifo;
pub mod function_url;
pub mod ports;
pub mod pump;
pub mod service;
pub mod sqs;
pub mod stand_in;

/// Reads the clock; handed down from `main`.
pub type Clock = fn() -> jiff::Timestamp;
