//! Statuses of a commit, as people name it.

use shared::CommitSha;
use shared::item::{COMMIT_INDEX, StatusItem};

use super::{Store, StoreError, names, text, unavailable};

/// Digits of a commit the index holds, and the fewest that can be looked up.
const INDEXED_DIGITS: usize = 7;

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
        let items = self
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
        let mut statuses = Vec::with_capacity(items.len());
        for item in items {
            let status: StatusItem = self.read_as(&self.statuses, item)?;
            if status.key.sha().starts_with(&digits) {
                statuses.push(status);
            }
        }
        statuses.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(statuses)
    }
}
