//! Where a status goes now: its rule and Provider as they stand at the time of posting.

use jiff::{SignedDuration, Timestamp};
use shared::item::{StatusItem, secret_name, status_pk};
use shared::kinds::{ObjectName, Provider, Reference, Scope};
use shared::{CommitSha, CommitStatusRule, Repository};
use tokio::sync::Mutex;

use crate::cache::Timed;
use crate::outcome::Record;
use crate::ports::{RuleStore, Stored, Unavailable};

/// How long a rule or Provider is believed.
const CACHE_LIFETIME: SignedDuration = SignedDuration::from_secs(5);

/// Rules and Providers, cached for some seconds in the warm function. What is not there is never cached.
pub struct Targets<R> {
    store: R,
    rules: Mutex<Timed<(String, Reference), CommitStatusRule>>,
    providers: Mutex<Timed<(String, ObjectName), (Scope, Provider)>>,
}

/// A repository and the credential for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The repository.
    pub repository: Repository,
    /// The commit.
    pub sha: CommitSha,
    /// Name of the secret below the stack's prefix.
    pub credential: String,
    /// Longest time one post may take.
    pub timeout_seconds: u32,
}

/// Time for one post if the Provider says nothing: Flux's default.
const DEFAULT_TIMEOUT_SECONDS: u32 = 15;

impl<R: RuleStore> Targets<R> {
    /// Over a store, with nothing cached.
    pub fn new(store: R) -> Self {
        Self {
            store,
            rules: Mutex::new(Timed::new(CACHE_LIFETIME)),
            providers: Mutex::new(Timed::new(CACHE_LIFETIME)),
        }
    }

    /// Finds where the status goes, or what to record because it goes nowhere.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn of(&self, item: &StatusItem, now: Timestamp) -> Result<Result<Target, Record>, Unavailable> {
        let ended = |reason| Ok(Err(Record::Ended { reason, error: None }));
        let parked = |reason, error| Ok(Err(Record::Parked { reason, error }));
        let rule = match self.rule(item, now).await? {
            None => return ended("skipped(rule-gone)"),
            Some(Err(error)) => return parked("invalid-rule", Some(error.0)),
            Some(Ok(rule)) => rule,
        };
        if rule.spec.suspend {
            return ended("skipped(rule-suspended)");
        }
        let name = ObjectName::new(&rule.metadata.namespace, &rule.spec.provider_ref.name);
        let (scope, provider) = match self.provider(&item.cluster, &name, now).await? {
            None => return parked("no-provider", Some(format!("there is no Provider {name}"))),
            Some(Err(error)) => return parked("invalid-provider", Some(error.0)),
            Some(Ok(found)) => found,
        };
        let repository = match Repository::parse(provider.spec.kind, &provider.spec.address) {
            Ok(repository) => repository,
            Err(error) => return parked("invalid-provider", Some(error.to_string())),
        };
        let Ok(sha) = item.key.sha().parse::<CommitSha>() else {
            return parked("invalid-key", None);
        };
        if status_pk(&repository.key(), &sha) != item.key.pk {
            return ended("skipped(provider-changed)");
        }
        if provider.spec.suspend {
            return parked("provider-suspended", None);
        }
        Ok(Ok(Target {
            repository,
            sha,
            credential: secret_name(&scope, &name.namespace, &provider.spec.secret_ref.name),
            timeout_seconds: provider.spec.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS),
        }))
    }

    /// The rule, unless it is gone or hidden by one of the cluster's own.
    async fn rule(&self, item: &StatusItem, now: Timestamp) -> Result<Stored<CommitStatusRule>, Unavailable> {
        let reference = &item.rule;
        let key = (item.cluster.clone(), reference.clone());
        if let Some(rule) = self.rules.lock().await.get(&key, now) {
            return Ok(Some(Ok(rule)));
        }
        if reference.scope == Scope::AllClusters {
            let own = Reference {
                scope: Scope::Cluster(item.cluster.clone()),
                name: reference.name.clone(),
            };
            if self.store.rule(&own).await?.is_some() {
                return Ok(None);
            }
        }
        let rule = self.store.rule(reference).await?;
        if let Some(Ok(rule)) = &rule {
            self.rules.lock().await.put(key, rule.clone(), now);
        }
        Ok(rule)
    }

    async fn provider(
        &self,
        cluster: &str,
        name: &ObjectName,
        now: Timestamp,
    ) -> Result<Stored<(Scope, Provider)>, Unavailable> {
        let key = (cluster.to_owned(), name.clone());
        if let Some(found) = self.providers.lock().await.get(&key, now) {
            return Ok(Some(Ok(found)));
        }
        let own_scope = Scope::Cluster(cluster.to_owned());
        let (own, all) = tokio::try_join!(
            self.store.provider(&own_scope, name),
            self.store.provider(&Scope::AllClusters, name),
        )?;
        let found = match (own, all) {
            (Some(own), _) => Some(own.map(|provider| (own_scope, provider))),
            (None, Some(all)) => Some(all.map(|provider| (Scope::AllClusters, provider))),
            (None, None) => None,
        };
        if let Some(Ok(found)) = &found {
            self.providers.lock().await.put(key, found.clone(), now);
        }
        Ok(found)
    }
}
