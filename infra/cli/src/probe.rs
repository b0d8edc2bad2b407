//! Whether a Provider's credential may post, asked at its host in the very way the poster goes.

use std::error::Error;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_secretsmanager::operation::list_secret_version_ids::ListSecretVersionIdsError;
use hosts::{PostError, Repository, refusal};
use jiff::Timestamp;
use poster::credentials::{Credentials, NoEntry, SecretNames};
use poster::host::{AddressPolicy, Hosts};
use secrecy::SecretString;
use shared::item::secret_name;
use shared::kinds::{LocalReference, ProviderSpec};
use shared::{ErrorChain, Provider, Scope};

use crate::secrets::SecretStore;

/// Where an operator's machine may call: whatever range the stack allows is not known here. What no range allows, as the
/// address of metadata services, stays refused.
const ANYWHERE: &str = "0.0.0.0/0,::/0";

/// What was found.
#[derive(Debug)]
pub enum Probed {
    /// It may post.
    MayPost,
    /// The Provider, its secrets, or what they hold, cannot be used.
    Unusable {
        /// What is wrong.
        problem: String,
        /// What mends it.
        next: String,
    },
    /// The host says something else.
    Refused(PostError),
}

impl Probed {
    /// What is wrong, on one line.
    pub fn problem(&self) -> Option<String> {
        let text = match self {
            Self::MayPost => return None,
            Self::Unusable { problem, .. } => problem.clone(),
            Self::Refused(error) => error.to_string(),
        };
        Some(text.replace(char::is_control, " "))
    }

    /// What to do about that; empty if nothing is wrong.
    pub fn next(&self, scope: &Scope, provider: &Provider) -> String {
        let error = match self {
            Self::MayPost => return String::new(),
            Self::Unusable { next, .. } => return next.clone(),
            Self::Refused(error) => error,
        };
        match error {
            PostError::Unauthorized(_) => {
                let set = set_secret(scope, provider, &provider.spec.secret_ref);
                format!("`{set}` with a valid one writes it again")
            }
            PostError::Permanent { reason, .. } => match *reason {
                refusal::FORBIDDEN => "docs/providers.md says what to grant".into(),
                refusal::NOT_FOUND => {
                    "check `spec.address` of the Provider; docs/providers.md says what to grant".into()
                }
                refusal::MOVED | refusal::GONE | refusal::ADDRESS_REFUSED => {
                    "correct `spec.address` of the Provider and apply it".into()
                }
                _ => "docs/errors.md says what the word in brackets means".into(),
            },
            PostError::UnknownCommit(_) => "docs/errors.md says what that means".into(),
            PostError::NotSent(_) => {
                "is it reachable from this machine? the poster may reach it all the same".into()
            }
            PostError::Ambiguous(_) | PostError::Conflict(_) => "ask again in a minute".into(),
            PostError::RateLimited { .. } => "nothing but to wait: it is over by itself".into(),
        }
    }
}

/// The right that was missing, if the store of secrets denied what was asked of it.
pub fn missing_right(error: &(dyn Error + 'static)) -> Option<&'static str> {
    fn lacked(error: &impl ProvideErrorMetadata, right: &'static str) -> Option<&'static str> {
        // It decrypts in the name of who asks, and has no code of its own for that.
        let is_about_key = error.message().is_some_and(|message| message.contains("KMS"));
        (error.code() == Some("AccessDeniedException")).then_some(match is_about_key {
            true => "kms:Decrypt",
            false => right,
        })
    }
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<GetSecretValueError>() {
            return lacked(error, "secretsmanager:GetSecretValue");
        }
        if let Some(error) = error.downcast_ref::<ListSecretVersionIdsError>() {
            return lacked(error, "secretsmanager:ListSecretVersionIds");
        }
        cause = error.source();
    }
    None
}

/// Asks hosts.
pub struct Prober<'a, S> {
    credentials: Credentials<ProviderSecrets<'a, S>>,
    hosts: Hosts,
}

/// The secrets as the poster sees them.
struct ProviderSecrets<'a, S> {
    store: &'a S,
    stack: &'a str,
}

