//! Credentials, cached with an age and read again once after the host refused one.

use jiff::{SignedDuration, Timestamp};
use shared::kinds::HostKind;
use tokio::sync::Mutex;

use crate::cache::Timed;
use crate::host::{Credential, CredentialError};
use crate::ports::{SecretStore, Unavailable};

/// How long a credential is believed that works: a rotated one is noticed at the first 401.
const CACHE_LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// Credentials by the name of their secret, read for one kind of host: each wants another header.
pub struct Credentials<S> {
    store: S,
    cache: Mutex<Timed<(HostKind, String), Credential>>,
}

/// There is no usable credential.
#[derive(Debug, thiserror::Error)]
pub enum NoCredential {
    /// The secret does not exist.
    #[error("there is no secret {0}")]
    Missing(String),
    /// It holds something else.
    #[error("secret {name} holds no credential")]
    Unusable {
        /// Which one.
        name: String,
        /// What is wrong with it.
        #[source]
        source: CredentialError,
    },
}

impl<S: SecretStore> Credentials<S> {
    /// Over a store, with nothing cached.
    pub fn new(store: S) -> Self {
        Self {
            store,
            cache: Mutex::new(Timed::new(CACHE_LIFETIME)),
        }
    }

    /// The credential, perhaps from the cache.
    ///
    /// # Errors
    /// If the secret store does not answer; inside, if there is no usable credential.
    pub async fn get(
        &self,
        host: HostKind,
        name: &str,
        now: Timestamp,
    ) -> Result<Result<Credential, NoCredential>, Unavailable> {
        if let Some(credential) = self.cache.lock().await.get(&(host, name.to_owned()), now) {
            return Ok(Ok(credential));
        }
        self.read(host, name, now).await
    }

    /// The credential as it is now.
    ///
    /// # Errors
    /// See [`Credentials::get`].
    pub async fn read(
        &self,
        host: HostKind,
        name: &str,
        now: Timestamp,
    ) -> Result<Result<Credential, NoCredential>, Unavailable> {
        let Some(secret) = self.store.secret(name).await? else {
            return Ok(Err(NoCredential::Missing(name.to_owned())));
        };
        match Credential::from_secret(host, &secret) {
            Ok(credential) => {
                self.cache
                    .lock()
                    .await
                    .put((host, name.to_owned()), credential.clone(), now);
                Ok(Ok(credential))
            }
            Err(source) => Ok(Err(NoCredential::Unusable {
                name: name.to_owned(),
                source,
            })),
        }
    }
}
