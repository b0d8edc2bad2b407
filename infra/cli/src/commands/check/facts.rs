//! What is looked at, and what each cluster was seen to do.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use jiff::{SignedDuration, Timestamp};
use shared::event::Severity;
use shared::item::{CredentialItem, EventItem, StatusItem};
use shared::kinds::ObjectName;
use shared::{CommitStatusRule, ErrorChain, Provider, Scope, State};

use super::ask::Asked;
use crate::commands::statuses::event_time;
use crate::probe::missing_right;
use crate::queues::Queue;
use crate::secrets::Stages;
use crate::store::Cluster;

/// Everything that was read.
pub(super) struct Facts {
    pub(super) now: Timestamp,
    pub(super) silent_after: SignedDuration,
    pub(super) clusters: Vec<Cluster>,
    /// With when each was applied, where that is known.
    pub(super) rules: Vec<(Scope, CommitStatusRule, Option<Timestamp>)>,
    pub(super) providers: Vec<(Scope, Provider)>,
    pub(super) statuses: Vec<StatusItem>,
    pub(super) events: Vec<EventItem>,
    /// `None` if there is no root key.
    pub(super) stages: Result<Option<Stages>, Unread>,
    /// By the name of the credential.
    pub(super) holds: BTreeMap<String, CredentialItem>,
    /// What hosts were asked; nothing if they are not to be.
    pub(super) asked: Vec<Asked>,
    pub(super) queues: Result<Vec<Queues>, String>,
}

/// A secret that could not be read.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) problem: String,
    /// Which right that takes, if it was missing.
    pub(super) right: Option<&'static str>,
}

impl Unread {
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        Self {
            problem: ErrorChain(error).to_string(),
            right: missing_right(error),
        }
    }
}

/// Messages of a queue, and its dead letters.
pub(super) struct Queues {
    pub(super) queue: Queue,
    pub(super) live: usize,
    pub(super) dead: usize,
}

/// What a cluster was seen to send.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The newest event of which a status tells: each moves its order key.
    pub(super) last_of_status: Option<Timestamp>,
    /// The newest event that was kept. The success of every interval is kept every few hours only.
    pub(super) last_kept: Option<Timestamp>,
    /// The oldest event that was no success.
    pub(super) first_other: Option<Timestamp>,
    /// Whether there was a success.
    pub(super) has_success: bool,
}

impl Seen {
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.last_of_status.max(self.last_kept)
    }

    /// Whether statuses tell of the last event: then they tell of each, and none that came since was left out. `late`: how
    /// much later than it says it may have come.
    pub(super) fn is_told_by_status(&self, late: SignedDuration) -> bool {
        match (self.last_of_status, self.last_kept) {
            (Some(told), Some(kept)) => kept.duration_since(told) <= late,
            (told, _) => told.is_some(),
        }
    }

    pub(super) fn of(cluster: &str, statuses: &[StatusItem], events: &[EventItem]) -> Self {
        let mut seen = Self::default();
        for status in statuses.iter().filter(|status| status.cluster == cluster) {
            let at = event_time(status);
            match status.desired.state {
                State::Success => seen.has_success = true,
                State::Pending | State::Failure => seen.other(at),
                // Made of an event about another commit, or of none.
                State::Superseded => continue,
            }
            seen.last_of_status = seen.last_of_status.max(at);
        }
        for item in events.iter().filter(|item| item.cluster == cluster) {
            let at = Timestamp::from_millisecond(item.received_at).ok();
            seen.last_kept = seen.last_kept.max(at);
            let event = &item.event;
            if event.severity == Severity::Info && event.reason.ends_with("Succeeded") {
                seen.has_success = true;
            } else {
                seen.other(at);
            }
        }
        seen
    }

    fn other(&mut self, at: Option<Timestamp>) {
        self.first_other = match (self.first_other, at) {
            (Some(first), Some(at)) => Some(first.min(at)),
            (first, at) => first.or(at),
        };
    }
}

impl Facts {
    /// The rules that are effective in a cluster.
    pub(super) fn effective(&self, cluster: &str) -> Vec<&CommitStatusRule> {
        let own = |scope: &Scope| matches!(scope, Scope::Cluster(name) if name == cluster);
        let is_hidden = |name: &ObjectName| {
            self.rules
                .iter()
                .any(|(scope, rule, _)| own(scope) && rule.metadata.object_name() == *name)
        };
        let effective = self.rules.iter().filter(|(scope, rule, _)| match scope {
            Scope::AllClusters => !is_hidden(&rule.metadata.object_name()),
            Scope::Cluster(_) => own(scope),
        });
        effective.map(|(_, rule, _)| rule).collect()
    }

    /// Whether a rule finds its Provider.
    pub(super) fn provider_of(&self, scope: &Scope, rule: &CommitStatusRule) -> Found<'_> {
        let name = ObjectName::new(&rule.metadata.namespace, &rule.spec.provider_ref.name);
        let there: BTreeSet<&str> = self
            .providers
            .iter()
            .filter(|(_, provider)| provider.metadata.object_name() == name)
            .map(|(scope, _)| scope.as_str())
            .collect();
        if there.contains(Scope::AllClusters.as_str()) || there.contains(scope.as_str()) {
            return Found::Everywhere;
        }
        if matches!(scope, Scope::Cluster(_)) || there.is_empty() {
            return Found::Nowhere;
        }
        // Each cluster may have a Provider of its own.
        let rule = rule.metadata.object_name();
        let hidden: BTreeSet<&str> = self
            .rules
            .iter()
            .filter(|(_, other, _)| other.metadata.object_name() == rule)
            .map(|(scope, ..)| scope.as_str())
            .collect();
        let clusters = self.clusters.iter().map(|cluster| cluster.name.as_str());
        let (with, without): (Vec<_>, Vec<_>) = clusters
            .filter(|cluster| !hidden.contains(cluster))
            .partition(|cluster| there.contains(cluster));
        match (with.is_empty(), without.is_empty()) {
            (_, true) => Found::Everywhere,
            (true, false) => Found::Nowhere,
            (false, false) => Found::NotIn(without),
        }
    }

    /// What is applied for clusters that are not registered: how many rules and Providers, by cluster.
    pub(super) fn unregistered(&self) -> BTreeMap<&str, (usize, usize)> {
        let registered: BTreeSet<&str> = self
            .clusters
            .iter()
            .map(|cluster| cluster.name.as_str())
            .collect();
        let mut unregistered: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let rules = self.rules.iter().map(|(scope, ..)| (scope, (1, 0)));
        let providers = self.providers.iter().map(|(scope, _)| (scope, (0, 1)));
        for (scope, (rule, provider)) in rules.chain(providers) {
            if let Scope::Cluster(cluster) = scope
                && !registered.contains(cluster.as_str())
            {
                let counts = unregistered.entry(cluster).or_default();
                *counts = (counts.0 + rule, counts.1 + provider);
            }
        }
        unregistered
    }
}

/// Where a rule finds its Provider.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Everywhere,
    Nowhere,
    /// In some clusters, and not in these.
    NotIn(Vec<&'a str>),
}
