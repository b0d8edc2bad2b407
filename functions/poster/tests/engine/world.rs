//! An engine and a Git host of its own for each test, and a clock that only the test moves.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use cli::local_instance::dynamodb_client;
use cli::store::{create_tables, rules_table, statuses_table};
use dynoxide::Database;
use jiff::Timestamp;
use poster::adapters::{CredentialsTable, RulesTable, StatusesTable};
use poster::app_tokens::AppTokens;
use poster::credentials::Credentials;
use poster::host::Hosts;
use poster::pacer::Pacer;
use poster::ports::{CredentialStore, SecretStore, Sleep, Unavailable};
use poster::post::Deps;
use poster::target::Targets;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use shared::item::{
    CredentialItem, Desired, Posted, ProviderItem, RuleItem, StatusItem, credential_pk, due_shard,
    provider_pk, rule_pk, status_pk,
};
use shared::kinds::{Provider, Scope};
use shared::message::StatusKey;
use shared::{CommitStatusRule, OrderKey, State};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const STACK: &str = "commitstatus";
pub(crate) const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
pub(crate) const CREDENTIAL: &str = "_all/apps/token";

/// Milliseconds; when every test begins.
pub(crate) const NOW: i64 = 1_786_108_382_000;
/// 90 days after [`NOW`], in seconds.
pub(crate) const EXPIRES: i64 = NOW / 1000 + 7_776_000;

type Item = HashMap<String, AttributeValue>;

/// Secrets in memory.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    secrets: Arc<Mutex<HashMap<String, String>>>,
    pub(crate) reads: Arc<AtomicUsize>,
    pub(crate) are_away: Arc<AtomicBool>,
}

impl SecretStore for Secrets {
    async fn secret(&self, name: &str) -> Result<Option<SecretString>, Unavailable> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.are_away.load(Ordering::Relaxed) {
            return Err(Unavailable::to("read a Provider's secret")(
                "throttled".to_owned(),
            ));
        }
        Ok(self
            .secrets
            .lock()
            .unwrap()
            .get(name)
            .cloned()
            .map(SecretString::from))
    }
}

impl Secrets {
    pub(crate) fn set(&self, token: &str) {
        self.set_of(CREDENTIAL, token);
    }

    fn set_of(&self, credential: &str, token: &str) {
        let secret = json!({ "token": token }).to_string();
        self.secrets.lock().unwrap().insert(credential.into(), secret);
    }

    /// A whole secret, as JSON.
    pub(crate) fn set_whole(&self, name: &str, secret: &serde_json::Value) {
        self.secrets
            .lock()
            .unwrap()
            .insert(name.into(), secret.to_string());
    }

    pub(crate) fn remove(&self) {
        self.secrets.lock().unwrap().clear();
    }
}

type Act = Box<dyn FnOnce() + Send>;

/// What the Git host answers next, and what happens meanwhile; it takes everything if nothing is said.
#[derive(Clone, Default)]
struct Host {
    answers: Arc<Mutex<VecDeque<ResponseTemplate>>>,
    acts: Arc<Mutex<VecDeque<Act>>>,
    refused_token: Arc<Mutex<Option<String>>>,
}

impl Respond for Host {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let act = self.acts.lock().unwrap().pop_front();
        if let Some(act) = act {
            act();
        }
        let refused = self.refused_token.lock().unwrap().clone();
        if refused.is_some_and(|token| authorization(request).ends_with(&token)) {
            return ResponseTemplate::new(401).set_body_json(json!({"message": "Bad credentials"}));
        }
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| ResponseTemplate::new(201).set_body_json(json!({})))
    }
}

fn authorization(request: &Request) -> &str {
    request.headers["authorization"].to_str().unwrap()
}

/// Whoever sleeps finds the clock moved, and others have worked meanwhile.
#[derive(Clone)]
pub(crate) struct Sleeper(Arc<AtomicI64>);

impl Sleep for Sleeper {
    async fn sleep(&self, duration: Duration) {
        let until = self.0.load(Ordering::SeqCst) + i64::try_from(duration.as_millis()).unwrap();
        tokio::task::yield_now().await;
        self.0.fetch_max(until, Ordering::SeqCst);
    }
}

