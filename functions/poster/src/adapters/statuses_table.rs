//! Claims and records in the `statuses` table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use shared::item::{Posted, STATUS_LIFETIME_SECONDS, StatusItem, due_shard, parked_shard};
use shared::message::StatusKey;

use super::expression::{Item, Outcome, number, send, text, update};
use crate::outcome::{Counts, OPEN_ANSWER_MILLIS, Record, Retry};
use crate::ports::{Claim, Claimed, Recorded, StatusStore, Unavailable};

const RECORD: &str = "record what came of a post";

/// The `statuses` table in DynamoDB.
pub struct StatusesTable {
    client: Client,
    table: String,
}

impl StatusesTable {
    /// The table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn update(&self, key: &StatusKey, expression: &str, condition: &str) -> UpdateItemFluentBuilder {
        update(
            &self.client,
            &self.table,
            (&key.pk, &key.sk),
            expression,
            condition,
        )
    }

    /// Writes `expression` while the claim is ours; `same_rev` also asks that nothing changed since.
    async fn write(
        &self,
        claim: &Claim,
        expression: &str,
        same_rev: bool,
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<Outcome, Unavailable> {
        let condition = if same_rev {
            "#claim_until = :claim AND #rev = :rev"
        } else {
            "#claim_until = :claim"
        };
        let mut builder = self
            .update(&claim.item.key, expression, condition)
            .expression_attribute_values(":claim", number(claim.until));
        if same_rev {
            builder = builder.expression_attribute_values(":rev", number(claim.item.rev));
        }
        for (name, value) in values {
            builder = builder.expression_attribute_values(name, value);
        }
        send(builder, RECORD).await
    }

    /// The claim is no longer ours, so what we did may have come after what the next poster did: once more, then. Its
    /// claim ends with this, or what it records would take the marker away again.
    async fn make_due_again(&self, key: &StatusKey, item: &Item, now: i64) -> Result<Recorded, Unavailable> {
        let others = read(item.clone())?.claim_until.unwrap_or(now);
        let until = (now + OPEN_ANSWER_MILLIS).max(others + 1);
        let expression = "SET #unsure = :true, #due = :due, #due_at = :until, #claim_until = :until \
                          REMOVE #expires_at, #parked, #ended";
        let builder = self
            .update(key, expression, "attribute_exists(#pk)")
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":due", text(&due_shard(key)))
            .expression_attribute_values(":until", number(until));
        send(builder, RECORD).await?;
        Ok(Recorded::Lost)
    }

    async fn posted(&self, claim: &Claim, now: i64) -> Result<Outcome, Unavailable> {
        let posted = Posted {
            state: claim.item.desired.state,
            reason: claim.item.desired.reason.clone(),
            rev: claim.item.rev,
            at: now,
        };
        let posted: AttributeValue =
            serde_dynamo::to_attribute_value(posted).map_err(Unavailable::to(RECORD))?;
        let told =
            "SET #posted = :posted, #settled = :settled, #posts = :posts, #claims = :zero, #attempts = :zero";
        let values = || {
            vec![
                (":settled", number(claim.item.rev)),
                (":posted", posted.clone()),
                (":posts", number(claim.item.posts + 1)),
                (":zero", number(0)),
            ]
        };
        let expression = format!(
            "{told}, #expires_at = :expires_at \
             REMOVE #unsure, #due, #due_at, #turn_at, #claim_until, #ended, #last_error, #unknown_commits"
        );
        let mut whole = values();
        whole.push((":expires_at", number(expires_at(now))));
        match self.write(claim, &expression, true, whole).await? {
            Outcome::Refused(Some(item)) if is_ours(&item, claim) => {
                let expression =
                    format!("{told}, #due_at = :now REMOVE #unsure, #turn_at, #claim_until, #last_error");
                let mut rest = values();
                rest.push((":now", number(now)));
                self.write(claim, &expression, false, rest).await
            }
            // The client repeats a write whose answer was lost, and this is what the first one wrote.
            Outcome::Refused(Some(item)) if item.get("posted") == Some(&posted) => Ok(Outcome::Done(item)),
            outcome => Ok(outcome),
        }
    }

    async fn retry(&self, claim: &Claim, retry: &Retry) -> Result<Outcome, Unavailable> {
        let mut set = String::from("SET #due_at = :due_at, #claims = :zero");
        let mut remove = String::new();
        let mut values = vec![(":due_at", number(retry.due_at)), (":zero", number(0))];
        if let Some(error) = &retry.error {
            set.push_str(", #last_error = :error");
            values.push((":error", text(error)));
        }
        if let Some(turn_at) = retry.turn_at {
            set.push_str(", #turn_at = :turn_at");
            values.push((":turn_at", number(turn_at)));
        }
        match retry.claim_until {
            Some(until) => {
                set.push_str(", #claim_until = :until");
                values.push((":until", number(until)));
            }
            None => remove.push_str(" REMOVE #claim_until"),
        }
        if !retry.open && !claim.item.unsure {
            remove.push_str(if remove.is_empty() {
                " REMOVE #unsure"
            } else {
                ", #unsure"
            });
        }
        let mut whole = values.clone();
        let counter = match retry.counts {
            Counts::Nothing => "",
            Counts::Attempt => {
                whole.push((":count", number(claim.item.attempts + 1)));
                ", #attempts = :count"
            }
            Counts::UnknownCommit => {
                whole.push((":count", number(claim.item.unknown_commits + 1)));
                ", #unknown_commits = :count"
            }
        };
        match self
            .write(claim, &format!("{set}{counter}{remove}"), true, whole)
            .await?
        {
            // What changed meanwhile has no attempt of its own yet.
            Outcome::Refused(Some(item)) if is_ours(&item, claim) => {
                self.write(claim, &format!("{set}{remove}"), false, values).await
            }
            outcome => Ok(outcome),
        }
    }

    /// Parks or ends the change that was claimed; one that came meanwhile is due at once.
    async fn stop(
        &self,
        claim: &Claim,
        set: &str,
        remove: &str,
        error: Option<&String>,
        mut values: Vec<(&str, AttributeValue)>,
        now: i64,
    ) -> Result<Outcome, Unavailable> {
        let unsure = if claim.item.unsure { "" } else { ", #unsure" };
        let (last_error, no_error) = match error {
            Some(_) => (", #last_error = :error", ""),
            None => ("", ", #last_error"),
        };
        let expression = format!(
            "SET {set}, #settled = :settled, #claims = :zero{last_error} REMOVE #claim_until, #turn_at{remove}{unsure}{no_error}"
        );
        values.push((":settled", number(claim.item.rev)));
        values.push((":zero", number(0)));
        if let Some(error) = error {
            values.push((":error", text(error)));
        }
        match self.write(claim, &expression, true, values).await? {
            Outcome::Refused(Some(item)) if is_ours(&item, claim) => {
                let expression = format!(
                    "SET #due_at = :now, #settled = :settled, #claims = :zero REMOVE #claim_until, #turn_at{unsure}"
                );
                let rest = vec![
                    (":now", number(now)),
                    (":settled", number(claim.item.rev)),
                    (":zero", number(0)),
                ];
                self.write(claim, &expression, false, rest).await
            }
            outcome => Ok(outcome),
        }
    }
}

