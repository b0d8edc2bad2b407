//! Pace, holds and leases of credentials, one item each in the `statuses` table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use shared::item::{ALONE, CredentialItem, PK, SK, credential_pk};

use super::expression::{Item, Outcome, number, send, text, update};
use crate::outcome::hold_millis;
use crate::pace::{LONGEST_WAIT_MILLIS, PRESSED_MILLIS, Pace, RECOVERED_MILLIS, Slowness, TURNS_KEPT_MILLIS};
use crate::ports::{CredentialStore, Lease, Limit, Slot, Unavailable};

/// Times a slot is asked for while others take them.
const ROUNDS: usize = 10;

const HOLD: &str = "hold a credential";
const SLOW: &str = "slow a credential";
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
const NOT_BUSY: &str = "(attribute_not_exists(#busy_until) OR #busy_until <= :now OR #busy_until = :ours)";
const NOT_SLOWED: &str = "(attribute_not_exists(#slowed_at) OR #slowed_at <= :recovered)";
const NOBODY_WAITS: &str = "(attribute_not_exists(#next_turn) OR #next_turn <= :now \
                            OR attribute_not_exists(#turn_taken_at) OR #turn_taken_at <= :kept)";

/// What stands in `ours` if there was no post before: no lease ends then.
const NO_LEASE: i64 = 0;

impl CredentialsTable {
    /// Moves the next slot on, if the credential is free and nothing else has happened to its slots.
    fn reserving(
        &self,
        credential: &str,
        condition: &str,
        slot: Reserving,
        lease: Option<Lease>,
        now: i64,
    ) -> UpdateItemFluentBuilder {
        let set = if slot.in_turn {
            "SET #next_slot = :next, #turn_taken_at = :now"
        } else {
            "SET #next_slot = :next"
        };
        let pressure = match slot.pressure {
            Pressure::Over => " REMOVE #pressed_since",
            Pressure::Unknown => "",
            Pressure::On => ", #pressed_since = if_not_exists(#pressed_since, :now)",
        };
        let builder = match lease {
            None => self.update(
                credential,
                &format!("{set}{pressure}"),
                &format!("{NOT_HELD} AND {condition}"),
            ),
            Some(lease) => self
                .update(
                    credential,
                    &format!("{set}, #busy_until = :busy_until{pressure}"),
                    &format!("{NOT_HELD} AND {NOT_BUSY} AND {condition}"),
                )
                .expression_attribute_values(":busy_until", number(slot.at + lease.millis))
                .expression_attribute_values(":ours", number(lease.ours.unwrap_or(NO_LEASE))),
        };
        builder
            .expression_attribute_values(":next", number(slot.next))
            .expression_attribute_values(":now", number(now))
            .return_values(ReturnValue::AllOld)
    }

    /// Writes down that the posts come too fast; returns by how many doublings the pace is slowed then.
    async fn slow(
        &self,
        credential: &str,
        mut seen: CredentialItem,
        reserved: i64,
        until: i64,
        now: i64,
    ) -> Result<u32, Unavailable> {
        for _ in 0..ROUNDS {
            let past = slowness(&seen);
            let Some(slower) = Slowness::after_limit(past, reserved, until, now) else {
                break;
            };
            let set = "SET #slowed = :slowed, #slowed_at = :slowed_at";
            let builder = match past {
                None => self.update(credential, set, "attribute_not_exists(#slowed_at)"),
                Some(past) => self
                    .update(credential, set, "#slowed_at = :seen AND #slowed = :doublings")
                    .expression_attribute_values(":seen", number(past.since))
                    .expression_attribute_values(":doublings", number(past.doublings)),
            }
            .expression_attribute_values(":slowed", number(slower.doublings))
            .expression_attribute_values(":slowed_at", number(slower.since));
            match send(builder, SLOW).await? {
                Outcome::Done(_) => return Ok(slower.doublings_at(now)),
                Outcome::Refused(Some(item)) => seen = read(item)?,
                // Somebody removed the item: there is nothing left to slow.
                Outcome::Refused(None) => return Ok(0),
            }
        }
        Ok(doublings(&seen, now))
    }
}

