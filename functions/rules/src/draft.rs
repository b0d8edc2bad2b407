//! The status an event asks for under a rule: where, under which context, and what it says. Pure.

use expressions::{Expression, Template, Variables};
use hosts::{MAX_TARGET_URL_CHARS, Repository};
use serde_json::{Value, json};
use shared::item::{Desired, FailedExpression, NO_PROVIDER, StatusItem, due_shard, secret_name, status_pk};
use shared::kinds::{ObjectName, Provider, Reference, Scope};
use shared::message::{EventMessage, StatusKey};
use shared::{Event, OrderKey};

use crate::context::{context, cut, with_prefix};
use crate::decide::Incoming;
use crate::description::describe;
use crate::evaluate::{CompiledRule, Wanted};
use crate::lookup::{Candidate, FoundProvider};
use crate::metadata::merged;
use crate::ports::Unreadable;

/// Begins the key of a status whose context is not known. No context begins so that an object gave itself: kinds and
/// namespaces hold no spaces.
const NO_CONTEXT: &str = "no context";

/// Characters of what an expression lacked that are kept: it may name a path as long as the expression.
const MAX_ERROR_CHARS: usize = 200;

/// Characters of a description that are kept: more than most hosts take.
const MAX_DESCRIPTION_CHARS: usize = 255;

/// A rule and where its statuses go.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The rule.
    pub rule: &'a CompiledRule,
    /// `None` if there is no Provider: the status is parked under a key of its own.
    pub target: Option<Target<'a>>,
}

/// Where statuses go.
#[derive(Debug)]
pub struct Target<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// For which clusters the Provider was applied.
    pub scope: &'a Scope,
    /// The Provider.
    pub provider: &'a Provider,
    /// What gives the context.
    pub expression: Option<&'a Expression>,
}

impl<'a> Subject<'a> {
    /// What a candidate is about.
    ///
    /// # Errors
    /// If the rule or its Provider cannot be used as it is stored.
    pub fn of(candidate: &'a Candidate) -> Result<Self, Unreadable> {
        let rule = candidate.rule.as_ref().map_err(Clone::clone)?;
        let target = match &candidate.provider {
            None => None,
            Some(FoundProvider { scope, provider }) => {
                let compiled = provider.as_ref().map_err(Clone::clone)?;
                Some(Target {
                    repository: &compiled.repository,
                    scope,
                    provider: &compiled.provider,
                    expression: compiled.expression.as_ref(),
                })
            }
        };
        Ok(Self { rule, target })
    }
}

/// A status as it would be created, and what the event says about it.
#[derive(Debug)]
pub struct Draft {
    /// The status.
    pub item: StatusItem,
    /// What the event says.
    pub incoming: Incoming,
    /// What is missing of it. The state matters more.
    pub left_out: Vec<LeftOut>,
}

/// A template that gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which.
    pub field: &'static str,
    /// Why.
    pub error: String,
}

