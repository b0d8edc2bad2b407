//! `CommitStatus.spec`.

use std::collections::BTreeMap;

use expressions::Template;
use hosts::target_url;
use regex::Regex;
use shared::kinds::{
    ANY_NAME, CommitStatusSpec, EventSeverity, EventSource, KUSTOMIZATION, LocalReference, OnSuperseded,
};

use super::decode::{Field, Findings, suggest};
use crate::names::{check_label, check_subdomain};

/// Kinds an event of Flux can be about.
pub(crate) const FLUX_KINDS: [&str; 12] = [
    KUSTOMIZATION,
    "ArtifactGenerator",
    "Bucket",
    "ExternalArtifact",
    "GitRepository",
    "HelmChart",
    "HelmRelease",
    "HelmRepository",
    "ImagePolicy",
    "ImageRepository",
    "ImageUpdateAutomation",
    "OCIRepository",
];
/// As in Flux's Alert.
pub(crate) const MAX_SUMMARY: usize = 255;
/// Most hosts take contexts of 255 characters, and kind and name come after the prefix. What is longer is cut.
pub(crate) const MAX_PREFIX: usize = 200;
/// Metadata that names the commit; a rule must not.
pub(crate) const COMMIT_METADATA: [&str; 3] = ["commit", "revision", "originRevision"];
/// Longer ones are cut at most hosts, and none is needed to say what a cluster made of a commit.
pub(crate) const MAX_DESCRIPTION: usize = 255;
/// The first is the default.
pub(crate) const SEVERITIES: [&str; 2] = ["info", "error"];
/// The first is the default.
pub(crate) const ON_SUPERSEDED: [&str; 2] = ["close", "leave"];

pub(super) fn decode(spec: &Field<'_>, findings: &mut Findings<'_>) -> Option<CommitStatusSpec> {
    let mut fields = spec.mapping(findings)?;

    let provider_ref = fields.required("providerRef", findings);
    let provider_ref = provider_ref.and_then(|field| local_reference(&field, findings));
    let event_severity = fields.optional("eventSeverity");
    let event_severity = event_severity.map_or(Some(EventSeverity::Info), |field| severity(&field, findings));
    let trust_commit_annotation = boolean_or(fields.optional("trustCommitAnnotation"), false, findings);
    let sources = fields.required("eventSources", findings);
    let sources = sources
        .and_then(|field| event_sources(&field, trust_commit_annotation.unwrap_or_default(), findings));
    let prefix = match fields.optional("prefix") {
        None => Some(None),
        Some(field) => prefix(&field, findings).map(Some),
    };
    let inclusion_list = patterns(fields.optional("inclusionList"), findings);
    let exclusion_list = patterns(fields.optional("exclusionList"), findings);
    let suspend = boolean_or(fields.optional("suspend"), false, findings);
    let summary = match fields.optional("summary") {
        None => Some(None),
        Some(field) => summary(&field, findings).map(Some),
    };
    let metadata = fields.optional("eventMetadata");
    let event_metadata = metadata.map_or_else(BTreeMap::new, |field| event_metadata(&field, findings));
    let report_progress = boolean_or(fields.optional("reportProgress"), true, findings);
    let on_superseded = fields.optional("onSuperseded");
    let on_superseded = on_superseded.map_or(Some(OnSuperseded::Close), |field| superseded(&field, findings));
    let target_url = match fields.optional("targetUrl") {
        None => Some(None),
        Some(field) => url_template(&field, findings).map(Some),
    };
    let description = match fields.optional("description") {
        None => Some(None),
        Some(field) => description(&field, findings).map(Some),
    };
    fields.finish(findings);

    Some(CommitStatusSpec {
        provider_ref: provider_ref?,
        event_severity: event_severity?,
        event_sources: sources?,
        prefix: prefix?,
        inclusion_list,
        exclusion_list,
        suspend: suspend?,
        summary: summary?,
        event_metadata,
        report_progress: report_progress?,
        trust_commit_annotation: trust_commit_annotation?,
        on_superseded: on_superseded?,
        target_url: target_url?,
        description: description?,
    })
}

