//! What a rule makes of an event. Pure: no table, no clock.

use expressions::{Mistake, Template};
use regex::Regex;
use shared::event::Severity;
use shared::kinds::{ANY_NAME, EventSeverity, KUSTOMIZATION};
use shared::{CommitSha, CommitStatusRule, Event, InvolvedObject, State};

use crate::verdict::SkipReason;

/// Value of metadata `commit_status` on a Kustomization's final success.
const COMMIT_STATUS_UPDATE: &str = "update";
/// Info events of a reconciliation that has not ended.
const PROGRESS_REASONS: [&str; 3] = ["Progressing", "DependencyNotReady", "HealthCheckCanceled"];
/// Successes that undo the commit instead of applying it.
const REMEDIATION_REASONS: [&str; 2] = ["RollbackSucceeded", "UninstallSucceeded"];
/// How helm-controller's and kustomize-controller's reasons for success end.
const SUCCESS_SUFFIX: &str = "Succeeded";

/// A rule with its expressions compiled once.
#[derive(Debug, Clone)]
pub struct CompiledRule {
    /// The rule.
    pub rule: CommitStatusRule,
    /// `targetUrl`.
    pub target_url: Option<Template>,
    /// `description`.
    pub description: Option<Template>,
    inclusion: Vec<Regex>,
    exclusion: Vec<Regex>,
}

/// An expression of a rule that does not compile.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// In the inclusion or exclusion list.
    #[error(transparent)]
    Pattern(#[from] regex::Error),
    /// In a template.
    #[error("{field}: {mistake}")]
    Template {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        mistake: Mistake,
    },
}

impl CompiledRule {
    /// Compiles the inclusion and exclusion lists, and the templates.
    ///
    /// # Errors
    /// The first expression that does not compile.
    pub fn compile(rule: CommitStatusRule) -> Result<Self, RuleError> {
        let template = |field, text: &Option<String>| {
            text.as_deref()
                .map(Template::compile)
                .transpose()
                .map_err(|mistake| RuleError::Template { field, mistake })
        };
        let compile = |list: &[String]| {
            list.iter()
                .map(|expression| Regex::new(expression))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            inclusion: compile(&rule.spec.inclusion_list)?,
            exclusion: compile(&rule.spec.exclusion_list)?,
            target_url: template("spec.targetUrl", &rule.spec.target_url)?,
            description: template("spec.description", &rule.spec.description)?,
            rule,
        })
    }
}

/// What a matching rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The commit the status goes on.
    pub sha: CommitSha,
    /// Its state.
    pub state: State,
    /// The rule takes failures only: this success is posted only where it clears something.
    pub only_clears: bool,
}

/// Evaluates one rule on one event.
///
/// # Errors
/// The first reason for which the rule does not want the event, in the order of notification-controller's own checks
/// where it has them.
pub fn evaluate(compiled: &CompiledRule, event: &Event) -> Result<Wanted, SkipReason> {
    let rule = &compiled.rule;
    if rule.spec.suspend {
        return Err(SkipReason::Suspended);
    }
    matches_source(rule, &event.involved_object)?;
    let trusts_annotation = rule.spec.trust_commit_annotation;
    if event.involved_object.kind != KUSTOMIZATION && !trusts_annotation {
        return Err(SkipReason::UntrustedKind);
    }
    if !compiled.inclusion.is_empty()
        && !compiled
            .inclusion
            .iter()
            .any(|regex| regex.is_match(&event.message))
    {
        return Err(SkipReason::NotIncluded);
    }
    if compiled
        .exclusion
        .iter()
        .any(|regex| regex.is_match(&event.message))
    {
        return Err(SkipReason::Excluded);
    }
    let annotated = trusts_annotation && event.annotation_metadata("commit").is_some();
    let state = state(event, annotated)?;
    let errors_only = rule.spec.event_severity == EventSeverity::Error;
    match state {
        State::Pending if errors_only => return Err(SkipReason::Severity),
        State::Pending if !rule.spec.report_progress => return Err(SkipReason::Progress),
        _ => {}
    }
    let sha = commit(event, trusts_annotation).ok_or(SkipReason::NoCommit)?;
    Ok(Wanted {
        sha,
        state,
        only_clears: errors_only && state == State::Success,
    })
}

