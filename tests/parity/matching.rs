//! Which events a rule takes, with which metadata, and which context an expression gives.

use std::collections::BTreeMap;

use expressions::{Expression, Variables};
use hosts::Certificates;
use rules::context::context;
use rules::evaluate::{CompiledRule, evaluate};
use rules::metadata::merged;
use rules::verdict::{SkipReason, Verdict};
use serde_json::{Map, Value, json};

use crate::apply::{self, CLUSTER};
use crate::data::{Case, shown};
use crate::differences::Deviation;
use crate::host_cases::secret;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

/// What differs in a case of one of the lists.
pub(crate) fn compare(case: &Case, list: &str) -> Vec<Deviation> {
    let fields = match list {
        "matching" => vec![("matches", shown(case.at("matches")), matches(case))],
        "metadata" => vec![("result", metadata_of(case.at("result")), metadata(case))],
        "expressions" => vec![("result", expected(case, "result"), expression(case))],
        "gating" => gating(case),
        "tls" => vec![("result", expected(case, "result"), tls(case))],
        other => panic!("{other} is not compared"),
    };
    let differing = fields.into_iter().filter(|(_, upstream, ours)| upstream != ours);
    differing
        .map(|(field, upstream, ours)| Deviation::new(field, upstream, ours))
        .collect()
}

fn expected(case: &Case, key: &str) -> String {
    match case.text("error") {
        Some(_) => "error".to_owned(),
        None => shown(case.at(key)),
    }
}

/// The event also says which commit and that it went well, so that nothing but what matches decides. Sources with labels,
/// which are refused, are left out where the event is of another kind.
fn matches(case: &Case) -> String {
    let mut spec = case.at("alert").clone();
    let is_of_its_kind = |source: &Value| source["kind"] == *case.at("event.kind");
    let sources = spec["eventSources"].as_array_mut().unwrap();
    sources.retain(|source| source.get("matchLabels").is_none() || is_of_its_kind(source));
    spec["prefix"] = "".into();
    spec["trustCommitAnnotation"] = true.into();
    let rule = match apply::rule(case.text("alert_namespace").unwrap(), spec) {
        Ok(rule) => rule,
        Err(_) => return "refused(apply)".to_owned(),
    };
    let metadata = json!({"revision": format!("main@sha1:{SHA}"), "commit_status": "update"});
    let event = apply::event(case.at("event"), &metadata).unwrap();
    match evaluate(&CompiledRule::compile(rule).unwrap(), &event) {
        Ok(wanted) if wanted.only_clears => "clears a failure".to_owned(),
        Ok(_) => "true".to_owned(),
        Err(
            SkipReason::Suspended
            | SkipReason::Kind
            | SkipReason::Namespace
            | SkipReason::Name
            | SkipReason::NotIncluded
            | SkipReason::Excluded,
        ) => "false".to_owned(),
        Err(reason) => Verdict::Skipped(reason).to_string(),
    }
}

/// Both sides in one order, and none the same as an empty one.
fn metadata_of(value: &Value) -> String {
    let map: BTreeMap<String, Value> = match value {
        Value::Null => BTreeMap::new(),
        value => serde_json::from_value(value.clone()).unwrap(),
    };
    json!(map).to_string()
}

/// A rule for any Kustomization.
fn any(event_metadata: &Value, summary: Option<&str>, kind: &str, trusts: bool) -> Value {
    let mut spec = json!({
        "eventSources": [{"kind": kind, "name": "*"}],
        "prefix": "",
        "trustCommitAnnotation": trusts,
    });
    if event_metadata
        .as_object()
        .is_some_and(|metadata| !metadata.is_empty())
    {
        spec["eventMetadata"] = event_metadata.clone();
    }
    if let Some(summary) = summary.filter(|summary| !summary.is_empty()) {
        spec["summary"] = summary.into();
    }
    spec
}

