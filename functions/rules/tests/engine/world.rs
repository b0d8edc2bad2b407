//! An engine of its own for each test, a client that is watched, and what the tests put in and take out.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::AttributeValue;
use cli::local_instance::dynamodb_client;
use cli::store::{create_tables, rules_table, statuses_table};
use dynoxide::Database;
use rules::adapters::StatusesTable;
use rules::decide::Incoming;
use rules::ports::{StatusStore, Unavailable, Written};
use serde::Serialize;
use serde_json::{Value, json};
use shared::item::{Desired, Posted, StatusItem, due_shard, status_pk};
use shared::message::StatusKey;
use shared::{OrderKey, State};

const STACK: &str = "commitstatus";
const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

/// Milliseconds; when every event of these tests arrives.
pub(crate) const NOW: i64 = 1_786_108_382_000;
/// 90 days later, in seconds.
pub(crate) const EXPIRES: i64 = NOW / 1000 + 7_776_000;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// What was asked of DynamoDB: `UpdateItem` and its like, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) operation: String,
    pub(crate) body: Value,
}

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Clone, Default)]
struct Watch {
    requests: Arc<Mutex<Vec<Request>>>,
    hooks: Arc<Mutex<VecDeque<Option<Hook>>>>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = serde_json::from_slice(request.body().bytes().unwrap_or_default())?;
        self.requests.lock().unwrap().push(Request { operation, body });
        let hook = self.hooks.lock().unwrap().pop_front().flatten();
        if let Some(hook) = hook {
            hook();
        }
        Ok(())
    }
}

pub(crate) struct World {
    /// Watched.
    pub(crate) client: Client,
    pub(crate) rules: String,
    pub(crate) statuses: String,
    /// Not watched.
    aside: Client,
    database: Database,
    watch: Watch,
}

impl World {
    pub(crate) async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let aside = dynamodb_client(&format!("http://{}", listener.local_addr().unwrap()));
        let database = Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_on(listener, database.clone()));
        let (rules, statuses) = (rules_table(STACK), statuses_table(STACK));
        create_tables(&aside, &rules, &statuses).await.unwrap();
        let watch = Watch::default();
        let config = aside.config().to_builder().interceptor(watch.clone()).build();
        Self {
            client: Client::from_conf(config),
            rules,
            statuses,
            aside,
            database,
            watch,
        }
    }

    /// Requests since the last time this was asked.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.watch.requests.lock().unwrap())
    }

    pub(crate) fn operations(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .map(|request| request.operation)
            .collect()
    }

    /// Lets somebody else act right before our request of that number, from 0, reaches the table.
    pub(crate) fn before(&self, request: usize, act: impl FnOnce(&Database) + Send + 'static) {
        let database = self.database.clone();
        let mut hooks = self.watch.hooks.lock().unwrap();
        assert!(hooks.is_empty(), "fewer requests were made than expected");
        hooks.extend((0..request).map(|_| None));
        hooks.push_back(Some(Box::new(move || act(&database))));
    }

    /// Updates a status as somebody else would.
    pub(crate) fn updating(
        &self,
        key: &StatusKey,
        update: &str,
        values: Value,
    ) -> impl FnOnce(&Database) + Send + use<> {
        let request = json!({
            "TableName": self.statuses,
            "Key": {"pk": {"S": key.pk}, "sk": {"S": key.sk}},
            "UpdateExpression": update,
            "ExpressionAttributeValues": values,
        });
        move |database| {
            database
                .update_item(serde_json::from_value(request).unwrap())
                .unwrap();
        }
    }

    /// Writes a status as somebody else would.
    pub(crate) fn putting(&self, item: &StatusItem) -> impl FnOnce(&Database) + Send + use<> {
        let item: Item = serde_dynamo::to_item(item).unwrap();
        let item: serde_json::Map<_, _> = item
            .iter()
            .map(|(name, value)| (name.clone(), wire(value)))
            .collect();
        let request = json!({"TableName": self.statuses, "Item": item});
        move |database| {
            database
                .put_item(serde_json::from_value(request).unwrap())
                .unwrap();
        }
    }

    /// Deletes a status as DynamoDB does when it has expired.
    pub(crate) fn expiring(&self, key: &StatusKey) -> impl FnOnce(&Database) + Send + use<> {
        let request = json!({"TableName": self.statuses, "Key": {"pk": {"S": key.pk}, "sk": {"S": key.sk}}});
        move |database| {
            database
                .delete_item(serde_json::from_value(request).unwrap())
                .unwrap();
        }
    }

    /// What the poster does when the host took what is desired.
    pub(crate) async fn post(&self, key: &StatusKey) {
        let desired = self.item(key).await.unwrap().desired;
        let (update, values) = record_of(&desired);
        self.updating(key, update, values)(&self.database);
    }

    pub(crate) async fn put(&self, table: &str, item: impl Serialize) {
        let item: Item = serde_dynamo::to_item(item).unwrap();
        self.put_raw(table, item).await;
    }

    pub(crate) async fn put_raw(&self, table: &str, item: Item) {
        self.aside
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }

    pub(crate) async fn raw(&self, key: &StatusKey) -> Option<Item> {
        self.aside
            .get_item()
            .table_name(&self.statuses)
            .key("pk", AttributeValue::S(key.pk.clone()))
            .key("sk", AttributeValue::S(key.sk.clone()))
            .consistent_read(true)
            .send()
            .await
            .unwrap()
            .item
    }

    pub(crate) async fn item(&self, key: &StatusKey) -> Option<StatusItem> {
        self.raw(key)
            .await
            .map(|item| serde_dynamo::from_item(item).unwrap())
    }

    /// Keys an index holds under a value of its partition key.
    pub(crate) async fn indexed(&self, index: &str, attribute: &str, value: &str) -> Vec<StatusKey> {
        let answer = self
            .aside
            .query()
            .table_name(&self.statuses)
            .index_name(index)
            .key_condition_expression("#partition = :value")
            .expression_attribute_names("#partition", attribute)
            .expression_attribute_values(":value", AttributeValue::S(value.to_owned()))
            .send()
            .await
            .unwrap();
        answer
            .items()
            .iter()
            .map(|item| serde_dynamo::from_item(item.clone()).unwrap())
            .collect()
    }
}