impl StatusStore for StatusesTable {
    async fn claim(&self, key: &StatusKey, now: i64, lease_millis: i64) -> Result<Claimed, Unavailable> {
        let until = now + lease_millis;
        let builder = self
            .update(
                key,
                // Not the date: the index is keyed by it, and nearly every claim ends before it. The sweeper moves it otherwise.
                "SET #unsure = :true, #claim_until = :until, #claims = if_not_exists(#claims, :zero) + :one",
                "begins_with(#due, :due) AND (attribute_not_exists(#claim_until) OR #claim_until <= :now)",
            )
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":until", number(until))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":due", text("due#"))
            .expression_attribute_values(":now", number(now))
            .return_values(ReturnValue::AllOld);
        match send(builder, "claim a status").await? {
            Outcome::Done(item) => Ok(Claimed::Ours(Box::new(Claim {
                item: read(item)?,
                until,
            }))),
            Outcome::Refused(item) => match item.map(read).transpose()? {
                Some(item) if item.is_due() => Ok(Claimed::Busy),
                Some(_) | None => Ok(Claimed::NothingDue),
            },
        }
    }

    async fn record(&self, claim: &Claim, record: &Record, now: i64) -> Result<Recorded, Unavailable> {
        let key = &claim.item.key;
        let outcome = match record {
            Record::Posted => self.posted(claim, now).await?,
            Record::Retry(retry) => self.retry(claim, retry).await?,
            Record::Parked { reason, error } => {
                let values = vec![
                    (":parked", text(reason)),
                    (":due", text(&parked_shard(key))),
                    (":now", number(now)),
                ];
                let set = "#parked = :parked, #due = :due, #due_at = :now";
                self.stop(claim, set, "", error.as_ref(), values, now).await?
            }
            Record::Ended { reason, error } => {
                let values = vec![(":ended", text(reason)), (":expires_at", number(expires_at(now)))];
                let set = "#ended = :ended, #expires_at = :expires_at";
                self.stop(claim, set, ", #due, #due_at", error.as_ref(), values, now)
                    .await?
            }
        };
        match outcome {
            Outcome::Done(item) => {
                let changed = read(item)?.rev != claim.item.rev;
                let waits = matches!(record, Record::Retry(_));
                Ok(if changed && !waits {
                    Recorded::Changed
                } else {
                    Recorded::Done
                })
            }
            Outcome::Refused(Some(item)) => self.make_due_again(key, &item, now).await,
            // Somebody deleted the item: there is nothing to record it on.
            Outcome::Refused(None) => Ok(Recorded::Done),
        }
    }
}

fn is_ours(item: &Item, claim: &Claim) -> bool {
    item.get("claim_until") == Some(&number(claim.until))
}

fn read(item: Item) -> Result<StatusItem, Unavailable> {
    serde_dynamo::from_item(item).map_err(Unavailable::to("understand a status item"))
}

fn expires_at(now: i64) -> i64 {
    now / 1000 + STATUS_LIFETIME_SECONDS
}
