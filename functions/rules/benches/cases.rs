//! One event and the rules it may concern, without tables: what a rule costs. For the benchmark beside this file and for
//! `.ci/counts`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use rules::draft::{Subject, draft};
use rules::evaluate::{CompiledRule, evaluate};
use rules::lookup::{Candidate, CompiledProvider, FoundProvider, Lookup};
use rules::ports::{FoundRule, RuleStore, Unavailable, Unreadable};
use serde_json::{Value, json};
use shared::item::ClusterItem;
use shared::kinds::{ObjectName, Provider, Reference, Scope};
use shared::{CommitStatusRule, Event, EventMessage, InvolvedObject};

/// Rules an event may concern.
pub(crate) const RULES: [usize; 3] = [1, 10, 1000];

const CLUSTER: &str = "prod-eu-1";

/// What is in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Has {
    /// As in the RFC.
    Nothing,
    /// Four regular expressions on the message, of which the event has to pass each.
    Patterns,
    /// CEL: the context, a link and a description.
    Cel,
}

/// The rules, the cluster's own, each with a Provider of that name.
pub(crate) struct Rules {
    message: EventMessage,
    found: Vec<FoundRule>,
    provider: Provider,
}

impl Rules {
    pub(crate) fn new(count: usize, has: Has) -> Self {
        let rules = Self {
            message: message(),
            found: (0..count).map(|number| found(number, has)).collect(),
            provider: provider(has),
        };
        assert_eq!(rules.apply(&rules.compile()), count);
        rules
    }

    /// What a function does that has none of them yet.
    pub(crate) fn compile(&self) -> Vec<Candidate> {
        let compiled = self.found.iter().map(|found| Candidate {
            reference: Reference {
                scope: own(),
                name: found.name.clone(),
            },
            rule: Ok(Arc::new(compiled(found))),
            provider: Some(FoundProvider {
                scope: own(),
                provider: CompiledProvider::compile(self.provider.clone()).map(Arc::new),
            }),
        });
        compiled.collect()
    }

    /// What is done for each event: how many statuses it has become.
    pub(crate) fn apply(&self, candidates: &[Candidate]) -> usize {
        let drafts = candidates.iter().filter_map(|candidate| {
            let subject = Subject::of(candidate).ok()?;
            let wanted = evaluate(subject.rule, &self.message.event).ok()?;
            let draft = draft(&self.message, &candidate.reference, &subject, &wanted);
            let is_whole = draft.left_out.is_empty() && draft.item.failed_expression.is_none();
            is_whole.then(|| std::hint::black_box(draft))
        });
        drafts.count()
    }

    /// The lookup over them, with nothing kept of earlier events.
    pub(crate) fn lookup(self: &Arc<Self>) -> Looking {
        let version = Arc::default();
        Looking {
            lookup: Lookup::new(Table {
                rules: Arc::clone(self),
                version: Arc::clone(&version),
            }),
            version,
            object: self.message.event.involved_object.clone(),
            now: Timestamp::UNIX_EPOCH,
        }
    }
}

/// A lookup, the time, and how often something was applied.
pub(crate) struct Looking {
    lookup: Lookup<Table>,
    version: Arc<AtomicU32>,
    object: InvolvedObject,
    now: Timestamp,
}

impl Looking {
    /// At the same time as before: from the second one on the answer is at hand.
    pub(crate) fn look(&self) -> usize {
        at_once(self.lookup.candidates(CLUSTER, &self.object, self.now))
            .map_or(0, |candidates| candidates.len())
    }

    /// Some seconds later: nothing was applied meanwhile, says the table.
    pub(crate) fn look_later(&mut self) -> usize {
        self.now += SignedDuration::from_secs(6);
        self.look()
    }

    /// Some seconds later, and something was applied: the table is read again.
    pub(crate) fn look_when_applied(&mut self) -> usize {
        self.version.fetch_add(1, Ordering::Relaxed);
        self.look_later()
    }
}