impl<S: SecretStore> poster::ports::SecretStore for ProviderSecrets<'_, S> {
    async fn secret(&self, name: &str) -> Result<Option<SecretString>, poster::ports::Unavailable> {
        let name = format!("{}/providers/{name}", self.stack);
        let secret = self.store.current(&name).await;
        secret.map_err(poster::ports::Unavailable::to("read a Provider's secret"))
    }
}

impl<'a, S: SecretStore> Prober<'a, S> {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// If this machine has no certificates to check hosts with.
    pub fn new(store: &'a S, stack: &'a str) -> anyhow::Result<Self> {
        let policy: AddressPolicy = ANYWHERE.parse().context("the ranges of a prober")?;
        let hosts = Hosts::new(policy)
            .context("this machine has no certificates to check hosts with; install ca-certificates")?;
        Ok(Self {
            credentials: Credentials::new(ProviderSecrets { store, stack }, hosts.clone()),
            hosts,
        })
    }

    /// Reads the secrets of a Provider and posts with them what no host takes.
    ///
    /// # Errors
    /// If the store of secrets does not answer.
    pub async fn probe(&self, scope: &Scope, provider: &Provider, now: Timestamp) -> anyhow::Result<Probed> {
        let repository = match Repository::of(&provider.spec) {
            Ok(repository) => repository,
            Err(error) => {
                return Ok(Probed::Unusable {
                    problem: format!("spec: {error}"),
                    next: "correct it and apply the Provider".into(),
                });
            }
        };
        let kind = repository.host_kind;
        let names = secret_names(scope, &provider.metadata.namespace, &provider.spec);
        // Of many repositories with the same secrets each is read once.
        let entry = match self.credentials.get(kind, &names, now).await? {
            Ok(entry) => entry,
            Err(missing) => return Ok(unusable(&missing, scope, provider)),
        };
        let seconds = provider.spec.timeout_seconds.unwrap_or(kind.timeout_seconds());
        let timeout = Duration::from_secs(seconds.into());
        let answer = self
            .hosts
            .probe(&entry.way, &entry.access, &repository, timeout, &|| now)
            .await;
        Ok(match answer {
            Ok(()) => Probed::MayPost,
            Err(error) => Probed::Refused(error),
        })
    }
}

fn unusable(missing: &NoEntry, scope: &Scope, provider: &Provider) -> Probed {
    let spec = &provider.spec;
    let reference = match missing {
        NoEntry::NoCredential(_) | NoEntry::UnusableCredential { .. } => &spec.secret_ref,
        NoEntry::NoConnection(name)
        | NoEntry::UnusableConnection { name, .. }
        | NoEntry::NoWay { name, .. } => {
            let others = [&spec.cert_secret_ref, &spec.proxy_secret_ref];
            let named = others
                .into_iter()
                .flatten()
                .find(|reference| name.ends_with(&format!("/{}", reference.name)));
            named.unwrap_or(&spec.secret_ref)
        }
    };
    Probed::Unusable {
        problem: ErrorChain(missing).to_string(),
        next: format!("`{}` writes it", set_secret(scope, provider, reference)),
    }
}

/// The command that writes a secret of a Provider.
fn set_secret(scope: &Scope, provider: &Provider, secret: &LocalReference) -> String {
    let flag = match scope {
        Scope::AllClusters => "--all-clusters".to_owned(),
        Scope::Cluster(cluster) => format!("--cluster {cluster}"),
    };
    let namespace = &provider.metadata.namespace;
    format!("commitstatus secret set {} -n {namespace} {flag}", secret.name)
}

/// Names of a Provider's secrets, as the poster knows them.
pub fn secret_names(scope: &Scope, namespace: &str, spec: &ProviderSpec) -> SecretNames {
    let secret = |reference: &LocalReference| secret_name(scope, namespace, &reference.name);
    SecretNames {
        credential: secret(&spec.secret_ref),
        certificates: spec.cert_secret_ref.as_ref().map(secret),
        proxy: spec.proxy_secret_ref.as_ref().map(secret),
        username: spec.username.clone(),
    }
}
