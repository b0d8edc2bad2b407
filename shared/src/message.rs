//! The messages on the two queues, and the ids SQS wants beside them.

use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::InvolvedObject;
use crate::{CommitSha, Event};

/// What intake puts on the `events` queue and `rules` takes from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMessage {
    /// Id of the event: [`event_id`].
    pub id: String,
    /// The cluster whose key was right.
    pub cluster: String,
    /// Generation of that key.
    pub generation: u32,
    /// That key is made from the root key before the current one, which is accepted during a rotation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub previous_root_key: bool,
    /// When intake took it.
    pub received_at: Timestamp,
    /// The event itself.
    pub event: Event,
}

/// What tells `poster` to look at a status: its key and nothing that could grow old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostHint {
    /// Key of the status.
    #[serde(flatten)]
    pub key: StatusKey,
}

/// Primary key of a status in the `statuses` table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StatusKey {
    /// `{host}/{repository}@{sha}`.
    pub pk: String,
    /// The context, as the host compares it.
    pub sk: String,
}

impl StatusKey {
    /// The commit in the key; empty if the key is none of ours.
    pub fn sha(&self) -> &str {
        self.pk.rsplit_once('@').map_or("", |(_, sha)| sha)
    }

    /// Whether it is the key of a status. The table holds other items beside them, and the partition of none ends in a
    /// commit.
    pub fn is_status(&self) -> bool {
        self.sha().parse::<CommitSha>().is_ok()
    }

    /// The repository in the key.
    pub fn repository(&self) -> &str {
        self.pk
            .rsplit_once('@')
            .map_or(self.pk.as_str(), |(repository, _)| repository)
    }
}

/// What a FIFO queue is given: a body of plain ASCII, and ids of 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// JSON.
    pub body: String,
    /// Messages of one group are handled one after the other.
    pub group_id: String,
    /// A second message with this id within five minutes is dropped by SQS.
    pub dedupe_id: String,
}

impl EventMessage {
    /// The message as the `events` queue takes it: one group for each object of each cluster.
    ///
    /// # Errors
    /// If it cannot be written as JSON, which none of its fields allows.
    pub fn to_queue(&self) -> Result<QueueMessage, serde_json::Error> {
        let InvolvedObject {
            kind,
            namespace,
            name,
            ..
        } = &self.event.involved_object;
        Ok(QueueMessage {
            body: to_ascii_json(self)?,
            group_id: hex_sha256(&[&self.cluster, kind, namespace, name]),
            dedupe_id: hex_sha256(&[&self.cluster, &self.generation.to_string(), &self.id]),
        })
    }
}

impl PostHint {
    /// The hint as the `posts` queue takes it: one group for each commit of each repository, so that writes on one
    /// commit never overlap (GitLab answers 409 otherwise). `occasion` makes a second hint for the same status within
    /// five minutes another message: the change and claim it is for, or the due date that has come.
    ///
    /// # Errors
    /// If it cannot be written as JSON, which none of its fields allows.
    pub fn to_queue(&self, occasion: &str) -> Result<QueueMessage, serde_json::Error> {
        Ok(QueueMessage {
            body: to_ascii_json(self)?,
            group_id: hex_sha256(&[&self.key.pk]),
            dedupe_id: hex_sha256(&[&self.key.pk, &self.key.sk, occasion]),
        })
    }
}

/// Id of an event: the same for every delivery of the same bytes with the same key, another for anything else. 32
/// hexadecimal digits.
pub fn event_id(cluster: &str, generation: u32, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(cluster.as_bytes());
    hash.update(b"\0");
    hash.update(generation.to_string().as_bytes());
    hash.update(b"\0");
    hash.update(body);
    hex_of(&hash.finalize())[..32].to_owned()
}

/// SHA-256 over the parts, each ended by a NUL so that no two lists of parts are alike; 64 hexadecimal digits.
pub fn hex_sha256(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hex_of(&hash.finalize())
}

/// The hexadecimal digit of a number below 16.
fn digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 15)]
}

fn hex_of(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, *byte].map(digit))
        .map(char::from)
        .collect()
}

