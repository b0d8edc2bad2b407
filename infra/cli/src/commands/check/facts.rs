//! What is looked at, and what each cluster was seen to do.

use jiff::{SignedDuration, Timestamp};
use shared::event::Severity;
use shared::item::{CredentialItem, EventItem, StatusItem};
use shared::kinds::ObjectName;
use shared::{CommitStatusRule, Provider, Scope, State};

use crate::commands::statuses::event_time;
use crate::probe::Probed;
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
    pub(super) stages: Option<Stages>,
    /// By the name of the credential.
    pub(super) holds: Vec<(String, CredentialItem)>,
    /// By the place of the Provider in the list; of those that were asked.
    pub(super) probes: Vec<(usize, Probed)>,
    pub(super) queues: Result<Vec<Queues>, String>,
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

    pub(super) fn of(cluster: &str, statuses: &[StatusItem], events: &[EventItem]) -> Self {
        let mut seen = Self::default();
        for status in statuses.iter().filter(|status| status.cluster == cluster) {
            let at = event_time(status);
            seen.last_of_status = seen.last_of_status.max(at);
            match status.desired.state {
                State::Success => seen.has_success = true,
                // Made of an event about another commit.
                State::Superseded => {}
                State::Pending | State::Failure => seen.other(at),
            }
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

    /// Whether a rule finds its Provider somewhere.
    pub(super) fn has_provider(&self, scope: &Scope, rule: &CommitStatusRule) -> bool {
        let name = ObjectName::new(&rule.metadata.namespace, &rule.spec.provider_ref.name);
        self.providers.iter().any(|(of, provider)| {
            // Of a rule for all clusters each may have a Provider of its own.
            let is_seen = *of == Scope::AllClusters || of == scope || *scope == Scope::AllClusters;
            is_seen && provider.metadata.object_name() == name
        })
    }
}
