//! Rules with the copies for their event sources, and Providers.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Serialize;
use shared::item::{ProviderItem, RuleItem, provider_pk, rule_pk, source_pk};
use shared::kinds::{ObjectName, OnSuperseded};
use shared::{CommitStatusRule, Provider, Scope};

use super::transaction::{Condition, Plan, Split, Transaction, Write, transactions};
use super::{Item, Store, StoreError};
use crate::object::{Kind, Object, ObjectId};

/// Attribute of the rule itself, in its item and in the copies.
const RULE: &str = "rule";
/// Attribute of the Provider itself.
const PROVIDER: &str = "provider";
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

/// An object as it stands in the table, or that it does not. What is planned with it is only written while it still
/// stands so.
#[derive(Debug, Clone)]
pub struct Seen {
    scope: Scope,
    id: ObjectId,
    item: Option<Item>,
}

impl Seen {
    /// Which object.
    pub const fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Whether it is applied.
    pub const fn is_applied(&self) -> bool {
        self.item.is_some()
    }

    fn pk(&self) -> String {
        partition_of(self.id.kind, &self.scope)
    }

    fn sk(&self) -> String {
        self.id.name.to_string()
    }
}

/// What would become of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// As it would be applied.
    pub object: Object,
    /// As it is applied, if it is.
    pub before: Option<Object>,
    /// What would become of it.
    pub verb: Verb,
}

/// What a call would write, and over what.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Providers first, then rules, each in the order they were given.
    pub objects: Vec<Planned>,
    pub(super) transactions: Vec<Transaction>,
}

impl Prepared {
    /// How many transactions it takes.
    pub const fn transactions(&self) -> usize {
        self.transactions.len()
    }
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
    /// Applies validated objects. Up to 99 items, an item for each rule, event source and Provider, this is
    /// one transaction; beyond that it is an ordered sequence that may be run again.
    ///
    /// # Errors
    /// If DynamoDB does not answer, or somebody else changed one of the objects meanwhile.
    pub async fn apply(
        &self,
        scope: &Scope,
        objects: &[Object],
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let prepared = self.prepare(scope, objects, now).await?;
        self.commit(prepared, &mut || ()).await
    }

