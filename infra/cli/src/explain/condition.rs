//! The condition of a rule that an event does not meet, with both sides of it.

use regex::Regex;
use rules::verdict::SkipReason;
use serde::Serialize;
use shared::event::Severity;
use shared::kinds::EventSource;
use shared::{CommitStatusRule, Event};

/// Characters of a message that are shown.
const SHOWN_MESSAGE: usize = 120;

/// The first condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The word for it, as in the logs.
    pub reason: &'static str,
    /// Field of the rule; empty where no field can change it.
    pub field: &'static str,
    /// What the rule says there.
    pub rule: String,
    /// Field of the event.
    pub event_field: &'static str,
    /// What the event says there.
    pub event: String,
    /// What to do if the status is wanted.
    pub next: String,
    #[serde(skip)]
    skipped: SkipReason,
}

impl Condition {
    /// Why `evaluate` has skipped an event.
    pub fn of(reason: SkipReason, rule: &CommitStatusRule, event: &Event) -> Self {
        let spec = &rule.spec;
        let object = &event.involved_object;
        let sources = |value: &dyn Fn(&EventSource) -> String, counts: &dyn Fn(&EventSource) -> bool| {
            let mut values: Vec<String> = spec
                .event_sources
                .iter()
                .filter(|source| counts(source))
                .map(value)
                .collect();
            values.dedup();
            values.join(", ")
        };
        let of_kind = |source: &EventSource| source.kind == object.kind;
        let of_namespace =
            |source: &EventSource| of_kind(source) && source.namespace(&rule.metadata) == object.namespace;
        let what_happened = || format!("{} ({})", event.reason, severity(event.severity));
        let message = || shown(&event.message);
        let (field, said, event_field, found, next): (_, String, _, String, String) = match reason {
            SkipReason::Revoked => ("", String::new(), "", String::new(), "connect the cluster again".into()),
            SkipReason::Suspended => (
                "spec.suspend",
                "true".into(),
                "",
                String::new(),
                "set it to false".into(),
            ),
            SkipReason::InvalidRule => ("spec", String::new(), "", String::new(), "apply the rule again".into()),
            SkipReason::Kind => (
                "spec.eventSources[].kind",
                sources(&|source| source.kind.clone(), &|_| true),
                "involvedObject.kind",
                object.kind.clone(),
                format!("add an event source of kind {}", object.kind),
            ),
            SkipReason::Namespace => (
                "spec.eventSources[].namespace",
                sources(&|source| source.namespace(&rule.metadata).to_owned(), &of_kind),
                "involvedObject.namespace",
                object.namespace.clone(),
                format!("add an event source with namespace: {}", object.namespace),
            ),
            SkipReason::Name => (
                "spec.eventSources[].name",
                sources(&|source| source.name.clone(), &of_namespace),
                "involvedObject.name",
                object.name.clone(),
                format!("add an event source with name: {}, or name: \"*\"", object.name),
            ),
            SkipReason::UntrustedKind => (
                "spec.trustCommitAnnotation",
                spec.trust_commit_annotation.to_string(),
                "involvedObject.kind",
                object.kind.clone(),
                format!(
                    "the revision of a {} is no commit; set trustCommitAnnotation to true and the annotation \
                     event.toolkit.fluxcd.io/commit on the object",
                    object.kind
                ),
            ),
            SkipReason::NotIncluded => (
                "spec.inclusionList",
                spec.inclusion_list.join(", "),
                "message",
                message(),
                "add an expression that matches the message".into(),
            ),
            SkipReason::Excluded => (
                "spec.exclusionList",
                excluding(rule, event),
                "message",
                message(),
                "take the expression out, or make it narrower".into(),
            ),
            SkipReason::Severity => (
                "spec.eventSeverity",
                "error".into(),
                "reason (severity)",
                what_happened(),
                "set it to info for progress and every success".into(),
            ),
            SkipReason::Progress => (
                "spec.reportProgress",
                spec.report_progress.to_string(),
                "reason (severity)",
                what_happened(),
                "set it to true for a pending status".into(),
            ),
            SkipReason::Remediation => (
                "",
                String::new(),
                "reason (severity)",
                what_happened(),
                "nothing: it undoes the commit, and never shows as its success".into(),
            ),
            SkipReason::NoState => (
                "",
                String::new(),
                "reason (severity)",
                what_happened(),
                "nothing: it is neither progress nor a result".into(),
            ),
            SkipReason::NoCommit => (
                "spec.trustCommitAnnotation",
                spec.trust_commit_annotation.to_string(),
                "metadata",
                revisions(event),
                "nothing for an event that came before a source was fetched; else the source must be a Git repository, or \
                 the object annotated with event.toolkit.fluxcd.io/commit and trusted"
                    .into(),
            ),
        };
        Self {
            reason: reason.as_str(),
            field,
            rule: said,
            event_field,
            event: found,
            next,
            skipped: reason,
        }
    }

    /// Whether the rule names other objects.
    pub fn is_about_others(&self) -> bool {
        matches!(
            self.skipped,
            SkipReason::Kind | SkipReason::Namespace | SkipReason::Name
        )
    }
}

/// The expressions that match.
fn excluding(rule: &CommitStatusRule, event: &Event) -> String {
    let matching = rule.spec.exclusion_list.iter().filter(|pattern| {
        // One that does not compile was refused before.
        Regex::new(pattern).is_ok_and(|regex| regex.is_match(&event.message))
    });
    matching.cloned().collect::<Vec<_>>().join(", ")
}

/// Where a commit is looked for.
fn revisions(event: &Event) -> String {
    let named = ["commit", "revision", "originRevision"]
        .into_iter()
        .filter_map(|key| {
            let value = match key {
                "commit" => event.annotation_metadata(key),
                key => event.controller_metadata(key),
            };
            value.map(|value| format!("{key}: {value}"))
        });
    let named: Vec<String> = named.collect();
    match named.is_empty() {
        true => "names no revision".into(),
        false => named.join(", "),
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Trace => "trace",
        Severity::Info => "info",
        Severity::Error => "error",
    }
}

fn shown(message: &str) -> String {
    match message.char_indices().nth(SHOWN_MESSAGE) {
        Some((at, _)) => format!("{}…", &message[..at]),
        None => message.to_owned(),
    }
}
