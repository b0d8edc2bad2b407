//! Sends hints for what is due: once a minute it moves the due date of every due status by a lease and tells the
//! poster to look at it.

pub mod adapters;
pub mod config;
pub mod handler;
pub mod ports;
