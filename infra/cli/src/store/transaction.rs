//! Writes in as few transactions as DynamoDB allows, so that an interrupted call can be run again.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use shared::item::{PK, SK};

use super::{Item, Store, StoreError, names, text, unavailable};

/// Items DynamoDB takes in one transaction.
pub(super) const MAX_ITEMS: usize = 100;
/// DynamoDB takes 4 MB in one transaction; the rest is for attribute names and what it counts on top.
const MAX_BYTES: usize = 3 * 1024 * 1024;

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
}

#[derive(Debug, Clone)]
pub(super) enum Condition {
    None,
    /// There is no such item.
    Absent,
    /// The attribute is what was read.
    Unchanged(&'static str, AttributeValue),
}

/// What has to be written for one object.
#[derive(Debug)]
pub(super) struct Plan {
    /// Items that follow from the main one, in any order.
    pub copies: Vec<Write>,
    /// The main item. Alone it says what is applied.
    pub main: Write,
    /// Where one transaction is too small: written first, so that an interrupted call is not taken for a
    /// finished one, and then the main item once more.
    pub split: Option<Split>,
    /// Bytes of one of its items, about.
    pub item_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Split {
    pub begin: Write,
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
pub(super) fn transactions(plans: Vec<Plan>) -> Vec<Vec<Write>> {
    let mut transactions = Vec::new();
    let mut open: Vec<Write> = Vec::new();
    let mut open_bytes = 0;
    for plan in plans {
        let bytes = plan.items() * plan.item_bytes;
        if !plan.fits()
            && let Some(split) = plan.split
        {
            transactions.extend((!open.is_empty()).then(|| std::mem::take(&mut open)));
            open_bytes = 0;
            transactions.extend(split_up(plan.copies, split, plan.item_bytes));
            continue;
        }
        if open.len() + plan.copies.len() + 1 > MAX_ITEMS || open_bytes + bytes > MAX_BYTES {
            transactions.extend((!open.is_empty()).then(|| std::mem::take(&mut open)));
            open_bytes = 0;
        }
        open.push(plan.main);
        open.extend(plan.copies);
        open_bytes += bytes;
    }
    transactions.extend((!open.is_empty()).then_some(open));
    transactions
}

fn split_up(copies: Vec<Write>, split: Split, item_bytes: usize) -> Vec<Vec<Write>> {
    // One place is left for the main item, which must not stand twice in one transaction.
    let per_transaction = (MAX_BYTES / item_bytes.max(1)).clamp(2, MAX_ITEMS) - 1;
    let mut transactions: Vec<Vec<Write>> = copies.chunks(per_transaction).map(<[Write]>::to_vec).collect();
    if transactions.len() < 2 {
        transactions.push(Vec::new());
    }
    if let Some(first) = transactions.first_mut() {
        first.push(split.begin);
    }
    if let Some(last) = transactions.last_mut() {
        last.push(split.end);
    }
    transactions
}

impl Store {
    /// Writes in order; each transaction as a whole or not at all.
    pub(super) async fn write(&self, transactions: Vec<Vec<Write>>) -> Result<(), StoreError> {
        let total = transactions.len();
        for (done, transaction) in transactions.into_iter().enumerate() {
            let written = self.write_one(transaction).await;
            written.map_err(|source| match done {
                0 => source,
                done => StoreError::Unfinished {
                    done,
                    total,
                    source: Box::new(source),
                },
            })?;
        }
        Ok(())
    }

    async fn write_one(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut request = self.client.transact_write_items();
        for write in writes {
            request = request.transact_items(self.transact_item(write)?);
        }
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(is_conflict) => Err(StoreError::Conflict),
            Err(error) => Err(unavailable("writing to", &self.rules)(error)),
        }
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
                let (expression, value) = condition.expression();
                let put = Put::builder()
                    .table_name(&self.rules)
                    .set_item(Some(put))
                    .set_expression_attribute_names(expression.as_deref().and_then(|text| names(&[text])))
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(value.map(|value| [(":read".to_owned(), value)].into()));
                item.put(put.build().map_err(incomplete)?)
            }
            Write::Delete { pk, sk, condition } => {
                let (expression, value) = condition.expression();
                let delete = Delete::builder()
                    .table_name(&self.rules)
                    .key(PK, text(pk))
                    .key(SK, text(sk))
                    .set_expression_attribute_names(expression.as_deref().and_then(|text| names(&[text])))
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(value.map(|value| [(":read".to_owned(), value)].into()));
                item.delete(delete.build().map_err(incomplete)?)
            }
        };
        Ok(item.build())
    }
}

impl Condition {
    fn expression(self) -> (Option<String>, Option<AttributeValue>) {
        match self {
            Self::None => (None, None),
            Self::Absent => (Some("attribute_not_exists(#pk)".into()), None),
            Self::Unchanged(attribute, value) => (Some(format!("#{attribute} = :read")), Some(value)),
        }
    }
}

fn is_conflict(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        return false;
    };
    canceled.cancellation_reasons().iter().any(|reason| {
        matches!(
            reason.code(),
            Some("ConditionalCheckFailed" | "TransactionConflict")
        )
    })
}
