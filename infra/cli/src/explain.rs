//! What the rules make of an event, and why. Pure: the very modules of the function `rules` decide, and the very requests of
//! `poster` are shown.

mod condition;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hosts::{CommitStatus, HostRequest};
use rules::draft::{Draft, LeftOut, Subject, draft};
use rules::evaluate::{CompiledRule, Wanted, evaluate};
use rules::lookup::{Candidate, CompiledProvider, FoundProvider};
use rules::ports::Unreadable;
use rules::verdict::SkipReason;
use serde::Serialize;
use serde_json::Value;
use shared::item::StatusItem;
use shared::kinds::{ObjectName, Reference, Scope};
use shared::message::EventMessage;
use shared::{CommitSha, CommitStatusRule, Provider, State};

pub use self::condition::Condition;

/// What is applied, of all scopes.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Rules.
    pub rules: Vec<(Scope, CommitStatusRule)>,
    /// Providers.
    pub providers: Vec<(Scope, Provider)>,
}

/// What one rule makes of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The rule, with the clusters it is applied for.
    pub rule: Reference,
    /// What it makes of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What a rule makes of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The cluster has a rule of the same name of its own, which is asked instead.
    Hidden {
        /// That one.
        by: Reference,
    },
    /// It, or its Provider, cannot be used.
    Invalid {
        /// Why.
        error: String,
    },
    /// A condition does not hold.
    Skipped(Condition),
    /// It asks for a status.
    Matched(Box<Match>),
}

/// The status a rule asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Match {
    /// Host and repository, as they are in keys; `None` without a Provider.
    pub repository: Option<String>,
    /// The commit.
    pub commit: CommitSha,
    /// Its state.
    pub state: State,
    /// What tells it apart.
    pub context: String,
    /// What people read.
    pub description: String,
    /// Where a click leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_url: Option<String>,
    /// What the host would be sent, without the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// Why nothing would be sent: the status would be parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// The rule takes failures only: it is posted only where it clears one.
    pub only_clears: bool,
    /// Templates that gave nothing, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The status as `rules` would write it.
    #[serde(skip)]
    pub item: StatusItem,
}

/// A request to a Git host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// How.
    pub method: String,
    /// Where to.
    pub url: String,
    /// What is sent.
    pub body: Value,
}

impl From<HostRequest> for Request {
    fn from(request: HostRequest) -> Self {
        Self {
            method: request.method.to_string(),
            url: request.url,
            body: request.body,
        }
    }
}

impl Explanation {
    /// The status it asks for, if something of it would reach the host.
    pub fn posted(&self) -> Option<&Match> {
        self.asks_for().filter(|found| found.parked.is_none())
    }

    /// The status it asks for, also one that would be parked.
    pub fn asks_for(&self) -> Option<&Match> {
        match &self.outcome {
            Outcome::Matched(found) => Some(found),
            _ => None,
        }
    }

    /// Whether the rule is about other objects.
    pub fn is_about_others(&self) -> bool {
        match &self.outcome {
            Outcome::Hidden { .. } => true,
            Outcome::Skipped(condition) => condition.is_about_others(),
            Outcome::Invalid { .. } | Outcome::Matched(_) => false,
        }
    }
}

/// What is applied, with every expression compiled once: of a commit there are as many events as a fleet has objects.
pub struct Rules {
    /// By scope, as they were given.
    rules: BTreeMap<Scope, Vec<Rule>>,
    providers: BTreeMap<(Scope, ObjectName), Result<Arc<CompiledProvider>, Unreadable>>,
}

struct Rule {
    name: ObjectName,
    compiled: Result<Arc<CompiledRule>, String>,
    rule: CommitStatusRule,
}

impl Rules {
    /// Compiles what is applied.
    pub fn new(applied: Applied) -> Self {
        let mut rules: BTreeMap<Scope, Vec<Rule>> = BTreeMap::new();
        for (scope, rule) in applied.rules {
            rules.entry(scope).or_default().push(Rule {
                name: rule.metadata.object_name(),
                compiled: CompiledRule::compile(rule.clone())
                    .map(Arc::new)
                    .map_err(|error| error.to_string()),
                rule,
            });
        }
        let providers = applied.providers.into_iter().map(|(scope, provider)| {
            let key = (scope, provider.metadata.object_name());
            (key, CompiledProvider::compile(provider).map(Arc::new))
        });
        Self {
            rules,
            providers: providers.collect(),
        }
    }

