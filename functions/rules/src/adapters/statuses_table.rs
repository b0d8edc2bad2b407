//! Desired statuses in the `statuses` table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use shared::State;
use shared::item::{
    EventItem, ObjectItem, PK, SK, STATUS_LIFETIME_SECONDS, StatusItem, due_shard, names_in, object_pk,
};
use shared::message::StatusKey;

use crate::decide::{Decision, Hint, Incoming, decide, rival};
use crate::ports::{EventStore, Newest, StatusStore, Unavailable, Written};
use crate::verdict::{SkipReason, Verdict};

/// When the sweeper sends the hint of a change whose own hint was lost.
const FIRST_ATTEMPT_MILLIS: i64 = 60_000;

/// Times a write is decided anew because the item moved meanwhile. Events of one object come one after the other, so
/// the only rivals are another rule or object on the same context and the poster.
const ROUNDS: usize = 10;

/// The `statuses` table in DynamoDB.
pub struct StatusesTable {
    client: Client,
    table: String,
}

type Item = HashMap<String, AttributeValue>;

/// What a conditional write came to.
enum Outcome {
    Done(Item),
    /// The condition did not hold; the item as it is, if there is one.
    Refused(Option<Item>),
}

impl StatusesTable {
    /// The table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn update(&self, key: &StatusKey, update: &str, condition: &str) -> UpdateItemFluentBuilder {
        let mut builder = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(PK, AttributeValue::S(key.pk.clone()))
            .key(SK, AttributeValue::S(key.sk.clone()))
            .update_expression(update)
            .condition_expression(condition)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for name in names_in(&[update, condition]) {
            builder = builder.expression_attribute_names(format!("#{name}"), name);
        }
        builder
    }

    async fn send(&self, builder: UpdateItemFluentBuilder) -> Result<Outcome, Unavailable> {
        match builder.send().await {
            Ok(answer) => Ok(Outcome::Done(answer.attributes.unwrap_or_default())),
            Err(error) => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(refused) => {
                    Ok(Outcome::Refused(refused.item))
                }
                other => Err(Unavailable::to("write a desired status")(other)),
            },
        }
    }

    /// The common case in one write: newer, same state, already posted, nothing due, not unsure. For a success that
    /// only clears: nothing posted that it would clear. Also written by the same object, so that a collision is seen.
    async fn touch_if_unchanged(
        &self,
        draft: &StatusItem,
        incoming: &Incoming,
        now: i64,
    ) -> Result<Outcome, Unavailable> {
        let update = "SET #order_key = :order_key, #event_id = :event_id, #expires_at = :expires_at";
        let idle = "#order_key < :order_key AND #desired.#state = :state \
                    AND #cluster = :cluster AND #object = :object \
                    AND attribute_not_exists(#due) AND attribute_not_exists(#unsure)";
        let desired = &incoming.desired;
        let condition = if desired.only_clears {
            format!("{idle} AND (attribute_not_exists(#posted) OR #posted.#state = :state)")
        } else if desired.state == State::Failure {
            format!(
                "{idle} AND #posted.#state = :state AND #desired.#reason = :reason AND #posted.#reason = :reason"
            )
        } else {
            format!("{idle} AND #posted.#state = :state")
        };
        let mut builder = self
            .update(&draft.key, update, &condition)
            .expression_attribute_values(":order_key", text(incoming.order_key.as_str()))
            .expression_attribute_values(":event_id", text(&incoming.event_id))
            .expression_attribute_values(":expires_at", number(expires_at(now)))
            .expression_attribute_values(":cluster", text(&draft.cluster))
            .expression_attribute_values(":object", text(&draft.object))
            .expression_attribute_values(":state", text(desired.state.as_str()));
        if desired.state == State::Failure {
            builder = builder.expression_attribute_values(":reason", text(&desired.reason));
        }
        self.send(builder).await
    }

    async fn put(&self, item: &StatusItem) -> Result<Outcome, Unavailable> {
        let attributes: Item =
            serde_dynamo::to_item(item).map_err(Unavailable::to("write a desired status as an item"))?;
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(attributes.clone()))
            .condition_expression("attribute_not_exists(#pk)")
            .expression_attribute_names("#pk", PK)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(_) => Ok(Outcome::Done(attributes)),
            Err(error) => match error.into_service_error() {
                PutItemError::ConditionalCheckFailedException(refused) => Ok(Outcome::Refused(refused.item)),
                other => Err(Unavailable::to("write a desired status")(other)),
            },
        }
    }

    async fn change(
        &self,
        draft: &StatusItem,
        incoming: &Incoming,
        seen: &StatusItem,
        now: i64,
    ) -> Result<Outcome, Unavailable> {
        let rival = rival(seen, draft);
        let update = format!(
            "SET #order_key = :order_key, #event_id = :event_id, #desired = :desired, #rev = :rev, \
             #due = :due, #due_at = :due_at, #context = :context, #rule = :rule, #provider = :provider, \
             #credential = :credential, #cluster = :cluster, #object = :object, \
             #attempts = :zero, #claims = :zero{}{} \
             REMOVE #parked, #ended, #expires_at, #last_error, #unknown_commits",
            if rival.is_some() { ", #rival = :rival" } else { "" },
            match draft.failed_expression {
                Some(_) => ", #failed_expression = :failed_expression",
                None => "",
            }
        );
        let desired = serde_dynamo::to_attribute_value(&incoming.desired)
            .map_err(Unavailable::to("write a desired status as an item"))?;
        let provider = serde_dynamo::to_attribute_value(&draft.provider)
            .map_err(Unavailable::to("write a desired status as an item"))?;
        let mut builder = self
            .as_seen(&update, &draft.key, seen)
            .expression_attribute_values(":order_key", text(incoming.order_key.as_str()))
            .expression_attribute_values(":event_id", text(&incoming.event_id))
            .expression_attribute_values(":desired", desired)
            .expression_attribute_values(":rev", number(seen.rev + 1))
            .expression_attribute_values(":due", text(&due_shard(&draft.key)))
            .expression_attribute_values(":due_at", number(now + FIRST_ATTEMPT_MILLIS))
            .expression_attribute_values(":context", text(&draft.context))
            .expression_attribute_values(":rule", text(&draft.rule.to_string()))
            .expression_attribute_values(":provider", provider)
            .expression_attribute_values(":credential", text(&draft.credential))
            .expression_attribute_values(":cluster", text(&draft.cluster))
            .expression_attribute_values(":object", text(&draft.object))
            .expression_attribute_values(":zero", number(0));
        if let Some(rival) = rival {
            builder = builder.expression_attribute_values(":rival", text(&rival));
        }
        if let Some(failed) = &draft.failed_expression {
            let failed = serde_dynamo::to_attribute_value(failed)
                .map_err(Unavailable::to("write a desired status as an item"))?;
            builder = builder.expression_attribute_values(":failed_expression", failed);
        }
        self.send(builder).await
    }

    async fn touch(
        &self,
        draft: &StatusItem,
        incoming: &Incoming,
        seen: &StatusItem,
        verdict: Verdict,
        now: i64,
    ) -> Result<Outcome, Unavailable> {
        let mut update = String::from("SET #order_key = :order_key, #event_id = :event_id");
        let quiet = verdict == Verdict::Skipped(SkipReason::Severity) || incoming.desired.only_clears;
        if seen.due.is_none() {
            // None while something is due or parked: the poster sets it when that has ended.
            update.push_str(", #expires_at = :expires_at");
        }
        if quiet && seen.due.is_none() {
            update.push_str(", #desired = :desired");
        }
        let collides = rival(seen, draft).is_some();
        if collides {
            update.push_str(", #rival = :rival");
        }
        let mut builder = self
            .as_seen(&update, &draft.key, seen)
            .expression_attribute_values(":order_key", text(incoming.order_key.as_str()))
            .expression_attribute_values(":event_id", text(&incoming.event_id));
        if seen.due.is_none() {
            builder = builder.expression_attribute_values(":expires_at", number(expires_at(now)));
        }
        if quiet && seen.due.is_none() {
            let desired = serde_dynamo::to_attribute_value(&incoming.desired)
                .map_err(Unavailable::to("write a desired status as an item"))?;
            builder = builder.expression_attribute_values(":desired", desired);
        }
        if collides {
            builder = builder.expression_attribute_values(":rival", text(&draft.writer()));
        }
        self.send(builder).await
    }

    /// Remembers the object of `draft` on the status of another, whose state it does not change.
    async fn remember_rival(&self, draft: &StatusItem, seen: &StatusItem) -> Result<Outcome, Unavailable> {
        let condition = "#cluster = :cluster AND #object = :object AND attribute_not_exists(#rival)";
        let builder = self
            .update(&draft.key, "SET #rival = :rival", condition)
            .expression_attribute_values(":rival", text(&draft.writer()))
            .expression_attribute_values(":cluster", text(&seen.cluster))
            .expression_attribute_values(":object", text(&seen.object));
        self.send(builder).await
    }

    /// An update on condition that what was decided on still stands: order, change, whether something is due or
    /// parked, and whether a post is under way.
    fn as_seen(&self, update: &str, key: &StatusKey, seen: &StatusItem) -> UpdateItemFluentBuilder {
        let mut condition = String::from("#order_key = :seen_order AND #rev = :seen_rev");
        condition.push_str(match seen.due {
            Some(_) => " AND #due = :seen_due",
            None => " AND attribute_not_exists(#due)",
        });
        condition.push_str(if seen.unsure {
            " AND attribute_exists(#unsure)"
        } else {
            " AND attribute_not_exists(#unsure)"
        });
        let mut builder = self
            .update(key, update, &condition)
            .expression_attribute_values(":seen_order", text(seen.order_key.as_str()))
            .expression_attribute_values(":seen_rev", number(seen.rev));
        if let Some(due) = &seen.due {
            builder = builder.expression_attribute_values(":seen_due", text(due));
        }
        builder
    }
}

