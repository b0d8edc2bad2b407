//! What the targets call, compiled from the sources of the functions and of the operator's tool without their adapters,
//! so that the AWS SDKs are not built once more for fuzzing.

#[path = "../../../functions/intake/src"]
pub mod intake {
    pub mod address;
    pub mod event;
    pub mod handler;
    pub mod keys;
    pub mod ports;
    pub mod refusal;
    pub mod root_key_cache;
    pub mod signature;
}

#[path = "../../../infra/cli/src"]
pub mod cli {
    pub mod names;
    pub mod object;
    pub mod yaml;
}

// Under the names by which these sources call each other.
pub use cli::{names, object};
pub use intake::{address, event, handler, keys, ports, refusal, root_key_cache, signature};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The value of `X-Signature`, as Flux makes it.
pub fn sign(key: &SecretString, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).expect("any key will do");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// What stands before the first empty line, and what follows it; `None` if there is none.
pub fn head_and_body(input: &[u8]) -> Option<(&str, &[u8])> {
    let at = input.windows(2).position(|pair| pair == b"\n\n")?;
    Some((std::str::from_utf8(&input[..at]).ok()?, &input[at + 2..]))
}

/// The lines `name: value` of a head.
pub fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (&'a str, &'a str)> {
    lines.filter_map(|line| line.split_once(": "))
}
