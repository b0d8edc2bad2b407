//! The index over what is due in the `statuses` table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use serde::Deserialize;
use shared::item::{DUE, DUE_AT, DUE_INDEX, PK, SK, due_shard, names_in};
use shared::message::StatusKey;

use crate::ports::{DueStatus, DueStore, Unavailable};

/// The index in DynamoDB.
pub struct DueIndex {
    client: Client,
    table: String,
}

impl DueIndex {
    /// Of the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

/// What the index holds of a status.
#[derive(Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: StatusKey,
    due_at: i64,
    #[serde(default)]
    credential: String,
}

impl DueStore for DueIndex {
    async fn due(&self, shard: u8, until: i64, limit: usize) -> Result<Vec<DueStatus>, Unavailable> {
        let mut entries = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("#due = :due AND #due_at <= :until")
            .expression_attribute_names("#due", DUE)
            .expression_attribute_names("#due_at", DUE_AT)
            .expression_attribute_values(":due", AttributeValue::S(format!("due#{shard}")))
            .expression_attribute_values(":until", AttributeValue::N(until.to_string()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .into_paginator()
            .items()
            .send();
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(item) = entries
                .try_next()
                .await
                .map_err(Unavailable::to("read what is due"))?
        {
            let Entry {
                key,
                due_at,
                credential,
            } = match serde_dynamo::from_item(item) {
                Ok(entry) => entry,
                Err(error) => {
                    // One that this release cannot read must not hide the others.
                    tracing::error!(%error, outcome = "failed", "entry of the due index not understood, left alone");
                    continue;
                }
            };
            due.push(DueStatus {
                key,
                due_at,
                credential,
            });
        }
        Ok(due)
    }

    async fn parked(&self, shard: u8) -> Result<usize, Unavailable> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("#due = :parked")
            .expression_attribute_names("#due", DUE)
            .expression_attribute_values(":parked", AttributeValue::S(format!("parked#{shard}")))
            .select(Select::Count)
            .send()
            .await
            .map_err(Unavailable::to("count what is parked"))?;
        Ok(usize::try_from(answer.count).unwrap_or_default())
    }

    async fn postpone(&self, status: &DueStatus, due_at: i64, now: i64) -> Result<bool, Unavailable> {
        let postponed = self
            .move_date(
                status,
                "SET #due_at = :due_at",
                "#due = :due AND #due_at = :seen AND (attribute_not_exists(#claim_until) OR #claim_until <= :now)",
                &[(":due_at", due_at), (":now", now)],
            )
            .await?;
        if postponed {
            return Ok(true);
        }
        // Who has it may have crashed, and a claim leaves the date alone. It is not known which of the conditions did not hold.
        self.move_date(
            status,
            "SET #due_at = #claim_until",
            "#due = :due AND #due_at = :seen AND #claim_until > :now",
            &[(":now", now)],
        )
        .await
    }
}

impl DueIndex {
    async fn move_date(
        &self,
        status: &DueStatus,
        update: &str,
        condition: &str,
        millis: &[(&str, i64)],
    ) -> Result<bool, Unavailable> {
        let mut builder = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(PK, AttributeValue::S(status.key.pk.clone()))
            .key(SK, AttributeValue::S(status.key.sk.clone()))
            .update_expression(update)
            .condition_expression(condition)
            .expression_attribute_values(":due", AttributeValue::S(due_shard(&status.key)))
            .expression_attribute_values(":seen", AttributeValue::N(status.due_at.to_string()));
        for (name, value) in millis {
            builder = builder.expression_attribute_values(*name, AttributeValue::N(value.to_string()));
        }
        for name in names_in(&[update, condition]) {
            builder = builder.expression_attribute_names(format!("#{name}"), name);
        }
        match builder.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(_) => Ok(false),
                other => Err(Unavailable::to("move a due date")(other)),
            },
        }
    }
}
