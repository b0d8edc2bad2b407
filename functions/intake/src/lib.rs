//! Takes Flux events at the function URL and puts them on the `events` queue.
//!
//! A cluster is known by its credential, never by what the body says; an event is acknowledged only after the
//! queue has it. [`handler::handle`] is the whole function; everything it decides is in modules without I/O,
//! and what it needs from outside is in [`ports`].

#![deny(missing_docs)]

pub mod adapters;
pub mod address;
pub mod config;
pub mod event;
pub mod function_url;
pub mod handler;
pub mod keys;
pub mod ports;
pub mod refusal;
pub mod root_key_cache;
pub mod signature;