/// A slot and the one after it.
#[derive(Clone, Copy)]
struct Reserving {
    at: i64,
    next: i64,
    pressure: Pressure,
    in_turn: bool,
}

/// What a reservation shows of how much there is to post.
#[derive(Clone, Copy)]
enum Pressure {
    /// The whole burst is left.
    Over,
    Unknown,
    /// It has to wait for its slot.
    On,
}

impl CredentialStore for CredentialsTable {
    async fn reserve(
        &self,
        credential: &str,
        pace: Pace,
        lease: Option<Lease>,
        in_turn: bool,
        now: i64,
    ) -> Result<Slot, Unavailable> {
        let action = "reserve a slot";
        let reserved = |millis: i64, item: &Item| Slot::At {
            millis,
            was_held: holds(item) > 0,
            lease: lease.map(|lease| millis + lease.millis),
        };
        let slot = Reserving {
            at: now,
            next: now + pace.interval_millis,
            pressure: Pressure::Over,
            in_turn,
        };
        let mut free = format!("{NOT_SLOWED} AND (attribute_not_exists(#next_slot) OR #next_slot <= :now)");
        let goes_behind = !in_turn && lease.is_none_or(|lease| lease.ours.is_none());
        if goes_behind {
            free = format!("{free} AND {NOBODY_WAITS}");
        }
        let mut builder = self
            .reserving(credential, &free, slot, lease, now)
            .expression_attribute_values(":recovered", number(now - RECOVERED_MILLIS));
        if goes_behind {
            builder = builder.expression_attribute_values(":kept", number(now - TURNS_KEPT_MILLIS));
        }
        let mut seen = match send(builder, action).await? {
            Outcome::Done(item) => return Ok(reserved(now, &item)),
            Outcome::Refused(item) => item,
        };
        for _ in 0..ROUNDS {
            let item = match seen {
                Some(item) => read(item)?,
                None => return Ok(Slot::NotBefore(now)),
            };
            if let Some(until) = item.hold_until.filter(|until| *until > now) {
                return Ok(Slot::Held {
                    until,
                    reason: item.hold_reason,
                });
            }
            let seen_slot = item.next_slot.unwrap_or(now).max(now);
            let slowed = pace.slowed(doublings(&item, now));
            let at = (seen_slot - slowed.tolerance_millis()).max(now);
            if goes_behind && others_wait(&item, now) {
                return Ok(Slot::NotBefore(at));
            }
            let waits = at > now && !in_turn;
            if let Some(lease) = lease
                && let Some(until) = item.busy_until.filter(|until| *until > now)
                && lease.ours != Some(until)
            {
                if waits {
                    // Whoever has it waits for the next slot already.
                    return Ok(Slot::NotBefore(at));
                }
                return Ok(Slot::Busy(until));
            }
            let is_pressed = item
                .pressed_since
                .is_some_and(|since| since <= now - PRESSED_MILLIS);
            // One waits at a time, whatever the pace: for the next slot.
            let longest = match waits {
                true => slowed.interval_millis.min(LONGEST_WAIT_MILLIS),
                false => LONGEST_WAIT_MILLIS,
            };
            if at > now + longest || waits && is_pressed {
                return Ok(Slot::NotBefore(at));
            }
            let same = match item.next_slot {
                Some(_) => "#next_slot = :seen",
                None => "attribute_not_exists(#next_slot)",
            };
            let slot = Reserving {
                at,
                next: seen_slot + slowed.interval_millis,
                pressure: if waits { Pressure::On } else { Pressure::Unknown },
                in_turn,
            };
            let mut builder = self.reserving(credential, same, slot, lease, now);
            if let Some(slot) = item.next_slot {
                builder = builder.expression_attribute_values(":seen", number(slot));
            }
            match send(builder, action).await? {
                Outcome::Done(item) => return Ok(reserved(at, &item)),
                Outcome::Refused(item) => seen = item,
            }
        }
        // Many others are at it: a little later, then.
        Ok(Slot::NotBefore(now + LONGEST_WAIT_MILLIS))
    }

