//! The four functions over everything simulated.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::Client;
use cli::store::{Store, create_tables, rules_table, statuses_table};
use cli::yaml::{Source, validate};
use hmac::{Hmac, KeyInit, Mac};
use intake::keys::{RootKey, derive_cluster_key};
use jiff::{SignedDuration, Timestamp};
use local::fifo::Received;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::Sha256;
use shared::Scope;

use super::history::History;
use super::host::{Host, Server};
use super::queue::{Queue, ROOT_KEY, Secrets};
use super::sched::Sched;
use super::table::Table;
use super::watch::Watch;

const STACK: &str = "commitstatus";

type TimeFn = Box<dyn Fn() -> Timestamp + Send + Sync>;
type Intake = intake::handler::Deps<Queue, Secrets>;
type Rules = rules::handler::Deps<rules::adapters::RulesTable, rules::adapters::StatusesTable, Queue, TimeFn>;
type Poster = poster::post::Deps<
    poster::adapters::StatusesTable,
    poster::adapters::CredentialsTable,
    poster::adapters::RulesTable,
    Secrets,
    TimeFn,
    fn(i64) -> i64,
>;
type Sweeper = sweeper::handler::Deps<sweeper::adapters::DueIndex, Queue, TimeFn, fn(i64) -> i64>;

/// What is kept warm. Lambda gives a sandbox one invocation at a time, and makes another one if all are taken.
type Sandboxes<D> = Mutex<Vec<Arc<D>>>;

fn free<D>(sandboxes: &Sandboxes<D>, make: impl FnOnce() -> D) -> Arc<D> {
    let mut sandboxes = sandboxes.lock().unwrap();
    if let Some(free) = sandboxes.iter().find(|deps| Arc::strong_count(deps) == 1) {
        return Arc::clone(free);
    }
    let made = Arc::new(make());
    sandboxes.push(Arc::clone(&made));
    made
}

const NO_JITTER: fn(i64) -> i64 = |_| 0;

/// Everything of one history.
pub(crate) struct World {
    pub(crate) sched: Arc<Sched>,
    pub(crate) watch: Arc<Mutex<Watch>>,
    pub(crate) table: Table,
    pub(crate) store: Store,
    pub(crate) statuses: String,
    pub(crate) host: Arc<Host>,
    pub(crate) repository: String,
    pub(crate) events: Queue,
    pub(crate) posts: Queue,
    pub(crate) secrets: Secrets,
    client: Client,
    rules_table: String,
    intakes: Sandboxes<Intake>,
    rules: Sandboxes<Rules>,
    posters: Sandboxes<Poster>,
    sweepers: Sandboxes<Sweeper>,
    root: RootKey,
}

impl Drop for World {
    fn drop(&mut self) {
        Server::get().remove(&self.repository);
    }
}

impl World {
    /// `name` tells it from other histories that run now.
    pub(crate) async fn new(name: &str, seed: u64, history: &History) -> Self {
        let sched = Sched::new(seed, history.plan);
        let watch = Arc::new(Mutex::new(Watch::default()));
        let table = Table::new(&sched, &watch);
        let client = table.client();
        let (rules_name, statuses) = (rules_table(STACK), statuses_table(STACK));
        create_tables(&client, &rules_name, &statuses).await.unwrap();
        let store = Store::new(client.clone(), STACK);
        let repository = format!("fleet-{name}");
        let host = Arc::new(Host {
            sched: Arc::clone(&sched),
            table: table.clone(),
            watch: Arc::clone(&watch),
            statuses: statuses.clone(),
            outages: history.outages.clone(),
            accidents: history.accidents,
            token: Mutex::default(),
            shown: Mutex::default(),
            named: Mutex::default(),
        });
        Server::get().put(&repository, &host);
        let events = Queue::new(&sched, history.max_receives);
        let posts = Queue::new(&sched, history.max_receives);
        let secrets = Secrets::new(&sched);
        let world = Self {
            client,
            rules_table: rules_name,
            intakes: Mutex::default(),
            rules: Mutex::default(),
            posters: Mutex::default(),
            sweepers: Mutex::default(),
            root: RootKey::new(&ROOT_KEY.into()).unwrap(),
            sched,
            watch,
            table,
            store,
            statuses,
            host,
            repository,
            events,
            posts,
            secrets,
        };
        let clusters = history.events.iter().map(|event| event.cluster.as_str());
        world.apply(clusters.collect()).await;
        world
    }

    fn time(&self) -> TimeFn {
        let clock = self.sched.clock.clone();
        Box::new(move || clock.now())
    }

