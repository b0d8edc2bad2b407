//! The last event of each object and commit, kept for the operator's tool. Pure but for a memory of what was kept.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use shared::item::{EVENT_LIFETIME_SECONDS, EventItem, event_sk, object_pk};
use shared::message::EventMessage;
use shared::{CommitSha, Event};

use crate::evaluate::commit;

/// An event that says what the one before it said is written again only after this: the success of every interval must
/// not cost a second write.
const REFRESH: SignedDuration = SignedDuration::from_hours(6);

/// What was written that is remembered at most; above it the memory starts anew, and costs some writes more. Some forty bytes
/// each: a fleet of 1,000 clusters with 50 objects each is remembered with what it said of a few commits.
const REMEMBERED: usize = 200_000;

/// Characters of a message that are kept: enough for what inclusion and exclusion lists look for, and an item stays within
/// what DynamoDB counts as few writes.
const MAX_MESSAGE_CHARS: usize = 512;

/// Entries of the metadata that are kept, and characters of each value.
const MAX_METADATA: usize = 24;
/// See [`MAX_METADATA`].
const MAX_METADATA_CHARS: usize = 256;

/// What was written, while the function is warm.
#[derive(Debug, Default)]
pub struct LastEvents {
    /// By object and commit: what was said, and when.
    written: Mutex<HashMap<u64, (u64, Timestamp)>>,
}

impl LastEvents {
    /// The item to write for an event, if it says something else than the one before it, or long after it.
    pub fn to_write(&self, message: &EventMessage, now: Timestamp) -> Option<EventItem> {
        let said = said(&message.event, message.generation, message.previous_root_key);
        let key = key(&pk(message), &event_sk(sha(&message.event).as_ref()));
        let is_fresh = {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written
                .get(&key)
                .is_some_and(|(last, at)| *last == said && now.duration_since(*at).abs() < REFRESH)
        };
        // Most are: the item is made for the others only.
        (!is_fresh).then(|| item(message))
    }

    /// The item for an event.
    pub fn item(message: &EventMessage) -> EventItem {
        item(message)
    }

    /// Remembers that it was written.
    pub fn wrote(&self, item: &EventItem, now: Timestamp) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() >= REMEMBERED {
            written.clear();
        }
        let said = said(&item.event, item.generation, item.previous_root_key);
        written.insert(key(&item.pk, &item.sk), (said, now));
    }
}

fn key(pk: &str, sk: &str) -> u64 {
    hash((pk, sk))
}

fn pk(message: &EventMessage) -> String {
    let object = &message.event.involved_object;
    let name = format!("{}/{}/{}", object.kind, object.namespace, object.name);
    object_pk(&message.cluster, &name)
}

/// As a rule that trusts annotations reads it: it is looked for by people, and `explain` shows what each rule makes of it.
fn sha(event: &Event) -> Option<CommitSha> {
    commit(event, true).or_else(|| commit(event, false))
}