    async fn next_turn(
        &self,
        credential: &str,
        pace: Pace,
        earliest: i64,
        now: i64,
    ) -> Result<i64, Unavailable> {
        let action = "give a status its turn";
        // Where many wait this is one write, however many ask at once.
        let builder = self
            .update(
                credential,
                "SET #next_turn = #next_turn + :interval",
                &format!("#next_turn >= :earliest AND {NOT_SLOWED}"),
            )
            .expression_attribute_values(":interval", number(pace.interval_millis))
            .expression_attribute_values(":earliest", number(earliest))
            .expression_attribute_values(":recovered", number(now - RECOVERED_MILLIS))
            .return_values(ReturnValue::UpdatedOld);
        let mut seen = match send(builder, action).await? {
            Outcome::Done(old) => return Ok(next_turn_of(&old).unwrap_or(earliest)),
            Outcome::Refused(item) => item,
        };
        for _ in 0..ROUNDS {
            let item = seen.map(read).transpose()?;
            let seen_turn = item.as_ref().and_then(|item| item.next_turn);
            let pace = pace.slowed(item.as_ref().map_or(0, |item| doublings(item, now)));
            let turn = seen_turn.unwrap_or(earliest).max(earliest);
            let same = match seen_turn {
                Some(_) => "#next_turn = :seen",
                None => "attribute_not_exists(#next_turn)",
            };
            let mut builder = self
                .update(credential, "SET #next_turn = :next", same)
                .expression_attribute_values(":next", number(turn + pace.interval_millis));
            if let Some(seen_turn) = seen_turn {
                builder = builder.expression_attribute_values(":seen", number(seen_turn));
            }
            match send(builder, action).await? {
                Outcome::Done(_) => return Ok(turn),
                Outcome::Refused(item) => seen = item,
            }
        }
        // Many others are at it: whoever comes then gets a turn of its own if it has to.
        Ok(earliest)
    }

    async fn end(&self, credential: &str, lease: i64, now: i64) -> Result<(), Unavailable> {
        let builder = self
            .update(credential, "SET #busy_until = :now", "#busy_until = :ours")
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":ours", number(lease));
        send(builder, "let others use a credential").await?;
        Ok(())
    }

    async fn hold(&self, credential: &str, limit: Limit, reason: &str, now: i64) -> Result<u32, Unavailable> {
        let condition = "attribute_not_exists(#hold_until) OR #hold_until < :until";
        let builder = self.holding(credential, condition, limit.until, reason);
        let item = match send(builder, HOLD).await? {
            Outcome::Done(item) | Outcome::Refused(Some(item)) => read(item)?,
            Outcome::Refused(None) => return Ok(0),
        };
        match limit.too_fast {
            Some(reserved) => self.slow(credential, item, reserved, limit.until, now).await,
            None => Ok(doublings(&item, now)),
        }
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
            Outcome::Refused(Some(item)) => Ok(read(item)?.hold_until.unwrap_or(until)),
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

/// Whether others are to be posted before what has no turn.
fn others_wait(item: &CredentialItem, now: i64) -> bool {
    item.next_turn.is_some_and(|turn| turn > now)
        && item
            .turn_taken_at
            .is_some_and(|taken| taken > now - TURNS_KEPT_MILLIS)
}

fn next_turn_of(item: &Item) -> Option<i64> {
    match item.get("next_turn") {
        Some(AttributeValue::N(number)) => number.parse().ok(),
        _ => None,
    }
}

fn read(item: Item) -> Result<CredentialItem, Unavailable> {
    serde_dynamo::from_item(item).map_err(Unavailable::to(READ))
}

fn slowness(item: &CredentialItem) -> Option<Slowness> {
    let since = item.slowed_at?;
    Some(Slowness {
        doublings: item.slowed,
        since,
    })
}

fn doublings(item: &CredentialItem, now: i64) -> u32 {
    slowness(item).map_or(0, |slowness| slowness.doublings_at(now))
}
