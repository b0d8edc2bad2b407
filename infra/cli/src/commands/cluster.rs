//! `cluster`: which clusters there are, and which generation of key each has.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Terminal;
use super::get::ShowArgs;
use super::get::listing::{Entry, Listing};
use super::print::{Cell, Output, PrintArgs};
use super::scope::dns_label;
use crate::store::{Cluster, Store, StoreError, Suspension};

/// What to do with clusters.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Register a cluster, so that its events count
    Add(NameArgs),
    /// List registered clusters, as `get clusters` does
    List(PrintArgs),
    /// Drop the events of a cluster for now
    Suspend(NameArgs),
    /// Take the events of a suspended cluster again
    Resume(NameArgs),
    /// Give a cluster a new key and refuse the one it has
    Revoke(NameArgs),
    /// Remove a cluster that has no objects of its own; its key stays refused
    Delete(NameArgs),
}

/// Which cluster.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Name of the cluster: lower-case letters, digits and `-`
    #[arg(value_parser = dns_label)]
    pub name: String,
}

/// Arguments of `get clusters`.
#[derive(Debug, Args)]
pub struct GetClustersArgs {
    /// Only clusters of these names
    #[arg(value_name = "NAME", value_parser = cluster_name)]
    pub names: Vec<String>,
    /// How to print it.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// The name in `dev`, and in what `-o name` prints.
pub(super) fn cluster_name(text: &str) -> Result<String, String> {
    dns_label(text.strip_prefix("cluster/").unwrap_or(text))
}

/// Changes or lists clusters.
///
/// # Errors
/// If the cluster is not there, or is there already.
pub async fn run(command: &ClusterCommand, store: &Store, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    match command {
        ClusterCommand::Add(NameArgs { name }) => {
            let generation = store.add_cluster(name).await?;
            writeln!(terminal.out, "cluster/{name} added (key generation {generation})")?;
            terminal.hint(format!(
                "`commitstatus connect {name} | kubectl apply -f -` lets it send its events"
            ))?;
        }
        ClusterCommand::List(args) => {
            let listing = list(&[], args.output == Output::Wide, store).await?;
            listing.print(*args, terminal)?;
        }
        ClusterCommand::Suspend(NameArgs { name }) => {
            let done = store.suspend_cluster(name, true).await?;
            writeln!(terminal.out, "cluster/{name} {}", suspension(done, "suspended"))?;
        }
        ClusterCommand::Resume(NameArgs { name }) => {
            let done = store.suspend_cluster(name, false).await?;
            writeln!(terminal.out, "cluster/{name} {}", suspension(done, "resumed"))?;
        }
        ClusterCommand::Revoke(NameArgs { name }) => {
            let generation = store.revoke_cluster(name).await?;
            writeln!(
                terminal.out,
                "cluster/{name} revoked (key generation {generation})"
            )?;
            terminal.hint(format!(
                "events with the old key are dropped; `commitstatus connect {name} | kubectl apply -f -` hands out \
                 the new one"
            ))?;
        }
        ClusterCommand::Delete(NameArgs { name }) => {
            store.delete_cluster(name).await?;
            writeln!(terminal.out, "cluster/{name} deleted")?;
        }
    }
    Ok(())
}

const fn suspension(done: Suspension, verb: &'static str) -> &'static str {
    match done {
        Suspension::Changed => verb,
        Suspension::Unchanged => "unchanged",
    }
}

pub(super) async fn list(names: &[String], is_wide: bool, store: &Store) -> anyhow::Result<Listing> {
    let mut clusters = store.clusters().await?;
    let is_there = |name: &String| clusters.iter().any(|cluster| cluster.name == *name);
    let missing = names.iter().find(|name| !is_there(name));
    let missing = missing.map(|name| StoreError::ClusterNotFound(name.clone()).to_string());
    clusters.retain(|cluster| names.is_empty() || names.contains(&cluster.name));
    let mut header = vec!["NAME", "GENERATION", "SUSPENDED", "CONNECTED NAMESPACES"];
    if is_wide {
        header.push("ROOT KEY VERSION");
    }
    Ok(Listing {
        header,
        entries: clusters
            .into_iter()
            .map(|cluster| entry(cluster, is_wide))
            .collect(),
        whole: |clusters| json!({ "clusters": clusters }),
        nothing: "no clusters; `commitstatus cluster add NAME` registers one".into(),
        missing,
        warnings: Vec::new(),
        hints: Vec::new(),
    })
}

fn entry(cluster: Cluster, is_wide: bool) -> Entry {
    let value = json!({
        "name": cluster.name,
        "generation": cluster.generation,
        "suspended": cluster.suspended,
        "connected_namespaces": cluster.connected_namespaces,
    });
    let namespaces = Vec::from_iter(cluster.connected_namespaces).join(", ");
    let mut cells: Vec<Cell> = vec![
        cluster.name.clone().into(),
        cluster.generation.to_string().into(),
        Cell::suspended(cluster.suspended),
        match namespaces.as_str() {
            "" => "-".into(),
            namespaces => namespaces.into(),
        },
    ];
    if is_wide {
        cells.push(cluster.connected_root_key.as_deref().unwrap_or("-").into());
    }
    Entry {
        key: cluster.name.clone(),
        name: format!("cluster/{}", cluster.name),
        value,
        cells,
    }
}
