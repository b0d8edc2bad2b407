//! The operator's tool as a library: what the binary `commitstatus` does, for the local process and for
//! tests.

pub mod app;
pub mod commands;
pub mod connect;
pub mod explain;
pub mod import;
pub mod local_instance;
pub mod names;
pub mod object;
pub mod probe;
pub mod queues;
pub mod root_key;
pub mod schema;
pub mod secrets;
pub mod store;
pub mod yaml;
