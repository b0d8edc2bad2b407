//! Finds the rules an event may concern, and what they refer to. Cached for some seconds in the warm function.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use expressions::Expression;
use hosts::Repository;
use jiff::{SignedDuration, Timestamp};
use shared::item::ClusterItem;
use shared::kinds::{ObjectName, Provider, Reference, Scope};
use shared::{CommitStatusRule, InvolvedObject};
use tokio::sync::Mutex;

use crate::evaluate::CompiledRule;
use crate::ports::{FoundRule, RuleStore, Unavailable, Unreadable};

/// How long an answer is believed. An applied rule takes effect within this time.
const CACHE_LIFETIME: SignedDuration = SignedDuration::from_secs(5);

/// Answers kept at most; above it the cache starts anew. One object of one cluster is one answer.
const CACHE_ENTRIES: usize = 2_000;

/// A rule an event may concern.
#[derive(Debug)]
pub struct Candidate {
    /// Which rule, and for which clusters it was applied.
    pub reference: Reference,
    /// The rule; unreadable if the stored item is damaged or an expression does not compile.
    pub rule: Result<Arc<CompiledRule>, Unreadable>,
    /// Its Provider, if there is one.
    pub provider: Option<FoundProvider>,
}

/// A Provider and where it was found.
#[derive(Debug, Clone)]
pub struct FoundProvider {
    /// For which clusters it was applied.
    pub scope: Scope,
    /// The Provider; unreadable if the stored item is damaged, or its address or its expression is of no use.
    pub provider: Result<Arc<CompiledProvider>, Unreadable>,
}

/// A Provider with its address read and its expression compiled once.
#[derive(Debug, Clone)]
pub struct CompiledProvider {
    /// The Provider.
    pub provider: Provider,
    /// Where it posts.
    pub repository: Repository,
    /// `commitStatusExpr`.
    pub expression: Option<Expression>,
}

impl CompiledProvider {
    /// Reads the address and compiles the expression.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn compile(provider: Provider) -> Result<Self, Unreadable> {
        let repository = Repository::of(&provider.spec)
            .map_err(|error| Unreadable(format!("spec of Provider: {error}")))?;
        let expression = provider
            .spec
            .commit_status_expr
            .as_deref()
            .map(Expression::compile);
        let expression = expression
            .transpose()
            .map_err(|mistake| Unreadable(format!("spec.commitStatusExpr of Provider: {mistake}")))?;
        Ok(Self {
            provider,
            repository,
            expression,
        })
    }
}

/// Cluster, kind, namespace and name.
type ObjectOfCluster = (String, String, String, String);

/// Looks rules up.
pub struct Lookup<S> {
    store: S,
    candidates: Mutex<Cache<ObjectOfCluster, Arc<Vec<Candidate>>>>,
    clusters: Mutex<Cache<String, ClusterItem>>,
    rules: std::sync::Mutex<Compiled<Reference, CommitStatusRule, Arc<CompiledRule>>>,
    providers: std::sync::Mutex<Compiled<Reference, Provider, Arc<CompiledProvider>>>,
}

/// What was compiled, as long as it is still read the same: expressions cost more than a read from the table.
struct Compiled<K, S, C> {
    entries: HashMap<K, (S, C)>,
}

impl<K: std::hash::Hash + Eq, S: PartialEq + Clone, C: Clone> Compiled<K, S, C> {
    fn new() -> Self {
        Self {
            entries: HashMap::new(),
        }
    }

    fn get<E>(&mut self, key: K, source: S, compile: impl FnOnce(S) -> Result<C, E>) -> Result<C, E> {
        if let Some((kept, compiled)) = self.entries.get(&key)
            && *kept == source
        {
            return Ok(compiled.clone());
        }
        let compiled = compile(source.clone())?;
        if self.entries.len() >= CACHE_ENTRIES {
            self.entries.clear();
        }
        self.entries.insert(key, (source, compiled.clone()));
        Ok(compiled)
    }
}

impl<S: RuleStore> Lookup<S> {
    /// Over a store, with nothing cached.
    pub fn new(store: S) -> Self {
        Self {
            store,
            candidates: Mutex::new(Cache::new()),
            clusters: Mutex::new(Cache::new()),
            rules: std::sync::Mutex::new(Compiled::new()),
            providers: std::sync::Mutex::new(Compiled::new()),
        }
    }

