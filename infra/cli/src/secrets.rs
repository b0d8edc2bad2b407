//! Where secrets are kept: Secrets Manager, or files of the local process under the same names.

mod files;
mod secrets_manager;

use std::error::Error;

use jiff::Timestamp;
use secrecy::SecretString;
use shared::Scope;
use shared::item::secret_name;

pub use self::files::{FileSecrets, Versions};
pub use self::secrets_manager::SecretsManager;

/// The version in force.
#[derive(Debug, Clone)]
pub struct Current {
    /// Names this version of the secret.
    pub id: String,
    /// What it holds.
    pub value: SecretString,
}

/// Which versions of a secret there are, without what they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages {
    /// The one in force.
    pub current: Version,
    /// The one before it; `None` if there was none or it was [retired](SecretStore::retire).
    pub previous: Option<Version>,
}

/// A version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Names it.
    pub id: String,
    /// When it was made, where that is known.
    pub created_at: Option<Timestamp>,
}

/// Named secrets of which the current and the previous version are kept.
pub trait SecretStore: Send + Sync {
    /// The version in force, and its name.
    ///
    /// # Errors
    /// If the store does not answer, or the secret is no text.
    fn current_version(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<Current>, SecretError>> + Send;

    /// What is in force.
    ///
    /// # Errors
    /// If the store does not answer, or the secret is no text.
    fn current(&self, name: &str) -> impl Future<Output = Result<Option<SecretString>, SecretError>> + Send {
        async move { Ok(self.current_version(name).await?.map(|current| current.value)) }
    }

    /// Which versions there are.
    ///
    /// # Errors
    /// If the store does not answer.
    fn stages(&self, name: &str) -> impl Future<Output = Result<Option<Stages>, SecretError>> + Send;

    /// Creates a secret and never replaces one; whether it was created.
    ///
    /// # Errors
    /// If the store does not answer.
    fn create(
        &self,
        name: &str,
        value: &SecretString,
    ) -> impl Future<Output = Result<bool, SecretError>> + Send;

    /// Puts a new version in force; the one before becomes the previous.
    ///
    /// # Errors
    /// If the store does not answer.
    fn put(&self, name: &str, value: &SecretString) -> impl Future<Output = Result<(), SecretError>> + Send;

    /// As [`SecretStore::put`], but only in place of version `from`; whether it was done. Of two at the same time one
    /// is. `now` is for stores without a clock of their own.
    ///
    /// # Errors
    /// If the store does not answer.
    fn rotate(
        &self,
        name: &str,
        from: &str,
        value: &SecretString,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, SecretError>> + Send;

    /// Forgets version `previous`, if it is the previous one; whether it was done.
    ///
    /// # Errors
    /// If the store does not answer.
    fn retire(&self, name: &str, previous: &str) -> impl Future<Output = Result<bool, SecretError>> + Send;
}

/// A secret could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} secret `{name}` failed")]
pub struct SecretError {
    /// What was tried.
    pub action: &'static str,
    /// Name of the secret.
    pub name: String,
    /// Why. Holds no part of the secret.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl SecretError {
    fn new(action: &'static str, name: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            action,
            name: name.to_owned(),
            source: source.into(),
        }
    }
}

/// Name of the secret all cluster keys are derived from.
pub fn root_key_name(stack: &str) -> String {
    format!("{stack}/root-key")
}

/// Name of the secret a Provider's `secretRef` stands for.
pub fn provider_secret_name(stack: &str, scope: &Scope, namespace: &str, name: &str) -> String {
    format!("{stack}/providers/{}", secret_name(scope, namespace, name))
}

#[cfg(test)]
pub(crate) mod tests;
