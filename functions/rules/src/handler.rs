//! A batch of the `events` queue.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use shared::item::{Desired, NO_PROVIDER, StatusItem, due_shard, secret_name, status_pk};
use shared::kinds::{ObjectName, Provider, Reference, Scope};
use shared::message::{EventMessage, PostHint, StatusKey};
use shared::{ErrorChain, OrderKey, Repository};

use crate::context::{context, context_key};
use crate::decide::{Hint, Incoming};
use crate::description::describe;
use crate::evaluate::{CompiledRule, Wanted, evaluate};
use crate::lookup::{Candidate, FoundProvider, Lookup};
use crate::ports::{HintQueue, RuleStore, StatusStore, Unavailable, Unreadable};
use crate::verdict::{SkipReason, Verdict};

/// Time one message may need at worst; with less left before the deadline no further one is begun.
const TIME_FOR_ONE: SignedDuration = SignedDuration::from_secs(5);

/// What the handler works with.
pub struct Deps<R, S, H, C> {
    /// Rules, cached.
    pub lookup: Lookup<R>,
    /// Desired statuses.
    pub statuses: S,
    /// The `posts` queue.
    pub hints: H,
    /// The clock.
    pub clock: C,
}

/// Handles a batch. Messages of one group are handled in order; a failing one holds up its own group only, and is
/// returned with the later ones of its group. What was not begun before `deadline` came near is returned too.
pub async fn handle<R, S, H, C>(
    deps: &Deps<R, S, H, C>,
    batch: SqsEvent,
    deadline: Timestamp,
) -> SqsBatchResponse
where
    R: RuleStore,
    S: StatusStore,
    H: HintQueue,
    C: Fn() -> Timestamp,
{
    let groups = by_group(batch.records).into_iter().map(|group| async move {
        let mut messages = group.into_iter();
        let mut failed = Vec::new();
        for message in messages.by_ref() {
            let id = message.message_id.clone().unwrap_or_default();
            if (deps.clock)() + TIME_FOR_ONE > deadline {
                tracing::warn!(message.id = %id, outcome = "not-begun", "no time left for this event, it comes back");
                failed.push(id);
                break;
            }
            if let Err(error) = handle_message(deps, &message).await {
                tracing::error!(
                    message.id = %id,
                    outcome = "failed",
                    error = %ErrorChain(&error),
                    "event could not be handled, it comes back"
                );
                failed.push(id);
                break;
            }
        }
        failed.extend(messages.map(|message| message.message_id.unwrap_or_default()));
        failed
    });
    let mut response = SqsBatchResponse::default();
    for id in join_all(groups).await.into_iter().flatten() {
        response.add_failure(id);
    }
    response
}

/// The messages of each group, in order.
fn by_group(records: Vec<SqsMessage>) -> Vec<Vec<SqsMessage>> {
    let mut groups: Vec<(Option<String>, Vec<SqsMessage>)> = Vec::new();
    for record in records {
        let id = record.attributes.get("MessageGroupId").cloned();
        match groups.iter_mut().find(|(group, _)| *group == id) {
            Some((_, messages)) => messages.push(record),
            None => groups.push((id, vec![record])),
        }
    }
    groups.into_iter().map(|(_, messages)| messages).collect()
}

async fn handle_message<R, S, H, C>(deps: &Deps<R, S, H, C>, record: &SqsMessage) -> Result<(), Unavailable>
where
    R: RuleStore,
    S: StatusStore,
    H: HintQueue,
    C: Fn() -> Timestamp,
{
    let message: EventMessage = match serde_json::from_str(record.body.as_deref().unwrap_or_default()) {
        Ok(message) => message,
        Err(error) => {
            // Coming back would not make it readable.
            tracing::error!(
                message.id = record.message_id.as_deref().unwrap_or_default(),
                outcome = "malformed",
                error = %ErrorChain(&error),
                "message on the events queue is not one of ours, dropped"
            );
            return Ok(());
        }
    };
    let now = (deps.clock)();
    let cluster = deps.lookup.cluster(&message.cluster, now).await?;
    let registered = cluster.is_some_and(|cluster| {
        !cluster.deleted && !cluster.suspended && cluster.generation == message.generation
    });
    if !registered {
        log(&message, None, None, Verdict::Skipped(SkipReason::Revoked));
        return Ok(());
    }
    let candidates = deps
        .lookup
        .candidates(&message.cluster, &message.event.involved_object, now)
        .await?;
    if candidates.is_empty() {
        log_no_rule(&message);
        return Ok(());
    }
    for candidate in candidates.iter() {
        apply(deps, &message, candidate, now).await?;
    }
    Ok(())
}

