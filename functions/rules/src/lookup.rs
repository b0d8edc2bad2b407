//! Finds the rules an event may concern, and what they refer to. What was read is believed in the warm function until something is
//! applied, for an hour at most: docs/adr/0011-a-version-of-what-is-applied.md.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
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

/// How long the version of what is applied is believed, and a cluster. An applied rule takes effect within this time.
const CACHE_LIFETIME: SignedDuration = SignedDuration::from_secs(5);

/// How long an answer is believed while the version stays the same. It would be for ever, were everybody who writes the table
/// to write a version: a tool of an earlier release does not, nor who puts items back by hand.
const LONGEST_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// Answers kept at most about objects; above it the cache starts anew. A fleet of 1,000 clusters with 50 objects each is remembered,
/// and the table, whose buckets are a power of two of which seven eighths are used, does not grow to twice that.
const OBJECTS: usize = 57_000;

/// Answers of each other kind kept at most.
const CACHE_ENTRIES: usize = 5_000;

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

/// Cluster, kind, namespace and name, with NUL between them: one allocation for each of many thousands. Only a cluster itself could
/// send names that have one, and mistake its own objects for each other.
type ObjectOfCluster = Box<str>;

/// Scope, kind and namespace.
type AnyOfNamespace = (Scope, String, String);

/// Which rules and Providers were read: equal as long as nobody applies or deletes any. `None` if that cannot be told.
type Version = Option<Arc<str>>;

/// A rule of a scope, compiled.
#[derive(Clone)]
struct ScopedRule {
    name: ObjectName,
    rule: Result<Arc<CompiledRule>, Unreadable>,
}

/// Looks rules up.
pub struct Lookup<S> {
    store: S,
    version: Mutex<Cache<(), Version>>,
    clusters: Mutex<Cache<String, ClusterItem>>,
    candidates: Mutex<Cache<ObjectOfCluster, Arc<Vec<Candidate>>>>,
    for_any: Mutex<Cache<AnyOfNamespace, Arc<[ScopedRule]>>>,
    own_rules: Mutex<Cache<(String, ObjectName), bool>>,
    found_providers: Mutex<Cache<(String, ObjectName), Option<FoundProvider>>>,
    rules: std::sync::Mutex<Compiled<Reference, CommitStatusRule, Arc<CompiledRule>>>,
    providers: std::sync::Mutex<Compiled<Reference, Provider, Arc<CompiledProvider>>>,
}

/// What was compiled, as long as it is still read the same: expressions cost more than a read from the table.
struct Compiled<K, S, C> {
    entries: HashMap<K, (S, C)>,
}

impl<K: Hash + Eq, S: PartialEq + Clone, C: Clone> Compiled<K, S, C> {
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

/// Whether what was read for other objects may be an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Cached,
    Table,
}

impl<S: RuleStore> Lookup<S> {
    /// Over a store, with nothing cached.
    pub fn new(store: S) -> Self {
        Self {
            store,
            version: Mutex::new(Cache::new(1)),
            clusters: Mutex::new(Cache::new(CACHE_ENTRIES)),
            candidates: Mutex::new(Cache::new(OBJECTS)),
            for_any: Mutex::new(Cache::new(CACHE_ENTRIES)),
            own_rules: Mutex::new(Cache::new(CACHE_ENTRIES)),
            found_providers: Mutex::new(Cache::new(CACHE_ENTRIES)),
            rules: std::sync::Mutex::new(Compiled::new()),
            providers: std::sync::Mutex::new(Compiled::new()),
        }
    }

    /// The cluster as registered. With it the version is read, which [`Lookup::candidates`] would wait for.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn cluster(&self, cluster: &str, now: Timestamp) -> Result<Option<ClusterItem>, Unavailable> {
        let kept = self.clusters.lock().await.get(cluster, &None, now);
        if let Some(item) = kept {
            return Ok(Some(item));
        }
        let (item, _) = tokio::try_join!(self.store.cluster(cluster), self.version(now))?;
        if let Some(item) = &item {
            let mut clusters = self.clusters.lock().await;
            clusters.put(cluster.to_owned(), item.clone(), &None, now);
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
        // Before anything else is read: what is written meanwhile has a version this answer does not claim to be of.
        let version = self.version(now).await?;
        let key = [cluster, &object.kind, &object.namespace, &object.name].join("\0");
        let kept = self.candidates.lock().await.get(key.as_str(), &version, now);
        if let Some(candidates) = kept {
            return Ok(candidates);
        }
        let looking = Looking {
            lookup: self,
            cluster,
            own_scope: Scope::Cluster(cluster.to_owned()),
            version: &version,
            now,
            believed: AtomicBool::new(false),
            read_at: AtomicI64::new(now.as_millisecond()),
        };
        let candidates = Arc::new(looking.read(object).await?);
        let read_at = looking.read_at.into_inner();
        if !candidates.is_empty() {
            let mut kept = self.candidates.lock().await;
            let read_at = Timestamp::from_millisecond(read_at).unwrap_or(now);
            kept.put(key.into(), Arc::clone(&candidates), &version, read_at);
        }
        Ok(candidates)
    }

