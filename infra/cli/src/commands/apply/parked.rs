//! What waited for a Provider that was applied.

use anyhow::Context as _;
use jiff::Timestamp;
use shared::Scope;
use shared::item::StatusItem;
use shared::kinds::ObjectName;

use super::super::{Terminal, retry};
use crate::object::{Kind, Object};
use crate::store::{Change, Store, Verb};

/// Retries what is parked with the Providers that are new or changed.
///
/// # Errors
/// If the store does not answer. What was applied stays applied.
pub(super) async fn retry_changed(
    scope: &Scope,
    objects: &[Object],
    changes: &[Change],
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let changed: Vec<&ObjectName> = changes
        .iter()
        .filter(|change| change.object.kind == Kind::Provider && change.verb != Verb::Unchanged)
        .map(|change| &change.object.name)
        .filter(|name| !is_suspended(objects, name))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let retried = async {
        let mut parked = store.parked().await?;
        parked.retain(|status| changed.contains(&&status.provider) && is_in(scope, status));
        retry::parked(&parked, store, now, terminal).await
    };
    let report = retried.await.context(
        "everything is applied, but not all that was parked with its Providers was made due; \
         `commitstatus retry --provider NAME -n NAMESPACE` does that",
    )?;
    if let Some(summary) = report.summary() {
        terminal.hint(summary)?;
    }
    Ok(())
}

/// Its statuses would only be parked again.
fn is_suspended(objects: &[Object], name: &ObjectName) -> bool {
    objects.iter().any(|object| {
        matches!(object, Object::Provider(provider)
            if provider.spec.suspend && provider.metadata.object_name() == *name)
    })
}

pub(super) fn is_in(scope: &Scope, status: &StatusItem) -> bool {
    match scope {
        Scope::AllClusters => true,
        Scope::Cluster(name) => status.cluster == *name,
    }
}