async fn apply<R, S, H, C>(
    deps: &Deps<R, S, H, C>,
    message: &EventMessage,
    candidate: &Candidate,
    now: Timestamp,
) -> Result<(), Unavailable>
where
    R: RuleStore,
    S: StatusStore,
    H: HintQueue,
    C: Fn() -> Timestamp,
{
    let reference = &candidate.reference;
    let readable = candidate.rule.as_ref().map_err(Clone::clone);
    let (compiled, target) = match readable.and_then(|compiled| Ok((compiled, target(candidate)?))) {
        Ok(both) => both,
        Err(unreadable) => {
            tracing::error!(
                rule = %reference,
                error = %unreadable,
                "stored rule or its Provider cannot be used: apply it again"
            );
            log(
                message,
                Some(reference),
                None,
                Verdict::Skipped(SkipReason::InvalidRule),
            );
            return Ok(());
        }
    };
    let wanted = match evaluate(compiled, &message.event) {
        Ok(wanted) => wanted,
        Err(reason) => {
            log(message, Some(reference), None, Verdict::Skipped(reason));
            return Ok(());
        }
    };
    let (draft, incoming) = draft(message, reference, compiled, &target, &wanted);
    let written = deps
        .statuses
        .apply(&draft, &incoming, now.as_millisecond())
        .await?;
    log(
        message,
        Some(reference),
        Some((&draft, written.rev)),
        written.verdict,
    );
    if written.hint == Hint::Send {
        hint(deps, &draft.key, written.rev, written.claims).await;
    }
    Ok(())
}

/// The status is due in the table already: a hint that cannot be sent costs a minute and nothing else.
async fn hint<R, S, H: HintQueue, C>(deps: &Deps<R, S, H, C>, key: &StatusKey, rev: u64, claims: u32) {
    let occasion = format!("rev {rev} claims {claims}");
    let sent = match (PostHint { key: key.clone() }).to_queue(&occasion) {
        Ok(message) => deps.hints.send(message).await,
        Err(error) => Err(Unavailable::to("write a hint")(error)),
    };
    if let Err(error) = sent {
        tracing::warn!(
            status.key = %key.pk,
            status.context = %key.sk,
            error = %ErrorChain(&error),
            "hint not sent, the sweeper sends it within two minutes"
        );
    }
}

/// Where a status goes.
struct Target<'a> {
    /// `None` if there is no Provider: the status is parked under a key of its own.
    repository: Option<Repository>,
    provider: Option<(&'a Scope, &'a Provider)>,
}

fn target(candidate: &Candidate) -> Result<Target<'_>, Unreadable> {
    match &candidate.provider {
        None => Ok(Target {
            repository: None,
            provider: None,
        }),
        Some(FoundProvider { scope, provider }) => {
            let provider = provider.as_ref().map_err(Clone::clone)?;
            let repository = Repository::parse(provider.spec.kind, &provider.spec.address)
                .map_err(|error| Unreadable(format!("spec.address of Provider: {error}")))?;
            Ok(Target {
                repository: Some(repository),
                provider: Some((scope, provider)),
            })
        }
    }
}

/// The status as it would be created, and what the event says about it.
fn draft(
    message: &EventMessage,
    reference: &Reference,
    compiled: &CompiledRule,
    target: &Target<'_>,
    wanted: &Wanted,
) -> (StatusItem, Incoming) {
    let event = &message.event;
    let object = &event.involved_object;
    let rule = &compiled.rule;
    let provider_name = ObjectName::new(&rule.metadata.namespace, &rule.spec.provider_ref.name);
    let context = context(rule, &message.cluster, object);
    let repository_key = match &target.repository {
        Some(repository) => repository.key(),
        None => format!("{NO_PROVIDER}/{}/{provider_name}", message.cluster),
    };
    let key = StatusKey {
        pk: status_pk(&repository_key, &wanted.sha),
        sk: context_key(
            target.repository.as_ref().map(|repository| repository.host_kind),
            &context,
        ),
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
            description: describe(&event.reason),
            only_clears: wanted.only_clears,
        },
    };
    let item = StatusItem {
        commit7: wanted.sha.short().to_owned(),
        context,
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
        parked: None,
        ended: None,
        attempts: 0,
        posts: 0,
        last_error: None,
        rule: reference.clone(),
        credential: target.provider.map_or_else(String::new, |(scope, provider)| {
            secret_name(
                scope,
                &provider.metadata.namespace,
                &provider.spec.secret_ref.name,
            )
        }),
        provider: provider_name,
        cluster: message.cluster.clone(),
        object: format!("{}/{}/{}", object.kind, object.namespace, object.name),
        expires_at: None,
        key,
    };
    (item, incoming)
}

fn log(
    message: &EventMessage,
    rule: Option<&Reference>,
    status: Option<(&StatusItem, u64)>,
    verdict: Verdict,
) {
    let object = &message.event.involved_object;
    tracing::info!(
        event.id = %message.id,
        event.cluster = %message.cluster,
        event.kind = %object.kind,
        event.namespace = %object.namespace,
        event.name = %object.name,
        event.reason = %message.event.reason,
        rule = rule.map(tracing::field::display),
        commit.repository = status.map(|(item, _)| item.key.repository()),
        commit.sha = status.map(|(item, _)| item.key.sha()),
        status.context = status.map(|(item, _)| item.context.as_str()),
        status.state = status.map(|(item, _)| item.desired.state.as_str()),
        status.rev = status.map(|(_, rev)| rev),
        outcome = %verdict,
        "{}/{}/{} of {}: {} {verdict}",
        object.kind,
        object.namespace,
        object.name,
        message.cluster,
        message.event.reason,
    );
}

fn log_no_rule(message: &EventMessage) {
    let object = &message.event.involved_object;
    tracing::info!(
        event.id = %message.id,
        event.cluster = %message.cluster,
        event.kind = %object.kind,
        event.namespace = %object.namespace,
        event.name = %object.name,
        event.reason = %message.event.reason,
        outcome = "no-rule",
        "{}/{}/{} of {}: no rule names it",
        object.kind,
        object.namespace,
        object.name,
        message.cluster,
    );
}
