//! What lets us in at a host, and the way there: the Provider's secrets, cached with an age and read again once after the
//! host refused what they hold.

use hosts::{Access, Certificates, Connection, ConnectionError, CredentialError, HostKind, Proxy};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::sync::Mutex;

use crate::cache::Timed;
use crate::host::{Hosts, NoWay, Way};
use crate::ports::{SecretStore, Unavailable};

/// How long secrets are believed: a rotated credential is noticed at the first 401.
const CACHE_LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// What is read from a Provider's secrets: the names of up to three of them, below the stack's prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretNames {
    /// `secretRef`: the credential. Pace and holds go by this name.
    pub credential: String,
    /// `certSecretRef`.
    pub certificates: Option<String>,
    /// `proxySecretRef`.
    pub proxy: Option<String>,
    /// `username`, where the secret holds the password alone.
    pub username: Option<String>,
}

/// What lets us in, and the way there.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What the secret holds.
    pub access: Access,
    /// Straight, or as the other secrets say.
    pub way: Way,
    connection: String,
}

impl Entry {
    /// Whether a host would see no difference.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.access.is_same_as(&other.access) && self.connection == other.connection
    }
}

/// Entries by what they are made of, read for one kind of host: each wants another header.
pub struct Credentials<S> {
    store: S,
    hosts: Hosts,
    cache: Mutex<Timed<(HostKind, SecretNames), Entry>>,
}

/// There is no usable credential, or no way.
#[derive(Debug, thiserror::Error)]
pub enum NoEntry {
    /// The secret of the credential does not exist.
    #[error("there is no secret {0}")]
    NoCredential(String),
    /// It holds something else.
    #[error("secret {name} holds no credential")]
    UnusableCredential {
        /// Which one.
        name: String,
        /// What is wrong with it.
        #[source]
        source: CredentialError,
    },
    /// The secret of the certificates or the proxy does not exist.
    #[error("there is no secret {0}")]
    NoConnection(String),
    /// It holds something else.
    #[error("secret {name} cannot be used")]
    UnusableConnection {
        /// Which one.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ConnectionError,
    },
    /// What it holds looks right and is not.
    #[error("secret {name} cannot be used")]
    NoWay {
        /// Which one.
        name: String,
        /// What is wrong with it.
        #[source]
        source: NoWay,
    },
}

impl NoEntry {
    /// Whether it is the credential's fault, which others share.
    pub fn is_about_the_credential(&self) -> bool {
        matches!(self, Self::NoCredential(_) | Self::UnusableCredential { .. })
    }
}

impl<S: SecretStore> Credentials<S> {
    /// Over a store, with nothing cached.
    pub fn new(store: S, hosts: Hosts) -> Self {
        Self {
            store,
            hosts,
            cache: Mutex::new(Timed::new(CACHE_LIFETIME)),
        }
    }

    /// The entry, perhaps from the cache.
    ///
    /// # Errors
    /// If the secret store does not answer; inside, if there is no usable entry.
    pub async fn get(
        &self,
        host: HostKind,
        names: &SecretNames,
        now: Timestamp,
    ) -> Result<Result<Entry, NoEntry>, Unavailable> {
        if let Some(entry) = self.cache.lock().await.get(&(host, names.clone()), now) {
            return Ok(Ok(entry));
        }
        self.read(host, names, now).await
    }

    /// The entry as it is now.
    ///
    /// # Errors
    /// See [`Credentials::get`].
    pub async fn read(
        &self,
        host: HostKind,
        names: &SecretNames,
        now: Timestamp,
    ) -> Result<Result<Entry, NoEntry>, Unavailable> {
        let (credential, certificates, proxy) = tokio::try_join!(
            self.store.secret(&names.credential),
            self.secret(names.certificates.as_deref()),
            self.secret(names.proxy.as_deref()),
        )?;
        let entry = self.entry(host, names, credential, certificates, proxy);
        if let Ok(entry) = &entry {
            self.cache
                .lock()
                .await
                .put((host, names.clone()), entry.clone(), now);
        }
        Ok(entry)
    }

    async fn secret(&self, name: Option<&str>) -> Result<Option<SecretString>, Unavailable> {
        match name {
            Some(name) => self.store.secret(name).await,
            None => Ok(None),
        }
    }