    /// The cluster as registered.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn cluster(&self, cluster: &str, now: Timestamp) -> Result<Option<ClusterItem>, Unavailable> {
        if let Some(item) = self.clusters.lock().await.get(&cluster.to_owned(), now) {
            return Ok(Some(item));
        }
        let item = self.store.cluster(cluster).await?;
        if let Some(item) = &item {
            self.clusters
                .lock()
                .await
                .put(cluster.to_owned(), item.clone(), now);
        }
        Ok(item)
    }

    /// The rules with an event source for the object, the cluster's own before those for all clusters. An empty answer
    /// is never cached, so that a first rule takes effect at once.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn candidates(
        &self,
        cluster: &str,
        object: &InvolvedObject,
        now: Timestamp,
    ) -> Result<Arc<Vec<Candidate>>, Unavailable> {
        let key = (
            cluster.to_owned(),
            object.kind.clone(),
            object.namespace.clone(),
            object.name.clone(),
        );
        if let Some(candidates) = self.candidates.lock().await.get(&key, now) {
            return Ok(candidates);
        }
        let candidates = Arc::new(self.read(cluster, object).await?);
        if !candidates.is_empty() {
            self.candidates
                .lock()
                .await
                .put(key, Arc::clone(&candidates), now);
        }
        Ok(candidates)
    }

    async fn read(&self, cluster: &str, object: &InvolvedObject) -> Result<Vec<Candidate>, Unavailable> {
        let own_scope = Scope::Cluster(cluster.to_owned());
        let (own, all) = tokio::try_join!(
            self.store.rules_for(&own_scope, object),
            self.store.rules_for(&Scope::AllClusters, object),
        )?;
        let mut candidates: Vec<Candidate> = Vec::with_capacity(own.len() + all.len());
        for found in own {
            self.push(&mut candidates, cluster, own_scope.clone(), found)
                .await?;
        }
        for found in all {
            // A cluster's own rule hides the one for all clusters even when its sources do not name this object.
            if !self.store.has_own_rule(cluster, &found.name).await? {
                self.push(&mut candidates, cluster, Scope::AllClusters, found)
                    .await?;
            }
        }
        Ok(candidates)
    }

    async fn push(
        &self,
        candidates: &mut Vec<Candidate>,
        cluster: &str,
        scope: Scope,
        found: FoundRule,
    ) -> Result<(), Unavailable> {
        let reference = Reference {
            scope,
            name: found.name,
        };
        if candidates
            .iter()
            .any(|candidate| candidate.reference == reference)
        {
            return Ok(()); // two of its sources name the object
        }
        let rule = found.rule.and_then(|rule| {
            let mut compiled = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
            compiled
                .get(reference.clone(), rule, |rule| {
                    CompiledRule::compile(rule).map(Arc::new)
                })
                .map_err(|error| Unreadable(error.to_string().replace('\n', " ")))
        });
        let provider = match &rule {
            Ok(compiled) => {
                let metadata = &compiled.rule.metadata;
                let name = ObjectName::new(&metadata.namespace, &compiled.rule.spec.provider_ref.name);
                self.provider(cluster, &name).await?
            }
            Err(_) => None,
        };
        candidates.push(Candidate {
            reference,
            rule,
            provider,
        });
        Ok(())
    }

    async fn provider(&self, cluster: &str, name: &ObjectName) -> Result<Option<FoundProvider>, Unavailable> {
        let own_scope = Scope::Cluster(cluster.to_owned());
        let (own, all) = tokio::try_join!(
            self.store.provider(&own_scope, name),
            self.store.provider(&Scope::AllClusters, name),
        )?;
        let found = match (own, all) {
            (Some(own), _) => Some((own_scope, own)),
            (None, Some(all)) => Some((Scope::AllClusters, all)),
            (None, None) => None,
        };
        Ok(found.map(|(scope, provider)| {
            let reference = Reference {
                scope: scope.clone(),
                name: name.clone(),
            };
            let mut compiled = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
            let provider = provider.and_then(|provider| {
                compiled.get(reference, provider, |provider| {
                    CompiledProvider::compile(provider).map(Arc::new)
                })
            });
            FoundProvider { scope, provider }
        }))
    }
}

struct Cache<K, V> {
    entries: HashMap<K, (Timestamp, V)>,
}

impl<K: std::hash::Hash + Eq, V: Clone> Cache<K, V> {
    fn new() -> Self {
        Self {
            entries: HashMap::new(),
        }
    }

    fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        let (read_at, value) = self.entries.get(key)?;
        (now.duration_since(*read_at).abs() < CACHE_LIFETIME).then(|| value.clone())
    }

    fn put(&mut self, key: K, value: V, now: Timestamp) {
        if self.entries.len() >= CACHE_ENTRIES {
            self.entries.clear();
        }
        self.entries.insert(key, (now, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_the_same_is_compiled_once() {
        let mut compiled = Compiled::new();
        let mut times = 0;
        for (key, source, expected) in [("a", 1, 1), ("a", 1, 1), ("b", 1, 2), ("a", 2, 3), ("a", 2, 3)] {
            let result = compiled.get(key, source, |source| {
                times += 1;
                Ok::<_, ()>(source * 10)
            });
            assert_eq!((result, times), (Ok(source * 10), expected));
        }
        for _ in 0..2 {
            let failed = compiled.get("c", 1, |_| {
                times += 1;
                Err("no")
            });
            assert_eq!(failed, Err("no"));
        }
        assert_eq!(times, 5, "what does not compile is tried again");
    }

    use crate::evaluate::tests::{object, rule};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Table {
        own: Vec<FoundRule>,
        all: Vec<FoundRule>,
        own_names: Vec<ObjectName>,
        reads: AtomicUsize,
    }

    impl RuleStore for Table {
        async fn cluster(&self, _: &str) -> Result<Option<ClusterItem>, Unavailable> {
            Ok(None)
        }

        async fn rules_for(&self, scope: &Scope, _: &InvolvedObject) -> Result<Vec<FoundRule>, Unavailable> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            Ok(if *scope == Scope::AllClusters {
                self.all.clone()
            } else {
                self.own.clone()
            })
        }

        async fn has_own_rule(&self, _: &str, name: &ObjectName) -> Result<bool, Unavailable> {
            Ok(self.own_names.contains(name))
        }

        async fn provider(
            &self,
            _: &Scope,
            _: &ObjectName,
        ) -> Result<Option<Result<Provider, Unreadable>>, Unavailable> {
            Ok(None)
        }
    }

    fn found(name: &str) -> FoundRule {
        let mut rule = rule();
        rule.metadata.name = name.into();
        FoundRule {
            name: rule.metadata.object_name(),
            rule: Ok(rule),
        }
    }

    async fn references(table: Table) -> Vec<String> {
        let lookup = Lookup::new(table);
        let candidates = lookup
            .candidates("dev", &object(), Timestamp::UNIX_EPOCH)
            .await
            .unwrap();
        candidates
            .iter()
            .map(|candidate| candidate.reference.to_string())
            .collect()
    }

    #[tokio::test]
    async fn a_clusters_own_rule_hides_the_one_for_all_clusters() {
        let table = Table {
            own: vec![found("a")],
            all: vec![found("a"), found("b")],
            own_names: vec![found("a").name],
            ..Table::default()
        };
        assert_eq!(references(table).await, ["dev/apps/a", "*/apps/b"]);

        let sources_elsewhere = Table {
            all: vec![found("a"), found("b")],
            own_names: vec![found("b").name],
            ..Table::default()
        };
        assert_eq!(references(sources_elsewhere).await, ["*/apps/a"]);
    }

    #[tokio::test]
    async fn a_rule_found_by_two_of_its_sources_counts_once() {
        let table = Table {
            own: vec![found("a"), found("a")],
            ..Table::default()
        };
        assert_eq!(references(table).await, ["dev/apps/a"]);
    }

    #[tokio::test]
    async fn a_damaged_rule_leaves_the_others_alone() {
        let mut bad_regex = found("bad");
        bad_regex.rule.as_mut().unwrap().spec.inclusion_list = vec!["(".into()];
        let damaged = FoundRule {
            name: ObjectName::new("apps", "damaged"),
            rule: Err(Unreadable("x".into())),
        };
        let lookup = Lookup::new(Table {
            own: vec![bad_regex, damaged, found("good")],
            ..Table::default()
        });

        let candidates = lookup
            .candidates("dev", &object(), Timestamp::UNIX_EPOCH)
            .await
            .unwrap();

        assert_eq!(
            candidates.iter().map(|c| c.rule.is_ok()).collect::<Vec<_>>(),
            [false, false, true]
        );
    }

    #[tokio::test]
    async fn an_answer_is_cached_for_some_seconds_and_an_empty_one_never() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let lookup = Lookup::new(Table {
            own: vec![found("a")],
            ..Table::default()
        });
        for second in [0, 4, 5, 6] {
            lookup.candidates("dev", &object(), at(second)).await.unwrap();
        }
        assert_eq!(
            lookup.store.reads.load(Ordering::Relaxed),
            2 * 2,
            "at 0 and 5, two scopes each"
        );

        let empty = Lookup::new(Table::default());
        for _ in 0..2 {
            empty.candidates("dev", &object(), at(0)).await.unwrap();
        }
        assert_eq!(empty.store.reads.load(Ordering::Relaxed), 2 * 2);
    }
}
