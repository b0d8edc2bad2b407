//! Whether a Provider's credential may post, asked at its host in the very way the poster goes.

use std::time::Duration;

use anyhow::Context as _;
use hosts::Repository;
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
    Unusable(String),
    /// The host says something else.
    Refused(hosts::PostError),
}

impl Probed {
    /// What is wrong, on one line.
    pub fn problem(&self) -> Option<String> {
        let text = match self {
            Self::MayPost => return None,
            Self::Unusable(text) => text.clone(),
            Self::Refused(error) => error.to_string(),
        };
        Some(text.replace(char::is_control, " "))
    }
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
            Err(error) => return Ok(Probed::Unusable(format!("spec: {error}"))),
        };
        let kind = repository.host_kind;
        let names = secret_names(scope, &provider.metadata.namespace, &provider.spec);
        let entry = match self.credentials.read(kind, &names, now).await? {
            Ok(entry) => entry,
            Err(missing) => return Ok(Probed::Unusable(unusable(&missing, scope, provider))),
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

fn unusable(missing: &NoEntry, scope: &Scope, provider: &Provider) -> String {
    let flag = match scope {
        Scope::AllClusters => "--all-clusters".to_owned(),
        Scope::Cluster(cluster) => format!("--cluster {cluster}"),
    };
    let spec = &provider.spec;
    let reference = match missing {
        NoEntry::NoCredential(_) | NoEntry::UnusableCredential { .. } => Some(&spec.secret_ref),
        NoEntry::NoConnection(name)
        | NoEntry::UnusableConnection { name, .. }
        | NoEntry::NoWay { name, .. } => {
            let others = [&spec.cert_secret_ref, &spec.proxy_secret_ref];
            let named = others
                .into_iter()
                .flatten()
                .find(|reference| name.ends_with(&format!("/{}", reference.name)));
            named.or(Some(&spec.secret_ref))
        }
    };
    let name = reference.map_or("NAME", |reference| reference.name.as_str());
    format!(
        "{}; `commitstatus secret set {name} -n {} {flag}` writes it",
        ErrorChain(missing),
        provider.metadata.namespace
    )
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