    /// Looks what applying validated objects would change. Writes nothing.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn prepare(
        &self,
        scope: &Scope,
        objects: &[Object],
        now: Timestamp,
    ) -> Result<Prepared, StoreError> {
        let mut objects: Vec<&Object> = objects.iter().collect();
        // A stable sort: Providers first, so that no rule is there before what it refers to.
        objects.sort_by_key(|object| object.kind());
        let mut planned = Vec::with_capacity(objects.len());
        let mut plans = Vec::new();
        for object in objects {
            let seen = self.see(scope, &object.id()).await?;
            let (one, plan) = self.plan(&seen, object, now)?;
            planned.push(one);
            plans.extend(plan);
        }
        Ok(Prepared {
            objects: planned,
            transactions: transactions(plans),
        })
    }

    /// As [`Store::prepare`], over an object that was seen before.
    ///
    /// # Errors
    /// If the item cannot be read.
    pub fn prepare_over(&self, seen: &Seen, object: &Object, now: Timestamp) -> Result<Prepared, StoreError> {
        let (planned, plan) = self.plan(seen, object, now)?;
        Ok(Prepared {
            objects: vec![planned],
            transactions: transactions(plan.into_iter().collect()),
        })
    }

    /// Writes what was prepared, and calls `written` after each transaction.
    ///
    /// # Errors
    /// If DynamoDB does not answer, or somebody else changed one of the objects since it was looked at.
    pub async fn commit(&self, prepared: Prepared, written: &mut dyn FnMut()) -> Result<Written, StoreError> {
        let transactions = prepared.transactions();
        self.write(prepared.transactions, written).await?;
        let changes = prepared.objects.iter().map(|planned| Change {
            object: planned.object.id(),
            verb: planned.verb,
        });
        Ok(Written {
            changes: changes.collect(),
            transactions,
        })
    }

    /// Deletes objects, rules with all their copies. Rules go before Providers.
    ///
    /// # Errors
    /// If DynamoDB does not answer, or somebody else changed one of the objects meanwhile.
    pub async fn delete(&self, scope: &Scope, objects: &[ObjectId]) -> Result<Deleted, StoreError> {
        let mut seen = Vec::with_capacity(objects.len());
        for id in objects {
            seen.push(self.see(scope, id).await?);
        }
        self.remove(&seen).await
    }

    /// As [`Store::delete`], with objects that were seen before.
    ///
    /// # Errors
    /// If DynamoDB does not answer, or somebody else changed one of the objects since it was seen.
    pub async fn remove(&self, seen: &[Seen]) -> Result<Deleted, StoreError> {
        let mut seen: Vec<&Seen> = seen.iter().collect();
        seen.sort_by_key(|seen| std::cmp::Reverse(seen.id.kind));
        let (mut deleted, mut not_found, mut leaving, mut plans) = (vec![], vec![], vec![], vec![]);
        for seen in seen {
            let Some(item) = &seen.item else {
                not_found.push(seen.id.clone());
                continue;
            };
            deleted.push(seen.id.clone());
            plans.push(match seen.id.kind {
                Kind::Provider => Plan {
                    object: seen.id.clone(),
                    copies: Vec::new(),
                    main: Write::Delete {
                        pk: seen.pk(),
                        sk: seen.sk(),
                        condition: as_read(seen),
                    },
                    split: None,
                    item_bytes: ITEM_OVERHEAD,
                },
                Kind::CommitStatus => {
                    let applied: RuleItem = self.read_as(&self.rules, item.clone())?;
                    if applied.rule.spec.on_superseded == OnSuperseded::Leave {
                        leaving.push(seen.id.clone());
                    }
                    plan_delete(seen, item, &applied.rule)
                }
            });
        }
        let transactions = transactions(plans);
        let count = transactions.len();
        self.write(transactions, &mut || ()).await?;
        Ok(Deleted {
            deleted,
            not_found,
            leaving,
            transactions: count,
        })
    }

    /// An object as it stands now.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn see(&self, scope: &Scope, id: &ObjectId) -> Result<Seen, StoreError> {
        let pk = partition_of(id.kind, scope);
        Ok(Seen {
            item: self.item(pk, id.name.to_string()).await?,
            scope: scope.clone(),
            id: id.clone(),
        })
    }

    /// Every object of a scope as it stands now.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn see_all(&self, scope: &Scope) -> Result<Vec<(Seen, Object)>, StoreError> {
        let mut found = Vec::new();
        for kind in [Kind::Provider, Kind::CommitStatus] {
            for item in self.partition(partition_of(kind, scope)).await? {
                let (_, object) = self.object(kind, item.clone())?;
                let seen = Seen {
                    scope: scope.clone(),
                    id: object.id(),
                    item: Some(item),
                };
                found.push((seen, object));
            }
        }
        Ok(found)
    }

    /// What was seen, if it was there.
    ///
    /// # Errors
    /// If the item cannot be read.
    pub fn seen_object(&self, seen: &Seen) -> Result<Option<Object>, StoreError> {
        let item = seen.item.clone();
        let object = item.map(|item| self.object(seen.id.kind, item)).transpose()?;
        Ok(object.map(|(_, object)| object))
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

    fn plan(
        &self,
        seen: &Seen,
        object: &Object,
        now: Timestamp,
    ) -> Result<(Planned, Option<Plan>), StoreError> {
        let before = self.seen_object(seen)?;
        let stays = seen.item.as_ref().is_none_or(|item| unfinished(item).is_empty());
        let verb = match &before {
            None => Verb::Created,
            Some(before) if before == object && stays => Verb::Unchanged,
            Some(_) => Verb::Configured,
        };
        let plan = match (verb, object) {
            (Verb::Unchanged, _) => None,
            (_, Object::Provider(provider)) => Some(plan_provider(seen, provider, now)?),
            (_, Object::CommitStatus(rule)) => Some(plan_rule(seen, before.as_ref(), rule, now)?),
        };
        let planned = Planned {
            object: object.clone(),
            before,
            verb,
        };
        Ok((planned, plan))
    }
}