    fn entry(
        &self,
        host: HostKind,
        names: &SecretNames,
        credential: Option<SecretString>,
        certificates: Option<SecretString>,
        proxy: Option<SecretString>,
    ) -> Result<Entry, NoEntry> {
        let name = &names.credential;
        let credential = credential.ok_or_else(|| NoEntry::NoCredential(name.clone()))?;
        let access = host
            .access(&credential, names.username.as_deref())
            .map_err(|source| NoEntry::UnusableCredential {
                name: name.clone(),
                source,
            })?;
        let unusable = |name: &str| {
            let name = name.to_owned();
            move |source| NoEntry::UnusableConnection { name, source }
        };
        let certificates = match (&names.certificates, certificates) {
            (Some(name), None) => return Err(NoEntry::NoConnection(name.clone())),
            (Some(name), Some(secret)) => Some(Certificates::from_secret(&secret).map_err(unusable(name))?),
            // As in Flux, beside the credential.
            (None, _) => Certificates::beside_credential(&credential).map_err(unusable(name))?,
        };
        let proxy = match (&names.proxy, proxy) {
            (Some(name), None) => return Err(NoEntry::NoConnection(name.clone())),
            (Some(name), Some(secret)) => Some(Proxy::from_secret(&secret).map_err(unusable(name))?),
            (None, _) => None,
        };
        let connection = Connection { certificates, proxy };
        let way = self.hosts.way(&connection).map_err(|source| {
            let other = match source.is_about_the_proxy {
                true => &names.proxy,
                false => &names.certificates,
            };
            NoEntry::NoWay {
                name: other.as_ref().unwrap_or(name).clone(),
                source,
            }
        })?;
        Ok(Entry {
            access,
            way,
            connection: connection.fingerprint(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::AddressPolicy;
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

    fn credential(host: HostKind, secret: &str) -> Access {
        host.access(&secret.into(), None).unwrap()
    }

    fn hosts() -> Hosts {
        Hosts::new(AddressPolicy::default()).unwrap()
    }

    fn names(credential: &str) -> SecretNames {
        SecretNames {
            credential: credential.into(),
            certificates: None,
            proxy: None,
            username: None,
        }
    }

    const ONE: &str = r#"{"token":"one"}"#;
    const TWO: &str = r#"{"token":"two"}"#;

    #[tokio::test]
    async fn a_credential_is_believed_for_five_minutes() {
        let store = store(ONE);
        let credentials = Credentials::new(&store, hosts());
        for second in [0, 299, -299] {
            credentials
                .get(HostKind::GitHub, &names(NAME), at(second))
                .await
                .unwrap()
                .unwrap();
        }
        assert_eq!(store.reads.load(Ordering::Relaxed), 1);
        *store.secret.lock().unwrap() = Some(TWO);
        let later = credentials
            .get(HostKind::GitHub, &names(NAME), at(300))
            .await
            .unwrap()
            .unwrap();
        assert!(later.access.is_same_as(&credential(HostKind::GitHub, TWO)));
    }

    #[tokio::test]
    async fn each_kind_of_host_gets_its_own_header() {
        let store = store(ONE);
        let credentials = Credentials::new(&store, hosts());
        for host in [
            HostKind::GitHub,
            HostKind::GitLab,
            HostKind::Bitbucket,
            HostKind::GitHub,
        ] {
            let read = credentials.get(host, &names(NAME), at(0)).await.unwrap().unwrap();
            assert!(read.access.is_same_as(&credential(host, ONE)), "{host}");
        }
        assert_eq!(store.reads.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn reading_again_replaces_what_is_cached() {
        let store = store(ONE);
        let credentials = Credentials::new(&store, hosts());
        let host = HostKind::GitHub;
        credentials.get(host, &names(NAME), at(0)).await.unwrap().unwrap();
        *store.secret.lock().unwrap() = Some(TWO);
        for read in [
            credentials.read(host, &names(NAME), at(1)).await,
            credentials.get(host, &names(NAME), at(1)).await,
        ] {
            assert!(read.unwrap().unwrap().access.is_same_as(&credential(host, TWO)));
        }
        assert_eq!(store.reads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn what_is_missing_or_unusable_is_named_and_never_cached() {
        let store = store("{}");
        let credentials = Credentials::new(&store, hosts());
        let get = async |name| {
            credentials
                .get(HostKind::GitHub, &names(name), at(0))
                .await
                .unwrap()
        };
        let unusable = get(NAME).await.unwrap_err();
        assert_eq!(unusable.to_string(), "secret _all/apps/token holds no credential");
        let missing = get("dev/apps/token").await.unwrap_err();
        assert_eq!(missing.to_string(), "there is no secret dev/apps/token");

        *store.secret.lock().unwrap() = Some(ONE);
        assert!(get(NAME).await.is_ok());
    }
}
