//! `rotate`: from one root key to the next, in two steps.

use clap::Args;
use intake::root_key_cache::MIN_INTERVAL;
use jiff::Timestamp;

use super::Terminal;
use super::root_key::{ForceArgs, check, retire};
use crate::root_key::{self, Senders, locked_out_without_previous};
use crate::secrets::{SecretStore, root_key_name};
use crate::store::Store;

/// Arguments of `rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Second step: accept the old root key no longer. Refused while a cluster still uses it
    #[arg(long)]
    pub finish: bool,
    /// Whom this may lock out.
    #[command(flatten)]
    pub force: ForceArgs,
}

/// Puts a new root key in force, or ends the time of the old one. Never prints any of them.
///
/// # Errors
/// If there is none, if clusters would be locked out, if somebody else changed it meanwhile, or if a store does not
/// answer.
pub async fn run(
    args: &RotateArgs,
    store: &Store,
    secrets: &impl SecretStore,
    stack: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    if args.finish {
        return retire(&args.force, store, secrets, stack, now, terminal).await;
    }
    let stages = root_key::stages(secrets, stack).await?;
    let clusters = store.clusters().await?;
    check(
        &args.force,
        &clusters,
        &stages,
        &Senders::read(store, &stages, now).await?,
    )?;
    root_key::rotate(secrets, stack, &stages, now).await?;
    writeln!(terminal.out, "secret/{} rotated", root_key_name(stack))?;
    // Read anew: what was in force is the previous one by now.
    let stages = root_key::stages(secrets, stack).await?;
    let behind = locked_out_without_previous(&clusters, &stages, &Senders::default());
    for cluster in &behind {
        writeln!(terminal.out, "cluster/{} uses the old root key", cluster.name)?;
    }
    if behind.is_empty() {
        terminal
            .hint("no cluster uses the old root key; `commitstatus rotate --finish` accepts it no longer")?;
        return Ok(());
    }
    // Sooner, a function that has just read the root keys takes a key it does not know for a wrong one.
    terminal.hint(format!(
        "keys made from the old root key stay accepted. Wait {} seconds, then give each cluster its new key:",
        MIN_INTERVAL.as_secs()
    ))?;
    for cluster in &behind {
        terminal.hint(format!(
            "  commitstatus connect {} | kubectl apply -f -",
            cluster.name
        ))?;
    }
    terminal.hint(
        "with the --namespace and --per-namespace it had; `commitstatus connect --all --output-dir DIR` writes a file \
         for each. `commitstatus rotate --finish` then accepts the old root key no longer",
    )?;
    Ok(())
}