pub(crate) type TestDeps<P = CredentialsTable> =
    Deps<StatusesTable, P, Sleeper, RulesTable, Secrets, Box<dyn Fn() -> Timestamp + Send + Sync>>;

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) rules: String,
    pub(crate) statuses: String,
    pub(crate) secrets: Secrets,
    pub(crate) server: MockServer,
    database: Database,
    host: Host,
    now: Arc<AtomicI64>,
}

/// What is logged is always heard by somebody. A line that is first passed on another thread, while nobody listens and this
/// one begins to, could be taken for one that never matters.
fn hear_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_writer(io::sink).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

impl World {
    /// With a rule and a Provider for all clusters, and a secret.
    pub(crate) async fn new() -> Self {
        hear_everything();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = dynamodb_client(&format!("http://{}", listener.local_addr().unwrap()));
        let database = Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_on(listener, database.clone()));
        let (rules, statuses) = (rules_table(STACK), statuses_table(STACK));
        create_tables(&client, &rules, &statuses).await.unwrap();
        let (server, host) = (MockServer::start().await, Host::default());
        Mock::given(any()).respond_with(host.clone()).mount(&server).await;
        let world = Self {
            client,
            rules,
            statuses,
            secrets: Secrets::default(),
            server,
            database,
            host,
            now: Arc::new(AtomicI64::new(NOW)),
        };
        world.secrets.set("token-one");
        world.put_rule(|_| {}).await;
        world.put_provider(|_| {}).await;
        world
    }

    /// A poster that has cached nothing yet.
    pub(crate) fn deps(&self) -> TestDeps {
        self.deps_on(&self.statuses, &self.rules)
    }

    pub(crate) fn deps_on(&self, statuses: &str, rules: &str) -> TestDeps {
        let pacer = CredentialsTable::new(self.client.clone(), statuses.into());
        self.deps_with(pacer, statuses, rules)
    }

    pub(crate) fn deps_with<P: CredentialStore>(&self, pacer: P, statuses: &str, rules: &str) -> TestDeps<P> {
        let hosts = Hosts::new("127.0.0.0/8".parse().unwrap()).unwrap();
        let client = || self.client.clone();
        let now = Arc::clone(&self.now);
        Deps {
            statuses: StatusesTable::new(client(), statuses.into()),
            pacer: Pacer::new(pacer, Sleeper(Arc::clone(&self.now))),
            targets: Targets::new(RulesTable::new(client(), rules.into())),
            credentials: Credentials::new(self.secrets.clone(), hosts.clone()),
            hosts,
            app_tokens: AppTokens::default(),
            clock: Box::new(move || Timestamp::from_millisecond(now.load(Ordering::SeqCst)).unwrap()),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    /// For something that takes its time: what moves the clock on.
    pub(crate) fn taking(&self, millis: i64) -> impl FnOnce() + Send + use<> {
        let now = Arc::clone(&self.now);
        move || {
            now.fetch_add(millis, Ordering::SeqCst);
        }
    }

    pub(crate) fn advance_to(&self, millis: i64) {
        self.now.store(millis, Ordering::SeqCst);
    }

    pub(crate) async fn put_rule(&self, change: impl FnOnce(&mut CommitStatusRule)) {
        let mut rule: CommitStatusRule = serde_json::from_value(json!({
            "metadata": {"name": "podinfo", "namespace": "apps"},
            "spec": {"providerRef": {"name": "github"}, "eventSources": [{"kind": "Kustomization", "name": "*"}]},
        }))
        .unwrap();
        change(&mut rule);
        let item = RuleItem {
            pk: rule_pk(&Scope::AllClusters),
            sk: format!("apps/{}", rule.metadata.name),
            rule,
            applied_at: String::new(),
        };
        self.put(&self.rules, item).await;
    }

    pub(crate) async fn put_provider(&self, change: impl FnOnce(&mut Provider)) {
        let mut provider: Provider = serde_json::from_value(json!({
            "metadata": {"name": "github", "namespace": "apps"},
            "spec": {
                "type": "github",
                "address": format!("{}/acme/fleet", self.server.uri()),
                "secretRef": {"name": "token"},
            },
        }))
        .unwrap();
        change(&mut provider);
        let item = ProviderItem {
            pk: provider_pk(&Scope::AllClusters),
            sk: format!("apps/{}", provider.metadata.name),
            provider,
            applied_at: String::new(),
        };
        self.put(&self.rules, item).await;
    }

    /// Another rule, with a Provider for the same path on the host at `authority`, and a secret `_all/apps/{name}`; a
    /// status under it.
    pub(crate) async fn due_elsewhere(&self, name: &str, authority: &str, context: &str) -> StatusItem {
        self.put_rule(|rule| {
            rule.metadata.name = name.into();
            rule.spec.provider_ref.name = name.into();
        })
        .await;
        self.put_provider(|provider| {
            provider.metadata.name = name.into();
            provider.spec.address = format!("http://{authority}/acme/fleet");
            provider.spec.secret_ref.name = name.into();
        })
        .await;
        self.secrets
            .set_of(&format!("_all/apps/{name}"), "token-elsewhere");
        let item = StatusItem {
            rule: format!("*/apps/{name}").try_into().unwrap(),
            provider: format!("apps/{name}").parse().unwrap(),
            credential: format!("_all/apps/{name}"),
            ..due(&key_at(authority, context), State::Success)
        };
        self.put_status(&item).await;
        item
    }

    pub(crate) async fn put(&self, table: &str, item: impl Serialize) {
        self.put_raw(table, serde_dynamo::to_item(item).unwrap()).await;
    }

    async fn put_raw(&self, table: &str, item: Item) {
        self.client
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }

    /// A stored item that nothing can read.
    pub(crate) async fn put_damaged(&self, table: &str, pk: &str, sk: &str) {
        let item = [
            ("pk", pk),
            ("sk", sk),
            ("due", "due#1"),
            ("rule", "damaged"),
            ("provider", "damaged"),
        ];
        let item = item.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
        self.put_raw(table, item.into()).await;
    }

    async fn get(&self, pk: &str, sk: &str) -> Option<Item> {
        self.client
            .get_item()
            .table_name(&self.statuses)
            .key("pk", AttributeValue::S(pk.to_owned()))
            .key("sk", AttributeValue::S(sk.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .unwrap()
            .item
    }

    pub(crate) async fn item(&self, key: &StatusKey) -> StatusItem {
        serde_dynamo::from_item(self.get(&key.pk, &key.sk).await.unwrap()).unwrap()
    }

    pub(crate) async fn exists(&self, key: &StatusKey) -> bool {
        self.get(&key.pk, &key.sk).await.is_some()
    }

    pub(crate) async fn delete(&self, key: &StatusKey) {
        self.client
            .delete_item()
            .table_name(&self.statuses)
            .key("pk", AttributeValue::S(key.pk.clone()))
            .key("sk", AttributeValue::S(key.sk.clone()))
            .send()
            .await
            .unwrap();
    }

    pub(crate) async fn credential(&self, credential: &str) -> Option<CredentialItem> {
        let item = self.get(&credential_pk(credential), "-").await?;
        Some(serde_dynamo::from_item(item).unwrap())
    }

    /// Keys the index over what is due or parked holds in a partition, with their dates.
    pub(crate) async fn indexed(&self, partition: &str) -> Vec<(StatusKey, i64)> {
        let answer = self
            .client
            .query()
            .table_name(&self.statuses)
            .index_name("due")
            .key_condition_expression("due = :partition")
            .expression_attribute_values(":partition", AttributeValue::S(partition.to_owned()))
            .send()
            .await
            .unwrap();
        let entry = |item: &Item| {
            let date = item["due_at"].as_n().unwrap().parse().unwrap();
            (serde_dynamo::from_item(item.clone()).unwrap(), date)
        };
        answer.items().iter().map(entry).collect()
    }

    /// The key of a status of the Provider's repository.
    pub(crate) fn key(&self, context: &str) -> StatusKey {
        key_at(&self.server.address().to_string(), context)
    }

    /// A status that never was posted and is due since now.
    pub(crate) fn due(&self, context: &str, state: State) -> StatusItem {
        due(&self.key(context), state)
    }

    pub(crate) async fn put_status(&self, item: &StatusItem) {
        self.put(&self.statuses, item).await;
    }

    /// What `rules` does when a status should say something else.
    pub(crate) fn changing(&self, key: &StatusKey, state: State) -> impl FnOnce() + Send + use<> {
        let (database, request) = (
            self.database.clone(),
            json!({
                "TableName": self.statuses,
                "Key": {"pk": {"S": key.pk}, "sk": {"S": key.sk}},
                "UpdateExpression": "SET desired = :desired, rev = rev + :one, due = :due, due_at = :due_at, \
                                     attempts = :zero, claims = :zero REMOVE parked, ended, expires_at, last_error",
                "ExpressionAttributeValues": {
                    ":desired": {"M": {
                        "state": {"S": state.as_str()},
                        "reason": {"S": reason(state)},
                        "description": {"S": "changed"},
                    }},
                    ":one": {"N": "1"},
                    ":zero": {"N": "0"},
                    ":due": {"S": due_shard(key)},
                    ":due_at": {"N": (self.now() + 60_000).to_string()},
                },
            }),
        );
        move || {
            database
                .update_item(serde_json::from_value(request).unwrap())
                .unwrap();
        }
    }

    pub(crate) fn host_answers(&self, answers: impl IntoIterator<Item = ResponseTemplate>) {
        self.host.answers.lock().unwrap().extend(answers);
    }

    /// Something that happens while the host has the next post.
    pub(crate) fn while_posting(&self, act: impl FnOnce() + Send + 'static) {
        self.host.acts.lock().unwrap().push_back(Box::new(act));
    }

    pub(crate) fn host_refuses(&self, token: Option<&str>) {
        *self.host.refused_token.lock().unwrap() = token.map(str::to_owned);
    }

    /// Context, state and credential of every post the host got.
    pub(crate) async fn posts(&self) -> Vec<(String, String, String)> {
        let requests = self.server.received_requests().await.unwrap();
        let post = |request: &Request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(
                request.url.path(),
                format!("/api/v3/repos/acme/fleet/statuses/{SHA}")
            );
            let text = |name: &str| body[name].as_str().unwrap().to_owned();
            let token = authorization(request).trim_start_matches("Bearer ").to_owned();
            (text("context"), text("state"), token)
        };
        requests.iter().map(post).collect()
    }

    /// States of every post the host got.
    pub(crate) async fn states(&self) -> Vec<String> {
        self.posts()
            .await
            .into_iter()
            .map(|(_, state, _)| state)
            .collect()
    }
}

fn key_at(authority: &str, context: &str) -> StatusKey {
    StatusKey {
        pk: status_pk(&format!("{authority}/acme/fleet"), &SHA.parse().unwrap()),
        sk: context.into(),
    }
}

pub(crate) fn reason(state: State) -> &'static str {
    match state {
        State::Pending => "Progressing",
        State::Success => "ReconciliationSucceeded",
        State::Superseded => "HealthCheckCanceled",
        State::Failure => "HealthCheckFailed",
    }
}

/// A status that never was posted and is due since [`NOW`].
pub(crate) fn due(key: &StatusKey, state: State) -> StatusItem {
    StatusItem {
        key: key.clone(),
        commit7: SHA[..7].into(),
        context: key.sk.clone(),
        summary: None,
        failed_expression: None,
        desired: Desired {
            state,
            reason: reason(state).into(),
            description: "in words".into(),
            target_url: None,
            only_clears: false,
            received_at: None,
        },
        posted: None,
        order_key: OrderKey::new(state.into(), Timestamp::UNIX_EPOCH, "1", state, "00"),
        event_id: "00".into(),
        rev: 1,
        unsure: false,
        claims: 0,
        claim_until: None,
        due: Some(due_shard(key)),
        due_at: Some(NOW),
        turn_at: None,
        parked: None,
        ended: None,
        attempts: 0,
        unknown_commits: 0,
        settled: 0,
        posts: 0,
        last_error: None,
        rule: "*/apps/podinfo".to_owned().try_into().unwrap(),
        provider: "apps/github".parse().unwrap(),
        credential: CREDENTIAL.into(),
        cluster: "dev".into(),
        object: "Kustomization/apps/podinfo".into(),
        rival: None,
        expires_at: None,
    }
}

pub(crate) fn posted(state: State, rev: u64) -> Option<Posted> {
    Some(Posted {
        state,
        reason: reason(state).into(),
        rev,
        at: NOW,
    })
}
