//! What is known of a rule.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::item::StatusItem;
use shared::kinds::{ANY_NAME, EventSeverity, EventSource, OnSuperseded, Reference};
use shared::{CommitStatusRule, Provider, Scope};

use super::block::Block;
use super::stack::{Everything, namespaces, not_watched, provider_of};
use super::stands;
use crate::commands::print::moment;
use crate::commands::style;
use crate::object::describe_scope;
use crate::store::{Applied, Cluster};

pub(super) fn block(
    applied: &Applied,
    rule: &CommitStatusRule,
    everything: &Everything,
    statuses: &[StatusItem],
    now: Timestamp,
) -> Block {
    let (scope, spec) = (&applied.scope, &rule.spec);
    let name = rule.metadata.object_name();
    let mut block = Block::default();
    block.field("Name", &rule.metadata.name);
    block.field("Namespace", &rule.metadata.namespace);
    block.field("For", describe_scope(scope));
    block.optional(
        "Applied",
        applied.applied_at.map(|at| moment(at.as_millisecond(), now)),
    );
    suspended(&mut block, spec.suspend, "no event becomes a status");
    block.field(
        "Events",
        match spec.event_severity {
            EventSeverity::Info => "all (eventSeverity: info)",
            EventSeverity::Error => {
                "failures, and the success that clears one; no progress (eventSeverity: error)"
            }
        },
    );
    block.field(
        "Progress",
        match spec.report_progress {
            true => "pending until the commit has a result",
            false => "not posted (reportProgress: false)",
        },
    );
    block.field(
        "Superseded",
        match spec.on_superseded {
            OnSuperseded::Close => "a pending status is closed when the object goes on to a newer commit",
            OnSuperseded::Leave => "a pending status is left as it is (onSuperseded: leave)",
        },
    );
    block.field(
        "Commit",
        match spec.trust_commit_annotation {
            true => "metadata `commit` before the revision (trustCommitAnnotation: true)",
            false => "the revision the controller names",
        },
    );
    block.list(
        "Sources",
        spec.event_sources.iter().map(|source| in_words(source, rule)),
    );
    if !spec.inclusion_list.is_empty() {
        block.list("Only messages like", &spec.inclusion_list);
    }
    if !spec.exclusion_list.is_empty() {
        block.list("No messages like", &spec.exclusion_list);
    }
    block.optional("Summary", spec.summary.as_deref());
    if !spec.event_metadata.is_empty() {
        let metadata = spec.event_metadata.iter();
        block.list("Metadata", metadata.map(|(key, value)| format!("{key}={value}")));
    }
    block.optional("Description", spec.description.as_deref());
    block.optional("Target URL", spec.target_url.as_deref());
    block.list("Contexts", contexts(scope, rule, everything));
    provider(&mut block, scope, rule, everything);
    clusters(&mut block, scope, rule, everything);
    let reference = Reference {
        scope: scope.clone(),
        name,
    };
    let own: Vec<&StatusItem> = statuses
        .iter()
        .filter(|status| status.rule == reference)
        .collect();
    stands(&mut block, &own);
    block
}

/// What is set aside stands out.
pub(super) fn suspended(block: &mut Block, is_suspended: bool, meaning: &str) {
    match is_suspended {
        true => block.painted("Suspended", format!("true: {meaning}"), Some(style::DOUBTFUL)),
        false => block.field("Suspended", "false"),
    }
}

fn in_words(source: &EventSource, rule: &CommitStatusRule) -> String {
    let namespace = source.namespace(&rule.metadata);
    match source.name.as_str() {
        ANY_NAME => format!("every {} in {namespace}", source.kind),
        name => format!("{}/{namespace}/{name}", source.kind),
    }
}

