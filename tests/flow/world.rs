//! Everything the functions need, on this machine and under a clock that only the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::types::AttributeValue;
use cli::local_instance::dynamodb_client;
use cli::secrets::{FileSecrets, SecretStore, provider_secret_name, root_key_name};
use cli::store::{Store, create_tables, rules_table, statuses_table};
use cli::yaml::{Source, validate};
use hmac::{Hmac, KeyInit, Mac};
use intake::keys::{RootKey, derive_cluster_key};
use jiff::{SignedDuration, Timestamp};
use lambda_http::Body;
use local::fifo::{FifoQueue, Received, Settings};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::Sha256;
use shared::Scope;
use shared::item::{DUE_AT, PK, SK, StatusItem};
use shared::message::{QueueMessage, StatusKey};

use super::cost::Calls;
use super::host::Host;

/// When every test begins.
pub(crate) const START: i64 = 1_786_108_363; // 2026-08-07T13:12:43Z

pub(crate) const STACK: &str = "commitstatus";
pub(crate) const ROOT_KEY: &str = "0123456789abcdef0123456789abcdef-the-root-key";
pub(crate) const TOKEN: &str = "canary-token-of-the-git-host";

/// The clock of a world.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// A queue behind the functions' ports.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) fifo: Arc<FifoQueue>,
    clock: Clock,
}

impl Queue {
    fn new(clock: &Clock) -> Self {
        let settings = Settings {
            visibility: SignedDuration::from_secs(180),
            max_receives: 5,
        };
        Self {
            fifo: Arc::new(FifoQueue::new(settings)),
            clock: clock.clone(),
        }
    }

    fn take(&self, message: QueueMessage) {
        // What SQS would refuse.
        assert!(
            message.body.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{}",
            message.body
        );
        for id in [&message.group_id, &message.dedupe_id] {
            assert!(
                id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{id}"
            );
        }
        for secret in [TOKEN, ROOT_KEY] {
            assert!(!message.body.contains(secret), "a secret on a queue");
        }
        self.fifo.send(message, self.clock.now());
    }
}

impl intake::ports::EventQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), intake::ports::QueueUnavailable> {
        self.take(message);
        Ok(())
    }
}

impl rules::ports::HintQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), rules::ports::Unavailable> {
        self.take(message);
        Ok(())
    }
}

impl sweeper::ports::HintQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), sweeper::ports::Unavailable> {
        self.take(message);
        Ok(())
    }
}

type TimeFn = Box<dyn Fn() -> Timestamp + Send + Sync>;
type Intake = intake::handler::Deps<Queue, local::ports::Secrets>;
type Rules = rules::handler::Deps<rules::adapters::RulesTable, rules::adapters::StatusesTable, Queue, TimeFn>;
type Poster = poster::post::Deps<
    poster::adapters::StatusesTable,
    poster::adapters::CredentialsTable,
    poster::adapters::Timer,
    poster::adapters::RulesTable,
    local::ports::Secrets,
    TimeFn,
>;
type Sweeper = sweeper::handler::Deps<
    sweeper::adapters::DueIndex,
    Queue,
    TimeFn,
    sweeper::adapters::Timer,
    fn(i64) -> i64,
>;

/// The service and a Git host.
pub(crate) struct World {
    clock: Clock,
    pub(crate) store: Store,
    pub(crate) dynamodb_endpoint: String,
    pub(crate) calls: Calls,
    dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) secrets: FileSecrets,
    pub(crate) host: Arc<Host>,
    pub(crate) host_address: String,
    pub(crate) events: Queue,
    pub(crate) posts: Queue,
    intake: Intake,
    rules: Rules,
    pub(crate) poster: Poster,
    sweeper: Sweeper,
    root: RootKey,
    _data: tempfile::TempDir,
}