    async fn version(&self, now: Timestamp) -> Result<Version, Unavailable> {
        // Held while it is read: events that come together ask once.
        let mut kept = self.version.lock().await;
        if let Some(version) = kept.get(&(), &None, now) {
            return Ok(version);
        }
        let version: Version = self.store.version().await?.map(Arc::from);
        kept.put((), version.clone(), &None, now);
        Ok(version)
    }

    fn compiled(&self, scope: &Scope, found: Vec<FoundRule>) -> Vec<ScopedRule> {
        let mut compiled = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let found = found.into_iter().map(|FoundRule { name, rule }| {
            let reference = Reference {
                scope: scope.clone(),
                name: name.clone(),
            };
            let rule = rule.and_then(|rule| {
                compiled
                    .get(reference, rule, |rule| CompiledRule::compile(rule).map(Arc::new))
                    .map_err(|error| Unreadable(error.to_string().replace('\n', " ")))
            });
            ScopedRule { name, rule }
        });
        found.collect()
    }
}

/// One answer in the making.
struct Looking<'a, S> {
    lookup: &'a Lookup<S>,
    cluster: &'a str,
    own_scope: Scope,
    version: &'a Version,
    now: Timestamp,
    /// Whether anything was cached.
    believed: AtomicBool,
    /// When the oldest of what the answer is made of was read; milliseconds.
    read_at: AtomicI64,
}

