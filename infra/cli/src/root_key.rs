//! The one secret every cluster key is derived from.

use std::fmt::Write as _;

use secrecy::SecretString;

use crate::secrets::{SecretError, SecretStore, root_key_name};

/// As many bytes as the hash of the derivation yields.
const BYTES: usize = 32;

/// The root key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers; try again")]
    Random(#[source] getrandom::Error),
    /// The store did not take it.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Creates the root key, 64 hexadecimal digits, unless there is one; whether it was created. A root key is
/// never replaced: that would lock out every cluster.
///
/// # Errors
/// If the secret cannot be written.
pub async fn create_if_absent(secrets: &impl SecretStore, stack: &str) -> Result<bool, RootKeyError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(RootKeyError::Random)?;
    let digits = bytes
        .iter()
        .fold(String::with_capacity(2 * BYTES), |mut digits, byte| {
            // Writing to a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        });
    let root_key = SecretString::from(digits);
    Ok(secrets.create(&root_key_name(stack), &root_key).await?)
}
