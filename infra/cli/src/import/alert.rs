//! An Alert of Flux to a rule.

use std::collections::BTreeMap;

use shared::CommitStatusRule;
use shared::kinds::{
    CommitStatusSpec, EventSeverity, EventSource, KUSTOMIZATION, LocalReference, Metadata, ObjectName,
    OnSuperseded,
};

use super::objects::{Raw, head, is_filled_in, unknown};
use super::provider::OldProvider;
use super::{Named, Wanted, shown};
use crate::yaml::commit_status::{
    COMMIT_METADATA, boolean_or, local_reference, patterns, severity, source_kind, source_name,
    source_namespace, summary,
};
use crate::yaml::decode::{Field, Findings, Mapping};

/// An Alert in the files, by name and Provider.
pub(super) struct Identity<'n> {
    metadata: Metadata,
    spec: Mapping<'n>,
    provider: LocalReference,
    provider_field: Field<'n>,
}

impl Named for Identity<'_> {
    const KIND: &'static str = "Alert";

    fn name(&self) -> ObjectName {
        self.metadata.object_name()
    }
}

/// An Alert that reports to a Git host, and the rule it becomes.
pub(super) struct OldAlert<'n> {
    pub raw: Raw<'n>,
    pub rule: CommitStatusRule,
}

impl OldAlert<'_> {
    /// The Provider it names.
    pub(super) fn provider(&self) -> ObjectName {
        ObjectName::new(&self.rule.metadata.namespace, &self.rule.spec.provider_ref.name)
    }
}

/// Which one it is, and where it sends to.
pub(super) fn identify<'n>(
    raw: &Raw<'n>,
    wanted: &Wanted<'_>,
    findings: &mut Findings<'_>,
) -> Option<Identity<'n>> {
    let (mut object, metadata) = head(raw, wanted, findings)?;
    let spec = object.required("spec", findings);
    unknown(object, findings);
    let mut spec = spec?.mapping(findings)?;
    let provider_field = spec.required("providerRef", findings)?;
    let provider = local_reference(&provider_field, findings)?;
    Some(Identity {
        metadata,
        spec,
        provider,
        provider_field,
    })
}

/// The rule; `None` if it is none, which is said.
pub(super) fn convert<'n>(
    raw: &Raw<'n>,
    identity: Identity<'n>,
    providers: &[(Raw<'n>, OldProvider)],
    findings: &mut Findings<'_>,
) -> Option<OldAlert<'n>> {
    let Identity {
        metadata,
        spec: mut fields,
        provider: provider_ref,
        provider_field,
    } = identity;
    let alert = metadata.object_name();
    let provider = ObjectName::new(&metadata.namespace, &provider_ref.name);
    match providers.iter().find(|(_, old)| old.name() == provider) {
        None => {
            provider_field.note(
                findings,
                format!(
                    "Alert {alert} is left aside: Provider {provider} is not in the files. If it is about commit statuses, add \
                     it: `kubectl get providers.notification.toolkit.fluxcd.io {} -n {} -o yaml`",
                    provider.name, provider.namespace
                ),
            );
            return None;
        }
        Some((_, old)) if old.host.is_none() => {
            provider_field.note(
                findings,
                format!(
                    "Alert {alert} stays in the cluster as it is: Provider {provider} is of type `{}`",
                    shown(&old.kind)
                ),
            );
            return None;
        }
        Some(_) => {}
    }

    let event_severity = fields.optional("eventSeverity");
    let event_severity = event_severity.map_or(Some(EventSeverity::Info), |field| severity(&field, findings));
    let sources = fields.required("eventSources", findings);
    let sources = sources.and_then(|field| event_sources(&field, findings));
    let inclusion_list = patterns(fields.optional("inclusionList"), findings);
    let exclusion_list = patterns(fields.optional("exclusionList"), findings);
    let suspend = boolean_or(fields.optional("suspend"), false, findings);
    let summary = match fields.optional("summary") {
        None => Some(None),
        Some(field) => summary(&field, findings).map(|text| {
            filled_in_later(&field, &text, findings);
            Some(text).filter(|text| !text.is_empty())
        }),
    };
    let metadata_field = fields.optional("eventMetadata");
    let event_metadata = metadata_field.map_or_else(BTreeMap::new, |field| event_metadata(&field, findings));
    unknown(fields, findings);

    let event_sources = sources?;
    Some(OldAlert {
        raw: raw.clone(),
        rule: CommitStatusRule {
            metadata,
            spec: CommitStatusSpec {
                provider_ref,
                event_severity: event_severity?,
                trust_commit_annotation: event_sources.iter().any(|source| source.kind != KUSTOMIZATION),
                event_sources,
                prefix: None,
                inclusion_list,
                exclusion_list,
                suspend: suspend?,
                summary: summary?,
                event_metadata,
                report_progress: true,
                on_superseded: OnSuperseded::Close,
                target_url: None,
                description: None,
            },
        },
    })
}

