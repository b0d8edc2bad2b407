//! `cluster`: which clusters there are, and which generation of key each has.

use clap::{Args, Subcommand};

use super::Terminal;
use super::print;
use super::scope::dns_label;
use crate::store::{Store, Suspension};

/// What to do with clusters.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Register a cluster, so that its events count
    Add(NameArgs),
    /// List registered clusters
    List,
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
        ClusterCommand::List => list(store, terminal).await?,
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

async fn list(store: &Store, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    let clusters = store.clusters().await?;
    if clusters.is_empty() {
        terminal.hint("no clusters; `commitstatus cluster add NAME` registers one")?;
        return Ok(());
    }
    let rows = clusters.into_iter().map(|cluster| {
        let namespaces = Vec::from_iter(cluster.connected_namespaces).join(", ");
        vec![
            cluster.name,
            cluster.generation.to_string(),
            cluster.suspended.to_string(),
            if namespaces.is_empty() {
                "-".into()
            } else {
                namespaces
            },
        ]
    });
    let header = ["NAME", "GENERATION", "SUSPENDED", "CONNECTED NAMESPACES"];
    Ok(print::table(terminal.out, &header, rows)?)
}
