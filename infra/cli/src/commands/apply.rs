//! `apply`: validates everything, then writes it, and retries what waited for it.

mod parked;
mod warnings;

use clap::Args;
use jiff::Timestamp;

use super::scope::ScopeArgs;
use super::{FileArgs, Terminal, validate};
use crate::object::{Object, describe_scope};
use crate::store::Store;

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// What to apply.
    #[command(flatten)]
    pub files: FileArgs,
    /// For which clusters.
    #[command(flatten)]
    pub scope: ScopeArgs,
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
    let validated = validate::read(&args.files, terminal)?;
    let objects: Vec<Object> = validated
        .documents
        .into_iter()
        .map(|document| document.object)
        .collect();
    let scope = args.scope.scope();
    let written = store.apply(&scope, &objects, now).await?;
    for change in &written.changes {
        let (kind, name) = (change.object.kind, &change.object.name);
        writeln!(
            terminal.out,
            "{}/{} {} (namespace {}, {})",
            kind.resource(),
            name.name,
            change.verb.as_str(),
            name.namespace,
            describe_scope(&scope)
        )?;
    }
    if written.transactions > 1 {
        terminal.hint(format!(
            "written in {} transactions, as DynamoDB takes 100 items in one; had it been interrupted, the same \
             command would have finished it",
            written.transactions
        ))?;
    }
    for warning in warnings::of(&scope, &objects, store).await? {
        terminal.warn(warning)?;
    }
    parked::retry_changed(&scope, &objects, &written.changes, store, now, terminal).await
}
