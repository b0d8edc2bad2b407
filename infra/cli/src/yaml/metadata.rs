//! `metadata`, of which name, namespace, uid and labels are kept.

use std::collections::BTreeMap;

use shared::kinds::Metadata;

use super::decode::{Field, Findings, Mapping};
use super::{DEFAULT_NAMESPACE, node::Place};
use crate::names::{check_label, check_subdomain};

/// What a cluster writes.
pub(crate) const SERVER_SIDE: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
];

/// `namespace` is the one of the call, for documents that name none. Takes `status` too: it is as little the
/// operator's as the rest of what the cluster writes.
pub(crate) fn decode(
    object: &mut Mapping<'_>,
    namespace: Option<&str>,
    findings: &mut Findings<'_>,
) -> Option<Metadata> {
    let field = object.required("metadata", findings)?;
    let mut metadata = field.mapping(findings)?;

    let name = metadata.required("name", findings);
    let name = name.and_then(|name| checked(&name, check_subdomain, findings));
    let namespace_field = metadata.optional("namespace");
    let namespace = decode_namespace(namespace_field.as_ref(), namespace, metadata.at, findings);
    let uid = metadata.optional("uid");
    let uid = uid.and_then(|uid| uid.string(findings)).map(str::to_owned);
    let mut labels = BTreeMap::new();
    if let Some(field) = metadata.optional("labels") {
        for (key, value) in field.string_map(findings) {
            labels.insert(key.name.clone(), value.to_owned());
        }
    }

    metadata.skipped(&["annotations"]);
    let of_cluster = metadata.skipped(&SERVER_SIDE);
    let names = of_cluster.iter().map(|key| format!("metadata.{}", key.name));
    let mut names: Vec<String> = names.collect();
    let status = object.skipped(&["status"]);
    names.extend(status.iter().map(|key| key.name.clone()));
    let places = of_cluster.iter().chain(&status).map(|key| key.at);
    if let Some(at) = places.min_by_key(|place| (place.line, place.column)) {
        let text = format!("ignored, as the cluster writes it: {}", names.join(", "));
        findings.note(at, &object.path, text);
    }
    metadata.finish(findings);

    Some(Metadata {
        name: name?,
        namespace: namespace?,
        uid,
        labels,
    })
}

fn decode_namespace(
    field: Option<&Field<'_>>,
    of_the_call: Option<&str>,
    at: Place,
    findings: &mut Findings<'_>,
) -> Option<String> {
    match (field, of_the_call) {
        (Some(field), of_the_call) => {
            let namespace = checked(field, check_label, findings)?;
            // As kubectl: the flag says where the call may write.
            if let Some(flag) = of_the_call.filter(|flag| *flag != namespace) {
                field.mistake(
                    findings,
                    format!("`{namespace}`, but the call says `--namespace {flag}`; leave out one of them"),
                );
                return None;
            }
            Some(namespace)
        }
        (None, Some(namespace)) => Some(namespace.to_owned()),
        (None, None) => {
            let text = format!("not given, so `{DEFAULT_NAMESPACE}`; write it here or say --namespace");
            findings.note(at, "metadata.namespace", text);
            Some(DEFAULT_NAMESPACE.to_owned())
        }
    }
}

fn checked(
    field: &Field<'_>,
    check: fn(&str) -> Result<(), String>,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let text = field.string(findings)?;
    match check(text) {
        Ok(()) => Some(text.to_owned()),
        Err(problem) => {
            field.mistake(findings, problem);
            None
        }
    }
}
