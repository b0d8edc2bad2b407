//! `apply`: validates everything, then writes it, retries what waited for it, and prunes what is gone from the files.

mod parked;
pub(super) mod prune;
pub(super) mod selector;
pub(super) mod warnings;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use shared::Scope;

pub use self::prune::PruneArgs;
pub use self::selector::Selector;

use super::scope::ScopeArgs;
use super::{FileArgs, Terminal, validate};
use crate::object::Object;
use crate::store::{Change, Prepared, Store};

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// What to apply.
    #[command(flatten)]
    pub files: FileArgs,
    /// For which clusters.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Say what would be done, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What else goes.
    #[command(flatten)]
    pub prune: PruneArgs,
}

/// Applies files. Nothing is applied unless every document is right.
///
/// # Errors
/// All mistakes at once, or what kept the store from writing.
pub async fn run(
    args: &ApplyArgs,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let selector = args.prune.selector()?;
    let validated = validate::read(&args.files, terminal)?;
    if let Some(selector) = selector {
        selector.check(&validated.documents)?;
    }
    let objects: Vec<Object> = validated
        .documents
        .into_iter()
        .map(|document| document.object)
        .collect();
    let scope = args.scope.scope();
    let prepared = store.prepare(&scope, &objects, now).await?;
    if args.dry_run {
        for planned in &prepared.objects {
            let what = format!("{} (dry run)", planned.verb.as_str());
            terminal.became(&planned.object.id(), &what, &scope)?;
        }
        warn(&scope, &objects, store, terminal).await?;
        if let Some(selector) = selector {
            let stale = prune::find(&scope, selector, &objects, store).await?;
            stale.warn(terminal)?;
            stale.say(&scope, terminal)?;
        }
        return Ok(());
    }

    let changes = write(prepared, &scope, store, terminal).await?;
    follow_up(&scope, &objects, &changes, store, now, terminal).await?;
    if let Some(selector) = selector {
        let pruned = async {
            let stale = prune::find(&scope, selector, &objects, store).await?;
            stale.warn(terminal)?;
            stale.delete(&scope, store, now, terminal).await
        };
        pruned
            .await
            .context("everything is applied, but not all that is gone from the files is deleted")?;
    }
    Ok(())
}

async fn write(
    prepared: Prepared,
    scope: &Scope,
    store: &Store,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Vec<Change>> {
    let transactions = prepared.transactions();
    // One is over at once.
    let bar = (transactions > 1).then(|| terminal.progress(transactions as u64, "writing"));
    let mut step = || bar.iter().for_each(|bar| bar.inc(1));
    let written = store.commit(prepared, &mut step).await?;
    drop(bar);
    for change in &written.changes {
        terminal.became(&change.object, change.verb.as_str(), scope)?;
    }
    if written.transactions > 1 {
        terminal.hint(format!(
            "written in {} transactions, as DynamoDB takes no more than 100 items in one; had it been interrupted, the same \
             command would have finished it",
            written.transactions
        ))?;
    }
    Ok(written.changes)
}

async fn warn(
    scope: &Scope,
    objects: &[Object],
    store: &Store,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    for warning in warnings::of(scope, objects, store).await? {
        terminal.warn(warning)?;
    }
    Ok(())
}

/// What follows from applied objects: what to warn of, and what waited for them.
///
/// # Errors
/// If the store does not answer. What was applied stays applied.
pub(super) async fn follow_up(
    scope: &Scope,
    objects: &[Object],
    changes: &[Change],
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    warn(scope, objects, store, terminal).await?;
    parked::retry_changed(scope, objects, changes, store, now, terminal).await
}

/// How a scope is said on the command line.
pub(super) fn flag(scope: &Scope) -> String {
    match scope {
        Scope::AllClusters => "--all-clusters".to_owned(),
        Scope::Cluster(cluster) => format!("--cluster {cluster}"),
    }
}
