//! Registered clusters, and tombstones that keep the generation of those that were removed.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use shared::Scope;
use shared::item::{CLUSTER_PK, ClusterItem, PK, SK};

use super::{CONDITION_FAILED, Item, NAMED_OBJECTS, Store, StoreError, is_code, names, text, unavailable};
use crate::object::Kind;

/// Generation of the first key of a cluster.
const FIRST_GENERATION: u32 = 1;
/// Namespaces the last printed Alerts watch. Only this tool reads it.
const CONNECTED_NAMESPACES: &str = "connected_namespaces";
/// Version of the root key that the last printed key was made from, as the store of secrets names it. Only this tool
/// reads it.
const CONNECTED_ROOT_KEY: &str = "connected_root_key";
/// There is such a cluster, and not only its tombstone.
const IS_REGISTERED: &str = "attribute_exists(#pk) AND (attribute_not_exists(#deleted) OR #deleted = :false)";

/// A registered cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Generation of its key.
    pub generation: u32,
    /// Its events are dropped for now.
    pub suspended: bool,
    /// Namespaces the manifests of the last `connect` watch; empty if there was none with this key.
    pub connected_namespaces: BTreeSet<String>,
    /// Version of the root key the last `connect` used; `None` if there was none with this key, or it was of a release
    /// that did not remember.
    pub connected_root_key: Option<String>,
}

/// What suspending or resuming did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspension {
    /// It was not so before.
    Changed,
    /// It was so before.
    Unchanged,
}

impl Store {
    /// A registered cluster; `None` also for a tombstone.
    ///
    /// # Errors
    /// If DynamoDB does not answer or the item cannot be read.
    pub async fn cluster(&self, name: &str) -> Result<Option<Cluster>, StoreError> {
        let item = self.item(CLUSTER_PK.into(), name.into()).await?;
        Ok(match item {
            Some(item) => self.read_cluster(item)?,
            None => None,
        })
    }