/// Makes the status.
pub fn draft(message: &EventMessage, reference: &Reference, subject: &Subject<'_>, wanted: &Wanted) -> Draft {
    let event = &message.event;
    let object = &event.involved_object;
    let rule = &subject.rule.rule;
    let target = subject.target.as_ref();
    let host = target.map(|target| target.repository.host_kind);
    let provider_name = ObjectName::new(&rule.metadata.namespace, &rule.spec.provider_ref.name);
    let object_name = format!("{}/{}/{}", object.kind, object.namespace, object.name);
    let variables = Once::new(|| variables(message, subject));

    let default = context(rule, &message.cluster, object, host);
    let given = target.and_then(|target| target.expression).map(|expression| {
        let text = expression
            .evaluate(variables.get())
            .map_err(|failure| failure.to_string())?;
        if text.contains(char::is_control) {
            return Err("gives a control character".to_owned());
        }
        Ok(with_prefix(rule.spec.prefix.as_deref(), &text, host))
    });
    let failed_expression = match &given {
        Some(Err(error)) => Some(FailedExpression {
            hash: target.map_or_else(String::new, |target| {
                FailedExpression::hash_of(&target.provider.spec)
            }),
            error: error.chars().take(MAX_ERROR_CHARS).collect(),
        }),
        Some(Ok(_)) | None => None,
    };
    let summary = host
        .filter(|host| host.summary_counts())
        .and_then(|_| merged(event, &rule.spec).remove("summary"))
        .filter(|summary| !summary.is_empty());
    let context_key = |context: &str| match host {
        Some(host) => host.context_key(context, summary.as_deref()),
        None => context.to_owned(),
    };
    let (context, sk) = match given {
        None => (default.clone(), context_key(&default)),
        Some(Ok(context)) => {
            let sk = context_key(&context);
            (context, sk)
        }
        Some(Err(_)) => (
            default,
            cut(&format!("{NO_CONTEXT} {reference} {object_name}"), None),
        ),
    };

    let mut left_out = Vec::new();
    let mut written = |field, template: Option<&Template>| {
        let given = template?
            .evaluate(variables.get())
            .map_err(|failure| failure.to_string());
        match given.and_then(|text| presentable(field, text)) {
            Ok(text) => Some(text),
            Err(error) => {
                left_out.push(LeftOut { field, error });
                None
            }
        }
    };
    let description = written(DESCRIPTION, subject.rule.description.as_ref());
    let target_url = written(TARGET_URL, subject.rule.target_url.as_ref());

    let repository_key = match target {
        Some(target) => target.repository.key(),
        None => format!("{NO_PROVIDER}/{}/{provider_name}", message.cluster),
    };
    let key = StatusKey {
        pk: status_pk(&repository_key, &wanted.sha),
        sk,
    };
    let incoming = Incoming {
        order_key: OrderKey::new(
            wanted.state.into(),
            event.timestamp,
            &object.resource_version,
            wanted.state,
            &message.id,
        ),
        event_id: message.id.clone(),
        desired: Desired {
            state: wanted.state,
            reason: event.reason.clone(),
            description: description.unwrap_or_else(|| describe(&event.reason)),
            target_url,
            only_clears: wanted.only_clears,
            received_at: Some(message.received_at.as_millisecond()),
        },
    };
    let item = StatusItem {
        commit7: wanted.sha.short().to_owned(),
        context,
        summary: summary.clone(),
        failed_expression,
        desired: incoming.desired.clone(),
        posted: None,
        order_key: incoming.order_key.clone(),
        event_id: incoming.event_id.clone(),
        rev: 1,
        unsure: false,
        claims: 0,
        claim_until: None,
        due: Some(due_shard(&key)),
        due_at: None,
        turn_at: None,
        parked: None,
        ended: None,
        attempts: 0,
        unknown_commits: 0,
        settled: 0,
        posts: 0,
        last_error: None,
        rule: reference.clone(),
        credential: target.map_or_else(String::new, |target| {
            secret_name(
                target.scope,
                &target.provider.metadata.namespace,
                &target.provider.spec.secret_ref.name,
            )
        }),
        provider: provider_name,
        cluster: message.cluster.clone(),
        object: object_name,
        rival: None,
        expires_at: None,
        key,
    };
    Draft {
        item,
        incoming,
        left_out,
    }
}

const DESCRIPTION: &str = "spec.description";
const TARGET_URL: &str = "spec.targetUrl";

/// What a template gave, as a host can show it.
fn presentable(field: &'static str, text: String) -> Result<String, String> {
    if field == DESCRIPTION {
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        let line: String = words.join(" ").chars().take(MAX_DESCRIPTION_CHARS).collect();
        return match line.is_empty() {
            true => Err("gives an empty text".into()),
            false => Ok(line),
        };
    }
    let url = hosts::target_url(&text).ok_or("gives no address of the form https://HOST/PATH")?;
    match url.chars().count() {
        length if length > MAX_TARGET_URL_CHARS => Err(format!(
            "gives {length} characters; expected at most {MAX_TARGET_URL_CHARS}"
        )),
        _ => Ok(url),
    }
}

