//! The rules as the function `rules` reads them: the real adapter, asked once for each thing. Nobody changes a rule while a
//! run lasts, so what it answered then is the answer; calls, units and time are those of asking again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use rules::adapters::RulesTable;
use rules::ports::{FoundRule, RuleStore, Unavailable, Unreadable};
use shared::InvolvedObject;
use shared::item::ClusterItem;
use shared::kinds::{ANY_NAME, ObjectName, Provider, Scope};

use super::clock::Clock;
use super::table::{READ_RULES, Table};
use super::usage::{Calls, Function, Meter};

type Found<T> = Option<Result<T, Unreadable>>;

/// Answers by question, and what each took.
struct Kept<K, V>(Mutex<HashMap<K, (V, Calls)>>);

impl<K: Hash + Eq, V: Clone> Kept<K, V> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn get(&self, key: &K) -> Option<(V, Calls)> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn put(&self, key: K, value: V, calls: Calls) {
        self.0.lock().unwrap().insert(key, (value, calls));
    }
}

/// The `rules` table.
#[derive(Clone)]
pub(crate) struct RememberedRules(Arc<Inner>);

struct Inner {
    table: Table,
    name: String,
    clock: Clock,
    meter: Meter,
    millis: i64,
    version: Kept<(), Option<String>>,
    clusters: Kept<String, Option<ClusterItem>>,
    rules: Kept<(Scope, String, String, String), Vec<FoundRule>>,
    own: Kept<(String, ObjectName), bool>,
    providers: Kept<(Scope, ObjectName), Found<Provider>>,
}

impl RememberedRules {
    pub(crate) fn new(table: &Table, name: String, clock: &Clock, meter: &Meter, millis: i64) -> Self {
        Self(Arc::new(Inner {
            table: table.clone(),
            name,
            clock: clock.clone(),
            meter: meter.clone(),
            millis,
            version: Kept::new(),
            clusters: Kept::new(),
            rules: Kept::new(),
            own: Kept::new(),
            providers: Kept::new(),
        }))
    }
}

/// The real adapter for one question, and what it calls for it.
struct Asking {
    table: RulesTable,
    asked: Meter,
}

impl Asking {
    fn took(&self) -> Calls {
        self.asked.read().calls(Function::Rules, READ_RULES)
    }
}

impl Inner {
    fn ask(&self) -> Asking {
        let asked = Meter::default();
        let client = self.table.counted_by(&asked).client(Some(Function::Rules));
        Asking {
            table: RulesTable::new(client, self.name.clone()),
            asked,
        }
    }

    /// Calls at the same time take as long as one.
    async fn count(&self, calls: Calls) {
        self.clock.sleep(self.millis).await;
        self.meter.count(|usage| {
            let sum = usage.dynamodb.entry((Function::Rules, READ_RULES)).or_default();
            sum.calls += calls.calls;
            sum.read_units += calls.read_units;
        });
    }
}

impl RuleStore for RememberedRules {
    async fn cluster(&self, cluster: &str) -> Result<Option<ClusterItem>, Unavailable> {
        let key = cluster.to_owned();
        let (found, calls) = match self.0.clusters.get(&key) {
            Some(kept) => kept,
            None => {
                let asking = self.0.ask();
                let found = asking.table.cluster(cluster).await?;
                let calls = asking.took();
                self.0.clusters.put(key, found.clone(), calls);
                (found, calls)
            }
        };
        self.0.count(calls).await;
        Ok(found)
    }

    async fn version(&self) -> Result<Option<String>, Unavailable> {
        let (found, calls) = match self.0.version.get(&()) {
            Some(kept) => kept,
            None => {
                let asking = self.0.ask();
                let found = asking.table.version().await?;
                let calls = asking.took();
                self.0.version.put((), found.clone(), calls);
                (found, calls)
            }
        };
        self.0.count(calls).await;
        Ok(found)
    }

    async fn rules_by_name(
        &self,
        scope: &Scope,
        object: &InvolvedObject,
    ) -> Result<Vec<FoundRule>, Unavailable> {
        let InvolvedObject {
            kind,
            namespace,
            name,
            ..
        } = object;
        let key = (scope.clone(), kind.clone(), namespace.clone(), name.clone());
        let (found, calls) = match self.0.rules.get(&key) {
            Some(kept) => kept,
            None => {
                let asking = self.0.ask();
                let found = asking.table.rules_by_name(scope, object).await?;
                let calls = asking.took();
                self.0.rules.put(key, found.clone(), calls);
                (found, calls)
            }
        };
        self.0.count(calls).await;
        Ok(found)
    }

    async fn rules_for_any(
        &self,
        scope: &Scope,
        kind: &str,
        namespace: &str,
    ) -> Result<Vec<FoundRule>, Unavailable> {
        let key = (
            scope.clone(),
            kind.to_owned(),
            namespace.to_owned(),
            ANY_NAME.to_owned(),
        );
        let (found, calls) = match self.0.rules.get(&key) {
            Some(kept) => kept,
            None => {
                let asking = self.0.ask();
                let found = asking.table.rules_for_any(scope, kind, namespace).await?;
                let calls = asking.took();
                self.0.rules.put(key, found.clone(), calls);
                (found, calls)
            }
        };
        self.0.count(calls).await;
        Ok(found)
    }

    async fn has_own_rule(&self, cluster: &str, name: &ObjectName) -> Result<bool, Unavailable> {
        let key = (cluster.to_owned(), name.clone());
        let (found, calls) = match self.0.own.get(&key) {
            Some(kept) => kept,
            None => {
                let asking = self.0.ask();
                let found = asking.table.has_own_rule(cluster, name).await?;
                let calls = asking.took();
                self.0.own.put(key, found, calls);
                (found, calls)
            }
        };
        self.0.count(calls).await;
        Ok(found)
    }

    async fn provider(&self, scope: &Scope, name: &ObjectName) -> Result<Found<Provider>, Unavailable> {
        let key = (scope.clone(), name.clone());
        let (found, calls) = match self.0.providers.get(&key) {
            Some(kept) => kept,
            None => {
                let asking = self.0.ask();
                let found = asking.table.provider(scope, name).await?;
                let calls = asking.took();
                self.0.providers.put(key, found.clone(), calls);
                (found, calls)
            }
        };
        self.0.count(calls).await;
        Ok(found)
    }
}