    /// Asks every rule that is effective in the event's cluster, the cluster's own first.
    pub fn explain(&self, message: &EventMessage) -> Vec<Explanation> {
        let own_scope = Scope::Cluster(message.cluster.clone());
        let of = |scope: &Scope| self.rules.get(scope).map(Vec::as_slice).unwrap_or_default();
        let own: BTreeSet<&ObjectName> = of(&own_scope).iter().map(|rule| &rule.name).collect();
        let all = Scope::AllClusters;
        let of_all = of(&all).iter().map(|rule| (&all, rule));
        let rules = of(&own_scope).iter().map(|rule| (&own_scope, rule)).chain(of_all);
        let explanations = rules.map(|(scope, rule)| {
            let reference = |scope: &Scope| Reference {
                scope: scope.clone(),
                name: rule.name.clone(),
            };
            let outcome = match *scope == all && own.contains(&rule.name) {
                true => Outcome::Hidden {
                    by: reference(&own_scope),
                },
                false => self.ask(message, &reference(scope), rule),
            };
            Explanation {
                rule: reference(scope),
                outcome,
            }
        });
        explanations.collect()
    }

    fn ask(&self, message: &EventMessage, reference: &Reference, rule: &Rule) -> Outcome {
        let invalid = |error: String| Outcome::Invalid {
            error: error.replace(char::is_control, " "),
        };
        let compiled = match &rule.compiled {
            Ok(compiled) => compiled,
            Err(error) => return invalid(error.clone()),
        };
        let skipped = |reason| Condition::of(reason, &rule.rule, &message.event);
        let wanted = evaluate(compiled, &message.event).map_err(skipped);
        if let Err(condition) = &wanted
            && condition.is_about_others()
        {
            // Most of them, and `rules` never gets to see these.
            return Outcome::Skipped(condition.clone());
        }
        let candidate = Candidate {
            reference: reference.clone(),
            rule: Ok(compiled.clone()),
            provider: self.provider(&message.cluster, &rule.rule),
        };
        let subject = match Subject::of(&candidate) {
            Ok(subject) => subject,
            Err(unreadable) => return invalid(unreadable.to_string()),
        };
        match wanted {
            Ok(wanted) => Outcome::Matched(Box::new(matched(message, reference, &subject, &wanted))),
            Err(condition) => Outcome::Skipped(condition),
        }
    }

    /// The cluster's own before the one for all clusters.
    fn provider(&self, cluster: &str, rule: &CommitStatusRule) -> Option<FoundProvider> {
        let name = ObjectName::new(&rule.metadata.namespace, &rule.spec.provider_ref.name);
        [Scope::Cluster(cluster.to_owned()), Scope::AllClusters]
            .into_iter()
            .find_map(|scope| {
                let provider = self.providers.get(&(scope.clone(), name.clone()))?.clone();
                Some(FoundProvider { scope, provider })
            })
    }
}

fn matched(message: &EventMessage, reference: &Reference, subject: &Subject<'_>, wanted: &Wanted) -> Match {
    let Draft { item, left_out, .. } = draft(message, reference, subject, wanted);
    let target = subject.target.as_ref();
    let parked = match target {
        None => Some(format!("no-provider: there is no Provider {}", item.provider)),
        Some(target) if target.provider.spec.suspend => Some(format!(
            "provider-suspended: spec.suspend of Provider {} is true",
            item.provider
        )),
        Some(_) => item.failed_expression.as_ref().map(|failed| {
            format!(
                "no-context: spec.commitStatusExpr of Provider {}: {}",
                item.provider, failed.error
            )
        }),
    };
    let request = target.filter(|_| parked.is_none()).map(|target| {
        let status = CommitStatus {
            repository: target.repository,
            sha: &wanted.sha,
            context: &item.context,
            summary: item.summary.as_deref(),
            state: wanted.state,
            description: &item.desired.description,
            target_url: item.desired.target_url.as_deref(),
        };
        target.repository.host_kind.request(&status).into()
    });
    Match {
        repository: target.map(|target| target.repository.key()),
        commit: wanted.sha.clone(),
        state: wanted.state,
        context: item.context.clone(),
        description: item.desired.description.clone(),
        target_url: item.desired.target_url.clone(),
        request,
        parked,
        only_clears: wanted.only_clears,
        left_out: left_out
            .into_iter()
            .map(|LeftOut { field, error }| format!("{field}: {error}"))
            .collect(),
        item,
    }
}

/// Why the rules are not asked at all, if they are not.
pub fn dropped(cluster: Option<&crate::store::Cluster>, message: &EventMessage) -> Option<String> {
    let name = &message.cluster;
    match cluster {
        None => Some(format!(
            "skipped({}): cluster \"{name}\" is not registered; `commitstatus cluster add {name}` registers it",
            SkipReason::Revoked.as_str()
        )),
        Some(cluster) if cluster.suspended => Some(format!(
            "skipped({}): cluster \"{name}\" is suspended; `commitstatus cluster resume {name}` takes its events again",
            SkipReason::Revoked.as_str()
        )),
        Some(cluster) if cluster.generation != message.generation => Some(format!(
            "skipped({}): the event came with a key of generation {}, and the cluster's is {}; `commitstatus connect \
             {name} | kubectl apply -f -` gives it the new one",
            SkipReason::Revoked.as_str(),
            message.generation,
            cluster.generation
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
