//! What statuses are called: by notification-controller before, and here afterwards.

use std::collections::{BTreeMap, BTreeSet};

use shared::kinds::{ANY_NAME, ObjectName};

use super::Wanted;
use super::alert::OldAlert;
use super::objects::Raw;
use super::provider::OldProvider;
use crate::yaml::decode::Findings;

/// Gives what `generateDefaultCommitStatus` of notification-controller gives:
/// <https://github.com/fluxcd/notification-controller/blob/main/internal/server/provider_commit_status.go>.
pub(super) const DEFAULT_EXPRESSION: &str = "(event.involvedObject.kind + '/' + event.involvedObject.name + '/' \
                                             + provider.metadata.uid.split('-').first().value()).lowerAscii()";

/// A name, where a source takes any.
const SOME_NAME: &str = "<name>";

/// The contexts of a rule.
pub(super) struct Names {
    /// Before and after, for each kind and namespace of its sources.
    pairs: Vec<(String, String)>,
    /// Whether they are others than before.
    pub change: bool,
    /// Whether the Provider has given them all along.
    given: bool,
}

pub(super) fn names(alert: &OldAlert<'_>, provider: &OldProvider, wanted: &Wanted<'_>) -> Names {
    let uid = provider.metadata.uid.as_deref();
    let uid = uid.and_then(|uid| uid.split('-').next()).map(str::to_lowercase);
    let uid = uid.unwrap_or_else(|| "<first part of the Provider's UID>".into());
    let rule = &alert.rule;
    let mut named: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for source in &rule.spec.event_sources {
        let key = (
            source.kind.to_lowercase(),
            source.namespace(&rule.metadata).to_owned(),
        );
        named.entry(key).or_default().insert(&source.name);
    }
    let pairs = named.into_iter().map(|((kind, namespace), names)| {
        let mut names = names.into_iter();
        let name = match (names.next(), names.next()) {
            (Some(only), None) if only != ANY_NAME => only,
            _ => SOME_NAME,
        };
        (
            format!("{kind}/{name}/{uid}"),
            format!("{}/{namespace}/{kind}/{name}", wanted.cluster()),
        )
    });
    Names {
        pairs: pairs.collect(),
        change: !wanted.keep_names && !provider.has_expression,
        given: provider.has_expression,
    }
}

impl Names {
    /// For those who ask for the old ones somewhere.
    pub(super) fn sentence(&self, alert: &ObjectName) -> String {
        let pairs: Vec<String> = self
            .pairs
            .iter()
            .map(|(before, after)| format!("`{before}` to `{after}`"))
            .collect();
        format!(
            "Alert {alert}: contexts change from {}; required checks and tools that ask for the old ones need the new ones, or \
             --keep-names",
            pairs.join(", ")
        )
    }

    pub(super) fn comments(&self) -> Vec<String> {
        if self.given {
            return vec!["Contexts stay: commitStatusExpr of the Provider gives them, as before.".into()];
        }
        let lines = self.pairs.iter().map(|(before, after)| match self.change {
            true => format!("Context {before} becomes {after}."),
            false => format!("Context {before} stays."),
        });
        lines.collect()
    }
}

/// The old contexts have no namespace in them, so objects of one name always wrote one status.
pub(super) fn collisions(
    raw: &Raw<'_>,
    provider: &OldProvider,
    alerts: &[OldAlert<'_>],
    findings: &mut Findings<'_>,
) {
    if provider.has_expression {
        return;
    }
    let mut namespaces: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for alert in alerts {
        for source in &alert.rule.spec.event_sources {
            let of_kind = namespaces.entry(&source.kind).or_default();
            let of_name = of_kind.entry(&source.name).or_default();
            of_name.insert(source.namespace(&alert.rule.metadata));
        }
    }
    let mut shared: BTreeSet<&str> = BTreeSet::new();
    for of_kind in namespaces.values() {
        let any = of_kind.get(ANY_NAME).cloned().unwrap_or_default();
        for of_name in of_kind.values() {
            let all: BTreeSet<&str> = of_name.union(&any).copied().collect();
            if all.len() > 1 {
                shared.extend(all);
            }
        }
    }
    if !shared.is_empty() {
        raw.field.note(
            findings,
            format!(
                "the old contexts have no namespace in them, so objects of one name in {} overwrite each other's status, as in \
                 Flux; without --keep-names they do not",
                Vec::from_iter(shared).join(", ")
            ),
        );
    }
}
