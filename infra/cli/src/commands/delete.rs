//! `delete`: objects by name or as files name them.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use shared::Scope;
use shared::item::StatusItem;
use shared::kinds::{ObjectName, Reference};

use super::scope::{ScopeArgs, dns_label};
use super::{Terminal, validate};
use crate::object::{Kind, ObjectId, describe_scope};
use crate::store::{Deleted, Seen, Store};
use crate::yaml::{identify, read_sources};

/// The two kinds, as kubectl would take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// A rule
    #[value(alias = "commitstatuses", alias = "cs")]
    Commitstatus,
    /// A Provider
    #[value(alias = "providers")]
    Provider,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Commitstatus => Self::CommitStatus,
            KindArg::Provider => Self::Provider,
        }
    }
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Kind of the object
    #[arg(required_unless_present = "paths", requires = "name")]
    pub kind: Option<KindArg>,
    /// Name of the object
    #[arg(requires = "namespace")]
    pub name: Option<String>,
    /// Delete what these files name instead
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        conflicts_with = "kind"
    )]
    pub paths: Vec<PathBuf>,
    /// Look below the directories too
    #[arg(short = 'R', long, requires = "paths")]
    pub recursive: bool,
    /// Namespace of the object, or of documents that name none
    #[arg(short, long, value_parser = dns_label)]
    pub namespace: Option<String>,
    /// For which clusters.
    #[command(flatten)]
    pub scope: ScopeArgs,
}

/// Deletes objects, and closes what the rules among them left pending.
///
/// # Errors
/// If one of them is not there, or a Provider is kept because something is closed with it first, after the others were
/// deleted.
pub async fn run(
    args: &DeleteArgs,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let objects = match (&args.kind, &args.name, &args.namespace) {
        (Some(kind), Some(name), Some(namespace)) => vec![ObjectId {
            kind: (*kind).into(),
            name: ObjectName::new(namespace, name),
        }],
        _ => {
            let sources = read_sources(&args.paths, args.recursive, terminal.input)?;
            match identify(&sources, args.namespace.as_deref()) {
                Ok(objects) => objects,
                Err(mistakes) => return Err(validate::refuse(&mistakes, terminal)?),
            }
        }
    };
    if objects.is_empty() {
        bail!(
            "no objects in the files; name the object instead: `commitstatus delete KIND NAME -n NAMESPACE`"
        );
    }
    let scope = args.scope.scope();
    let mut seen = Vec::with_capacity(objects.len());
    for id in &objects {
        seen.push(store.see(&scope, id).await?);
    }
    let Left { missing, kept } = remove(&seen, "deleted", &scope, store, now, terminal).await?;
    let mut failures = Vec::new();
    if !missing.is_empty() {
        failures.push(format!(
            "not found for {}: {}; `commitstatus get commitstatuses` and `commitstatus get \
             providers` list what there is",
            describe_scope(&scope),
            list(&missing)
        ));
    }
    if !kept.is_empty() {
        failures.push(format!(
            "kept: {}, with which pending statuses are closed first; delete it by its name in two minutes, or now if \
             they may stay pending",
            list(&kept)
        ));
    }
    if !failures.is_empty() {
        bail!(failures.join("; "));
    }
    Ok(())
}

/// What is not deleted.
pub(super) struct Left {
    /// Was not there.
    pub missing: Vec<ObjectId>,
    /// Providers with which something is closed first.
    pub kept: Vec<ObjectId>,
}

/// Deletes what was seen: rules, then what they left pending is closed, then Providers. `verb` says so on standard
/// output.
///
/// # Errors
/// If the store does not answer, or somebody else changed one of the objects since it was seen.
pub(super) async fn remove(
    seen: &[Seen],
    verb: &str,
    scope: &Scope,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Left> {
    let is_rule = |seen: &Seen| seen.id().kind == Kind::CommitStatus;
    let (rules, providers): (Vec<Seen>, Vec<Seen>) = seen.iter().cloned().partition(is_rule);
    let deleted = store.remove(&rules).await?;
    say(&deleted, verb, scope, terminal)?;
    let mut missing = deleted.not_found;

    let closes = rules.iter().map(Seen::id);
    let closes: Vec<Reference> = closes
        .filter(|id| !deleted.leaving.contains(id))
        .map(|id| Reference {
            scope: scope.clone(),
            name: id.name.clone(),
        })
        .collect();
    let closing = close_pending(&closes, store, now, terminal).await?;

    // Nothing is closed without its Provider.
    let (kept, providers): (Vec<Seen>, Vec<Seen>) = providers
        .into_iter()
        .partition(|seen| closing.iter().any(|status| status.provider == seen.id().name));
    let deleted = store.remove(&providers).await?;
    say(&deleted, verb, scope, terminal)?;
    missing.extend(deleted.not_found);
    Ok(Left {
        missing,
        kept: kept.iter().map(|seen| seen.id().clone()).collect(),
    })
}

fn say(deleted: &Deleted, verb: &str, scope: &Scope, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let mut deleted = deleted.deleted.iter();
    deleted.try_for_each(|id| terminal.became(id, verb, scope))
}

/// Closes what the rules left pending, also where they were gone before: functions believe a rule for some seconds.
async fn close_pending(
    rules: &[Reference],
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Vec<StatusItem>> {
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let closing = store.close_pending(rules, now).await.context(
        "the rules are deleted, but not all they left pending is closed; run the same command again",
    )?;
    match closing.len() {
        0 => {}
        1 => terminal.hint("1 pending status will be closed within two minutes")?,
        several => terminal.hint(format!(
            "{several} pending statuses will be closed within two minutes"
        ))?,
    }
    Ok(closing)
}

fn list(objects: &[ObjectId]) -> String {
    let names: Vec<String> = objects.iter().map(ObjectId::to_string).collect();
    names.join(", ")
}
