//! From the bytes of a body to a Flux event that every later function can handle.

use jiff::{SignedDuration, Timestamp};
use serde_json::error::Category;
use shared::Event;

use crate::refusal::Refusal;

/// Characters of a kind or namespace: both are DNS-1123 labels in Kubernetes, a kind but for its capitals.
const MAX_LABEL_CHARS: usize = 63;

/// Characters of an object's name: a DNS-1123 subdomain
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
const MAX_NAME_CHARS: usize = 253;

/// Bytes of a reason, as Kubernetes allows in a condition: it becomes a description and a log field.
const MAX_REASON_BYTES: usize = 1024;

/// How far an event's own time may be from the time of receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Older events are refused: what was recorded may be replayed no later than this.
    pub max_age: SignedDuration,
    /// Events further ahead are refused: they would win over all honest ones until then.
    pub max_ahead: SignedDuration,
}

impl Limits {
    /// A day: longer than any retry of Flux, and short against the 90 days a status is kept.
    pub const DEFAULT_MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

    /// What Kubernetes and most token checks grant clocks that are not quite right.
    pub const DEFAULT_MAX_AHEAD: SignedDuration = SignedDuration::from_mins(5);

    /// Checks an event's time on receipt. It must never be checked later: a queued event stays good.
    ///
    /// # Errors
    /// [`Refusal::TooOld`] and [`Refusal::ClockAhead`]. The limits themselves are still good.
    pub fn check(&self, timestamp: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let age = now.duration_since(timestamp);
        if age > self.max_age {
            return Err(Refusal::TooOld {
                age: whole_seconds(age),
                limit: self.max_age,
            });
        }
        if -age > self.max_ahead {
            return Err(Refusal::ClockAhead {
                ahead: whole_seconds(-age),
                limit: self.max_ahead,
            });
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_age: Self::DEFAULT_MAX_AGE,
            max_ahead: Self::DEFAULT_MAX_AHEAD,
        }
    }
}

fn whole_seconds(duration: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(duration.as_secs())
}

/// A body that is no event of Flux. Names the field, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    /// Not even JSON.
    #[error("the body is not JSON (line {line}, column {column}): expected the event that Flux sends")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
    },
    /// JSON, but no object.
    #[error("the body is not a JSON object: expected the event that Flux sends")]
    NotAnObject,
    /// A field is not there.
    #[error("{path} is missing: expected {expected}")]
    Missing {
        /// Path of the field, separated by dots.
        path: String,
        /// What Flux sends there.
        expected: &'static str,
    },
    /// A field holds something that Flux does not send.
    #[error("{path} is not what Flux sends: expected {expected}")]
    Unexpected {
        /// Path of the field, separated by dots.
        path: String,
        /// What Flux sends there.
        expected: &'static str,
    },
}

/// Reads the event.
///
/// # Errors
/// If it is not one, or if its object could not be named anywhere later on.
pub fn parse(body: &[u8]) -> Result<Event, NotAnEvent> {
    // serde would also read an event from a list of the values of its fields.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(NotAnEvent::NotAnObject);
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let event: Event = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| explain(&error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| explain(ROOT, &error))?;

    let object = &event.involved_object;
    let fields = [
        ("involvedObject.kind", is_word(&object.kind, MAX_LABEL_CHARS)),
        (
            "involvedObject.namespace",
            is_word(&object.namespace, MAX_LABEL_CHARS),
        ),
        ("involvedObject.name", is_word(&object.name, MAX_NAME_CHARS)),
        ("reason", (1..=MAX_REASON_BYTES).contains(&event.reason.len())),
    ];
    match fields.into_iter().find(|(_, is_good)| !is_good) {
        None => Ok(event),
        Some((path, _)) => Err(NotAnEvent::Unexpected {
            path: path.to_owned(),
            expected: expected(path),
        }),
    }
}

// Kubernetes allows less, and differently for each kind. What counts here: the three stand in keys and
// contexts, where `/` and `#` separate them.
fn is_word(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'#' | b'%'))
}

/// How `serde_path_to_error` writes the path of the whole document.
const ROOT: &str = ".";

fn explain(path: &str, error: &serde_json::Error) -> NotAnEvent {
    if error.classify() != Category::Data {
        return NotAnEvent::NotJson {
            line: error.line(),
            column: error.column(),
        };
    }
    let text = error.to_string();
    // serde tells the parent's path and, in words only, which of its fields is missing.
    if let Some(field) = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
    {
        let path = match path {
            ROOT => field.to_owned(),
            parent => format!("{parent}.{field}"),
        };
        return NotAnEvent::Missing {
            expected: expected(&path),
            path,
        };
    }
    match path {
        ROOT => NotAnEvent::NotAnObject,
        // Its keys are the sender's words, everything else in a path is ours.
        metadata if metadata.starts_with("metadata") => NotAnEvent::Unexpected {
            path: "metadata".into(),
            expected: expected("metadata"),
        },
        path => NotAnEvent::Unexpected {
            path: path.to_owned(),
            expected: expected(path),
        },
    }
}

