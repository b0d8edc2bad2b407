//! What is known of a cluster.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::item::{EventItem, StatusItem};
use shared::{ErrorChain, State};

use super::block::Block;
use super::rule::suspended;
use super::stack::{Everything, namespaces, not_watched, provider_of};
use super::stands;
use crate::commands::print::moment;
use crate::commands::statuses::event_time;
use crate::commands::style;
use crate::object::describe_scope;
use crate::root_key::{self, Origin, Senders};
use crate::secrets::{SecretStore, Stages};
use crate::store::Cluster;

/// Which root keys there are, or why that is not known.
pub(super) struct Roots(Result<Stages, String>);

impl Roots {
    pub(super) async fn read<S: SecretStore>(secrets: &S, stack: &str) -> Self {
        // Who operates a stack need not be allowed to look at its secrets.
        let stages = root_key::stages(secrets, stack).await;
        Self(stages.map_err(|error| ErrorChain(&error).to_string()))
    }
}

pub(super) fn block(
    cluster: &Cluster,
    everything: &Everything,
    statuses: &[StatusItem],
    events: &[EventItem],
    roots: &Roots,
    now: Timestamp,
) -> Block {
    let name = &cluster.name;
    let mut block = Block::default();
    block.field("Name", name);
    suspended(
        &mut block,
        cluster.suspended,
        &format!("its events are dropped; `commitstatus cluster resume {name}` takes them again"),
    );
    block.field("Key generation", cluster.generation);
    let (text, style) = key(cluster, roots, events, now);
    block.painted("Root key", text, style);
    block.list("Watches", &cluster.connected_namespaces);
    let rules: Vec<_> = everything.rules_in(name).collect();
    let wanted: BTreeSet<&str> = rules.iter().flat_map(|(_, rule)| namespaces(rule)).collect();
    if let Some(problem) = not_watched(cluster, &wanted) {
        block.painted("Problem", problem, Some(style::BAD));
    }
    block.list(
        "Rules in effect",
        rules.iter().map(|(scope, rule)| {
            let provider = provider_of(rule);
            let missing = match everything.provider(name, &provider) {
                Some(_) => "",
                None => ", which is not there",
            };
            let suspended = if rule.spec.suspend { ", suspended" } else { "" };
            format!(
                "{}, for {}: to Provider {provider}{missing}{suspended}",
                rule.metadata.object_name(),
                describe_scope(scope)
            )
        }),
    );
    let own: Vec<&StatusItem> = statuses.iter().filter(|status| status.cluster == *name).collect();
    block.field("Last event", last_event(name, &own, events, now));
    stands(&mut block, &own);
    block
}

/// The newest that is kept, or that a status tells of: one that says what the one before it said is kept every few hours
/// only, and moves its status each time.
fn last_event(cluster: &str, statuses: &[&StatusItem], events: &[EventItem], now: Timestamp) -> String {
    let own = events.iter().filter(|item| item.cluster == cluster);
    let kept = own.max_by_key(|item| item.received_at);
    let told = statuses
        .iter()
        // That is made of an event about another commit, or of none.
        .filter(|status| status.desired.state != State::Superseded)
        .filter_map(|status| Some((event_time(status)?.as_millisecond(), *status)))
        .max_by_key(|(at, _)| *at);
    let newer = told.filter(|(at, _)| kept.is_none_or(|kept| kept.received_at < *at));
    if let Some((at, status)) = newer {
        return format!(
            "{}: {} of {}",
            moment(at, now),
            status.desired.reason,
            status.object
        );
    }
    let Some(last) = kept else {
        return "none in 30 days".to_owned();
    };
    let object = &last.event.involved_object;
    format!(
        "{}: {} of {}/{}/{}",
        moment(last.received_at, now),
        last.event.reason,
        object.kind,
        object.namespace,
        object.name
    )
}

fn key(
    cluster: &Cluster,
    roots: &Roots,
    events: &[EventItem],
    now: Timestamp,
) -> (String, Option<anstyle::Style>) {
    let stages = match &roots.0 {
        Ok(stages) => stages,
        Err(problem) => return (format!("not known: {problem}"), Some(style::DOUBTFUL)),
    };
    let connect = format!("`commitstatus connect {} | kubectl apply -f -`", cluster.name);
    match Origin::seen(cluster, stages, &Senders::of(events, stages, now)) {
        Origin::Current => ("current: its key is made from the one in force".into(), None),
        Origin::Previous => (
            format!(
                "previous: its key is made from the one before, still accepted; {connect} gives it a new one"
            ),
            Some(style::DOUBTFUL),
        ),
        Origin::Gone => (
            format!("gone: its key is refused; {connect} gives it a new one"),
            Some(style::BAD),
        ),
        Origin::Unknown => (
            format!("unknown: it was connected by a release that did not remember; {connect} makes sure"),
            stages.previous.is_some().then_some(style::DOUBTFUL),
        ),
        Origin::None => (
            format!("it was given no key yet; {connect} gives it one"),
            Some(style::DOUBTFUL),
        ),
    }
}
