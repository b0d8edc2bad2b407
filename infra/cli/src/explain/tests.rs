use rules::verdict::SkipReason;
use serde_json::json;

use super::*;
use crate::object::Object;
use crate::store::Cluster;
use crate::yaml::{Source, validate};

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
const SUCCEEDED: &str =
    include_str!("../../../../tests/fixtures/flux-events/04-kustomization-reconciliationsucceeded.json");
const PROGRESSING: &str =
    include_str!("../../../../tests/fixtures/flux-events/02-kustomization-progressing-apply.json");
const HELM_RELEASE: &str =
    include_str!("../../../../tests/fixtures/flux-events/11-helmrelease-upgradesucceeded.json");

const PROVIDER: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: github, namespace: apps}
spec: {type: github, address: 'https://github.com/Acme/fleet', secretRef: {name: token}}
---
";

fn message(body: &str) -> EventMessage {
    EventMessage {
        id: "0123456789abcdef0123456789abcdef".into(),
        cluster: "prod".into(),
        generation: 1,
        previous_root_key: false,
        received_at: "2026-08-07T13:14:00Z".parse().unwrap(),
        event: serde_json::from_str(body).unwrap(),
    }
}

fn explain(applied: &Applied, message: &EventMessage) -> Vec<Explanation> {
    Rules::new(applied.clone()).explain(message)
}

fn rule(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: notification.toolkit.fluxcd.io/v1beta1\nkind: CommitStatus\nmetadata: {{name: {name}, namespace: \
         apps}}\nspec:\n  providerRef: {{name: github}}\n  {}\n---\n",
        spec.replace('\n', "\n  ")
    )
}

fn add(applied: &mut Applied, scope: &Scope, yaml: &str) {
    let source = Source {
        name: "rules.yaml".into(),
        text: yaml.to_owned(),
    };
    for document in validate(&[source], None).unwrap().documents {
        match document.object {
            Object::CommitStatus(rule) => applied.rules.push((scope.clone(), rule)),
            Object::Provider(provider) => applied.providers.push((scope.clone(), provider)),
        }
    }
}

/// One rule and the Provider, for all clusters.
fn one(spec: &str, body: &str) -> Outcome {
    let mut applied = Applied::default();
    add(&mut applied, &Scope::AllClusters, PROVIDER);
    add(&mut applied, &Scope::AllClusters, &rule("webapp", spec));
    explain(&applied, &message(body)).remove(0).outcome
}

fn condition(spec: &str, body: &str) -> Condition {
    match one(spec, body) {
        Outcome::Skipped(condition) => condition,
        other => panic!("{other:?}"),
    }
}

const SOURCE: &str = "eventSources: [{kind: Kustomization, name: podinfo}]";

#[test]
fn a_rule_that_matches_shows_what_the_host_would_be_sent() {
    let Outcome::Matched(found) = one(SOURCE, SUCCEEDED) else {
        panic!("not matched");
    };
    assert_eq!(found.context, "prod/apps/kustomization/podinfo");
    assert_eq!((found.commit.as_str(), found.state), (SHA, State::Success));
    assert_eq!(found.parked, None);
    assert_eq!(
        found.request,
        Some(Request {
            method: "POST".into(),
            url: format!("https://api.github.com/repos/Acme/fleet/statuses/{SHA}"),
            body: json!({
                "state": "success",
                "context": "prod/apps/kustomization/podinfo",
                "description": "reconciliation succeeded",
            }),
        })
    );
}

