//! Statuses that wait for a person.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use serde::de::DeserializeOwned;
use shared::item::{DUE_INDEX, DUE_SHARDS, PK, SK, StatusItem};
use shared::message::StatusKey;

use super::{Item, Store, StoreError, names, text, unavailable};

/// Most items DynamoDB reads in one call.
const READ_AT_ONCE: usize = 100;
/// Rest before what DynamoDB left unread is asked for again.
const UNREAD_PAUSE: Duration = Duration::from_millis(100);

impl Store {
    /// Every parked status, the one that waits longest first.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn parked(&self) -> Result<Vec<StatusItem>, StoreError> {
        let mut parked = self.indexed(&["parked"]).await?;
        // The index lags behind the table.
        parked.retain(is_parked);
        Ok(parked)
    }

    /// Every status that is due or parked, by its date: the next attempt, or since when it is parked.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn due_or_parked(&self) -> Result<Vec<StatusItem>, StoreError> {
        let mut waiting = self.indexed(&["parked", "due"]).await?;
        waiting.retain(|status| is_parked(status) || status.is_due());
        Ok(waiting)
    }

    /// What the index over due dates has in the shards that begin so, as it is now, sorted by date.
    async fn indexed(&self, beginnings: &[&str]) -> Result<Vec<StatusItem>, StoreError> {
        const CONDITION: &str = "#due = :due";
        // While they are read some move within their shard, and no key may be asked for twice.
        let mut keys = BTreeSet::new();
        for beginning in beginnings {
            for shard in 0..DUE_SHARDS {
                let entries = self
                    .client
                    .query()
                    .table_name(&self.statuses)
                    .index_name(DUE_INDEX)
                    .key_condition_expression(CONDITION)
                    .set_expression_attribute_names(names(&[CONDITION]))
                    .expression_attribute_values(":due", text(format!("{beginning}#{shard}")))
                    .into_paginator()
                    .items()
                    .send()
                    .collect::<Result<Vec<_>, _>>()
                    .await
                    .map_err(unavailable("reading", &self.statuses))?;
                for entry in entries {
                    keys.insert(self.read_as::<StatusKey>(&self.statuses, entry)?);
                }
            }
        }
        let mut statuses = self.statuses_of(&keys).await?;
        statuses.sort_by(|one, other| (one.due_at, &one.key).cmp(&(other.due_at, &other.key)));
        Ok(statuses)
    }

    /// The statuses of these keys that are still there, as they are now.
    pub(super) async fn statuses_of(
        &self,
        keys: &BTreeSet<StatusKey>,
    ) -> Result<Vec<StatusItem>, StoreError> {
        self.items_of(keys).await
    }

    /// The items of these keys that are still there, as they are now.
    pub(super) async fn items_of<T: DeserializeOwned>(
        &self,
        keys: &BTreeSet<StatusKey>,
    ) -> Result<Vec<T>, StoreError> {
        let keys: Vec<Item> = keys
            .iter()
            .map(|key| Item::from([(PK.to_owned(), text(&key.pk)), (SK.to_owned(), text(&key.sk))]))
            .collect();
        let mut found = Vec::with_capacity(keys.len());
        for some in keys.chunks(READ_AT_ONCE) {
            let mut unread = some.to_vec();
            loop {
                let (items, rest) = self.read_at_once(unread).await?;
                for item in items {
                    found.push(self.read_as(&self.statuses, item)?);
                }
                if rest.is_empty() {
                    break;
                }
                unread = rest;
                tokio::time::sleep(UNREAD_PAUSE).await;
            }
        }
        Ok(found)
    }

    /// What DynamoDB read of these keys, and the keys it left for another call.
    async fn read_at_once(&self, keys: Vec<Item>) -> Result<(Vec<Item>, Vec<Item>), StoreError> {
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .build()
            .map_err(|source| StoreError::Unavailable {
                action: "reading",
                table: self.statuses.clone(),
                source: source.into(),
            })?;
        let answer = self
            .client
            .batch_get_item()
            .request_items(&self.statuses, request)
            .send()
            .await
            .map_err(unavailable("reading", &self.statuses))?;
        let read = answer.responses.unwrap_or_default().remove(&self.statuses);
        let unread = answer.unprocessed_keys.unwrap_or_default().remove(&self.statuses);
        let unread = unread.map(|rest| rest.keys).unwrap_or_default();
        Ok((read.unwrap_or_default(), unread))
    }
}

/// Whether a status waits for a person.
pub fn is_parked(status: &StatusItem) -> bool {
    status
        .due
        .as_deref()
        .is_some_and(|due| due.starts_with("parked#"))
}