/// What intake answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl World {
    /// With no cluster, rule or Provider.
    pub(crate) async fn empty() -> Self {
        let clock = Clock(Arc::new(AtomicI64::new(START * 1000)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dynamodb_endpoint = format!("http://{}", listener.local_addr().unwrap());
        let calls = Calls::default();
        let dynamodb = dynamodb_client(&dynamodb_endpoint).config().to_builder();
        let dynamodb = aws_sdk_dynamodb::Client::from_conf(dynamodb.interceptor(calls.clone()).build());
        tokio::spawn(dynoxide::server::serve_on(
            listener,
            dynoxide::Database::memory().unwrap(),
        ));
        let (rules_name, statuses_name) = (rules_table(STACK), statuses_table(STACK));
        create_tables(&dynamodb, &rules_name, &statuses_name)
            .await
            .unwrap();

        let data = tempfile::tempdir().unwrap();
        let secrets = FileSecrets::new(data.path());
        let root_secret = ROOT_KEY.into();
        secrets.put(&root_key_name(STACK), &root_secret).await.unwrap();
        let ports = local::ports::Secrets::new(secrets.clone(), STACK);

        let (host, host_address) = Host::start().await;
        let (events, posts) = (Queue::new(&clock), Queue::new(&clock));
        let time = || -> TimeFn {
            let clock = clock.clone();
            Box::new(move || clock.now())
        };
        let no_jitter: fn(i64) -> i64 = |_| 0;
        Self {
            store: Store::new(dynamodb.clone(), STACK),
            dynamodb_endpoint,
            calls,
            dynamodb: dynamodb.clone(),
            intake: intake::handler::Deps {
                queue: events.clone(),
                keys: intake::root_key_cache::RootKeyCache::new(ports.clone()),
                limits: intake::event::Limits::default(),
            },
            rules: rules::handler::Deps {
                lookup: rules::lookup::Lookup::new(rules::adapters::RulesTable::new(
                    dynamodb.clone(),
                    rules_name.clone(),
                )),
                statuses: rules::adapters::StatusesTable::new(dynamodb.clone(), statuses_name.clone()),
                events: rules::last_event::LastEvents::default(),
                hints: posts.clone(),
                clock: time(),
            },
            poster: poster::post::Deps {
                statuses: poster::adapters::StatusesTable::new(dynamodb.clone(), statuses_name.clone()),
                pacer: poster::pacer::Pacer::new(
                    poster::adapters::CredentialsTable::new(dynamodb.clone(), statuses_name.clone()),
                    poster::adapters::Timer,
                ),
                targets: poster::target::Targets::new(poster::adapters::RulesTable::new(
                    dynamodb.clone(),
                    rules_name,
                )),
                credentials: poster::credentials::Credentials::new(ports, hosts("127.0.0.0/8")),
                hosts: hosts("127.0.0.0/8"),
                app_tokens: poster::app_tokens::AppTokens::default(),
                clock: time(),
            },
            sweeper: sweeper::handler::Deps {
                due: sweeper::adapters::DueIndex::new(dynamodb, statuses_name),
                hints: posts.clone(),
                clock: time(),
                // The clock stands still within a sweep.
                sleep: sweeper::adapters::Timer,
                stay: SignedDuration::ZERO,
                jitter: no_jitter,
            },
            clock,
            secrets,
            host,
            host_address,
            events,
            posts,
            root: RootKey::new(&root_secret).unwrap(),
            _data: data,
        }
    }

    /// With clusters `dev` and `prod`, a GitHub Provider for both, and a rule for every Kustomization in `apps`.
    pub(crate) async fn new() -> Self {
        let world = Self::empty().await;
        for cluster in ["dev", "prod"] {
            world.store.add_cluster(cluster).await.unwrap();
        }
        world.secret("_all", &json!({ "token": TOKEN })).await;
        world.apply("*", &world.provider_yaml()).await;
        world.apply("*", &rule_yaml("podinfo", "")).await;
        world
    }

    pub(crate) fn provider_yaml(&self) -> String {
        format!(
            "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\n\
             metadata: {{name: github, namespace: apps}}\n\
             spec: {{type: github, address: \"{}/acme/fleet\", secretRef: {{name: token}}}}\n",
            self.host_address
        )
    }

    pub(crate) async fn secret(&self, scope: &str, value: &Value) {
        let scope = Scope::parse(if scope == "_all" { "*" } else { scope });
        let name = provider_secret_name(STACK, &scope, "apps", "token");
        self.secrets.put(&name, &value.to_string().into()).await.unwrap();
    }

    /// Applies YAML for a cluster, or for all with `*`.
    pub(crate) async fn apply(&self, scope: &str, yaml: &str) {
        let validated = validate(
            &[Source {
                name: "test.yaml".into(),
                text: yaml.into(),
            }],
            None,
        )
        .unwrap();
        let objects: Vec<_> = validated
            .documents
            .into_iter()
            .map(|document| document.object)
            .collect();
        self.store
            .apply(&Scope::parse(scope), &objects, self.clock.now())
            .await
            .unwrap();
    }

    pub(crate) async fn delete_rule(&self, scope: &str, name: &str) {
        let yaml = rule_yaml(name, "");
        let sources = [Source {
            name: "test.yaml".into(),
            text: yaml,
        }];
        let ids = cli::yaml::identify(&sources, None).unwrap();
        let deleted = self.store.delete(&Scope::parse(scope), &ids).await.unwrap();
        assert_eq!(deleted.deleted.len(), 1);
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock, for somebody else who needs one.
    pub(crate) fn clock(&self) -> impl Fn() -> Timestamp + Send + Sync + 'static {
        let clock = self.clock.clone();
        move || clock.now()
    }

    /// The header `X-Signature` a cluster sends with a body.
    pub(crate) fn signature(&self, cluster: &str, body: &str) -> String {
        let key = derive_cluster_key(&self.root, cluster, 1);
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).unwrap();
        mac.update(body.as_bytes());
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    /// Sends an event through the function URL, signed with the cluster's key.
    pub(crate) async fn send(&self, cluster: &str, body: &str) -> Answer {
        let signature = self.signature(cluster, body);
        self.request(&function_url_event(
            &format!("/events/{cluster}"),
            body,
            &signature,
        ))
        .await
    }

    /// Hands intake a Function URL event as Lambda would.
    pub(crate) async fn request(&self, event: &Value) -> Answer {
        let request = lambda_http::request::from_str(&event.to_string()).unwrap();
        let response = intake::handler::handle(&self.intake, request, self.clock.now()).await;
        let status = response.status().as_u16();
        let body = match response.into_body() {
            Body::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        };
        Answer { status, body }
    }

    /// Sends an event that must be taken, and lets the functions work until both queues are empty. Time passes up to
    /// the event.
    pub(crate) async fn event(&self, cluster: &str, event: super::events::WireEvent) {
        self.clock
            .0
            .fetch_max(event.timestamp().as_millisecond(), Ordering::SeqCst);
        let answer = self.send(cluster, &event.body()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        self.settle().await;
    }

    /// Lets `rules` and `poster` work until both queues are empty.
    pub(crate) async fn settle(&self) {
        loop {
            let events = self.events.fifo.receive(self.clock.now());
            let posts = self.posts.fifo.receive(self.clock.now());
            if events.is_empty() && posts.is_empty() {
                break;
            }
            self.run_rules(events).await;
            self.run_poster(posts).await;
        }
        assert!(
            self.events.fifo.is_empty() && self.posts.fifo.is_empty(),
            "a message was not handled"
        );
    }

    async fn run_rules(&self, batch: Vec<Received>) {
        let ids = ids(&batch);
        let deadline = self.clock.now() + SignedDuration::from_secs(30);
        let response = rules::handler::handle(&self.rules, sqs_event(&batch, "events"), deadline).await;
        self.events.fifo.delete(&handled(ids, &json!(response)));
    }

    async fn run_poster(&self, batch: Vec<Received>) {
        let ids = ids(&batch);
        let deadline = self.clock.now() + SignedDuration::from_secs(180);
        let response = poster::handler::handle(&self.poster, sqs_event(&batch, "posts"), deadline).await;
        self.posts.fifo.delete(&handled(ids, &json!(response)));
    }

    /// One minute later: the sweeper runs, and then the poster.
    pub(crate) async fn minute(&self) {
        self.advance(60);
        sweeper::handler::handle(&self.sweeper).await.unwrap();
        self.settle().await;
    }

    pub(crate) async fn minutes(&self, count: usize) {
        for _ in 0..count {
            self.minute().await;
        }
    }

    /// The statuses of a commit, by context.
    pub(crate) async fn statuses(&self, sha: &str) -> Vec<StatusItem> {
        let mut statuses = self.store.statuses(sha).await.unwrap();
        statuses.sort_by(|a, b| a.context.cmp(&b.context));
        for status in &statuses {
            let json = format!("{status:?}");
            assert!(
                !json.contains(TOKEN) && !json.contains(ROOT_KEY),
                "a secret in a table"
            );
        }
        statuses
    }

    /// The one status of a commit.
    pub(crate) async fn status(&self, sha: &str) -> StatusItem {
        let mut statuses = self.statuses(sha).await;
        assert_eq!(statuses.len(), 1, "{statuses:#?}");
        statuses.remove(0)
    }
}

/// The way to Git hosts at public addresses and at these.
pub(crate) fn hosts(allowed_private_ranges: &str) -> poster::host::Hosts {
    poster::host::Hosts::new(allowed_private_ranges.parse().unwrap()).unwrap()
}

/// A rule for every Kustomization in `apps`; `spec` is more of its spec, in flow style with a comma before it.
pub(crate) fn rule_yaml(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: notification.toolkit.fluxcd.io/v1beta1\nkind: CommitStatus\n\
         metadata: {{name: {name}, namespace: apps}}\n\
         spec: {{providerRef: {{name: github}}, eventSources: [{{kind: Kustomization, name: '*'}}]{spec}}}\n"
    )
}

/// A Function URL event, payload 2.0:
/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>.
pub(crate) fn function_url_event(path: &str, body: &str, signature: &str) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "gotk-component": "kustomize-controller",
            "host": "abc.lambda-url.eu-west-1.on.aws",
            "user-agent": "Go-http-client/2.0",
            "x-signature": signature,
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": "abc.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "abc",
            "http": {
                "method": "POST",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "198.51.100.7",
                "userAgent": "Go-http-client/2.0",
            },
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "routeKey": "$default",
            "stage": "$default",
            "time": "07/Aug/2026:13:12:43 +0000",
            "timeEpoch": START * 1000,
        },
        "body": body,
        "isBase64Encoded": false,
    })
}

