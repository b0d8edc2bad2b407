//! The last event of each object and commit.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::item::{EVENT_SK, EventItem};
use shared::message::StatusKey;

use super::{Store, StoreError, names, number, text, unavailable};

impl Store {
    /// The last event of every object about each commit that begins with the digits, sorted by cluster and object.
    ///
    /// # Errors
    /// As [`Store::statuses`].
    pub async fn events_about(&self, commit: &str) -> Result<Vec<EventItem>, StoreError> {
        let digits = super::statuses::digits(commit)?;
        let keys: BTreeSet<StatusKey> = self
            .keys_of_commit(&digits)
            .await?
            .into_iter()
            .filter(|key| {
                let sha = key.sk.strip_prefix(EVENT_SK);
                sha.is_some_and(|sha| sha.starts_with(&digits))
            })
            .collect();
        let mut events: Vec<EventItem> = self.items_of(&keys).await?;
        events.sort_by(|one, other| (&one.pk, &one.sk).cmp(&(&other.pk, &other.sk)));
        Ok(events)
    }

    /// The last event of every object about each commit, since an instant. Reads the whole table.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn events_since(&self, since: Timestamp) -> Result<Vec<EventItem>, StoreError> {
        const FILTER: &str = "begins_with(#sk, :event) AND #received_at >= :since";
        let items = self
            .client
            .scan()
            .table_name(&self.statuses)
            .filter_expression(FILTER)
            .set_expression_attribute_names(names(&[FILTER]))
            .expression_attribute_values(":event", text(EVENT_SK))
            .expression_attribute_values(":since", number(since.as_millisecond()))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(unavailable("reading", &self.statuses))?;
        items
            .into_iter()
            .map(|item| self.read_as(&self.statuses, item))
            .collect()
    }
}
