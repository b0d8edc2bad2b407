//! The event that Flux's notification-controller posts.
//!
//! Wire format: <https://fluxcd.io/flux/components/notification/events/>. Since notification-controller 0.23.1 the
//! metadata keys of a `generic` provider arrive without their group prefix, before that with it; both are read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Group of metadata that comes from annotations on the object (Flux RFC-0008): anyone who may edit the object can
/// set it.
pub const ANNOTATION_GROUP: &str = "event.toolkit.fluxcd.io";

/// One event as notification-controller sends it. Fields that no function reads are dropped on receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The object that was reconciled.
    pub involved_object: InvolvedObject,
    /// Whether it went well.
    pub severity: Severity,
    /// When the controller emitted it; whole seconds.
    pub timestamp: Timestamp,
    /// Free text, up to some 39,000 characters; read by inclusion and exclusion lists only.
    #[serde(default)]
    pub message: String,
    /// Why, in PascalCase: `ReconciliationSucceeded`.
    pub reason: String,
    /// Revision and what users added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// `kustomize-controller` and its like.
    #[serde(default)]
    pub reporting_controller: String,
    /// The pod it ran in, for expressions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reporting_instance: String,
}

/// The Kubernetes object an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvolvedObject {
    /// `Kustomization`, `HelmRelease`, …
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity in the cluster, for expressions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Group and version: `kustomize.toolkit.fluxcd.io/v1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Version of the object when the event was emitted: grows with every change of the same object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
}

impl InvolvedObject {
    fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// Severity of an event. Flux defines `trace` and never sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Never sent by Flux's controllers.
    Trace,
    /// Progress or success, but not everything with it is a success.
    Info,
    /// A failure.
    Error,
}

impl Event {
    /// Metadata the controller itself set (`revision`, `originRevision`, `commit_status`), with or without the
    /// object's group as prefix. The prefixed spelling wins: an annotation cannot have it.
    pub fn controller_metadata(&self, key: &str) -> Option<&str> {
        let group = self.involved_object.group();
        self.metadata
            .get(&format!("{group}/{key}"))
            .or_else(|| self.metadata.get(key))
            .map(String::as_str)
    }

    /// Metadata from an annotation on the object (`commit`), with or without the annotation group as prefix.
    pub fn annotation_metadata(&self, key: &str) -> Option<&str> {
        self.metadata
            .get(&format!("{ANNOTATION_GROUP}/{key}"))
            .map(String::as_str)
            .or_else(|| self.controller_metadata(key))
            .filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(api_version: &str, metadata: &[(&str, &str)]) -> Event {
        Event {
            involved_object: InvolvedObject {
                kind: "Kustomization".into(),
                namespace: "apps".into(),
                name: "podinfo".into(),
                uid: String::new(),
                api_version: api_version.into(),
                resource_version: String::new(),
            },
            severity: Severity::Info,
            timestamp: Timestamp::UNIX_EPOCH,
            message: String::new(),
            reason: "ReconciliationSucceeded".into(),
            metadata: metadata
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            reporting_controller: String::new(),
            reporting_instance: String::new(),
        }
    }

    #[test]
    fn reads_metadata_bare_and_prefixed() {
        let bare = event("kustomize.toolkit.fluxcd.io/v1", &[("revision", "a")]);
        let prefixed = event(
            "kustomize.toolkit.fluxcd.io/v1",
            &[("kustomize.toolkit.fluxcd.io/revision", "b")],
        );
        let both = event(
            "kustomize.toolkit.fluxcd.io/v1",
            &[("revision", "a"), ("kustomize.toolkit.fluxcd.io/revision", "b")],
        );
        let foreign = event(
            "kustomize.toolkit.fluxcd.io/v1",
            &[("helm.toolkit.fluxcd.io/revision", "c")],
        );

        assert_eq!(bare.controller_metadata("revision"), Some("a"));
        assert_eq!(prefixed.controller_metadata("revision"), Some("b"));
        assert_eq!(both.controller_metadata("revision"), Some("b"));
        assert_eq!(foreign.controller_metadata("revision"), None);
    }

    #[test]
    fn an_annotation_is_not_taken_for_the_controllers_word() {
        let event = event(
            "kustomize.toolkit.fluxcd.io/v1",
            &[("event.toolkit.fluxcd.io/revision", "spoofed")],
        );

        assert_eq!(event.controller_metadata("revision"), None);
        assert_eq!(event.annotation_metadata("revision"), Some("spoofed"));
    }

    #[test]
    fn reads_the_commit_annotation_in_either_spelling() {
        for key in ["commit", "event.toolkit.fluxcd.io/commit"] {
            let event = event("helm.toolkit.fluxcd.io/v2", &[(key, "x")]);

            assert_eq!(event.annotation_metadata("commit"), Some("x"), "{key}");
        }
    }
}
