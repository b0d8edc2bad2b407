//! `connect`: prints what a cluster needs to send its events, or checks what it has.

mod all;
mod check;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use intake::keys::{RootKey, derive_cluster_key};
use shared::kinds::ObjectName;
use shared::{CommitStatusRule, Scope};

use super::Terminal;
use super::scope::dns_label;
use crate::connect::{Connection, Watched, render, watched};
use crate::object::{Kind, Object};
use crate::secrets::{SecretStore, root_key_name};
use crate::store::{Cluster, Store, StoreError};

/// Where Flux itself lives.
const FLUX_NAMESPACE: &str = "flux-system";

/// Arguments of `connect`.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Name of the registered cluster
    #[arg(value_name = "CLUSTER", value_parser = dns_label, required_unless_present = "all", conflicts_with = "all")]
    pub name: Option<String>,
    /// Every registered cluster that is not suspended: one file for each, into --output-dir. Namespaces that a cluster
    /// was connected with before are watched again
    #[arg(long)]
    pub all: bool,
    /// Write CLUSTER.yaml into this directory, readable by its owner only, instead of printing; a file that is there is
    /// replaced
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Compare what the cluster has with what its rules need, instead of printing: what kubectl prints of its Providers
    /// and Alerts, in a file or, as `-`, on standard input. Exits with 1 unless all is well
    #[arg(
        long,
        value_name = "FILE|-",
        conflicts_with_all = ["all", "output_dir", "namespace", "per_namespace"]
    )]
    pub check: Option<PathBuf>,
    /// Watch this namespace besides those the rules name; the objects live in the first. May be repeated
    #[arg(short, long, value_parser = dns_label, default_value = FLUX_NAMESPACE)]
    pub namespace: Vec<String>,
    /// Put all three objects in each namespace, for clusters whose notification-controller runs with
    /// --no-cross-namespace-refs
    #[arg(long)]
    pub per_namespace: bool,
    /// Function URL of the stack [env: COMMITSTATUS_URL, with --local the local service's]
    #[arg(long)]
    pub url: Option<String>,
}

/// Prints or writes the manifests, and remembers which namespaces they watch and which root key they come from; or
/// checks those of a cluster. `function_url` is used where the arguments name none. Returns what the process exits
/// with.
///
/// # Errors
/// If the cluster, the root key or the function URL is not known, or something cannot be read or written.
pub async fn run(
    args: &ConnectArgs,
    store: &Store,
    secrets: &impl SecretStore,
    stack: &str,
    function_url: Option<&str>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let function_url = args.url.as_deref().or(function_url);
    if let (Some(name), Some(file)) = (&args.name, &args.check) {
        let cluster = registered(store, name).await?;
        return check::run(file, &cluster, function_url, store, terminal).await;
    }
    if args.all && args.output_dir.is_none() {
        bail!(
            "--all would print the keys of all clusters in one stream, to be applied to one of them; say --output-dir \
             DIR to have a file for each"
        );
    }
    let Some(function_url) = function_url else {
        bail!(
            "the function URL is not known; say --url URL or set COMMITSTATUS_URL, as the stack's outputs name it"
        );
    };
    let (clusters, root_key) = match &args.name {
        Some(name) => {
            let cluster = registered(store, name).await?;
            if cluster.suspended {
                terminal.warn(format!(
                    "cluster \"{name}\" is suspended, so its events are dropped; `commitstatus cluster resume {name}` \
                     takes them again"
                ))?;
            }
            (vec![cluster], CurrentRootKey::read(secrets, stack).await?)
        }
        None => (
            all::clusters(store, terminal).await?,
            CurrentRootKey::read(secrets, stack).await?,
        ),
    };
    if function_url.starts_with("http://") {
        terminal.warn("an http:// address sends events unprotected; use it on this machine only")?;
    }
    let manifests = Manifests {
        args,
        function_url,
        root_key: &root_key,
        store,
    };
    match &args.output_dir {
        Some(directory) => all::write(&manifests, &clusters, directory, terminal).await?,
        None => {
            for cluster in &clusters {
                print(&manifests, cluster, terminal).await?;
            }
        }
    }
    Ok(0)
}

