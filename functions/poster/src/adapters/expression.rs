//! Conditional updates of one item.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use shared::item::{PK, SK, names_in};

use crate::ports::Unavailable;

pub(super) type Item = HashMap<String, AttributeValue>;

/// What a conditional write came to.
pub(super) enum Outcome {
    /// The item after the write, or before it if the builder was told so.
    Done(Item),
    /// The condition did not hold; the item as it is, if there is one.
    Refused(Option<Item>),
}

/// An update that names its attributes as the expressions do and returns the item either way.
pub(super) fn update(
    client: &Client,
    table: &str,
    (pk, sk): (&str, &str),
    expression: &str,
    condition: &str,
) -> UpdateItemFluentBuilder {
    let mut builder = client
        .update_item()
        .table_name(table)
        .key(PK, text(pk))
        .key(SK, text(sk))
        .update_expression(expression)
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    if !condition.is_empty() {
        builder = builder.condition_expression(condition);
    }
    for name in names_in(&[expression, condition]) {
        builder = builder.expression_attribute_names(format!("#{name}"), name);
    }
    builder
}

pub(super) async fn send(
    builder: UpdateItemFluentBuilder,
    action: &'static str,
) -> Result<Outcome, Unavailable> {
    match builder.send().await {
        Ok(answer) => Ok(Outcome::Done(answer.attributes.unwrap_or_default())),
        Err(error) => match error.into_service_error() {
            UpdateItemError::ConditionalCheckFailedException(refused) => Ok(Outcome::Refused(refused.item)),
            other => Err(Unavailable::to(action)(other)),
        },
    }
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