fn matches_source(rule: &CommitStatusRule, object: &InvolvedObject) -> Result<(), SkipReason> {
    let mut nearest = SkipReason::Kind;
    for source in rule
        .spec
        .event_sources
        .iter()
        .filter(|source| source.kind == object.kind)
    {
        if source.namespace(&rule.metadata) != object.namespace {
            if nearest == SkipReason::Kind {
                nearest = SkipReason::Namespace;
            }
        } else if source.name == ANY_NAME || source.name == object.name {
            return Ok(());
        } else {
            nearest = SkipReason::Name;
        }
    }
    Err(nearest)
}

/// `annotated`: the commit comes from an annotation the rule trusts, on whose events notification-controller calls
/// every info a success.
fn state(event: &Event, annotated: bool) -> Result<State, SkipReason> {
    let reason = event.reason.as_str();
    match event.severity {
        Severity::Error => Ok(State::Failure),
        Severity::Trace => Err(SkipReason::NoState),
        Severity::Info if PROGRESS_REASONS.contains(&reason) => Ok(State::Pending),
        Severity::Info if REMEDIATION_REASONS.contains(&reason) => Err(SkipReason::Remediation),
        Severity::Info
            if event.controller_metadata("commit_status") == Some(COMMIT_STATUS_UPDATE)
                || reason.ends_with(SUCCESS_SUFFIX)
                || annotated =>
        {
            Ok(State::Success)
        }
        Severity::Info => Err(SkipReason::NoState),
    }
}

