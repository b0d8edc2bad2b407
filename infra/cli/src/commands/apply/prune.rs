//! What carries the label and is no longer in the files.

use std::collections::BTreeSet;

use clap::Args;
use jiff::Timestamp;
use shared::item::StatusItem;
use shared::kinds::ObjectName;
use shared::{CommitStatusRule, Scope, State};

use super::super::{Terminal, delete};
use super::parked::is_in;
use super::selector::Selector;
use crate::object::{Kind, Object, ObjectId, describe_scope};
use crate::store::{Seen, Store, StoreError};

/// Whether to delete what is not in the files.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// What carries the label of -l and is not in the files goes, too; only of what is applied for the same clusters
    #[arg(long)]
    pub prune: bool,
    /// For --prune: the label of all that belongs together; every object in the files must carry it
    #[arg(short = 'l', long, value_name = "KEY=VALUE", requires = "prune")]
    pub selector: Option<Selector>,
}

impl PruneArgs {
    /// What to prune by, if anything is pruned.
    ///
    /// # Errors
    /// If that was not said.
    pub(in crate::commands) fn selector(&self) -> anyhow::Result<Option<&Selector>> {
        if self.prune && self.selector.is_none() {
            anyhow::bail!(
                "--prune deletes what is not in the files, so it must be told what belongs to them; add -l KEY=VALUE with \
                 a label that every object in the files carries"
            );
        }
        Ok(self.selector.as_ref())
    }
}

/// What is applied, carries the label and is not in the files.
pub(in crate::commands) struct Stale {
    /// Goes: rules first.
    pub gone: Vec<(Seen, Object)>,
    /// Providers that stay all the same, and why.
    kept: Vec<String>,
}

/// Looks for it. Writes nothing; the same before the files are applied and after.
///
/// # Errors
/// If the store does not answer.
pub(in crate::commands) async fn find(
    scope: &Scope,
    selector: &Selector,
    files: &[Object],
    store: &Store,
) -> Result<Stale, StoreError> {
    let in_files: BTreeSet<ObjectId> = files.iter().map(Object::id).collect();
    let mut gone = store.see_all(scope).await?;
    gone.retain(|(seen, object)| !in_files.contains(seen.id()) && selector.matches(object.metadata()));
    gone.sort_by_key(|(seen, _)| std::cmp::Reverse(seen.id().kind));

    let mut kept = Vec::new();
    if gone.iter().any(|(seen, _)| seen.id().kind == Kind::Provider) {
        let staying = Staying::find(scope, &gone, files, store).await?;
        gone.retain(|(seen, _)| {
            let id = seen.id();
            let rule = (id.kind == Kind::Provider)
                .then(|| staying.rule_with(scope, &id.name))
                .flatten();
            kept.extend(rule.as_ref().map(|rule| {
                format!(
                    "{id} is not in the files, but kept, as {rule} still names it; apply that with another Provider, or \
                     delete it too"
                )
            }));
            rule.is_none()
        });
    }
    Ok(Stale { gone, kept })
}

/// What there is once all is applied and pruned.
struct Staying {
    rules: Vec<(Scope, CommitStatusRule)>,
    providers: BTreeSet<(Scope, ObjectName)>,
}

impl Staying {
    async fn find(
        scope: &Scope,
        gone: &[(Seen, Object)],
        files: &[Object],
        store: &Store,
    ) -> Result<Self, StoreError> {
        let mut objects = store.list(Kind::CommitStatus, None).await?;
        objects.extend(store.list(Kind::Provider, None).await?);
        objects.retain(|(applied_for, object)| {
            let id = object.id();
            let is_other =
                files.iter().any(|file| file.id() == id) || gone.iter().any(|(seen, _)| *seen.id() == id);
            applied_for != scope || !is_other
        });
        objects.extend(files.iter().map(|object| (scope.clone(), object.clone())));
        let mut staying = Self {
            rules: Vec::new(),
            providers: BTreeSet::new(),
        };
        for (scope, object) in objects {
            match object {
                Object::CommitStatus(rule) => staying.rules.push((scope, rule)),
                Object::Provider(provider) => {
                    staying.providers.insert((scope, provider.metadata.object_name()));
                }
            }
        }
        Ok(staying)
    }

    /// A rule that names the Provider of this scope, and may have no other.
    fn rule_with(&self, scope: &Scope, provider: &ObjectName) -> Option<String> {
        let has = |scope: &Scope| self.providers.contains(&(scope.clone(), provider.clone()));
        let uses = |rule_scope: &Scope| match (scope, rule_scope) {
            (Scope::AllClusters, Scope::Cluster(_)) => !has(rule_scope),
            (Scope::Cluster(_), Scope::AllClusters) => !has(&Scope::AllClusters),
            (scope, rule_scope) => scope == rule_scope,
        };
        let names = |rule: &CommitStatusRule| {
            rule.metadata.namespace == provider.namespace && rule.spec.provider_ref.name == provider.name
        };
        let mut rules = self.rules.iter();
        let (rule_scope, rule) = rules.find(|(rule_scope, rule)| names(rule) && uses(rule_scope))?;
        Some(format!(
            "{} {} ({})",
            Kind::CommitStatus,
            rule.metadata.object_name(),
            describe_scope(rule_scope)
        ))
    }
}

impl Stale {
    /// Says which Providers are kept, and why.
    pub(in crate::commands) fn warn(&self, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
        self.kept.iter().try_for_each(|text| terminal.warn(text))
    }

    /// Says what would be deleted.
    pub(super) fn say(&self, scope: &Scope, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
        self.gone
            .iter()
            .try_for_each(|(seen, _)| terminal.became(seen.id(), "pruned (dry run)", scope))
    }

    /// Deletes it as `delete` does.
    ///
    /// # Errors
    /// If the store does not answer, or somebody else changed one of the objects since they were found.
    pub(super) async fn delete(
        self,
        scope: &Scope,
        store: &Store,
        now: Timestamp,
        terminal: &mut Terminal<'_>,
    ) -> anyhow::Result<()> {
        let closing = match self.gone.iter().any(|(seen, _)| seen.id().kind == Kind::Provider) {
            true => closing(scope, store).await?,
            false => BTreeSet::new(),
        };
        let (waiting, gone): (Vec<_>, Vec<_>) =
            self.gone.into_iter().map(|(seen, _)| seen).partition(|seen| {
                let id = seen.id();
                id.kind == Kind::Provider && closing.contains(&id.name)
            });
        let left = delete::remove(&gone, "pruned", scope, store, now, terminal).await?;
        for id in waiting.iter().map(Seen::id).chain(&left.kept) {
            terminal.warn(format!(
                "{id} is kept for now, as pending statuses are closed with it first; the same command deletes it in two \
                 minutes"
            ))?;
        }
        Ok(())
    }
}

/// Providers with which something is closed that rules left pending when they were deleted.
async fn closing(scope: &Scope, store: &Store) -> Result<BTreeSet<ObjectName>, StoreError> {
    let is_closing = |status: &StatusItem| {
        let is_due = status.desired.state == State::Superseded && status.is_due();
        is_due && status.may_show_pending() && is_in(scope, status)
    };
    let statuses = store.all_statuses().await?;
    Ok(statuses
        .into_iter()
        .filter(is_closing)
        .map(|status| status.provider)
        .collect())
}