fn plan_provider(seen: &Seen, provider: &Provider, now: Timestamp) -> Result<Plan, StoreError> {
    let item = to_item(&ProviderItem {
        pk: seen.pk(),
        sk: seen.sk(),
        provider: provider.clone(),
        applied_at: now.to_string(),
    })?;
    Ok(Plan {
        object: seen.id.clone(),
        copies: Vec::new(),
        main: Write::Put {
            item,
            condition: as_read(seen),
        },
        split: None,
        item_bytes: bytes_of(provider),
    })
}

fn plan_rule(
    seen: &Seen,
    before: Option<&Object>,
    rule: &CommitStatusRule,
    now: Timestamp,
) -> Result<Plan, StoreError> {
    let (pk, sk) = (seen.pk(), seen.sk());
    let mut old_sources = seen.item.as_ref().map(unfinished).unwrap_or_default();
    if let Some(Object::CommitStatus(before)) = before {
        old_sources.extend(source_partitions(&seen.scope, before));
    }
    let new_sources = source_partitions(&seen.scope, rule);
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
    let condition = as_read(seen);
    let marked = marked(main.clone(), old_sources.union(&new_sources).cloned().collect());
    let begun = as_it_is(Kind::CommitStatus, &marked);
    let split = Split {
        between: Write::Check {
            pk,
            sk: sk.clone(),
            condition: begun.clone(),
        },
        begin: Write::Put {
            item: marked,
            condition: condition.clone(),
        },
        end: Write::Put {
            condition: begun,
            item: main.clone(),
        },
    };
    Ok(Plan {
        object: seen.id.clone(),
        copies,
        main: Write::Put {
            item: main,
            condition,
        },
        split: Some(split),
        item_bytes: bytes_of(rule),
    })
}

fn plan_delete(seen: &Seen, item: &Item, rule: &CommitStatusRule) -> Plan {
    let (pk, sk) = (seen.pk(), seen.sk());
    let mut sources = source_partitions(&seen.scope, rule);
    sources.extend(unfinished(item));
    let condition = as_read(seen);
    let main = |condition| Write::Delete {
        pk: pk.clone(),
        sk: sk.clone(),
        condition,
    };
    let copies = sources.iter().map(|pk| delete(pk, &sk)).collect();
    let marked = marked(item.clone(), sources.into_iter().collect());
    let begun = as_it_is(Kind::CommitStatus, &marked);
    Plan {
        object: seen.id.clone(),
        copies,
        main: main(condition.clone()),
        split: Some(Split {
            between: Write::Check {
                pk: pk.clone(),
                sk: sk.clone(),
                condition: begun.clone(),
            },
            begin: Write::Put {
                item: marked,
                condition,
            },
            end: main(begun),
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

/// Two people who apply the same object must not undo each other's work unseen, nor leave copies of both.
fn as_read(seen: &Seen) -> Condition {
    let item = seen.item.as_ref();
    item.map_or(Condition::Absent, |item| as_it_is(seen.id.kind, item))
}

fn as_it_is(kind: Kind, item: &Item) -> Condition {
    let attributes: &[&'static str] = match kind {
        Kind::Provider => &[PROVIDER],
        Kind::CommitStatus => &[RULE, UNFINISHED],
    };
    let attributes = attributes.iter();
    Condition::AsRead(attributes.map(|name| (*name, item.get(*name).cloned())).collect())
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
