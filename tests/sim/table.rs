//! DynamoDB below the real SDK client: the engine in this process, without a socket, so that nothing but the seed
//! decides when a request is served. Every request has its turn and may fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::{Client, Config};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use dynoxide::Database;
use serde_json::{Value, json};

use super::sched::{Fault, Function, Sched};
use super::watch::Watch;

/// The engine, and who watches what passes.
#[derive(Clone)]
pub(crate) struct Table {
    database: Database,
    writes: Arc<AtomicU64>,
    sched: Arc<Sched>,
    watch: Arc<Mutex<Watch>>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

impl Table {
    pub(crate) fn new(sched: &Arc<Sched>, watch: &Arc<Mutex<Watch>>) -> Self {
        Self {
            database: Database::memory().unwrap(),
            writes: Arc::default(),
            sched: Arc::clone(sched),
            watch: Arc::clone(watch),
        }
    }

    pub(crate) fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .allow_no_auth()
            .endpoint_url("http://dynamodb.invalid")
            // A repeated request is a fault of its own.
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Client::from_conf(config)
    }

    /// How many requests wrote something, or tried to.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Serves a request at once.
    pub(crate) fn serve(&self, operation: &str, body: &str) -> (u16, String) {
        let database = &self.database;
        macro_rules! serve {
            ($method:ident) => {
                serde_json::from_str(body)
                    .map_err(|error| (400, json!({ "__type": error.to_string() }).to_string()))
                    .and_then(|request| {
                        database
                            .$method(request)
                            .map(|answer| serde_json::to_string(&answer).unwrap())
                            .map_err(|error| (error.status_code(), error.to_json()))
                    })
            };
        }
        if !matches!(operation, "GetItem" | "Query" | "Scan") {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        let served = match operation {
            "CreateTable" => serve!(create_table),
            "DescribeTable" => serve!(describe_table),
            "UpdateTimeToLive" => serve!(update_time_to_live),
            "PutItem" => serve!(put_item),
            "GetItem" => serve!(get_item),
            "UpdateItem" => serve!(update_item),
            "Query" => serve!(query),
            "Scan" => serve!(scan),
            "TransactWriteItems" => serve!(transact_write_items),
            other => panic!("{other} is not served"),
        };
        match served {
            Ok(answer) => (200, answer),
            Err(refused) => refused,
        }
    }

    fn perform(&self, operation: &str, body: &str) -> (u16, String) {
        let (status, answer) = self.serve(operation, body);
        if status == 200
            && let Some(current) = self.sched.current()
            && current.function == Function::Poster
            && operation == "UpdateItem"
        {
            let request: Value = serde_json::from_str(body).unwrap();
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let now = self.sched.clock.millis();
            self.watch
                .lock()
                .unwrap()
                .wrote(current.invocation, &request, &answer, now);
        }
        (status, answer)
    }
}

impl HttpConnector for Table {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request
            .headers()
            .get("x-amz-target")
            .and_then(|target| target.rsplit('.').next())
            .unwrap_or_default()
            .to_owned();
        let body = request.body().bytes().unwrap_or_default();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let table = self.clone();
        HttpConnectorFuture::new(async move {
            let sched = Arc::clone(&table.sched);
            let fault = sched.turn(label(&operation, &body), true).await;
            let (status, answer) = match fault {
                Fault::None => table.perform(&operation, &body),
                Fault::Twice => {
                    table.perform(&operation, &body);
                    table.perform(&operation, &body)
                }
                Fault::ErrorBefore => (
                    400,
                    json!({ "__type": "ProvisionedThroughputExceededException" }).to_string(),
                ),
                Fault::ErrorAfter => {
                    table.perform(&operation, &body);
                    sched.done();
                    return Err(ConnectorError::timeout("the answer was lost".into()));
                }
                Fault::CrashBefore => sched.crash().await,
                Fault::CrashAfter => {
                    table.perform(&operation, &body);
                    sched.crash().await
                }
            };
            sched.done();
            let mut response = HttpResponse::new(status.try_into().unwrap(), answer.into());
            response
                .headers_mut()
                .insert("content-type", "application/x-amz-json-1.0");
            Ok(response)
        })
    }
}

/// For the story.
fn label(operation: &str, body: &str) -> String {
    let request: Value = serde_json::from_str(body).unwrap_or_default();
    let of = |name: &str| request["Key"][name]["S"].as_str().unwrap_or_default().to_owned();
    let update = request["UpdateExpression"].as_str().unwrap_or_default();
    format!("{operation} {} {} {update:.60}", of("pk"), of("sk"))
}