impl<S: RuleStore> Looking<'_, S> {
    async fn read(&self, object: &InvolvedObject) -> Result<Vec<Candidate>, Unavailable> {
        let (own_by_name, all_by_name, own_for_any, all_for_any) = tokio::try_join!(
            self.rules_by_name(&self.own_scope, object),
            self.rules_by_name(&Scope::AllClusters, object),
            self.rules_for_any(&self.own_scope, object, Ask::Cached),
            self.rules_for_any(&Scope::AllClusters, object, Ask::Cached),
        )?;
        let own = own_by_name.iter().chain(own_for_any.iter());
        let all = all_by_name.iter().chain(all_for_any.iter());
        let candidates = self.choose(own, all, Ask::Cached).await?;
        if !candidates.is_empty() || !self.believed.load(Ordering::Relaxed) {
            return Ok(candidates);
        }
        let (own_for_any, all_for_any) = tokio::try_join!(
            self.rules_for_any(&self.own_scope, object, Ask::Table),
            self.rules_for_any(&Scope::AllClusters, object, Ask::Table),
        )?;
        let own = own_by_name.iter().chain(own_for_any.iter());
        let all = all_by_name.iter().chain(all_for_any.iter());
        self.choose(own, all, Ask::Table).await
    }

    async fn choose(
        &self,
        own: impl Iterator<Item = &ScopedRule>,
        all: impl Iterator<Item = &ScopedRule>,
        ask: Ask,
    ) -> Result<Vec<Candidate>, Unavailable> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for rule in own {
            self.push(&mut candidates, &self.own_scope, rule, ask).await?;
        }
        for rule in all {
            // A cluster's own rule hides the one for all clusters even when its sources do not name this object.
            if !self.has_own_rule(&rule.name, ask).await? {
                self.push(&mut candidates, &Scope::AllClusters, rule, ask).await?;
            }
        }
        Ok(candidates)
    }

    async fn rules_by_name(
        &self,
        scope: &Scope,
        object: &InvolvedObject,
    ) -> Result<Vec<ScopedRule>, Unavailable> {
        let found = self.lookup.store.rules_by_name(scope, object).await?;
        Ok(self.lookup.compiled(scope, found))
    }

    async fn rules_for_any(
        &self,
        scope: &Scope,
        object: &InvolvedObject,
        ask: Ask,
    ) -> Result<Arc<[ScopedRule]>, Unavailable> {
        let key = (scope.clone(), object.kind.clone(), object.namespace.clone());
        let read = async {
            let store = &self.lookup.store;
            let found = store
                .rules_for_any(scope, &object.kind, &object.namespace)
                .await?;
            Ok(Arc::from(self.lookup.compiled(scope, found)))
        };
        self.cached(&self.lookup.for_any, key, ask, read).await
    }

    async fn has_own_rule(&self, name: &ObjectName, ask: Ask) -> Result<bool, Unavailable> {
        let key = (self.cluster.to_owned(), name.clone());
        let read = self.lookup.store.has_own_rule(self.cluster, name);
        self.cached(&self.lookup.own_rules, key, ask, read).await
    }

    async fn push(
        &self,
        candidates: &mut Vec<Candidate>,
        scope: &Scope,
        ScopedRule { name, rule }: &ScopedRule,
        ask: Ask,
    ) -> Result<(), Unavailable> {
        let reference = Reference {
            scope: scope.clone(),
            name: name.clone(),
        };
        if candidates
            .iter()
            .any(|candidate| candidate.reference == reference)
        {
            return Ok(()); // two of its sources name the object
        }
        let provider = match rule {
            Ok(compiled) => {
                let metadata = &compiled.rule.metadata;
                let name = ObjectName::new(&metadata.namespace, &compiled.rule.spec.provider_ref.name);
                self.provider(name, ask).await?
            }
            Err(_) => None,
        };
        candidates.push(Candidate {
            reference,
            rule: rule.clone(),
            provider,
        });
        Ok(())
    }

    async fn provider(&self, name: ObjectName, ask: Ask) -> Result<Option<FoundProvider>, Unavailable> {
        let key = (self.cluster.to_owned(), name.clone());
        let read = self.read_provider(name);
        self.cached(&self.lookup.found_providers, key, ask, read).await
    }

    async fn read_provider(&self, name: ObjectName) -> Result<Option<FoundProvider>, Unavailable> {
        let store = &self.lookup.store;
        let (own, all) = tokio::try_join!(
            store.provider(&self.own_scope, &name),
            store.provider(&Scope::AllClusters, &name),
        )?;
        let found = match (own, all) {
            (Some(own), _) => Some((self.own_scope.clone(), own)),
            (None, Some(all)) => Some((Scope::AllClusters, all)),
            (None, None) => None,
        };
        Ok(found.map(|(scope, provider)| {
            let reference = Reference {
                scope: scope.clone(),
                name,
            };
            let compiled = &self.lookup.providers;
            let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
            let provider = provider.and_then(|provider| {
                compiled.get(reference, provider, |provider| {
                    CompiledProvider::compile(provider).map(Arc::new)
                })
            });
            FoundProvider { scope, provider }
        }))
    }

    async fn cached<K: Hash + Eq, V: Clone>(
        &self,
        cache: &Mutex<Cache<K, V>>,
        key: K,
        ask: Ask,
        read: impl Future<Output = Result<V, Unavailable>>,
    ) -> Result<V, Unavailable> {
        if ask == Ask::Cached
            && let Some((read_at, value)) = cache.lock().await.entry(&key, self.version, self.now)
        {
            self.believed.store(true, Ordering::Relaxed);
            self.read_at
                .fetch_min(read_at.as_millisecond(), Ordering::Relaxed);
            return Ok(value);
        }
        let value = read.await?;
        let mut cache = cache.lock().await;
        cache.put(key, value.clone(), self.version, self.now);
        Ok(value)
    }
}

/// What was read, when, and of which version.
struct Cache<K, V> {
    entries: HashMap<K, (Timestamp, Version, V)>,
    limit: usize,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    fn new(limit: usize) -> Self {
        Self {
            entries: HashMap::new(),
            limit,
        }
    }

