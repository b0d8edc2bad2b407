//! Posts what is due to the Git host: claim, post, record.
//!
//! `handler` takes the batch, `post` carries one status through, `target` and `credentials` find where it goes and
//! with what, `app_tokens` keeps what GitHub Apps were given, `pacer` says when, `host` speaks to the Git host, `outcome` says what an answer means, and the ports reach the
//! tables and the secrets.

pub mod adapters;
pub mod app_tokens;
pub mod cache;
pub mod config;
pub mod credentials;
pub mod handler;
pub mod host;
pub mod outcome;
pub mod pace;
pub mod pacer;
pub mod ports;
pub mod post;
pub mod target;