#[test]
fn a_condition_that_does_not_hold_is_shown_from_both_sides() {
    let with = |more: &str| format!("{SOURCE}\n{more}");
    let message_of_success = "Reconciliation finished";
    for (spec, body, reason, field, rule, event_field, event) in [
        (
            "eventSources: [{kind: HelmRelease, name: podinfo}, {kind: Bucket, name: x}]\ntrustCommitAnnotation: true",
            SUCCEEDED,
            SkipReason::Kind,
            "spec.eventSources[].kind",
            "HelmRelease, Bucket",
            "involvedObject.kind",
            "Kustomization",
        ),
        (
            "eventSources: [{kind: Kustomization, name: podinfo, namespace: other}]",
            SUCCEEDED,
            SkipReason::Namespace,
            "spec.eventSources[].namespace",
            "other",
            "involvedObject.namespace",
            "apps",
        ),
        (
            "eventSources: [{kind: Kustomization, name: web}, {kind: Kustomization, name: api, namespace: apps}, \
             {kind: Kustomization, name: podinfo, namespace: other}]",
            SUCCEEDED,
            SkipReason::Name,
            "spec.eventSources[].name",
            "web, api",
            "involvedObject.name",
            "podinfo",
        ),
        (
            &with("suspend: true"),
            SUCCEEDED,
            SkipReason::Suspended,
            "spec.suspend",
            "true",
            "",
            "",
        ),
        (
            &with("inclusionList: ['^nothing', never]"),
            SUCCEEDED,
            SkipReason::NotIncluded,
            "spec.inclusionList",
            "^nothing, never",
            "message",
            message_of_success,
        ),
        (
            &with("exclusionList: [never, 'fin.*ed']"),
            SUCCEEDED,
            SkipReason::Excluded,
            "spec.exclusionList",
            "fin.*ed",
            "message",
            message_of_success,
        ),
        (
            &with("eventSeverity: error"),
            PROGRESSING,
            SkipReason::Severity,
            "spec.eventSeverity",
            "error",
            "reason (severity)",
            "Progressing (info)",
        ),
        (
            &with("reportProgress: false"),
            PROGRESSING,
            SkipReason::Progress,
            "spec.reportProgress",
            "false",
            "reason (severity)",
            "Progressing (info)",
        ),
    ] {
        let condition = condition(spec, body);
        assert_eq!(condition.reason, reason.as_str());
        assert_eq!(
            (condition.field, condition.rule.as_str()),
            (field, rule),
            "{reason:?}"
        );
        assert_eq!(condition.event_field, event_field, "{reason:?}");
        assert!(
            condition.event.starts_with(event),
            "{reason:?}: {}",
            condition.event
        );
        assert!(!condition.next.is_empty());
        let is_about_others = matches!(
            reason,
            SkipReason::Kind | SkipReason::Namespace | SkipReason::Name
        );
        assert_eq!(condition.is_about_others(), is_about_others);
    }
}

#[test]
fn an_event_that_names_no_commit_shows_where_one_was_looked_for() {
    let annotated = "eventSources: [{kind: HelmRelease, name: '*'}]\ntrustCommitAnnotation: true";
    let found = condition(annotated, HELM_RELEASE);
    assert_eq!(found.reason, "no-commit");
    assert!(found.event.starts_with("revision: "), "{}", found.event);

    let mut event: serde_json::Value = serde_json::from_str(SUCCEEDED).unwrap();
    event["metadata"] = json!({"commit_status": "update"});
    assert_eq!(condition(SOURCE, &event.to_string()).event, "names no revision");
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let mut event: serde_json::Value = serde_json::from_str(SUCCEEDED).unwrap();
    event["message"] = "é".repeat(1_000).into();
    let condition = condition(&format!("{SOURCE}\ninclusionList: [never]"), &event.to_string());
    assert_eq!(condition.event, format!("{}…", "é".repeat(120)));
}

