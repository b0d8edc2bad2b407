//! The `rules` table, read only.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use shared::InvolvedObject;
use shared::item::{
    ALONE, CLUSTER_PK, ClusterItem, PK, ProviderItem, RuleItem, SK, VERSION_PK, VersionItem, provider_pk,
    rule_pk, source_pk,
};
use shared::kinds::{ANY_NAME, ObjectName, Provider, Scope};

use crate::ports::{FoundRule, RuleStore, Unavailable, Unreadable};

/// The `rules` table in DynamoDB.
pub struct RulesTable {
    client: Client,
    table: String,
}

type Item = HashMap<String, AttributeValue>;

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
        self.get("connect to the rules table", ALONE.to_owned(), ALONE.to_owned())
            .await
            .map(drop)
    }

    async fn get(&self, action: &'static str, pk: String, sk: String) -> Result<Option<Item>, Unavailable> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(PK, AttributeValue::S(pk))
            .key(SK, AttributeValue::S(sk))
            .consistent_read(true)
            .send()
            .await
            .map_err(Unavailable::to(action))?;
        Ok(answer.item)
    }

    async fn found(&self, pk: String) -> Result<Vec<FoundRule>, Unavailable> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", AttributeValue::S(pk))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(item) = pages.try_next().await.map_err(Unavailable::to("read rules"))? {
            found.push(found_rule(item));
        }
        Ok(found)
    }
}

impl RuleStore for RulesTable {
    async fn cluster(&self, cluster: &str) -> Result<Option<ClusterItem>, Unavailable> {
        self.get("read the cluster", CLUSTER_PK.to_owned(), cluster.to_owned())
            .await?
            .map(|item| {
                serde_dynamo::from_item(item).map_err(Unavailable::to("understand the cluster's item"))
            })
            .transpose()
    }

    async fn version(&self) -> Result<Option<String>, Unavailable> {
        let item = self
            .get("read the version", VERSION_PK.to_owned(), ALONE.to_owned())
            .await?;
        // One that is damaged is as good as none, and must not keep events waiting.
        Ok(item
            .and_then(|item| read::<VersionItem>(item).ok())
            .map(|item| item.version))
    }

    async fn rules_by_name(
        &self,
        scope: &Scope,
        object: &InvolvedObject,
    ) -> Result<Vec<FoundRule>, Unavailable> {
        let InvolvedObject {
            kind,
            namespace,
            name,
            ..
        } = object;
        self.found(source_pk(scope.as_str(), kind, namespace, name)).await
    }

    async fn rules_for_any(
        &self,
        scope: &Scope,
        kind: &str,
        namespace: &str,
    ) -> Result<Vec<FoundRule>, Unavailable> {
        self.found(source_pk(scope.as_str(), kind, namespace, ANY_NAME))
            .await
    }

    async fn has_own_rule(&self, cluster: &str, name: &ObjectName) -> Result<bool, Unavailable> {
        let pk = rule_pk(&Scope::Cluster(cluster.to_owned()));
        Ok(self.get("read a rule", pk, name.to_string()).await?.is_some())
    }

    async fn provider(
        &self,
        scope: &Scope,
        name: &ObjectName,
    ) -> Result<Option<Result<Provider, Unreadable>>, Unavailable> {
        let item = self
            .get("read a Provider", provider_pk(scope), name.to_string())
            .await?;
        Ok(item.map(|item| read::<ProviderItem>(item).map(|item| item.provider)))
    }
}

fn found_rule(item: Item) -> FoundRule {
    let sk = item
        .get(SK)
        .and_then(|sk| sk.as_s().ok())
        .cloned()
        .unwrap_or_default();
    FoundRule {
        name: sk.parse().unwrap_or_else(|_| ObjectName::new("", sk)),
        rule: read::<RuleItem>(item).map(|item| item.rule),
    }
}

fn read<'a, T: Deserialize<'a>>(item: Item) -> Result<T, Unreadable> {
    serde_dynamo::from_item(item).map_err(|error| Unreadable(error.to_string()))
}