/// Made when they are first read: most rules have no expressions.
struct Once<F> {
    cell: std::cell::OnceCell<Variables>,
    make: F,
}

impl<F: Fn() -> Variables> Once<F> {
    fn new(make: F) -> Self {
        Self {
            cell: std::cell::OnceCell::new(),
            make,
        }
    }

    fn get(&self) -> &Variables {
        self.cell.get_or_init(&self.make)
    }
}

/// What expressions can read: the objects as Flux has them, the rule in the place of the Alert. What none of them names is
/// left out, for making it costs more than most expressions do.
fn variables(message: &EventMessage, subject: &Subject<'_>) -> Variables {
    let compiled = subject.rule;
    let target = subject.target.as_ref();
    let expression = target.and_then(|target| target.expression);
    let templates = [&compiled.description, &compiled.target_url];
    let texts: Vec<&str> = expression
        .map(Expression::text)
        .into_iter()
        .chain(templates.into_iter().flatten().map(Template::text))
        .collect();
    // CEL writes the name of a variable in one way only.
    let if_named = |name: &str, make: &dyn Fn() -> Value| match texts.iter().any(|text| text.contains(name)) {
        true => make(),
        false => Value::Null,
    };
    let rule = &compiled.rule;
    Variables::new(
        if_named("event", &|| event_value(&message.event, &rule.spec)),
        if_named("provider", &|| {
            target.map_or(Value::Null, |target| provider_value(target.provider))
        }),
        if_named("alert", &|| serde_json::to_value(rule).unwrap_or_default()),
        &message.cluster,
    )
}

/// With the metadata as notification-controller combines it.
fn event_value(event: &Event, spec: &shared::kinds::CommitStatusSpec) -> Value {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    let metadata = merged(event, spec);
    if !metadata.is_empty() {
        value["metadata"] = json!(metadata);
    }
    value
}

