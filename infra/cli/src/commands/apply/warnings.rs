//! What is allowed but will not do what its author expects.

use std::collections::{BTreeMap, BTreeSet};

use shared::kinds::ObjectName;
use shared::{CommitStatusRule, Scope};

use crate::object::{Kind, Object};
use crate::store::{Cluster, Store, StoreError};

pub(super) async fn of(scope: &Scope, objects: &[Object], store: &Store) -> Result<Vec<String>, StoreError> {
    let rules: Vec<&CommitStatusRule> = objects
        .iter()
        .filter_map(|object| match object {
            Object::CommitStatus(rule) => Some(rule),
            Object::Provider(_) => None,
        })
        .collect();
    let mut warnings = Vec::new();
    let clusters = match scope {
        Scope::AllClusters => store.clusters().await?,
        Scope::Cluster(name) => {
            let cluster = store.cluster(name).await?;
            if cluster.is_none() {
                warnings.push(format!(
                    "cluster \"{name}\" is not registered, so its events are dropped; `commitstatus cluster add \
                     {name}` registers it"
                ));
            }
            cluster.into_iter().collect()
        }
    };
    warnings.extend(missing_providers(scope, &rules, objects, store).await?);
    warnings.extend(rules.iter().filter_map(|rule| wide_prefix(scope, rule)));
    warnings.extend(objects.iter().filter_map(|object| wide_expression(scope, object)));
    warnings.extend(objects.iter().filter_map(without_uid));
    warnings.extend(clusters.iter().filter_map(|cluster| not_watched(cluster, &rules)));
    Ok(warnings)
}

async fn missing_providers(
    scope: &Scope,
    rules: &[&CommitStatusRule],
    objects: &[Object],
    store: &Store,
) -> Result<Vec<String>, StoreError> {
    // Those of the call are not there yet when nothing is written.
    let given = objects.iter().filter(|object| object.kind() == Kind::Provider);
    let given = given.map(|provider| (provider.metadata().object_name(), true));
    let mut looked_up: BTreeMap<ObjectName, bool> = given.collect();
    let mut warnings = Vec::new();
    for rule in rules {
        let name = ObjectName::new(&rule.metadata.namespace, &rule.spec.provider_ref.name);
        let exists = match looked_up.get(&name) {
            Some(exists) => *exists,
            None => has_provider(scope, &name, store).await?,
        };
        if !exists {
            warnings.push(format!(
                "CommitStatus {}: no Provider {name}, so its statuses wait as parked; apply one with {}",
                rule.metadata.object_name(),
                super::flag(scope)
            ));
        }
        looked_up.insert(name, exists);
    }
    Ok(warnings)
}

async fn has_provider(scope: &Scope, name: &ObjectName, store: &Store) -> Result<bool, StoreError> {
    if store.provider(&Scope::AllClusters, name).await?.is_some() {
        return Ok(true);
    }
    match scope {
        Scope::Cluster(_) => Ok(store.provider(scope, name).await?.is_some()),
        // A cluster may have one of its own; one such cluster is enough.
        Scope::AllClusters => {
            let providers = store.list(Kind::Provider, None).await?;
            Ok(providers.iter().any(|(_, object)| object.id().name == *name))
        }
    }
}

fn namespaces(rule: &CommitStatusRule) -> BTreeSet<&str> {
    let sources = rule.spec.event_sources.iter();
    sources.map(|source| source.namespace(&rule.metadata)).collect()
}

fn wide_prefix(scope: &Scope, rule: &CommitStatusRule) -> Option<String> {
    let prefix = rule.spec.prefix.as_ref()?;
    let namespaces = namespaces(rule);
    let covers = match scope {
        Scope::AllClusters => "every cluster".to_owned(),
        Scope::Cluster(_) if namespaces.len() > 1 => {
            format!("the namespaces {}", Vec::from_iter(namespaces).join(", "))
        }
        Scope::Cluster(_) => return None,
    };
    Some(format!(
        "CommitStatus {}: prefix \"{prefix}\" covers {covers}, where objects of one name overwrite each other's \
         status; leave out prefix to have cluster and namespace in it",
        rule.metadata.object_name()
    ))
}

/// Where an expression gives the context, cluster and namespace are in it only if it says so.
fn wide_expression(scope: &Scope, object: &Object) -> Option<String> {
    let Object::Provider(provider) = object else {
        return None;
    };
    let expression = provider.spec.commit_status_expr.as_ref()?;
    // Metadata may hold what Alerts of the clusters add, each its own.
    let tells_clusters_apart = ["cluster", "event.metadata", "event.involvedObject.uid"]
        .iter()
        .any(|part| expression.contains(part));
    (*scope == Scope::AllClusters && !tells_clusters_apart).then(|| {
        format!(
            "Provider {}: commitStatusExpr gives the same context in every cluster, so their statuses overwrite each \
             other; add `cluster` to it, or a prefix to the rules of each cluster",
            provider.metadata.object_name()
        )
    })
}

/// Flux's own example reads it, and what was written by hand has none.
fn without_uid(object: &Object) -> Option<String> {
    let Object::Provider(provider) = object else {
        return None;
    };
    let expression = provider.spec.commit_status_expr.as_ref()?;
    (provider.metadata.uid.is_none() && expression.contains("provider.metadata.uid")).then(|| {
        format!(
            "Provider {}: commitStatusExpr reads provider.metadata.uid, and this Provider has none, so its statuses wait as \
             parked; set metadata.uid to that of the Provider in the cluster, or name `cluster` instead",
            provider.metadata.object_name()
        )
    })
}

pub(in crate::commands) fn not_watched(cluster: &Cluster, rules: &[&CommitStatusRule]) -> Option<String> {
    let connected = &cluster.connected_namespaces;
    let missing: BTreeSet<&str> = rules
        .iter()
        .flat_map(|rule| namespaces(rule))
        .filter(|namespace| !connected.contains(*namespace))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let name = &cluster.name;
    Some(if connected.is_empty() {
        format!(
            "cluster \"{name}\" sends no events yet; `commitstatus connect {name} | kubectl apply -f -` connects it"
        )
    } else {
        format!(
            "the Alert of cluster \"{name}\" does not watch {}; run `commitstatus connect {name} | kubectl apply -f \
             -` again",
            Vec::from_iter(missing).join(", ")
        )
    })
}