fn event_sources(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<EventSource>> {
    let items = field.items(findings)?;
    if items.is_empty() {
        field.mistake(findings, "empty; expected at least one object whose events count");
        return None;
    }
    let sources: Vec<Option<EventSource>> = items.iter().map(|item| event_source(item, findings)).collect();
    sources.into_iter().collect()
}

fn event_source(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<EventSource> {
    let mut fields = field.mapping(findings)?;
    let kind_field = fields.required("kind", findings);
    let kind = kind_field
        .as_ref()
        .and_then(|kind| source_kind(kind, true, findings));
    let name = fields.required("name", findings);
    let name = name.and_then(|name| source_name(&name, findings));
    let namespace = match fields.optional("namespace") {
        None => Some(None),
        Some(field) => source_namespace(&field, findings).map(Some),
    };
    // Without meaning in Flux too.
    fields.skipped(&["apiVersion"]);
    fields.ignored(
        "matchLabels",
        findings,
        "not carried over, as events carry no labels: the rule takes the events of every object the rest of the source \
         names. If those are too many, name the objects one by one, or put the `matchLabels` into the Alert that \
         `commitstatus connect` prints, where they hold for all rules",
    );
    unknown(fields, findings);
    let kind = kind?;
    if kind != KUSTOMIZATION
        && let Some(field) = kind_field
    {
        field.note(
            findings,
            format!(
                "events of a {kind} name a commit only through the annotation event.toolkit.fluxcd.io/commit on the object, so \
                 the rule has `trustCommitAnnotation: true`: whoever may annotate its objects decides which commit the status \
                 goes on, as in Flux. If nobody sets it, remove this source and that field"
            ),
        );
    }
    Some(EventSource {
        kind,
        name: name?,
        namespace: namespace?,
    })
}

fn event_metadata(field: &Field<'_>, findings: &mut Findings<'_>) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    for (key, value) in field.string_map(findings) {
        let bare = key.name.rsplit('/').next().unwrap_or_default();
        let path = format!("{}.{}", field.path, key.name);
        if COMMIT_METADATA.contains(&bare) {
            findings.note(
                key.at,
                &path,
                "not carried over: a rule never names the commit; it comes from the event",
            );
            continue;
        }
        if is_filled_in(value) {
            findings.note(key.at, &path, FILLED_IN);
        }
        metadata.insert(key.name.clone(), value.to_owned());
    }
    metadata
}

const FILLED_IN: &str = "holds `${…}`, which Flux fills in when it applies the file, and nobody here; write what is \
                         meant, or take the Alert from the cluster with `kubectl get alert -o yaml`";

fn filled_in_later(field: &Field<'_>, text: &str, findings: &mut Findings<'_>) {
    if is_filled_in(text) {
        field.note(findings, FILLED_IN);
    }
}