/// A batch as Lambda delivers it: <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-fifo-message-event>.
pub(crate) fn sqs_json(batch: &[Received], queue: &str) -> Value {
    let records: Vec<Value> = batch
        .iter()
        .map(|received| {
            json!({
                "messageId": received.id,
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": received.body,
                "attributes": {
                    "ApproximateReceiveCount": received.receives.to_string(),
                    "SentTimestamp": (START * 1000).to_string(),
                    "SequenceNumber": "18849496460467696128",
                    "MessageGroupId": received.group_id,
                    "SenderId": "AIDAIO23YVJENQZJOL4VO",
                    "MessageDeduplicationId": "1",
                    "ApproximateFirstReceiveTimestamp": (START * 1000).to_string(),
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:eu-west-1:123456789012:{queue}.fifo"),
                "awsRegion": "eu-west-1",
            })
        })
        .collect();
    json!({ "Records": records })
}

fn sqs_event(batch: &[Received], queue: &str) -> SqsEvent {
    serde_json::from_value(sqs_json(batch, queue)).unwrap()
}

fn ids(batch: &[Received]) -> Vec<String> {
    batch.iter().map(|received| received.id.clone()).collect()
}

/// What Lambda deletes after the function answered.
pub(crate) fn handled(mut ids: Vec<String>, response: &Value) -> Vec<String> {
    let failed: Vec<&str> = response["batchItemFailures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["itemIdentifier"].as_str().unwrap())
        .collect();
    ids.retain(|id| !failed.contains(&id.as_str()));
    ids
}

impl World {
    /// Lets `rules` work and throws its hints away.
    pub(crate) async fn settle_rules_and_lose_hints(&self) {
        self.run_rules(self.events.fifo.receive(self.clock.now())).await;
        let lost = self.posts.fifo.receive(self.clock.now());
        assert!(!lost.is_empty());
        self.posts.fifo.delete(&ids(&lost));
    }

    /// Moves the due date of a status to the start of time.
    pub(crate) async fn make_due(&self, key: &StatusKey) {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        self.dynamodb
            .update_item()
            .table_name(statuses_table(STACK))
            .key(PK, text(&key.pk))
            .key(SK, text(&key.sk))
            .update_expression("SET #due_at = :then")
            .expression_attribute_names("#due_at", DUE_AT)
            .expression_attribute_values(":then", AttributeValue::N("0".into()))
            .send()
            .await
            .unwrap();
    }
}