async fn registered(store: &Store, name: &str) -> anyhow::Result<Cluster> {
    let cluster = store.cluster(name).await?;
    Ok(cluster.ok_or_else(|| StoreError::ClusterNotFound(name.to_owned()))?)
}

async fn print(
    manifests: &Manifests<'_>,
    cluster: &Cluster,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let rules = effective_rules(manifests.store, &cluster.name).await?;
    let (text, watched) = manifests.of(cluster, &rules, &manifests.args.namespace)?;
    if terminal.out_is_terminal {
        terminal.warn("the output holds the cluster's key; pipe it into `kubectl apply -f -` instead")?;
    }
    write!(terminal.out, "{text}")?;
    manifests.remember(cluster, watched).await
}

/// The root key in force.
struct CurrentRootKey {
    key: RootKey,
    version: String,
}

impl CurrentRootKey {
    async fn read(secrets: &impl SecretStore, stack: &str) -> anyhow::Result<Self> {
        let root_key = secrets.current_version(&root_key_name(stack)).await?;
        let root_key = root_key.with_context(|| {
            format!(
                "no root key `{}`; `commitstatus root-key init` creates it",
                root_key_name(stack)
            )
        })?;
        let key = RootKey::new(&root_key.value)
            .with_context(|| format!("put a longer one into `{}`", root_key_name(stack)))?;
        Ok(Self {
            key,
            version: root_key.id,
        })
    }
}

/// What the manifests of every cluster have in common.
struct Manifests<'a> {
    args: &'a ConnectArgs,
    function_url: &'a str,
    root_key: &'a CurrentRootKey,
    store: &'a Store,
}

impl Manifests<'_> {
    /// Holds the key.
    fn of(
        &self,
        cluster: &Cluster,
        rules: &[CommitStatusRule],
        namespaces: &[String],
    ) -> anyhow::Result<(String, Watched)> {
        let key = derive_cluster_key(&self.root_key.key, &cluster.name, cluster.generation);
        let watched = watched(rules, namespaces);
        let text = render(&Connection {
            cluster: &cluster.name,
            generation: cluster.generation,
            key: &key,
            function_url: self.function_url,
            watched: &watched,
            namespace: namespaces
                .first()
                .map(String::as_str)
                .filter(|_| !self.args.per_namespace),
        })?;
        Ok((text, watched))
    }

    /// To be called last: a key that was not handed out must not count as one the cluster has.
    async fn remember(&self, cluster: &Cluster, watched: Watched) -> anyhow::Result<()> {
        let namespaces: BTreeSet<String> = watched.into_keys().collect();
        let version = &self.root_key.version;
        Ok(self
            .store
            .remember_connected(cluster, &namespaces, version)
            .await?)
    }
}

/// The cluster's own rules, and those for all clusters that they do not hide.
async fn effective_rules(store: &Store, cluster: &str) -> Result<Vec<CommitStatusRule>, StoreError> {
    let own = rules_of(store, &Scope::Cluster(cluster.to_owned())).await?;
    let common = rules_of(store, &Scope::AllClusters).await?;
    Ok(effective(own, &common))
}

async fn rules_of(store: &Store, scope: &Scope) -> Result<Vec<CommitStatusRule>, StoreError> {
    let objects = store.list(Kind::CommitStatus, Some(scope)).await?;
    let rules = objects.into_iter().filter_map(|(_, object)| match object {
        Object::CommitStatus(rule) => Some(rule),
        Object::Provider(_) => None,
    });
    Ok(rules.collect())
}

fn effective(own: Vec<CommitStatusRule>, common: &[CommitStatusRule]) -> Vec<CommitStatusRule> {
    let hidden: BTreeSet<ObjectName> = own.iter().map(|rule| rule.metadata.object_name()).collect();
    let common = common
        .iter()
        .filter(|rule| !hidden.contains(&rule.metadata.object_name()));
    let common = common.cloned().collect::<Vec<_>>();
    own.into_iter().chain(common).collect()
}