impl EventStore for StatusesTable {
    async fn keep(&self, event: &EventItem) -> Result<(), Unavailable> {
        let item: Item =
            serde_dynamo::to_item(event).map_err(Unavailable::to("write an event as an item"))?;
        // One that was sent again from the dead letters is not the last.
        let condition = "attribute_not_exists(#pk) OR #received_at <= :received_at";
        let put = self.client.put_item().table_name(&self.table);
        let put = put
            .set_item(Some(item))
            .condition_expression(condition)
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#received_at", "received_at")
            .expression_attribute_values(":received_at", number(event.received_at));
        match put.send().await.map_err(SdkError::into_service_error) {
            Ok(_) | Err(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
            Err(error) => Err(Unavailable::to("keep the last event")(error)),
        }
    }
}

impl StatusStore for StatusesTable {
    async fn apply_known(
        &self,
        draft: &StatusItem,
        incoming: &Incoming,
        now: i64,
    ) -> Result<Option<Written>, Unavailable> {
        match self.touch_if_unchanged(draft, incoming, now).await? {
            Outcome::Done(item) => {
                let item = read(item)?;
                let verdict = match item.posted {
                    Some(_) => Verdict::Unchanged,
                    None => Verdict::Skipped(SkipReason::Severity),
                };
                Ok(Some(written(verdict, Hint::None, None, &item)))
            }
            Outcome::Refused(None) => Ok(None),
            Outcome::Refused(Some(item)) => self
                .settle(draft, incoming, Some(read(item)?), now)
                .await
                .map(Some),
        }
    }

