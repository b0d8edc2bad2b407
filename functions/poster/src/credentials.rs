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

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NAME: &str = "_all/apps/token";

    #[derive(Default)]
    struct Store {
        secret: Mutex<Option<&'static str>>,
        reads: AtomicUsize,
    }

    impl SecretStore for &Store {
        async fn secret(&self, name: &str) -> Result<Option<SecretString>, Unavailable> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let secret = self.secret.lock().unwrap().filter(|_| name == NAME);
            Ok(secret.map(SecretString::from))
        }
    }

    fn store(secret: &'static str) -> Store {
        Store {
            secret: Mutex::new(Some(secret)),
            ..Store::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn credential(host: HostKind, secret: &str) -> Credential {
        Credential::from_secret(host, &secret.into()).unwrap()
    }

    const ONE: &str = r#"{"token":"one"}"#;
    const TWO: &str = r#"{"token":"two"}"#;

    #[tokio::test]
    async fn a_credential_is_believed_for_five_minutes() {
        let store = store(ONE);
        let credentials = Credentials::new(&store);
        for second in [0, 299, -299] {
            credentials
                .get(HostKind::GitHub, NAME, at(second))
                .await
                .unwrap()
                .unwrap();
        }
        assert_eq!(store.reads.load(Ordering::Relaxed), 1);
        *store.secret.lock().unwrap() = Some(TWO);
        let later = credentials
            .get(HostKind::GitHub, NAME, at(300))
            .await
            .unwrap()
            .unwrap();
        assert!(later.is_same_as(&credential(HostKind::GitHub, TWO)));
    }

    #[tokio::test]
    async fn each_kind_of_host_gets_its_own_header() {
        let store = store(ONE);
        let credentials = Credentials::new(&store);
        for host in [
            HostKind::GitHub,
            HostKind::GitLab,
            HostKind::Bitbucket,
            HostKind::GitHub,
        ] {
            let read = credentials.get(host, NAME, at(0)).await.unwrap().unwrap();
            assert!(read.is_same_as(&credential(host, ONE)), "{host}");
        }
        assert_eq!(store.reads.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn reading_again_replaces_what_is_cached() {
        let store = store(ONE);
        let credentials = Credentials::new(&store);
        let host = HostKind::GitHub;
        credentials.get(host, NAME, at(0)).await.unwrap().unwrap();
        *store.secret.lock().unwrap() = Some(TWO);
        for read in [
            credentials.read(host, NAME, at(1)).await,
            credentials.get(host, NAME, at(1)).await,
        ] {
            assert!(read.unwrap().unwrap().is_same_as(&credential(host, TWO)));
        }
        assert_eq!(store.reads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn what_is_missing_or_unusable_is_named_and_never_cached() {
        let store = store("{}");
        let credentials = Credentials::new(&store);
        let get = async |name| credentials.get(HostKind::GitHub, name, at(0)).await.unwrap();
        let unusable = get(NAME).await.unwrap_err();
        assert_eq!(unusable.to_string(), "secret _all/apps/token holds no credential");
        let missing = get("dev/apps/token").await.unwrap_err();
        assert_eq!(missing.to_string(), "there is no secret dev/apps/token");

        *store.secret.lock().unwrap() = Some(ONE);
        assert!(get(NAME).await.is_ok());
    }
}
