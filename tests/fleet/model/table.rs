//! DynamoDB below the real SDK client: the embedded engine in this process. Each call takes its time on the clock, and
//! its units are counted: as the engine reports them, which is what DynamoDB documents, and for a write whose condition
//! does not hold by the size of the item that is there
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>).

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::{Client, Config};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use dynoxide::actions::{get_item, put_item, query, update_item};
use dynoxide::types::{item_size, write_capacity_units};
use dynoxide::{Database, DynoxideError};
use serde::Serialize;

use super::clock::Clock;
use super::usage::{Calls, Function, Meter};

/// What a read of the rules is called.
pub(crate) const READ_RULES: &str = "read rules";

/// The engine.
#[derive(Clone)]
pub(crate) struct Table {
    database: Database,
    clock: Clock,
    meter: Meter,
    millis: i64,
    /// Whose calls are counted; none while the run is prepared.
    function: Option<Function>,
    /// Error answers that are none of a condition.
    surprises: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

struct Served {
    status: u16,
    answer: String,
    what: &'static str,
    calls: Calls,
}

impl Table {
    pub(crate) fn new(clock: &Clock, meter: &Meter, millis: i64) -> Self {
        Self {
            database: Database::memory().unwrap(),
            clock: clock.clone(),
            meter: meter.clone(),
            millis,
            function: None,
            surprises: Arc::default(),
        }
    }

    /// The client of a function, or of the operator, whose calls are not counted and take no time.
    pub(crate) fn client(&self, function: Option<Function>) -> Client {
        let connector = SharedHttpConnector::new(Self {
            function,
            ..self.clone()
        });
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .allow_no_auth()
            .endpoint_url("http://dynamodb.invalid")
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Client::from_conf(config)
    }

    /// The same, counting elsewhere, and at once.
    pub(crate) fn counted_by(&self, meter: &Meter) -> Self {
        Self {
            meter: meter.clone(),
            millis: 0,
            ..self.clone()
        }
    }

    /// What went wrong, if anything.
    pub(crate) fn surprises(&self) -> Vec<String> {
        self.surprises.lock().unwrap().clone()
    }

    fn serve(&self, operation: &str, body: &str) -> Served {
        let database = &self.database;
        // Without counting.
        macro_rules! plain {
            ($method:ident) => {
                answered(database.$method(serde_json::from_str(body).unwrap()))
            };
        }
        let total = || Some("TOTAL".to_owned());
        let mut calls = Calls {
            calls: 1,
            ..Calls::default()
        };
        let what;
        let (status, answer) = match operation {
            "GetItem" => {
                let mut request: get_item::GetItemRequest = serde_json::from_str(body).unwrap();
                what = if request.table_name.ends_with("rules") {
                    READ_RULES
                } else {
                    "read status"
                };
                request.return_consumed_capacity = total();
                let mut answer = database.get_item(request);
                if let Ok(answer) = &mut answer {
                    calls.read_units = units(answer.consumed_capacity.take());
                }
                answered(answer)
            }
            "Query" => {
                let mut request: query::QueryRequest = serde_json::from_str(body).unwrap();
                what = if request.table_name.ends_with("rules") {
                    READ_RULES
                } else {
                    "read due"
                };
                request.return_consumed_capacity = total();
                let mut answer = database.query(request);
                if let Ok(answer) = &mut answer {
                    calls.read_units = units(answer.consumed_capacity.take());
                }
                answered(answer)
            }
            "PutItem" => {
                let mut request: put_item::PutItemRequest = serde_json::from_str(body).unwrap();
                what = if request.item.contains_key("rev") {
                    "create status"
                } else {
                    "keep event"
                };
                request.return_consumed_capacity = total();
                let mut answer = database.put_item(request);
                calls.write_units = match &mut answer {
                    Ok(answer) => units(answer.consumed_capacity.take()),
                    Err(error) => refusal(error, &mut calls),
                };
                answered(answer)
            }
            "UpdateItem" => {
                let mut request: update_item::UpdateItemRequest = serde_json::from_str(body).unwrap();
                what = purpose(request.update_expression.as_deref().unwrap_or_default());
                request.return_consumed_capacity = total();
                let mut answer = database.update_item(request);
                calls.write_units = match &mut answer {
                    Ok(answer) => units(answer.consumed_capacity.take()),
                    Err(error) => refusal(error, &mut calls),
                };
                answered(answer)
            }
            other => {
                what = "prepare";
                match other {
                    "CreateTable" => plain!(create_table),
                    "DescribeTable" => plain!(describe_table),
                    "UpdateTimeToLive" => plain!(update_time_to_live),
                    "TransactWriteItems" => plain!(transact_write_items),
                    other => panic!("{other} is not served"),
                }
            }
        };
        if status != 200 && calls.refused == 0 {
            self.surprises
                .lock()
                .unwrap()
                .push(format!("{operation}: {answer}"));
        }
        Served {
            status,
            answer,
            what,
            calls,
        }
    }
}

fn answered<T: Serialize>(answer: Result<T, DynoxideError>) -> (u16, String) {
    match answer {
        Ok(answer) => (200, serde_json::to_string(&answer).unwrap()),
        Err(error) => (error.status_code(), error.to_json()),
    }
}

fn units(capacity: Option<dynoxide::types::ConsumedCapacity>) -> f64 {
    capacity.unwrap().capacity_units
}

/// A write whose condition does not hold costs what the item that is there would.
fn refusal(error: &DynoxideError, calls: &mut Calls) -> f64 {
    let DynoxideError::ConditionalCheckFailedException(_, item) = error else {
        return 0.0;
    };
    calls.refused = 1;
    write_capacity_units(item.as_ref().map_or(0, item_size))
}

/// What an update is for, by what it sets.
fn purpose(update: &str) -> &'static str {
    const PURPOSES: [(&str, &str); 11] = [
        ("SET #next_turn", "turn"),
        ("SET #next_slot", "slot"),
        ("SET #busy_until = :now", "end lease"),
        ("SET #unsure = :true, #claim_until", "claim"),
        ("SET #posted", "record"),
        ("SET #due_at = :due_at, #claims", "record retry"),
        ("SET #due_at = :due_at", "postpone"),
        ("SET #newest", "newest commit"),
        ("#rev = #rev", "close superseded"),
        ("#rev = :rev", "change"),
        ("SET #order_key", "unchanged"),
    ];
    let found = PURPOSES.into_iter().find(|(text, _)| {
        if text.starts_with("SET") {
            update.starts_with(text)
        } else {
            update.contains(text)
        }
    });
    found.map_or("other", |(_, purpose)| purpose)
}

impl HttpConnector for Table {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let table = self.clone();
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default();
            let body = std::str::from_utf8(request.body().bytes().unwrap_or_default()).unwrap();
            if table.function.is_some() {
                table.clock.sleep(table.millis).await;
            }
            let served = table.serve(operation, body);
            if let Some(function) = table.function {
                table.meter.count(|usage| {
                    let sum = usage.dynamodb.entry((function, served.what)).or_default();
                    sum.calls += served.calls.calls;
                    sum.refused += served.calls.refused;
                    sum.read_units += served.calls.read_units;
                    sum.write_units += served.calls.write_units;
                });
            }
            let mut response = HttpResponse::new(served.status.try_into().unwrap(), served.answer.into());
            response
                .headers_mut()
                .insert("content-type", "application/x-amz-json-1.0");
            Ok(response)
        })
    }
}