/// What makes an event another one for people. Two that are taken for one cost nothing but a later write.
fn said(event: &Event, generation: u32, previous_root_key: bool) -> u64 {
    hash((&event.reason, event.severity, generation, previous_root_key))
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn item(message: &EventMessage) -> EventItem {
    let mut event = message.event.clone();
    let sha = sha(&event);
    let mut is_cut = cut(&mut event.message, MAX_MESSAGE_CHARS);
    while event.metadata.len() > MAX_METADATA {
        is_cut = true;
        // What the controller says begins with its group, or with a small letter; the order is that of the alphabet.
        let added = event.metadata.keys().rev().find(|key| !is_read(key)).cloned();
        match added {
            Some(key) => event.metadata.remove(&key),
            None => break,
        };
    }
    for value in event.metadata.values_mut() {
        is_cut |= cut(value, MAX_METADATA_CHARS);
    }
    let received_at = message.received_at;
    EventItem {
        pk: pk(message),
        sk: event_sk(sha.as_ref()),
        commit7: sha.map(|sha| sha.short().to_owned()),
        cluster: message.cluster.clone(),
        generation: message.generation,
        previous_root_key: message.previous_root_key,
        event_id: message.id.clone(),
        received_at: received_at.as_millisecond(),
        event,
        is_cut,
        expires_at: received_at.as_second().saturating_add(EVENT_LIFETIME_SECONDS),
    }
}

/// What rules read by name.
fn is_read(key: &str) -> bool {
    let bare = key.rsplit('/').next().unwrap_or(key);
    ["revision", "originRevision", "commit", "commit_status", "summary"].contains(&bare)
}

fn cut(text: &mut String, max_chars: usize) -> bool {
    match text.char_indices().nth(max_chars) {
        Some((at, _)) => {
            text.truncate(at);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::{SHA, succeeded};
    use shared::Severity;

    fn message() -> EventMessage {
        EventMessage {
            id: "00112233445566778899aabbccddeeff".into(),
            cluster: "dev".into(),
            generation: 2,
            previous_root_key: false,
            received_at: "2026-08-07T13:13:05Z".parse().unwrap(),
            event: succeeded(),
        }
    }

    fn with(change: impl FnOnce(&mut EventMessage)) -> EventMessage {
        let mut message = message();
        change(&mut message);
        message
    }

    #[test]
    fn it_is_found_by_object_and_by_commit() {
        let item = item(&message());
        assert_eq!(item.pk, "object#dev/Kustomization/apps/podinfo");
        assert_eq!(item.sk, format!("event@{SHA}"));
        assert_eq!(item.commit7.as_deref(), Some("5394cb7"));
        assert_eq!(item.expires_at, item.received_at / 1_000 + EVENT_LIFETIME_SECONDS);
        assert_eq!((item.event, item.is_cut), (succeeded(), false));

        let without = super::item(&with(|message| message.event.metadata.clear()));
        assert_eq!((without.sk.as_str(), without.commit7), ("event@-", None));
    }

    #[test]
    fn one_that_says_the_same_is_written_again_after_hours_only() {
        let events = LastEvents::default();
        let at = |hours: i64| message().received_at + SignedDuration::from_hours(hours);
        let item = events.to_write(&message(), at(0)).unwrap();
        // Not yet: the write may have failed.
        assert!(events.to_write(&message(), at(0)).is_some());
        events.wrote(&item, at(0));
        let later = with(|message| {
            message.id = "another".into();
            message.event.message = "Reconciliation finished in 3s".into();
        });
        assert_eq!(events.to_write(&later, at(5)), None);
        assert!(events.to_write(&later, at(6)).is_some());

        let changes: [fn(&mut EventMessage); 7] = [
            |message| message.event.reason = "Progressing".into(),
            |message| message.event.severity = Severity::Error,
            |message| message.event.involved_object.name = "other".into(),
            |message| message.event.metadata.clear(),
            |message| message.cluster = "prod".into(),
            |message| message.generation = 3,
            |message| message.previous_root_key = true,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(events.to_write(&with(change), at(1)).is_some(), "{index}");
        }
    }

    #[test]
    fn what_was_said_before_the_last_is_said_again() {
        let events = LastEvents::default();
        let now = message().received_at;
        let failed = with(|message| message.event.reason = "HealthCheckFailed".into());
        for message in [&message(), &failed, &message(), &failed] {
            let item = events.to_write(message, now).unwrap();
            events.wrote(&item, now);
            assert_eq!(events.to_write(message, now), None);
        }
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let events = LastEvents::default();
        let now = message().received_at;
        let mut item = item(&message());
        for n in 0..=REMEMBERED {
            item.pk = n.to_string();
            events.wrote(&item, now);
        }
        assert_eq!(events.written.lock().unwrap().len(), 1);
    }

    #[test]
    fn long_texts_are_cut_and_what_rules_read_stays() {
        let item = item(&with(|message| {
            message.event.message = "ä".repeat(39_000);
            for n in 0..1_000 {
                message
                    .event
                    .metadata
                    .insert(format!("a{n:03}"), "v".repeat(1_000));
            }
            message
                .event
                .metadata
                .insert("event.toolkit.fluxcd.io/summary".into(), "z".into());
        }));
        assert!(item.is_cut);
        assert_eq!(item.event.message, "ä".repeat(MAX_MESSAGE_CHARS));
        assert_eq!(item.event.metadata.len(), MAX_METADATA);
        for kept in ["revision", "commit_status", "event.toolkit.fluxcd.io/summary"] {
            assert!(item.event.metadata.contains_key(kept), "{kept}");
        }
        assert_eq!(item.sk, format!("event@{SHA}"));
        assert!(serde_json::to_string(&item).unwrap().len() < 8 * 1024);
    }
}
