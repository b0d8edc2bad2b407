//! Rules with the copies for their event sources, and Providers.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Serialize;
use shared::item::{ProviderItem, RuleItem, provider_pk, rule_pk, source_pk};
use shared::kinds::{ObjectName, OnSuperseded};
use shared::{CommitStatusRule, Provider, Scope};

use super::transaction::{Condition, Plan, Split, Write, transactions};
use super::{Item, Store, StoreError};
use crate::object::{Kind, Object, ObjectId};

/// Attribute of the rule itself, in its item and in the copies.
const RULE: &str = "rule";
/// Partitions that may hold copies which no version of the rule names any more, while a rule too large for
/// one transaction is being written.
const UNFINISHED: &str = "unfinished";
/// About what an item has besides the rule: keys, names and numbers.
const ITEM_OVERHEAD: usize = 512;

/// What became of an applied object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It is new.
    Created,
    /// It was another one.
    Configured,
    /// It is as it was; nothing was written.
    Unchanged,
}

impl Verb {
    /// As kubectl prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// One applied object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub object: ObjectId,
    /// What became of it.
    pub verb: Verb,
}

/// Everything applied by a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Providers first, then rules, each in the order they were given.
    pub changes: Vec<Change>,
    /// How many transactions it took.
    pub transactions: usize,
}

/// Everything deleted by a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// What was there.
    pub deleted: Vec<ObjectId>,
    /// What was not.
    pub not_found: Vec<ObjectId>,
    /// Of the deleted, the rules that leave what is pending as it is.
    pub leaving: Vec<ObjectId>,
    /// How many transactions it took.
    pub transactions: usize,
}

impl Store {
    /// Applies validated objects. Up to 100 items, an item for each rule, event source and Provider, this is
    /// one transaction; beyond that it is an ordered sequence that may be run again.
    ///
    /// # Errors
    /// If DynamoDB does not answer, or somebody else changed one of the rules meanwhile.
    pub async fn apply(
        &self,
        scope: &Scope,
        objects: &[Object],
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut objects: Vec<&Object> = objects.iter().collect();
        // A stable sort: Providers first, so that no rule is there before what it refers to.
        objects.sort_by_key(|object| object.kind());
        let mut changes = Vec::new();
        let mut plans = Vec::new();
        for object in objects {
            let (verb, plan) = match object {
                Object::Provider(provider) => self.plan_provider(scope, provider, now).await?,
                Object::CommitStatus(rule) => self.plan_rule(scope, rule, now).await?,
            };
            changes.push(Change {
                object: object.id(),
                verb,
            });
            plans.extend(plan);
        }
        let transactions = transactions(plans);
        let count = transactions.len();
        self.write(transactions).await?;
        Ok(Written {
            changes,
            transactions: count,
        })
    }

    /// Deletes objects, rules with all their copies. Rules go before Providers.
    ///
    /// # Errors
    /// If DynamoDB does not answer, or somebody else changed one of the rules meanwhile.
    pub async fn delete(&self, scope: &Scope, objects: &[ObjectId]) -> Result<Deleted, StoreError> {
        let mut objects: Vec<&ObjectId> = objects.iter().collect();
        objects.sort_by_key(|object| std::cmp::Reverse(object.kind));
        let (mut deleted, mut not_found, mut leaving, mut plans) = (vec![], vec![], vec![], vec![]);
        for id in objects {
            let sk = id.name.to_string();
            let pk = partition_of(id.kind, scope);
            let Some(item) = self.item(pk.clone(), sk.clone()).await? else {
                not_found.push(id.clone());
                continue;
            };
            deleted.push(id.clone());
            plans.push(match id.kind {
                Kind::Provider => Plan {
                    copies: Vec::new(),
                    main: Write::Delete {
                        pk,
                        sk,
                        condition: Condition::None,
                    },
                    split: None,
                    item_bytes: ITEM_OVERHEAD,
                },
                Kind::CommitStatus => {
                    let applied: RuleItem = self.read_as(&self.rules, item.clone())?;
                    if applied.rule.spec.on_superseded == OnSuperseded::Leave {
                        leaving.push(id.clone());
                    }
                    plan_delete(scope, pk, sk, item, &applied.rule)
                }
            });
        }
        let transactions = transactions(plans);
        let count = transactions.len();
        self.write(transactions).await?;
        Ok(Deleted {
            deleted,
            not_found,
            leaving,
            transactions: count,
        })
    }

