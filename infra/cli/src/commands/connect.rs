//! `connect`: prints what a cluster needs to send its events.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use clap::Args;
use intake::keys::{RootKey, derive_cluster_key};
use shared::kinds::ObjectName;
use shared::{CommitStatusRule, Scope};

use super::Terminal;
use super::scope::dns_label;
use crate::connect::{Connection, render, watched};
use crate::object::{Kind, Object};
use crate::secrets::{SecretStore, root_key_name};
use crate::store::{Store, StoreError};

/// Where Flux itself lives.
const FLUX_NAMESPACE: &str = "flux-system";

/// Arguments of `connect`.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Name of the registered cluster
    #[arg(value_parser = dns_label)]
    pub name: String,
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

/// Prints the manifests, and remembers which namespaces they watch and which root key they come from. `function_url` is used where the
/// arguments name none.
///
/// # Errors
/// If the cluster, the root key or the function URL is not known.
pub async fn run(
    args: &ConnectArgs,
    store: &Store,
    secrets: &impl SecretStore,
    stack: &str,
    function_url: Option<&str>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let Some(function_url) = args.url.as_deref().or(function_url) else {
        bail!(
            "the function URL is not known; say --url URL or set COMMITSTATUS_URL, as the stack's outputs name it"
        );
    };
    let name = &args.name;
    let cluster = store.cluster(name).await?;
    let cluster = cluster.ok_or_else(|| StoreError::ClusterNotFound(name.clone()))?;
    if cluster.suspended {
        terminal.warn(format!(
            "cluster \"{name}\" is suspended, so its events are dropped; `commitstatus cluster resume {name}` takes \
             them again"
        ))?;
    }
    let root_key = secrets.current_version(&root_key_name(stack)).await?;
    let root_key = root_key.with_context(|| {
        format!(
            "no root key `{}`; `commitstatus root-key init` creates it",
            root_key_name(stack)
        )
    })?;
    let version = root_key.id;
    let root_key = RootKey::new(&root_key.value)
        .with_context(|| format!("put a longer one into `{}`", root_key_name(stack)))?;
    let key = derive_cluster_key(&root_key, name, cluster.generation);

    let rules = effective_rules(store, name).await?;
    let watched = watched(&rules, &args.namespace);
    let text = render(&Connection {
        cluster: name,
        generation: cluster.generation,
        key: &key,
        function_url,
        watched: &watched,
        namespace: args
            .namespace
            .first()
            .map(String::as_str)
            .filter(|_| !args.per_namespace),
    })?;
    if function_url.starts_with("http://") {
        terminal.warn("an http:// address sends events unprotected; use it on this machine only")?;
    }
    if terminal.out_is_terminal {
        terminal.warn("the output holds the cluster's key; pipe it into `kubectl apply -f -` instead")?;
    }
    write!(terminal.out, "{text}")?;
    let namespaces: BTreeSet<String> = watched.into_keys().collect();
    // Only now: a key that was not printed must not count as one the cluster has.
    store.remember_connected(name, &namespaces, &version).await?;
    Ok(())
}

/// The cluster's own rules, and those for all clusters that they do not hide.
async fn effective_rules(store: &Store, cluster: &str) -> Result<Vec<CommitStatusRule>, StoreError> {
    let mut rules: Vec<CommitStatusRule> = Vec::new();
    let mut hidden: BTreeSet<ObjectName> = BTreeSet::new();
    for scope in [Scope::Cluster(cluster.to_owned()), Scope::AllClusters] {
        for (_, object) in store.list(Kind::CommitStatus, Some(&scope)).await? {
            if let Object::CommitStatus(rule) = object
                && hidden.insert(rule.metadata.object_name())
            {
                rules.push(rule);
            }
        }
    }
    Ok(rules)
}