/// A table in memory.
struct Table {
    rules: Arc<Rules>,
    version: Arc<AtomicU32>,
}

impl RuleStore for Table {
    async fn cluster(&self, _: &str) -> Result<Option<ClusterItem>, Unavailable> {
        Ok(None)
    }

    async fn version(&self) -> Result<Option<String>, Unavailable> {
        // As long as a real one.
        Ok(Some(format!("{:016x}", self.version.load(Ordering::Relaxed))))
    }

    async fn rules_by_name(&self, scope: &Scope, _: &InvolvedObject) -> Result<Vec<FoundRule>, Unavailable> {
        Ok(match scope {
            Scope::Cluster(_) => self.rules.found.clone(),
            Scope::AllClusters => Vec::new(),
        })
    }

    async fn rules_for_any(&self, _: &Scope, _: &str, _: &str) -> Result<Vec<FoundRule>, Unavailable> {
        Ok(Vec::new())
    }

    async fn has_own_rule(&self, _: &str, _: &ObjectName) -> Result<bool, Unavailable> {
        Ok(false)
    }

    async fn provider(
        &self,
        scope: &Scope,
        _: &ObjectName,
    ) -> Result<Option<Result<Provider, Unreadable>>, Unavailable> {
        Ok((*scope != Scope::AllClusters).then(|| Ok(self.rules.provider.clone())))
    }
}

fn own() -> Scope {
    Scope::Cluster(CLUSTER.to_owned())
}

fn message() -> EventMessage {
    let fixture =
        include_str!("../../../tests/fixtures/flux-events/04-kustomization-reconciliationsucceeded.json");
    let event: Event = serde_json::from_str(fixture).expect("an event");
    EventMessage {
        id: "0123456789abcdef0123456789abcdef".into(),
        cluster: CLUSTER.into(),
        generation: 1,
        previous_root_key: false,
        received_at: event.timestamp + SignedDuration::from_secs(1),
        event,
    }
}

fn found(number: usize, has: Has) -> FoundRule {
    let mut spec = json!({
        "providerRef": {"name": "github"},
        "eventSources": [{"kind": "Kustomization", "name": "podinfo"}],
        "prefix": format!("team-{number}"),
    });
    match has {
        Has::Nothing => {}
        Has::Patterns => {
            spec["inclusionList"] = json!(["^Health check passed", "(?i)reconciliation finished in .*"]);
            spec["exclusionList"] = json!([format!("team-{number}/.*failed$"), "no longer|dry[- ]run"]);
        }
        Has::Cel => {
            spec["targetUrl"] = json!(
                "https://grafana.acme.com/d/flux?var-cluster=${cluster}&var-name=${event.involvedObject.name}"
            );
            spec["description"] = json!("${event.reason} in ${cluster}");
        }
    }
    let name = ObjectName::new("apps", format!("podinfo-{number}"));
    let rule: Value = json!({"metadata": {"name": name.name, "namespace": name.namespace}, "spec": spec});
    FoundRule {
        name,
        rule: Ok(serde_json::from_value(rule).expect("a rule")),
    }
}

fn provider(has: Has) -> Provider {
    let mut provider = json!({
        "metadata": {"name": "github", "namespace": "apps"},
        "spec": {
            "type": "github", "address": "https://github.com/acme/fleet", "secretRef": {"name": "github-token"},
        },
    });
    if has == Has::Cel {
        let expression = "event.involvedObject.namespace + '/' + event.involvedObject.name";
        provider["spec"]["commitStatusExpr"] = json!(expression);
    }
    serde_json::from_value(provider).expect("a Provider")
}

fn compiled(found: &FoundRule) -> CompiledRule {
    let rule: &CommitStatusRule = found.rule.as_ref().expect("readable");
    CompiledRule::compile(rule.clone()).expect("nothing wrong with it")
}

/// What a future gives that has nothing to wait for: no runtime is measured along.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}
