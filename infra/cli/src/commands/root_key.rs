//! `root-key`: the secret all cluster keys are derived from.

mod status;

use anyhow::bail;
use clap::{Args, Subcommand};
use intake::root_key_cache::{MAX_AGE, MIN_INTERVAL};
use jiff::Timestamp;

use super::Terminal;
use super::print::Output;
use crate::root_key::{self, Origin, Senders, create_if_absent, locked_out_without_previous};
use crate::secrets::{SecretStore, Stages, root_key_name};
use crate::store::{Cluster, Store};

/// What to do with the root key.
#[derive(Debug, Subcommand)]
pub enum RootKeyCommand {
    /// Create the root key unless there is one; never replaces it
    Init,
    /// Show since when the root key is in force, and which clusters have a key of the one before
    #[command(after_help = "Example:\n  commitstatus root-key status")]
    Status(StatusArgs),
    /// Put a new root key in force; the one before stays accepted until `retire` or the next rotation
    #[command(
        after_help = "Example, with connect for each cluster:\n  commitstatus root-key rotate\n  \
                            commitstatus connect prod-eu-1 | kubectl apply -f -\n  \
                            commitstatus root-key retire"
    )]
    Rotate(ForceArgs),
    /// Accept the root key before this one no longer
    #[command(after_help = "Example:\n  commitstatus root-key status\n  commitstatus root-key retire")]
    Retire(ForceArgs),
}

/// Arguments of `root-key status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Arguments of what can lock clusters out.
#[derive(Debug, Args)]
pub struct ForceArgs {
    /// Also if that locks out clusters that were not connected since the last rotation
    #[arg(long)]
    pub force: bool,
}

/// Creates, shows, replaces or retires the root key. Never prints any of it.
///
/// # Errors
/// If there is none, if clusters would be locked out, if somebody else changed it meanwhile, or if a store does not
/// answer.
pub async fn run(
    command: &RootKeyCommand,
    store: &Store,
    secrets: &impl SecretStore,
    stack: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let name = root_key_name(stack);
    match command {
        RootKeyCommand::Init => {
            let created = create_if_absent(secrets, stack).await?;
            let verb = if created { "created" } else { "unchanged" };
            writeln!(terminal.out, "secret/{name} {verb}")?;
        }
        RootKeyCommand::Status(args) => {
            let stages = root_key::stages(secrets, stack).await?;
            let clusters = store.clusters().await?;
            let senders = Senders::read(store, &stages, now).await?;
            status::print(args, &name, (&stages, &senders), &clusters, terminal)?;
        }
        RootKeyCommand::Rotate(args) => {
            let stages = root_key::stages(secrets, stack).await?;
            let clusters = store.clusters().await?;
            check(
                args,
                &clusters,
                &stages,
                &Senders::read(store, &stages, now).await?,
            )?;
            root_key::rotate(secrets, stack, &stages, now).await?;
            writeln!(terminal.out, "secret/{name} rotated")?;
            next_steps(&clusters, terminal)?;
        }
        RootKeyCommand::Retire(args) => retire(args, store, secrets, stack, now, terminal).await?,
    }
    Ok(())
}

/// Accepts the root key before the one in force no longer.
pub(super) async fn retire(
    args: &ForceArgs,
    store: &Store,
    secrets: &impl SecretStore,
    stack: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let name = root_key_name(stack);
    let stages = root_key::stages(secrets, stack).await?;
    let clusters = store.clusters().await?;
    check(
        args,
        &clusters,
        &stages,
        &Senders::read(store, &stages, now).await?,
    )?;
    if root_key::retire(secrets, stack, &stages).await? {
        writeln!(terminal.out, "secret/{name} retired the root key before this one")?;
        terminal.hint(format!(
            "functions that are warm go on accepting it for at most {} minutes",
            MAX_AGE.as_mins()
        ))?;
    } else {
        writeln!(terminal.out, "secret/{name} unchanged")?;
        terminal.hint("no root key before this one is accepted")?;
    }
    Ok(())
}

/// # Errors
/// If clusters would be locked out.
pub(super) fn check(
    args: &ForceArgs,
    clusters: &[Cluster],
    stages: &Stages,
    senders: &Senders,
) -> anyhow::Result<()> {
    let locked_out = locked_out_without_previous(clusters, stages, senders);
    if locked_out.is_empty() || args.force {
        return Ok(());
    }
    let names: Vec<&str> = locked_out.iter().map(|cluster| cluster.name.as_str()).collect();
    bail!(
        "not connected since the last rotation, or still sending with the key from before, and locked out by this: {}; \
         `commitstatus connect NAME | kubectl apply -f -` gives a cluster its new key, --force locks them out",
        names.join(", ")
    )
}

fn next_steps(clusters: &[Cluster], terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let connected: Vec<&Cluster> = clusters.iter().filter(|cluster| was_connected(cluster)).collect();
    if connected.is_empty() {
        return terminal.hint("no cluster has a key yet");
    }
    // Sooner, a function that has just read the root keys takes a key it does not know for a wrong one.
    terminal.hint(format!(
        "keys made from the root key before stay accepted. Wait {} seconds, give each cluster its new one, with the \
         --namespace and --per-namespace it had, and then `commitstatus root-key retire`:",
        MIN_INTERVAL.as_secs()
    ))?;
    for cluster in connected {
        terminal.hint(format!(
            "  commitstatus connect {} | kubectl apply -f -",
            cluster.name
        ))?;
    }
    Ok(())
}

fn was_connected(cluster: &Cluster) -> bool {
    !cluster.connected_namespaces.is_empty()
}
