//! A batch of the `events` queue.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use metrics::SharedString;
use shared::item::{Desired, StatusItem};
use shared::kinds::{EventSeverity, OnSuperseded, Reference};
use shared::message::{EventMessage, PostHint, StatusKey};
use shared::metrics::{COLLISIONS, FAILURES, FUNCTION, OUTCOME, VERDICTS};
use shared::order::instant;
use shared::{ErrorChain, OrderKey, Rank, State};

use crate::decide::{Hint, Incoming};
use crate::draft::{Draft, Subject, draft};
use crate::evaluate::{CompiledRule, evaluate};
use crate::last_event::LastEvents;
use crate::lookup::{Candidate, Lookup};
use crate::ports::{EventStore, HintQueue, RuleStore, StatusStore, Unavailable};
use crate::verdict::{SkipReason, Verdict};

/// Time one message may need at worst; with less left before the deadline no further one is begun.
const TIME_FOR_ONE: SignedDuration = SignedDuration::from_secs(5);

/// Digits of a commit in a description, as hosts show them.
const SHORT_SHA: usize = 7;

/// Times an object's newest commit is looked at anew because another delivery has changed it meanwhile.
const ROUNDS: usize = 5;

/// What the handler works with.
pub struct Deps<R, S, H, C> {
    /// Rules, cached.
    pub lookup: Lookup<R>,
    /// Desired statuses.
    pub statuses: S,
    /// What was kept of the last events.
    pub events: LastEvents,
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
    S: StatusStore + EventStore,
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
                count_failure("not-begun");
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
                count_failure("failed");
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
    S: StatusStore + EventStore,
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
            count_failure("malformed");
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
    }
    let mut is_change = false;
    for candidate in candidates.iter() {
        is_change |= apply(deps, &message, candidate, now).await? == Verdict::Changed;
    }
    keep(deps, &message, is_change, now).await;
    Ok(())
}

/// Keeps the event for the operator's tool. No status depends on it. Whatever this function remembers of the one before, a
/// change is news: another one may have had that.
async fn keep<R, S: EventStore, H, C>(
    deps: &Deps<R, S, H, C>,
    message: &EventMessage,
    is_change: bool,
    now: Timestamp,
) {
    let item = match is_change {
        true => Some(LastEvents::item(message)),
        false => deps.events.to_write(message, now),
    };
    let Some(item) = item else {
        return;
    };
    match deps.statuses.keep(&item).await {
        Ok(()) => deps.events.wrote(&item, now),
        Err(error) => tracing::warn!(
            event.id = %message.id,
            event.cluster = %message.cluster,
            error = %ErrorChain(&error),
            "event not kept: `commitstatus explain` and `check` do not see it, statuses do not depend on it"
        ),
    }
}

async fn apply<R, S, H, C>(
    deps: &Deps<R, S, H, C>,
    message: &EventMessage,
    candidate: &Candidate,
    now: Timestamp,
) -> Result<Verdict, Unavailable>
where
    R: RuleStore,
    S: StatusStore,
    H: HintQueue,
    C: Fn() -> Timestamp,
{
    let reference = &candidate.reference;
    let subject = match Subject::of(candidate) {
        Ok(subject) => subject,
        Err(unreadable) => {
            tracing::error!(
                rule = %reference,
                error = %unreadable,
                "stored rule or its Provider cannot be used: apply it again"
            );
            let verdict = Verdict::Skipped(SkipReason::InvalidRule);
            log(message, Some(reference), None, verdict);
            return Ok(verdict);
        }
    };
    let compiled = subject.rule;
    let wanted = match evaluate(compiled, &message.event) {
        Ok(wanted) => wanted,
        Err(reason) => {
            let verdict = Verdict::Skipped(reason);
            log(message, Some(reference), None, verdict);
            return Ok(verdict);
        }
    };
    let Draft {
        item: mut draft,
        mut incoming,
        left_out,
    } = draft(message, reference, &subject, &wanted);
    for failure in left_out {
        tracing::warn!(
            event.id = %message.id,
            event.cluster = %message.cluster,
            rule = %reference,
            field = failure.field,
            error = %failure.error,
            "left out of the status"
        );
    }
    let millis = now.as_millisecond();
    let written = match deps.statuses.apply_known(&draft, &incoming, millis).await? {
        Some(written) => written,
        None => {
            // One that cannot be posted closes nothing, and nothing comes of closing it.
            if closes_superseded(compiled) && draft.failed_expression.is_none() {
                supersede(deps, message, &mut draft, &mut incoming, millis).await?;
            }
            deps.statuses.create(&draft, &incoming, millis).await?
        }
    };
    log(
        message,
        Some(reference),
        Some((&draft, written.rev)),
        written.verdict,
    );
    if let Some(rival) = &written.rival {
        log_collision(message, &draft, rival);
    }
    if written.hint == Hint::Send {
        hint(deps, &draft.key, written.rev, written.claims).await;
    }
    Ok(written.verdict)
}

