//! What an operator would write, and what `commitstatus apply` says to it.

use cli::object::Object;
use cli::yaml::{Source, validate};
use std::sync::Arc;

use rules::evaluate::CompiledRule;
use rules::lookup::{Candidate, CompiledProvider, FoundProvider};
use serde_json::{Value, json};
use shared::event::ANNOTATION_GROUP;
use shared::kinds::{API_GROUP, KUSTOMIZATION, Reference};
use shared::{CommitStatusRule, Event, Provider, Scope};

/// The cluster of all cases.
pub(crate) const CLUSTER: &str = "prod-eu-1";

/// Where every object without a namespace is.
pub(crate) const NAMESPACE: &str = "gitops-system";

const PROVIDER: &str = "provider-foo";

/// A `Provider`, or why it would not be applied. `spec` lacks nothing but the name of its secret.
pub(crate) fn provider(namespace: &str, uid: Option<&str>, mut spec: Value) -> Result<Provider, String> {
    spec["secretRef"] = json!({"name": "secret-foo"});
    let mut metadata = json!({"name": PROVIDER, "namespace": namespace});
    if let Some(uid) = uid {
        metadata["uid"] = uid.into();
    }
    match applied("Provider", "v1beta3", metadata, spec)? {
        Object::Provider(provider) => Ok(provider),
        Object::CommitStatus(_) => panic!("a rule for a Provider"),
    }
}

/// A `CommitStatus`, or why it would not be applied. `spec` lacks nothing but the name of its Provider.
pub(crate) fn rule(namespace: &str, mut spec: Value) -> Result<CommitStatusRule, String> {
    spec["providerRef"] = json!({"name": PROVIDER});
    let metadata = json!({"name": "rule-foo", "namespace": namespace});
    match applied("CommitStatus", "v1beta1", metadata, spec)? {
        Object::CommitStatus(rule) => Ok(rule),
        Object::Provider(_) => panic!("a Provider for a rule"),
    }
}

/// Of JSON, which is YAML.
fn applied(kind: &str, version: &str, metadata: Value, spec: Value) -> Result<Object, String> {
    let document = json!({
        "apiVersion": format!("{API_GROUP}/{version}"),
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    });
    let source = Source {
        name: kind.to_owned(),
        text: document.to_string(),
    };
    let mut validated = validate(&[source], None).map_err(|mistakes| mistakes.to_string())?;
    Ok(validated.documents.remove(0).object)
}

/// A rule and its Provider, as the functions find them in the table.
pub(crate) fn candidate(rule: CommitStatusRule, provider: Provider) -> Candidate {
    Candidate {
        reference: Reference {
            scope: Scope::AllClusters,
            name: rule.metadata.object_name(),
        },
        rule: Ok(Arc::new(CompiledRule::compile(rule).unwrap())),
        provider: Some(FoundProvider {
            scope: Scope::AllClusters,
            provider: Ok(Arc::new(CompiledProvider::compile(provider).unwrap())),
        }),
    }
}

/// Whether a rule takes events of that object and metadata only with `trustCommitAnnotation`.
pub(crate) fn needs_trust(kind: &str, metadata: &Value) -> bool {
    let annotation = format!("{ANNOTATION_GROUP}/commit");
    kind != KUSTOMIZATION
        || ["commit", &annotation]
            .iter()
            .any(|key| metadata.get(key).is_some())
}

/// An event as it comes from a cluster, or why it is none. `event` is as the cases write it, `metadata` replaces its own.
pub(crate) fn event(event: &Value, metadata: &Value) -> Result<Event, String> {
    let text = |key: &str, default: &str| match event[key].as_str() {
        None | Some("") => default.to_owned(),
        Some(text) => text.to_owned(),
    };
    let kind = text("kind", KUSTOMIZATION);
    let group = match kind.as_str() {
        "HelmRelease" => "helm.toolkit.fluxcd.io/v2",
        KUSTOMIZATION => "kustomize.toolkit.fluxcd.io/v1",
        _ => "source.toolkit.fluxcd.io/v1",
    };
    let sent = json!({
        "involvedObject": {
            "kind": kind,
            "name": text("name", "hello-world"),
            "namespace": text("namespace", NAMESPACE),
            "apiVersion": text("apiVersion", group),
            "resourceVersion": "183230",
        },
        "severity": event["severity"],
        "timestamp": "2026-08-07T13:13:02Z",
        "message": text("message", "message"),
        "reason": event["reason"].as_str().unwrap_or_default(),
        "metadata": match metadata {
            Value::Null => json!({}),
            metadata => metadata.clone(),
        },
        "reportingController": "kustomize-controller",
    });
    serde_json::from_value(sent).map_err(|error| error.to_string())
}