/// The form of the contexts: what differs from event to event stands in angle brackets.
fn contexts(scope: &Scope, rule: &CommitStatusRule, everything: &Everything) -> BTreeSet<String> {
    let cluster = match scope {
        Scope::AllClusters => "<cluster>",
        Scope::Cluster(name) => name,
    };
    let prefix = rule.spec.prefix.as_deref();
    let serving = serving(scope, rule, everything);
    let expressions: BTreeSet<Option<&str>> = serving
        .iter()
        .map(|(_, provider)| provider.spec.commit_status_expr.as_deref())
        .collect();
    let plain = || {
        rule.spec.event_sources.iter().map(|source| {
            let name = match source.name.as_str() {
                ANY_NAME => "<name>".to_owned(),
                name => name.to_lowercase(),
            };
            let object = format!("{}/{name}", source.kind.to_lowercase());
            match prefix {
                None => format!("{cluster}/{}/{object}", source.namespace(&rule.metadata)),
                Some("") => object,
                Some(prefix) => format!("{prefix}/{object}"),
            }
        })
    };
    let mut forms = BTreeSet::new();
    if expressions.is_empty() || expressions.contains(&None) {
        forms.extend(plain());
    }
    for expression in expressions.into_iter().flatten() {
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        let prefix = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
        forms.insert(format!(
            "{prefix}<{expression}> (commitStatusExpr of the Provider)"
        ));
    }
    forms
}

/// The Providers its statuses may go to: where a cluster has one of its own, that one serves.
fn serving<'a>(
    scope: &Scope,
    rule: &CommitStatusRule,
    everything: &'a Everything,
) -> Vec<(&'a Scope, &'a Provider)> {
    let name = provider_of(rule);
    match scope {
        Scope::Cluster(cluster) => everything.provider(cluster, &name).into_iter().collect(),
        Scope::AllClusters => everything
            .providers
            .iter()
            .filter(|(_, provider)| provider.metadata.object_name() == name)
            .map(|(scope, provider)| (scope, provider))
            .collect(),
    }
}

fn provider(block: &mut Block, scope: &Scope, rule: &CommitStatusRule, everything: &Everything) {
    let name = provider_of(rule);
    let serving = serving(scope, rule, everything);
    if serving.is_empty() {
        let missing = format!("{name} is not there: apply one, or its statuses wait as parked (no-provider)");
        return block.painted("Provider", missing, Some(style::BAD));
    }
    block.list(
        "Provider",
        serving
            .into_iter()
            .map(|(of, provider)| format!("{name}, for {}: {}", describe_scope(of), provider.spec.address)),
    );
}

fn clusters(block: &mut Block, scope: &Scope, rule: &CommitStatusRule, everything: &Everything) {
    let mut clusters = everything.clusters_of(scope).peekable();
    if clusters.peek().is_none() {
        let missing = match scope {
            Scope::AllClusters => {
                "none is registered; `commitstatus cluster add NAME` registers one".to_owned()
            }
            Scope::Cluster(name) => format!(
                "{name} is not registered, so its events are dropped; `commitstatus cluster add {name}` registers it"
            ),
        };
        block.painted("Clusters", missing, Some(style::BAD));
        return;
    }
    block.section("Clusters", |block| {
        for cluster in clusters {
            let (text, style) = in_cluster(cluster, scope, rule, everything);
            block.painted(&cluster.name, text, style);
        }
    });
}

/// What comes of the rule in a cluster.
fn in_cluster(
    cluster: &Cluster,
    scope: &Scope,
    rule: &CommitStatusRule,
    everything: &Everything,
) -> (String, Option<anstyle::Style>) {
    let name = rule.metadata.object_name();
    if *scope == Scope::AllClusters && everything.is_hidden(&name, &cluster.name) {
        return (format!("hidden by its own CommitStatus {name}"), None);
    }
    if cluster.suspended {
        let text = format!(
            "the cluster is suspended, so its events are dropped; `commitstatus cluster resume {}` takes them again",
            cluster.name
        );
        return (text, Some(style::DOUBTFUL));
    }
    if everything.provider(&cluster.name, &provider_of(rule)).is_none() {
        return ("without a Provider".into(), Some(style::BAD));
    }
    match not_watched(cluster, &namespaces(rule)) {
        Some(problem) => (problem, Some(style::BAD)),
        None => ("in effect; its Alert watches the namespaces".into(), None),
    }
}