/// A mapping with nothing but a name.
pub(crate) fn local_reference(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<LocalReference> {
    let mut reference = field.mapping(findings)?;
    let name = reference.required("name", findings);
    reference.finish(findings);
    let name = name?;
    let text = name.string(findings)?;
    if let Err(problem) = check_subdomain(text) {
        name.mistake(findings, problem);
        return None;
    }
    Some(LocalReference {
        name: text.to_owned(),
    })
}

/// `None` if it is not a boolean.
pub(crate) fn boolean_or(
    field: Option<Field<'_>>,
    default: bool,
    findings: &mut Findings<'_>,
) -> Option<bool> {
    match field {
        None => Some(default),
        Some(field) => field.boolean(findings),
    }
}

pub(crate) fn severity(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<EventSeverity> {
    match field.string(findings)? {
        "info" => Some(EventSeverity::Info),
        "error" => Some(EventSeverity::Error),
        other => {
            field.mistake(findings, format!("no severity; {}", suggest(other, &SEVERITIES)));
            None
        }
    }
}

fn superseded(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<OnSuperseded> {
    match field.string(findings)? {
        "close" => Some(OnSuperseded::Close),
        "leave" => Some(OnSuperseded::Leave),
        other => {
            let known = suggest(other, &ON_SUPERSEDED);
            field.mistake(findings, format!("no way to treat a pending status; {known}"));
            None
        }
    }
}

fn event_sources(
    field: &Field<'_>,
    trust_commit_annotation: bool,
    findings: &mut Findings<'_>,
) -> Option<Vec<EventSource>> {
    let items = field.items(findings)?;
    if items.is_empty() {
        field.mistake(findings, "empty; expected at least one object whose events count");
        return None;
    }
    let sources: Vec<Option<EventSource>> = items
        .iter()
        .map(|item| event_source(item, trust_commit_annotation, findings))
        .collect();
    sources.into_iter().collect()
}

fn event_source(
    field: &Field<'_>,
    trust_commit_annotation: bool,
    findings: &mut Findings<'_>,
) -> Option<EventSource> {
    let mut source = field.mapping(findings)?;
    let kind = source.required("kind", findings);
    let kind = kind.and_then(|kind| source_kind(&kind, trust_commit_annotation, findings));
    let name = source.required("name", findings);
    let name = name.and_then(|name| source_name(&name, findings));
    let namespace = match source.optional("namespace") {
        None => Some(None),
        Some(field) => source_namespace(&field, findings).map(Some),
    };
    source.ignored(
        "apiVersion",
        findings,
        "ignored, as in Flux: kind, name and namespace count",
    );
    source.refused(
        "matchLabels",
        findings,
        "not supported: events carry no labels; filter in the cluster's Alert",
    );
    source.finish(findings);
    Some(EventSource {
        kind: kind?,
        name: name?,
        namespace: namespace?,
    })
}

pub(crate) fn source_kind(
    field: &Field<'_>,
    trust_commit_annotation: bool,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let kind = field.string(findings)?;
    if !FLUX_KINDS.contains(&kind) {
        field.mistake(
            findings,
            format!("no kind of Flux; {}", suggest(kind, &FLUX_KINDS)),
        );
        return None;
    }
    if kind != KUSTOMIZATION && !trust_commit_annotation {
        field.mistake(
            findings,
            format!(
                "the revision in events of a {kind} is not a commit; expected {KUSTOMIZATION}, or set \
                 spec.trustCommitAnnotation to true and the annotation event.toolkit.fluxcd.io/commit on the object"
            ),
        );
        return None;
    }
    Some(kind.to_owned())
}

pub(crate) fn source_name(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let name = field.string(findings)?;
    if name == ANY_NAME {
        return Some(name.to_owned());
    }
    if name.contains(['*', '?', '[']) {
        field.mistake(
            findings,
            format!("`{name}` is a pattern; expected a name, or `{ANY_NAME}` alone for any"),
        );
        return None;
    }
    if let Err(problem) = check_subdomain(name) {
        field.mistake(findings, problem);
        return None;
    }
    Some(name.to_owned())
}

pub(crate) fn source_namespace(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let namespace = field.string(findings)?;
    if namespace == ANY_NAME {
        field.mistake(
            findings,
            "there is no wildcard for namespaces, as in Flux; list each namespace as a source of its own",
        );
        return None;
    }
    if let Err(problem) = check_label(namespace) {
        field.mistake(findings, problem);
        return None;
    }
    Some(namespace.to_owned())
}

fn prefix(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let prefix = field.string(findings)?;
    let length = prefix.chars().count();
    let problem = if length > MAX_PREFIX {
        format!("{length} characters; expected at most {MAX_PREFIX}")
    } else if prefix.chars().any(char::is_control) {
        "holds a control character; expected plain text".into()
    } else if prefix.starts_with('/') || prefix.ends_with('/') {
        "begins or ends with a slash; the one before kind and name is added".into()
    } else {
        return Some(prefix.to_owned());
    };
    field.mistake(findings, problem);
    None
}

pub(crate) fn patterns(field: Option<Field<'_>>, findings: &mut Findings<'_>) -> Vec<String> {
    let Some(field) = field else {
        return Vec::new();
    };
    let mut patterns = Vec::new();
    for (item, text) in field.strings(findings) {
        match Regex::new(text) {
            Ok(_) => patterns.push(text.to_owned()),
            Err(error) => item.mistake(findings, explain(&error)),
        }
    }
    patterns
}

/// The crate draws the pattern with a caret over several lines; here it has to fit on one.
fn explain(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "))
        .unwrap_or_else(|| text.lines().next().unwrap_or_default());
    // The drawing is indented by four.
    let caret = text
        .lines()
        .find(|line| line.trim_start().starts_with('^'))
        .and_then(|line| line.find('^'))
        .and_then(|at| at.checked_sub(3));
    match caret {
        Some(at) => format!("no regular expression: {reason}, at character {at} of the pattern"),
        None => format!("no regular expression: {reason}"),
    }
}

pub(crate) fn summary(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let summary = field.string(findings)?;
    let length = summary.chars().count();
    if length > MAX_SUMMARY {
        field.mistake(
            findings,
            format!("{length} characters; expected at most {MAX_SUMMARY}"),
        );
        return None;
    }
    Some(summary.to_owned())
}

fn template(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Template> {
    match Template::compile(field.string(findings)?) {
        Ok(template) => Some(template),
        Err(mistake) => {
            field.mistake(findings, mistake.to_string());
            None
        }
    }
}

fn url_template(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let template = template(field, findings)?;
    let prefix = template.literal_prefix().trim_start();
    // What comes from the event may be all of it, or the rest.
    let begins_right = prefix.is_empty() && !template.is_constant()
        || ["https://", "http://"]
            .iter()
            .any(|scheme| prefix.starts_with(scheme));
    if !begins_right || template.is_constant() && target_url(template.text()).is_none() {
        field.mistake(
            findings,
            "no address a click can lead to; expected https://HOST/PATH, with `${…}` where it depends on the event",
        );
        return None;
    }
    Some(template.text().to_owned())
}

fn description(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let template = template(field, findings)?;
    let text = template.text();
    let length = text.chars().count();
    let problem = if text.trim().is_empty() {
        "empty; leave it out for Flux's reason in words".to_owned()
    } else if template.is_constant() && length > MAX_DESCRIPTION {
        format!("{length} characters; expected at most {MAX_DESCRIPTION}")
    } else {
        return Some(text.to_owned());
    };
    field.mistake(findings, problem);
    None
}

fn event_metadata(field: &Field<'_>, findings: &mut Findings<'_>) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    for (key, value) in field.string_map(findings) {
        let bare = key.name.rsplit('/').next().unwrap_or_default();
        if COMMIT_METADATA.contains(&bare) {
            let path = format!("{}.{}", field.path, key.name);
            let text = format!("a rule never names the commit; it comes from the event. Remove `{bare}`");
            findings.mistake(key.at, &path, text);
            continue;
        }
        metadata.insert(key.name.clone(), value.to_owned());
    }
    metadata
}
