//! The `rules` table, read only.

use aws_sdk_dynamodb::Client;
use serde::Deserialize;
use shared::CommitStatusRule;
use shared::item::{ALONE, PK, ProviderItem, RuleItem, SK, provider_pk, rule_pk};
use shared::kinds::{ObjectName, Provider, Reference, Scope};

use super::expression::text;
use crate::ports::{RuleStore, Stored, Unavailable, Unreadable};

/// The `rules` table in DynamoDB.
pub struct RulesTable {
    client: Client,
    table: String,
}

impl RulesTable {
    /// The table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Opens a connection, by reading an item that is never there.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn connect(&self) -> Result<(), Unavailable> {
        let item: Stored<ProviderItem> = self.get("connect to the rules table", ALONE, ALONE).await?;
        drop(item);
        Ok(())
    }

    async fn get<T: for<'a> Deserialize<'a>>(
        &self,
        action: &'static str,
        pk: &str,
        sk: &str,
    ) -> Result<Stored<T>, Unavailable> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(PK, text(pk))
            .key(SK, text(sk))
            .consistent_read(true)
            .send()
            .await
            .map_err(Unavailable::to(action))?;
        Ok(answer
            .item
            .map(|item| serde_dynamo::from_item(item).map_err(|error| Unreadable(error.to_string()))))
    }
}

impl RuleStore for RulesTable {
    async fn rule(&self, reference: &Reference) -> Result<Stored<CommitStatusRule>, Unavailable> {
        let item: Stored<RuleItem> = self
            .get(
                "read a rule",
                &rule_pk(&reference.scope),
                &reference.name.to_string(),
            )
            .await?;
        Ok(item.map(|item| item.map(|item| item.rule)))
    }

    async fn provider(&self, scope: &Scope, name: &ObjectName) -> Result<Stored<Provider>, Unavailable> {
        let item: Stored<ProviderItem> = self
            .get("read a Provider", &provider_pk(scope), &name.to_string())
            .await?;
        Ok(item.map(|item| item.map(|item| item.provider)))
    }
}