    pub(crate) fn intake(&self) -> Arc<Intake> {
        free(&self.intakes, || intake::handler::Deps {
            queue: self.events.clone(),
            keys: intake::root_key_cache::RootKeyCache::new(self.secrets.clone()),
            limits: intake::event::Limits::default(),
        })
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        let client = || self.client.clone();
        free(&self.rules, || rules::handler::Deps {
            lookup: rules::lookup::Lookup::new(rules::adapters::RulesTable::new(
                client(),
                self.rules_table.clone(),
            )),
            statuses: rules::adapters::StatusesTable::new(client(), self.statuses.clone()),
            hints: self.posts.clone(),
            clock: self.time(),
        })
    }

    pub(crate) fn poster(&self) -> Arc<Poster> {
        let client = || self.client.clone();
        free(&self.posters, || poster::post::Deps {
            statuses: poster::adapters::StatusesTable::new(client(), self.statuses.clone()),
            pacer: poster::adapters::CredentialsTable::new(client(), self.statuses.clone()),
            targets: poster::target::Targets::new(poster::adapters::RulesTable::new(
                client(),
                self.rules_table.clone(),
            )),
            credentials: poster::credentials::Credentials::new(self.secrets.clone()),
            hosts: poster::host::Hosts::new().unwrap(),
            clock: self.time(),
            jitter: NO_JITTER,
        })
    }

    pub(crate) fn sweeper(&self) -> Arc<Sweeper> {
        free(&self.sweepers, || sweeper::handler::Deps {
            due: sweeper::adapters::DueIndex::new(self.client.clone(), self.statuses.clone()),
            hints: self.posts.clone(),
            clock: self.time(),
            jitter: NO_JITTER,
        })
    }

    /// Superseded commits are left as they are: the oracle does not know of them yet.
    /// Registers the clusters, and applies a Provider and a rule for every Kustomization.
    async fn apply(&self, clusters: BTreeSet<&str>) {
        for cluster in clusters {
            self.store.add_cluster(cluster).await.unwrap();
        }
        let yaml = format!(
            "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\n\
             metadata: {{name: github, namespace: apps}}\n\
             spec: {{type: github, address: \"{}/acme/{}\", secretRef: {{name: token}}}}\n---\n\
             apiVersion: notification.toolkit.fluxcd.io/v1beta1\nkind: CommitStatus\n\
             metadata: {{name: all, namespace: apps}}\n\
             spec: {{providerRef: {{name: github}}, eventSources: [{{kind: Kustomization, name: '*'}}], onSuperseded: leave}}\n",
            Server::get().address,
            self.repository,
        );
        let source = Source {
            name: "sim.yaml".into(),
            text: yaml,
        };
        let validated = validate(&[source], None).unwrap();
        let objects: Vec<_> = validated
            .documents
            .into_iter()
            .map(|document| document.object)
            .collect();
        self.store
            .apply(&Scope::parse("*"), &objects, self.sched.clock.now())
            .await
            .unwrap();
    }

    /// A Function URL event, signed with the cluster's key.
    pub(crate) fn request(&self, cluster: &str, body: &str) -> lambda_http::Request {
        let key = derive_cluster_key(&self.root, cluster, 1);
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let path = format!("/events/{cluster}");
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
            "headers": { "content-type": "application/json", "x-signature": signature },
            "requestContext": {
                "accountId": "anonymous", "apiId": "abc", "domainName": "abc.on.aws", "domainPrefix": "abc",
                "http": {
                    "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "198.51.100.7",
                    "userAgent": "Go-http-client/2.0",
                },
                "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599", "routeKey": "$default", "stage": "$default",
                "time": "07/Aug/2026:13:12:43 +0000", "timeEpoch": self.sched.clock.millis(),
            },
            "body": body, "isBase64Encoded": false,
        });
        lambda_http::request::from_str(&event.to_string()).unwrap()
    }

    /// Every status in the table.
    pub(crate) fn items(&self) -> Vec<Value> {
        let request = json!({ "TableName": self.statuses, "ConsistentRead": true });
        let (status, answer) = self.table.serve("Scan", &request.to_string());
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let items = answer["Items"].as_array().unwrap().iter();
        items.filter(|item| item["rev"].is_object()).cloned().collect()
    }
}

/// A batch as Lambda delivers it.
pub(crate) fn batch(messages: &[Received]) -> SqsEvent {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            json!({
                "messageId": message.id, "body": message.body,
                "attributes": {
                    "MessageGroupId": message.group_id, "ApproximateReceiveCount": message.receives.to_string(),
                },
                "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "eu-west-1",
            })
        })
        .collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

/// When an invocation has to be done.
pub(crate) fn deadline(now: Timestamp, seconds: i64) -> Timestamp {
    now + SignedDuration::from_secs(seconds)
}
