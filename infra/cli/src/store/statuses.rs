//! Statuses of a commit, as people name it, and those that a deleted rule left pending.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::item::{ALONE, COMMIT_INDEX, CredentialItem, Desired, PK, SK, StatusItem, credential_pk};
use shared::kinds::{ObjectName, Reference};
use shared::message::StatusKey;
use shared::{CommitSha, OrderKey, Rank, State};

use super::retry::{DUE_AGAIN, NO_END};
use super::{Item, Store, StoreError, names, number, text, unavailable};

/// Digits of a commit the index holds, and the fewest that can be looked up.
const INDEXED_DIGITS: usize = 7;
/// The status says pending, or its host may show it so until it is closed.
const IS_PENDING: &str = "(#desired.#state = :pending OR #posted.#state = :pending OR \
                          (#desired.#state = :superseded AND attribute_exists(#unsure)))";
/// What people read at the host.
const RULE_DELETED: &str = "rule deleted";

/// The digits of a commit as people name it.
pub(super) fn digits(commit: &str) -> Result<String, StoreError> {
    let digits = commit.to_ascii_lowercase();
    let is_commit = (INDEXED_DIGITS..=CommitSha::DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_commit {
        true => Ok(digits),
        false => Err(StoreError::NotACommit(commit.chars().take(80).collect())),
    }
}

impl Store {
    /// Statuses of every commit that begins with the digits, sorted by repository, commit and context.
    ///
    /// # Errors
    /// If there are fewer than seven digits, more than a commit has, or others than hexadecimal ones.
    pub async fn statuses(&self, commit: &str) -> Result<Vec<StatusItem>, StoreError> {
        let digits = digits(commit)?;
        let mut keys = self.keys_of_commit(&digits).await?;
        keys.retain(|key| key.is_status() && key.sha().starts_with(&digits));
        let mut statuses = self.statuses_of(&keys).await?;
        statuses.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(statuses)
    }

    /// Keys of whatever is about a commit that begins with the first seven of these digits.
    pub(super) async fn keys_of_commit(&self, digits: &str) -> Result<BTreeSet<StatusKey>, StoreError> {
        const CONDITION: &str = "#commit7 = :commit7";
        let first = digits.get(..INDEXED_DIGITS).unwrap_or(digits);
        let entries = self
            .client
            .query()
            .table_name(&self.statuses)
            .index_name(COMMIT_INDEX)
            .key_condition_expression(CONDITION)
            .set_expression_attribute_names(names(&[CONDITION]))
            .expression_attribute_values(":commit7", text(first))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(unavailable("reading", &self.statuses))?;
        entries
            .into_iter()
            .map(|entry| self.read_as(&self.statuses, entry))
            .collect()
    }

    /// Statuses of a cluster or of rules of that name, of all if neither is said, sorted as their keys are. Reads the whole
    /// table, and tells `on_page` how many items each part of it had.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn scan_statuses(
        &self,
        cluster: Option<&str>,
        rule: Option<&ObjectName>,
        mut on_page: impl FnMut(u64),
    ) -> Result<Vec<StatusItem>, StoreError> {
        // Other items of the table desire nothing.
        let mut filter = "attribute_exists(#desired)".to_owned();
        let mut scan = self
            .client
            .scan()
            .table_name(&self.statuses)
            .consistent_read(true);
        if let Some(cluster) = cluster {
            filter.push_str(" AND #cluster = :cluster");
            scan = scan.expression_attribute_values(":cluster", text(cluster));
        }
        if let Some(rule) = rule {
            // Before it stands the scope.
            filter.push_str(" AND contains(#rule, :rule)");
            scan = scan.expression_attribute_values(":rule", text(format!("/{rule}")));
        }
        let mut pages = scan
            .set_expression_attribute_names(names(&[&filter]))
            .filter_expression(filter)
            .into_paginator()
            .send();
        let mut statuses = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(unavailable("reading", &self.statuses))?;
            on_page(u64::try_from(page.scanned_count()).unwrap_or_default());
            for item in page.items.unwrap_or_default().into_iter().filter(is_status) {
                let status: StatusItem = self.read_as(&self.statuses, item)?;
                if rule.is_none_or(|rule| status.rule.name == *rule) {
                    statuses.push(status);
                }
            }
        }
        statuses.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(statuses)
    }

    /// What is kept of a credential, if anything is.
    ///
    /// # Errors
    /// If DynamoDB does not answer or the item cannot be read.
    pub async fn credential(&self, credential: &str) -> Result<Option<CredentialItem>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.statuses)
            .key(PK, text(credential_pk(credential)))
            .key(SK, text(ALONE))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable("reading", &self.statuses))?;
        let item = answer.item.map(|item| self.read_as(&self.statuses, item));
        item.transpose()
    }

    /// What is kept of these credentials, by their names; of some nothing is. Many are read by one call.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn credentials(
        &self,
        credentials: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, CredentialItem>, StoreError> {
        let keys = credentials.iter().map(|credential| StatusKey {
            pk: credential_pk(credential),
            sk: ALONE.to_owned(),
        });
        let items: Vec<CredentialItem> = self.items_of(&keys.collect()).await?;
        let mut items: BTreeMap<String, CredentialItem> =
            items.into_iter().map(|item| (item.pk.clone(), item)).collect();
        let of = |credential: &&str| {
            Some((
                (*credential).to_owned(),
                items.remove(&credential_pk(credential))?,
            ))
        };
        Ok(credentials.iter().filter_map(of).collect())
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

/// Whether it is a status. What else the table holds this release may not be able to read.
pub(super) fn is_status(item: &Item) -> bool {
    let part = |name| item.get(name).and_then(|value| value.as_s().ok().cloned());
    let (Some(pk), Some(sk)) = (part(PK), part(SK)) else {
        return false;
    };
    StatusKey { pk, sk }.is_status()
}
