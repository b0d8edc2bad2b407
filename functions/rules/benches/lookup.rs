//! How long finding the rules of an event takes with few and many in the table:
//! `cargo bench --workspace --profile e2e --bench lookup`. docs/performance.md says what came of it.
//!
//! The table is the embedded engine behind the SDK's client, over HTTP on loopback. All rules are of one namespace, each for
//! an object of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use cli::local_instance::dynamodb_client;
use cli::store::{create_tables, rules_table, statuses_table};
use divan::Bencher;
use dynoxide::Database;
use jiff::Timestamp;
use rules::adapters::RulesTable;
use rules::lookup::Lookup;
use serde::Serialize;
use serde_json::{Value, json};
use shared::InvolvedObject;
use shared::item::{ALONE, ProviderItem, RuleItem, VERSION_PK, VersionItem, provider_pk, rule_pk, source_pk};
use shared::kinds::Scope;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Rules in the table.
const STORED: [usize; 3] = [10, 1_000, 100_000];

const STACK: &str = "commitstatus";
const CLUSTER: &str = "prod-eu-1";
const NAMESPACE: &str = "apps";

fn main() {
    divan::main();
}

/// With nothing kept of earlier events: the queries, the Provider, and compiling the one rule there is.
#[divan::bench(args = STORED, sample_count = 500, sample_size = 1)]
fn cold(bencher: Bencher<'_, '_>, stored: usize) {
    let world = World::with(stored);
    bencher
        .with_inputs(|| world.lookup())
        .bench_local_refs(|lookup| world.find(lookup));
}

/// Some seconds later, when something was applied: all is read again, and what was compiled is kept.
#[divan::bench(args = STORED, sample_count = 500, sample_size = 1)]
fn when_applied(bencher: Bencher<'_, '_>, stored: usize) {
    let world = World::with(stored);
    let lookup = world.lookup();
    let mut times = 0;
    bencher
        .with_inputs(|| {
            times += 1;
            world.apply(times);
            times
        })
        .bench_local_values(|times| world.find_at(&lookup, LATER * times));
}

/// Some seconds later, when nothing was.
#[divan::bench(args = STORED, sample_count = 500, sample_size = 1)]
fn later(bencher: Bencher<'_, '_>, stored: usize) {
    let world = World::with(stored);
    let lookup = world.lookup();
    let mut times = 0;
    bencher.bench_local(|| {
        times += 1;
        world.find_at(&lookup, LATER * times)
    });
}

/// From the cache.
#[divan::bench(args = STORED)]
fn cached(bencher: Bencher<'_, '_>, stored: usize) {
    let world = World::with(stored);
    let lookup = world.lookup();
    world.find(&lookup);
    bencher.bench_local(|| world.find(&lookup));
}

/// Longer than the version is believed, in seconds.
const LATER: i64 = 6;

/// A table, kept for all that look into as large a one.
struct World {
    runtime: Runtime,
    database: Database,
    client: Client,
    object: InvolvedObject,
}

impl World {
    fn with(stored: usize) -> &'static Self {
        static WORLDS: Mutex<BTreeMap<usize, &'static World>> = Mutex::new(BTreeMap::new());
        let mut worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
        worlds
            .entry(stored)
            .or_insert_with(|| Box::leak(Box::new(Self::new(stored))))
    }

    fn new(stored: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let database = Database::memory().expect("an engine");
        let client = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(dynoxide::server::serve_on(listener, database.clone()));
            let client = dynamodb_client(&format!("http://{address}"));
            create_tables(&client, &rules_table(STACK), &statuses_table(STACK))
                .await
                .expect("two tables");
            client
        });
        fill(&database, stored);
        put(&database, version(0));
        let object = json!({"kind": "Kustomization", "namespace": NAMESPACE, "name": app(stored / 2)});
        let world = Self {
            runtime,
            database,
            client,
            object: serde_json::from_value(object).expect("an object"),
        };
        assert_eq!(world.find(&world.lookup()), 1);
        world
    }

    /// As if something had been.
    fn apply(&self, times: i64) {
        put(&self.database, version(times));
    }

    fn lookup(&self) -> Lookup<RulesTable> {
        Lookup::new(RulesTable::new(self.client.clone(), rules_table(STACK)))
    }

    fn find(&self, lookup: &Lookup<RulesTable>) -> usize {
        self.find_at(lookup, 0)
    }

    fn find_at(&self, lookup: &Lookup<RulesTable>, second: i64) -> usize {
        let now = Timestamp::from_second(second).expect("a time");
        let found = lookup.candidates(CLUSTER, &self.object, now);
        self.runtime.block_on(found).expect("the table answers").len()
    }
}

fn version(times: i64) -> VersionItem {
    VersionItem {
        pk: VERSION_PK.to_owned(),
        sk: ALONE.to_owned(),
        version: format!("{times:016x}"),
    }
}

fn app(number: usize) -> String {
    format!("app-{number:06}")
}

/// As `commitstatus apply` leaves them: a rule, and a copy of it for its source.
fn fill(database: &Database, stored: usize) {
    let scope = Scope::Cluster(CLUSTER.to_owned());
    let provider = json!({
        "metadata": {"name": "github", "namespace": NAMESPACE},
        "spec": {"type": "github", "address": "https://github.com/acme/fleet", "secretRef": {"name": "github-token"}},
    });
    put(
        database,
        ProviderItem {
            pk: provider_pk(&scope),
            sk: format!("{NAMESPACE}/github"),
            provider: serde_json::from_value(provider).expect("a Provider"),
            applied_at: String::new(),
        },
    );
    for number in 0..stored {
        let name = app(number);
        let rule = json!({
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "providerRef": {"name": "github"}, "eventSources": [{"kind": "Kustomization", "name": name}],
                "prefix": CLUSTER, "inclusionList": ["(?i)reconciliation finished in .*"],
                "targetUrl": "https://grafana.acme.com/d/flux?var-name=${event.involvedObject.name}",
            },
        });
        for pk in [
            rule_pk(&scope),
            source_pk(CLUSTER, "Kustomization", NAMESPACE, &name),
        ] {
            put(
                database,
                RuleItem {
                    pk,
                    sk: format!("{NAMESPACE}/{name}"),
                    rule: serde_json::from_value(rule.clone()).expect("a rule"),
                    applied_at: String::new(),
                },
            );
        }
    }
}

fn put(database: &Database, item: impl Serialize) {
    let Value::Object(fields) = serde_json::to_value(item).expect("JSON") else {
        unreachable!("an item has fields")
    };
    let item: serde_json::Map<_, _> = fields
        .iter()
        .map(|(name, value)| (name.clone(), wire(value)))
        .collect();
    let request = json!({"TableName": rules_table(STACK), "Item": item});
    database
        .put_item(serde_json::from_value(request).expect("a request"))
        .expect("the engine takes it");
}

/// A value as it goes over the wire.
fn wire(value: &Value) -> Value {
    match value {
        Value::Null => json!({"NULL": true}),
        Value::Bool(value) => json!({ "BOOL": value }),
        Value::Number(number) => json!({"N": number.to_string()}),
        Value::String(text) => json!({ "S": text }),
        Value::Array(values) => json!({"L": values.iter().map(wire).collect::<Vec<_>>()}),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), wire(value)));
            json!({"M": fields.collect::<serde_json::Map<_, _>>()})
        }
    }
}
