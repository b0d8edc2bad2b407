//! Statuses that are made due again. Each by one conditional update, so that what changed or was begun meanwhile is
//! left alone.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use shared::item::{PK, SK, StatusItem, due_shard};
use shared::message::StatusKey;

use super::{CONDITION_FAILED, NOT_CLAIMED, Store, StoreError, is_code, names, number, text, unavailable};

/// Rest before the sweeper looks: the poster believes a Provider or a rule it has read for five seconds, and what was
/// applied a moment ago would be parked again for the old one's mistake.
const SETTLE_MILLIS: i64 = 10_000;

pub(super) const DUE_AGAIN: &str = "SET #due = :due, #due_at = :at, #attempts = :zero, #claims = :zero";
pub(super) const NO_END: &str = "REMOVE #turn_at, #parked, #ended, #expires_at, #unknown_commits";

impl Store {
    /// Makes a parked status due; whether it was still parked for that reason.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn retry(&self, status: &StatusItem, now: Timestamp) -> Result<bool, StoreError> {
        let still = match status.parked {
            Some(_) => "#due = :seen AND #parked = :parked",
            None => "#due = :seen AND attribute_not_exists(#parked)",
        };
        let mut update = self
            .due_again(&status.key, &format!("{DUE_AGAIN} {NO_END}"), still, now)
            .expression_attribute_values(":seen", text(status.due.as_deref().unwrap_or_default()));
        if let Some(reason) = &status.parked {
            update = update.expression_attribute_values(":parked", text(reason));
        }
        self.is_done(update).await
    }

    /// Makes a status due that has nothing due and is not parked, whatever its host shows; whether it was still so, at
    /// the same change and not begun by the poster.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn post_again(&self, status: &StatusItem, now: Timestamp) -> Result<bool, StoreError> {
        let update = if status.is_posted() {
            // While it is unsure nothing equals what was posted.
            format!("{DUE_AGAIN}, #unsure = :true {NO_END}")
        } else {
            format!("{DUE_AGAIN} {NO_END}")
        };
        let still = format!("attribute_not_exists(#due) AND #rev = :rev AND {NOT_CLAIMED}");
        let mut update = self
            .due_again(&status.key, &update, &still, now)
            .expression_attribute_values(":rev", AttributeValue::N(status.rev.to_string()))
            .expression_attribute_values(":now", number(now.as_millisecond()));
        if status.is_posted() {
            update = update.expression_attribute_values(":true", AttributeValue::Bool(true));
        }
        self.is_done(update).await
    }

    /// Every status there is. Reads the whole table: for people, who ask seldom.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn all_statuses(&self) -> Result<Vec<StatusItem>, StoreError> {
        // Other items of the table desire nothing.
        const FILTER: &str = "attribute_exists(#desired)";
        let items = self
            .client
            .scan()
            .table_name(&self.statuses)
            .filter_expression(FILTER)
            .set_expression_attribute_names(names(&[FILTER]))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(unavailable("reading", &self.statuses))?;
        let statuses = items.into_iter().map(|item| self.read_as(&self.statuses, item));
        let mut statuses: Vec<StatusItem> = statuses.collect::<Result<_, _>>()?;
        statuses.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(statuses)
    }

    pub(super) fn due_again(
        &self,
        key: &StatusKey,
        update: &str,
        condition: &str,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        self.update_status(key, update, condition)
            .expression_attribute_values(":due", text(due_shard(key)))
            .expression_attribute_values(":at", number(now.as_millisecond() + SETTLE_MILLIS))
            .expression_attribute_values(":zero", number(0))
    }

    pub(super) fn update_status(
        &self,
        key: &StatusKey,
        update: &str,
        condition: &str,
    ) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.statuses)
            .key(PK, text(&key.pk))
            .key(SK, text(&key.sk))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(names(&[update, condition]))
    }

    /// Whether the condition held.
    pub(super) async fn is_done(&self, update: UpdateItemFluentBuilder) -> Result<bool, StoreError> {
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_code(&error, CONDITION_FAILED) => Ok(false),
            Err(error) => Err(unavailable("writing to", &self.statuses)(error)),
        }
    }
}
