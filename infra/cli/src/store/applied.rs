//! What is applied, and since when.

use jiff::Timestamp;
use shared::Scope;
use shared::item::{ProviderItem, RuleItem, provider_pk, rule_pk};

use super::{Item, Store, StoreError};
use crate::object::{Kind, Object};

/// An applied object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// For which clusters.
    pub scope: Scope,
    /// The object.
    pub object: Object,
    /// When it was applied last, where that is known.
    pub applied_at: Option<Timestamp>,
}

impl Store {
    /// As [`Store::list`], with when each was applied.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn applied(&self, kind: Kind, scope: Option<&Scope>) -> Result<Vec<Applied>, StoreError> {
        // Of every scope: what each partition begins with.
        let (prefix, partition): (_, fn(&Scope) -> String) = match kind {
            Kind::CommitStatus => ("rule#", rule_pk),
            Kind::Provider => ("provider#", provider_pk),
        };
        let items = match scope {
            Some(scope) => self.partition(partition(scope)).await?,
            None => self.partitions(prefix).await?,
        };
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let (pk, object, applied_at) = self.with_time(kind, item)?;
            found.push(Applied {
                scope: Scope::parse(pk.strip_prefix(prefix).unwrap_or_default()),
                object,
                applied_at: applied_at.parse().ok(),
            });
        }
        found.sort_by(|one, other| (&one.scope, one.object.id()).cmp(&(&other.scope, other.object.id())));
        Ok(found)
    }

    fn with_time(&self, kind: Kind, item: Item) -> Result<(String, Object, String), StoreError> {
        Ok(match kind {
            Kind::CommitStatus => {
                let item: RuleItem = self.read_as(&self.rules, item)?;
                (item.pk, Object::CommitStatus(item.rule), item.applied_at)
            }
            Kind::Provider => {
                let item: ProviderItem = self.read_as(&self.rules, item)?;
                (item.pk, Object::Provider(item.provider), item.applied_at)
            }
        })
    }
}
