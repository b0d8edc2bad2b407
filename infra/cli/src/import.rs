//! From the Providers and Alerts with which Flux itself reports to Git hosts, to the rules and Providers that do the same
//! here. Pure: reads text, and says line by line what cannot be carried over.

mod alert;
mod context;
mod manifest;
mod objects;
mod provider;
mod secret;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use hosts::HostKind;
use shared::kinds::{EventSeverity, ObjectName};
use shared::{CommitStatusRule, Provider, Scope};

use self::alert::OldAlert;
use self::objects::{Objects, Raw};
use self::provider::OldProvider;
use crate::connect::Watched;
use crate::object::Object;
use crate::yaml::decode::Findings;
use crate::yaml::{Finding, Mistakes, Source};

pub use self::secret::{NeededSecret, Use};
pub use self::steps::steps;

/// What an operator asks for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Namespace of documents that name none.
    pub namespace: Option<&'a str>,
    /// For which clusters the result is applied.
    pub scope: &'a Scope,
    /// Whether statuses keep the contexts notification-controller gives them.
    pub keep_names: bool,
}

impl Wanted<'_> {
    /// The cluster in a context, in words where it is not one.
    fn cluster(&self) -> &str {
        match self.scope {
            Scope::AllClusters => "<cluster>",
            Scope::Cluster(name) => name,
        }
    }
}

/// What was made of the files.
#[derive(Debug)]
pub struct Imported {
    /// Providers, each used by a rule.
    pub providers: Vec<Written<Provider>>,
    /// One rule for each Alert that reports to a Git host.
    pub rules: Vec<Written<CommitStatusRule>>,
    /// What the Providers need.
    pub secrets: Vec<NeededSecret>,
    /// Old Alerts that post until they are suspended.
    pub alerts: Vec<ObjectName>,
    /// What the cluster's new Alert has to watch.
    pub watched: Watched,
    /// Line by line: what is not carried over, and what is otherwise than before.
    pub notes: Vec<Finding>,
    /// What is otherwise than before for all of them.
    pub remarks: Vec<String>,
}

/// An object and its YAML.
#[derive(Debug)]
pub struct Written<T> {
    /// The object.
    pub object: T,
    /// As it is printed, with what it comes from above it.
    pub yaml: String,
}

impl Imported {
    /// All documents, as `commitstatus apply -f -` takes them.
    pub fn yaml(&self) -> String {
        let providers = self.providers.iter().map(|written| written.yaml.as_str());
        let rules = self.rules.iter().map(|written| written.yaml.as_str());
        Vec::from_iter(providers.chain(rules)).join("---\n")
    }
}

/// Findings of all files, to be said in the order in which they stand there.
#[derive(Default)]
struct Report {
    mistakes: Vec<(usize, Finding)>,
    notes: Vec<(usize, Finding)>,
}

impl Report {
    /// Takes what was found in the file of that number.
    fn take(&mut self, source: usize, findings: Findings<'_>) {
        self.mistakes
            .extend(findings.mistakes.into_iter().map(|mistake| (source, mistake)));
        self.notes
            .extend(findings.notes.into_iter().map(|note| (source, note)));
    }

    fn in_order(mut findings: Vec<(usize, Finding)>) -> Vec<Finding> {
        findings.sort_by_key(|(source, finding)| (*source, finding.position.line, finding.position.column));
        findings.into_iter().map(|(_, finding)| finding).collect()
    }
}

