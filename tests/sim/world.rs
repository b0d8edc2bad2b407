//! The four functions over everything simulated.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::Client;
use cli::object::{self, ObjectId};
use cli::store::{Store, create_tables, rules_table, statuses_table};
use cli::yaml::{Source, validate};
use hmac::{Hmac, KeyInit, Mac};
use hosts::HostKind;
use intake::keys::{RootKey, derive_cluster_key};
use jiff::{SignedDuration, Timestamp};
use local::fifo::Received;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::Sha256;
use shared::Scope;
use shared::kinds::ObjectName;

use super::history::{History, Meddling, SimRule};
use super::host::{Host, Server};
use super::queue::{Queue, Secrets, root_key};
use super::sched::{Fault, Sched};
use super::table::Table;
use super::watch::Watch;

const STACK: &str = "commitstatus";

type TimeFn = Box<dyn Fn() -> Timestamp + Send + Sync>;
type Intake = intake::handler::Deps<Queue, Secrets>;
type Rules = rules::handler::Deps<rules::adapters::RulesTable, rules::adapters::StatusesTable, Queue, TimeFn>;
type Poster = poster::post::Deps<
    poster::adapters::StatusesTable,
    poster::adapters::CredentialsTable,
    Turns,
    poster::adapters::RulesTable,
    Secrets,
    TimeFn,
>;
type Sweeper = sweeper::handler::Deps<sweeper::adapters::DueIndex, Queue, TimeFn, Turns, fn(i64) -> i64>;

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

/// Waiting is a turn after which the time has passed: others go on meanwhile.
pub(crate) struct Turns(Arc<Sched>);

impl Turns {
    async fn wait(&self, duration: Duration) {
        let until = self.0.clock.millis() + i64::try_from(duration.as_millis()).unwrap();
        if self.0.turn(format!("waits {duration:?}"), false).await != Fault::None {
            return self.0.crash().await;
        }
        self.0.clock.advance_to(until);
        self.0.done();
    }
}

impl poster::ports::Sleep for Turns {
    async fn sleep(&self, duration: Duration) {
        self.wait(duration).await;
    }
}