    async fn create(
        &self,
        draft: &StatusItem,
        incoming: &Incoming,
        now: i64,
    ) -> Result<Written, Unavailable> {
        self.settle(draft, incoming, None, now).await
    }

    async fn newest(&self, draft: &StatusItem) -> Result<Option<Newest>, Unavailable> {
        let key = object_key(draft);
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(PK, AttributeValue::S(key.pk))
            .key(SK, AttributeValue::S(key.sk))
            .consistent_read(true)
            .send()
            .await
            .map_err(Unavailable::to("read an object's newest commit"))?;
        let Some(item) = answer.item else {
            return Ok(None);
        };
        let item: ObjectItem =
            serde_dynamo::from_item(item).map_err(Unavailable::to("understand an object's item"))?;
        Ok(Some(Newest {
            commit: item.newest,
            status: item.status,
            instant: item.order_key,
        }))
    }

    async fn remember(
        &self,
        draft: &StatusItem,
        instant: &str,
        seen: Option<&Newest>,
        now: i64,
    ) -> Result<bool, Unavailable> {
        let action = "remember an object's newest commit";
        let update =
            "SET #newest = :newest, #status = :status, #order_key = :order_key, #expires_at = :expires_at";
        let condition = match seen {
            Some(_) => "#newest = :seen",
            None => "attribute_not_exists(#pk)",
        };
        let status: AttributeValue =
            serde_dynamo::to_attribute_value(&draft.key).map_err(Unavailable::to(action))?;
        let mut builder = self
            .update(&object_key(draft), update, condition)
            .expression_attribute_values(":newest", text(draft.key.sha()))
            .expression_attribute_values(":status", status)
            .expression_attribute_values(":order_key", text(instant))
            .expression_attribute_values(":expires_at", number(expires_at(now)));
        if let Some(seen) = seen {
            builder = builder.expression_attribute_values(":seen", text(seen.commit.as_str()));
        }
        Ok(matches!(self.send(builder).await?, Outcome::Done(_)))
    }

