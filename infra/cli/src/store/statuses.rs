//! Statuses of a commit, as people name it, and those that a deleted rule left pending.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::item::{COMMIT_INDEX, Desired, StatusItem};
use shared::kinds::Reference;
use shared::message::StatusKey;
use shared::{CommitSha, OrderKey, Rank, State};

use super::retry::{DUE_AGAIN, NO_END};
use super::{Store, StoreError, names, number, text, unavailable};

/// Digits of a commit the index holds, and the fewest that can be looked up.
const INDEXED_DIGITS: usize = 7;
/// The status says pending, or its host may show it so until it is closed.
const IS_PENDING: &str = "(#desired.#state = :pending OR #posted.#state = :pending OR \
                          (#desired.#state = :superseded AND attribute_exists(#unsure)))";
/// What people read at the host.
const RULE_DELETED: &str = "rule deleted";

impl Store {
    /// Statuses of every commit that begins with the digits, sorted by repository, commit and context.
    ///
    /// # Errors
    /// If there are fewer than seven digits, more than a commit has, or others than hexadecimal ones.
    pub async fn statuses(&self, commit: &str) -> Result<Vec<StatusItem>, StoreError> {
        const CONDITION: &str = "#commit7 = :commit7";
        let digits = commit.to_ascii_lowercase();
        let is_commit = (INDEXED_DIGITS..=CommitSha::DIGITS).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit {
            return Err(StoreError::NotACommit(commit.chars().take(80).collect()));
        }
        let entries = self
            .client
            .query()
            .table_name(&self.statuses)
            .index_name(COMMIT_INDEX)
            .key_condition_expression(CONDITION)
            .set_expression_attribute_names(names(&[CONDITION]))
            .expression_attribute_values(":commit7", text(&digits[..INDEXED_DIGITS]))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(unavailable("reading", &self.statuses))?;
        let mut keys = BTreeSet::new();
        for entry in entries {
            let key: StatusKey = self.read_as(&self.statuses, entry)?;
            if key.sha().starts_with(&digits) {
                keys.insert(key);
            }
        }
        let mut statuses = self.statuses_of(&keys).await?;
        statuses.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(statuses)
    }

    /// Closes what rules that are gone left pending: it becomes superseded and due. Returns the statuses that are yet
    /// to be closed at their host, those of an earlier call included. Reads the whole table.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read. The same call goes on from there.
    pub async fn close_pending(
        &self,
        rules: &[Reference],
        now: Timestamp,
    ) -> Result<Vec<StatusItem>, StoreError> {
        let items = self
            .client
            .scan()
            .table_name(&self.statuses)
            .filter_expression(IS_PENDING)
            .set_expression_attribute_names(names(&[IS_PENDING]))
            .expression_attribute_values(":pending", text(State::Pending.as_str()))
            .expression_attribute_values(":superseded", text(State::Superseded.as_str()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(unavailable("reading", &self.statuses))?;
        let mut closing = Vec::new();
        for item in items {
            let status: StatusItem = self.read_as(&self.statuses, item)?;
            let shown = status.may_show_pending();
            // What ended before it was posted left nothing anywhere.
            if !rules.contains(&status.rule) || (status.due.is_none() && !shown) {
                continue;
            }
            let is_closing = status.desired.state == State::Superseded && status.is_due();
            if (is_closing || self.close(&status, now).await?) && shown {
                closing.push(status);
            }
        }
        closing.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(closing)
    }

    /// Makes a status superseded and due; whether it was still the rule's, and pending.
    pub(super) async fn close(&self, status: &StatusItem, now: Timestamp) -> Result<bool, StoreError> {
        let desired = Desired {
            state: State::Superseded,
            reason: status.desired.reason.clone(),
            description: RULE_DELETED.to_owned(),
            target_url: None,
            only_clears: false,
            received_at: None,
        };
        // No result: one that comes when the rule is back replaces it.
        let order_key = OrderKey::new(Rank::Superseded, now, "", State::Superseded, &status.event_id);
        let update = format!(
            "{DUE_AGAIN}, #desired = :desired, #order_key = :order_key, #rev = #rev + :one \
             {NO_END}, #last_error"
        );
        let desired = serde_dynamo::to_attribute_value(desired).map_err(StoreError::Unwritable)?;
        let update = self
            .due_again(
                &status.key,
                &update,
                &format!("#rule = :rule AND {IS_PENDING}"),
                now,
            )
            .expression_attribute_values(":desired", desired)
            .expression_attribute_values(":order_key", text(order_key.as_str()))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":rule", text(status.rule.to_string()))
            .expression_attribute_values(":pending", text(State::Pending.as_str()))
            .expression_attribute_values(":superseded", text(State::Superseded.as_str()));
        self.is_done(update).await
    }
}
