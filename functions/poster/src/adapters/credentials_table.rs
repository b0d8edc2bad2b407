//! Pace and holds of credentials, one item each in the `statuses` table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use shared::item::{ALONE, CredentialItem, PK, SK, credential_pk};

use super::expression::{Item, Outcome, number, send, text, update};
use crate::outcome::hold_millis;
use crate::pace::{LONGEST_WAIT_MILLIS, Pace};
use crate::ports::{CredentialStore, Slot, Unavailable};

/// Times a slot is asked for while others take them.
const ROUNDS: usize = 10;

const HOLD: &str = "hold a credential";
const READ: &str = "understand a credential's item";

/// The credentials' items in DynamoDB.
pub struct CredentialsTable {
    client: Client,
    table: String,
}

impl CredentialsTable {
    /// In the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn update(&self, credential: &str, expression: &str, condition: &str) -> UpdateItemFluentBuilder {
        let pk = credential_pk(credential);
        update(&self.client, &self.table, (&pk, ALONE), expression, condition)
    }

    fn holding(
        &self,
        credential: &str,
        condition: &str,
        until: i64,
        reason: &str,
    ) -> UpdateItemFluentBuilder {
        let set =
            "SET #hold_until = :until, #hold_reason = :reason, #holds = if_not_exists(#holds, :zero) + :one";
        self.update(credential, set, condition)
            .expression_attribute_values(":until", number(until))
            .expression_attribute_values(":reason", text(reason))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
    }
}

const NOT_HELD: &str = "(attribute_not_exists(#hold_until) OR #hold_until <= :now)";

impl CredentialStore for CredentialsTable {
    async fn reserve(&self, credential: &str, pace: Pace, now: i64) -> Result<Slot, Unavailable> {
        let action = "reserve a slot";
        let set = "SET #next_slot = :next";
        let free = format!("{NOT_HELD} AND (attribute_not_exists(#next_slot) OR #next_slot <= :now)");
        let builder = self
            .update(credential, set, &free)
            .expression_attribute_values(":next", number(now + pace.interval_millis))
            .expression_attribute_values(":now", number(now))
            .return_values(ReturnValue::AllOld);
        let mut seen = match send(builder, action).await? {
            Outcome::Done(item) => {
                return Ok(Slot::At {
                    millis: now,
                    was_held: was_held(&item),
                });
            }
            Outcome::Refused(item) => item,
        };
        for _ in 0..ROUNDS {
            let item: CredentialItem = match seen {
                Some(item) => serde_dynamo::from_item(item).map_err(Unavailable::to(READ))?,
                None => return Ok(Slot::NotBefore(now)),
            };
            if let Some(until) = item.hold_until.filter(|until| *until > now) {
                return Ok(Slot::Held {
                    until,
                    reason: item.hold_reason,
                });
            }
            let next = item.next_slot.unwrap_or(now).max(now);
            let at = (next - pace.tolerance_millis()).max(now);
            if at > now + LONGEST_WAIT_MILLIS {
                return Ok(Slot::NotBefore(at));
            }
            let same = match item.next_slot {
                Some(_) => format!("{NOT_HELD} AND #next_slot = :seen"),
                None => format!("{NOT_HELD} AND attribute_not_exists(#next_slot)"),
            };
            let mut builder = self
                .update(credential, set, &same)
                .expression_attribute_values(":next", number(next + pace.interval_millis))
                .expression_attribute_values(":now", number(now))
                .return_values(ReturnValue::AllOld);
            if let Some(slot) = item.next_slot {
                builder = builder.expression_attribute_values(":seen", number(slot));
            }
            match send(builder, action).await? {
                Outcome::Done(item) => {
                    return Ok(Slot::At {
                        millis: at,
                        was_held: was_held(&item),
                    });
                }
                Outcome::Refused(item) => seen = item,
            }
        }
        // Many others are at it: a little later, then.
        Ok(Slot::NotBefore(now + LONGEST_WAIT_MILLIS))
    }

    async fn hold(&self, credential: &str, until: i64, reason: &str) -> Result<(), Unavailable> {
        let condition = "attribute_not_exists(#hold_until) OR #hold_until < :until";
        let builder = self.holding(credential, condition, until, reason);
        send(builder, HOLD).await?;
        Ok(())
    }

    async fn refuse(&self, credential: &str, reason: &str, now: i64) -> Result<i64, Unavailable> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(PK, text(&credential_pk(credential)))
            .key(SK, text(ALONE))
            .consistent_read(true)
            .send()
            .await
            .map_err(Unavailable::to("read a credential's holds"))?;
        let until = now + hold_millis(answer.item.as_ref().map_or(0, holds));
        let builder = self
            .holding(credential, NOT_HELD, until, reason)
            .expression_attribute_values(":now", number(now));
        match send(builder, HOLD).await? {
            Outcome::Done(_) | Outcome::Refused(None) => Ok(until),
            Outcome::Refused(Some(item)) => {
                let item: CredentialItem = serde_dynamo::from_item(item).map_err(Unavailable::to(READ))?;
                Ok(item.hold_until.unwrap_or(until))
            }
        }
    }

    async fn release(&self, credential: &str, now: i64) -> Result<(), Unavailable> {
        let condition = format!("attribute_exists(#pk) AND {NOT_HELD}");
        let builder = self
            .update(credential, "REMOVE #hold_until, #hold_reason, #holds", &condition)
            .expression_attribute_values(":now", number(now));
        send(builder, "forget a credential's holds").await?;
        Ok(())
    }
}

fn holds(item: &Item) -> u32 {
    match item.get("holds") {
        Some(AttributeValue::N(number)) => number.parse().unwrap_or(0),
        _ => 0,
    }
}

fn was_held(item: &Item) -> bool {
    holds(item) > 0
}
