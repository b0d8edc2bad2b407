//! Metadata of an event as expressions see it.

use std::collections::BTreeMap;

use shared::Event;
use shared::event::ANNOTATION_GROUP;
use shared::kinds::CommitStatusSpec;

/// Keys the controllers themselves set, bare as notification-controller sends them: nothing outvotes those.
const CONTROLLER_KEYS: [&str; 5] = [
    "revision",
    "originRevision",
    "commit_status",
    "app-version",
    "oci-digest",
];

/// Combines metadata as notification-controller does with an Alert's: annotations on the object come last, then the rule's
/// `eventMetadata`, then its `summary`, and what the controller set comes first. Keys without their prefix.
///
/// An event has been through an Alert of its cluster already: what that added stands where annotations do.
/// <https://fluxcd.io/flux/components/notification/alerts/#event-metadata-from-object-annotations>
pub fn merged(event: &Event, spec: &CommitStatusSpec) -> BTreeMap<String, String> {
    let group = event
        .involved_object
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    let bare = |prefix: &str| {
        let prefix = format!("{prefix}/");
        event
            .metadata
            .iter()
            .filter_map(move |(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())))
            .collect::<Vec<_>>()
    };
    let has_prefix = |key: &str| {
        [ANNOTATION_GROUP, group].iter().any(|prefix| {
            !prefix.is_empty() && key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let mut merged: BTreeMap<String, String> = bare(ANNOTATION_GROUP).into_iter().collect();
    let received = event.metadata.iter().filter(|(key, _)| !has_prefix(key));
    merged.extend(received.map(|(key, value)| (key.clone(), value.clone())));
    merged.extend(spec.event_metadata.clone());
    if let Some(summary) = spec.summary.as_ref().filter(|summary| !summary.is_empty()) {
        merged.insert("summary".into(), summary.clone());
    }
    for key in CONTROLLER_KEYS {
        if let Some(value) = event.controller_metadata(key) {
            merged.insert(key.into(), value.to_owned());
        }
    }
    if !group.is_empty() {
        merged.extend(bare(group));
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::{rule, succeeded};

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    fn merge(
        received: &[(&str, &str)],
        event_metadata: &[(&str, &str)],
        summary: Option<&str>,
    ) -> BTreeMap<String, String> {
        let (mut event, mut spec) = (succeeded(), rule().spec);
        event.metadata = pairs(received);
        spec.event_metadata = pairs(event_metadata);
        spec.summary = summary.map(str::to_owned);
        merged(&event, &spec)
    }

    // notification-controller internal/server/event_handlers_test.go TestCombineEventMetadata.
    #[test]
    fn p18_the_controller_comes_before_summary_before_the_rule_before_annotations() {
        assert_eq!(merge(&[], &[], None), pairs(&[]));
        assert_eq!(
            merge(
                &[
                    ("event.toolkit.fluxcd.io/annotation", "a"),
                    ("kustomize.toolkit.fluxcd.io/controller", "c"),
                ],
                &[("rule", "r")],
                Some("s")
            ),
            pairs(&[
                ("annotation", "a"),
                ("controller", "c"),
                ("rule", "r"),
                ("summary", "s")
            ])
        );
        let all = |key: &'static str| {
            merge(
                &[
                    (&format!("event.toolkit.fluxcd.io/{key}"), "annotation"),
                    (&format!("kustomize.toolkit.fluxcd.io/{key}"), "controller"),
                ],
                &[(key, "rule")],
                None,
            )
        };
        assert_eq!(all("x")["x"], "controller");
        let annotation = [("event.toolkit.fluxcd.io/summary", "annotation")];
        assert_eq!(merge(&annotation, &[], Some("s"))["summary"], "s");
        assert_eq!(merge(&[], &[("summary", "rule")], Some("s"))["summary"], "s");
        assert_eq!(
            merge(&annotation, &[("summary", "rule")], None)["summary"],
            "rule"
        );
    }

    #[test]
    fn what_arrives_bare_gives_way_to_the_rule_but_for_what_controllers_set() {
        let merged = merge(
            &[
                ("revision", "main@sha1:5394"),
                ("env", "cluster"),
                ("own", "cluster"),
            ],
            &[("revision", "spoofed"), ("env", "rule")],
            None,
        );
        assert_eq!(
            merged,
            pairs(&[
                ("revision", "main@sha1:5394"),
                ("env", "rule"),
                ("own", "cluster")
            ])
        );
    }
}