fn expected(path: &str) -> &'static str {
    match path {
        "involvedObject" => "an object with kind, namespace and name",
        "involvedObject.kind" => "the kind of an object, such as Kustomization",
        "involvedObject.namespace" => "the namespace of an object",
        "involvedObject.name" => "the name of an object",
        "severity" => "info or error",
        "timestamp" => "a time such as 2026-08-07T13:12:43Z",
        "reason" => "a word such as ReconciliationSucceeded",
        "metadata" => "an object whose values are all text",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn good() -> Value {
        json!({
            "involvedObject": {"kind": "Kustomization", "namespace": "apps", "name": "podinfo"},
            "severity": "info", "timestamp": "2026-08-07T13:12:43Z", "message": "m", "reason": "Progressing",
            "metadata": {"revision": "main@sha1:0"}, "reportingController": "kustomize-controller",
        })
    }

    fn refusal(body: &Value) -> NotAnEvent {
        parse(body.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn a_wrong_field_is_named() {
        let cases = [
            ("/involvedObject", json!("x"), "involvedObject"),
            ("/involvedObject/name", json!(""), "involvedObject.name"),
            ("/involvedObject/name", json!(1), "involvedObject.name"),
            ("/involvedObject/name", json!("a/b"), "involvedObject.name"),
            (
                "/involvedObject/name",
                json!("a".repeat(254)),
                "involvedObject.name",
            ),
            ("/involvedObject/namespace", json!(""), "involvedObject.namespace"),
            (
                "/involvedObject/namespace",
                json!("a#b"),
                "involvedObject.namespace",
            ),
            (
                "/involvedObject/namespace",
                json!("a".repeat(64)),
                "involvedObject.namespace",
            ),
            ("/involvedObject/kind", json!(""), "involvedObject.kind"),
            ("/involvedObject/kind", json!("a b"), "involvedObject.kind"),
            ("/involvedObject/kind", json!("é"), "involvedObject.kind"),
            ("/reason", json!(""), "reason"),
            ("/reason", json!("a".repeat(1025)), "reason"),
            ("/severity", json!("warning"), "severity"),
            ("/timestamp", json!(null), "timestamp"),
            ("/timestamp", json!("yesterday"), "timestamp"),
            ("/metadata/revision", json!(1), "metadata"),
            ("/metadata", json!([]), "metadata"),
            ("/message", json!({}), "message"),
        ];
        for (pointer, value, path) in cases {
            let mut body = good();
            *body.pointer_mut(pointer).unwrap() = value;

            let expected = expected(path);
            assert_eq!(
                refusal(&body),
                NotAnEvent::Unexpected {
                    path: path.into(),
                    expected
                },
                "{pointer}"
            );
        }
    }

    #[test]
    fn a_missing_field_is_named() {
        let cases = [
            ("", "involvedObject", "involvedObject"),
            ("/involvedObject", "kind", "involvedObject.kind"),
            ("/involvedObject", "namespace", "involvedObject.namespace"),
            ("/involvedObject", "name", "involvedObject.name"),
            ("", "severity", "severity"),
            ("", "timestamp", "timestamp"),
            ("", "reason", "reason"),
        ];
        for (parent, field, path) in cases {
            let mut body = good();
            body.pointer_mut(parent)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(field);

            let expected = expected(path);
            assert_eq!(
                refusal(&body),
                NotAnEvent::Missing {
                    path: path.into(),
                    expected
                }
            );
        }
    }

    #[test]
    fn what_flux_may_leave_out_or_add_is_no_mistake() {
        let mut body = good();
        for field in ["message", "metadata", "reportingController"] {
            body.as_object_mut().unwrap().remove(field);
        }
        body["aFieldOfTheFuture"] = json!({"a": [1]});

        let event = parse(body.to_string().as_bytes()).unwrap();

        assert_eq!(event.involved_object.name, "podinfo");
        assert_eq!(event.message, "");
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        let good = good().to_string();
        let nested = format!("{{\"x\":{}", "[".repeat(100_000));
        for body in [
            "",
            " ",
            "x",
            "{",
            "{\"a\":1,}",
            &good[..good.len() - 1],
            &format!("{good}{good}"),
            &format!("{good}x"),
            &good.replace("podinfo", "\\ud800"),
            &nested,
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(matches!(error, NotAnEvent::NotJson { .. }), "{error}");
        }
        let not_utf8 = good.replace("podinfo", "p~").replace('~', "\u{ff}");
        let not_utf8: Vec<u8> = not_utf8.bytes().filter(|byte| *byte != 0xc3).collect();
        assert!(matches!(parse(&not_utf8), Err(NotAnEvent::NotJson { .. })));

        let list = r#"[["Kustomization","apps","podinfo"],"info","2026-08-07T13:12:43Z","m","Progressing"]"#;
        for body in ["1", "\"x\"", "null", "[]", list, " [["] {
            assert_eq!(parse(body.as_bytes()), Err(NotAnEvent::NotAnObject), "{body}");
        }
    }

    #[test]
    fn the_limits_of_time_are_still_good() {
        let limits = Limits::default();
        let now: Timestamp = "2026-08-08T12:00:00.5Z".parse().unwrap();
        let at = |seconds: i64| limits.check(now + SignedDuration::from_secs(seconds), now);

        for seconds in [-24 * 60 * 60, -1, 0, 5 * 60] {
            assert!(at(seconds).is_ok(), "{seconds}");
        }
        for seconds in [-24 * 60 * 60 - 1, -100 * 24 * 60 * 60] {
            assert!(matches!(at(seconds), Err(Refusal::TooOld { .. })), "{seconds}");
        }
        for seconds in [5 * 60 + 1, 100 * 24 * 60 * 60] {
            assert!(
                matches!(at(seconds), Err(Refusal::ClockAhead { .. })),
                "{seconds}"
            );
        }
        assert!(limits.check(Timestamp::MIN, Timestamp::MAX).is_err());
        assert!(limits.check(Timestamp::MAX, Timestamp::MIN).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_in_a_few_words(body: Vec<u8>, at in 0usize..300, byte: u8) {
            let mut changed = good().to_string().into_bytes();
            let at = at % changed.len();
            changed[at] = byte;
            for body in [body, changed] {
                if let Err(error) = parse(&body) {
                    prop_assert!(error.to_string().len() < 200);
                }
            }
        }
    }
}