/// Makes rules and Providers of what reports to Git hosts.
///
/// # Errors
/// All mistakes in the files: what Flux would not take either, and what a person has to decide.
pub fn import(sources: &[Source], wanted: &Wanted<'_>) -> Result<Imported, Mistakes> {
    let mut report = Report::default();
    let documents = objects::documents(sources, &mut report);
    let Objects {
        providers,
        alerts,
        secrets,
    } = objects::collect(&documents, &mut report);

    let providers = identified(&providers, wanted, &mut report, provider::identify);
    let alerts = identified(&alerts, wanted, &mut report, alert::identify);
    let secrets = secret::documents(&secrets, wanted);

    let mut used: BTreeMap<ObjectName, Vec<OldAlert<'_>>> = BTreeMap::new();
    for (raw, identity) in alerts {
        let mut findings = Findings::new(raw.file);
        let old = alert::convert(&raw, identity, &providers, &mut findings);
        report.take(raw.source, findings);
        if let Some(old) = old {
            used.entry(old.provider()).or_default().push(old);
        }
    }

    let mut made = Made::new(wanted, &secrets);
    for (raw, old) in &providers {
        let mut findings = Findings::new(raw.file);
        let name = old.name();
        match (old.host, used.remove(&name)) {
            (Some(host), Some(alerts)) => made.take(raw, old, host, alerts, &mut findings),
            (Some(_), None) => raw.field.note(
                &mut findings,
                format!(
                    "Provider {name} is left aside: no Alert in the files that can be carried over names it"
                ),
            ),
            (None, _) => findings.note(
                old.kind_at,
                &raw.path("spec.type"),
                format!(
                    "Provider {name} stays in the cluster as it is: `{}` is not about commit statuses",
                    shown(&old.kind)
                ),
            ),
        }
        report.take(raw.source, findings);
    }
    report.mistakes.append(&mut made.of_alerts.mistakes);
    report.notes.append(&mut made.of_alerts.notes);

    let notes = Report::in_order(report.notes);
    if !report.mistakes.is_empty() {
        return Err(Mistakes {
            mistakes: Report::in_order(report.mistakes),
            notes,
        });
    }
    let rules = made.rules.iter().map(|rule| &rule.object);
    Ok(Imported {
        watched: crate::connect::watched(rules, &[]),
        remarks: made.remarks(),
        providers: made.providers,
        rules: made.rules,
        secrets: made.secrets.into_values().collect(),
        alerts: made.alerts,
        notes,
    })
}

/// Objects with their identity, without those that are there for the second time, which is a mistake.
fn identified<'n, T: Named>(
    found: &[Raw<'n>],
    wanted: &Wanted<'_>,
    report: &mut Report,
    identify: fn(&Raw<'n>, &Wanted<'_>, &mut Findings<'_>) -> Option<T>,
) -> Vec<(Raw<'n>, T)> {
    let mut first_of = BTreeMap::new();
    let mut identified = Vec::new();
    for raw in found {
        let mut findings = Findings::new(raw.file);
        let identity = identify(raw, wanted, &mut findings);
        let position = findings.position(raw.field.node.at);
        if let Some(identity) = identity {
            let name = identity.name();
            match first_of.get(&name) {
                Some(first) => raw.field.mistake(
                    &mut findings,
                    format!(
                        "{} {name} is given twice; first at {first}. Leave out one of them",
                        T::KIND
                    ),
                ),
                None => {
                    first_of.insert(name, position);
                    identified.push((raw.clone(), identity));
                }
            }
        }
        report.take(raw.source, findings);
    }
    identified
}

/// An object in the files, by what it is called there.
trait Named {
    const KIND: &'static str;

    fn name(&self) -> ObjectName;
}

/// What was made so far.
struct Made<'a> {
    wanted: &'a Wanted<'a>,
    documents: &'a secret::Documents,
    providers: Vec<Written<Provider>>,
    rules: Vec<Written<CommitStatusRule>>,
    secrets: BTreeMap<ObjectName, NeededSecret>,
    alerts: Vec<ObjectName>,
    hosts: BTreeSet<HostKind>,
    only_failures: bool,
    /// Alerts may stand in other files than their Provider.
    of_alerts: Report,
}

