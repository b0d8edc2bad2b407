//! What the tool keeps in DynamoDB, over the SDK's own client.

mod applied;
mod clusters;
mod credentials;
mod events;
mod objects;
mod parked;
mod retry;
mod statuses;
mod tables;
mod transaction;

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use shared::item::names_in;

use crate::object::{Kind, ObjectId};

pub use self::applied::Applied;
pub use self::clusters::{Cluster, Suspension};
pub use self::credentials::Hold;
pub use self::objects::{Change, Deleted, Planned, Prepared, Seen, Verb, Written};
pub use self::parked::is_parked;
pub use self::tables::create_tables;

/// An item as DynamoDB has it.
type Item = HashMap<String, AttributeValue>;

/// Both tables of one stack.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    rules: String,
    statuses: String,
}

impl Store {
    /// The tables of a stack.
    pub fn new(client: Client, stack: &str) -> Self {
        Self {
            client,
            rules: rules_table(stack),
            statuses: statuses_table(stack),
        }
    }
}

/// Name of the table with clusters, rules and Providers.
pub fn rules_table(stack: &str) -> String {
    format!("{stack}-rules")
}

/// Name of the table with statuses.
pub fn statuses_table(stack: &str) -> String {
    format!("{stack}-statuses")
}

/// Something that keeps the store from doing what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB did not answer, or refused.
    #[error("DynamoDB: {action} `{table}` failed")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// On which table.
        table: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An item that this release cannot read.
    #[error("an item of table `{table}` cannot be read; is it of a newer release of this tool?")]
    Unreadable {
        /// Where it is.
        table: String,
        /// Why.
        #[source]
        source: serde_dynamo::Error,
    },
    /// Something that this release cannot write.
    #[error("an object cannot be written as an item")]
    Unwritable(#[source] serde_dynamo::Error),
    /// Somebody else applied or deleted the same objects between our reading and writing.
    #[error(
        "somebody else changed {} meanwhile, and nothing was written over that; {} shows what is there now: run the \
         command again if yours still holds",
        conflicting(objects),
        how_to_look(objects)
    )]
    Conflict {
        /// Which, as far as DynamoDB says.
        objects: Vec<ObjectId>,
    },
    /// A call of several transactions ended between two of them.
    #[error("{done} of {total} transactions were written")]
    Unfinished {
        /// Transactions that were written.
        done: usize,
        /// How many there would have been.
        total: usize,
        /// What went wrong.
        #[source]
        source: Box<StoreError>,
    },
    /// No such cluster, or only its tombstone.
    #[error("cluster \"{0}\" not found; `commitstatus cluster add {0}` registers it")]
    ClusterNotFound(String),
    /// Its key was revoked, or it was removed, between our reading and writing.
    #[error(
        "the key of cluster \"{0}\" was revoked meanwhile, so what was printed is worth nothing; run `commitstatus connect {0}` \
         again"
    )]
    KeyRevoked(String),
    /// There is one already.
    #[error("cluster \"{0}\" is registered already; `commitstatus connect {0}` prints what it needs")]
    ClusterExists(String),
    /// It still has objects of its own.
    #[error(
        "cluster \"{cluster}\" still has {}; remove each with `commitstatus delete KIND NAME -n NAMESPACE --cluster \
         {cluster}` first", objects.join(", ")
    )]
    ClusterInUse {
        /// Its name.
        cluster: String,
        /// What it has.
        objects: Vec<String>,
    },
    /// What was asked for is no commit.
    #[error("`{0}` is not a commit; expected at least the first 7 of its 40 hexadecimal digits")]
    NotACommit(String),
}

/// Objects named in an error; more would not be read.
const NAMED_OBJECTS: usize = 10;

fn conflicting(objects: &[ObjectId]) -> String {
    let mut named: Vec<String> = objects
        .iter()
        .take(NAMED_OBJECTS)
        .map(ObjectId::to_string)
        .collect();
    match objects.len().checked_sub(NAMED_OBJECTS) {
        _ if objects.is_empty() => "the same objects".to_owned(),
        Some(more) if more > 0 => {
            named.push(format!("{more} more"));
            named.join(", ")
        }
        _ => named.join(", "),
    }
}

fn how_to_look(objects: &[ObjectId]) -> String {
    let plural = |kind| match kind {
        Kind::CommitStatus => "commitstatuses",
        Kind::Provider => "providers",
    };
    match objects {
        [] => "`commitstatus diff`".to_owned(),
        [ObjectId { kind, name }, ..] => format!(
            "`commitstatus get {} {} -n {} -o yaml`",
            plural(*kind),
            name.name,
            name.namespace
        ),
    }
}

fn unavailable<E, R>(action: &'static str, table: &str) -> impl FnOnce(SdkError<E, R>) -> StoreError
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let table = table.to_owned();
    move |source| StoreError::Unavailable {
        action,
        table,
        source: source.into(),
    }
}

fn is_code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, code: &str) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some(code)
}

/// Error of a conditional write whose condition does not hold.
const CONDITION_FAILED: &str = "ConditionalCheckFailedException";
/// No poster has begun the status, or its time is over.
const NOT_CLAIMED: &str = "(attribute_not_exists(#claim_until) OR #claim_until <= :now)";

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// Expression attribute names for every `#name` in the expressions; `None` if there are none.
fn names(expressions: &[&str]) -> Option<HashMap<String, String>> {
    let names: BTreeSet<String> = names_in(expressions);
    let names: HashMap<_, _> = names.into_iter().map(|name| (format!("#{name}"), name)).collect();
    (!names.is_empty()).then_some(names)
}

impl Store {
    fn read_as<T: DeserializeOwned>(&self, table: &str, item: Item) -> Result<T, StoreError> {
        serde_dynamo::from_item(item).map_err(|source| StoreError::Unreadable {
            table: table.to_owned(),
            source,
        })
    }

    async fn item(&self, pk: String, sk: String) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.rules)
            .key(shared::item::PK, text(pk))
            .key(shared::item::SK, text(sk))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable("reading", &self.rules))?;
        Ok(answer.item)
    }

    async fn partition(&self, pk: String) -> Result<Vec<Item>, StoreError> {
        const CONDITION: &str = "#pk = :pk";
        self.client
            .query()
            .table_name(&self.rules)
            .key_condition_expression(CONDITION)
            .set_expression_attribute_names(names(&[CONDITION]))
            .expression_attribute_values(":pk", text(pk))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(unavailable("reading", &self.rules))
    }

    /// All partitions that begin so. Reads the whole table: for people, who ask seldom.
    async fn partitions(&self, prefix: &str) -> Result<Vec<Item>, StoreError> {
        const FILTER: &str = "begins_with(#pk, :prefix)";
        self.client
            .scan()
            .table_name(&self.rules)
            .filter_expression(FILTER)
            .set_expression_attribute_names(names(&[FILTER]))
            .expression_attribute_values(":prefix", text(prefix))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(unavailable("reading", &self.rules))
    }
}

#[cfg(test)]
pub(crate) mod tests;