#[test]
fn a_cluster_is_asked_for_its_own_before_what_is_for_all() {
    let mut applied = Applied::default();
    let own = Scope::Cluster("prod".into());
    add(&mut applied, &Scope::AllClusters, PROVIDER);
    add(&mut applied, &Scope::AllClusters, &rule("webapp", SOURCE));
    add(&mut applied, &Scope::AllClusters, &rule("other", SOURCE));
    add(
        &mut applied,
        &own,
        &rule("webapp", &format!("{SOURCE}\nprefix: own")),
    );
    add(
        &mut applied,
        &Scope::Cluster("dev".into()),
        &rule("webapp", SOURCE),
    );
    add(&mut applied, &own, &PROVIDER.replace("Acme/fleet", "acme/own"));

    let explanations = explain(&applied, &message(SUCCEEDED));
    let rules: Vec<String> = explanations.iter().map(|one| one.rule.to_string()).collect();
    assert_eq!(rules, ["prod/apps/webapp", "*/apps/webapp", "*/apps/other"]);
    let Outcome::Matched(found) = &explanations[0].outcome else {
        panic!("not matched");
    };
    assert_eq!(found.context, "own/kustomization/podinfo");
    assert_eq!(found.repository.as_deref(), Some("github.com/acme/own"));
    let by = explanations[0].rule.clone();
    assert_eq!(explanations[1].outcome, Outcome::Hidden { by });
    assert!(explanations[1].is_about_others());
}

#[test]
fn what_would_be_parked_is_not_posted_and_says_why() {
    let parked = |provider: &str| {
        let mut applied = Applied::default();
        add(&mut applied, &Scope::AllClusters, provider);
        add(&mut applied, &Scope::AllClusters, &rule("webapp", SOURCE));
        let explanation = explain(&applied, &message(SUCCEEDED)).remove(0);
        assert_eq!(explanation.posted(), None);
        let found = explanation.asks_for().unwrap().clone();
        assert_eq!(found.request, None);
        found.parked.unwrap()
    };
    assert_eq!(
        parked(&PROVIDER.replace("name: github", "name: gitlab")),
        "no-provider: there is no Provider apps/github"
    );
    assert_eq!(
        parked(&PROVIDER.replace("spec: {", "spec: {suspend: true, ")),
        "provider-suspended: spec.suspend of Provider apps/github is true"
    );
    assert_eq!(
        parked(&PROVIDER.replace("spec: {", "spec: {commitStatusExpr: event.metadata.stage, ")),
        "no-context: spec.commitStatusExpr of Provider apps/github: the event has no `event.metadata.stage`"
    );
}

#[test]
fn a_stored_object_that_cannot_be_used_is_said() {
    let mut applied = Applied::default();
    add(&mut applied, &Scope::AllClusters, PROVIDER);
    add(&mut applied, &Scope::AllClusters, &rule("webapp", SOURCE));
    applied.rules[0].1.spec.inclusion_list = vec!["(".into()];
    let Outcome::Invalid { error } = &explain(&applied, &message(SUCCEEDED))[0].outcome else {
        panic!("valid");
    };
    assert!(
        error.contains("unclosed group") && !error.contains('\n'),
        "{error}"
    );
}

#[test]
fn a_success_under_a_rule_for_errors_only_clears() {
    let Outcome::Matched(found) = one(&format!("{SOURCE}\neventSeverity: error"), SUCCEEDED) else {
        panic!("not matched");
    };
    assert!(found.only_clears && found.request.is_some());
}

#[test]
fn the_rules_are_not_asked_about_a_cluster_that_is_not_trusted() {
    let cluster = Cluster {
        name: "prod".into(),
        generation: 1,
        suspended: false,
        connected_namespaces: [].into(),
        connected_root_key: None,
    };
    let message = message(SUCCEEDED);
    let said = |cluster: Option<Cluster>| dropped(cluster.as_ref(), &message);
    assert_eq!(said(Some(cluster.clone())), None);
    let suspended = Cluster {
        suspended: true,
        ..cluster.clone()
    };
    let revoked = Cluster {
        generation: 2,
        ..cluster
    };
    for (cluster, expected) in [
        (None, "`commitstatus cluster add prod`"),
        (Some(suspended), "`commitstatus cluster resume prod`"),
        (Some(revoked), "`commitstatus connect prod | kubectl apply -f -`"),
    ] {
        let said = said(cluster).unwrap();
        assert!(
            said.starts_with("skipped(revoked): ") && said.contains(expected),
            "{said}"
        );
    }
}
