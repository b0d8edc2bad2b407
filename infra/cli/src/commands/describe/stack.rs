//! What is applied and registered, and how it hangs together.

use std::collections::BTreeSet;

use shared::kinds::ObjectName;
use shared::{CommitStatusRule, Provider, Scope};

use crate::object::{Kind, Object};
use crate::store::{Cluster, Store, StoreError};

/// Rules, Providers and clusters.
#[derive(Debug)]
pub(super) struct Everything {
    pub(super) rules: Vec<(Scope, CommitStatusRule)>,
    pub(super) providers: Vec<(Scope, Provider)>,
    pub(super) clusters: Vec<Cluster>,
}

impl Everything {
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        let (mut rules, mut providers) = (Vec::new(), Vec::new());
        for (scope, object) in store.list(Kind::CommitStatus, None).await? {
            if let Object::CommitStatus(rule) = object {
                rules.push((scope, rule));
            }
        }
        for (scope, object) in store.list(Kind::Provider, None).await? {
            if let Object::Provider(provider) = object {
                providers.push((scope, provider));
            }
        }
        Ok(Self {
            rules,
            providers,
            clusters: store.clusters().await?,
        })
    }

    /// The Provider of a cluster: its own, or the one for all clusters.
    pub(super) fn provider(&self, cluster: &str, name: &ObjectName) -> Option<(&Scope, &Provider)> {
        let own = Scope::Cluster(cluster.to_owned());
        self.provider_of(&own, name)
            .or_else(|| self.provider_of(&Scope::AllClusters, name))
    }

    /// The Provider of a scope.
    pub(super) fn provider_of(&self, scope: &Scope, name: &ObjectName) -> Option<(&Scope, &Provider)> {
        self.providers
            .iter()
            .find(|(of, provider)| of == scope && provider.metadata.object_name() == *name)
            .map(|(scope, provider)| (scope, provider))
    }

    /// Whether a rule for all clusters is hidden in this one by one of its own.
    pub(super) fn is_hidden(&self, name: &ObjectName, cluster: &str) -> bool {
        self.rules
            .iter()
            .any(|(scope, rule)| scope.as_str() == cluster && rule.metadata.object_name() == *name)
    }

    /// The cluster's own rules, and those for all clusters that they do not hide.
    pub(super) fn rules_in(&self, cluster: &str) -> impl Iterator<Item = &(Scope, CommitStatusRule)> {
        self.rules.iter().filter(move |(scope, rule)| match scope {
            Scope::Cluster(name) => name == cluster,
            Scope::AllClusters => !self.is_hidden(&rule.metadata.object_name(), cluster),
        })
    }

    /// Clusters a scope means: all that are registered, or the one.
    pub(super) fn clusters_of(&self, scope: &Scope) -> impl Iterator<Item = &Cluster> {
        let scope = scope.clone();
        self.clusters.iter().filter(move |cluster| match &scope {
            Scope::AllClusters => true,
            Scope::Cluster(name) => *name == cluster.name,
        })
    }
}

/// Which Provider a rule names.
pub(super) fn provider_of(rule: &CommitStatusRule) -> ObjectName {
    ObjectName::new(&rule.metadata.namespace, &rule.spec.provider_ref.name)
}

/// Namespaces a rule looks in.
pub(super) fn namespaces(rule: &CommitStatusRule) -> BTreeSet<&str> {
    let sources = rule.spec.event_sources.iter();
    sources.map(|source| source.namespace(&rule.metadata)).collect()
}

/// Of these namespaces, those the Alert of a cluster does not watch, and what to do; `None` if it watches all.
pub(super) fn not_watched(cluster: &Cluster, namespaces: &BTreeSet<&str>) -> Option<String> {
    let name = &cluster.name;
    let connected = &cluster.connected_namespaces;
    let missing: Vec<&str> = namespaces
        .iter()
        .copied()
        .filter(|namespace| !connected.contains(*namespace))
        .collect();
    if missing.is_empty() {
        return None;
    }
    Some(match connected.is_empty() {
        true => format!("not connected: `commitstatus connect {name} | kubectl apply -f -` connects it"),
        false => format!(
            "its Alert does not watch {}: run `commitstatus connect {name} | kubectl apply -f -` again",
            missing.join(", ")
        ),
    })
}