fn provider_value(provider: &Provider) -> Value {
    let mut value = serde_json::to_value(provider).unwrap_or_default();
    // As it is written in YAML.
    if let Some(spec) = value["spec"].as_object_mut()
        && let Some(seconds) = spec.remove("timeoutSeconds")
    {
        spec.insert("timeout".into(), json!(format!("{seconds}s")));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::evaluate;
    use crate::evaluate::tests::{SHA, rule, succeeded};
    use crate::lookup::CompiledProvider;
    use shared::CommitStatusRule;
    use std::sync::Arc;

    const UID: &str = "0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a";

    fn provider(kind: &str, address: &str, expression: Option<&str>) -> Provider {
        let mut provider: Provider = serde_json::from_value(json!({
            "metadata": {"name": "git", "namespace": "apps", "uid": UID},
            "spec": {"type": kind, "address": address, "secretRef": {"name": "token"}, "timeoutSeconds": 30},
        }))
        .unwrap();
        provider.spec.commit_status_expr = expression.map(str::to_owned);
        provider
    }

    fn github(expression: Option<&str>) -> Provider {
        provider("github", "https://github.com/Acme/Fleet", expression)
    }

    fn message(event: Event) -> EventMessage {
        EventMessage {
            id: "00".into(),
            cluster: "prod-eu".into(),
            generation: 1,
            previous_root_key: false,
            received_at: event.timestamp,
            event,
        }
    }

    fn drafted(rule: CommitStatusRule, provider: Provider, event: Event) -> Draft {
        let candidate = Candidate {
            reference: "*/apps/podinfo".to_owned().try_into().unwrap(),
            rule: Ok(Arc::new(CompiledRule::compile(rule).unwrap())),
            provider: Some(FoundProvider {
                scope: Scope::AllClusters,
                provider: CompiledProvider::compile(provider).map(Arc::new),
            }),
        };
        let subject = Subject::of(&candidate).unwrap();
        let message = message(event);
        let wanted = evaluate(subject.rule, &message.event).unwrap();
        draft(&message, &candidate.reference, &subject, &wanted)
    }

    fn with(change: impl FnOnce(&mut CommitStatusRule)) -> CommitStatusRule {
        let mut rule = rule();
        change(&mut rule);
        rule
    }

    fn in_production() -> Event {
        let mut event = succeeded();
        event.metadata.insert("environment".into(), "production".into());
        event
    }

    // notification-controller internal/server/provider_commit_status_test.go, with the Alert of a rule.
    #[test]
    fn p18_an_expression_gives_the_context_as_it_is() {
        let upstream = "event.involvedObject.kind + '/' + event.involvedObject.name + '/' + event.metadata.environment + '/' \
                        + provider.metadata.uid.split('-').first().value() + '/' + alert.metadata.name";
        let item = drafted(rule(), github(Some(upstream)), in_production()).item;
        assert_eq!(item.context, "Kustomization/podinfo/production/0c9c2e41/podinfo");
        assert_eq!(item.key.sk, "kustomization/podinfo/production/0c9c2e41/podinfo");
        assert_eq!(item.failed_expression, None);
        assert_eq!(item.key.pk, format!("github.com/acme/fleet@{SHA}"));
    }

    #[test]
    fn only_a_prefix_the_rule_sets_goes_before_it() {
        let context = |prefix: Option<&str>| {
            let rule = with(|rule| rule.spec.prefix = prefix.map(str::to_owned));
            drafted(rule, github(Some("cluster + '!'")), succeeded())
                .item
                .context
        };
        assert_eq!(context(None), "prod-eu!");
        assert_eq!(context(Some("")), "prod-eu!");
        assert_eq!(context(Some("eu")), "eu/prod-eu!");
    }

    #[test]
    fn one_that_fails_keeps_a_place_of_its_own_and_what_it_lacked() {
        let item = |expression: &str| drafted(rule(), github(Some(expression)), succeeded()).item;
        let failed = item("event.metadata.environment + '/x'");
        assert_eq!(
            failed.key.sk,
            "no context */apps/podinfo Kustomization/apps/podinfo"
        );
        let error = failed.failed_expression.unwrap();
        assert_eq!(error.error, "the event has no `event.metadata.environment`");
        assert_eq!(
            error.hash,
            FailedExpression::hash_of(&github(Some("event.metadata.environment + '/x'")).spec)
        );
        let long = item(&format!("event.metadata.{}", "x".repeat(1_000)));
        assert_eq!(long.failed_expression.unwrap().error.len(), 200);
        let controls = item("event.message.size() > 0 ? 'a\\nb' : ''")
            .failed_expression
            .unwrap();
        assert_eq!(controls.error, "gives a control character");
    }

    #[test]
    fn a_long_one_is_cut_for_its_host() {
        let azure = |expression: &str| {
            let provider = provider(
                "azuredevops",
                "https://dev.azure.com/acme/web/_git/fleet",
                Some(expression),
            );
            drafted(rule(), provider, succeeded()).item.context
        };
        let [one, two] = ["'a'", "'b'"].map(|end| azure(&format!("'{}' + {end}", "x".repeat(200))));
        assert_eq!((one.len(), two.len()), (128, 128));
        assert_ne!(one, two);
    }

    #[test]
    fn what_people_read_and_where_they_go_may_depend_on_the_event() {
        let rule = with(|rule| {
            rule.spec.description = Some("${event.reason} \n in ${cluster}".into());
            rule.spec.target_url =
                Some("https://acme.com/${cluster}?name=${event.involvedObject.name} x".into());
        });
        let draft = drafted(rule, github(None), succeeded());
        assert_eq!(
            draft.item.desired.description,
            "ReconciliationSucceeded in prod-eu"
        );
        assert_eq!(
            draft.item.desired.target_url.as_deref(),
            Some("https://acme.com/prod-eu?name=podinfo%20x")
        );
        assert_eq!(draft.left_out, []);
        assert_eq!(draft.item.context, "prod-eu/apps/kustomization/podinfo");
    }

    #[test]
    fn what_cannot_be_said_is_left_out_and_the_state_is_not() {
        let rule = with(|rule| {
            rule.spec.description = Some("${event.metadata.note}".into());
            rule.spec.target_url = Some("${event.metadata.note}".into());
        });
        let draft = drafted(rule.clone(), github(None), succeeded());
        assert_eq!(draft.item.desired.description, "reconciliation succeeded");
        assert_eq!(draft.item.desired.target_url, None);
        let missing = "the event has no `event.metadata.note`";
        let left_out = |field, error: &str| LeftOut {
            field,
            error: error.into(),
        };
        assert_eq!(
            draft.left_out,
            [left_out(DESCRIPTION, missing), left_out(TARGET_URL, missing)]
        );

        let mut noted = succeeded();
        for (note, error) in [
            (
                "javascript:alert(1)",
                "gives no address of the form https://HOST/PATH",
            ),
            (
                "https://user:password@acme.com",
                "gives no address of the form https://HOST/PATH",
            ),
            (
                &format!("https://acme.com/{}", "x".repeat(1_000)),
                "gives 1017 characters; expected at most 1000",
            ),
        ] {
            noted.metadata.insert("note".into(), note.into());
            let draft = drafted(rule.clone(), github(None), noted.clone());
            assert_eq!(draft.left_out, [left_out(TARGET_URL, error)]);
        }
    }

    // notification-controller internal/notifier/azure_devops_test.go: summary.
    #[test]
    fn p18_a_summary_tells_statuses_apart_where_the_host_has_a_place_for_it() {
        let mut event = succeeded();
        event.metadata.insert("summary".into(), "from the Alert".into());
        let azure = || provider("azuredevops", "https://dev.azure.com/acme/web/_git/fleet", None);
        let drafted_with = |rule, provider| drafted(rule, provider, event.clone()).item;

        let item = drafted_with(rule(), azure());
        assert_eq!(item.summary.as_deref(), Some("from the Alert"));
        assert_eq!(
            item.key.sk,
            "fluxcd:from the Alert/prod-eu/apps/kustomization/podinfo"
        );
        let own = with(|rule| rule.spec.summary = Some("from the rule".into()));
        assert_eq!(
            drafted_with(own, azure()).summary.as_deref(),
            Some("from the rule")
        );
        let item = drafted_with(rule(), github(None));
        assert_eq!(
            (item.summary, item.key.sk.as_str()),
            (None, "prod-eu/apps/kustomization/podinfo")
        );
    }

    #[test]
    fn expressions_see_a_provider_as_it_is_written() {
        let expression = "provider.spec.type + provider.spec.timeout + provider.spec.address + alert.spec.providerRef.name \
                          + event.timestamp + event.severity";
        let context = drafted(rule(), github(Some(expression)), succeeded())
            .item
            .context;
        assert_eq!(
            context,
            "github30shttps://github.com/Acme/Fleetgithub2026-08-07T13:13:02Zinfo"
        );
    }

    #[test]
    fn a_provider_that_cannot_be_used_says_why() {
        let unreadable = |provider: Provider| {
            let candidate = Candidate {
                reference: "*/apps/podinfo".to_owned().try_into().unwrap(),
                rule: Ok(Arc::new(CompiledRule::compile(rule()).unwrap())),
                provider: Some(FoundProvider {
                    scope: Scope::AllClusters,
                    provider: CompiledProvider::compile(provider).map(Arc::new),
                }),
            };
            Subject::of(&candidate).map(drop).unwrap_err().to_string()
        };
        assert!(
            unreadable(github(Some("evnt.reason")))
                .starts_with("spec.commitStatusExpr of Provider: column 1: undeclared")
        );
        assert!(
            unreadable(provider("sourcehut", "https://git.sr.ht/~a/b", None))
                .starts_with("spec of Provider: `sourcehut` is no Git host of this release")
        );
    }
}
