//! Writes in as few transactions as DynamoDB allows, so that an interrupted call can be run again.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem};
use shared::item::{ALONE, PK, SK, VERSION_PK, VersionItem};

use super::{Item, Store, StoreError, names, text, unavailable};
use crate::object::ObjectId;

/// DynamoDB takes 100 items in one transaction, and one of them is the version.
pub(super) const MAX_ITEMS: usize = 99;
/// DynamoDB takes 4 MB in one transaction; the rest is for attribute names and what it counts on top.
const MAX_BYTES: usize = 3 * 1024 * 1024;

/// How often a transaction is tried that met another one at the version, where all meet that write to the table.
const ATTEMPTS: u32 = 8;
/// The second attempt comes within this time, each further one within twice the time before.
const PAUSE: Duration = Duration::from_millis(25);

/// One item to write, and on which condition.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Put {
        item: Item,
        condition: Condition,
    },
    Delete {
        pk: String,
        sk: String,
        condition: Condition,
    },
    /// Nothing is written, but neither is the rest if the condition does not hold.
    Check {
        pk: String,
        sk: String,
        condition: Condition,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Condition {
    None,
    /// There is no such item.
    Absent,
    /// The attributes are what was read; `None` for one that was not there.
    AsRead(Vec<(&'static str, Option<AttributeValue>)>),
}

/// Writes that are made together or not at all, each with the object it is for.
pub(super) type Transaction = Vec<(ObjectId, Write)>;

/// What has to be written for one object.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Which object.
    pub object: ObjectId,
    /// Items that follow from the main one, in any order.
    pub copies: Vec<Write>,
    /// The main item. Alone it says what is applied.
    pub main: Write,
    /// Where one transaction is too small: written first, so that an interrupted call is not taken for a
    /// finished one, and then the main item once more. What is written between holds on to the first, so that two
    /// calls do not mix their copies.
    pub split: Option<Split>,
    /// Bytes of one of its items, about.
    pub item_bytes: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Split {
    pub begin: Write,
    /// That `begin` still stands.
    pub between: Write,
    pub end: Write,
}

impl Plan {
    fn items(&self) -> usize {
        self.copies.len() + 1
    }

    fn fits(&self) -> bool {
        self.items() <= MAX_ITEMS && self.items() * self.item_bytes <= MAX_BYTES
    }
}

/// Whole objects together as long as they fit; an object that never fits in transactions of its own.
pub(super) fn transactions(plans: Vec<Plan>) -> Vec<Transaction> {
    let mut transactions = Vec::new();
    let mut open = Transaction::new();
    let mut open_bytes = 0;
    for plan in plans {
        let bytes = plan.items() * plan.item_bytes;
        if !plan.fits()
            && let Some(split) = plan.split
        {
            transactions.extend((!open.is_empty()).then(|| std::mem::take(&mut open)));
            open_bytes = 0;
            transactions.extend(split_up(&plan.object, plan.copies, split, plan.item_bytes));
            continue;
        }
        if open.len() + plan.copies.len() + 1 > MAX_ITEMS || open_bytes + bytes > MAX_BYTES {
            transactions.extend((!open.is_empty()).then(|| std::mem::take(&mut open)));
            open_bytes = 0;
        }
        let writes = std::iter::once(plan.main).chain(plan.copies);
        open.extend(writes.map(|write| (plan.object.clone(), write)));
        open_bytes += bytes;
    }
    transactions.extend((!open.is_empty()).then_some(open));
    transactions
}

fn split_up(object: &ObjectId, copies: Vec<Write>, split: Split, item_bytes: usize) -> Vec<Transaction> {
    // One place is left for the main item, which must not stand twice in one transaction.
    let per_transaction = (MAX_BYTES / item_bytes.max(1)).clamp(2, MAX_ITEMS) - 1;
    let mut transactions: Vec<Vec<Write>> = copies.chunks(per_transaction).map(<[Write]>::to_vec).collect();
    if transactions.len() < 2 {
        transactions.push(Vec::new());
    }
    let last = transactions.len() - 1;
    for (at, transaction) in transactions.iter_mut().enumerate() {
        transaction.push(match at {
            0 => split.begin.clone(),
            at if at == last => split.end.clone(),
            _ => split.between.clone(),
        });
    }
    let of_object = |write| (object.clone(), write);
    transactions
        .into_iter()
        .map(|transaction| transaction.into_iter().map(of_object).collect())
        .collect()
}

impl Store {
    /// Writes in order; each transaction as a whole or not at all. `written` is called after each.
    pub(super) async fn write(
        &self,
        transactions: Vec<Transaction>,
        written: &mut dyn FnMut(),
    ) -> Result<(), StoreError> {
        let total = transactions.len();
        for (done, transaction) in transactions.into_iter().enumerate() {
            let answer = self.write_one(transaction).await;
            answer.map_err(|source| match done {
                0 => source,
                done => StoreError::Unfinished {
                    done,
                    total,
                    source: Box::new(source),
                },
            })?;
            written();
        }
        Ok(())
    }

    async fn write_one(&self, transaction: Transaction) -> Result<(), StoreError> {
        let mut items = Vec::with_capacity(transaction.len() + 1);
        let mut objects = Vec::with_capacity(transaction.len());
        for (object, write) in transaction {
            items.push(self.transact_item(write)?);
            objects.push(object);
        }
        items.push(self.transact_item(Write::Put {
            item: new_version()?,
            condition: Condition::None,
        })?);
        let mut attempt = 1;
        loop {
            let request = self.client.transact_write_items();
            let error = match request.set_transact_items(Some(items.clone())).send().await {
                Ok(_) => break,
                Err(error) => error,
            };
            match error
                .as_service_error()
                .and_then(|error| conflicts(error, &objects))
            {
                // Somebody applies other objects in the same instant.
                Some(objects) if objects.is_empty() && attempt < ATTEMPTS => {
                    let within = PAUSE * 2_u32.pow(attempt - 1);
                    tokio::time::sleep(within.mul_f64(fastrand::f64())).await;
                    attempt += 1;
                }
                Some(objects) if !objects.is_empty() => return Err(StoreError::Conflict { objects }),
                _ => return Err(unavailable("writing to", &self.rules)(error)),
            }
        }
        // While a transaction is being made, its items are seen one by one: who saw the version before the rest holds the old for
        // the new. It takes milliseconds, and is over now. If this fails all is applied nevertheless, and the hour ends it.
        let put = self.client.put_item().table_name(&self.rules);
        put.set_item(Some(new_version()?)).send().await.ok();
        Ok(())
    }

    fn transact_item(&self, write: Write) -> Result<TransactWriteItem, StoreError> {
        let incomplete = |source| StoreError::Unavailable {
            action: "writing to",
            table: self.rules.clone(),
            source: Box::new(source) as Box<dyn std::error::Error + Send + Sync>,
        };
        let item = TransactWriteItem::builder();
        let item = match write {
            Write::Put { item: put, condition } => {
                let (expression, values) = condition.expression();
                let put = Put::builder()
                    .table_name(&self.rules)
                    .set_item(Some(put))
                    .set_expression_attribute_names(expression.as_deref().and_then(|text| names(&[text])))
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(values);
                item.put(put.build().map_err(incomplete)?)
            }
            Write::Delete { pk, sk, condition } => {
                let (expression, values) = condition.expression();
                let delete = Delete::builder()
                    .table_name(&self.rules)
                    .key(PK, text(pk))
                    .key(SK, text(sk))
                    .set_expression_attribute_names(expression.as_deref().and_then(|text| names(&[text])))
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(values);
                item.delete(delete.build().map_err(incomplete)?)
            }
            Write::Check { pk, sk, condition } => {
                let (expression, values) = condition.expression();
                let check = ConditionCheck::builder()
                    .table_name(&self.rules)
                    .key(PK, text(pk))
                    .key(SK, text(sk))
                    .set_expression_attribute_names(expression.as_deref().and_then(|text| names(&[text])))
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(values);
                item.condition_check(check.build().map_err(incomplete)?)
            }
        };
        Ok(item.build())
    }
}

impl Condition {
    fn expression(self) -> (Option<String>, Option<Item>) {
        match self {
            Self::None => (None, None),
            Self::Absent => (Some("attribute_not_exists(#pk)".into()), None),
            Self::AsRead(attributes) => {
                let mut values = Item::new();
                let mut parts = Vec::with_capacity(attributes.len());
                for (attribute, value) in attributes {
                    parts.push(match &value {
                        Some(_) => format!("#{attribute} = :{attribute}"),
                        None => format!("attribute_not_exists(#{attribute})"),
                    });
                    values.extend(value.map(|value| (format!(":{attribute}"), value)));
                }
                (Some(parts.join(" AND ")), (!values.is_empty()).then_some(values))
            }
        }
    }
}

/// What tells the functions to read again.
fn new_version() -> Result<Item, StoreError> {
    let version = VersionItem {
        pk: VERSION_PK.into(),
        sk: ALONE.into(),
        version: format!("{:016x}", fastrand::u64(..)),
    };
    serde_dynamo::to_item(version).map_err(StoreError::Unwritable)
}

/// The objects somebody else changed or is changing, if that is why nothing was written. DynamoDB gives its reasons in
/// the order of the items; none where it was the version.
fn conflicts(error: &TransactWriteItemsError, objects: &[ObjectId]) -> Option<Vec<ObjectId>> {
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        return None;
    };
    let reasons = canceled.cancellation_reasons();
    let is_conflict = |code| matches!(code, Some("ConditionalCheckFailed" | "TransactionConflict"));
    if !reasons.iter().any(|reason| is_conflict(reason.code())) {
        return None;
    }
    let named = reasons.iter().zip(objects);
    let mut named: Vec<ObjectId> = named
        .filter(|(reason, _)| is_conflict(reason.code()))
        .map(|(_, object)| object.clone())
        .collect();
    named.dedup();
    Some(named)
}