/// A value as it goes over the wire.
fn wire(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(value) => json!({ "BOOL": value }),
        AttributeValue::M(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), wire(value)));
            json!({"M": fields.collect::<serde_json::Map<_, _>>()})
        }
        other => panic!("{other:?}"),
    }
}

/// The update by which the poster records that the host took `desired`.
pub(crate) fn record_of(desired: &Desired) -> (&'static str, Value) {
    let values = json!({":posted": {"M": {
        "state": {"S": desired.state.as_str()}, "reason": {"S": desired.reason}, "rev": {"N": "1"}, "at": {"N": "0"},
    }}});
    (
        "SET posted = :posted REMOVE due, due_at, unsure, claim_until",
        values,
    )
}

pub(crate) fn key(repository: &str) -> StatusKey {
    StatusKey {
        pk: status_pk(repository, &SHA.parse().unwrap()),
        sk: "dev/apps/kustomization/podinfo".into(),
    }
}

/// An event of that second.
pub(crate) fn event(second: u32, state: State, reason: &str) -> Incoming {
    let timestamp = format!("2026-08-07T13:13:{second:02}Z").parse().unwrap();
    let event_id =
        shared::message::hex_sha256(&[&second.to_string(), state.as_str(), reason])[..32].to_owned();
    Incoming {
        order_key: OrderKey::new(state.into(), timestamp, "183230", state, &event_id),
        event_id,
        desired: Desired {
            state,
            reason: reason.into(),
            description: reason.to_lowercase(),
            target_url: None,
            only_clears: false,
            received_at: None,
        },
    }
}

pub(crate) fn success(second: u32) -> Incoming {
    event(second, State::Success, "ReconciliationSucceeded")
}

pub(crate) fn failure(second: u32) -> Incoming {
    event(second, State::Failure, "HealthCheckFailed")
}

pub(crate) fn pending(second: u32) -> Incoming {
    event(second, State::Pending, "Progressing")
}

/// The same under a rule that takes failures only.
pub(crate) fn quiet(mut incoming: Incoming) -> Incoming {
    incoming.desired.only_clears = incoming.desired.state == State::Success;
    incoming
}

/// The item as an event would create it.
pub(crate) fn draft(key: &StatusKey, incoming: &Incoming) -> StatusItem {
    StatusItem {
        key: key.clone(),
        commit7: SHA[..7].into(),
        context: key.sk.clone(),
        summary: None,
        failed_expression: None,
        desired: incoming.desired.clone(),
        posted: None,
        order_key: incoming.order_key.clone(),
        event_id: incoming.event_id.clone(),
        rev: 1,
        unsure: false,
        claims: 0,
        claim_until: None,
        due: Some(due_shard(key)),
        due_at: None,
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
        credential: "_all/apps/github-token".into(),
        cluster: "dev".into(),
        object: "Kustomization/apps/podinfo".into(),
        rival: None,
        expires_at: None,
    }
}

/// `incoming` was posted and nothing is due.
pub(crate) fn posted(key: &StatusKey, incoming: &Incoming) -> StatusItem {
    StatusItem {
        posted: Some(Posted {
            state: incoming.desired.state,
            reason: incoming.desired.reason.clone(),
            rev: 1,
            at: 0,
        }),
        due: None,
        posts: 1,
        expires_at: Some(1),
        ..draft(key, incoming)
    }
}

/// What the handler does where nothing is superseded.
pub(crate) trait Apply {
    /// Applies an event to a status, known or not.
    fn apply(
        &self,
        draft: &StatusItem,
        incoming: &Incoming,
        now: i64,
    ) -> impl Future<Output = Result<Written, Unavailable>> + Send;
}

impl Apply for StatusesTable {
    async fn apply(&self, draft: &StatusItem, incoming: &Incoming, now: i64) -> Result<Written, Unavailable> {
        match self.apply_known(draft, incoming, now).await? {
            Some(written) => Ok(written),
            None => self.create(draft, incoming, now).await,
        }
    }
}