/// Writes JSON in plain ASCII: SQS refuses U+FFFE, U+FFFF and most control characters
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>), and JSON can say
/// each of them without using it.
///
/// # Errors
/// If the value cannot be written as JSON.
pub fn to_ascii_json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut body = Vec::with_capacity(1024);
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut body,
        AsciiFormatter,
    ))?;
    // The formatter writes ASCII only.
    String::from_utf8(body).map_err(serde::ser::Error::custom)
}

struct AsciiFormatter;

impl serde_json::ser::Formatter for AsciiFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let plain = |byte: u8| matches!(byte, b' '..=b'~');
        let mut rest = fragment;
        // The first byte that is not plain begins a character.
        while let Some(at) = rest.bytes().position(|byte| !plain(byte)) {
            let (ascii, tail) = rest.split_at(at);
            writer.write_all(ascii.as_bytes())?;
            let mut chars = tail.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let [high, low] = unit.to_be_bytes();
                    let [a, b, c, d] = [high >> 4, high, low >> 4, low].map(digit);
                    writer.write_all(&[b'\\', b'u', a, b, c, d])?;
                }
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_partition_of_a_status_ends_in_a_commit() {
        let sha = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
        let is_status = |pk: String| {
            StatusKey {
                pk,
                sk: "dev/x".into(),
            }
            .is_status()
        };
        assert!(is_status(format!("github.com/acme/fleet@{sha}")));
        assert!(is_status(format!("no-provider/dev/apps/github@{sha}")));
        for other in [
            "object#dev/Kustomization/apps/podinfo",
            "credential#_all/apps/token",
            "",
            "@",
            "a@5394cb7",
        ] {
            assert!(!is_status(other.to_owned()), "{other}");
        }
    }

    #[test]
    fn writes_what_sqs_refuses_as_escapes() {
        let text = "a\u{FFFE}\u{FFFF}é\u{7f}\u{1}\n\"😀";
        let json = to_ascii_json(&text).unwrap();

        assert_eq!(json, r#""a\ufffe\uffff\u00e9\u007f\u0001\n\"\ud83d\ude00""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    proptest! {
        #[test]
        fn every_text_survives_in_ascii(text in ".*") {
            let json = to_ascii_json(&text).unwrap();
            prop_assert!(json.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn an_event_id_changes_with_each_part() {
        let id = event_id("dev", 1, b"{}");

        assert_eq!(id.len(), 32);
        assert_eq!(id, event_id("dev", 1, b"{}"));
        assert_ne!(id, event_id("dev2", 1, b"{}"));
        assert_ne!(id, event_id("dev", 2, b"{}"));
        assert_ne!(id, event_id("dev", 1, b"{ }"));
        assert_ne!(hex_sha256(&["ab", "c"]), hex_sha256(&["a", "bc"]));
    }

    // The messages of 0.1.0, as they may still be on a queue when a newer release reads them.
    #[test]
    fn messages_of_an_older_release_are_readable() {
        let hint: PostHint =
            serde_json::from_str(r#"{"pk":"github.com/a/b@0","sk":"dev/x","later":1}"#).unwrap();
        assert_eq!(hint.key.repository(), "github.com/a/b");
        assert_eq!(hint.key.sha(), "0");

        let message: EventMessage = serde_json::from_str(
            r#"{"id":"00","cluster":"dev","generation":1,"received_at":"2026-08-07T13:12:44Z","event":
               {"involvedObject":{"kind":"Kustomization","namespace":"apps","name":"podinfo"},"severity":"info",
                "timestamp":"2026-08-07T13:12:43Z","reason":"Progressing"}}"#,
        )
        .unwrap();
        assert_eq!(message.event.involved_object.name, "podinfo");
    }

    #[test]
    fn a_hint_for_another_occasion_is_another_message() {
        let hint = PostHint {
            key: StatusKey {
                pk: "github.com/a/b@0".into(),
                sk: "dev/x".into(),
            },
        };
        let first = hint.to_queue("rev 1").unwrap();
        let second = hint.to_queue("rev 2").unwrap();

        assert_eq!(first.body, r#"{"pk":"github.com/a/b@0","sk":"dev/x"}"#);
        assert_eq!(first.group_id, second.group_id);
        assert_ne!(first.dedupe_id, second.dedupe_id);
        assert_eq!(first.dedupe_id.len(), 64);
    }
}