impl<'a> Made<'a> {
    fn new(wanted: &'a Wanted<'a>, documents: &'a secret::Documents) -> Self {
        Self {
            wanted,
            documents,
            providers: Vec::new(),
            rules: Vec::new(),
            secrets: BTreeMap::new(),
            alerts: Vec::new(),
            hosts: BTreeSet::new(),
            only_failures: false,
            of_alerts: Report::default(),
        }
    }

    /// Takes a Provider and the Alerts that name it.
    fn take(
        &mut self,
        raw: &Raw<'_>,
        old: &OldProvider,
        host: HostKind,
        alerts: Vec<OldAlert<'_>>,
        findings: &mut Findings<'_>,
    ) {
        let Some(provider) = provider::convert(raw, old, host, self.wanted, findings) else {
            return;
        };
        secret::needed(raw, &provider, host, self.documents, &mut self.secrets, findings);
        if self.wanted.keep_names {
            context::collisions(raw, old, &alerts, findings);
        }
        let comments = [format!(
            "From Provider {} at {}.",
            old.name(),
            findings.position(raw.field.node.at)
        )];
        let yaml = manifest::write(
            &Object::Provider(provider.clone()),
            &comments,
            self.wanted.scope,
            raw,
            findings,
        );
        self.hosts.insert(host);
        self.providers.push(Written {
            object: provider,
            yaml,
        });
        for alert in alerts {
            self.rule(alert, old);
        }
    }

    fn rule(&mut self, alert: OldAlert<'_>, provider: &OldProvider) {
        let names = context::names(&alert, provider, self.wanted);
        let OldAlert { raw, rule } = alert;
        let name = rule.metadata.object_name();
        let mut findings = Findings::new(raw.file);
        if names.change {
            raw.field.note(&mut findings, names.sentence(&name));
        }
        let mut comments = vec![format!(
            "From Alert {name} at {}.",
            findings.position(raw.field.node.at)
        )];
        comments.extend(names.comments());
        if rule.spec.suspend {
            comments.push("Suspended, as the Alert is.".into());
        } else {
            self.alerts.push(name);
        }
        self.only_failures |= rule.spec.event_severity == EventSeverity::Error;
        let yaml = manifest::write(
            &Object::CommitStatus(rule.clone()),
            &comments,
            self.wanted.scope,
            &raw,
            &mut findings,
        );
        self.of_alerts.take(raw.source, findings);
        self.rules.push(Written { object: rule, yaml });
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.hosts.iter().any(|host| *host != HostKind::Gitea) {
            remarks.push(
                "progress becomes `pending` until the commit has a result, which Flux posts to Gitea only; write \
                 `reportProgress: false` into a rule to have results only"
                    .to_owned(),
            );
        }
        if self.only_failures {
            remarks.push(
                "with `eventSeverity: error` the success that clears a failure is posted too; in Flux a failure stayed"
                    .to_owned(),
            );
        }
        remarks.extend(
            self.hosts
                .iter()
                .filter_map(|host| of_host(*host))
                .map(str::to_owned),
        );
        remarks
    }
}

/// What is otherwise than in Flux at a host, whatever its statuses are called.
fn of_host(host: HostKind) -> Option<&'static str> {
    match host {
        HostKind::Bitbucket => Some(
            "Bitbucket tells statuses apart by the SHA-1 of the context, as before, and now shows the whole context where it \
             showed kind and name",
        ),
        HostKind::BitbucketServer => Some(
            "Bitbucket Server tells statuses apart by the SHA-1 of the context, as before, and now shows the whole context \
             where it showed kind, name and reason; before release 8.0 each rule needs `onSuperseded: leave`",
        ),
        HostKind::AzureDevOps => {
            Some("Azure DevOps takes contexts of at most 128 bytes; a longer one is cut and ends in a hash")
        }
        HostKind::GitHub | HostKind::GitLab | HostKind::Gitea => None,
    }
}

/// Text of the files in a sentence.
fn shown(text: &str) -> String {
    const SHOWN: usize = 80;
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
