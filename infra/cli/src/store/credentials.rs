//! Holds of a credential whose secret was written anew.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use jiff::Timestamp;
use shared::item::{ALONE, CredentialItem, DUE_AT, DUE_INDEX, DUE_SHARDS, PK, credential_pk};
use shared::message::StatusKey;

use super::{NOT_CLAIMED, Store, StoreError, names, number, text, unavailable};

/// How the reason of a hold begins that the host asked for and no new secret ends.
const RATE_LIMIT: &str = "rate limited";

/// What became of the hold of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It was not held.
    None,
    /// It was refused, and is tried again.
    Dropped,
    /// The host named an instant, and the hold stays until then. Inside, its reason.
    Kept(String),
}

impl Store {
    /// Drops the hold of a refused credential, and forgets how often it was refused. A rate limit stays.
    ///
    /// # Errors
    /// If DynamoDB does not answer or the item cannot be read.
    pub async fn drop_hold(&self, credential: &str, now: Timestamp) -> Result<Hold, StoreError> {
        const UPDATE: &str = "REMOVE #hold_until, #hold_reason, #holds, #next_turn";
        const CONDITION: &str = "attribute_exists(#pk) AND NOT begins_with(#hold_reason, :limit)";
        let key = StatusKey {
            pk: credential_pk(credential),
            sk: ALONE.to_owned(),
        };
        let update = self
            .update_status(&key, UPDATE, CONDITION)
            .expression_attribute_values(":limit", text(RATE_LIMIT))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (item, was_dropped) = match update.send().await {
            Ok(output) => (output.attributes, true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    (refusal.item.clone(), false)
                }
                _ => return Err(unavailable("writing to", &self.statuses)(error)),
            },
        };
        let Some(item) = item.filter(|item| item.contains_key(PK)) else {
            return Ok(Hold::None);
        };
        let item: CredentialItem = self.read_as(&self.statuses, item)?;
        let is_held = item.hold_until.is_some_and(|until| until > now.as_millisecond());
        Ok(match (is_held, was_dropped) {
            (false, _) => Hold::None,
            (true, true) => Hold::Dropped,
            (true, false) => Hold::Kept(item.hold_reason.unwrap_or_default()),
        })
    }

    /// Makes due now what waits with this credential for a later instant; how many those were. What is just being
    /// posted is left alone, and so is what waits for its commit to appear at the host.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn hurry(&self, credential: &str, now: Timestamp) -> Result<usize, StoreError> {
        const LATER: &str = "#due = :due AND #due_at > :now";
        const FILTER: &str = "#credential = :credential";
        const UPDATE: &str = "SET #due_at = :now REMOVE #turn_at";
        let still = format!(
            "#due = :due AND #due_at = :seen AND {NOT_CLAIMED} \
             AND (attribute_not_exists(#unknown_commits) OR #unknown_commits = :zero)"
        );
        let now = number(now.as_millisecond());
        let mut hurried = 0;
        for shard in 0..DUE_SHARDS {
            let due = text(format!("due#{shard}"));
            let entries = self
                .client
                .query()
                .table_name(&self.statuses)
                .index_name(DUE_INDEX)
                .key_condition_expression(LATER)
                .filter_expression(FILTER)
                .set_expression_attribute_names(names(&[LATER, FILTER]))
                .expression_attribute_values(":due", due.clone())
                .expression_attribute_values(":now", now.clone())
                .expression_attribute_values(":credential", text(credential))
                .into_paginator()
                .items()
                .send()
                .collect::<Result<Vec<_>, _>>()
                .await
                .map_err(unavailable("reading", &self.statuses))?;
            for mut entry in entries {
                let Some(seen) = entry.remove(DUE_AT) else {
                    continue;
                };
                let key: StatusKey = self.read_as(&self.statuses, entry)?;
                let update = self
                    .update_status(&key, UPDATE, &still)
                    .expression_attribute_values(":due", due.clone())
                    .expression_attribute_values(":now", now.clone())
                    .expression_attribute_values(":seen", seen)
                    .expression_attribute_values(":zero", number(0));
                hurried += usize::from(self.is_done(update).await?);
            }
        }
        Ok(hurried)
    }
}