fn metadata(case: &Case) -> String {
    assert_eq!(case.text("stage"), Some("combine"));
    let spec = any(
        case.at("alert_event_metadata"),
        case.text("summary"),
        "Kustomization",
        false,
    );
    let rule = match apply::rule("foo-ns", spec) {
        Ok(rule) => rule,
        Err(_) => return "refused(apply)".to_owned(),
    };
    let sent = json!({"severity": "info", "reason": "x", "apiVersion": case.at("api_version")});
    let event = apply::event(&sent, case.at("event_metadata")).unwrap();
    json!(merged(&event, &rule.spec)).to_string()
}

/// `null` for an expression is the context of a Provider without one.
fn expression(case: &Case) -> String {
    let object = case.at("event");
    let Some(text) = case.text("expression") else {
        let event =
            json!({"severity": "info", "reason": "x", "kind": object["kind"], "name": object["name"]});
        let event = apply::event(&event, &Value::Null).unwrap();
        let mut spec = any(&Value::Null, None, "Kustomization", false);
        spec.as_object_mut().unwrap().remove("prefix");
        let rule = apply::rule("foo-ns", spec).unwrap();
        return context(&rule, CLUSTER, &event.involved_object, None);
    };
    let mut event = Map::new();
    let mut involved = Map::new();
    for (key, value) in object.as_object().unwrap() {
        match key.as_str() {
            "kind" | "name" | "namespace" => involved.insert(key.clone(), value.clone()),
            _ => event.insert(key.clone(), value.clone()),
        };
    }
    event.insert("involvedObject".into(), involved.into());
    let mut provider = json!({"metadata": {}, "spec": {}});
    for (key, value) in case.at("provider").as_object().unwrap() {
        let place = if key == "type" { "spec" } else { "metadata" };
        provider[place][key] = value.clone();
    }
    let alert = json!({"metadata": case.at("alert")});
    let variables = Variables::new(event.into(), provider, alert, CLUSTER);
    let evaluated = Expression::compile(text)
        .map_err(drop)
        .and_then(|expression| expression.evaluate(&variables).map_err(drop));
    evaluated.unwrap_or_else(|()| "error".to_owned())
}

/// What passes upstream's gate may still name no commit; upstream's notifier finds that out, `evaluate` here.
fn gating(case: &Case) -> Vec<(&'static str, String, String)> {
    let sent = case.at("event");
    let metadata = &sent["metadata"];
    let kind = sent["kind"].as_str().unwrap();
    let mut fields = Vec::new();
    let trusts = apply::needs_trust(kind, metadata);
    let spec = any(
        case.at("alert_event_metadata"),
        case.text("alert_summary"),
        kind,
        trusts,
    );
    let outcome = match apply::rule("foo-ns", spec) {
        Err(_) => "refused(apply)".to_owned(),
        Ok(rule) => {
            let event = apply::event(sent, metadata).unwrap();
            if case.entry.get("metadata_result").is_some() {
                fields.push((
                    "metadata_result",
                    metadata_of(case.at("metadata_result")),
                    json!(merged(&event, &rule.spec)).to_string(),
                ));
            }
            match evaluate(&CompiledRule::compile(rule).unwrap(), &event) {
                Ok(wanted) => match wanted.state {
                    shared::State::Pending => "passes as pending".to_owned(),
                    _ => "passes".to_owned(),
                },
                Err(SkipReason::NoCommit) => "passes".to_owned(),
                Err(SkipReason::NoState) => "dropped".to_owned(),
                Err(reason) => Verdict::Skipped(reason).to_string(),
            }
        }
    };
    fields.push(("outcome", shown(case.at("outcome")), outcome));
    fields
}

/// What `certSecretRef` names comes before what stands beside the credential.
fn tls(case: &Case) -> String {
    let found = match (case.at("cert_secret"), case.at("secret")) {
        (Value::Null, Value::Null) => Ok(None),
        (Value::Null, beside) => Certificates::beside_credential(&secret(beside)),
        (of_its_own, _) => Certificates::from_secret(&secret(of_its_own)).map(Some),
    };
    match found {
        Err(_) => "error".to_owned(),
        Ok(None) => shown(&Value::Null),
        Ok(Some(certificates)) => json!({
            "ca": certificates.authorities.is_some(),
            "client_certificate": certificates.identity.is_some(),
        })
        .to_string(),
    }
}