    /// All objects of a kind, sorted by scope, namespace and name; of every scope if none is given.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn list(&self, kind: Kind, scope: Option<&Scope>) -> Result<Vec<(Scope, Object)>, StoreError> {
        let prefix = match kind {
            Kind::CommitStatus => "rule#",
            Kind::Provider => "provider#",
        };
        let items = match scope {
            Some(scope) => self.partition(partition_of(kind, scope)).await?,
            None => self.partitions(prefix).await?,
        };
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let (pk, object) = self.object(kind, item)?;
            let scope = Scope::parse(pk.strip_prefix(prefix).unwrap_or_default());
            found.push((scope, object));
        }
        found.sort_by(|(one_scope, one), (other_scope, other)| {
            (one_scope, one.id()).cmp(&(other_scope, other.id()))
        });
        Ok(found)
    }

    /// One Provider.
    ///
    /// # Errors
    /// If DynamoDB does not answer or the item cannot be read.
    pub async fn provider(&self, scope: &Scope, name: &ObjectName) -> Result<Option<Provider>, StoreError> {
        let item = self.item(provider_pk(scope), name.to_string()).await?;
        let item: Option<ProviderItem> = item.map(|item| self.read_as(&self.rules, item)).transpose()?;
        Ok(item.map(|item| item.provider))
    }

    fn object(&self, kind: Kind, item: Item) -> Result<(String, Object), StoreError> {
        Ok(match kind {
            Kind::CommitStatus => {
                let item: RuleItem = self.read_as(&self.rules, item)?;
                (item.pk, Object::CommitStatus(item.rule))
            }
            Kind::Provider => {
                let item: ProviderItem = self.read_as(&self.rules, item)?;
                (item.pk, Object::Provider(item.provider))
            }
        })
    }

    async fn plan_provider(
        &self,
        scope: &Scope,
        provider: &Provider,
        now: Timestamp,
    ) -> Result<(Verb, Option<Plan>), StoreError> {
        let name = provider.metadata.object_name();
        let verb = match self.provider(scope, &name).await? {
            Some(applied) if applied == *provider => return Ok((Verb::Unchanged, None)),
            Some(_) => Verb::Configured,
            None => Verb::Created,
        };
        let item = to_item(&ProviderItem {
            pk: provider_pk(scope),
            sk: name.to_string(),
            provider: provider.clone(),
            applied_at: now.to_string(),
        })?;
        let plan = Plan {
            copies: Vec::new(),
            main: Write::Put {
                item,
                condition: Condition::None,
            },
            split: None,
            item_bytes: bytes_of(provider),
        };
        Ok((verb, Some(plan)))
    }

    pub(super) async fn plan_rule(
        &self,
        scope: &Scope,
        rule: &CommitStatusRule,
        now: Timestamp,
    ) -> Result<(Verb, Option<Plan>), StoreError> {
        let sk = rule.metadata.object_name().to_string();
        let pk = rule_pk(scope);
        let (verb, old_sources, condition) = match self.item(pk.clone(), sk.clone()).await? {
            None => (Verb::Created, BTreeSet::new(), Condition::Absent),
            Some(item) => {
                let unfinished = unfinished(&item);
                let applied: RuleItem = self.read_as(&self.rules, item.clone())?;
                if applied.rule == *rule && unfinished.is_empty() {
                    return Ok((Verb::Unchanged, None));
                }
                let mut old_sources = source_partitions(scope, &applied.rule);
                old_sources.extend(unfinished);
                (Verb::Configured, old_sources, as_read(&item))
            }
        };

        let new_sources = source_partitions(scope, rule);
        let item = |pk: &str| {
            to_item(&RuleItem {
                pk: pk.to_owned(),
                sk: sk.clone(),
                rule: rule.clone(),
                applied_at: now.to_string(),
            })
        };
        let mut copies = Vec::new();
        for pk in &new_sources {
            copies.push(Write::Put {
                item: item(pk)?,
                condition: Condition::None,
            });
        }
        for pk in old_sources.difference(&new_sources) {
            copies.push(delete(pk, &sk));
        }
        let main = item(&pk)?;
        let marked = marked(main.clone(), old_sources.union(&new_sources).cloned().collect());
        let split = Split {
            begin: Write::Put {
                item: marked,
                condition: condition.clone(),
            },
            end: Write::Put {
                condition: as_read(&main),
                item: main.clone(),
            },
        };
        let plan = Plan {
            copies,
            main: Write::Put {
                item: main,
                condition,
            },
            split: Some(split),
            item_bytes: bytes_of(rule),
        };
        Ok((verb, Some(plan)))
    }
}

fn plan_delete(scope: &Scope, pk: String, sk: String, item: Item, rule: &CommitStatusRule) -> Plan {
    let mut sources = source_partitions(scope, rule);
    sources.extend(unfinished(&item));
    let condition = as_read(&item);
    let main = Write::Delete {
        pk,
        sk: sk.clone(),
        condition: condition.clone(),
    };
    Plan {
        copies: sources.iter().map(|pk| delete(pk, &sk)).collect(),
        main: main.clone(),
        split: Some(Split {
            begin: Write::Put {
                item: marked(item, sources.into_iter().collect()),
                condition,
            },
            end: main,
        }),
        item_bytes: ITEM_OVERHEAD,
    }
}

fn partition_of(kind: Kind, scope: &Scope) -> String {
    match kind {
        Kind::CommitStatus => rule_pk(scope),
        Kind::Provider => provider_pk(scope),
    }
}

fn source_partitions(scope: &Scope, rule: &CommitStatusRule) -> BTreeSet<String> {
    let sources = rule.spec.event_sources.iter();
    sources
        .map(|source| {
            let namespace = source.namespace(&rule.metadata);
            source_pk(scope.as_str(), &source.kind, namespace, &source.name)
        })
        .collect()
}

fn delete(pk: &str, sk: &str) -> Write {
    Write::Delete {
        pk: pk.to_owned(),
        sk: sk.to_owned(),
        condition: Condition::None,
    }
}

/// Two people who apply the same rule must not leave copies of both.
fn as_read(item: &Item) -> Condition {
    item.get(RULE)
        .map_or(Condition::None, |rule| Condition::Unchanged(RULE, rule.clone()))
}

fn marked(mut item: Item, partitions: Vec<String>) -> Item {
    item.insert(UNFINISHED.into(), AttributeValue::Ss(partitions));
    item
}

fn unfinished(item: &Item) -> BTreeSet<String> {
    let partitions = item.get(UNFINISHED).and_then(|value| value.as_ss().ok());
    partitions.into_iter().flatten().cloned().collect()
}

fn to_item<T: Serialize>(value: &T) -> Result<Item, StoreError> {
    serde_dynamo::to_item(value).map_err(StoreError::Unwritable)
}

/// What DynamoDB counts, about: names and values of the attributes.
fn bytes_of<T: Serialize>(object: &T) -> usize {
    serde_json::to_vec(object).map_or(0, |json| json.len()) + ITEM_OVERHEAD
}
