//! The four functions over everything simulated, and the sandboxes they are kept warm in.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use cli::store::{Store, create_tables, rules_table, statuses_table};
use cli::yaml::{Source, validate};
use hosts::HostKind;
use intake::keys::RootKeys;
use intake::ports::{RootKeySource, RootKeyUnavailable};
use jiff::Timestamp;
use local::stand_in::Facts;
use poster::host::Hosts;
use poster::ports::SecretStore;
use secrecy::SecretString;
use serde_json::json;
use shared::Scope;

use super::clock::Clock;
use super::flux::{Names, cluster_name, namespace_name};
use super::queue::{Queue, Which};
use super::rules_table::RememberedRules;
use super::run::Assumptions;
use super::table::Table;
use super::usage::{Function, Meter};

const STACK: &str = "commitstatus";
const ROOT_KEY: &str = "0123456789abcdef0123456789abcdef-the-root-key";

type TimeFn = Box<dyn Fn() -> Timestamp + Send + Sync>;
type Jitter = Box<dyn Fn(i64) -> i64 + Send + Sync>;
pub(crate) type Intake = intake::handler::Deps<Queue, Secrets>;
pub(crate) type Rules = rules::handler::Deps<RememberedRules, rules::adapters::StatusesTable, Queue, TimeFn>;
pub(crate) type Poster = poster::post::Deps<
    poster::adapters::StatusesTable,
    poster::adapters::CredentialsTable,
    Clock,
    poster::adapters::RulesTable,
    Secrets,
    TimeFn,
>;
pub(crate) type Sweeper = sweeper::handler::Deps<sweeper::adapters::DueIndex, Queue, TimeFn, Clock, Jitter>;

/// Secrets Manager.
#[derive(Clone)]
pub(crate) struct Secrets {
    clock: Clock,
    meter: Meter,
    millis: i64,
    token: SecretString,
}

impl RootKeySource for Secrets {
    async fn fetch(&self) -> Result<RootKeys, RootKeyUnavailable> {
        self.clock.sleep(self.millis).await;
        // One call for each version.
        self.meter.count(|usage| usage.secrets += 2);
        RootKeys::new(&root_key(), None).map_err(RootKeyUnavailable::new)
    }
}

impl SecretStore for Secrets {
    async fn secret(&self, _name: &str) -> Result<Option<SecretString>, poster::ports::Unavailable> {
        self.clock.sleep(self.millis).await;
        self.meter.count(|usage| usage.secrets += 1);
        Ok(Some(self.token.clone()))
    }
}

pub(crate) fn root_key() -> SecretString {
    ROOT_KEY.into()
}

struct Sandbox<D> {
    deps: Arc<D>,
    made_at: i64,
    used_at: i64,
}

/// What is kept warm of a function. Lambda gives a sandbox one invocation at a time, and makes another one if all are
/// taken.
pub(crate) struct Sandboxes<D>(Vec<Sandbox<D>>);

impl<D> Sandboxes<D> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// One that is free, and whether it is new.
    pub(crate) fn free(
        &mut self,
        now: i64,
        assumptions: &Assumptions,
        make: impl FnOnce() -> D,
    ) -> (Arc<D>, bool) {
        self.0.retain(|sandbox| {
            Arc::strong_count(&sandbox.deps) > 1
                || (now - sandbox.made_at < assumptions.sandbox_millis
                    && now - sandbox.used_at < assumptions.idle_millis)
        });
        let free = self
            .0
            .iter_mut()
            .find(|sandbox| Arc::strong_count(&sandbox.deps) == 1);
        if let Some(sandbox) = free {
            sandbox.used_at = now;
            return (Arc::clone(&sandbox.deps), false);
        }
        let deps = Arc::new(make());
        self.0.push(Sandbox {
            deps: Arc::clone(&deps),
            made_at: now,
            used_at: now,
        });
        (deps, true)
    }
}

/// Makes functions.
pub(crate) struct Service {
    clock: Clock,
    pub(crate) table: Table,
    pub(crate) events: Queue,
    pub(crate) posts: Queue,
    secrets: Secrets,
    rules: RememberedRules,
    hosts: Hosts,
    clients: [Client; 4],
    seed: u64,
}

