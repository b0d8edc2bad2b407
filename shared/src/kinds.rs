//! The two kinds an operator writes, as they are applied and stored.
//!
//! Group `notification.toolkit.fluxcd.io`: `CommitStatus` as in the RFC (<https://github.com/fluxcd/flux2/pull/2639>)
//! and Flux's `Provider` (<https://fluxcd.io/flux/components/notification/providers/>). The code calls the rule
//! [`CommitStatusRule`], because a commit status is what gets posted.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// API group of both kinds.
pub const API_GROUP: &str = "notification.toolkit.fluxcd.io";

/// The only kind whose events carry a Git revision set by the controller.
pub const KUSTOMIZATION: &str = "Kustomization";

/// Any name, in an event source.
pub const ANY_NAME: &str = "*";

/// Name of an object, as in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectName {
    /// Names an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ObjectName {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::new(namespace, name))
            }
            _ => Err(InvalidReference(text.to_owned())),
        }
    }
}

/// A stored reference to a rule or Provider that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name an object")]
pub struct InvalidReference(pub String);

/// Which clusters an applied object is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every cluster, unless the cluster has an object of that name of its own. Written `*`.
    AllClusters,
    /// One cluster.
    Cluster(String),
}

impl Scope {
    /// The cluster's name, or `*`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::AllClusters => "*",
            Self::Cluster(name) => name,
        }
    }

    /// Reads what [`Scope::as_str`] writes.
    pub fn parse(text: &str) -> Self {
        match text {
            "*" => Self::AllClusters,
            name => Self::Cluster(name.to_owned()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule or Provider as applied for some clusters: `prod-eu-1/flux-system/webapp`, or `*/flux-system/webapp`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// For which clusters it was applied.
    pub scope: Scope,
    /// Which object.
    pub name: ObjectName,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.name)
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let invalid = || InvalidReference(text.clone());
        let (scope, name) = text.split_once('/').ok_or_else(invalid)?;
        Ok(Self {
            scope: Scope::parse(scope),
            name: name.parse().map_err(|_| invalid())?,
        })
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// A `CommitStatus` object: which events become which statuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitStatusRule {
    /// Namespace and name of the rule.
    pub metadata: Metadata,
    /// What it asks for.
    pub spec: CommitStatusSpec,
}

/// A `Provider` object: a repository at a Git host and how to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Namespace and name of the Provider.
    pub metadata: Metadata,
    /// Where it points.
    pub spec: ProviderSpec,
}

/// What is kept of an object's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name of the object.
    pub name: String,
    /// Namespace of the object; sources, Provider and secrets are looked for in it.
    pub namespace: String,
    /// Identity of an object taken from a cluster, for expressions that name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Labels of the object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Metadata {
    /// Namespace and name together.
    pub fn object_name(&self) -> ObjectName {
        ObjectName::new(&self.namespace, &self.name)
    }
}

/// `CommitStatus.spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitStatusSpec {
    /// The Provider in the same namespace.
    pub provider_ref: LocalReference,
    /// Which events count.
    #[serde(default)]
    pub event_severity: EventSeverity,
    /// Objects whose events count; any of them.
    pub event_sources: Vec<EventSource>,
    /// Put before the context with `/`; `Some("")` for none, `None` for cluster and namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Regular expressions of which the message must match one, if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inclusion_list: Vec<String>,
    /// Regular expressions of which the message must match none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusion_list: Vec<String>,
    /// Set aside without being deleted.
    #[serde(default)]
    pub suspend: bool,
    /// As in Flux's Alert: metadata `summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// As in Flux's Alert: metadata for expressions. Never names the commit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub event_metadata: BTreeMap<String, String>,
    /// Whether progress becomes a pending status.
    #[serde(default = "yes")]
    pub report_progress: bool,
    /// Whether metadata `commit`, which an annotation can set, is believed.
    #[serde(default)]
    pub trust_commit_annotation: bool,
    /// What becomes of a pending status when the object goes on to a newer commit.
    #[serde(default)]
    pub on_superseded: OnSuperseded,
    /// Where a click on a status leads: a text with CEL in `${…}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_url: Option<String>,
    /// What people read beside the state, in place of Flux's reason: a text with CEL in `${…}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

fn yes() -> bool {
    true
}

/// The name of an object in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalReference {
    /// Its name.
    pub name: String,
}

/// Which events a rule takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventSeverity {
    /// All of them.
    #[default]
    Info,
    /// Failures, and the success that clears one.
    Error,
}

/// What becomes of a pending status when the object goes on to a newer commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnSuperseded {
    /// It is closed.
    #[default]
    Close,
    /// It is left as it is.
    Leave,
}

/// Objects whose events a rule takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSource {
    /// Kind, spelt as in Kubernetes.
    pub kind: String,
    /// Name, or `*`.
    pub name: String,
    /// Namespace; the rule's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl EventSource {
    /// The namespace it looks in.
    pub fn namespace<'a>(&'a self, rule: &'a Metadata) -> &'a str {
        self.namespace.as_deref().unwrap_or(&rule.namespace)
    }
}

/// `Provider.spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSpec {
    /// Which API the host speaks, in Flux's word for it. A word of a later release is kept, and refused where it is used.
    #[serde(rename = "type")]
    pub kind: String,
    /// Address of the repository.
    pub address: String,
    /// The secret with the credential.
    pub secret_ref: LocalReference,
    /// The secret with the certificate authorities to believe and the certificate to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalReference>,
    /// The secret with the address of a proxy, and what lets us in there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
    /// User name, where the secret holds the password alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// CEL that gives the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_status_expr: Option<String>,
    /// The address may be `http://`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Longest time one post may take, in seconds; the host's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Park what is due instead of posting it.
    #[serde(default)]
    pub suspend: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_survives_its_text() {
        for text in ["*/flux-system/webapp", "prod-eu-1/apps/podinfo"] {
            let reference = Reference::try_from(text.to_owned()).unwrap();
            assert_eq!(reference.to_string(), text);
        }
        for text in ["", "a", "a/b", "a//b", "a/b/", "a/b/c/d"] {
            assert!(Reference::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_of_an_older_release_is_readable() {
        let rule: CommitStatusRule = serde_json::from_str(
            r#"{"metadata":{"name":"webapp","namespace":"flux-system"},
                "spec":{"providerRef":{"name":"github"},"eventSources":[{"kind":"Kustomization","name":"*"}],
                        "aFieldOfTheFuture":1}}"#,
        )
        .unwrap();

        assert!(rule.spec.report_progress);
        assert!(!rule.spec.trust_commit_annotation);
        assert_eq!(rule.spec.event_severity, EventSeverity::Info);
        assert_eq!(rule.spec.prefix, None);
    }
}