/// Whether a rule leaves pending statuses, and wants them closed.
fn closes_superseded(compiled: &CompiledRule) -> bool {
    let spec = &compiled.rule.spec;
    spec.on_superseded == OnSuperseded::Close
        && spec.report_progress
        && spec.event_severity == EventSeverity::Info
}

/// A status is new, so the object may report its commit for the first time: closes what it left pending on the one
/// before, or, if this is an old commit whose event comes late, says so instead of pending. Before the status is
/// written, so that a crash in between does it again.
async fn supersede<R, S, H, C>(
    deps: &Deps<R, S, H, C>,
    message: &EventMessage,
    draft: &mut StatusItem,
    incoming: &mut Incoming,
    now: i64,
) -> Result<(), Unavailable>
where
    S: StatusStore,
    H: HintQueue,
{
    let event = &message.event;
    let version = &event.involved_object.resource_version;
    let superseded = |by: &str| Incoming {
        order_key: OrderKey::new(
            Rank::Superseded,
            event.timestamp,
            version,
            State::Superseded,
            &message.id,
        ),
        event_id: message.id.clone(),
        desired: Desired {
            state: State::Superseded,
            reason: event.reason.clone(),
            description: format!("superseded by {}", by.get(..SHORT_SHA).unwrap_or(by)),
            target_url: None,
            only_clears: false,
            received_at: Some(message.received_at.as_millisecond()),
        },
    };
    let told = instant(event.timestamp, version);
    for _ in 0..ROUNDS {
        let newest = deps.statuses.newest(draft).await?;
        match &newest {
            Some(newest) if newest.commit.as_str() == draft.key.sha() => return Ok(()),
            Some(newest) if newest.instant >= told => {
                if incoming.desired.state == State::Pending {
                    *incoming = superseded(newest.commit.as_str());
                    draft.order_key = incoming.order_key.clone();
                    draft.desired = incoming.desired.clone();
                }
                return Ok(());
            }
            Some(previous) => {
                let (closing, key) = (superseded(draft.key.sha()), &previous.status);
                if let Some(written) = deps.statuses.supersede(key, &closing, now).await? {
                    log_superseded(message, &draft.rule, key, draft.key.sha(), written.rev);
                    hint(deps, key, written.rev, written.claims).await;
                }
            }
            None => {}
        }
        // Last, so that whoever comes after a crash finds what was not closed.
        if deps.statuses.remember(draft, &told, newest.as_ref(), now).await? {
            return Ok(());
        }
    }
    Err(Unavailable::to("remember an object's newest commit")(
        "others kept changing it".to_owned(),
    ))
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

/// A message that comes back, or is none of ours.
fn count_failure(outcome: &'static str) {
    metrics::counter!(FAILURES, FUNCTION => "rules", OUTCOME => outcome).increment(1);
}

fn count_verdict(verdict: impl Into<SharedString>) {
    metrics::counter!(VERDICTS, OUTCOME => verdict.into()).increment(1);
}

fn log(
    message: &EventMessage,
    rule: Option<&Reference>,
    status: Option<(&StatusItem, u64)>,
    verdict: Verdict,
) {
    count_verdict(verdict.to_string());
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

/// No verdict on the event: it has one of its own.
fn log_superseded(message: &EventMessage, rule: &Reference, key: &StatusKey, by: &str, rev: u64) {
    tracing::info!(
        event.id = %message.id,
        event.cluster = %message.cluster,
        rule = %rule,
        commit.repository = key.repository(),
        commit.sha = key.sha(),
        status.context = %key.sk,
        status.state = State::Superseded.as_str(),
        status.rev = rev,
        superseded.by = by,
        outcome = "changed",
        "{} on {}: was pending, superseded by {by}",
        key.sk,
        key.sha(),
    );
}

fn log_collision(message: &EventMessage, draft: &StatusItem, rival: &str) {
    metrics::counter!(COLLISIONS).increment(1);
    let writer = draft.writer();
    tracing::warn!(
        event.id = %message.id,
        event.cluster = %message.cluster,
        rule = %draft.rule,
        commit.repository = draft.key.repository(),
        commit.sha = draft.key.sha(),
        status.context = %draft.context,
        collision.writer = %writer,
        collision.rival = rival,
        outcome = "collision",
        "{} on {}: written by {writer} and by {rival}, a `prefix` has to keep them apart",
        draft.context,
        draft.key.sha(),
    );
}

fn log_no_rule(message: &EventMessage) {
    count_verdict("no-rule");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::{SHA, object, rule, succeeded};
    use crate::ports::{FoundRule, Newest, Unreadable, Written};
    use emf::recorded::Recorded;
    use shared::item::{ClusterItem, EventItem, due_shard};
    use shared::kinds::{ObjectName, Provider, Scope};
    use shared::message::QueueMessage;
    use shared::{Event, InvolvedObject, State};
    use std::collections::HashMap;
    use std::io;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::{Arc, Mutex, Once};

    /// Seconds.
    const NOW: i64 = 1_786_108_382;
    /// A second before.
    const RECEIVED: Timestamp = Timestamp::constant(NOW - 1, 0);

    #[derive(Default)]
    struct World {
        clusters: HashMap<String, ClusterItem>,
        rules: Vec<FoundRule>,
        provider: Option<Result<Provider, Unreadable>>,
        own_provider: Option<Provider>,
        /// Objects whose status cannot be written.
        unwritable: Vec<&'static str>,
        no_hints: bool,
        keeps_no_events: bool,
        kept: Mutex<Vec<EventItem>>,
        /// Nothing is due after a write.
        idle: bool,
        /// Who had written every status before.
        rival: Option<&'static str>,
        hinted: Mutex<Vec<QueueMessage>>,
        applied: Mutex<Vec<StatusItem>>,
        /// Seconds after [`NOW`], and how many more every write takes.
        clock: AtomicI64,
        slow: i64,
    }

    fn down() -> Unavailable {
        Unavailable::to("reach it")("down".to_owned())
    }

    impl RuleStore for &World {
        async fn cluster(&self, cluster: &str) -> Result<Option<ClusterItem>, Unavailable> {
            Ok(self.clusters.get(cluster).cloned())
        }

        async fn version(&self) -> Result<Option<String>, Unavailable> {
            Ok(None)
        }

        async fn rules_by_name(
            &self,
            scope: &Scope,
            object: &InvolvedObject,
        ) -> Result<Vec<FoundRule>, Unavailable> {
            let found = *scope == Scope::AllClusters && object.name != "nobodys";
            Ok(if found { self.rules.clone() } else { vec![] })
        }

        async fn rules_for_any(&self, _: &Scope, _: &str, _: &str) -> Result<Vec<FoundRule>, Unavailable> {
            Ok(vec![])
        }

        async fn has_own_rule(&self, _: &str, _: &ObjectName) -> Result<bool, Unavailable> {
            Ok(false)
        }

        async fn provider(
            &self,
            scope: &Scope,
            _: &ObjectName,
        ) -> Result<Option<Result<Provider, Unreadable>>, Unavailable> {
            Ok(match scope {
                Scope::AllClusters => self.provider.clone(),
                Scope::Cluster(_) => self.own_provider.clone().map(Ok),
            })
        }
    }

    impl StatusStore for &World {
        async fn apply_known(
            &self,
            draft: &StatusItem,
            _: &Incoming,
            _: i64,
        ) -> Result<Option<Written>, Unavailable> {
            self.clock.fetch_add(self.slow, Ordering::Relaxed);
            if self.unwritable.iter().any(|name| draft.object.ends_with(name)) {
                return Err(down());
            }
            self.applied.lock().unwrap().push(draft.clone());
            Ok(Some(Written {
                verdict: if self.idle {
                    Verdict::Unchanged
                } else {
                    Verdict::Changed
                },
                hint: if self.idle { Hint::None } else { Hint::Send },
                rev: 7,
                claims: 2,
                rival: self.rival.map(Into::into),
            }))
        }

        async fn create(&self, _: &StatusItem, _: &Incoming, _: i64) -> Result<Written, Unavailable> {
            panic!("every status of these tests is known")
        }

        async fn newest(&self, _: &StatusItem) -> Result<Option<Newest>, Unavailable> {
            panic!("every status of these tests is known")
        }

        async fn remember(
            &self,
            _: &StatusItem,
            _: &str,
            _: Option<&Newest>,
            _: i64,
        ) -> Result<bool, Unavailable> {
            panic!("every status of these tests is known")
        }

        async fn supersede(
            &self,
            _: &StatusKey,
            _: &Incoming,
            _: i64,
        ) -> Result<Option<Written>, Unavailable> {
            panic!("every status of these tests is known")
        }
    }

    impl EventStore for &World {
        async fn keep(&self, event: &EventItem) -> Result<(), Unavailable> {
            if self.keeps_no_events {
                return Err(down());
            }
            self.kept.lock().unwrap().push(event.clone());
            Ok(())
        }
    }

    impl HintQueue for &World {
        async fn send(&self, message: QueueMessage) -> Result<(), Unavailable> {
            if self.no_hints {
                return Err(down());
            }
            self.hinted.lock().unwrap().push(message);
            Ok(())
        }
    }

    impl World {
        /// With cluster `dev`, a rule for every Kustomization in `apps`, and its Provider.
        fn new() -> Self {
            hear_everything();
            let mut rule = rule();
            rule.spec.event_sources[0].name = "*".into();
            Self {
                clusters: [("dev".to_owned(), cluster())].into(),
                rules: vec![FoundRule {
                    name: rule.metadata.object_name(),
                    rule: Ok(rule),
                }],
                provider: Some(Ok(provider("https://github.com/Acme/Fleet"))),
                ..Self::default()
            }
        }

        async fn handle(&self, records: &[serde_json::Value], seconds_left: i64) -> Vec<String> {
            let deps = Deps {
                lookup: Lookup::new(self),
                statuses: self,
                events: LastEvents::default(),
                hints: self,
                clock: || Timestamp::from_second(NOW + self.clock.load(Ordering::Relaxed)).unwrap(),
            };
            let batch = serde_json::from_value(serde_json::json!({ "Records": records })).unwrap();
            let deadline = Timestamp::from_second(NOW + seconds_left).unwrap();
            let response = handle(&deps, batch, deadline).await;
            let failed = response.batch_item_failures.into_iter();
            failed.map(|failure| failure.item_identifier).collect()
        }

        fn objects(&self) -> Vec<String> {
            let applied = self.applied.lock().unwrap();
            applied
                .iter()
                .map(|item| item.object.rsplit('/').next().unwrap().to_owned())
                .collect()
        }

        /// Handles one event that must not fail, and returns what was written.
        async fn written(&self) -> Vec<StatusItem> {
            assert!(self.handle(&[record("1", "g", "podinfo")], 60).await.is_empty());
            self.applied.lock().unwrap().clone()
        }
    }

    fn cluster() -> ClusterItem {
        ClusterItem {
            pk: "cluster".into(),
            sk: "dev".into(),
            generation: 2,
            suspended: false,
            deleted: false,
        }
    }

    fn provider(address: &str) -> Provider {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "github", "namespace": "apps"},
            "spec": {"type": "github", "address": address, "secretRef": {"name": "token"}},
        }))
        .unwrap()
    }

    fn message(name: &str) -> EventMessage {
        EventMessage {
            id: "00112233445566778899aabbccddeeff".into(),
            cluster: "dev".into(),
            generation: 2,
            previous_root_key: false,
            received_at: RECEIVED,
            event: Event {
                involved_object: InvolvedObject {
                    name: name.into(),
                    ..object()
                },
                ..succeeded()
            },
        }
    }

    fn record(id: &str, group: &str, name: &str) -> serde_json::Value {
        record_with(id, group, &message(name).to_queue().unwrap().body)
    }

    fn record_with(id: &str, group: &str, body: &str) -> serde_json::Value {
        serde_json::json!({"messageId": id, "body": body, "attributes": {"MessageGroupId": group}})
    }

    #[tokio::test]
    async fn p5_a_failing_message_holds_up_the_later_ones_of_its_group_only() {
        let world = World {
            unwritable: vec!["broken"],
            ..World::new()
        };
        let batch = [
            record("1", "a", "a1"),
            record("2", "b", "b1"),
            record("3", "a", "broken"),
            record("4", "b", "b2"),
            record("5", "a", "a3"),
            record("6", "c", "broken"),
            record("7", "a", "a4"),
        ];
        assert_eq!(world.handle(&batch, 60).await, ["3", "5", "7", "6"]);
        let mut written = world.objects();
        written.sort();
        assert_eq!(written, ["a1", "b1", "b2"]);
    }

    #[tokio::test]
    async fn the_last_event_is_kept_whatever_rules_make_of_it() {
        let kept = |world: &World| {
            let kept = world.kept.lock().unwrap();
            kept.iter()
                .map(|item| format!("{} {}", item.pk, item.sk))
                .collect::<Vec<_>>()
        };
        let podinfo = format!("object#dev/Kustomization/apps/podinfo event@{SHA}");
        let batch = [record("1", "g", "podinfo"), record("2", "g", "podinfo")];

        let world = World {
            idle: true,
            ..World::new()
        };
        assert!(world.handle(&batch, 60).await.is_empty());
        // Twice the same: once.
        assert_eq!(kept(&world), std::slice::from_ref(&podinfo));

        // Another function may have had what came between.
        let changing = World::new();
        assert!(changing.handle(&batch, 60).await.is_empty());
        assert_eq!(kept(&changing), [podinfo.clone(), podinfo.clone()]);

        let without_rules = World {
            rules: vec![],
            ..World::new()
        };
        assert!(without_rules.handle(&batch, 60).await.is_empty());
        assert_eq!(kept(&without_rules), [podinfo]);

        let unregistered = World {
            clusters: [].into(),
            ..World::new()
        };
        assert!(unregistered.handle(&batch, 60).await.is_empty());
        assert!(kept(&unregistered).is_empty());
    }

    #[tokio::test]
    async fn p16_an_event_that_cannot_be_kept_has_its_verdict() {
        let world = World {
            keeps_no_events: true,
            ..World::new()
        };
        assert!(world.handle(&[record("1", "g", "podinfo")], 60).await.is_empty());
        assert_eq!(world.objects(), ["podinfo"]);
    }

    #[tokio::test]
    async fn messages_of_a_group_are_handled_in_order() {
        let world = World::new();
        let batch: Vec<_> = (0..6)
            .map(|n| record(&n.to_string(), "g", &format!("o{n}")))
            .collect();
        assert!(world.handle(&batch, 60).await.is_empty());
        assert_eq!(world.objects(), ["o0", "o1", "o2", "o3", "o4", "o5"]);
    }

    #[tokio::test]
    async fn what_was_not_begun_when_the_deadline_came_near_is_returned() {
        let world = World {
            slow: 3,
            ..World::new()
        };
        let batch = ["1", "2", "3", "4"].map(|id| record(id, "g", id));
        assert_eq!(world.handle(&batch, 8).await, ["3", "4"]);
        assert_eq!(world.objects(), ["1", "2"]);

        let world = World::new();
        assert_eq!(world.handle(&batch, 4).await, ["1", "2", "3", "4"]);
        assert!(world.objects().is_empty());
    }

    #[tokio::test]
    async fn a_malformed_message_is_acknowledged_and_holds_up_nothing() {
        let world = World::new();
        let batch = [
            record_with("1", "g", "{"),
            record_with("2", "g", r#"{"id":"x"}"#),
            record_with("3", "g", ""),
            record("4", "g", "podinfo"),
        ];
        assert!(world.handle(&batch, 60).await.is_empty());
        assert_eq!(world.objects(), ["podinfo"]);
    }

    #[tokio::test]
    async fn events_of_a_cluster_that_is_not_registered_so_are_dropped() {
        type Change = fn(&mut ClusterItem);
        let cases: [(&str, Change, bool); 5] = [
            ("as registered", |_| {}, true),
            ("suspended", |cluster| cluster.suspended = true, false),
            ("deleted", |cluster| cluster.deleted = true, false),
            ("revoked", |cluster| cluster.generation = 3, false),
            ("of the future", |cluster| cluster.generation = 1, false),
        ];
        for (name, change, taken) in cases {
            let mut world = World::new();
            change(world.clusters.get_mut("dev").unwrap());
            assert_eq!(!world.written().await.is_empty(), taken, "{name}");
        }
        let mut world = World::new();
        world.clusters.clear();
        assert!(world.written().await.is_empty(), "unknown");
    }

    #[tokio::test]
    async fn an_event_no_rule_names_writes_nothing() {
        let world = World::new();
        assert!(world.handle(&[record("1", "g", "nobodys")], 60).await.is_empty());
        assert!(world.objects().is_empty());
    }

    #[tokio::test]
    async fn a_status_is_drafted_from_event_rule_and_provider() {
        let world = World::new();
        let [item] = world.written().await.try_into().unwrap();

        assert_eq!(item.key.pk, format!("github.com/acme/fleet@{SHA}"));
        assert_eq!(item.key.sk, "dev/apps/kustomization/podinfo");
        assert_eq!(item.commit7, &SHA[..7]);
        assert_eq!(item.desired.state, State::Success);
        assert_eq!(item.desired.description, "reconciliation succeeded");
        assert_eq!(item.desired.received_at, Some(RECEIVED.as_millisecond()));
        assert_eq!(
            item.order_key.as_str(),
            "2|2026-08-07T13:13:02.000000Z|00000000000000183230|0|0011223344556677"
        );
        assert_eq!((item.rev, item.posted.as_ref()), (1, None));
        assert_eq!(item.due, Some(due_shard(&item.key)));
        assert_eq!(item.rule.to_string(), "*/apps/podinfo");
        assert_eq!(item.provider.to_string(), "apps/github");
        assert_eq!(item.credential, "_all/apps/token");
        assert_eq!(item.object, "Kustomization/apps/podinfo");
    }

    #[tokio::test]
    async fn a_clusters_own_provider_comes_before_the_one_for_all() {
        let world = World {
            own_provider: Some(provider("https://github.com/acme/own")),
            ..World::new()
        };
        let [item] = world.written().await.try_into().unwrap();
        assert_eq!(item.key.repository(), "github.com/acme/own");
        assert_eq!(item.credential, "dev/apps/token");
    }

    #[tokio::test]
    async fn without_its_provider_a_status_gets_a_key_of_its_own() {
        let world = World {
            provider: None,
            ..World::new()
        };
        let [item] = world.written().await.try_into().unwrap();
        assert_eq!(item.key.pk, format!("no-provider/dev/apps/github@{SHA}"));
        assert_eq!(item.credential, "");
        assert!(item.is_due(), "the poster parks it, so that it is seen");
    }

    #[tokio::test]
    async fn a_rule_or_provider_that_cannot_be_used_leaves_the_others_alone() {
        let unreadable = || Unreadable("damaged".into());
        let mut world = World::new();
        world.rules.insert(
            0,
            FoundRule {
                name: ObjectName::new("apps", "damaged"),
                rule: Err(unreadable()),
            },
        );
        assert_eq!(world.written().await.len(), 1);

        for provider in [Err(unreadable()), Ok(provider("not an address"))] {
            let world = World {
                provider: Some(provider),
                ..World::new()
            };
            assert!(world.written().await.is_empty());
        }
    }

    #[tokio::test]
    async fn the_poster_is_told_once_for_each_revision_and_claim() {
        let world = World::new();
        let [item] = world.written().await.try_into().unwrap();
        let hint = PostHint { key: item.key }.to_queue("rev 7 claims 2").unwrap();
        assert_eq!(*world.hinted.lock().unwrap(), [hint]);

        let world = World {
            idle: true,
            ..World::new()
        };
        world.written().await;
        assert!(world.hinted.lock().unwrap().is_empty());
    }

    /// What is logged is always heard by somebody. A line that is first passed on another thread, while nobody listens and this
    /// one begins to, could be taken for one that never matters.
    fn hear_everything() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let subscriber = tracing_subscriber::fmt().with_writer(io::sink).finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
    }

    /// What is logged goes here.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn listen(&self) -> tracing::subscriber::DefaultGuard {
            let log = self.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || log.clone())
                .finish();
            tracing::subscriber::set_default(subscriber)
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[tokio::test]
    async fn what_is_counted_is_what_the_log_says() {
        let (log, recorded) = (Log::default(), Recorded::default());
        let listening = (log.listen(), recorded.listen());

        let world = World {
            unwritable: vec!["broken"],
            rival: Some("prod/Kustomization/apps/podinfo"),
            ..World::new()
        };
        let batch = [
            record("1", "a", "a1"),
            record("2", "b", "broken"),
            record("3", "b", "held-up-by-it"),
            record("4", "c", "nobodys"),
            record_with("5", "d", "{"),
        ];
        assert_eq!(world.handle(&batch, 60).await, ["2", "3"]);
        assert_eq!(World::new().handle(&batch[..1], 4).await, ["1"]);
        let idle = World {
            idle: true,
            ..World::new()
        };
        idle.written().await;
        let mut revoked = World::new();
        revoked.clusters.clear();
        revoked.written().await;
        let no_address = World {
            provider: Some(Ok(provider("not an address"))),
            ..World::new()
        };
        no_address.written().await;
        drop(listening);

        let mut counted: Vec<String> = log
            .text()
            .lines()
            .filter_map(|line| line.split("outcome=").nth(1)?.split(' ').next())
            .map(|word| match word.trim_matches('"') {
                "collision" => "Collisions 1".to_owned(),
                word @ ("failed" | "not-begun" | "malformed") => {
                    format!("Failures{{Function=rules,Outcome={word}}} 1")
                }
                word => format!("Verdicts{{Outcome={word}}} 1"),
            })
            .collect();
        counted.sort();
        assert_eq!(recorded.sums(), counted);
        assert_eq!(
            counted,
            [
                "Collisions 1",
                "Failures{Function=rules,Outcome=failed} 1",
                "Failures{Function=rules,Outcome=malformed} 1",
                "Failures{Function=rules,Outcome=not-begun} 1",
                "Verdicts{Outcome=changed} 1",
                "Verdicts{Outcome=no-rule} 1",
                "Verdicts{Outcome=skipped(invalid-rule)} 1",
                "Verdicts{Outcome=skipped(revoked)} 1",
                "Verdicts{Outcome=unchanged} 1",
            ]
        );
    }

    #[tokio::test]
    async fn a_collision_is_one_more_line_with_both_names() {
        let log = Log::default();
        let guard = log.listen();
        World::new().written().await;
        World {
            rival: Some("prod/Kustomization/apps/podinfo"),
            ..World::new()
        }
        .written()
        .await;
        drop(guard);

        let log = log.text();
        let [_, _, line] = log.lines().collect::<Vec<_>>().try_into().unwrap();
        for part in [
            "WARN",
            "dev/apps/kustomization/podinfo",
            "rule=*/apps/podinfo",
            &format!("commit.sha={SHA:?}"),
            "collision.writer=dev/Kustomization/apps/podinfo",
            "collision.rival=\"prod/Kustomization/apps/podinfo\"",
            "outcome=\"collision\"",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[tokio::test]
    async fn a_hint_that_cannot_be_sent_is_no_failure() {
        let world = World {
            no_hints: true,
            ..World::new()
        };
        assert_eq!(world.written().await.len(), 1);
    }
}