impl sweeper::ports::Sleep for Turns {
    async fn sleep(&self, duration: Duration) {
        self.wait(duration).await;
    }
}

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
    clusters: BTreeSet<String>,
    rule: SimRule,
    /// How long a sweep stays: it makes many calls, so it does in every fourth history.
    stay: SignedDuration,
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
        let host = Arc::new(Host::new(history, &sched, &table, &watch, &statuses));
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
            clusters: history.events.iter().map(|event| event.cluster.clone()).collect(),
            rule: history.rule,
            stay: if seed % 4 == 1 {
                sweeper::handler::STAY
            } else {
                SignedDuration::ZERO
            },
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
        for cluster in &world.clusters {
            world.store.add_cluster(cluster).await.unwrap();
        }
        world.apply(None).await;
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
            events: rules::last_event::LastEvents::default(),
            hints: self.posts.clone(),
            clock: self.time(),
        })
    }

    pub(crate) fn poster(&self) -> Arc<Poster> {
        let client = || self.client.clone();
        free(&self.posters, || poster::post::Deps {
            statuses: poster::adapters::StatusesTable::new(client(), self.statuses.clone()),
            pacer: poster::pacer::Pacer::new(
                poster::adapters::CredentialsTable::new(client(), self.statuses.clone()),
                Turns(Arc::clone(&self.sched)),
            ),
            targets: poster::target::Targets::new(poster::adapters::RulesTable::new(
                client(),
                self.rules_table.clone(),
            )),
            credentials: poster::credentials::Credentials::new(self.secrets.clone(), hosts()),
            hosts: hosts(),
            app_tokens: poster::app_tokens::AppTokens::default(),
            clock: self.time(),
        })
    }

    pub(crate) fn sweeper(&self) -> Arc<Sweeper> {
        free(&self.sweepers, || sweeper::handler::Deps {
            due: sweeper::adapters::DueIndex::new(self.client.clone(), self.statuses.clone()),
            hints: self.posts.clone(),
            clock: self.time(),
            sleep: Turns(Arc::clone(&self.sched)),
            stay: self.stay,
            jitter: NO_JITTER,
        })
    }

    /// Applies a Provider and a rule for every Kustomization, or does to the rule what somebody does for a while.
    pub(crate) async fn apply(&self, meddling: Option<Meddling>) {
        let rule = ObjectId {
            kind: object::Kind::CommitStatus,
            name: ObjectName::new("apps", "all"),
        };
        let scope = Scope::parse("*");
        if meddling == Some(Meddling::Deleted) {
            self.store.delete(&scope, &[rule]).await.unwrap();
            return;
        }
        let kind = self.host.kind;
        let path = match kind {
            HostKind::GitHub | HostKind::GitLab | HostKind::Bitbucket | HostKind::Gitea => "acme",
            HostKind::BitbucketServer => "scm/acme",
            HostKind::AzureDevOps => "acme/web/_git",
        };
        let SimRule {
            errors_only,
            progress,
            closes,
        } = self.rule;
        let yaml = format!(
            "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\n\
             metadata: {{name: git, namespace: apps}}\n\
             spec: {{type: {kind}, address: \"{}/{path}/{}\", secretRef: {{name: token}}}}\n---\n\
             apiVersion: notification.toolkit.fluxcd.io/v1beta1\nkind: CommitStatus\n\
             metadata: {{name: all, namespace: apps}}\n\
             spec: {{providerRef: {{name: git}}, eventSources: [{{kind: Kustomization, name: '*'}}], \
             eventSeverity: {}, reportProgress: {progress}, onSuperseded: {}, suspend: {}}}\n",
            Server::get().address,
            self.repository,
            if errors_only { "error" } else { "info" },
            if closes { "close" } else { "leave" },
            meddling == Some(Meddling::Suspended),
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
            .apply(&scope, &objects, self.sched.clock.now())
            .await
            .unwrap();
    }

    /// Every key that ever was, as a cluster has it.
    pub(crate) fn cluster_keys(&self) -> Vec<String> {
        let newest = *self.secrets.root.lock().unwrap();
        let of = |root: u32| {
            self.clusters
                .iter()
                .map(move |cluster| cluster_key(root, cluster))
        };
        (0..=newest).flat_map(of).collect()
    }

    /// A Function URL event, signed with the key that the cluster has of that root key.
    pub(crate) fn request(&self, cluster: &str, root: u32, body: &str) -> lambda_http::Request {
        let key = cluster_key(root, cluster);
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
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
        let items = self.scan(&self.statuses).into_iter();
        items.filter(|item| item["rev"].is_object()).collect()
    }

    /// All that is in the tables.
    pub(crate) fn everything(&self) -> String {
        let [rules, statuses] = [&self.rules_table, &self.statuses].map(|table| json!(self.scan(table)));
        format!("{rules}{statuses}")
    }

    fn scan(&self, table: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut request = json!({ "TableName": table, "ConsistentRead": true });
        loop {
            let (status, answer) = self.table.serve("Scan", &request.to_string());
            assert_eq!(status, 200, "{answer}");
            let mut answer: Value = serde_json::from_str(&answer).unwrap();
            if let Some(page) = answer["Items"].as_array_mut() {
                items.append(page);
            }
            match answer.get_mut("LastEvaluatedKey") {
                Some(last) if last.is_object() => request["ExclusiveStartKey"] = last.take(),
                _ => return items,
            }
        }
    }
}

/// The key of a cluster, as text.
fn cluster_key(root: u32, cluster: &str) -> String {
    let root = RootKey::new(&root_key(root)).unwrap();
    derive_cluster_key(&root, cluster, 1).expose_secret().to_owned()
}

/// The client is dear to make, and bound to the runtime of its thread.
fn hosts() -> poster::host::Hosts {
    thread_local! {
        // The stand-ins of Git hosts are on this machine.
        static HOSTS: poster::host::Hosts = poster::host::Hosts::new("127.0.0.0/8".parse().unwrap()).unwrap();
    }
    HOSTS.with(Clone::clone)
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