impl Service {
    /// With empty tables.
    pub(crate) async fn new(
        kind: HostKind,
        clock: &Clock,
        meter: &Meter,
        assumptions: &Assumptions,
        seed: u64,
    ) -> Self {
        let table = Table::new(clock, meter, assumptions.dynamodb_millis);
        create_tables(&table.client(None), &rules_table(STACK), &statuses_table(STACK))
            .await
            .unwrap();
        let (_, token) = Facts::of(kind).token("a-token-of-the-git-host");
        let millis = assumptions.dynamodb_millis;
        Self {
            clock: clock.clone(),
            rules: RememberedRules::new(&table, rules_table(STACK), clock, meter, millis),
            clients: Function::ALL.map(|function| table.client(Some(function))),
            table,
            events: Queue::new(Which::Events, clock, meter, assumptions),
            posts: Queue::new(Which::Posts, clock, meter, assumptions),
            secrets: Secrets {
                clock: clock.clone(),
                meter: meter.clone(),
                millis: assumptions.secrets_millis,
                token: json!({ "token": token }).to_string().into(),
            },
            // The host is on this machine.
            hosts: Hosts::new("127.0.0.0/8".parse().unwrap()).unwrap(),
            seed,
        }
    }

    /// Registers the clusters, and applies a rule and a Provider for each namespace.
    pub(crate) async fn set_up(&self, kind: HostKind, address: &str, clusters: u32, names: Names) {
        let store = Store::new(self.table.client(None), STACK);
        for number in 0..clusters {
            store.add_cluster(&cluster_name(number)).await.unwrap();
        }
        let repository = Facts::of(kind).example;
        for number in 0..names.namespaces {
            let namespace = namespace_name(number);
            let text = format!(
                "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\n\
                 metadata: {{name: git, namespace: {namespace}}}\n\
                 spec: {{type: {kind}, address: \"{address}/{repository}\", secretRef: {{name: token}}}}\n---\n\
                 apiVersion: notification.toolkit.fluxcd.io/v1beta1\nkind: CommitStatus\n\
                 metadata: {{name: all, namespace: {namespace}}}\n\
                 spec: {{providerRef: {{name: git}}, eventSources: [{{kind: Kustomization, name: '*'}}]}}\n"
            );
            let source = Source {
                name: "fleet.yaml".into(),
                text,
            };
            let documents = validate(&[source], None).unwrap().documents;
            let objects: Vec<_> = documents.into_iter().map(|document| document.object).collect();
            let all = Scope::parse("*");
            store.apply(&all, &objects, self.clock.now()).await.unwrap();
        }
    }

    fn time(&self) -> TimeFn {
        let clock = self.clock.clone();
        Box::new(move || clock.now())
    }

    /// The same for the same seed and moment.
    fn jitter(&self) -> Jitter {
        let rng = std::sync::Mutex::new(fastrand::Rng::with_seed(self.seed ^ self.clock.waits()));
        Box::new(move |below| rng.lock().unwrap().i64(0..below.max(1)))
    }

    fn client(&self, function: Function) -> Client {
        self.clients[function as usize].clone()
    }

    pub(crate) fn intake(&self) -> Intake {
        intake::handler::Deps {
            queue: self.events.clone(),
            keys: intake::root_key_cache::RootKeyCache::new(self.secrets.clone()),
            limits: intake::event::Limits::default(),
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        let client = self.client(Function::Rules);
        rules::handler::Deps {
            lookup: rules::lookup::Lookup::new(self.rules.clone()),
            statuses: rules::adapters::StatusesTable::new(client, statuses_table(STACK)),
            events: rules::last_event::LastEvents::default(),
            hints: self.posts.clone(),
            clock: self.time(),
        }
    }

    pub(crate) fn poster(&self) -> Poster {
        let client = || self.client(Function::Poster);
        poster::post::Deps {
            statuses: poster::adapters::StatusesTable::new(client(), statuses_table(STACK)),
            pacer: poster::pacer::Pacer::new(
                poster::adapters::CredentialsTable::new(client(), statuses_table(STACK)),
                self.clock.clone(),
            ),
            targets: poster::target::Targets::new(poster::adapters::RulesTable::new(
                client(),
                rules_table(STACK),
            )),
            credentials: poster::credentials::Credentials::new(self.secrets.clone(), self.hosts.clone()),
            hosts: self.hosts.clone(),
            app_tokens: poster::app_tokens::AppTokens::default(),
            clock: self.time(),
        }
    }

    pub(crate) fn sweeper(&self) -> Sweeper {
        sweeper::handler::Deps {
            due: sweeper::adapters::DueIndex::new(self.client(Function::Sweeper), statuses_table(STACK)),
            hints: self.posts.clone(),
            clock: self.time(),
            sleep: self.clock.clone(),
            stay: sweeper::handler::STAY,
            jitter: self.jitter(),
        }
    }
}