    async fn supersede(
        &self,
        key: &StatusKey,
        incoming: &Incoming,
        now: i64,
    ) -> Result<Option<Written>, Unavailable> {
        let update = "SET #order_key = :order_key, #event_id = :event_id, #desired = :desired, \
                      #rev = #rev + :one, #due = :due, #due_at = :due_at, #attempts = :zero, #claims = :zero \
                      REMOVE #parked, #ended, #expires_at, #last_error, #unknown_commits";
        let condition = "#desired.#state = :pending AND #order_key < :order_key";
        let desired = serde_dynamo::to_attribute_value(&incoming.desired)
            .map_err(Unavailable::to("write a desired status as an item"))?;
        let builder = self
            .update(key, update, condition)
            .expression_attribute_values(":order_key", text(incoming.order_key.as_str()))
            .expression_attribute_values(":event_id", text(&incoming.event_id))
            .expression_attribute_values(":desired", desired)
            .expression_attribute_values(":pending", text(State::Pending.as_str()))
            .expression_attribute_values(":due", text(&due_shard(key)))
            .expression_attribute_values(":due_at", number(now + FIRST_ATTEMPT_MILLIS))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":zero", number(0));
        match self.send(builder).await? {
            Outcome::Done(item) => Ok(Some(written(Verdict::Changed, Hint::Send, None, &read(item)?))),
            Outcome::Refused(Some(item)) => {
                let item = read(item)?;
                // Closed by an earlier delivery of the same event, whose hint may be lost.
                let again = item.event_id == incoming.event_id && item.is_due();
                Ok(again.then(|| written(Verdict::Duplicate, Hint::Send, None, &item)))
            }
            Outcome::Refused(None) => Ok(None),
        }
    }
}

impl StatusesTable {
    /// Decides and writes until a write goes through. `seen`: the item as it was last read.
    async fn settle(
        &self,
        draft: &StatusItem,
        incoming: &Incoming,
        mut seen: Option<StatusItem>,
        now: i64,
    ) -> Result<Written, Unavailable> {
        for _ in 0..ROUNDS {
            let decision = decide(seen.as_ref(), incoming);
            let rival = seen.as_ref().and_then(|item| rival(item, draft));
            let (outcome, verdict, hint) = match (decision, &seen) {
                (Decision::Leave(verdict, hint), Some(item)) => {
                    if rival.is_none() || item.rival.is_some() {
                        return Ok(written(verdict, hint, rival, item));
                    }
                    // Once: of more than two objects the first that was seen is enough.
                    (self.remember_rival(draft, item).await?, verdict, hint)
                }
                (Decision::Touch(verdict), Some(item)) => (
                    self.touch(draft, incoming, item, verdict, now).await?,
                    verdict,
                    Hint::None,
                ),
                (Decision::Change, Some(item)) => (
                    self.change(draft, incoming, item, now).await?,
                    Verdict::Changed,
                    Hint::Send,
                ),
                (Decision::Remember, _) => {
                    let remembered = StatusItem {
                        due: None,
                        due_at: None,
                        rev: 0,
                        expires_at: Some(expires_at(now)),
                        ..draft.clone()
                    };
                    (
                        self.put(&remembered).await?,
                        Verdict::Skipped(SkipReason::Severity),
                        Hint::None,
                    )
                }
                (Decision::Create | Decision::Change | Decision::Touch(_) | Decision::Leave(..), _) => {
                    let created = StatusItem {
                        due_at: Some(now + FIRST_ATTEMPT_MILLIS),
                        ..draft.clone()
                    };
                    (self.put(&created).await?, Verdict::Changed, Hint::Send)
                }
            };
            match outcome {
                Outcome::Done(item) => return Ok(written(verdict, hint, rival, &read(item)?)),
                Outcome::Refused(item) => seen = item.map(read).transpose()?,
            }
        }
        Err(Unavailable::to("write a desired status")(
            "others kept changing it".to_owned(),
        ))
    }
}

/// Key of what the object of a status reported to its rule.
fn object_key(draft: &StatusItem) -> StatusKey {
    StatusKey {
        pk: object_pk(&draft.cluster, &draft.object),
        sk: draft.rule.to_string(),
    }
}

fn written(verdict: Verdict, hint: Hint, rival: Option<String>, item: &StatusItem) -> Written {
    Written {
        verdict,
        hint,
        rev: item.rev,
        claims: item.claims,
        rival,
    }
}

fn read(item: Item) -> Result<StatusItem, Unavailable> {
    serde_dynamo::from_item(item).map_err(Unavailable::to("understand a status item"))
}

fn expires_at(now: i64) -> i64 {
    now / 1000 + STATUS_LIFETIME_SECONDS
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