    /// All registered clusters by name.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn clusters(&self) -> Result<Vec<Cluster>, StoreError> {
        let items = self.partition(CLUSTER_PK.into()).await?;
        let clusters = items.into_iter().map(|item| self.read_cluster(item));
        Ok(clusters
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Registers a cluster and returns the generation of its key: the first, or the one after that of its
    /// tombstone.
    ///
    /// # Errors
    /// If it is registered already.
    pub async fn add_cluster(&self, name: &str) -> Result<u32, StoreError> {
        const REVIVE: &str = "SET #generation = #generation + :one, #deleted = :false, \
            #suspended = :false REMOVE #connected_namespaces, #connected_root_key";
        const IS_TOMBSTONE: &str = "#deleted = :true";

        let new = ClusterItem {
            pk: CLUSTER_PK.into(),
            sk: name.into(),
            generation: FIRST_GENERATION,
            suspended: false,
            deleted: false,
        };
        let item: Item = serde_dynamo::to_item(&new).map_err(StoreError::Unwritable)?;
        let condition = "attribute_not_exists(#pk)";
        let put = self
            .client
            .put_item()
            .table_name(&self.rules)
            .set_item(Some(item))
            .condition_expression(condition)
            .set_expression_attribute_names(names(&[condition]))
            .send()
            .await;
        match put {
            Ok(_) => return Ok(FIRST_GENERATION),
            Err(error) if is_code(&error, CONDITION_FAILED) => {}
            Err(error) => return Err(unavailable("writing to", &self.rules)(error)),
        }
        let revived = self
            .update_cluster(
                name,
                REVIVE,
                IS_TOMBSTONE,
                &[
                    (":one", AttributeValue::N("1".into())),
                    (":true", AttributeValue::Bool(true)),
                    (":false", AttributeValue::Bool(false)),
                ],
                ReturnValue::AllNew,
            )
            .await;
        let attributes = self.registered(name, revived, StoreError::ClusterExists)?;
        self.generation(attributes)
    }

    /// Drops the events of a cluster, or takes them again.
    ///
    /// # Errors
    /// If there is no such cluster.
    pub async fn suspend_cluster(&self, name: &str, suspended: bool) -> Result<Suspension, StoreError> {
        let updated = self
            .update_cluster(
                name,
                "SET #suspended = :suspended",
                IS_REGISTERED,
                &[
                    (":suspended", AttributeValue::Bool(suspended)),
                    (":false", AttributeValue::Bool(false)),
                ],
                ReturnValue::UpdatedOld,
            )
            .await;
        let old = self.registered(name, updated, StoreError::ClusterNotFound)?;
        let before = old
            .get("suspended")
            .and_then(|value| value.as_bool().ok().copied());
        Ok(if before.unwrap_or_default() == suspended {
            Suspension::Unchanged
        } else {
            Suspension::Changed
        })
    }

    /// Raises the generation: the key in use is dead. Returns the new one.
    ///
    /// # Errors
    /// If there is no such cluster.
    pub async fn revoke_cluster(&self, name: &str) -> Result<u32, StoreError> {
        let updated = self
            .update_cluster(
                name,
                // What was printed before is of no use with the new key.
                "SET #generation = #generation + :one REMOVE #connected_namespaces, #connected_root_key",
                IS_REGISTERED,
                &[
                    (":one", AttributeValue::N("1".into())),
                    (":false", AttributeValue::Bool(false)),
                ],
                ReturnValue::AllNew,
            )
            .await;
        let attributes = self.registered(name, updated, StoreError::ClusterNotFound)?;
        self.generation(attributes)
    }

    /// Leaves a tombstone of a cluster that has no objects of its own any more.
    ///
    /// # Errors
    /// If there is no such cluster, or it has objects of its own.
    pub async fn delete_cluster(&self, name: &str) -> Result<(), StoreError> {
        if self.cluster(name).await?.is_none() {
            return Err(StoreError::ClusterNotFound(name.into()));
        }
        let scope = Scope::Cluster(name.into());
        let mut objects = self.list(Kind::CommitStatus, Some(&scope)).await?;
        objects.extend(self.list(Kind::Provider, Some(&scope)).await?);
        if !objects.is_empty() {
            let mut named: Vec<String> = objects
                .iter()
                .take(NAMED_OBJECTS)
                .map(|(_, object)| object.id().to_string())
                .collect();
            if objects.len() > NAMED_OBJECTS {
                named.push(format!("{} more", objects.len() - NAMED_OBJECTS));
            }
            return Err(StoreError::ClusterInUse {
                cluster: name.into(),
                objects: named,
            });
        }
        let updated = self
            .update_cluster(
                name,
                "SET #deleted = :true, #suspended = :false REMOVE #connected_namespaces, #connected_root_key",
                IS_REGISTERED,
                &[
                    (":true", AttributeValue::Bool(true)),
                    (":false", AttributeValue::Bool(false)),
                ],
                ReturnValue::None,
            )
            .await;
        self.registered(name, updated, StoreError::ClusterNotFound)
            .map(drop)
    }

    /// Remembers which namespaces the printed Alerts watch, and from which version of the root key the printed key was
    /// made. `cluster` is as it was when that key was made.
    ///
    /// # Errors
    /// If it was removed or revoked since: then the printed key is worth nothing.
    pub async fn remember_connected(
        &self,
        cluster: &Cluster,
        namespaces: &BTreeSet<String>,
        root_key: &str,
    ) -> Result<(), StoreError> {
        let condition = format!("{IS_REGISTERED} AND #generation = :generation");
        let namespaces = AttributeValue::Ss(namespaces.iter().cloned().collect());
        let updated = self
            .update_cluster(
                &cluster.name,
                "SET #connected_namespaces = :namespaces, #connected_root_key = :root_key",
                &condition,
                &[
                    (":namespaces", namespaces),
                    (":root_key", text(root_key)),
                    (":generation", AttributeValue::N(cluster.generation.to_string())),
                    (":false", AttributeValue::Bool(false)),
                ],
                ReturnValue::None,
            )
            .await;
        self.registered(&cluster.name, updated, StoreError::KeyRevoked)
            .map(drop)
    }

    async fn update_cluster(
        &self,
        name: &str,
        update: &str,
        condition: &str,
        values: &[(&str, AttributeValue)],
        returned: ReturnValue,
    ) -> Result<UpdateItemOutput, SdkError<UpdateItemError>> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.rules)
            .key(PK, text(CLUSTER_PK))
            .key(SK, text(name))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(names(&[update, condition]))
            .return_values(returned);
        for (placeholder, value) in values {
            request = request.expression_attribute_values(*placeholder, value.clone());
        }
        request.send().await
    }

    fn registered(
        &self,
        name: &str,
        updated: Result<UpdateItemOutput, SdkError<UpdateItemError>>,
        otherwise: fn(String) -> StoreError,
    ) -> Result<Item, StoreError> {
        match updated {
            Ok(output) => Ok(output.attributes.unwrap_or_default()),
            Err(error) if is_code(&error, CONDITION_FAILED) => Err(otherwise(name.into())),
            Err(error) => Err(unavailable("writing to", &self.rules)(error)),
        }
    }

    fn generation(&self, attributes: Item) -> Result<u32, StoreError> {
        let cluster: ClusterItem = self.read_as(&self.rules, attributes)?;
        Ok(cluster.generation)
    }

    fn read_cluster(&self, item: Item) -> Result<Option<Cluster>, StoreError> {
        let connected = item
            .get(CONNECTED_NAMESPACES)
            .and_then(|value| value.as_ss().ok());
        let connected_namespaces = connected.into_iter().flatten().cloned().collect();
        let connected_root_key = item.get(CONNECTED_ROOT_KEY);
        let connected_root_key = connected_root_key.and_then(|value| value.as_s().ok().cloned());
        let cluster: ClusterItem = self.read_as(&self.rules, item)?;
        Ok((!cluster.deleted).then_some(Cluster {
            name: cluster.sk,
            generation: cluster.generation,
            suspended: cluster.suspended,
            connected_namespaces,
            connected_root_key,
        }))
    }
}
