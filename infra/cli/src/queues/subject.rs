//! What a message is about, as people want to know it.

use std::fmt;

use serde::Serialize;
use shared::message::EventMessage;
use shared::{CommitSha, PostHint};

use super::Queue;

/// Characters of a body that makes no sense.
const SHOWN_BODY: usize = 80;

/// What a message is about. Of an event it holds nothing of the text; of a malformed message, whatever that begins with:
/// for the eyes of an operator, and not for logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// An event.
    Event {
        /// Cluster it came from.
        cluster: String,
        /// Kind, namespace and name, with slashes between.
        object: String,
        /// Its reason.
        reason: String,
        /// The commit the controller names, if any; a rule that trusts annotations may take another one.
        commit: Option<CommitSha>,
    },
    /// A hint.
    Hint {
        /// Host and repository.
        repository: String,
        /// The commit.
        sha: String,
        /// The context of the status, as the host compares it.
        context: String,
    },
    /// Neither: the beginning of the body.
    Malformed(String),
}

impl Subject {
    /// Reads the body of a message.
    pub fn read(queue: Queue, body: &str) -> Self {
        let read = match queue {
            Queue::Events => serde_json::from_str(body).map(Self::of_event),
            Queue::Posts => serde_json::from_str(body).map(Self::of_hint),
        };
        read.unwrap_or_else(|_| Self::Malformed(body.chars().take(SHOWN_BODY).collect()))
    }

    fn of_event(message: EventMessage) -> Self {
        let commit = ["revision", "originRevision"]
            .into_iter()
            .filter_map(|key| message.event.controller_metadata(key))
            .find_map(CommitSha::from_revision);
        let object = &message.event.involved_object;
        Self::Event {
            object: format!("{}/{}/{}", object.kind, object.namespace, object.name),
            cluster: message.cluster,
            reason: message.event.reason,
            commit,
        }
    }

    fn of_hint(hint: PostHint) -> Self {
        Self::Hint {
            repository: hint.key.repository().to_owned(),
            sha: hint.key.sha().to_owned(),
            context: hint.key.sk,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event {
                cluster,
                object,
                reason,
                commit,
            } => {
                let commit = commit.as_ref().map_or("no commit", CommitSha::short);
                write!(f, "{object} of {cluster}: {reason} ({commit})")
            }
            Self::Hint {
                repository,
                sha,
                context,
            } => write!(f, "{repository}@{sha} {context}"),
            Self::Malformed(body) => write!(f, "malformed: {body}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"id":"00","cluster":"dev","generation":1,"received_at":"2026-08-07T13:12:44Z","event":
        {"involvedObject":{"kind":"Kustomization","namespace":"apps","name":"podinfo"},"severity":"info",
         "timestamp":"2026-08-07T13:12:43Z","message":"the text","reason":"Progressing","metadata":
         {"revision":"main@sha1:5394cb7f48332b2de7c17dd8b8384bbc84b7e738"}}}"#;

    #[test]
    fn says_what_a_message_is_about_and_nothing_of_the_text() {
        let hint = r#"{"pk":"github.com/a/b@5394cb7f48332b2de7c17dd8b8384bbc84b7e738","sk":"dev/x"}"#;
        for (queue, body, expected) in [
            (
                Queue::Events,
                EVENT,
                "Kustomization/apps/podinfo of dev: Progressing (5394cb7)",
            ),
            (
                Queue::Events,
                &EVENT.replace("sha1", "sha256"),
                "Kustomization/apps/podinfo of dev: Progressing (5394cb7)",
            ),
            (
                Queue::Events,
                &EVENT.replace("revision", "tag"),
                "Kustomization/apps/podinfo of dev: Progressing (no commit)",
            ),
            (
                Queue::Posts,
                hint,
                "github.com/a/b@5394cb7f48332b2de7c17dd8b8384bbc84b7e738 dev/x",
            ),
            (Queue::Posts, "", "malformed: "),
        ] {
            assert_eq!(Subject::read(queue, body).to_string(), expected, "{body}");
        }
    }

    #[test]
    fn a_body_that_makes_no_sense_is_cut() {
        for queue in Queue::ALL {
            let body = "é".repeat(1000);
            let expected = Subject::Malformed("é".repeat(80));
            assert_eq!(Subject::read(queue, &body), expected);
        }
        // The one queue's message on the other.
        assert!(matches!(
            Subject::read(Queue::Posts, EVENT),
            Subject::Malformed(_)
        ));
    }
}