/// The commit of an event: the annotation where it is trusted, then `revision`, and `originRevision` only where
/// `revision` is no Git commit (an OCI artifact): an annotation can set `originRevision` too, and must not outvote the
/// controller.
pub fn commit(event: &Event, trusts_annotation: bool) -> Option<CommitSha> {
    if trusts_annotation && let Some(commit) = event.annotation_metadata("commit") {
        return CommitSha::from_revision(commit);
    }
    ["revision", "originRevision"]
        .into_iter()
        .filter_map(|key| event.controller_metadata(key))
        .find_map(CommitSha::from_revision)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use shared::kinds::{CommitStatusSpec, EventSource, LocalReference, Metadata};

    pub(crate) const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
    const OTHER: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";

    pub(crate) fn rule() -> CommitStatusRule {
        CommitStatusRule {
            metadata: Metadata {
                name: "podinfo".into(),
                namespace: "apps".into(),
                uid: None,
                labels: Default::default(),
            },
            spec: CommitStatusSpec {
                provider_ref: LocalReference {
                    name: "github".into(),
                },
                event_severity: EventSeverity::Info,
                event_sources: vec![source("Kustomization", "podinfo", None)],
                prefix: None,
                inclusion_list: vec![],
                exclusion_list: vec![],
                suspend: false,
                summary: None,
                event_metadata: Default::default(),
                report_progress: true,
                trust_commit_annotation: false,
                on_superseded: Default::default(),
                target_url: None,
                description: None,
            },
        }
    }

    fn source(kind: &str, name: &str, namespace: Option<&str>) -> EventSource {
        EventSource {
            kind: kind.into(),
            name: name.into(),
            namespace: namespace.map(str::to_owned),
        }
    }

    pub(crate) fn object() -> InvolvedObject {
        InvolvedObject {
            kind: "Kustomization".into(),
            namespace: "apps".into(),
            name: "podinfo".into(),
            uid: String::new(),
            api_version: "kustomize.toolkit.fluxcd.io/v1".into(),
            resource_version: "183230".into(),
        }
    }

    pub(crate) fn succeeded() -> Event {
        Event {
            involved_object: object(),
            severity: Severity::Info,
            timestamp: "2026-08-07T13:13:02Z".parse().unwrap(),
            message: "Reconciliation finished in 20.117483391s, next run in 10m0s".into(),
            reason: "ReconciliationSucceeded".into(),
            metadata: metadata(&[
                ("commit_status", "update"),
                ("revision", &format!("main@sha1:{SHA}")),
            ]),
            reporting_controller: "kustomize-controller".into(),
            reporting_instance: String::new(),
        }
    }

    fn metadata(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    fn evaluated(rule: CommitStatusRule, event: &Event) -> Result<Wanted, SkipReason> {
        evaluate(&CompiledRule::compile(rule).unwrap(), event)
    }

    fn wanted(state: State) -> Result<Wanted, SkipReason> {
        Ok(Wanted {
            sha: SHA.parse().unwrap(),
            state,
            only_clears: false,
        })
    }

    #[test]
    fn takes_the_success_of_its_source() {
        assert_eq!(evaluated(rule(), &succeeded()), wanted(State::Success));
    }

    // notification-controller internal/server/event_handlers_test.go TestFilterAlertsForEvent and
    // TestEventMatchesAlert; labels are refused at apply.
    #[test]
    fn p18_matches_as_upstream_matches() {
        type Change = fn(&mut CommitStatusRule, &mut Event);
        let cases: [(&str, Change, Result<(), SkipReason>); 17] = [
            ("all match", |_, _| {}, Ok(())),
            (
                "suspended",
                |rule, _| rule.spec.suspend = true,
                Err(SkipReason::Suspended),
            ),
            (
                "inclusion match",
                |rule, _| rule.spec.inclusion_list = vec!["finished".into()],
                Ok(()),
            ),
            (
                "inclusion without a match",
                |rule, _| rule.spec.inclusion_list = vec!["^finished".into(), "nothing".into()],
                Err(SkipReason::NotIncluded),
            ),
            (
                "exclusion match",
                |rule, _| rule.spec.exclusion_list = vec!["nothing".into(), "next run".into()],
                Err(SkipReason::Excluded),
            ),
            (
                "exclusion without a match",
                |rule, _| rule.spec.exclusion_list = vec!["nothing".into()],
                Ok(()),
            ),
            (
                "exclusion wins over inclusion",
                |rule, _| {
                    rule.spec.inclusion_list = vec!["finished".into()];
                    rule.spec.exclusion_list = vec!["finished".into()];
                },
                Err(SkipReason::Excluded),
            ),
            (
                "the source's namespace counts",
                |rule, _| rule.spec.event_sources[0].namespace = Some("other".into()),
                Err(SkipReason::Namespace),
            ),
            (
                "without one the rule's namespace counts",
                |rule, _| rule.metadata.namespace = "other".into(),
                Err(SkipReason::Namespace),
            ),
            (
                "a source in another namespace",
                |rule, _| {
                    rule.metadata.namespace = "flux-system".into();
                    rule.spec.event_sources[0].namespace = Some("apps".into());
                },
                Ok(()),
            ),
            (
                "another kind",
                |rule, _| rule.spec.event_sources[0].kind = "HelmRelease".into(),
                Err(SkipReason::Kind),
            ),
            (
                "kinds have case",
                |rule, _| rule.spec.event_sources[0].kind = "kustomization".into(),
                Err(SkipReason::Kind),
            ),
            (
                "any name",
                |rule, _| rule.spec.event_sources[0].name = "*".into(),
                Ok(()),
            ),
            (
                "another name",
                |rule, _| rule.spec.event_sources[0].name = "other".into(),
                Err(SkipReason::Name),
            ),
            (
                "no globs",
                |rule, _| rule.spec.event_sources[0].name = "pod*".into(),
                Err(SkipReason::Name),
            ),
            (
                "any of several sources",
                |rule, _| {
                    rule.spec
                        .event_sources
                        .insert(0, source("Kustomization", "other", None));
                    rule.spec
                        .event_sources
                        .insert(0, source("HelmRelease", "podinfo", None));
                },
                Ok(()),
            ),
            (
                "rule info, event error",
                |_, event| {
                    event.severity = Severity::Error;
                    event.reason = "BuildFailed".into();
                },
                Ok(()),
            ),
        ];
        for (name, change, expected) in cases {
            let (mut rule, mut event) = (rule(), succeeded());
            change(&mut rule, &mut event);
            assert_eq!(evaluated(rule, &event).map(|_| ()), expected, "{name}");
        }
    }

    #[test]
    fn a_rule_for_errors_takes_failures_and_lets_a_success_clear_them() {
        let mut rule = rule();
        rule.spec.event_severity = EventSeverity::Error;
        let mut failed = succeeded();
        failed.severity = Severity::Error;
        let mut progressing = succeeded();
        progressing.reason = "Progressing".into();

        assert_eq!(evaluated(rule.clone(), &failed), wanted(State::Failure));
        assert_eq!(evaluated(rule.clone(), &progressing), Err(SkipReason::Severity));
        assert!(evaluated(rule, &succeeded()).unwrap().only_clears);
    }

    #[test]
    fn reads_the_state_from_severity_and_reason() {
        let cases = [
            (Severity::Error, "BuildFailed", false, Ok(State::Failure)),
            (Severity::Error, "Progressing", false, Ok(State::Failure)),
            (Severity::Error, "error", false, Ok(State::Failure)),
            (Severity::Info, "Progressing", false, Ok(State::Pending)),
            (Severity::Info, "DependencyNotReady", false, Ok(State::Pending)),
            (Severity::Info, "HealthCheckCanceled", true, Ok(State::Pending)),
            (
                Severity::Info,
                "RollbackSucceeded",
                true,
                Err(SkipReason::Remediation),
            ),
            (
                Severity::Info,
                "UninstallSucceeded",
                false,
                Err(SkipReason::Remediation),
            ),
            (Severity::Info, "UpgradeSucceeded", false, Ok(State::Success)),
            (Severity::Info, "DriftDetected", false, Err(SkipReason::NoState)),
            (Severity::Info, "DriftDetected", true, Ok(State::Success)),
            (Severity::Info, "info", false, Err(SkipReason::NoState)),
            (
                Severity::Trace,
                "ReconciliationSucceeded",
                false,
                Err(SkipReason::NoState),
            ),
        ];
        for (severity, reason, annotated, expected) in cases {
            let mut event = succeeded();
            event.metadata = Default::default();
            event.severity = severity;
            event.reason = reason.into();
            assert_eq!(
                state(&event, annotated),
                expected,
                "{severity:?} {reason} {annotated}"
            );
        }
        let mut updated = succeeded();
        updated.reason = "info".into();
        assert_eq!(
            state(&updated, false),
            Ok(State::Success),
            "commit_status: update"
        );
    }

    #[test]
    fn finds_the_commit_without_believing_annotations_unless_told_to() {
        let git = format!("main@sha1:{SHA}");
        let other = format!("main@sha1:{OTHER}");
        let oci = format!("latest@sha256:{}", "6f".repeat(32));
        type Metadata<'a> = &'a [(&'a str, &'a str)];
        let cases: [(&str, Metadata<'_>, bool, Option<&str>); 11] = [
            ("revision", &[("revision", &git)], false, Some(SHA)),
            (
                "prefixed",
                &[("kustomize.toolkit.fluxcd.io/revision", &git)],
                false,
                Some(SHA),
            ),
            (
                "revision before originRevision",
                &[("revision", &git), ("originRevision", &other)],
                false,
                Some(SHA),
            ),
            (
                "originRevision of an OCI artifact",
                &[("revision", &oci), ("originRevision", &git)],
                false,
                Some(SHA),
            ),
            ("OCI without origin", &[("revision", &oci)], false, None),
            ("no revision", &[], false, None),
            ("chart version", &[("revision", "6.9.2")], false, None),
            (
                "untrusted annotation",
                &[("revision", &git), ("commit", OTHER)],
                false,
                Some(SHA),
            ),
            (
                "trusted annotation",
                &[("revision", "6.9.2"), ("commit", SHA)],
                true,
                Some(SHA),
            ),
            (
                "trusted annotation first",
                &[("revision", &git), ("commit", OTHER)],
                true,
                Some(OTHER),
            ),
            (
                "a trusted annotation that names no commit",
                &[("revision", &git), ("commit", "main")],
                true,
                None,
            ),
        ];
        for (name, pairs, trusts, expected) in cases {
            let mut event = succeeded();
            event.metadata = metadata(pairs);
            assert_eq!(
                commit(&event, trusts).as_ref().map(CommitSha::as_str),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn other_kinds_need_a_trusted_annotation() {
        let mut helm = succeeded();
        helm.involved_object.kind = "HelmRelease".into();
        helm.reason = "UpgradeSucceeded".into();
        helm.metadata = metadata(&[("commit", SHA), ("revision", "6.9.2")]);
        let mut rule = rule();
        rule.spec.event_sources = vec![source("HelmRelease", "*", None)];
        assert_eq!(evaluated(rule.clone(), &helm), Err(SkipReason::UntrustedKind));

        rule.spec.trust_commit_annotation = true;
        assert_eq!(evaluated(rule, &helm), wanted(State::Success));
    }

    #[test]
    fn progress_is_reported_unless_the_rule_says_no() {
        let mut rule = rule();
        let mut progressing = succeeded();
        progressing.reason = "Progressing".into();
        assert_eq!(evaluated(rule.clone(), &progressing), wanted(State::Pending));

        rule.spec.report_progress = false;
        assert_eq!(evaluated(rule, &progressing), Err(SkipReason::Progress));
    }

    #[test]
    fn a_rule_whose_expression_does_not_compile_is_no_rule() {
        let mut rule = rule();
        rule.spec.exclusion_list = vec!["(".into()];
        assert!(CompiledRule::compile(rule).is_err());
    }
}