    fn get<Q>(&self, key: &Q, version: &Version, now: Timestamp) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entry(key, version, now).map(|(_, value)| value)
    }

    /// What was read of this version, and when. Without one it is believed for [`CACHE_LIFETIME`].
    fn entry<Q>(&self, key: &Q, version: &Version, now: Timestamp) -> Option<(Timestamp, V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (read_at, of_version, value) = self.entries.get(key)?;
        let lifetime = match version {
            Some(_) => LONGEST_LIFETIME,
            None => CACHE_LIFETIME,
        };
        let is_valid = of_version == version && now.duration_since(*read_at).abs() < lifetime;
        is_valid.then(|| (*read_at, value.clone()))
    }

    fn put(&mut self, key: K, value: V, version: &Version, read_at: Timestamp) {
        if self.entries.len() >= self.limit {
            self.entries.clear();
        }
        self.entries.insert(key, (read_at, version.clone(), value));
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

    #[derive(Default)]
    struct Table {
        version: Option<&'static str>,
        own: Vec<FoundRule>,
        own_for_any: Vec<FoundRule>,
        all: Vec<FoundRule>,
        own_names: Vec<ObjectName>,
        provider: Option<Provider>,
        asked: std::sync::Mutex<Vec<&'static str>>,
    }

    impl Table {
        fn ask(&self, what: &'static str) {
            self.asked.lock().unwrap().push(what);
        }
    }

    impl RuleStore for Table {
        async fn cluster(&self, name: &str) -> Result<Option<ClusterItem>, Unavailable> {
            self.ask("cluster");
            Ok(Some(ClusterItem {
                pk: "cluster".into(),
                sk: name.into(),
                generation: 1,
                suspended: false,
                deleted: false,
            }))
        }

        async fn version(&self) -> Result<Option<String>, Unavailable> {
            self.ask("version");
            Ok(self.version.map(str::to_owned))
        }

        async fn rules_by_name(
            &self,
            scope: &Scope,
            _: &InvolvedObject,
        ) -> Result<Vec<FoundRule>, Unavailable> {
            Ok(if *scope == Scope::AllClusters {
                self.ask("all by name");
                self.all.clone()
            } else {
                self.ask("own by name");
                self.own.clone()
            })
        }

        async fn rules_for_any(
            &self,
            scope: &Scope,
            _: &str,
            _: &str,
        ) -> Result<Vec<FoundRule>, Unavailable> {
            Ok(if *scope == Scope::AllClusters {
                self.ask("all for any");
                vec![]
            } else {
                self.ask("own for any");
                self.own_for_any.clone()
            })
        }

        async fn has_own_rule(&self, _: &str, name: &ObjectName) -> Result<bool, Unavailable> {
            self.ask("own rule");
            Ok(self.own_names.contains(name))
        }

        async fn provider(
            &self,
            scope: &Scope,
            _: &ObjectName,
        ) -> Result<Option<Result<Provider, Unreadable>>, Unavailable> {
            self.ask("provider");
            let provider = self.provider.clone().filter(|_| *scope == Scope::AllClusters);
            Ok(provider.map(Ok))
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn named(name: &str) -> InvolvedObject {
        let mut object = object();
        object.name = name.into();
        object
    }

    /// What the table is asked for an event about an object.
    async fn asked(lookup: &mut Lookup<Table>, object: &str, second: i64) -> Vec<&'static str> {
        let found = lookup.candidates("dev", &named(object), at(second)).await;
        found.unwrap();
        let mut asked = std::mem::take(lookup.store.asked.get_mut().unwrap());
        asked.sort_unstable();
        asked
    }

    const HOUR: i64 = 60 * 60;
    const EVERYTHING: [&str; 8] = [
        "all by name",
        "all for any",
        "own by name",
        "own for any",
        "own rule",
        "provider",
        "provider",
        "version",
    ];
    const BY_NAME: [&str; 2] = ["all by name", "own by name"];

    fn for_all_clusters(version: Option<&'static str>) -> Lookup<Table> {
        Lookup::new(Table {
            version,
            all: vec![found("a")],
            ..Table::default()
        })
    }

    #[tokio::test]
    async fn without_a_version_an_answer_is_cached_for_some_seconds() {
        let mut lookup = for_all_clusters(None);
        assert_eq!(asked(&mut lookup, "podinfo", 0).await, EVERYTHING);
        assert!(asked(&mut lookup, "podinfo", 4).await.is_empty());
        assert_eq!(asked(&mut lookup, "podinfo", 5).await, EVERYTHING);
        assert!(asked(&mut lookup, "podinfo", 6).await.is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_believed_while_nothing_was_applied() {
        let mut lookup = for_all_clusters(Some("1"));
        assert_eq!(asked(&mut lookup, "podinfo", 0).await, EVERYTHING);
        assert!(asked(&mut lookup, "podinfo", 4).await.is_empty());
        assert_eq!(asked(&mut lookup, "podinfo", HOUR - 1).await, ["version"]);
        assert_eq!(
            asked(&mut lookup, "podinfo", HOUR).await,
            EVERYTHING
                .into_iter()
                .filter(|what| *what != "version")
                .collect::<Vec<_>>(),
            "whoever writes without a version is heard after an hour"
        );

        lookup.store.version = Some("2");
        assert!(
            asked(&mut lookup, "podinfo", HOUR + 3).await.is_empty(),
            "the version is believed for some seconds"
        );
        assert_eq!(asked(&mut lookup, "podinfo", HOUR + 4).await, EVERYTHING);

        lookup.store.version = None;
        assert_eq!(
            asked(&mut lookup, "podinfo", HOUR + 9).await,
            EVERYTHING,
            "a table that was put back"
        );
    }

    #[tokio::test]
    async fn the_version_is_read_before_what_it_is_the_version_of() {
        let mut lookup = for_all_clusters(Some("1"));
        lookup.candidates("dev", &object(), at(0)).await.unwrap();
        assert_eq!(lookup.store.asked.get_mut().unwrap().first(), Some(&"version"));
    }

    #[tokio::test]
    async fn what_objects_of_a_namespace_share_is_read_once() {
        let mut lookup = for_all_clusters(Some("1"));
        asked(&mut lookup, "podinfo", 0).await;
        assert_eq!(asked(&mut lookup, "webapp", 1).await, BY_NAME);
        assert_eq!(asked(&mut lookup, "podinfo", 2).await, [""; 0]);

        let other = InvolvedObject {
            namespace: "infra".into(),
            ..named("podinfo")
        };
        lookup.candidates("dev", &other, at(3)).await.unwrap();
        let read: Vec<_> = std::mem::take(lookup.store.asked.get_mut().unwrap());
        assert!(read.contains(&"own for any"), "{read:?}");

        lookup.candidates("prod", &object(), at(3)).await.unwrap();
        let read: Vec<_> = std::mem::take(lookup.store.asked.get_mut().unwrap());
        assert!(
            read.contains(&"own rule") && read.contains(&"provider"),
            "{read:?}"
        );
    }

    #[tokio::test]
    async fn an_answer_is_as_old_as_the_oldest_it_is_made_of() {
        let mut lookup = for_all_clusters(Some("1"));
        asked(&mut lookup, "podinfo", 0).await;
        asked(&mut lookup, "webapp", HOUR - 1).await;
        let read = asked(&mut lookup, "webapp", HOUR + 1).await;
        assert!(
            read.contains(&"all for any") && read.contains(&"provider"),
            "{read:?}"
        );
    }

    #[tokio::test]
    async fn an_empty_answer_is_never_cached_nor_made_of_what_is() {
        let mut lookup = Lookup::new(Table {
            version: Some("1"),
            ..Table::default()
        });
        let queries = ["all by name", "all for any", "own by name", "own for any"];
        assert_eq!(
            asked(&mut lookup, "podinfo", 0).await.len(),
            5,
            "each once, and the version"
        );
        assert_eq!(asked(&mut lookup, "podinfo", 0).await, queries);
        assert_eq!(asked(&mut lookup, "webapp", 0).await, queries);

        // It was applied in this second, and the version was read before.
        lookup.store.own_for_any = vec![found("a")];
        let candidates = lookup.candidates("dev", &named("webapp"), at(0)).await.unwrap();
        assert_eq!(candidates.len(), 1);
        let candidates = lookup.candidates("dev", &object(), at(0)).await.unwrap();
        assert_eq!(candidates.len(), 1);
    }

    #[tokio::test]
    async fn an_own_rule_that_was_deleted_hides_nothing_any_more() {
        let mut lookup = Lookup::new(Table {
            version: Some("1"),
            all: vec![found("a")],
            own_names: vec![found("a").name],
            ..Table::default()
        });
        let candidates = lookup.candidates("dev", &object(), at(0)).await.unwrap();
        assert!(candidates.is_empty());
        lookup.store.own_names.clear();
        let candidates = lookup.candidates("dev", &object(), at(1)).await.unwrap();
        assert_eq!(candidates.len(), 1, "at once, as there was nothing before");
    }

    #[tokio::test]
    async fn the_version_is_read_together_with_the_cluster() {
        let mut lookup = for_all_clusters(Some("1"));
        assert!(lookup.cluster("dev", at(0)).await.unwrap().is_some());
        assert_eq!(
            std::mem::take(lookup.store.asked.get_mut().unwrap()),
            ["cluster", "version"]
        );
        assert!(!asked(&mut lookup, "podinfo", 4).await.contains(&"version"));
        lookup.cluster("dev", at(4)).await.unwrap();
        assert!(lookup.store.asked.get_mut().unwrap().is_empty());
        lookup.cluster("dev", at(5)).await.unwrap();
        assert_eq!(*lookup.store.asked.get_mut().unwrap(), ["cluster", "version"]);
    }

    #[tokio::test]
    async fn a_cache_that_is_full_starts_anew() {
        let mut cache = Cache::new(2);
        for key in ["a", "b", "c"] {
            cache.put(key, key, &None, at(0));
        }
        let kept = ["a", "b", "c"].map(|key| cache.get(key, &None, at(0)));
        assert_eq!(kept, [None, None, Some("c")]);
    }
}
